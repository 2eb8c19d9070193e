/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena whose files were changed: opened, looked up, walked, written to and closed. The input is a list of
 * changes to a whole arena, each of which may be followed by making the sum right again, as what no sum
 * protects must be judged too. Whatever stands there, nothing is read or written out of place, and the store
 * goes on storing and finding.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "store/arena_tool.h"
#include "store/record.h"
#include "store/store_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REGION_BYTES     ((uint64_t)64 * 1024)
#define REGIONS          6u
#define OBJECTS          12u
#define FILES_MAX        16u
#define INDEX_HEAD_BYTES 4096u
#define INDEX_SUM_OFFSET 32u /* of the head's */
#define ENTRY_BYTES      64u
#define ENTRY_SUM_OFFSET 16u
#define CHANGES_MAX      32u

struct file {
    char name[64];
    uint8_t *data;
    size_t size;
};

static struct file files[FILES_MAX]; /* of the whole arena, and what is made of them */
static unsigned file_count;
static char folder[64];
static struct store_disk disk = {folder, REGIONS *REGION_BYTES};
static const struct store_options options = {.disks = &disk,
                                             .disk_count = 1,
                                             .region_bytes = REGION_BYTES,
                                             .object_bytes_avg = 8192,
                                             .transient_bytes = 1 << 20,
                                             .sync_interval_ms = 3600 * 1000};

/* ---- the store ---- */

static struct store_key key_of(const struct store *s, unsigned number, char text[32])
{
    struct slice slice = {text, (size_t)snprintf(text, 32, "https://site/object-%u", number)};
    return (struct store_key){hash_key(store_hash_secret(s), slice), slice};
}

static void put(struct store *s, unsigned number, size_t size)
{
    static const char body[16384] = "body";
    char text[32];
    struct store_key key = key_of(s, number, text);
    struct store_meta meta = {.site_id = 1, .fresh_until_ms = 1};
    struct store_reservation want = {.head_size_max = 64, .body_size_bytes = size, .hash = key.hash};
    struct store_writer *w;
    if (store_reserve(s, &want, &w) < 0)
        return;
    if (store_write(w, body, size) < 0)
        store_abandon(w);
    else
        store_seal(w, &key, SLICE_LITERAL("head"), &meta);
}

/* Every byte of it is looked at: the sanitizer says whether it may be. */
static bool get(struct store *s, unsigned number)
{
    char text[32];
    struct store_key key = key_of(s, number, text);
    struct store_object o;
    if (!store_lookup(s, &key, &o))
        return false;
    volatile uint64_t sum = hash_sum(o.body, o.body_size_bytes) + hash_sum(o.head.data, o.head.size) +
                            hash_sum(o.key_text.data, o.key_text.size);
    (void)sum;
    REQUIRE(slice_equal(o.key_text, key.text));
    store_release(&o);
    return true;
}

/* ---- files ---- */

static void file_path(const char *name, char ret_path[192])
{
    snprintf(ret_path, 192, "%s/%.100s", folder, name);
}

static void read_one(void *context, const char *name)
{
    (void)context;
    struct stat st;
    char path[192];
    file_path(name, path);
    if (name[0] == '.' || strcmp(name, "lock") == 0 || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    REQUIRE(file_count < FILES_MAX);
    struct file *f = &files[file_count++];
    snprintf(f->name, sizeof(f->name), "%.60s", name);
    f->size = (size_t)st.st_size;
    f->data = malloc(f->size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(f->data && fd >= 0 && read(fd, f->data, f->size) == (ssize_t)f->size);
    close(fd);
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command) != 0)
        abort();
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct file *)left)->name, ((const struct file *)right)->name);
}

