/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks the YAML document (libfyaml) and hands each value to options.c, which checks it.
 */
#include "config.h"

#include <errno.h>
#include <libfyaml.h>

#include "base/check.h"

#define FAULT_SIZE_MAX 512

struct reading {
    const char *path;
    struct options *options;
    struct buf *error; /* empty: no fault so far */
};

/* Reads the value of one field into the options. False: a fault has been reported. */
typedef bool field_fn(struct reading *r, struct fy_node *value);

struct field {
    const char *name;
    field_fn *read;
};

/* A map or a list is where its first child is. */
static const struct fy_mark *mark_of(struct fy_node *node)
{
    void *at = NULL;

    while (node != NULL && !fy_node_is_scalar(node))
        node = fy_node_is_mapping(node) ? fy_node_pair_key(fy_node_mapping_iterate(node, &at))
                                        : fy_node_sequence_iterate(node, &at);
    return node == NULL ? NULL : fy_token_start_mark(fy_node_get_scalar_token(node));
}

static bool fault_at(struct reading *r, int line, int column, struct slice what)
{
    if (r->error->size == 0)
        buf_printf(r->error, "%s:%d:%d: %.*s", r->path, line, column, SLICE_ARG(what));
    return false;
}

static bool fault(struct reading *r, struct fy_node *node, struct slice what)
{
    const struct fy_mark *mark = mark_of(node);

    return fault_at(r, mark ? mark->line + 1 : 1, mark ? mark->column + 1 : 1, what);
}

/* Ends a value's reading: what options.c complained about gets its place. */
static bool settle(struct reading *r, struct fy_node *node, bool ok, struct buf *complaint)
{
    if (!ok)
        fault(r, node, buf_slice(complaint));
    buf_fini(complaint);
    return ok;
}

static bool get_text(struct reading *r, struct fy_node *node, struct slice *ret_text)
{
    if (!fy_node_is_scalar(node) || fy_node_is_alias(node))
        return fault(r, node, SLICE_LITERAL("expected a text or a number"));
    ret_text->data = fy_node_get_scalar(node, &ret_text->size);
    return ret_text->data != NULL || fault(r, node, SLICE_LITERAL("expected a value"));
}

static bool read_root(struct reading *r, struct fy_node *value)
{
    struct buf complaint;
    struct slice text = SLICE_EMPTY;

    buf_init(&complaint, FAULT_SIZE_MAX);
    return get_text(r, value, &text) &&
           settle(r, value, options_set_root(r->options, text, &complaint), &complaint);
}

static bool read_number(struct reading *r, struct fy_node *value, const char *name, unsigned max,
                        unsigned *ret_number)
{
    struct buf complaint;
    struct slice text = SLICE_EMPTY;

    buf_init(&complaint, FAULT_SIZE_MAX);
    return get_text(r, value, &text) &&
           settle(r, value, options_set_number(name, text, max, ret_number, &complaint), &complaint);
}

static bool read_workers(struct reading *r, struct fy_node *value)
{
    return read_number(r, value, "workers", OPTIONS_WORKERS_MAX, &r->options->workers);
}

static bool read_live_window(struct reading *r, struct fy_node *value)
{
    return read_number(r, value, "live_window", LIVE_WINDOW_MAX, &r->options->window_segments);
}

static bool read_listen(struct reading *r, struct fy_node *value)
{
    struct fy_node *item;
    struct slice text = SLICE_EMPTY;
    void *at = NULL;

    if (!fy_node_is_sequence(value))
        return fault(r, value, SLICE_LITERAL("expected a list of addresses"));
    while ((item = fy_node_sequence_iterate(value, &at)) != NULL) {
        struct buf complaint;
        buf_init(&complaint, FAULT_SIZE_MAX);
        if (!get_text(r, item, &text) ||
            !settle(r, item, options_add_listener(r->options, text, &complaint), &complaint))
            return false;
    }
    return true;
}

