/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address to place. Hides libmaxminddb. The database is copied into memory that nobody else can reach: the
 * library maps the file it is given, and a file that an updater writes over in place would otherwise change,
 * or end (SIGBUS), under a lookup.
 */
#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "route/route.h"

#define DATABASE_SIZE_MAX (1ull << 30)
#define FIELD_DEPTH_MAX   8
#define FIELD_SIZE_MAX    128
#define PROBES_MAX        100000 /* records looked at in search of one that has the country */

struct geo {
    bool has_database;
    MMDB_s database;
    char field_text[FIELD_SIZE_MAX];             /* the country's field, NUL where the dots were */
    const char *field_path[FIELD_DEPTH_MAX + 1]; /* its parts, then NULL, as MMDB_aget_value wants it */
    size_t override_count;
    struct geo_override overrides[]; /* longest prefix first */
};

static int fail(struct buf *error, int result, const char *path, const char *what)
{
    buf_printf(error, "GeoIP database %s: %s", path, what);
    return result;
}

/* The file's content in a memfd, or a negative errno. */
static int copy_into_memory(const char *path)
{
    int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to = -1, result = 0; /* a FIFO must not block */
    struct stat status;
    uint64_t left = 0;

    if (from < 0)
        return -errno;
    if (fstat(from, &status) < 0 || (to = memfd_create("geoip", MFD_CLOEXEC)) < 0)
        result = -errno;
    else if (!S_ISREG(status.st_mode))
        result = -ENODEV;
    else if ((left = (uint64_t)status.st_size) > DATABASE_SIZE_MAX)
        result = -EFBIG;
    while (result == 0 && left > 0) {
        ssize_t sent = sendfile(to, from, NULL, left);

        if (sent < 0 && errno != EINTR)
            result = -errno;
        if (sent == 0) /* it has become shorter */
            break;
        left -= sent > 0 ? (uint64_t)sent : 0;
    }
    close(from);
    if (result < 0 && to >= 0)
        close(to);
    return result < 0 ? result : to;
}

static int open_database(struct geo *g, const char *path, struct buf *error)
{
    char memory_path[32];
    int fd = copy_into_memory(path), result;

    if (fd < 0)
        return fail(error, fd, path, fd == -ENODEV ? "not a file" : strerror(-fd));
    snprintf(memory_path, sizeof(memory_path), "/proc/self/fd/%d", fd);
    result = MMDB_open(memory_path, MMDB_MODE_MMAP, &g->database);
    close(fd); /* the map holds the memory */
    if (result == MMDB_OUT_OF_MEMORY_ERROR)
        return fail(error, -ENOMEM, path, MMDB_strerror(result));
    if (result != MMDB_SUCCESS)
        return fail(error, -EINVAL, path, MMDB_strerror(result));
    g->has_database = true;
    return 0;
}

static bool split_field(struct geo *g, const char *field)
{
    struct slice rest = slice_of(field), part;
    size_t depth = 0;
    char *to = g->field_text;

    if (rest.size >= sizeof(g->field_text))
        return false;
    while (slice_split(&rest, '.', &part)) {
        if (depth == FIELD_DEPTH_MAX || part.size == 0)
            return false;
        g->field_path[depth++] = to;
        memcpy(to, part.data, part.size);
        to += part.size;
        *to++ = '\0';
    }
    return true;
}

/* Lower case occurs in databases of their own making; "ZZ" is how some say that they do not know. */
static bool read_country(const MMDB_entry_data_s *value, char ret_country[3])
{
    char code[3] = "";

    if (!value->has_data || value->type != MMDB_DATA_TYPE_UTF8_STRING || value->data_size != 2)
        return false;
    for (int i = 0; i < 2; i++) {
        code[i] = (char)(value->utf8_string[i] & ~0x20);
        if (code[i] < 'A' || code[i] > 'Z')
            return false;
    }
    if (strcmp(code, "ZZ") == 0)
        return false;
    memcpy(ret_country, code, sizeof(code));
    return true;
}

static bool entry_country(const struct geo *g, MMDB_entry_s *entry, char ret_country[3])
{
    MMDB_entry_data_s value;

    return MMDB_aget_value(entry, &value, g->field_path) == MMDB_SUCCESS && read_country(&value, ret_country);
}

