/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP dates (RFC 9110 section 5.6.7) without time zones, locales or libc's idea of them. Seconds are since
 * the epoch, UTC.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "base/slice.h"

#define HTTP_DATE_SIZE 30        /* "Sun, 06 Nov 1994 08:49:37 GMT" and its terminator */
#define HTTP_DATE_NONE INT64_MIN /* stands for an absent or invalid date where one is kept parsed */

/* IMF-fixdate, terminated. Years outside 0000 to 9999 are clamped: the format has no room for them. */
void http_date_format(int64_t epoch_s, char ret_text[HTTP_DATE_SIZE]);

/*
 * IMF-fixdate, the RFC 850 form and asctime's. Case is ignored, GMT and UTC are the only zones (RFC 9111
 * section 4.2), the day of the week must be one but need not be the right one. A two-digit year that would
 * lie more than 50 years after `now_s` is the most recent past year with those digits. A leap second is read
 * as the second before it.
 */
bool http_date_parse(struct slice text, int64_t now_s, int64_t *ret_epoch_s);

struct http_civil {                             /* a date and time in UTC */
    int year, month, day, hour, minute, second; /* month and day from 1 */
};

/* For times whose year fits an int. */
struct http_civil http_date_civil(int64_t epoch_s);

/* False when there is no such day or time. A leap second is taken as the second before it. */
bool http_date_from_civil(const struct http_civil *civil, int64_t *ret_epoch_s);

#endif
