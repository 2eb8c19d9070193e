/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/orphan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static void test_policy(void **state)
{
    static const struct {
        struct orphan orphan;
        bool is_worth;
    } rows[] = {
        {{.is_kept = false, .is_sized = true, .filled_bytes = 9, .extent_bytes = 10, .slice_bytes = MIB},
         false},
        /* little is missing */
        {{true, true, 0, 2 * MIB, MIB, 0, 1}, true},
        {{true, true, 0, 2 * MIB + 1, MIB, 0, 1}, false},
        {{true, true, 1000 * MIB, 1002 * MIB, MIB, 0, 1}, true},
        /* half is there; a quarter will do for what several have asked for */
        {{true, true, 50 * MIB, 100 * MIB, MIB, 0, 1}, true},
        {{true, true, 50 * MIB - 1, 100 * MIB, MIB, 0, 1}, false},
        {{true, true, 25 * MIB, 100 * MIB, MIB, 0, 2}, false},
        {{true, true, 25 * MIB, 100 * MIB, MIB, 0, 3}, true},
        {{true, true, 25 * MIB - 1, 100 * MIB, MIB, 0, 1000}, false},
        /* not gigabytes for nobody: what is there of them stays anyway, in slices */
        {{true, true, 9000 * MIB, 10000 * MIB, MIB, 0, 1000}, false},
        {{true, true, 872 * MIB, 1000 * MIB, MIB, 0, 1}, true},
        /* no known end */
        {{true, false, 100 * MIB, 0, MIB, 8 * MIB - 1, 1}, true},
        {{true, false, 100 * MIB, 0, MIB, 8 * MIB, 1}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (orphan_is_worth_finishing(&rows[i].orphan) != rows[i].is_worth)
            fail_msg("row %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_policy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