static bool entry_number(MMDB_entry_s *entry, const char *const *path, double magnitude_max,
                         double *ret_number)
{
    MMDB_entry_data_s value;
    double number;

    if (MMDB_aget_value(entry, &value, path) != MMDB_SUCCESS || !value.has_data)
        return false;
    if (value.type != MMDB_DATA_TYPE_DOUBLE && value.type != MMDB_DATA_TYPE_FLOAT)
        return false;
    number = value.type == MMDB_DATA_TYPE_DOUBLE ? value.double_value : value.float_value;
    if (!(number >= -magnitude_max && number <= magnitude_max)) /* not a number is neither */
        return false;
    *ret_number = number;
    return true;
}

static bool has_country(struct geo *g, uint8_t record_type, MMDB_entry_s *entry)
{
    char country[3];

    return record_type == MMDB_RECORD_TYPE_DATA && entry_country(g, entry, country);
}

/* A field that no record has is a mistake in the configuration, to be told at the start: later it would look
 * like a world of unknown places. */
static int probe_country(struct geo *g, const char *path, const char *field, struct buf *error)
{
    uint32_t count = g->database.metadata.node_count;
    MMDB_search_node_s node;

    for (uint32_t i = 0; i < count && i < PROBES_MAX; i++) {
        int result = MMDB_read_node(&g->database, i, &node);

        if (result != MMDB_SUCCESS)
            return fail(error, -EINVAL, path, MMDB_strerror(result));
        if (node.left_record_type == MMDB_RECORD_TYPE_INVALID ||
            node.right_record_type == MMDB_RECORD_TYPE_INVALID)
            return fail(error, -EINVAL, path, MMDB_strerror(MMDB_CORRUPT_SEARCH_TREE_ERROR));
        if (has_country(g, node.left_record_type, &node.left_record_entry) ||
            has_country(g, node.right_record_type, &node.right_record_entry))
            return 0;
    }
    buf_printf(error, "GeoIP database %s: no record has a country code in the field '%s' (its type is %s)",
               path, field, g->database.metadata.database_type);
    return -EINVAL;
}

static int compare_overrides(const void *a, const void *b)
{
    const struct geo_override *x = a, *y = b;

    return (int)y->prefix.bits - (int)x->prefix.bits;
}

int geo_open(const char *path, const char *country_field, const struct geo_override *overrides, size_t count,
             struct buf *error, struct geo **ret_geo)
{
    struct geo *g = calloc(1, sizeof(*g) + count * sizeof(*overrides));
    int result = 0;

    if (!g) {
        buf_append_text(error, "GeoIP: out of memory");
        return -ENOMEM;
    }
    g->override_count = count;
    if (count > 0) {
        memcpy(g->overrides, overrides, count * sizeof(*overrides));
        qsort(g->overrides, count, sizeof(*overrides), compare_overrides);
    }
    if (path && !split_field(g, country_field))
        result = fail(error, -EINVAL, path, "the country's field is no dotted path");
    else if (path)
        result = open_database(g, path, error);
    if (result == 0 && path)
        result = probe_country(g, path, country_field, error);
    if (result < 0) {
        geo_close(g);
        return result;
    }
    *ret_geo = g;
    return 0;
}

void geo_close(struct geo *g)
{
    if (!g)
        return;
    if (g->has_database)
        MMDB_close(&g->database);
    free(g);
}

int64_t geo_built_s(const struct geo *g)
{
    return g->has_database ? (int64_t)g->database.metadata.build_epoch : 0;
}

static void lookup_database(const struct geo *g, const struct addr *a, struct place *place)
{
    static const char *const latitude_path[] = {"location", "latitude", NULL};
    static const char *const longitude_path[] = {"location", "longitude", NULL};
    struct sockaddr_storage sa;
    MMDB_lookup_result_s found;
    int result;

    addr_to_sockaddr(a, &sa);
    found = MMDB_lookup_sockaddr(&g->database, (const struct sockaddr *)&sa, &result);
    if (result != MMDB_SUCCESS || !found.found_entry) /* damaged there, or not in it: unknown either way */
        return;
    entry_country(g, &found.entry, place->country);
    place->has_coordinates = entry_number(&found.entry, latitude_path, 90, &place->latitude) &&
                             entry_number(&found.entry, longitude_path, 180, &place->longitude);
}

bool geo_lookup(const struct geo *g, const struct addr *a, struct place *ret_place)
{
    struct place place = {.country = ""};
    size_t i = 0;

    while (i < g->override_count && !addr_prefix_contains(&g->overrides[i].prefix, a))
        i++;
    if (i < g->override_count)
        place = g->overrides[i].place;
    else if (g->has_database)
        lookup_database(g, a, &place);
    *ret_place = place;
    return place.country[0] != '\0' || place.has_coordinates;
}
