/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the machine the process uses. Opened at the start: later the process may not be allowed to open
 * anything.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

struct machine {
    int statm_fd; /* -1: not known */
    uint64_t memory_max_bytes, descriptors_max;
};

/* memory_max_bytes 0: what the control group allows, where there is such a limit. */
void machine_init(struct machine *m, uint64_t memory_max_bytes);
void machine_fini(struct machine *m);

/* Thousandths of the most; 0 where nothing is known. Any thread. Memory: what the process alone occupies, not
 * pages of files, which the system takes back when it needs them. */
uint64_t machine_memory_pressure(const struct machine *m);
uint64_t machine_descriptor_pressure(const struct machine *m);

#endif
