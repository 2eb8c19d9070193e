/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads YAML into a struct as a table says: which fields there are, of which type, required or with a
 * default. Hides the YAML library. All errors of a document are found in one pass, each with its place and
 * its field.
 *
 * A field is one of three: a single value (type), a map (table), or a list (of either; is_list). Defaults are
 * written as they would stand in the file and are read by the same code.
 */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include "base/buf.h"
#include "config_type.h"

#define CONFIG_FIELDS_MAX 32 /* of one table */

struct config_reader;

struct config_field {
    const char *name;
    const struct config_type *type;   /* of the value, or of a list's items */
    const struct config_table *table; /* or of a map's fields, or of those of a list's items */
    bool required;
    const char *unless; /* required but when this other field is given */

    size_t offset; /* in the struct; of a list: its pointer */
    size_t size;   /* of the member; of a list: of one item */

    const char *preset;    /* the default; of a list its only item. NULL: zeroes */
    const char *min, *max; /* of numbers; written as values are */
    bool may_be_none;      /* of numbers: the word none is UINT64_MAX */
    const char *const *words;

    bool is_list;
    size_t count_offset; /* where a list's size_t count is */
    size_t count_min, count_max;

    size_t given_offset; /* where a bool is set when the field is given; 0: nowhere */
};

struct config_table {
    const struct config_field *fields;
    size_t count;
    /* Looks at what single fields cannot say, and reports with config_table_error. Called when all fields of
     * the map are right. NULL: nothing to check. */
    void (*check)(struct config_reader *r, void *object);
};

/* For tables: the place of a member, and of a list. */
#define CONFIG_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define CONFIG_LIST(type, member, count)                                                     \
    .is_list = true, .offset = offsetof(type, member), .size = sizeof(*((type *)0)->member), \
    .count_offset = offsetof(type, count)
#define CONFIG_GIVEN(type, member) .given_offset = offsetof(type, member)

struct config_source {
    const char *file;   /* as errors name it */
    const char *folder; /* what relative paths are relative to */
    struct slice text;
};

/* Fills `object`, which is zeroed and described by `table`; what it points to is in the pool. 0; -EINVAL with
 * at least one line in `errors`; -ENOMEM. */
int config_table_read(const struct config_source *source, const struct config_table *table,
                      struct config_pool *pool, struct buf *errors, void *object);

/* Reports an error of the field at `path` ("hosts[2]", "geoip.database"), relative to the map that is
 * checked. The place is that of the field, or of the nearest part of the path that stands in the file. */
void config_table_error(struct config_reader *r, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether the field stands in the file. */
bool config_table_has(struct config_reader *r, const char *path);

/* The pool of what is being read, for checks that derive something. */
struct config_pool *config_table_pool(struct config_reader *r);

#endif
