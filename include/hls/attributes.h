/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute lists of HLS tags (RFC 8216bis section 4.2): NAME=value,NAME="value",... and the types of their
 * values. Slices point into the text given.
 */
#ifndef HLS_ATTRIBUTES_H
#define HLS_ATTRIBUTES_H

#include "base/slice.h"

struct hls_attribute {
    struct slice name;
    struct slice value; /* without its quotes */
    bool quoted;
};

enum hls_attribute_outcome { HLS_ATTRIBUTE_END, HLS_ATTRIBUTE_ONE, HLS_ATTRIBUTE_BAD };

/* Takes the next attribute off *rest. Space around attributes, lower case and empty attributes are forgiven;
 * a name with other characters, a missing '=' or an open quote is not. */
enum hls_attribute_outcome hls_attributes_next(struct slice *rest, struct hls_attribute *ret_attribute);

/* A decimal-floating-point of seconds, up to 115 days, in microseconds; more digits are cut off. */
bool hls_parse_duration_us(struct slice text, int64_t *ret_us);

bool hls_parse_resolution(struct slice text, uint32_t *ret_width, uint32_t *ret_height); /* "1920x1080" */

/* "0x" and 1 to 32 hex digits, right-aligned into 128 bits: an initialisation vector. */
bool hls_parse_hex128(struct slice text, uint8_t ret_bytes[16]);

/* An ISO 8601 date and time as EXT-X-PROGRAM-DATE-TIME has it; without a zone it is taken as UTC. */
bool hls_parse_datetime_ms(struct slice text, int64_t *ret_epoch_ms);

struct hls_byterange {
    bool present;    /* the whole resource otherwise */
    bool has_offset; /* "length@offset"; without, the offset follows from the range before */
    uint64_t length, offset;
};

bool hls_parse_byterange(struct slice text, struct hls_byterange *ret_range); /* "length[@offset]" */

#endif
