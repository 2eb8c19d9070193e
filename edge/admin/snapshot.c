/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the counters of all workers.
 */
#include "admin/snapshot.h"

#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"

static void add_server(struct snapshot *s, const struct http_server_stats *server)
{
    s->connections_closed += counter_read(&server->connections_closed);
    s->connections_opened += counter_read(&server->connections_opened);
    s->server_requests += counter_read(&server->requests);
    s->system_calls += counter_read(&server->system_calls);
    s->early_waits += counter_read(&server->early_waits);
    for (int i = 0; i < HTTP_REFUSAL_COUNT; i++)
        s->http_refusals[i] += counter_read(&server->refusals[i]);
}

static void add_fetches(struct snapshot *s, const struct fetch_stats *fetches)
{
    s->fetches_started += counter_read(&fetches->started);
    s->origin_connections_opened += counter_read(&fetches->connections_opened);
    s->origin_connections_reused += counter_read(&fetches->connections_reused);
    s->origin_received_bytes += counter_read(&fetches->received_bytes);
    s->origin_sent_bytes += counter_read(&fetches->sent_bytes);
    for (int i = 0; i < FETCH_RESULT_COUNT; i++)
        s->fetch_results[i] += counter_read(&fetches->results[i]);
}

static void add_origin(struct snapshot *s, const struct origin_stats *origin)
{
    for (int i = 0; i < ORIGIN_WORD_COUNT; i++)
        s->origin_words[i] += counter_read(&origin->words[i]);
    s->origin_retries += counter_read(&origin->retries);
    s->origin_resumes += counter_read(&origin->resumes);
    s->origin_retries_refused += counter_read(&origin->retries_refused);
}

static void add_overload(struct snapshot *s, const struct overload *o)
{
    if (overload_level(o) > s->overload_level) {
        s->overload_level = overload_level(o);
        s->overload_cause = (enum overload_resource)counter_read(&o->cause);
    }
    for (int i = 0; i < OVERLOAD_RESOURCE_COUNT; i++) {
        uint64_t pressure = counter_read(&o->pressure[i]);

        s->pressure[i] = pressure > s->pressure[i] ? pressure : s->pressure[i];
    }
}

static void take_store(struct snapshot *s, struct store *store)
{
    store_stats(store, &s->store);
    while (s->disk_count < STORE_DISKS_MAX &&
           store_disk_stats(store, s->disk_count, &s->disks[s->disk_count]))
        s->disk_count++;
}

bool snapshot_take(const struct admin_source *source, int64_t wall_ms, struct snapshot *ret_snapshot)
{
    struct snapshot s = {.source = source, .wall_ms = wall_ms, .checks_failed = check_failed_count()};

    s.monotonic_ms = clock_monotonic_ms();
    s.ledger = ledger_sum_new(source->ledgers, source->worker_count);
    if (!s.ledger)
        return false;
    for (size_t i = 0; i < source->worker_count; i++) {
        add_server(&s, source->servers[i]);
        add_fetches(&s, source->fetches[i]);
        if (source->origins)
            add_origin(&s, source->origins[i]);
        if (source->overloads)
            add_overload(&s, source->overloads[i]);
    }
    if (source->store)
        take_store(&s, source->store);
    if (source->quota)
        quota_stats(source->quota, &s.quota);
    purge_stats(source->purge.purges, &s.purges);
    if (source->access_log)
        access_log_stats(source->access_log, &s.access_log);
    if (source->certificates)
        tls_server_stats(certificates_server(source->certificates), &s.tls);
    if (source->places)
        places_stats(source->places, &s.places);
    *ret_snapshot = s;
    return true;
}

void snapshot_release(struct snapshot *s)
{
    ledger_sum_free(s->ledger);
    s->ledger = NULL;
}

const char *snapshot_site_name(const struct snapshot *s, size_t site_id, char scratch[32])
{
    if (site_id <= s->source->site_count)
        return s->source->site_names[site_id - 1];
    snprintf(scratch, 32, "#%zu", site_id); /* it has left the configuration */
    return scratch;
}

uint64_t snapshot_stored_bytes(const struct snapshot *s, size_t site_id)
{
    return s->source->store ? store_site_bytes(s->source->store, (unsigned)site_id) : 0;
}

bool snapshot_is_delivery(enum cause cause)
{
    switch (cause) {
    case CAUSE_HIT:
    case CAUSE_COALESCED:
    case CAUSE_MISS:
    case CAUSE_EXPIRED:
    case CAUSE_REVALIDATED:
    case CAUSE_STALE:
    case CAUSE_DISK_FAILED:
    case CAUSE_PURGED:
    case CAUSE_UNCACHEABLE: return true;
    case CAUSE_ORPHAN:
    case CAUSE_REDIRECT:
    case CAUSE_LOCAL:
    case CAUSE_REFUSED:
    case CAUSE_ERROR:
    case CAUSE_COUNT: return false;
    }
    UNREACHABLE();
}
