/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into an arena that no edge is using, and changes nothing:
 *
 *   stat   what it is, how it was left, how much is in it
 *   check  reads all of it and compares every sum
 *   dump   one line for each record: slot, offset, body size, when made and until when fresh, key
 */
#ifndef STORE_ARENA_TOOL_H
#define STORE_ARENA_TOOL_H

#include <stdio.h>

/* The exit status: 0; 1 when something is damaged or cannot be read (said on `err`); 2 when `what` is none of
 * the words. */
int arena_tool(const char *what, const char *path, FILE *out, FILE *err);

#endif
