/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /stats: the snapshot as JSON. Names are stable and stand in docs/stats.md; a name is never used again for
 * something else.
 */
#include <stdio.h>
#include <time.h>

#include "admin/snapshot.h"
#include "base/check.h"
#include "base/json.h"

static const uint64_t latency_bounds_us[] = LEDGER_LATENCY_BOUNDS_US;

static void add_cell(struct ledger_cell *sum, const struct ledger_cell *cell)
{
    sum->requests += cell->requests;
    sum->sent_bytes += cell->sent_bytes;
    sum->received_bytes += cell->received_bytes;
    sum->abandoned_bytes += cell->abandoned_bytes;
}

static bool is_zero(const struct ledger_cell *cell)
{
    return cell->requests == 0 && cell->sent_bytes == 0 && cell->received_bytes == 0;
}

static void write_cell(struct json *j, const char *name, const struct ledger_cell *cell)
{
    json_open(j, name, '{');
    json_u64(j, "requests", cell->requests);
    json_u64(j, "bytes_out", cell->sent_bytes);
    json_u64(j, "bytes_origin", cell->received_bytes);
    json_u64(j, "bytes_abandoned", cell->abandoned_bytes);
    json_close(j, '}');
}

/* 1 - bytes from the origin / bytes of objects to viewers; what the edge says by itself (refusals, redirects)
 * is no delivery. Below zero when more came in than went out. */
static void write_byte_hit_ratio(struct json *j, const struct ledger_cell by_cause[CAUSE_COUNT])
{
    uint64_t delivered_bytes = 0, origin_bytes = 0;

    for (int cause = 0; cause < CAUSE_COUNT; cause++) {
        delivered_bytes += snapshot_is_delivery((enum cause)cause) ? by_cause[cause].sent_bytes : 0;
        origin_bytes += by_cause[cause].received_bytes;
    }
    if (delivered_bytes == 0)
        json_null(j, "byte_hit_ratio");
    else
        json_double(j, "byte_hit_ratio", 1.0 - (double)origin_bytes / (double)delivered_bytes);
}

static void write_totals(struct json *j, const struct ledger_site_sum *site)
{
    struct ledger_cell total = {0}, by_class[CLASS_COUNT] = {0}, by_cause[CAUSE_COUNT] = {0};

    for (int c = 0; c < CLASS_COUNT; c++) {
        for (int cause = 0; cause < CAUSE_COUNT; cause++) {
            add_cell(&by_class[c], &site->cells[c][cause]);
            add_cell(&by_cause[cause], &site->cells[c][cause]);
            add_cell(&total, &site->cells[c][cause]);
        }
    }
    json_u64(j, "requests", total.requests);
    json_u64(j, "requests_aborted", site->aborted_requests);
    json_u64(j, "bytes_out", total.sent_bytes);
    json_u64(j, "bytes_origin", total.received_bytes);
    json_u64(j, "bytes_abandoned", total.abandoned_bytes);
    write_byte_hit_ratio(j, by_cause);
    json_open(j, "by_class", '{');
    for (int c = 0; c < CLASS_COUNT; c++)
        write_cell(j, content_class_name((enum content_class)c), &by_class[c]);
    json_close(j, '}');
    json_open(j, "by_cause", '{');
    for (int cause = 0; cause < CAUSE_COUNT; cause++)
        write_cell(j, cause_name((enum cause)cause), &by_cause[cause]);
    json_close(j, '}');
}

/* Only what is not zero: a site has dozens of cells, and most stay empty. */
static void write_cells(struct json *j, const struct ledger_site_sum *site)
{
    json_open(j, "by_class_and_cause", '{');
    for (int c = 0; c < CLASS_COUNT; c++) {
        json_open(j, content_class_name((enum content_class)c), '{');
        for (int cause = 0; cause < CAUSE_COUNT; cause++)
            if (!is_zero(&site->cells[c][cause]))
                write_cell(j, cause_name((enum cause)cause), &site->cells[c][cause]);
        json_close(j, '}');
    }
    json_close(j, '}');
}

