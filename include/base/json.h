/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON into a buf, one value after another; commas are put by the writer. Used where a record is
 * written per request; a document read by people is built with it too, so that there is one escape function.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

struct json {
    struct buf *out;
    bool comma; /* a value stands before: the next one in this container needs a comma */
};

void json_init(struct json *j, struct buf *out);
void json_open(struct json *j, const char *name, char bracket); /* '{' or '['; name NULL inside an array */
void json_close(struct json *j, char bracket);                  /* '}' or ']' */
void json_text(struct json *j, const char *name,
               struct slice value); /* bytes that are no UTF-8 become U+FFFD */
void json_u64(struct json *j, const char *name, uint64_t value);
void json_i64(struct json *j, const char *name, int64_t value);
void json_double(struct json *j, const char *name, double value);
void json_bool(struct json *j, const char *name, bool value);
void json_null(struct json *j, const char *name);

#endif
