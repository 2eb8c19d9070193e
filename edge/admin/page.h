/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that shows /stats to a person.
 */
#ifndef ADMIN_PAGE_H
#define ADMIN_PAGE_H

#include "base/slice.h"

/* Its style and script stand in it, and it asks nobody but the edge. */
#define PAGE_CONTENT_POLICY                                                                           \
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; " \
    "img-src data:; "                                                                                 \
    "frame-ancestors 'none'"

struct slice page_html(void);

#endif
