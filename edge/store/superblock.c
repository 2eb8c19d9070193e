/* SPDX-License-Identifier: Apache-2.0 */
/* Makes, judges, maps and marks the superblock. */
#include "store/superblock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guard.h"

static const char superblock_magic[8] = "SHOREARN";

_Static_assert(offsetof(struct superblock, regions) == 4096, "the region table begins on a page");
_Static_assert(sizeof(struct superblock_region) == 32, "two to a cache line");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "atomics in a mapped file must be plain words");

/* Half of the sequence numbers: the other half lasts for longer than a process runs. */
#define SEQUENCE_OPEN_MAX (UINT32_MAX / 2)

/* More than can be given out between two syncs of the superblock. */
#define SEQUENCES_LOST_MAX 65536u

/* For all that are open: which one was truncated underneath, its magic tells, as zeros take the map's place.
 */
static _Atomic bool is_any_lost;

static void superblock_unmap(struct superblock *sb)
{
    guard_remove(sb);
    munmap(sb, sizeof(*sb));
}

/* Empty where there is no such file: any boot may then be another one. 0 or a negative errno. */
static int boot_id_read(char ret_id[BOOT_ID_SIZE])
{
    char id[BOOT_ID_SIZE] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    ssize_t n = fd < 0 ? 0 : read(fd, id, BOOT_ID_SIZE - 1);
    int rv = n < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (rv == 0)
        memcpy(ret_id, id, BOOT_ID_SIZE);
    return rv;
}

static uint64_t fixed_sum(const struct superblock *sb)
{
    return hash_sum(sb, offsetof(struct superblock, fixed_sum));
}

static const char *format_judge(const struct superblock *sb)
{
    if (memcmp(sb->magic, superblock_magic, sizeof(superblock_magic)) != 0)
        return "its superblock is not one of ours, or damaged";
    if (sb->byte_order != ARENA_BYTE_ORDER)
        return "it was made on a machine of another byte order";
    if (sb->version != ARENA_FORMAT_VERSION)
        return "it is of another format version";
    if (sb->fixed_sum != fixed_sum(sb))
        return "its superblock is damaged";
    return NULL;
}

static const char *superblock_judge(const struct superblock *sb, uint64_t region_bytes)
{
    const char *reason = format_judge(sb);
    if (reason)
        return reason;
    if (sb->region_bytes != region_bytes)
        return "it was made with another region size";
    if (sb->next_sequence > SEQUENCE_OPEN_MAX)
        return "its sequence numbers are used up";
    return NULL;
}

