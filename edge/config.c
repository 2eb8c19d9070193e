/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration's life: read from its file, shared, freed with its last reference.
 */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "config_schema.h"

#define FILE_SIZE_MAX (1 << 20)

struct owner { /* of a configuration, and of all that it points to */
    atomic_uint references;
    struct config_pool pool;
    struct config config;
};

static struct owner *owner_of(const struct config *c)
{
    return container_of(c, struct owner, config);
}

static void owner_free(struct owner *o)
{
    config_pool_fini(&o->pool);
    free(o);
}

static int owner_read(struct owner *o, const char *path, struct slice text, struct buf *errors)
{
    const char *slash = strrchr(path, '/');
    size_t folder_size = slash ? (size_t)(slash - path) + (slash == path) : 0; /* "/" is the folder of "/a" */
    const struct config_source source = {
        .file = path,
        .folder = config_pool_copy(&o->pool, slice_make(path, folder_size)).data,
        .text = text,
    };

    return source.folder ? config_table_read(&source, &config_schema, &o->pool, errors, &o->config) : -ENOMEM;
}

int config_parse(const char *path, struct slice text, struct buf *errors, const struct config **ret_config)
{
    struct owner *o = calloc(1, sizeof(*o));
    int status;

    if (!o)
        return -ENOMEM;
    atomic_init(&o->references, 1);
    config_pool_init(&o->pool);
    status = owner_read(o, path, text, errors);
    if (status == 0)
        *ret_config = &o->config;
    else
        owner_free(o);
    if (status == -ENOMEM)
        buf_printf(errors, "%s: memory is out\n", path);
    return status;
}

/* Reads the file whole into `text`, which has the maximum. */
static int read_file(const char *path, struct buf *text)
{
    FILE *file = fopen(path, "rbe");
    size_t count = 1;
    char part[4096];
    int status = 0;

    if (!file)
        return -errno;
    while (count > 0 && !text->failed) {
        count = fread(part, 1, sizeof(part), file);
        buf_append(text, part, count);
    }
    if (ferror(file))
        status = -errno;
    else if (text->failed)
        status = -EFBIG;
    fclose(file);
    return status;
}

int config_load(const char *path, struct buf *errors, const struct config **ret_config)
{
    struct buf text;
    int status;

    buf_init(&text, FILE_SIZE_MAX);
    status = read_file(path, &text);
    if (status < 0)
        buf_printf(errors, "%s: %s\n", path, strerror(-status));
    else
        status = config_parse(path, buf_slice(&text), errors, ret_config);
    buf_fini(&text);
    return status;
}

const struct config *config_ref(const struct config *c)
{
    atomic_fetch_add_explicit(&owner_of(c)->references, 1, memory_order_relaxed);
    return c;
}

void config_unref(const struct config *c)
{
    if (c && atomic_fetch_sub_explicit(&owner_of(c)->references, 1, memory_order_acq_rel) == 1)
        owner_free(owner_of(c));
}

static void each_path(const struct config_table *table, const char *object, config_path_fn *fn, void *user);

static void each_path_of_field(const struct config_field *field, const char *at, config_path_fn *fn,
                               void *user)
{
    if (field->table)
        each_path(field->table, at, fn, user);
    else if ((field->type == &config_type_path || field->type == &config_type_log_path) &&
             *(const char *const *)at)
        fn(user, *(const char *const *)at);
}

static void each_path(const struct config_table *table, const char *object, config_path_fn *fn, void *user)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_field *field = &table->fields[i];
        const char *at = object + field->offset;
        size_t count = 1;

        if (field->is_list) {
            at = *(const char *const *)at;
            count = *(const size_t *)(object + field->count_offset);
        }
        for (size_t item = 0; item < count; item++)
            each_path_of_field(field, at + item * field->size, fn, user);
    }
}

void config_each_path(const struct config *c, config_path_fn *fn, void *user)
{
    each_path(&config_schema, (const char *)c, fn, user);
}
