/* SPDX-License-Identifier: Apache-2.0 */
/* Priority values as clients send them, and as they should not. */
#include "h2_priority.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/check.h"

static void test_values(void **state)
{
    static const struct {
        const char *value;
        unsigned char urgency;
        bool is_incremental;
    } cases[] = {
        {"", 3, false},
        {"u=0", 0, false},
        {"u=7, i", 7, true},
        {"i", 3, true},
        {"i=?1,u=1", 1, true},
        {"i, i=?0", 3, false},
        {"\tu=5 , i=?1 ", 5, true},
        {"u=2;a=b, i;c", 2, true},
        {"u=1, u=4", 4, false},
        {"x=9, uu=1, u=6, ii", 6, false},
        {"u=8", 3, false},
        {"u=-1", 3, false},
        {"u=12", 3, false},
        {"u=", 3, false},
        {"u", 3, false},
        {"U=1, I", 3, false},
        {"i=1", 3, false},
        {",,;,=", 3, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct h2_priority p = h2_priority_parse(slice_of(cases[i].value));

        if (p.urgency != cases[i].urgency || p.is_incremental != cases[i].is_incremental)
            fail_msg("'%s': u=%u i=%d", cases[i].value, p.urgency, p.is_incremental);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
