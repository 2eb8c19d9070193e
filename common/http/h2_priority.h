/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities as RFC 9218 lets clients state them, in the priority field and in PRIORITY_UPDATE frames. */
#ifndef HTTP_H2_PRIORITY_H
#define HTTP_H2_PRIORITY_H

#include "base/slice.h"

struct h2_priority {
    unsigned char urgency; /* 0 first, 7 last */
    bool is_incremental;   /* a part of it is of use, so that it may share */
};

#define H2_PRIORITY_DEFAULT ((struct h2_priority){.urgency = 3})

/* What the field's value says; what it does not say, or not well, is as by default. */
struct h2_priority h2_priority_parse(struct slice value);

#endif
