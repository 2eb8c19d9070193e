/* SPDX-License-Identifier: Apache-2.0 */
/* Cache-Control and the other fields of freshness. Whatever a line says, it cannot hide a no-store behind it.
 */
#include "base/buf.h"
#include "base/check.h"
#include "http/date.h"
#include "http/freshness.h"
#include "http/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_directives(struct slice input)
{
    struct cache_control cc = {0};
    struct buf line;

    buf_init(&line, input.size + 16);
    buf_append_slice(&line, input);
    buf_append_text(&line, ", no-store");
    http_cache_control_add(&cc, buf_slice(&line));
    REQUIRE(http_cache_control_has(&cc, CC_NO_STORE));
    for (unsigned d = 0; d < CC_SECONDS_COUNT; d++)
        REQUIRE(cc.seconds[d] <= CACHE_CONTROL_SECONDS_MAX);
    buf_fini(&line);
}

static void check_freshness(struct slice input)
{
    struct freshness_input in = {
        .status = 200,
        .expires = input,
        .date = input,
        .last_modified = input,
        .age = input,
        .vary = input,
        .pragma = input,
        .response_time_ms = 1750000000000,
        .request_time_ms = 1750000000000,
    };
    enum freshness_source source;

    freshness_must_validate(&in);
    freshness_may_store(&in);
    REQUIRE(freshness_lifetime_ms(&in, &source) >= 0);
    in.expires = (struct slice){0};
    REQUIRE(freshness_lifetime_ms(&in, &source) >= 0);
    REQUIRE(freshness_initial_age_ms(&in) >= 0);
}

static void check_date(struct slice input)
{
    char text[HTTP_DATE_SIZE];
    int64_t epoch_s, again_s;

    if (!http_date_parse(input, 1750000000, &epoch_s))
        return;
    http_date_format(epoch_s, text);
    REQUIRE(http_date_parse(slice_of(text), 0, &again_s) && again_s == epoch_s);
}

static void check_etag(struct slice input)
{
    struct etag tag;

    if (http_etag_parse(input, &tag))
        REQUIRE(http_etag_list_has(input, &tag, false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};

    check_directives(input);
    check_freshness(input);
    check_date(input);
    check_etag(input);
    return 0;
}
