/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of tables, on libfyaml. The document is loaded whole (a configuration is small), then each map
 * is walked in the order of the file. Aliases are refused rather than resolved: nested ones make a huge
 * document of a small file.
 */
#include "config_table.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdio.h>

#include "base/check.h"
#include "config.h"

#define QUOTED_MAX    40   /* of a wrong value, in an error */
#define PATH_SIZE_MAX 500  /* of a field's path, in an error */
#define WORD_SIZE_MAX 40   /* longer ones are not guessed at */
#define TEXT_SIZE_MAX 4096 /* of a single value; no path is longer */

struct config_reader {
    const struct config_source *source;
    struct config_pool *pool;
    struct buf *errors;
    size_t error_count;
    struct buf path;    /* of what is being read: "sites[0].origin" */
    struct buf text;    /* of the single value that was read last */
    struct fy_node *at; /* the map that is being checked */
};

/* --- places and errors ---------------------------------------------------------------------------------- */

struct place {
    int line, column; /* from 1; line 0: nowhere */
};

static const struct place start_of_file = {1, 1};

/* A value that is not there is nowhere (libfyaml 0.7 has no token for it, 0.8 one where it would have been);
 * an empty one in quotes is somewhere. */
static struct place place_of_token(struct fy_token *token)
{
    const struct fy_mark *mark = fy_token_start_mark(token);
    bool is_nothing =
        token && fy_token_get_text_length(token) == 0 && fy_token_scalar_style(token) == FYSS_PLAIN;

    return mark && !is_nothing ? (struct place){mark->line + 1, mark->column + 1} : (struct place){0, 0};
}

/* A map or a list is where its first child is, the empty one nowhere. */
static struct place place_of(struct fy_node *node)
{
    while (node) {
        void *at = NULL;

        switch (fy_node_get_type(node)) {
        case FYNT_SCALAR: return place_of_token(fy_node_get_scalar_token(node));
        case FYNT_MAPPING: node = fy_node_pair_key(fy_node_mapping_iterate(node, &at)); break;
        case FYNT_SEQUENCE: node = fy_node_sequence_iterate(node, &at); break;
        }
    }
    return (struct place){0, 0};
}

static struct place place_or(struct fy_node *node, struct place otherwise)
{
    struct place place = place_of(node);
    return place.line > 0 ? place : otherwise;
}

static void __attribute__((format(printf, 3, 0)))
vreport(struct config_reader *r, struct place place, const char *format, va_list args)
{
    if (++r->error_count > CONFIG_ERRORS_MAX)
        return;
    buf_printf(r->errors, "%s:%d:%d: ", r->source->file, place.line, place.column);
    if (r->path.size > 0)
        buf_printf(r->errors, "%.*s: ", SLICE_ARG(buf_slice(&r->path)));
    buf_vprintf(r->errors, format, args);
    buf_append_char(r->errors, '\n');
}

static void __attribute__((format(printf, 3, 4)))
report(struct config_reader *r, struct place place, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vreport(r, place, format, args);
    va_end(args);
}

struct quoted {
    char text[QUOTED_MAX + sizeof("...")];
};

/* The beginning of a wrong value. Whoever pastes a key into the file shall not read it in the log: one line
 * of it. */
static struct quoted quoted(struct slice value)
{
    struct slice line = slice_make(value.data, slice_find(value, '\n'));
    size_t size = size_min(line.size, QUOTED_MAX);
    struct quoted q;

