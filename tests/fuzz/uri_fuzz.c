/* SPDX-License-Identifier: Apache-2.0 */
/* URIs: a normal form is normal, what is resolved could be requested, and a filter without patterns changes
 * nothing. */
#include "base/check.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_target(struct slice input)
{
    struct buf once, twice;
    struct uri u;

    if (!uri_parse_target(input, &u))
        return;
    buf_init(&once, input.size + 1);
    buf_init(&twice, input.size + 1);
    REQUIRE(uri_append_normalized_path(&once, u.path));
    REQUIRE(uri_append_normalized_path(&twice, buf_slice(&once)));
    /* Decoding "%25" does not: '%' is no unreserved character. */
    REQUIRE(slice_equal(buf_slice(&once), buf_slice(&twice)));
    REQUIRE(!memmem(once.data, once.size, "/../", 4) && !memmem(once.data, once.size, "/./", 3));
    buf_fini(&once);
    buf_fini(&twice);
}

static void check_resolution(struct slice input)
{
    struct buf out;
    struct uri u;

    buf_init(&out, 3 * input.size + 64);
    if (uri_resolve(SLICE_LITERAL("/live/a/main.m3u8?q"), input, &out) && out.data[0] == '/' &&
        (out.size == 1 || out.data[1] != '/') && out.size <= URI_SIZE_MAX)
        REQUIRE(uri_parse_target(buf_slice(&out), &u));
    buf_clear(&out);
    uri_resolve(input, SLICE_LITERAL("../x/seg.ts"), &out);
    buf_fini(&out);
}

static void check_query(struct slice input)
{
    struct buf out;

    buf_init(&out, input.size + 1);
    uri_query_filter(input, NULL, 0, &out);
    REQUIRE(slice_equal(buf_slice(&out), input));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = size > 0 ? slice_make((const char *)data, size) : SLICE_EMPTY;
    struct uri_authority authority;

    check_target(input);
    check_resolution(input);
    check_query(input);
    if (uri_parse_authority(input, &authority))
        REQUIRE(authority.host.size > 0);
    return 0;
}
