/* SPDX-License-Identifier: Apache-2.0 */
/* Range and Content-Range: what is taken stays within bounds, and what is written reads back as the same. */
#include "base/check.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_specs(struct slice input, uint64_t total_size)
{
    struct range_spec specs[HTTP_RANGE_MAX];
    uint64_t first, last;
    size_t count;

    if (http_range_parse(input, specs, HTTP_RANGE_MAX, &count) != RANGE_OK)
        return;
    REQUIRE(count >= 1 && count <= HTTP_RANGE_MAX);
    for (size_t i = 0; i < count; i++)
        if (http_range_resolve(&specs[i], total_size, &first, &last))
            REQUIRE(first <= last && last < total_size);
}

static void check_content_range(struct slice input)
{
    char text[HTTP_CONTENT_RANGE_SIZE];
    struct content_range r, again;

    if (!http_content_range_parse(input, &r))
        return;
    http_content_range_format(&r, text);
    REQUIRE(http_content_range_parse(slice_of(text), &again));
    REQUIRE(again.first == r.first && again.last == r.last && again.total == r.total);
    REQUIRE(again.unsatisfied == r.unsatisfied);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};

    check_specs(input, 0);
    check_specs(input, 1000);
    check_specs(input, UINT64_MAX);
    check_content_range(input);
    return 0;
}
