/* SPDX-License-Identifier: Apache-2.0 */
/* Whole responses: the first byte says where the rest is split; head, body and end must not depend on it. */
#include "../../common/http/parser.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    enum http_parse head, body;
    size_t end;
    bool ends_well;
    struct buf text;
};

static bool collect(void *user, const char *data, size_t size)
{
    return buf_append(user, data, size);
}

static void read_split(const char *data, size_t size, size_t at, struct reading *r)
{
    static struct http_head head;
    struct http_parser p;
    size_t used = 0;

    *r = (struct reading){0};
    buf_init(&r->text, size + 1);
    http_parser_init(&p, HTTP_PARSER_RESPONSE, &head);
    r->head = http_parser_head(&p, data, at, &r->end);
    if (r->head == HTTP_PARSE_MORE) {
        at = size;
        r->head = http_parser_head(&p, data, at, &r->end);
    }
    if (r->head != HTTP_PARSE_DONE)
        return;
    http_parser_begin_body(&p, false);
    r->body = http_parser_body(&p, data + r->end, at - r->end, collect, &r->text, &used);
    r->end += used;
    if (r->body == HTTP_PARSE_MORE && at < size) {
        r->body = http_parser_body(&p, data + r->end, size - r->end, collect, &r->text, &used);
        r->end += used;
    }
    r->ends_well = http_parser_ends_well(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reading whole, split;
    char *copy;

    if (size == 0)
        return 0;
    copy = malloc(size); /* exact, so that a step beyond its end is seen */
    REQUIRE(copy != NULL);
    memcpy(copy, data, size);
    read_split(copy + 1, size - 1, size - 1, &whole);
    read_split(copy + 1, size - 1, data[0] % size, &split);
    REQUIRE(whole.head == split.head);
    REQUIRE(whole.head != HTTP_PARSE_DONE || whole.body == split.body);
    if (whole.head == HTTP_PARSE_DONE && whole.body != HTTP_PARSE_BAD) {
        REQUIRE(whole.end == split.end && whole.ends_well == split.ends_well);
        REQUIRE(slice_equal(buf_slice(&whole.text), buf_slice(&split.text)));
    }
    buf_fini(&whole.text);
    buf_fini(&split.text);
    free(copy);
    return 0;
}