static bool read_channel(struct reading *r, struct fy_node *map)
{
    struct slice name = SLICE_EMPTY, source = SLICE_EMPTY, key = SLICE_EMPTY;
    struct fy_node_pair *pair;
    unsigned window = 0;
    struct buf complaint;
    void *at = NULL;

    while ((pair = fy_node_mapping_iterate(map, &at)) != NULL) {
        struct fy_node *value = fy_node_pair_value(pair);
        bool ok;
        if (!get_text(r, fy_node_pair_key(pair), &key))
            return false;
        if (slice_equal(key, SLICE_LITERAL("name")))
            ok = get_text(r, value, &name);
        else if (slice_equal(key, SLICE_LITERAL("source")))
            ok = get_text(r, value, &source);
        else if (slice_equal(key, SLICE_LITERAL("window")))
            ok = read_number(r, value, "window", LIVE_WINDOW_MAX, &window);
        else
            ok = fault(r, fy_node_pair_key(pair), SLICE_LITERAL("expected name, source or window"));
        if (!ok)
            return false;
    }
    if (name.size == 0 || source.size == 0)
        return fault(r, map, SLICE_LITERAL("a live channel needs a name and a source"));
    buf_init(&complaint, FAULT_SIZE_MAX);
    return settle(r, map, options_add_channel(r->options, name, source, window, &complaint), &complaint);
}

static bool read_live(struct reading *r, struct fy_node *value)
{
    struct fy_node *item;
    void *at = NULL;

    if (!fy_node_is_sequence(value))
        return fault(r, value, SLICE_LITERAL("expected a list of channels"));
    while ((item = fy_node_sequence_iterate(value, &at)) != NULL) {
        if (!fy_node_is_mapping(item))
            return fault(r, item, SLICE_LITERAL("expected a channel: name, source, window"));
        if (!read_channel(r, item))
            return false;
    }
    return true;
}

static bool read_cache_control(struct reading *r, struct fy_node *value)
{
    struct fy_node_pair *pair;
    struct slice name = SLICE_EMPTY, text = SLICE_EMPTY;
    void *at = NULL;

    if (!fy_node_is_mapping(value))
        return fault(r, value, SLICE_LITERAL("expected values by class"));
    while ((pair = fy_node_mapping_iterate(value, &at)) != NULL) {
        struct buf complaint;
        buf_init(&complaint, FAULT_SIZE_MAX);
        if (!get_text(r, fy_node_pair_key(pair), &name) || !get_text(r, fy_node_pair_value(pair), &text) ||
            !settle(r, fy_node_pair_key(pair), options_set_cache_control(r->options, name, text, &complaint),
                    &complaint))
            return false;
    }
    return true;
}

static const struct field fields[] = {
    {"root", read_root},       {"listen", read_listen},
    {"workers", read_workers}, {"live_window", read_live_window},
    {"live", read_live},       {"cache_control", read_cache_control},
};

static bool read_field(struct reading *r, struct fy_node_pair *pair)
{
    struct fy_node *key = fy_node_pair_key(pair);
    struct slice name = SLICE_EMPTY;

    if (!get_text(r, key, &name))
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(fields); i++)
        if (slice_equal(name, slice_of(fields[i].name)))
            return fields[i].read(r, fy_node_pair_value(pair));
    return fault(r, key,
                 SLICE_LITERAL("no such field: expected root, listen, workers, live_window, live or "
                               "cache_control"));
}

static bool read_document(struct reading *r, struct fy_document *document)
{
    struct fy_node *root = fy_document_root(document);
    struct fy_node_pair *pair;
    void *at = NULL;

    if (root == NULL || !fy_node_is_mapping(root))
        return fault(r, root, SLICE_LITERAL("expected fields with values"));
    while ((pair = fy_node_mapping_iterate(root, &at)) != NULL)
        if (!read_field(r, pair))
            return false;
    return true;
}

static bool report_syntax(struct reading *r, struct fy_diag *diag)
{
    void *at = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &at);

    if (error == NULL)
        return fault_at(r, 1, 1, SLICE_LITERAL("this is not YAML"));
    return fault_at(r, error->line, error->column, slice_of(error->msg));
}

bool config_read(const char *path, struct options *o, struct buf *error)
{
    struct reading r = {path, o, error};
    struct fy_diag_cfg diag_options = {.level = FYET_ERROR, .module_mask = ~0u};
    struct fy_diag *diag = fy_diag_create(&diag_options); /* no output: errors are collected */
    const struct fy_parse_cfg parse_options = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_document *document = NULL;
    FILE *file = fopen(path, "rbe");
    bool ok = false;

    if (file == NULL || diag == NULL) {
        fault_at(&r, 1, 1, slice_of(strerror(errno)));
    } else {
        fy_diag_set_collect_errors(diag, true);
        document = fy_document_build_from_fp(&parse_options, file);
        ok = document == NULL ? report_syntax(&r, diag) : read_document(&r, document);
    }
    fy_document_destroy(document);
    fy_diag_destroy(diag);
    if (file != NULL)
        fclose(file);
    return ok;
}
