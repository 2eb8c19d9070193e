/* SPDX-License-Identifier: Apache-2.0 */
/* Databases for tests, which tests/harness/mmdb.py writes. */
#ifndef ROUTE_GEO_FIXTURE_H
#define ROUTE_GEO_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <libgen.h>
#include <stdio.h>

/* The writer stands in this source tree, wherever the test is run. */
static inline void write_database(const char *path, const char *networks)
{
    char source[512], command[768];
    FILE *writer;

    snprintf(source, sizeof(source), "%s", __FILE__);
    snprintf(command, sizeof(command), "python3 '%s/../../tests/harness/mmdb.py' %s", dirname(source), path);
    writer = popen(command, "w"); // NOLINT(cert-env33-c): a path of our own
    assert_non_null(writer);
    fputs(networks, writer);
    assert_int_equal(pclose(writer), 0);
}

#endif