/* Made once: a few regions with a few objects, some replaced, one of each size. */
static void make_whole_arena(void)
{
    struct buf error;
    struct store *s;
    snprintf(folder, sizeof(folder), "%s/arena-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder));
    atexit(remove_folder);
    log_set_level(LOG_ERROR + 1);
    buf_init(&error, 1000);
    REQUIRE(store_open(&options, &error, &s) == 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        put(s, i, (size_t)i * 1000);
    put(s, 3, 100);
    store_close(s);
    buf_fini(&error);
    struct folder f = {.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    folder_for_each(&f, read_one, NULL);
    close(f.fd);
    qsort(files, file_count, sizeof(files[0]), compare_names);
}

static void write_file(const struct file *f, const uint8_t *data, size_t size)
{
    char path[192];
    file_path(f->name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* ---- changes ---- */

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned take(struct input *in, unsigned bytes)
{
    unsigned value = 0;
    while (bytes-- > 0) {
        value = value << 8 | (in->size > 0 ? in->data[0] : 0);
        in->data += in->size > 0;
        in->size -= in->size > 0;
    }
    return value;
}

static void set_sum(uint8_t *data, size_t sum_offset)
{
    uint64_t sum = hash_sum(data, sum_offset);
    memcpy(data + sum_offset, &sum, sizeof(sum));
}

static void set_entry_sum(uint8_t *entry)
{
    memset(entry + ENTRY_SUM_OFFSET, 0, 4);
    uint32_t sum = (uint32_t)hash_sum(entry, ENTRY_BYTES);
    memcpy(entry + ENTRY_SUM_OFFSET, &sum, sizeof(sum));
}

/* The n-th place of 64 bytes in `data` where something stands. */
static size_t nth_used(const uint8_t *data, size_t begin, size_t size, unsigned n)
{
    size_t found = begin;
    for (size_t at = begin; at + 192 <= size; at += 64) {
        uint32_t word;
        memcpy(&word, data + at, sizeof(word));
        if (word == 0)
            continue;
        found = at;
        if (n-- == 0)
            break;
    }
    return found;
}

/* One change of a part that the file's kind has, of up to 8 bytes. */
static void change(struct input *in, struct file *f, uint8_t *data)
{
    unsigned what = take(in, 1), offset = take(in, 1), count = take(in, 1) % 9;
    bool is_head = what & 1, is_made_right = what & 2;
    bool is_region = strncmp(f->name, "region-", 7) == 0, is_index = strcmp(f->name, "index") == 0;
    size_t begin = is_head ? 0 : nth_used(data, 4096, f->size, what >> 2);
    for (unsigned i = 0; i < count && begin + offset + i < f->size; i++)
        data[begin + offset + i] = (uint8_t)take(in, 1);
    if (!is_made_right)
        return;
    if (is_region)
        set_sum(data + begin, is_head ? offsetof(struct region_head, sum) : RECORD_HEADER_BYTES - 8);
    else if (is_index && !is_head)
        set_entry_sum(data + begin);
    else if (is_head)
        set_sum(data, is_index ? INDEX_SUM_OFFSET : offsetof(struct superblock, fixed_sum));
}

/* Files as they are changed; one may be missing, or cut short. */
static void make_changed_arena(struct input *in)
{
    unsigned missing = take(in, 1), cut = take(in, 1), count = file_count;
    uint8_t *copies[FILES_MAX];
    REQUIRE(count > 0);
    for (unsigned i = 0; i < count; i++) {
        copies[i] = malloc(files[i].size);
        REQUIRE(copies[i]);
        memcpy(copies[i], files[i].data, files[i].size);
    }
    for (unsigned i = 0; i < CHANGES_MAX && in->size > 0; i++) {
        unsigned which = take(in, 1) % count;
        change(in, &files[which], copies[which]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (missing != i + 1)
            write_file(&files[i], copies[i], cut == i + 1 ? files[i].size / 2 : files[i].size);
        free(copies[i]);
    }
}

static void use(struct store *s)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        get(s, i);
    keeper_recover(s->disks[0]->keeper);
    for (unsigned i = 0; i < OBJECTS; i++)
        get(s, i);
    for (unsigned i = 0; i < 30; i++) /* more than once around */
        put(s, 100 + i, 16384);
    put(s, 200, 50);
    REQUIRE(get(s, 200) || store_disk_at(s, 0) == NULL);
    store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct store *s;
    struct buf error;
    if (file_count == 0)
        make_whole_arena();
    FILE *nowhere = fopen("/dev/null", "we");
    struct folder f = {.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    REQUIRE(nowhere && f.fd >= 0);
    folder_clear(&f);
    make_changed_arena(&in);
    arena_tool("check", folder, nowhere, nowhere);
    buf_init(&error, 1000);
    if (store_open(&options, &error, &s) == 0)
        use(s);
    buf_fini(&error);
    fclose(nowhere);
    close(f.fd);
    return 0;
}
