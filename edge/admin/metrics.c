/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /metrics: the snapshot in the text format of Prometheus (exposition format 0.0.4). The numbers are those of
 * /stats, in base units.
 */
#include <stdio.h>

#include "admin/snapshot.h"
#include "base/check.h"

static const uint64_t latency_bounds_us[] = LEDGER_LATENCY_BOUNDS_US;

struct label {
    const char *name, *value;
};

static void begin_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP shorebreak_%s %s\n# TYPE shorebreak_%s %s\n", name, help, name, type);
}

static void append_label_value(struct buf *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            buf_append_char(out, '\\');
        buf_append_text(out, *value == '\n' ? "\\n" : (char[2]){*value, '\0'});
    }
}

static void begin_sample(struct buf *out, const char *name, const struct label *labels, size_t count)
{
    buf_append_text(out, "shorebreak_");
    buf_append_text(out, name);
    for (size_t i = 0; i < count; i++) {
        buf_append_text(out, i == 0 ? "{" : ",");
        buf_append_text(out, labels[i].name);
        buf_append_text(out, "=\"");
        append_label_value(out, labels[i].value);
        buf_append_char(out, '"');
    }
    buf_append_text(out, count > 0 ? "} " : " ");
}

static void sample(struct buf *out, const char *name, const struct label *labels, size_t count,
                   uint64_t value)
{
    begin_sample(out, name, labels, count);
    buf_append_u64(out, value);
    buf_append_char(out, '\n');
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    begin_family(out, name, "counter", help);
    sample(out, name, NULL, 0, value);
}

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    begin_family(out, name, "gauge", help);
    sample(out, name, NULL, 0, value);
}

static void write_identity(struct buf *out, const struct snapshot *s)
{
    struct label labels[] = {{"edge", s->source->edge}, {"version", s->source->version}};

    begin_family(out, "build_info", "gauge", "What runs here, as labels.");
    sample(out, "build_info", labels, ARRAY_COUNT(labels), 1);
    begin_family(out, "start_time_seconds", "gauge", "When it started, since the epoch.");
    begin_sample(out, "start_time_seconds", NULL, 0);
    buf_printf(out, "%.3f\n", (double)s->source->started_wall_ms / 1000);
    gauge(out, "workers", "Worker threads.", s->source->worker_count);
}

/* --- by site --- */

static const char *site_name(const struct snapshot *s, size_t site_id, char scratch[32])
{
    return site_id == LEDGER_NO_SITE ? "" : snapshot_site_name(s, site_id, scratch);
}

static uint64_t requests_of(const struct ledger_cell *cell)
{
    return cell->requests;
}

static uint64_t sent_bytes_of(const struct ledger_cell *cell)
{
    return cell->sent_bytes;
}

static uint64_t received_bytes_of(const struct ledger_cell *cell)
{
    return cell->received_bytes;
}

static uint64_t abandoned_bytes_of(const struct ledger_cell *cell)
{
    return cell->abandoned_bytes;
}

/* What stayed zero is left out: there are dozens of cells a site. */
static void write_cells(struct buf *out, const struct snapshot *s, const char *name, const char *help,
                        uint64_t (*value_of)(const struct ledger_cell *cell))
{
    char scratch[32];

    begin_family(out, name, "counter", help);
    for (size_t i = 0; i < s->ledger->site_count; i++) {
        for (int c = 0; c < CLASS_COUNT; c++) {
            for (int cause = 0; cause < CAUSE_COUNT; cause++) {
                struct label labels[] = {{"site", site_name(s, i, scratch)},
                                         {"class", content_class_name((enum content_class)c)},
                                         {"cause", cause_name((enum cause)cause)}};
                uint64_t value = value_of(&s->ledger->sites[i].cells[c][cause]);

                if (value > 0)
                    sample(out, name, labels, ARRAY_COUNT(labels), value);
            }
        }
    }
}

