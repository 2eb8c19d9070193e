/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY protocol: a header that is taken lies within what was given and within its bound, and means the same
 * whatever follows; of one that is not whole, more could only make it whole or bad. */
#include "base/check.h"
#include "io/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {(const char *)data, size};
    struct proxy_header header, again;

    if (proxy_protocol_parse(input, &header) != PROXY_PARSE_DONE)
        return 0;
    REQUIRE(header.size > 0 && header.size <= size && header.size <= PROXY_HEADER_MAX);
    REQUIRE(proxy_protocol_parse(slice_make(input.data, header.size), &again) == PROXY_PARSE_DONE);
    REQUIRE(again.size == header.size && again.has_source == header.has_source);
    REQUIRE(!header.has_source || addr_equal_ip(&again.source, &header.source));
    for (size_t i = 0; i < header.size; i++)
        REQUIRE(proxy_protocol_parse(slice_make(input.data, i), &again) == PROXY_PARSE_MORE);
    return 0;
}