    for (size_t i = 0; i < size; i++)
        q.text[i] = (unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f ? '?' : line.data[i];
    snprintf(q.text + size, sizeof(q.text) - size, "%s", size < value.size ? "..." : "");
    return q;
}

/* Returns what path_leave needs. What does not fit is left out of the path. */
static size_t path_enter(struct config_reader *r, const char *name)
{
    size_t before = r->path.size;

    buf_printf(&r->path, "%s%s", before > 0 && name[0] != '[' ? "." : "", name);
    return before;
}

static size_t path_enter_index(struct config_reader *r, size_t index)
{
    size_t before = r->path.size;

    buf_printf(&r->path, "[%zu]", index);
    return before;
}

static void path_leave(struct config_reader *r, size_t before)
{
    r->path.size = before;
    r->path.failed = false;
}

/* The text of a single value (empty for none), which the next call overwrites. Put together from its chunks,
 * since libfyaml 0.7's fy_node_get_scalar leaks memory when there are many of them (a quote in quotes makes
 * one), and its fy_token_iter_read puts all in one place. What is too long is marked in r->text. */
static struct slice text_of(struct config_reader *r, struct fy_node *node)
{
    struct fy_token *token = fy_node_get_scalar_token(node);
    struct fy_token_iter *iter = token ? fy_token_iter_create(token) : NULL;
    const struct fy_iter_chunk *chunk = NULL;

    buf_clear(&r->text);
    while (iter && (chunk = fy_token_iter_chunk_next(iter, chunk, NULL)))
        buf_append(&r->text, chunk->str, chunk->len);
    fy_token_iter_destroy(iter);
    return buf_slice(&r->text);
}

/* --- guesses -------------------------------------------------------------------------------------------- */

/* How many letters must change to make one word of the other (Levenshtein). */
static size_t distance(struct slice a, struct slice b)
{
    size_t row[WORD_SIZE_MAX + 1];

    for (size_t i = 0; i <= b.size; i++)
        row[i] = i;
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t k = 0; k < b.size; k++) {
            size_t changed = diagonal + (a.data[i] != b.data[k]);
            diagonal = row[k + 1];
            row[k + 1] = size_min(changed, size_min(diagonal, row[k]) + 1);
        }
    }
    return row[b.size];
}

/* The word that was probably meant, or NULL. */
static const char *closest(struct slice word, const char *const *words, size_t count)
{
    size_t best = 2 + word.size / 4; /* further away is something else */
    const char *found = NULL;

    for (size_t i = 0; i < count && word.size <= WORD_SIZE_MAX; i++) {
        size_t d = strlen(words[i]) <= WORD_SIZE_MAX ? distance(word, slice_of(words[i])) : best;
        if (d < best) {
            best = d;
            found = words[i];
        }
    }
    return found;
}

/* Reports `text`, which is none of the words. */
static void report_word(struct config_reader *r, struct place place, const char *what, struct slice text,
                        const char *const *words, size_t count)
{
    const char *guess = closest(text, words, count);
    struct buf list;

    if (guess) {
        report(r, place, "%s, did you mean \"%s\"?", what, guess);
        return;
    }
    buf_init(&list, 1000);
    for (size_t i = 0; i < count; i++)
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
    report(r, place, "%s, expected one of %.*s", what, SLICE_ARG(buf_slice(&list)));
    buf_fini(&list);
}

/* --- single values -------------------------------------------------------------------------------------- */

static void store_number(const struct config_field *field, uint64_t value, void *ret)
{
    switch (field->size) {
    case 2:
        REQUIRE(value <= UINT16_MAX);
        *(uint16_t *)ret = (uint16_t)value;
        break;
    case 4:
        REQUIRE(value <= UINT32_MAX);
        *(uint32_t *)ret = (uint32_t)value;
        break;
    case 8: *(uint64_t *)ret = value; break;
    default: UNREACHABLE();
    }
}

static uint64_t number_of(const struct config_type *type, const char *text)
{
    uint64_t value = 0;
    REQUIRE(type->read_number(slice_of(text), &value) == 0); /* it stands in a table, not in a file */
    return value;
}

static int read_number(const struct config_field *field, struct slice text, void *ret)
{
    uint64_t value = CONFIG_NONE;
    int status = 0;

    if (!field->may_be_none || !slice_equal(text, SLICE_LITERAL("none"))) {
        status = field->type->read_number(text, &value);
        if (status == 0 &&
            (value < number_of(field->type, field->min) || value > number_of(field->type, field->max)))
            status = -ERANGE;
    }
    if (status == 0)
        store_number(field, value, ret);
    return status;
}

