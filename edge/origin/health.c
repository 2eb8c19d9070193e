/* SPDX-License-Identifier: Apache-2.0 */
/* See health.h. */
#include "origin/health.h"

#define DOUBLINGS_MAX 32

bool health_is_usable(const struct health *h, uint64_t now_ms)
{
    return !atomic_load_explicit(&h->is_ill, memory_order_relaxed) &&
           now_ms >= atomic_load_explicit(&h->ejected_until_ms, memory_order_relaxed);
}

static uint64_t ejection_ms(const struct config_origin_ejection *rules, unsigned earlier)
{
    uint64_t duration_ms = rules->first_ms;
    for (unsigned i = 0; i < earlier && i < DOUBLINGS_MAX && duration_ms < rules->longest_ms; i++)
        duration_ms *= 2;
    return duration_ms < rules->longest_ms ? duration_ms : rules->longest_ms;
}

/* What is asked although it is ejected (there was no other) does not make it worse, and what answers is back
 * at once. */
bool health_report(struct health *h, const struct config_origin_ejection *rules, bool is_good,
                   uint64_t now_ms)
{
    uint64_t until_ms = atomic_load(&h->ejected_until_ms);
    unsigned ejections = atomic_load(&h->ejections);
    if (is_good) {
        if (atomic_load(&h->errors) != 0) /* the common case writes nothing, so that workers share the line */
            atomic_store(&h->errors, 0);
        if (now_ms < until_ms)
            atomic_store(&h->ejected_until_ms, 0);
        else if (ejections > 0 && now_ms - until_ms >= ejection_ms(rules, ejections))
            atomic_store(&h->ejections, 0); /* well for as long as it would be ejected next time */
        return false;
    }
    if (now_ms < until_ms || atomic_fetch_add(&h->errors, 1) + 1 < rules->consecutive_errors)
        return false;
    until_ms = now_ms + ejection_ms(rules, ejections);
    atomic_store(&h->ejected_until_ms, until_ms);
    atomic_store(&h->ejections, ejections + 1);
    atomic_store(&h->errors, rules->consecutive_errors - 1); /* when it comes back one error will do */
    return true;
}

bool health_report_check(struct health *h, const struct config_origin_check *rules, bool is_good)
{
    bool was_ill = atomic_load(&h->is_ill);
    h->checks_good = is_good ? h->checks_good + 1 : 0;
    h->checks_bad = is_good ? 0 : h->checks_bad + 1;
    bool is_ill = was_ill ? h->checks_good < rules->healthy : h->checks_bad >= rules->unhealthy;
    atomic_store(&h->is_ill, is_ill);
    return is_ill != was_ill;
}