static void write_statuses(struct buf *out, const struct snapshot *s)
{
    char scratch[32], status_text[16];

    begin_family(out, "responses_total", "counter",
                 "Requests by the status of their response, none for no response.");
    for (size_t i = 0; i < s->ledger->site_count; i++) {
        for (unsigned status = 0; status < LEDGER_STATUS_MAX; status++) {
            struct label labels[] = {{"site", site_name(s, i, scratch)}, {"status", status_text}};

            snprintf(status_text, sizeof(status_text), status == 0 ? "none" : "%u", status);
            if (s->ledger->sites[i].statuses[status] > 0)
                sample(out, "responses_total", labels, ARRAY_COUNT(labels),
                       s->ledger->sites[i].statuses[status]);
        }
    }
}

static void write_aborted(struct buf *out, const struct snapshot *s)
{
    char scratch[32];

    begin_family(out, "aborted_requests_total", "counter",
                 "Requests that ended before their last byte was sent.");
    for (size_t i = 0; i < s->ledger->site_count; i++) {
        struct label label = {"site", site_name(s, i, scratch)};

        sample(out, "aborted_requests_total", &label, 1, s->ledger->sites[i].aborted_requests);
    }
}

static void write_stored(struct buf *out, const struct snapshot *s)
{
    char scratch[32];

    begin_family(out, "arena_stored_bytes", "gauge", "Bytes of a site's objects in the arena.");
    for (size_t i = LEDGER_NO_SITE; i < s->ledger->site_count; i++) {
        struct label label = {"site", site_name(s, i, scratch)};

        sample(out, "arena_stored_bytes", &label, 1, snapshot_stored_bytes(s, i));
    }
}

static void write_sites(struct buf *out, const struct snapshot *s)
{
    write_cells(out, s, "requests_total", "Requests by site, class of content and cause.", requests_of);
    write_cells(out, s, "sent_bytes_total", "Bytes sent to viewers.", sent_bytes_of);
    write_cells(out, s, "abandoned_bytes_total", "Bytes sent of bodies that viewers did not take to the end.",
                abandoned_bytes_of);
    write_cells(out, s, "origin_received_bytes_total", "Bytes received from origins for objects.",
                received_bytes_of);
    write_statuses(out, s);
    write_aborted(out, s);
    write_stored(out, s);
}

/* --- the rest --- */

static void write_refusals(struct buf *out, const struct snapshot *s)
{
    begin_family(out, "refusals_total", "counter", "Requests and connections refused, by reason.");
    for (int i = REFUSAL_NONE + 1; i < REFUSAL_COUNT; i++) {
        struct label label = {"reason", refusal_name((enum refusal)i)};

        sample(out, "refusals_total", &label, 1, s->ledger->refusals[i]);
    }
    for (int i = 0; i < HTTP_REFUSAL_COUNT; i++) {
        struct label label = {"reason", http_refusal_name((enum http_refusal)i)};

        sample(out, "refusals_total", &label, 1, s->http_refusals[i]);
    }
}

static void write_flights(struct buf *out, const struct ledger_sum *sum)
{
    gauge(out, "flights", "Responses being received from origins.",
          snapshot_gauge(sum->flights_started, sum->flights_ended));
    gauge(out, "flight_readers", "Requests that follow a flight.",
          snapshot_gauge(sum->readers_joined, sum->readers_left));
    counter(out, "flights_started_total", "Flights started.", sum->flights_started);
    counter(out, "coalesced_requests_total", "Requests that joined a flight instead of asking the origin.",
            sum->coalesced);
    counter(out, "flights_failed_total", "Flights ended by an origin's failure.", sum->flights_failed);
    counter(out, "flights_dropped_total", "Flights ended because no reader was left.", sum->flights_dropped);
    counter(out, "flights_not_kept_total", "Flights that ended well but stored nothing.",
            sum->flights_not_kept);
    counter(out, "flights_corrupt_total", "Flights whose body was not what its digest says.",
            sum->flights_corrupt);
    counter(out, "hit_for_miss_total",
            "Requests that went to the origin at once, as nobody shares the response.", sum->hit_for_miss);
    counter(out, "orphans_finished_total", "Flights that ended well without a reader.",
            sum->orphans_finished);
    counter(out, "orphans_finished_bytes_total", "Bytes that these received for nobody.",
            sum->orphans_finished_bytes);
    counter(out, "orphans_dropped_bytes_total", "Bytes of bodies that dropped flights had received.",
            sum->orphans_dropped_bytes);
}

