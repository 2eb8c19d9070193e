/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All numbers at one moment, summed over the workers: what /stats and /metrics write down, each in its own
 * words.
 */
#ifndef ADMIN_SNAPSHOT_H
#define ADMIN_SNAPSHOT_H

#include "admin/admin.h"

struct snapshot {
    const struct admin_source *source;
    int64_t wall_ms;
    struct ledger_sum *ledger;
    uint64_t connections_opened, connections_closed, server_requests, system_calls, early_waits;
    uint64_t http_refusals[HTTP_REFUSAL_COUNT];
    uint64_t fetches_started, origin_connections_opened, origin_connections_reused;
    uint64_t origin_received_bytes, origin_sent_bytes; /* on the wire: heads and framing too */
    uint64_t fetch_results[FETCH_RESULT_COUNT];
    uint64_t origin_words[ORIGIN_WORD_COUNT], origin_retries, origin_resumes, origin_retries_refused;
    uint64_t monotonic_ms;
    struct store_stats store;
    struct store_disk_stats disks[STORE_DISKS_MAX];
    size_t disk_count;
    struct quota_stats quota;
    enum overload_level overload_level;         /* of the worst worker */
    enum overload_resource overload_cause;      /* then */
    uint64_t pressure[OVERLOAD_RESOURCE_COUNT]; /* the highest of any */
    struct access_log_stats access_log;
    struct tls_server_stats tls;
    struct places_stats places;
    struct purge_stats purges;
    uint64_t checks_failed;
};

/* False when memory is out. */
bool snapshot_take(const struct admin_source *source, int64_t wall_ms, struct snapshot *ret_snapshot);
void snapshot_release(struct snapshot *s);

/* The name of a site id above LEDGER_NO_SITE; `scratch` holds it when the source has none. */
const char *snapshot_site_name(const struct snapshot *s, size_t site_id, char scratch[32]);

/* Of a site, in the arena; LEDGER_NO_SITE: of those that have left the configuration. */
uint64_t snapshot_stored_bytes(const struct snapshot *s, size_t site_id);

/* Whether bytes sent for this cause are an object's, and not made by the edge itself. */
bool snapshot_is_delivery(enum cause cause);

/* Counters of one moment are not read at one moment: what ended may be ahead of what started. */
static inline uint64_t snapshot_gauge(uint64_t started, uint64_t ended)
{
    return started > ended ? started - ended : 0;
}

/* What /stats and /metrics say. False when it did not fit into `out`. */
bool stats_write(const struct snapshot *s, struct buf *out);
bool metrics_write(const struct snapshot *s, struct buf *out);

#endif
