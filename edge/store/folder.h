/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena's folder: made when missing, locked against a second process, and cleared of our files (never of
 * others') when what it holds cannot be used.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include <stdint.h>

#include "base/buf.h"

struct folder {
    char *path; /* for messages */
    int fd;
    int lock_fd;
};

/* 0, -EBUSY, or what the system said; a sentence in `error`. */
int folder_open(const char *path, struct buf *error, struct folder *ret_folder);

/* The same for whoever only looks: it must be there, and may be shared with others who look. */
int folder_open_to_look(const char *path, struct buf *error, struct folder *ret_folder);
void folder_close(struct folder *f);

/* Removes superblock, index and region files. */
void folder_clear(struct folder *f);

/* Moves them into the folder "set-aside" within, instead of what is there; when the file system then has less
 * than `room_bytes` free they are removed after all. True if they are there. */
bool folder_set_aside(struct folder *f, uint64_t room_bytes);

/* Creates `name` (in place of what is there), zero filled, with its blocks taken. An fd or a negative errno.
 */
int folder_create_file(struct folder *f, const char *name, uint64_t size_bytes);

/* Maps all of a file, writable. NULL, with errno, on failure. */
void *folder_map_file(int fd, uint64_t size_bytes);

/* Names of region files tell slot and sequence, so that a file nobody knows of can be told from one in use.
 */
#define FOLDER_REGION_NAME_MAX 48
void folder_region_name(uint32_t slot, uint32_t sequence, char ret_name[FOLDER_REGION_NAME_MAX]);
bool folder_parse_region_name(const char *name, uint32_t *ret_slot, uint32_t *ret_sequence);

/* Calls back for each name in the folder. */
typedef void (*folder_name_fn)(void *context, const char *name);
void folder_for_each(struct folder *f, folder_name_fn each, void *context);

#endif