static void write_disks(struct buf *out, const struct snapshot *s)
{
    begin_family(out, "arena_disk_used", "gauge", "1: the disk is used; 0: it has failed.");
    for (size_t i = 0; i < s->disk_count; i++) {
        struct label labels[] = {{"path", s->disks[i].path}};

        sample(out, "arena_disk_used", labels, ARRAY_COUNT(labels), s->disks[i].state == STORE_DISK_USED);
    }
    begin_family(out, "arena_disk_io_errors_total", "counter", "Errors of each disk.");
    for (size_t i = 0; i < s->disk_count; i++) {
        struct label labels[] = {{"path", s->disks[i].path}};

        sample(out, "arena_disk_io_errors_total", labels, ARRAY_COUNT(labels), s->disks[i].stats.io_errors);
    }
}

static void write_upkeep(struct buf *out, const struct store_stats *store)
{
    gauge(out, "arena_regions_pending", "Regions that are still to be verified or walked.",
          store->regions_pending);
    counter(out, "arena_syncs_total", "Times that all that was stored was brought to a disk.", store->syncs);
    counter(out, "arena_verified_objects_total", "Objects compared with their sums after a power loss.",
            store->verified_objects);
    counter(out, "arena_restored_objects_total", "Objects found again by walking regions.",
            store->restored_objects);
    counter(out, "arena_damaged_objects_total", "Objects that were not what had been stored.",
            store->damaged_objects);
    counter(out, "arena_scrub_passes_total", "Times that all that is kept was verified.",
            store->scrub_passes);
    counter(out, "arena_scrubbed_objects_total", "Objects verified by scrubbing.", store->scrubbed_objects);
    counter(out, "arena_scrubbed_bytes_total", "Bytes read for that.", store->scrubbed_bytes);
}

static void write_arena(struct buf *out, const struct snapshot *s)
{
    const struct store_stats *store = &s->store;

    gauge(out, "arena_size_bytes", "The arena's budget.", store->budget_bytes);
    gauge(out, "arena_used_bytes", "Bytes of regions in use.", store->regions * store->region_bytes);
    gauge(out, "arena_regions", "Regions in use.", store->regions);
    gauge(out, "arena_regions_held", "Reclaimed regions that readers still hold open.", store->regions_held);
    counter(out, "arena_regions_reclaimed_total", "Regions reclaimed.", store->reclaimed_regions);
    gauge(out, "arena_regions_spare", "Regions ready to be written to.", store->regions_spare);
    counter(out, "arena_regions_hurried_total", "Regions reclaimed before their best objects were rewritten.",
            store->hurried_regions);
    gauge(out, "arena_objects", "Objects stored.", store->objects);
    gauge(out, "arena_index_slots", "Room for entries in the index.", store->index_capacity);
    counter(out, "arena_index_displaced_total", "Live entries lost to a full bucket of the index.",
            store->index_displaced);
    counter(out, "arena_written_bytes_total", "Bytes written.", store->written_bytes);
    counter(out, "arena_wasted_bytes_total", "Bytes of padding and unused reservations.",
            store->wasted_bytes);
    counter(out, "arena_rewritten_bytes_total", "Bytes written again before their region was reclaimed.",
            store->kept_bytes);
    counter(out, "arena_evicted_bytes_total", "Bytes of objects that went with their region.",
            store->dropped_bytes);
    counter(out, "arena_refused_objects_total", "Objects not worth storing.", store->refused_objects);
    counter(out, "arena_refused_bytes_total", "Bytes of these, as far as it was known.",
            store->refused_bytes);
    gauge(out, "transient_bytes", "Memory for what is shared but not kept.", store->transient_bytes);
    gauge(out, "transient_size_bytes", "The budget of that memory.", store->transient_budget_bytes);
    counter(out, "arena_io_errors_total", "Errors of the disk.", store->io_errors);
    counter(out, "arena_cold_reads_total", "Pieces that had to be brought from the disk.", store->cold_reads);
    counter(out, "arena_cold_read_bytes_total", "Bytes of these.", store->cold_read_bytes);
    gauge(out, "arena_cold_reads_waiting", "Pieces that the disk has not brought yet.",
          store->cold_reads_waiting);
    write_upkeep(out, store);
    write_disks(out, s);
}