static int read_text(struct config_reader *r, const struct config_field *field, struct slice text, void *ret)
{
    const struct config_value value = {
        .pool = r->pool,
        .folder = r->source->folder,
        .words = field->words,
    };

    return field->type->read_number ? read_number(field, text, ret) : field->type->read(&value, text, ret);
}

static void report_value(struct config_reader *r, const struct config_field *field, struct place place,
                         struct slice text, int status)
{
    const struct config_type *type = field->type;
    struct quoted q = quoted(text);
    size_t words = 0;

    if (type->may_hide_secret) {
        report(r, place, "is not valid, expected %s", type->expected);
    } else if (field->words) {
        char what[sizeof(q) + sizeof("\"\" is not valid")];
        snprintf(what, sizeof(what), "\"%s\" is not valid", q.text);
        while (field->words[words])
            words++;
        report_word(r, place, what, text, field->words, words);
    } else if (status == -ERANGE && field->min) {
        report(r, place, "\"%s\" is out of range, expected %s to %s%s", q.text, field->min, field->max,
               field->may_be_none ? ", or none" : "");
    } else {
        report(r, place, "\"%s\" is %s, expected %s%s", q.text,
               status == -ERANGE ? "out of range" : "not valid", type->expected,
               field->may_be_none ? ", or none" : "");
    }
}

/* Reports a node that is not of the wanted kind. */
static bool is_kind(struct config_reader *r, struct fy_node *node, struct place place,
                    enum fy_node_type wanted, const char *expected)
{
    static const char *const names[] = {
        [FYNT_SCALAR] = "a single value", [FYNT_SEQUENCE] = "a list", [FYNT_MAPPING] = "a map"};

    if (fy_node_is_alias(node)) {
        report(r, place, "is an alias, which is not supported, expected %s", expected);
        return false;
    }
    if (!node || (fy_node_is_scalar(node) && text_of(r, node).size == 0)) {
        report(r, place, "is empty, expected %s", expected);
        return false;
    }
    if (fy_node_get_type(node) != wanted)
        report(r, place, "is %s, expected %s", names[fy_node_get_type(node)], expected);
    return fy_node_get_type(node) == wanted;
}

static void read_scalar(struct config_reader *r, const struct config_field *field, struct fy_node *node,
                        struct place place, void *ret)
{
    struct slice text;
    int status;

    if (!is_kind(r, node, place, FYNT_SCALAR, field->type->expected))
        return;
    text = text_of(r, node);
    status = r->text.failed ? -ERANGE : read_text(r, field, text, ret);
    if (status == -EINVAL || status == -ERANGE)
        report_value(r, field, place, text, status);
}

/* --- maps and lists ------------------------------------------------------------------------------------- */

static void read_map(struct config_reader *r, const struct config_table *table, struct fy_node *node,
                     struct place place, void *object);

static void read_item(struct config_reader *r, const struct config_field *field, struct fy_node *node,
                      struct place place, void *ret)
{
    if (field->table)
        read_map(r, field->table, node, place, ret);
    else
        read_scalar(r, field, node, place, ret);
}

/* Room for the items of a list, zeroed, or NULL. */
static char *list_new(struct config_reader *r, const struct config_field *field, size_t count, char *object)
{
    char *items = config_pool_take(r->pool, count * field->size);

    if (items) {
        *(void **)(object + field->offset) = items;
        *(size_t *)(object + field->count_offset) = count;
    }
    return items;
}

static void read_list(struct config_reader *r, const struct config_field *field, struct fy_node *node,
                      struct place place, char *object)
{
    struct fy_node *item;
    void *at = NULL;
    size_t count;
    char *items;

