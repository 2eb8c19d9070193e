/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP dates. The calendar is computed here (years begin in March, so that the leap day is the last one),
 * because libc's functions know time zones and locales, and this one may know neither.
 */
#include "http/date.h"

#include <stdio.h>

#include "base/check.h"

#define DAY_S          86400
#define DAYS_PER_ERA   146097 /* 400 years */
#define EPOCH_DAY      719468 /* from 0000-03-01 to 1970-01-01 */
#define YEAR_MAX       9999
#define CENTURY_WINDOW 50 /* RFC 9110 section 5.6.7: years ahead that two digits may mean */

static const char *const day_names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Rounds towards minus infinity. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t days_since_epoch(int year, int month, int day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = floor_div(y, 400), year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

    return era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           EPOCH_DAY;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

bool http_date_from_civil(const struct http_civil *civil, int64_t *ret_epoch_s)
{
    const struct http_civil *c = civil;

    if (c->month < 1 || c->month > 12 || c->day < 1 || c->day > month_days(c->year, c->month))
        return false;
    if (c->hour < 0 || c->hour > 23 || c->minute < 0 || c->minute > 59 || c->second < 0 || c->second > 60)
        return false;
    *ret_epoch_s = days_since_epoch(c->year, c->month, c->day) * DAY_S + INT64_C(3600) * c->hour +
                   INT64_C(60) * c->minute + (c->second == 60 ? 59 : c->second);
    return true;
}

struct http_civil http_date_civil(int64_t epoch_s)
{
    int64_t days = floor_div(epoch_s, DAY_S), second = epoch_s - days * DAY_S;
    int64_t since = days + EPOCH_DAY, era = floor_div(since, DAYS_PER_ERA),
            day_of_era = since - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    int month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);

    return (struct http_civil){
        .year = (int)(year_of_era + era * 400) + (month <= 2),
        .month = month,
        .day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1),
        .hour = (int)(second / 3600),
        .minute = (int)(second / 60 % 60),
        .second = (int)(second % 60),
    };
}

void http_date_format(int64_t epoch_s, char ret_text[HTTP_DATE_SIZE])
{
    int64_t first = days_since_epoch(0, 1, 1) * DAY_S, end = days_since_epoch(YEAR_MAX + 1, 1, 1) * DAY_S;
    struct http_civil c;
    char text[64]; /* the compiler cannot know how small the numbers are */

    epoch_s = epoch_s < first ? first : epoch_s >= end ? end - 1 : epoch_s;
    c = http_date_civil(epoch_s);
    snprintf(text, sizeof(text), "%.3s, %02d %s %04d %02d:%02d:%02d GMT",
             day_names[(floor_div(epoch_s, DAY_S) % 7 + 11) % 7], c.day, month_names[c.month - 1], c.year,
             c.hour, c.minute, c.second);
    memcpy(ret_text, text, HTTP_DATE_SIZE);
}

/* What is still to be read; `bad` sticks, so that a form is read in one go and judged at its end. */
struct reader {
    struct slice rest;
    bool bad;
};

static void take_text(struct reader *r, const char *text)
{
    struct slice wanted = slice_of(text);

    if (r->rest.size < wanted.size || !slice_equal_nocase(slice_make(r->rest.data, wanted.size), wanted))
        r->bad = true;
    else
        r->rest = slice_skip(r->rest, wanted.size);
}

static int take_number(struct reader *r, size_t digits)
{
    uint64_t value = 0;

    if (r->rest.size < digits || !slice_to_u64(slice_make(r->rest.data, digits), &value))
        r->bad = true;
    else
        r->rest = slice_skip(r->rest, digits);
    return (int)value;
}

/* The index of the name that stands here, whole or its first three letters. */
static int take_name(struct reader *r, const char *const names[], int count, bool whole)
{
    for (int i = 0; i < count; i++) {
        struct slice name = slice_make(names[i], whole ? strlen(names[i]) : 3);
        if (r->rest.size >= name.size && slice_equal_nocase(slice_make(r->rest.data, name.size), name)) {
            r->rest = slice_skip(r->rest, name.size);
            return i;
        }
    }
    r->bad = true;
    return 0;
}

static void take_day_name(struct reader *r, bool whole)
{
    take_name(r, day_names, ARRAY_COUNT(day_names), whole);
}

static int take_month(struct reader *r)
{
    return take_name(r, month_names, ARRAY_COUNT(month_names), true) + 1;
}

static void take_time(struct reader *r, struct http_civil *c)
{
    c->hour = take_number(r, 2);
    take_text(r, ":");
    c->minute = take_number(r, 2);
    take_text(r, ":");
    c->second = take_number(r, 2);
}

static void take_zone(struct reader *r)
{
    if (r->rest.size == 3 && slice_equal_nocase(r->rest, SLICE_LITERAL("UTC")))
        r->rest = slice_skip(r->rest, 3);
    else
        take_text(r, "GMT");
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static void read_fixdate(struct reader *r, struct http_civil *c)
{
    take_day_name(r, false);
    take_text(r, ", ");
    c->day = take_number(r, 2);
    take_text(r, " ");
    c->month = take_month(r);
    take_text(r, " ");
    c->year = take_number(r, 4);
    take_text(r, " ");
    take_time(r, c);
    take_text(r, " ");
    take_zone(r);
}

static int full_year(int two_digits, int64_t now_s)
{
    int latest = http_date_civil(now_s).year + CENTURY_WINDOW;

    return latest - ((latest - two_digits) % 100 + 100) % 100;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static void read_rfc850(struct reader *r, int64_t now_s, struct http_civil *c)
{
    take_day_name(r, true);
    take_text(r, ", ");
    c->day = take_number(r, 2);
    take_text(r, "-");
    c->month = take_month(r);
    take_text(r, "-");
    c->year = full_year(take_number(r, 2), now_s);
    take_text(r, " ");
    take_time(r, c);
    take_text(r, " ");
    take_zone(r);
}

/* "Sun Nov  6 08:49:37 1994" */
static void read_asctime(struct reader *r, struct http_civil *c)
{
    take_day_name(r, false);
    take_text(r, " ");
    c->month = take_month(r);
    take_text(r, " ");
    if (r->rest.size > 0 && r->rest.data[0] == ' ') {
        take_text(r, " ");
        c->day = take_number(r, 1);
    } else {
        c->day = take_number(r, 2);
    }
    take_text(r, " ");
    take_time(r, c);
    take_text(r, " ");
    c->year = take_number(r, 4);
}

bool http_date_parse(struct slice text, int64_t now_s, int64_t *ret_epoch_s)
{
    struct reader r = {slice_trim(text), false};
    size_t comma = slice_find(r.rest, ',');
    struct http_civil c = {.month = 1};

    if (comma == r.rest.size)
        read_asctime(&r, &c);
    else if (comma == 3)
        read_fixdate(&r, &c);
    else
        read_rfc850(&r, now_s, &c);
    return !r.bad && r.rest.size == 0 && http_date_from_civil(&c, ret_epoch_s);
}