static void write_origin(struct buf *out, const struct snapshot *s)
{
    counter(out, "origin_requests_total", "Requests sent to origins.", s->fetches_started);
    counter(out, "origin_connections_opened_total", "Connections to origins opened.",
            s->origin_connections_opened);
    counter(out, "origin_connections_reused_total", "Requests sent over a connection that was open already.",
            s->origin_connections_reused);
    counter(out, "origin_wire_received_bytes_total",
            "Bytes received from origins, heads and framing included.", s->origin_received_bytes);
    counter(out, "origin_wire_sent_bytes_total", "Bytes sent to origins.", s->origin_sent_bytes);
    begin_family(out, "origin_results_total", "counter", "How requests to origins ended.");
    for (int i = 0; i < FETCH_RESULT_COUNT; i++) {
        struct label label = {"result", fetch_result_name((enum fetch_result)i)};

        sample(out, "origin_results_total", &label, 1, s->fetch_results[i]);
    }
    for (int i = 0; i < ORIGIN_WORD_COUNT; i++) {
        struct label label = {"result", origin_word_name((enum origin_word)i)};

        sample(out, "origin_results_total", &label, 1, s->origin_words[i]);
    }
    counter(out, "origin_retries_total", "Requests sent to another origin, as one failed.",
            s->origin_retries);
    counter(out, "origin_resumes_total", "Requests for the rest of a body that broke.", s->origin_resumes);
    counter(out, "origin_retries_refused_total", "Neither of the two, as the budget was used up.",
            s->origin_retries_refused);
}

static void write_upstream_family(struct buf *out, const struct snapshot *s, const char *name,
                                  const char *type, const char *help,
                                  uint64_t (*value_of)(const struct upstream *u, uint64_t now_ms))
{
    struct upstreams *all = s->source->upstreams;
    char origin[300];

    begin_family(out, name, type, help);
    for (unsigned id = 1; all && id <= upstreams_site_count(all); id++) {
        const struct upstream_site *site = upstreams_site(all, id);

        for (size_t i = 0; i < site->count; i++) {
            struct label labels[] = {{"site", site->config->name}, {"origin", origin}};

            snprintf(origin, sizeof(origin), "%.*s", SLICE_ARG(site->upstreams[i].config->url.authority));
            sample(out, name, labels, ARRAY_COUNT(labels), value_of(&site->upstreams[i], s->monotonic_ms));
        }
    }
}

static uint64_t usable_of(const struct upstream *u, uint64_t now_ms)
{
    return health_is_usable(&u->health, now_ms);
}

static uint64_t upstream_requests_of(const struct upstream *u, uint64_t now_ms)
{
    (void)now_ms;
    return counter_read(&u->requests);
}

static uint64_t errors_of(const struct upstream *u, uint64_t now_ms)
{
    (void)now_ms;
    return counter_read(&u->errors);
}

static uint64_t ejections_of(const struct upstream *u, uint64_t now_ms)
{
    (void)now_ms;
    return counter_read(&u->ejections);
}

static void write_upstreams(struct buf *out, const struct snapshot *s)
{
    write_upstream_family(out, s, "upstream_usable", "gauge", "Whether an origin is neither ejected nor ill.",
                          usable_of);
    write_upstream_family(out, s, "upstream_requests_total", "counter", "Requests to an origin.",
                          upstream_requests_of);
    write_upstream_family(out, s, "upstream_errors_total", "counter", "Of these: failed by its fault.",
                          errors_of);
    write_upstream_family(out, s, "upstream_ejections_total", "counter", "How often it was ejected.",
                          ejections_of);
}