static void write_statuses(struct json *j, const struct ledger_site_sum *site)
{
    json_open(j, "statuses", '{');
    for (int status = 0; status < LEDGER_STATUS_MAX; status++) {
        char name[16] = "none";

        if (status > 0)
            snprintf(name, sizeof(name), "%d", status);
        if (site->statuses[status] > 0)
            json_u64(j, name, site->statuses[status]);
    }
    json_close(j, '}');
}

static void write_site(struct json *j, const char *name, const struct snapshot *s, size_t id)
{
    const struct ledger_site_sum *site = &s->ledger->sites[id];

    json_open(j, name, '{');
    write_totals(j, site);
    json_u64(j, "stored_bytes", snapshot_stored_bytes(s, id));
    write_cells(j, site);
    write_statuses(j, site);
    json_close(j, '}');
}

static void write_sites(struct json *j, const struct snapshot *s)
{
    char scratch[32];

    json_open(j, "sites", '{');
    for (size_t i = LEDGER_NO_SITE + 1; i < s->ledger->site_count; i++)
        write_site(j, snapshot_site_name(s, i, scratch), s, i);
    json_close(j, '}');
    write_site(j, "no_site", s, LEDGER_NO_SITE);
}

static void write_all_sites(struct json *j, const struct snapshot *s)
{
    struct ledger_site_sum all = {0};

    for (size_t i = 0; i < s->ledger->site_count; i++) {
        const struct ledger_site_sum *site = &s->ledger->sites[i];

        for (int c = 0; c < CLASS_COUNT; c++)
            for (int cause = 0; cause < CAUSE_COUNT; cause++)
                add_cell(&all.cells[c][cause], &site->cells[c][cause]);
        for (int status = 0; status < LEDGER_STATUS_MAX; status++)
            all.statuses[status] += site->statuses[status];
        all.aborted_requests += site->aborted_requests;
    }
    write_totals(j, &all);
    write_statuses(j, &all);
}

static void write_flights(struct json *j, const struct ledger_sum *sum)
{
    json_open(j, "flights", '{');
    json_u64(j, "active", snapshot_gauge(sum->flights_started, sum->flights_ended));
    json_u64(j, "readers", snapshot_gauge(sum->readers_joined, sum->readers_left));
    json_u64(j, "started", sum->flights_started);
    json_u64(j, "coalesced", sum->coalesced);
    json_u64(j, "failed", sum->flights_failed);
    json_u64(j, "dropped", sum->flights_dropped);
    json_u64(j, "not_kept", sum->flights_not_kept);
    json_u64(j, "corrupt", sum->flights_corrupt);
    json_u64(j, "hit_for_miss", sum->hit_for_miss);
    json_u64(j, "orphans_finished", sum->orphans_finished);
    json_u64(j, "orphans_finished_bytes", sum->orphans_finished_bytes);
    json_u64(j, "orphans_dropped_bytes", sum->orphans_dropped_bytes);
    json_close(j, '}');
}

