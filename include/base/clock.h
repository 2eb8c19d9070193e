/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two clocks. Monotonic time is for deadlines; wall time is for Date, Age and what is kept across
 * restarts. Pure code takes time as a parameter and never calls these.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_us(void);
uint64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); /* since the epoch */

#endif