static void write_connections(struct buf *out, const struct snapshot *s)
{
    gauge(out, "connections", "Viewers' connections that are open.",
          snapshot_gauge(s->connections_opened, s->connections_closed));
    gauge(out, "connections_max", "How many there may be.", s->quota.connections_max);
    counter(out, "clients_unknown_total",
            "Times a client was not counted by itself, because the table's place for it was full.",
            s->quota.clients_unknown);
    counter(out, "connections_opened_total", "Viewers' connections accepted.", s->connections_opened);
    counter(out, "connections_closed_total", "Viewers' connections closed.", s->connections_closed);
    counter(out, "connection_requests_total", "Requests taken from viewers' connections.",
            s->server_requests);
    counter(out, "connection_system_calls_total", "System calls made for viewers' connections.",
            s->system_calls);
}

static void write_certificates(struct buf *out, const struct snapshot *s)
{
    struct tls_certificate_info infos[TLS_CERTIFICATES_MAX];

    begin_family(out, "certificate_not_after_seconds", "gauge",
                 "When a site's certificate expires, since the epoch.");
    for (size_t i = 0; s->source->certificates && i < s->source->site_count; i++) {
        int identity = certificates_of_site(s->source->certificates, (unsigned)i + 1);
        size_t count = identity < 0 ? 0
                                    : tls_server_certificates(certificates_server(s->source->certificates),
                                                              (size_t)identity, infos);

        for (size_t k = 0; k < count; k++) {
            struct label labels[] = {{"site", s->source->site_names[i]}, {"kind", infos[k].kind}};

            sample(out, "certificate_not_after_seconds", labels, ARRAY_COUNT(labels),
                   (uint64_t)infos[k].not_after_s);
        }
    }
}

static void write_tls(struct buf *out, const struct snapshot *s)
{
    struct label full = {"kind", "full"}, resumed = {"kind", "resumed"};
    struct label kernel = {"by", "kernel"}, process = {"by", "process"};

    begin_family(out, "tls_handshakes_total", "counter", "Handshakes that ended well.");
    sample(out, "tls_handshakes_total", &full, 1, s->tls.full);
    sample(out, "tls_handshakes_total", &resumed, 1, s->tls.resumed);
    begin_family(out, "tls_connections_total", "counter", "TLS connections, by who encrypts.");
    sample(out, "tls_connections_total", &kernel, 1, s->tls.ktls);
    sample(out, "tls_connections_total", &process, 1, s->tls.user_space);
    counter(out, "tls_unknown_names_total", "Handshakes refused for the name asked for.",
            s->tls.unknown_names);
    counter(out, "tls_ktls_key_updates_total", "Connections that broke as the kernel could not change keys.",
            s->tls.ktls_key_updates);
    counter(out, "tls_early_data_total", "Connections whose early data was taken.", s->tls.early_data);
    counter(out, "tls_early_data_rejected_total", "Connections whose early data was not taken.",
            s->tls.early_data_rejected);
    counter(out, "tls_early_data_waited_total", "Requests in early data that waited for the handshake.",
            s->early_waits);
    counter(out, "tls_ocsp_stapled_total", "OCSP responses stapled.", s->tls.stapled);
    counter(out, "tls_ocsp_not_stapled_total", "OCSP responses asked for where there was none that holds.",
            s->tls.not_stapled);
    counter(out, "tls_reloads_total", "Certificates and ticket keys read anew.", s->tls.reloads);
    counter(out, "tls_reload_failures_total", "Certificates and ticket keys that could not be read anew.",
            s->tls.reload_failures);
    write_certificates(out, s);
}

static void write_geoip(struct buf *out, const struct snapshot *s)
{
    gauge(out, "geoip_built_seconds", "When the database of places in use was made.",
          (uint64_t)s->places.built_s);
    counter(out, "geoip_reloads_total", "Databases of places read anew.", s->places.reloads);
    counter(out, "geoip_reload_failures_total", "Databases of places that could not be read anew.",
            s->places.reload_failures);
}