static void write_disks(struct json *j, const struct snapshot *s)
{
    json_open(j, "disks", '[');
    for (size_t i = 0; i < s->disk_count; i++) {
        const struct store_disk_stats *disk = &s->disks[i];

        json_open(j, NULL, '{');
        json_text(j, "path", slice_of(disk->path));
        json_text(j, "state", slice_of(store_disk_state_name(disk->state)));
        json_u64(j, "size_bytes", disk->stats.budget_bytes);
        json_u64(j, "used_bytes", disk->stats.regions * disk->stats.region_bytes);
        json_u64(j, "objects", disk->stats.objects);
        json_u64(j, "written_bytes", disk->stats.written_bytes);
        json_u64(j, "damaged_objects", disk->stats.damaged_objects);
        json_u64(j, "io_errors", disk->stats.io_errors);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void write_arena(struct json *j, const struct snapshot *s)
{
    const struct store_stats *store = &s->store;

    json_open(j, "arena", '{');
    json_u64(j, "size_bytes", store->budget_bytes);
    json_u64(j, "used_bytes", store->regions * store->region_bytes);
    json_u64(j, "region_bytes", store->region_bytes);
    json_u64(j, "regions", store->regions);
    json_u64(j, "regions_held", store->regions_held);
    json_u64(j, "regions_reclaimed", store->reclaimed_regions);
    json_u64(j, "regions_spare", store->regions_spare);
    json_u64(j, "regions_hurried", store->hurried_regions);
    json_u64(j, "objects", store->objects);
    json_u64(j, "index_capacity", store->index_capacity);
    json_u64(j, "index_displaced", store->index_displaced);
    json_u64(j, "written_bytes", store->written_bytes);
    json_u64(j, "wasted_bytes", store->wasted_bytes);
    json_u64(j, "rewritten_bytes", store->kept_bytes);
    json_u64(j, "evicted_bytes", store->dropped_bytes);
    json_u64(j, "refused_objects", store->refused_objects);
    json_u64(j, "refused_bytes", store->refused_bytes);
    json_u64(j, "transient_bytes", store->transient_bytes);
    json_u64(j, "transient_size_bytes", store->transient_budget_bytes);
    json_u64(j, "io_errors", store->io_errors);
    json_u64(j, "cold_reads", store->cold_reads);
    json_u64(j, "cold_read_bytes", store->cold_read_bytes);
    json_u64(j, "cold_reads_waiting", store->cold_reads_waiting);
    json_u64(j, "regions_pending", store->regions_pending);
    json_u64(j, "syncs", store->syncs);
    json_u64(j, "verified_objects", store->verified_objects);
    json_u64(j, "restored_objects", store->restored_objects);
    json_u64(j, "damaged_objects", store->damaged_objects);
    json_u64(j, "scrub_passes", store->scrub_passes);
    json_u64(j, "scrubbed_objects", store->scrubbed_objects);
    json_u64(j, "scrubbed_bytes", store->scrubbed_bytes);
    json_u64(j, "disks_failed", store->disks_failed);
    write_disks(j, s);
    json_close(j, '}');
}

static void write_refusals(struct json *j, const struct snapshot *s)
{
    json_open(j, "refusals", '{');
    for (int i = REFUSAL_NONE + 1; i < REFUSAL_COUNT; i++)
        json_u64(j, refusal_name((enum refusal)i), s->ledger->refusals[i]);
    for (int i = 0; i < HTTP_REFUSAL_COUNT; i++)
        json_u64(j, http_refusal_name((enum http_refusal)i), s->http_refusals[i]);
    json_close(j, '}');
}

static void write_origin(struct json *j, const struct snapshot *s)
{
    json_open(j, "origin", '{');
    json_u64(j, "requests", s->fetches_started);
    json_u64(j, "connections_opened", s->origin_connections_opened);
    json_u64(j, "connections_reused", s->origin_connections_reused);
    json_u64(j, "bytes_received", s->origin_received_bytes);
    json_u64(j, "bytes_sent", s->origin_sent_bytes);
    json_open(j, "results", '{');
    for (int i = 0; i < FETCH_RESULT_COUNT; i++)
        json_u64(j, fetch_result_name((enum fetch_result)i), s->fetch_results[i]);
    for (int i = 0; i < ORIGIN_WORD_COUNT; i++)
        json_u64(j, origin_word_name((enum origin_word)i), s->origin_words[i]);
    json_close(j, '}');
    json_u64(j, "retries", s->origin_retries);
    json_u64(j, "resumes", s->origin_resumes);
    json_u64(j, "retries_refused", s->origin_retries_refused);
    json_close(j, '}');
}

/* Of the configuration only the URL's authority: all else may be a secret. */
static void write_upstream(struct json *j, const struct snapshot *s, const struct upstream *upstream)
{
    json_open(j, NULL, '{');
    json_text(j, "origin", upstream->config->url.authority);
    json_bool(j, "usable", health_is_usable(&upstream->health, s->monotonic_ms));
    json_u64(j, "requests", counter_read(&upstream->requests));
    json_u64(j, "errors", counter_read(&upstream->errors));
    json_u64(j, "ejections", counter_read(&upstream->ejections));
    json_close(j, '}');
}

static void write_upstreams(struct json *j, const struct snapshot *s)
{
    struct upstreams *all = s->source->upstreams;
    json_open(j, "origins", '{');
    for (unsigned id = 1; all && id <= upstreams_site_count(all); id++) {
        const struct upstream_site *site = upstreams_site(all, id);
        json_open(j, site->config->name, '[');
        for (size_t i = 0; i < site->count; i++)
            write_upstream(j, s, &site->upstreams[i]);
        json_close(j, ']');
    }
    json_close(j, '}');
}

static void write_connections(struct json *j, const struct snapshot *s)
{
    json_open(j, "connections", '{');
    json_u64(j, "active", snapshot_gauge(s->connections_opened, s->connections_closed));
    json_u64(j, "max", s->quota.connections_max);
    json_u64(j, "clients_unknown", s->quota.clients_unknown);
    json_u64(j, "opened", s->connections_opened);
    json_u64(j, "closed", s->connections_closed);
    json_u64(j, "requests", s->server_requests);
    json_open(j, "requests_by_worker", '[');
    for (size_t i = 0; i < s->source->worker_count; i++)
        json_u64(j, NULL, counter_read(&s->source->servers[i]->requests));
    json_close(j, ']');
    json_u64(j, "system_calls", s->system_calls);
    json_close(j, '}');
}

static void write_time(struct json *j, const char *name, int64_t wall_ms);

static void write_certificates(struct json *j, const struct admin_source *source)
{
    struct tls_certificate_info infos[TLS_CERTIFICATES_MAX];

    json_open(j, "certificates", '[');
    for (size_t i = 0; source->certificates && i < source->site_count; i++) {
        int identity = certificates_of_site(source->certificates, (unsigned)i + 1);
        size_t count = identity < 0 ? 0
                                    : tls_server_certificates(certificates_server(source->certificates),
                                                              (size_t)identity, infos);

        for (size_t k = 0; k < count; k++) {
            json_open(j, NULL, '{');
            json_text(j, "site", slice_of(source->site_names[i]));
            json_text(j, "kind", slice_of(infos[k].kind));
            write_time(j, "not_after", infos[k].not_after_s * 1000);
            if (infos[k].ocsp_until_s > 0)
                write_time(j, "ocsp_until", infos[k].ocsp_until_s * 1000);
            json_close(j, '}');
        }
    }
    json_close(j, ']');
}

static void write_tls(struct json *j, const struct snapshot *s)
{
    json_open(j, "tls", '{');
    json_u64(j, "handshakes_full", s->tls.full);
    json_u64(j, "handshakes_resumed", s->tls.resumed);
    json_u64(j, "unknown_names", s->tls.unknown_names);
    json_u64(j, "ktls", s->tls.ktls);
    json_u64(j, "user_space", s->tls.user_space);
    json_u64(j, "ktls_key_updates", s->tls.ktls_key_updates);
    json_u64(j, "early_data", s->tls.early_data);
    json_u64(j, "early_data_rejected", s->tls.early_data_rejected);
    json_u64(j, "early_data_waited", s->early_waits);
    json_u64(j, "ocsp_stapled", s->tls.stapled);
    json_u64(j, "ocsp_not_stapled", s->tls.not_stapled);
    json_u64(j, "ticket_epoch", s->tls.ticket_epoch);
    json_u64(j, "reloads", s->tls.reloads);
    json_u64(j, "reload_failures", s->tls.reload_failures);
    write_certificates(j, s->source);
    json_close(j, '}');
}

static void write_geoip(struct json *j, const struct snapshot *s)
{
    json_open(j, "geoip", '{');
    if (s->places.built_s > 0)
        write_time(j, "built", s->places.built_s * 1000);
    json_u64(j, "reloads", s->places.reloads);
    json_u64(j, "reload_failures", s->places.reload_failures);
    json_close(j, '}');
}

static void write_overload(struct json *j, const struct snapshot *s)
{
    json_open(j, "overload", '{');
    json_text(j, "level", slice_of(overload_level_name(s->overload_level)));
    json_text(
        j, "cause",
        slice_of(s->overload_level > OVERLOAD_NONE ? overload_resource_name(s->overload_cause) : "none"));
    for (int i = 0; i < OVERLOAD_RESOURCE_COUNT; i++)
        json_u64(j, overload_resource_name((enum overload_resource)i), s->pressure[i]);
    json_close(j, '}');
}

static void write_uplink(struct json *j, const struct snapshot *s)
{
    const struct egress *e = s->source->egress;

    json_open(j, "uplink", '{');
    json_u64(j, "capacity_bytes_per_s", e ? egress_capacity(e) : 0);
    json_open(j, "sites", '{');
    for (size_t i = 0; e && i < s->source->site_count; i++) {
        json_open(j, s->source->site_names[i], '{');
        json_u64(j, "bytes_per_s", egress_rate(e, i));
        json_u64(j, "pace_bytes_per_s", egress_pace(e, i));
        json_close(j, '}');
    }
    json_close(j, '}');
    json_close(j, '}');
}

static void write_latency(struct json *j, const struct ledger_sum *sum)
{
    json_open(j, "first_byte", '{');
    json_open(j, "bounds_us", '[');
    for (size_t i = 0; i < ARRAY_COUNT(latency_bounds_us); i++)
        json_u64(j, NULL, latency_bounds_us[i]);
    json_close(j, ']');
    json_open(j, "by_cause", '{');
    for (int cause = 0; cause < CAUSE_COUNT; cause++) {
        uint64_t count = 0;

        json_open(j, cause_name((enum cause)cause), '{');
        json_open(j, "buckets", '[');
        for (int i = 0; i < LEDGER_LATENCY_BUCKETS; i++) {
            json_u64(j, NULL, sum->latency_buckets[cause][i]);
            count += sum->latency_buckets[cause][i];
        }
        json_close(j, ']');
        json_u64(j, "count", count);
        json_u64(j, "sum_us", sum->latency_sum_us[cause]);
        json_close(j, '}');
    }
    json_close(j, '}');
    json_close(j, '}');
}

static void write_time(struct json *j, const char *name, int64_t wall_ms)
{
    time_t second = (time_t)(wall_ms / 1000);
    char text[40] = "";
    struct tm tm;

    if (gmtime_r(&second, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_text(j, name, slice_of(text));
}

static void write_purges(struct json *j, const struct purge_stats *purges)
{
    json_open(j, "purges", '{');
    json_u64(j, "received", purges->orders);
    json_u64(j, "rules", purges->rules);
    json_u64(j, "rules_max", purges->rules_max);
    json_u64(j, "folded", purges->folded);
    json_u64(j, "retired", purges->retired);
    json_u64(j, "newest", purges->newest);
    json_u64(j, "floor", purges->floor);
    json_bool(j, "durable", purges->is_durable);
    json_close(j, '}');
}

bool stats_write(const struct snapshot *s, struct buf *out)
{
    const struct admin_source *source = s->source;
    struct json j;

    json_init(&j, out);
    json_open(&j, NULL, '{');
    json_text(&j, "edge", slice_of(source->edge));
    json_text(&j, "version", slice_of(source->version));
    write_time(&j, "time", s->wall_ms);
    write_time(&j, "started", source->started_wall_ms);
    json_i64(&j, "uptime_ms", s->wall_ms - source->started_wall_ms);
    json_u64(&j, "workers", source->worker_count);
    write_all_sites(&j, s);
    write_refusals(&j, s);
    write_flights(&j, s->ledger);
    write_arena(&j, s);
    write_origin(&j, s);
    write_upstreams(&j, s);
    write_connections(&j, s);
    write_overload(&j, s);
    write_uplink(&j, s);
    write_tls(&j, s);
    write_geoip(&j, s);
    write_latency(&j, s->ledger);
    write_purges(&j, &s->purges);
    json_open(&j, "access_log", '{');
    json_u64(&j, "records", s->access_log.records);
    json_u64(&j, "dropped", s->access_log.dropped);
    json_u64(&j, "failed", s->access_log.failed);
    json_close(&j, '}');
    json_u64(&j, "checks_failed", s->checks_failed);
    write_sites(&j, s);
    json_close(&j, '}');
    buf_append_char(out, '\n');
    return !out->failed;
}
