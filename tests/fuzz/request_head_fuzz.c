/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: the first byte says where the rest is split; the answer must not depend on it, and what is
 * accepted must be safe to hand on. */
#include "../../common/http/parser.h"

#include <stdlib.h>

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct reading {
    struct http_head head;
    enum http_parse result;
    size_t head_size;
};

static void read_split(const char *data, size_t size, size_t at, struct reading *ret_reading)
{
    struct http_parser p;

    http_parser_init(&p, HTTP_PARSER_REQUEST, &ret_reading->head);
    ret_reading->head_size = 0;
    ret_reading->result = http_parser_head(&p, data, at, &ret_reading->head_size);
    if (ret_reading->result == HTTP_PARSE_MORE)
        ret_reading->result = http_parser_head(&p, data, size, &ret_reading->head_size);
}

static void require_same(const struct reading *a, const struct reading *b)
{
    REQUIRE(a->result == b->result);
    if (a->result != HTTP_PARSE_DONE)
        return;
    REQUIRE(a->head_size == b->head_size && a->head.field_count == b->head.field_count);
    REQUIRE(a->head.content_length == b->head.content_length && a->head.keep_alive == b->head.keep_alive);
    REQUIRE(slice_equal(a->head.target, b->head.target) && a->head.chunked == b->head.chunked);
    for (size_t i = 0; i < a->head.field_count; i++) {
        REQUIRE(slice_equal(a->head.fields[i].name, b->head.fields[i].name));
        REQUIRE(slice_equal(a->head.fields[i].value, b->head.fields[i].value));
    }
}

static void require_safe(const struct http_head *head)
{
    REQUIRE(head->version == 10 || http_head_count(head, "Host") == 1);
    REQUIRE(!head->chunked || http_head_count(head, "Content-Length") == 0);
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice value = head->fields[i].value;

        REQUIRE(head->fields[i].name.size > 0);
        for (size_t at = 0; at < value.size; at++)
            REQUIRE((unsigned char)value.data[at] >= ' ' || value.data[at] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct reading whole, split;
    char *copy;

    if (size == 0)
        return 0;
    copy = malloc(size); /* exact, so that a step beyond its end is seen */
    REQUIRE(copy != NULL);
    memcpy(copy, data, size);
    read_split(copy + 1, size - 1, size - 1, &whole);
    read_split(copy + 1, size - 1, data[0] % size, &split);
    require_same(&whole, &split);
    if (whole.result == HTTP_PARSE_DONE)
        require_safe(&whole.head);
    free(copy);
    return 0;
}
