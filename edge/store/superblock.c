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

static const char superblock_magic[8] = "SHOREARN";

_Static_assert(offsetof(struct superblock, regions) == 4096, "the region table begins on a page");
_Static_assert(sizeof(struct superblock_region) == 32, "two to a cache line");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "atomics in a mapped file must be plain words");

/* Half of the sequence numbers: the other half lasts for longer than a process runs. */
#define SEQUENCE_OPEN_MAX (UINT32_MAX / 2)

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

static const char *superblock_judge(const struct superblock *sb, uint64_t region_bytes,
                                    const char boot_id[BOOT_ID_SIZE])
{
    if (memcmp(sb->magic, superblock_magic, sizeof(superblock_magic)) != 0)
        return "its superblock is not one of ours, or damaged";
    if (sb->byte_order != ARENA_BYTE_ORDER)
        return "it was made on a machine of another byte order";
    if (sb->version != ARENA_FORMAT_VERSION)
        return "it is of another format version";
    if (sb->fixed_sum != fixed_sum(sb))
        return "its superblock is damaged";
    if (sb->region_bytes != region_bytes)
        return "it was made with another region size";
    if (sb->next_sequence > SEQUENCE_OPEN_MAX)
        return "its sequence numbers are used up";
    if (!sb->clean && (boot_id[0] == '\0' || memcmp(sb->boot_id, boot_id, BOOT_ID_SIZE) != 0))
        return "the machine went down while it was in use, and it is not known what reached the disk";
    return NULL;
}

int superblock_probe(struct folder *f, uint64_t region_bytes, const char **ret_reason, uint64_t *ret_arena_id)
{
    char boot_id[BOOT_ID_SIZE] = "";
    int rv = boot_id_read(boot_id);
    if (rv < 0)
        return rv;
    int fd = openat(f->fd, "superblock", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return -errno;
    *ret_reason = "";
    if (fd < 0)
        return 0;
    struct superblock *sb = malloc(sizeof(*sb));
    ssize_t n = sb ? pread(fd, sb, sizeof(*sb), 0) : -1;
    rv = !sb ? -ENOMEM : n < 0 ? -errno : 0;
    if (rv == 0)
        *ret_reason = n == (ssize_t)sizeof(*sb) ? superblock_judge(sb, region_bytes, boot_id)
                                                : "its superblock is cut short";
    if (rv == 0 && !*ret_reason)
        *ret_arena_id = sb->arena_id;
    free(sb);
    close(fd);
    return rv;
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
    errno = error;
    return sb;
}

static void superblock_make(struct superblock *sb, uint64_t region_bytes)
{
    sb->version = ARENA_FORMAT_VERSION;
    sb->byte_order = ARENA_BYTE_ORDER;
    sb->region_bytes = region_bytes;
    hash_secret_new(sb->hash_secret);
    uint8_t random[HASH_SECRET_SIZE];
    hash_secret_new(random);
    memcpy(&sb->arena_id, random, sizeof(sb->arena_id));
    sb->next_sequence = 1;
    memcpy(sb->magic, superblock_magic, sizeof(superblock_magic));
    sb->fixed_sum = fixed_sum(sb);
}

int superblock_open(struct folder *f, uint64_t region_bytes, struct superblock **ret_superblock,
                    bool *ret_was_clean)
{
    bool is_new = faccessat(f->fd, "superblock", F_OK, 0) < 0;
    struct superblock *sb = superblock_map(f, is_new);
    if (!sb)
        return -errno;
    if (is_new)
        superblock_make(sb, region_bytes);
    bool was_clean = sb->clean != 0;
    sb->clean = 0;
    int rv = boot_id_read(sb->boot_id);
    if (rv == 0 && (msync(sb, sizeof(*sb), MS_SYNC) < 0 || fsync(f->fd) < 0))
        rv = -errno;
    if (rv < 0) {
        munmap(sb, sizeof(*sb));
        return rv;
    }
    *ret_superblock = sb;
    *ret_was_clean = was_clean;
    return 0;
}

void superblock_close(struct superblock *sb, bool synced)
{
    if (synced && msync(sb, sizeof(*sb), MS_SYNC) == 0) {
        sb->clean = 1;
        msync(sb, 4096, MS_SYNC);
    }
    munmap(sb, sizeof(*sb));
}