    if (!is_kind(r, node, place, FYNT_SEQUENCE, "a list"))
        return;
    count = (size_t)fy_node_sequence_item_count(node);
    if (count < field->count_min || count > field->count_max) {
        report(r, place, "has %zu items, expected %zu to %zu", count, field->count_min, field->count_max);
        return;
    }
    items = count > 0 ? list_new(r, field, count, object) : NULL;
    for (size_t i = 0; items && (item = fy_node_sequence_iterate(node, &at)); i++) {
        size_t before = path_enter_index(r, i);
        read_item(r, field, item, place_or(item, place), items + i * field->size);
        path_leave(r, before);
    }
}

static void read_field(struct config_reader *r, const struct config_field *field, struct fy_node *node,
                       struct place key_place, char *object)
{
    struct place place = place_or(node, key_place);

    if (field->given_offset > 0)
        *(bool *)(object + field->given_offset) = true;
    if (field->is_list)
        read_list(r, field, node, place, object);
    else
        read_item(r, field, node, place, object + field->offset);
}

static void preset_map(struct config_reader *r, const struct config_table *table, char *object);

static void preset_field(struct config_reader *r, const struct config_field *field, char *object)
{
    char *member = object + field->offset;
    int status;

    if (field->table && !field->is_list)
        preset_map(r, field->table, member);
    if (!field->preset || (field->is_list && !(member = list_new(r, field, 1, object))))
        return;
    status = read_text(r, field, slice_of(field->preset), member);
    CHECK(status == 0 || status == -ENOMEM);
}

static void preset_map(struct config_reader *r, const struct config_table *table, char *object)
{
    for (size_t i = 0; i < table->count; i++)
        preset_field(r, &table->fields[i], object);
}

/* The field that a key names, or NULL. */
static const struct config_field *find_field(const struct config_table *table, struct slice name)
{
    for (size_t i = 0; i < table->count; i++)
        if (slice_equal(slice_of(table->fields[i].name), name))
            return &table->fields[i];
    return NULL;
}

static void report_unknown(struct config_reader *r, const struct config_table *table, struct slice name,
                           struct place place)
{
    const char *names[CONFIG_FIELDS_MAX];
    size_t before = path_enter(r, quoted(name).text);

    for (size_t i = 0; i < table->count; i++)
        names[i] = table->fields[i].name;
    report_word(r, place, "there is no such field", name, names, table->count);
    path_leave(r, before);
}

/* Reads one "key: value". first_lines: where each field was given before, 0 for not yet. */
static void read_pair(struct config_reader *r, const struct config_table *table, struct fy_node_pair *pair,
                      struct place map_place, int first_lines[CONFIG_FIELDS_MAX], char *object)
{
    struct fy_node *key = fy_node_pair_key(pair);
    struct place place = place_or(key, map_place);
    const struct config_field *field;
    struct slice name;
    size_t before;
    int *first_line;

    if (!is_kind(r, key, place, FYNT_SCALAR, "the name of a field"))
        return;
    name = text_of(r, key);
    field = find_field(table, name);
    if (!field) {
        report_unknown(r, table, name, place);
        return;
    }
    before = path_enter(r, field->name);
    first_line = &first_lines[field - table->fields];
    if (*first_line > 0) {
        report(r, place, "is given twice, first in line %d", *first_line);
    } else {
        *first_line = place.line;
        read_field(r, field, fy_node_pair_value(pair), place, object);
    }
    path_leave(r, before);
}

static const char *expected_of(const struct config_field *field)
{
    return field->is_list ? "a list" : field->table ? "a map" : field->type->expected;
}

static bool is_given(const struct config_table *table, const int first_lines[CONFIG_FIELDS_MAX],
                     const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->fields[i].name, name) == 0)
            return first_lines[i] > 0;
    UNREACHABLE();
}

static void read_absent(struct config_reader *r, const struct config_table *table,
                        const int first_lines[CONFIG_FIELDS_MAX], const struct config_field *field,
                        struct place map_place, char *object)
{
    size_t before;

