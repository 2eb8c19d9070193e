/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points: named places where the world can be made to fail on request, in debug builds only. A test
 * arms a point; FAULT("store.pwrite") is then true at the n-th pass. In release builds FAULT is the constant
 * false. A gate is a point that can be shut and opened from outside while the program runs.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>

/* Arms `name` to fire at its `nth` pass from now (1 is the next) and, when repeat, at each one after. */
void fault_arm(const char *name, unsigned nth, bool repeat);
void fault_disarm_all(void);

/* Arms what the text says: "name:nth[:repeat],...", as the environment variable SHOREBREAK_FAULTS is given.
 */
void fault_arm_from_text(const char *text);
bool fault_fires(const char *name);
void fault_hang(const char *name); /* when it fires: until fault_disarm_all */

/* Whether what passes here must wait: while a file of this name stands in the folder that the environment
 * variable SHOREBREAK_FAULT_GATES names. So a test makes a disk that answers when it is told to. */
bool fault_gate_is_shut(const char *name);

#ifdef NDEBUG
#define FAULT(name)      false
#define FAULT_GATE(name) false
#define FAULT_HANG(name) ((void)0)
#else
#define FAULT(name)      fault_fires(name)
#define FAULT_GATE(name) fault_gate_is_shut(name)
#define FAULT_HANG(name) fault_hang(name)
#endif

#endif
