/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the region files of a folder as recovery does, but for people. */
#include "store/arena_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/record.h"

#define ERROR_MAX 500u

struct tool {
    struct folder folder;
    const struct superblock *superblock;
    FILE *out, *err;
    bool verifies, lists;
    uint64_t regions, spares, records, body_bytes, damaged, unreadable;
};

static void see_record(struct tool *t, const struct store_region *region, const struct arena_place *place,
                       const struct record_seen *seen)
{
    t->records++;
    t->body_bytes += seen->body_bytes;
    if (t->verifies && !record_verify(region, place)) {
        t->damaged++;
        fprintf(t->err, "region %" PRIu32 " at %" PRIu64 ": damaged: %.*s\n", place->slot,
                place->offset_bytes, SLICE_ARG(seen->key_text));
    }
    if (t->lists)
        fprintf(t->out, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %.*s\n", place->slot,
                place->offset_bytes, seen->body_bytes, seen->meta.generated_at_ms, seen->meta.fresh_until_ms,
                SLICE_ARG(seen->key_text));
}

static void walk(struct tool *t, const struct store_region *region, struct arena_place place)
{
    struct record_seen seen;
    while (place.offset_bytes < region->size_bytes)
        if (record_examine(region, &place, t->superblock->hash_secret, &seen)) {
            see_record(t, region, &place, &seen);
            place.offset_bytes += seen.span_bytes;
        } else {
            place.offset_bytes += 64;
        }
}

/* Maps the file of a slot. NULL: what is wrong with it. */
static const char *map_region(struct tool *t, uint32_t slot, struct store_region *ret_region)
{
    char name[FOLDER_REGION_NAME_MAX];
    struct stat st;
    folder_region_name(slot, t->superblock->regions[slot].sequence, name);
    int fd = openat(t->folder.fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return "its file cannot be opened";
    bool is_whole = fstat(fd, &st) == 0 && (uint64_t)st.st_size == t->superblock->region_bytes;
    int rv = is_whole ? region_map(ret_region, fd, t->superblock->region_bytes, true) : -EIO;
    if (rv < 0) {
        close(fd);
        return is_whole ? "its file cannot be mapped" : "its file is of another size";
    }
    const struct region_head *head = (const struct region_head *)ret_region->map;
    if (head->arena_id == t->superblock->arena_id && head->slot == slot &&
        head->sequence == t->superblock->regions[slot].sequence)
        return NULL;
    region_unmap(ret_region);
    return "its head is damaged";
}

static void see_region(struct tool *t, uint32_t slot)
{
    const struct superblock_region *entry = &t->superblock->regions[slot];
    struct store_region region = {.fd = -1};
    const char *wrong = map_region(t, slot, &region);
    t->regions++;
    if (!wrong) {
        walk(t, &region, (struct arena_place){slot, entry->sequence, REGION_HEAD_BYTES});
        wrong = region_is_bad(&region) ? "it cannot be read" : NULL;
        region_unmap(&region);
    }
    if (!wrong)
        return;
    t->unreadable++;
    fprintf(t->err, "region %" PRIu32 ": %s\n", slot, wrong);
}

static void see_all(struct tool *t)
{
    for (uint32_t i = 0; i < SUPERBLOCK_REGIONS_MAX; i++) {
        uint32_t state = atomic_load_explicit(&t->superblock->regions[i].state, memory_order_relaxed);
        if (state == REGION_LIVE)
            see_region(t, i);
        t->spares += state == REGION_SPARE;
    }
}

static void print_stat(const struct tool *t)
{
    const struct superblock *sb = t->superblock;
    uint64_t unsynced = 0;
    for (uint32_t i = 0; i < SUPERBLOCK_REGIONS_MAX; i++)
        unsynced += sb->regions[i].state == REGION_LIVE && superblock_synced(sb, i) != sb->region_bytes;
    fprintf(t->out,
            "format version   %" PRIu32 "\n"
            "left             %s\n"
            "recovery         %s%s%s\n"
            "region bytes     %" PRIu64 "\n"
            "regions          %" PRIu64 " in use, %" PRIu64 " spare, %" PRIu64 " not marked whole\n"
            "records          %" PRIu64 " with %" PRIu64 " bytes of bodies\n",
            sb->version, sb->clean ? "clean" : "in use when it ended",
            sb->recovery & RECOVERY_VERIFY ? "verify " : "", sb->recovery & RECOVERY_INDEX ? "index" : "",
            sb->recovery ? "" : "nothing to do", sb->region_bytes, t->regions, t->spares, unsynced,
            t->records, t->body_bytes);
}

static int look(struct tool *t, const char *what)
{
    t->verifies = strcmp(what, "check") == 0;
    t->lists = strcmp(what, "dump") == 0;
    see_all(t);
    if (strcmp(what, "stat") == 0)
        print_stat(t);
    if (t->verifies)
        fprintf(t->out,
                "%" PRIu64 " regions, %" PRIu64 " cannot be read; %" PRIu64 " records, %" PRIu64 " damaged\n",
                t->regions, t->unreadable, t->records, t->damaged);
    return t->damaged || t->unreadable ? 1 : 0;
}

int arena_tool(const char *what, const char *path, FILE *out, FILE *err)
{
    struct tool t = {.out = out, .err = err};
    struct buf error;
    const char *reason;
    if (strcmp(what, "stat") != 0 && strcmp(what, "check") != 0 && strcmp(what, "dump") != 0)
        return 2;
    buf_init(&error, ERROR_MAX);
    if (folder_open_to_look(path, &error, &t.folder) < 0) {
        fprintf(err, "%.*s\n", SLICE_ARG(buf_slice(&error)));
        buf_fini(&error);
        return 1;
    }
    buf_fini(&error);
    struct superblock *sb = superblock_read(&t.folder, &reason);
    int status = 1;
    t.superblock = sb;
    if (sb)
        status = look(&t, what);
    else
        fprintf(err, "arena %s: %s\n", path, reason);
    free(sb);
    folder_close(&t.folder);
    return status;
}
