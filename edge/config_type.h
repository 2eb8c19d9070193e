/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of single values in a configuration: how each is written, what it becomes in memory. They know
 * nothing of YAML.
 */
#ifndef CONFIG_TYPE_H
#define CONFIG_TYPE_H

#include "config_pool.h"

/* What reading a value needs beside its text. */
struct config_value {
    struct config_pool *pool;
    const char *folder;       /* what relative paths are relative to; "" is the working folder */
    const char *const *words; /* of config_type_word */
};

struct config_type {
    const char *name;     /* for the documentation */
    const char *expected; /* continues "expected ..." */

    /* Either of the two. 0, -EINVAL, -ERANGE or -ENOMEM; `ret` is untouched on failure. */
    int (*read)(const struct config_value *v, struct slice text, void *ret);
    int (*read_number)(struct slice text, uint64_t *ret_value); /* has a range and any width of an integer */

    bool may_hide_secret; /* a wrong value is not quoted in errors */
};

/* Numbers. */
extern const struct config_type config_type_integer;
extern const struct config_type config_type_size;     /* bytes: "64KiB", "1GiB", "512" */
extern const struct config_type config_type_share;    /* a size, or CONFIG_PERCENT and so many: "10%" */
extern const struct config_type config_type_duration; /* milliseconds: "500ms", "5s", "2m", "1h", "30d" */

/* const char * */
extern const struct config_type config_type_text;
extern const struct config_type config_type_name; /* a label: [a-z0-9-] */
extern const struct config_type config_type_path;
extern const struct config_type config_type_log_path; /* a path, or "-" as it is */

extern const struct config_type config_type_server_name; /* a host name or an address */

/* struct slice */
extern const struct config_type config_type_host; /* made canonical, see config.h */
extern const struct config_type config_type_pattern;
extern const struct config_type config_type_authority;
extern const struct config_type config_type_query_name;
extern const struct config_type config_type_header; /* in lower case */
extern const struct config_type config_type_field_name;
extern const struct config_type config_type_method;
extern const struct config_type config_type_target; /* path and maybe a query */
extern const struct config_type config_type_cors_origin;

extern const struct config_type config_type_bool;           /* bool */
extern const struct config_type config_type_word;           /* enum: the index of one of the words */
extern const struct config_type config_type_latitude;       /* double */
extern const struct config_type config_type_longitude;      /* double */
extern const struct config_type config_type_country;        /* char[3] */
extern const struct config_type config_type_ip;             /* struct addr, without a port */
extern const struct config_type config_type_socket_address; /* struct addr, with a port */
extern const struct config_type config_type_prefix;         /* struct addr_prefix */
extern const struct config_type config_type_origin;         /* struct config_origin */

#endif