    preset_field(r, field, object);
    if (!field->required || (field->unless && is_given(table, first_lines, field->unless)))
        return;
    before = path_enter(r, field->name);
    report(r, map_place, "is missing, expected %s", expected_of(field));
    path_leave(r, before);
}

static void check_map(struct config_reader *r, const struct config_table *table, struct fy_node *node,
                      void *object)
{
    struct fy_node *outer = r->at;

    r->at = node;
    table->check(r, object);
    r->at = outer;
}

static void read_map(struct config_reader *r, const struct config_table *table, struct fy_node *node,
                     struct place place, void *object)
{
    int first_lines[CONFIG_FIELDS_MAX] = {0};
    size_t errors_before = r->error_count;
    struct fy_node_pair *pair;
    void *at = NULL;

    REQUIRE(table->count <= CONFIG_FIELDS_MAX);
    if (!is_kind(r, node, place, FYNT_MAPPING, "a map"))
        return;
    while ((pair = fy_node_mapping_iterate(node, &at)))
        read_pair(r, table, pair, place, first_lines, object);
    for (size_t i = 0; i < table->count; i++)
        if (first_lines[i] == 0)
            read_absent(r, table, first_lines, &table->fields[i], place, object);
    if (table->check && r->error_count == errors_before && !r->pool->failed)
        check_map(r, table, node, object);
}

/* --- for checks ----------------------------------------------------------------------------------------- */

static struct fy_node_pair *find_pair(struct config_reader *r, struct fy_node *map, struct slice name)
{
    struct fy_node_pair *pair;
    void *at = NULL;

    while ((pair = fy_node_mapping_iterate(map, &at)))
        if (slice_equal(text_of(r, fy_node_pair_key(pair)), name))
            return pair;
    return NULL;
}

/* Takes one step of a path ("name", "[3]") off *rest, from `node` to what is there, or NULL. *place moves
 * along. */
static struct fy_node *step(struct config_reader *r, struct fy_node *node, struct slice *rest,
                            struct place *place)
{
    struct fy_node_pair *pair;
    uint64_t index = 0;
    struct slice name;

    if (rest->data[0] == '[') {
        size_t end = slice_find(*rest, ']');
        CHECK(slice_to_u64(slice_make(rest->data + 1, end - 1), &index));
        *rest = slice_skip(*rest, end + 1);
        node = fy_node_is_sequence(node) ? fy_node_sequence_get_by_index(node, (int)index) : NULL;
    } else {
        if (rest->data[0] == '.')
            *rest = slice_skip(*rest, 1);
        name = slice_make(rest->data, size_min(slice_find(*rest, '.'), slice_find(*rest, '[')));
        *rest = slice_skip(*rest, name.size);
        pair = fy_node_is_mapping(node) ? find_pair(r, node, name) : NULL;
        *place = place_or(fy_node_pair_key(pair), *place);
        node = fy_node_pair_value(pair);
    }
    *place = place_or(node, *place);
    return node;
}

static struct fy_node *find_node(struct config_reader *r, const char *path, struct place *ret_place)
{
    struct place place = place_or(r->at, start_of_file);
    struct slice rest = slice_of(path);
    struct fy_node *node = r->at;

    while (node && rest.size > 0)
        node = step(r, node, &rest, &place);
    *ret_place = place;
    return node;
}

void config_table_error(struct config_reader *r, const char *path, const char *format, ...)
{
    struct place place;
    size_t before;
    va_list args;

    find_node(r, path, &place);
    before = path_enter(r, path);
    va_start(args, format);
    vreport(r, place, format, args);
    va_end(args);
    path_leave(r, before);
}

bool config_table_has(struct config_reader *r, const char *path)
{
    struct place place;
    return find_node(r, path, &place) != NULL;
}

struct config_pool *config_table_pool(struct config_reader *r)
{
    return r->pool;
}