static void write_overload(struct buf *out, const struct snapshot *s)
{
    gauge(out, "overload_level", "What is shed: nothing, background work, misses, new connections (0 to 3).",
          s->overload_level);
    begin_family(out, "overload_pressure", "gauge", "How far a resource is used, as a share of the most.");
    for (int i = 0; i < OVERLOAD_RESOURCE_COUNT; i++) {
        struct label label = {"resource", overload_resource_name((enum overload_resource)i)};

        begin_sample(out, "overload_pressure", &label, 1);
        buf_printf(out, "%.3f\n", (double)s->pressure[i] / 1000);
    }
}

static void write_uplink(struct buf *out, const struct snapshot *s)
{
    const struct egress *e = s->source->egress;

    gauge(out, "uplink_capacity_bytes_per_second", "What the operator says it carries; 0: not stated.",
          e ? egress_capacity(e) : 0);
    begin_family(
        out, "uplink_pace_bytes_per_second", "gauge",
        "The pace of each response of a site that wants more than its share of a full uplink; 0: none.");
    for (size_t i = 0; e && i < s->source->site_count; i++) {
        struct label label = {"site", s->source->site_names[i]};

        sample(out, "uplink_pace_bytes_per_second", &label, 1, egress_pace(e, i));
    }
}

static void write_histogram(struct buf *out, const char *cause, const uint64_t *buckets, uint64_t sum_us)
{
    struct label labels[] = {{"cause", cause}, {"le", NULL}};
    uint64_t count = 0;
    char bound[32];

    for (size_t i = 0; i < LEDGER_LATENCY_BUCKETS; i++) {
        snprintf(bound, sizeof(bound), "+Inf");
        if (i < ARRAY_COUNT(latency_bounds_us))
            snprintf(bound, sizeof(bound), "%g", (double)latency_bounds_us[i] / 1e6);
        labels[1].value = bound;
        count += buckets[i];
        sample(out, "first_byte_seconds_bucket", labels, 2, count);
    }
    begin_sample(out, "first_byte_seconds_sum", labels, 1);
    buf_printf(out, "%.6f\n", (double)sum_us / 1e6);
    sample(out, "first_byte_seconds_count", labels, 1, count);
}

static void write_latency(struct buf *out, const struct ledger_sum *sum)
{
    begin_family(out, "first_byte_seconds", "histogram",
                 "From the whole request head to the first byte of the response.");
    for (int cause = 0; cause < CAUSE_COUNT; cause++)
        write_histogram(out, cause_name((enum cause)cause), sum->latency_buckets[cause],
                        sum->latency_sum_us[cause]);
}

bool metrics_write(const struct snapshot *s, struct buf *out)
{
    write_identity(out, s);
    write_sites(out, s);
    write_refusals(out, s);
    write_flights(out, s->ledger);
    write_arena(out, s);
    write_origin(out, s);
    write_upstreams(out, s);
    write_connections(out, s);
    write_overload(out, s);
    write_uplink(out, s);
    write_tls(out, s);
    write_geoip(out, s);
    write_latency(out, s->ledger);
    counter(out, "purges_total", "Purges received.", s->purges.orders);
    gauge(out, "purge_rules", "Purges that are remembered.", s->purges.rules);
    gauge(out, "purge_rules_max", "Room for these.", s->purges.rules_max);
    counter(out, "purge_rules_folded_total", "Purges that became part of a wider one for want of room.",
            s->purges.folded);
    counter(out, "purge_rules_retired_total", "Purges forgotten as no older object is left.",
            s->purges.retired);
    gauge(out, "purge_log_durable", "1 when all purges are on the disk.", s->purges.is_durable);
    counter(out, "access_log_records_total", "Requests put into the access log's buffers.",
            s->access_log.records);
    counter(out, "access_log_dropped_total", "Requests not logged, because the buffer was full.",
            s->access_log.dropped);
    counter(out, "access_log_failed_total", "Requests not logged, because the file could not be written.",
            s->access_log.failed);
    counter(out, "checks_failed_total", "Failed assertions that were survived: each is a bug.",
            s->checks_failed);
    return !out->failed;
}
