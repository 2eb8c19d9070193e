/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the dictionary (RFC 8941 section 3.2) as far as "u" and "i" need it: members of other names, and
 * parameters, are skipped. Commas inside of quotes are not understood: who sends such is served as it reads.
 */
#include "h2_priority.h"

static void read_member(struct slice member, struct h2_priority *p)
{
    size_t key_size = slice_find(member, '=');
    struct slice key = slice_make(member.data, key_size), value = slice_skip(member, key_size + 1);

    if (slice_equal(key, SLICE_LITERAL("u"))) {
        if (value.size == 1 && value.data[0] >= '0' && value.data[0] <= '7')
            p->urgency = (unsigned char)(value.data[0] - '0');
    } else if (slice_equal(key, SLICE_LITERAL("i"))) {
        if (key_size == member.size || slice_equal(value, SLICE_LITERAL("?1")))
            p->is_incremental = true;
        else if (slice_equal(value, SLICE_LITERAL("?0")))
            p->is_incremental = false;
    }
}

struct h2_priority h2_priority_parse(struct slice value)
{
    struct h2_priority p = H2_PRIORITY_DEFAULT;
    struct slice member;

    while (slice_split(&value, ',', &member)) {
        member.size = slice_find(member, ';');
        read_member(slice_trim(member), &p);
    }
    return p;
}