/* --- the document --------------------------------------------------------------------------------------- */

/* What is refused before the library sees it: bytes that are no text, which can keep it in a loop, and
 * directives, which no configuration needs. */
static bool is_text(struct config_reader *r)
{
    struct slice rest = r->source->text;
    struct place place = start_of_file;

    while (rest.size > 0) {
        size_t size = slice_utf8_sequence(rest);
        char c = rest.data[0];

        if (size == 0 ||
            (size == 1 && ((unsigned char)c < 0x20 || c == 0x7f) && c != '\t' && c != '\r' && c != '\n')) {
            report(r, place, "there is a byte that is no text (0x%02x), expected UTF-8",
                   (unsigned)(unsigned char)c);
            return false;
        }
        if (c == '%' && place.column == 1) {
            report(r, place, "a directive begins, which is not supported");
            return false;
        }
        place = c == '\n' ? (struct place){place.line + 1, 1} : (struct place){place.line, place.column + 1};
        rest = slice_skip(rest, size);
    }
    return true;
}

static void report_syntax(struct config_reader *r, struct fy_diag *diag)
{
    struct fy_diag_error *error;
    size_t before = r->error_count;
    void *at = NULL;

    while ((error = fy_diag_errors_iterate(diag, &at)))
        report(r, (struct place){error->line, error->column}, "this is not YAML: %s", error->msg);
    if (r->error_count == before)
        report(r, start_of_file, "this is not YAML");
}

static struct fy_node *root_of(struct fy_document *document)
{
    return document ? fy_document_root(document) : NULL;
}

static void read_documents(struct config_reader *r, struct fy_parser *parser, struct fy_diag *diag,
                           const struct config_table *table, void *object)
{
    struct fy_document *document = fy_parse_load_document(parser);
    struct fy_document *second = document ? fy_parse_load_document(parser) : NULL;
    struct fy_node *root = root_of(document);

    if (fy_parser_get_stream_error(parser))
        report_syntax(r, diag);
    else if (second)
        report(r, place_or(root_of(second), start_of_file), "a second document begins, expected one");
    else
        read_map(r, table, root, place_or(root, start_of_file), object);
    fy_parse_document_destroy(parser, second);
    fy_parse_document_destroy(parser, document);
}

static int read_source(struct config_reader *r, const struct config_table *table, void *object)
{
    struct fy_diag_cfg diag_options = {.level = FYET_ERROR,
                                       .module_mask = ~0u}; /* no output: errors are collected */
    struct fy_diag *diag = fy_diag_create(&diag_options);
    const struct fy_parse_cfg options = {
        .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_ALLOW_DUPLICATE_KEYS, /* read_pair reports these */
        .diag = diag,
    };
    struct fy_parser *parser = diag ? fy_parser_create(&options) : NULL;
    int status = -ENOMEM;

    if (parser) {
        fy_diag_set_collect_errors(diag, true);
        status = fy_parser_set_string(parser, r->source->text.data, r->source->text.size) ? -ENOMEM : 0;
    }
    if (status == 0)
        read_documents(r, parser, diag, table, object);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return status;
}

int config_table_read(const struct config_source *source, const struct config_table *table,
                      struct config_pool *pool, struct buf *errors, void *object)
{
    struct config_reader r = {.source = source, .pool = pool, .errors = errors};
    int status;

    buf_init(&r.path, PATH_SIZE_MAX);
    buf_init(&r.text, TEXT_SIZE_MAX);
    status = is_text(&r) ? read_source(&r, table, object) : 0;
    buf_fini(&r.path);
    buf_fini(&r.text);
    if (r.error_count > CONFIG_ERRORS_MAX)
        buf_printf(errors, "%s: and %zu more errors\n", source->file, r.error_count - CONFIG_ERRORS_MAX);
    if (status == 0 && pool->failed)
        status = -ENOMEM;
    return status == 0 && r.error_count > 0 ? -EINVAL : status;
}
