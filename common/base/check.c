/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when an assertion does not hold. Both ends go through the log, so that the reason stands where
 * an operator looks first.
 */
#include "base/check.h"

#include <stdlib.h>

#include "base/counter.h"
#include "base/log.h"

static counter_t failed_count;

_Noreturn void check_fatal(const char *file, int line, const char *what)
{
    log_error("%s:%d: cannot be: %s", file, line, what);
    abort();
}

void check_failed(const char *file, int line, const char *what)
{
    counter_add_shared(&failed_count, 1);
    log_error("%s:%d: check failed: %s", file, line, what);
#ifndef NDEBUG
    abort();
#endif
}

unsigned long check_failed_count(void)
{
    return (unsigned long)counter_read(&failed_count);
}