int superblock_probe(struct folder *f, uint64_t region_bytes, const char **ret_reason, uint64_t *ret_arena_id)
{
    int fd = openat(f->fd, "superblock", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    *ret_reason = "";
    if (fd < 0)
        return 0;
    struct superblock *sb = malloc(sizeof(*sb));
    ssize_t n = sb ? pread(fd, sb, sizeof(*sb), 0) : -1;
    int rv = !sb ? -ENOMEM : n < 0 ? -errno : 0;
    if (rv == 0)
        *ret_reason =
            n == (ssize_t)sizeof(*sb) ? superblock_judge(sb, region_bytes) : "its superblock is cut short";
    if (rv == 0 && !*ret_reason)
        *ret_arena_id = sb->arena_id;
    free(sb);
    close(fd);
    return rv;
}

struct superblock *superblock_read(struct folder *f, const char **ret_reason)
{
    struct superblock *sb = malloc(sizeof(*sb));
    int fd = openat(f->fd, "superblock", O_RDONLY | O_CLOEXEC);
    const char *reason = "it has no superblock, or one that cannot be read";
    if (sb && fd >= 0 && pread(fd, sb, sizeof(*sb), 0) == (ssize_t)sizeof(*sb))
        reason = format_judge(sb);
    if (fd >= 0)
        close(fd);
    if (!reason)
        return sb;
    *ret_reason = reason;
    free(sb);
    return NULL;
}

bool superblock_is_foreign(struct folder *f)
{
    struct {
        char magic[8];
        uint32_t version, byte_order;
    } head; /* stands there in every version */
    const size_t size = sizeof(head);
    int fd = openat(f->fd, "superblock", O_RDONLY | O_CLOEXEC);
    bool is_read = fd >= 0 && pread(fd, &head, size, 0) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return is_read && memcmp(head.magic, superblock_magic, sizeof(superblock_magic)) == 0 &&
           (head.version != ARENA_FORMAT_VERSION || head.byte_order != ARENA_BYTE_ORDER);
}

/* NULL, with errno, on failure. */
static struct superblock *superblock_map(struct folder *f, bool is_new)
{
    int fd = is_new ? folder_create_file(f, "superblock", sizeof(struct superblock))
                    : openat(f->fd, "superblock", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        errno = is_new ? -fd : errno;
        return NULL;
    }
    struct superblock *sb = folder_map_file(fd, sizeof(*sb));
    int error = errno;
    close(fd);
    if (sb && !guard_add(sb, sizeof(*sb), true, &is_any_lost)) {
        munmap(sb, sizeof(*sb));
        sb = NULL;
        error = ENOMEM;
    }
    errno = error;
    return sb;
}

static void superblock_make(struct superblock *sb, uint64_t region_bytes,
                            const uint8_t hash_secret[HASH_SECRET_SIZE])
{
    sb->version = ARENA_FORMAT_VERSION;
    sb->byte_order = ARENA_BYTE_ORDER;
    sb->region_bytes = region_bytes;
    memcpy(sb->hash_secret, hash_secret, HASH_SECRET_SIZE);
    uint8_t random[HASH_SECRET_SIZE];
    hash_secret_new(random);
    memcpy(&sb->arena_id, random, sizeof(sb->arena_id));
    sb->next_sequence = 1;
    memcpy(sb->magic, superblock_magic, sizeof(superblock_magic));
    sb->fixed_sum = fixed_sum(sb);
}

static enum superblock_left how_left(const struct superblock *sb, const char boot_id[BOOT_ID_SIZE])
{
    if (sb->recovery & RECOVERY_VERIFY)
        return LEFT_BY_POWER_LOSS; /* which had not been seen to yet */
    if (sb->clean)
        return LEFT_CLEAN;
    bool is_same_boot = boot_id[0] != '\0' && memcmp(sb->boot_id, boot_id, BOOT_ID_SIZE) == 0;
    return is_same_boot ? LEFT_BY_KILL : LEFT_BY_POWER_LOSS;
}

static void skip_sequence(void *context, const char *name)
{
    struct superblock *sb = context;
    uint32_t slot, sequence;
    if (folder_parse_region_name(name, &slot, &sequence) && sequence >= sb->next_sequence &&
        sequence < SEQUENCE_OPEN_MAX)
        sb->next_sequence = sequence + 1;
}

static void mark_open(struct folder *f, struct superblock *sb, const char boot_id[BOOT_ID_SIZE],
                      enum superblock_left left)
{
    if (left == LEFT_BY_POWER_LOSS) {
        folder_for_each(f, skip_sequence, sb);
        sb->next_sequence += SEQUENCES_LOST_MAX;
        sb->recovery |= RECOVERY_VERIFY;
    }
    memcpy(sb->boot_id, boot_id, BOOT_ID_SIZE);
    sb->clean = 0;
}

int superblock_open(struct folder *f, uint64_t region_bytes, const uint8_t hash_secret[HASH_SECRET_SIZE],
                    struct superblock **ret_superblock, enum superblock_left *ret_left)
{
    char boot_id[BOOT_ID_SIZE] = "";
    int rv = boot_id_read(boot_id);
    if (rv < 0)
        return rv;
    bool is_new = faccessat(f->fd, "superblock", F_OK, 0) < 0;
    struct superblock *sb = superblock_map(f, is_new);
    if (!sb)
        return -errno;
    if (is_new)
        superblock_make(sb, region_bytes, hash_secret);
    enum superblock_left left = is_new ? LEFT_CLEAN : how_left(sb, boot_id);
    mark_open(f, sb, boot_id, left);
    if (!superblock_sync(sb) || fsync(f->fd) < 0) {
        rv = errno ? -errno : -EIO;
        superblock_unmap(sb);
        return rv;
    }
    *ret_superblock = sb;
    *ret_left = left;
    return 0;
}

/* ---- marks ---- */

static uint32_t synced_check(const struct superblock *sb, uint32_t slot)
{
    const struct superblock_region *entry = &sb->regions[slot];
    uint64_t said[] = {sb->arena_id, slot, entry->sequence, entry->synced_bytes};
    return (uint32_t)hash_sum(said, sizeof(said));
}

uint64_t superblock_synced(const struct superblock *sb, uint32_t slot)
{
    const struct superblock_region *entry = &sb->regions[slot];
    bool is_true = entry->synced_bytes > REGION_HEAD_BYTES && entry->synced_bytes <= sb->region_bytes &&
                   entry->synced_check == synced_check(sb, slot);
    return is_true ? entry->synced_bytes : REGION_HEAD_BYTES;
}

void superblock_set_synced(struct superblock *sb, uint32_t slot, uint64_t synced_bytes)
{
    sb->regions[slot].synced_bytes = synced_bytes;
    sb->regions[slot].synced_check = synced_check(sb, slot);
}

bool superblock_sync(struct superblock *sb)
{
    return msync(sb, sizeof(*sb), MS_SYNC) == 0 &&
           memcmp(sb->magic, superblock_magic, sizeof(superblock_magic)) == 0;
}

int superblock_forget_index(struct superblock *sb)
{
    for (uint32_t i = 0; i < SUPERBLOCK_REGIONS_MAX; i++)
        atomic_store_explicit(&sb->regions[i].objects, 0, memory_order_relaxed);
    sb->recovery |= RECOVERY_INDEX;
    return superblock_sync(sb) ? 0 : -EIO;
}

void superblock_close(struct superblock *sb, bool synced)
{
    if (synced && superblock_sync(sb)) {
        sb->clean = 1;
        msync(sb, 4096, MS_SYNC);
    }
    superblock_unmap(sb);
}
