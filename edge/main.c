/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The edge's main thread: it reads the configuration, builds what the workers share, starts them, and then
 * owns signals and the admin listener until it is told to end.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "certificates.h"
#include "io/stream.h"
#include "io/tls.h"
#include "machine.h"
#include "places.h"
#include "sandbox.h"
#include "store/arena_tool.h"
#include "worker.h"

#define CATALOG_ENTRIES_MAX  ((size_t)256 * 1024)
#define STOP_GRACE_MS        10000
#define EGRESS_LOOK_MS       250
#define DESCRIPTORS_RESERVED 256
#define DESCRIPTORS_PER_SITE 1024 /* connections to its origins */
#define ERROR_SIZE_MAX       ((size_t)64 * 1024)

struct edge {
    const struct config *config;
    struct loop *loop;
    struct store *store;
    struct purge *purges;
    struct buf admin_token;
    struct site_table *sites;
    struct site_route *site_routes;
    struct route_edge *route_edges;
    struct places *places; /* NULL: every place is unknown */
    struct catalog *catalog;
    struct access_log *access_log;
    struct certificates *certificates; /* NULL: no listener has TLS */
    struct quota *quota;
    struct upstreams *upstreams;
    struct admit *admit;
    struct hit_for_miss *hit_for_miss;
    struct machine machine;
    struct egress *egress;
    struct timer egress_look;
    uint64_t egress_looked_ms;
    uint64_t *egress_sent_bytes; /* by site: in all, and then since the last look */
    const struct overload **overloads;
    size_t worker_count;
    struct worker **workers;
    struct addr *bound; /* where they listen */
    struct mailbox **mailboxes;
    struct ledger **ledgers;
    struct flight_table *flights;
    struct admin *admin;
    const char **site_names;
    const struct http_server_stats **server_stats;
    const struct fetch_stats **fetch_stats;
    const struct origin_stats **origin_stats;
};

/* ---- what workers share ---- */

static int build_sites(struct edge *e, struct buf *error)
{
    const struct config *c = e->config;
    e->sites = site_table_new(e->config, ROUTE_MARKER);
    int r = e->sites ? 0 : -ENOMEM;
    if (r == 0)
        r = certificates_new(c, e->sites, error, &e->certificates);
    if (r == 0)
        r = upstreams_new(c, e->worker_count, error, &e->upstreams);
    e->admit = admit_new(c->site_count);
    e->hit_for_miss = hit_for_miss_new();
    if (r == 0 && (!e->admit || !e->hit_for_miss))
        r = -ENOMEM;
    return r;
}

static struct place place_of(const struct config_place *p)
{
    struct place place = {
        .has_coordinates = p->has_point, .latitude = p->latitude, .longitude = p->longitude};
    memcpy(place.country, p->country, sizeof(place.country));
    return place;
}

static void fill_countries(struct country_set *set, char (*codes)[3], size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(route_countries_add(set, slice_of(codes[i])));
}

static int build_routes(struct edge *e)
{
    const struct config *c = e->config;
    e->site_routes = calloc(c->site_count, sizeof(*e->site_routes));
    e->route_edges = calloc(c->edge_count + 1, sizeof(*e->route_edges));
    if (!e->site_routes || !e->route_edges)
        return -ENOMEM;
    for (size_t i = 0; i < c->site_count; i++) {
        const struct config_countries *rules = &c->sites[i].countries;
        fill_countries(&e->site_routes[i].allow, rules->allow, rules->allow_count);
        fill_countries(&e->site_routes[i].deny, rules->deny, rules->deny_count);
    }
    for (size_t i = 0; i < c->edge_count; i++) {
        const struct config_edge *from = &c->edges[i];
        e->route_edges[i] = (struct route_edge){from->name,   place_of(&from->place), {{0}},
                                                from->weight, from->http_port,        from->https_port};
        fill_countries(&e->route_edges[i].serves, from->serves, from->serve_count);
    }
    return 0;
}

static int build_store(struct edge *e, struct buf *error)
{
    static const enum store_eviction evictions[] = {[EVICTION_VALUE] = STORE_EVICT_VALUE,
                                                    [EVICTION_LRU] = STORE_EVICT_LRU,
                                                    [EVICTION_S3FIFO] = STORE_EVICT_S3FIFO,
                                                    [EVICTION_FIFO] = STORE_EVICT_FIFO};
    const struct config *c = e->config;
    struct store_disk disks[CONFIG_DISKS_MAX];
    for (size_t i = 0; i < c->arena.disk_count; i++)
        disks[i] = (struct store_disk){c->arena.disks[i].path, c->arena.disks[i].size_bytes};
    struct store_site *sites = calloc(c->site_count, sizeof(*sites));
    if (!sites)
        return -ENOMEM;
    for (size_t i = 0; i < c->site_count; i++)
        sites[i] = (struct store_site){c->sites[i].name, c->sites[i].cache.guaranteed_bytes,
                                       c->sites[i].cache.max_bytes};
    struct store_options options = {
        .disks = disks,
        .disk_count = c->arena.disk_count,
        .region_bytes = c->arena.region_size_bytes,
        .transient_bytes = c->limits.transient_bytes_max,
        .scrub_interval_ms = c->arena.scrub_interval_ms == CONFIG_NONE ? 0 : c->arena.scrub_interval_ms,
        .eviction = evictions[c->arena.eviction],
        .site_count = (uint32_t)c->site_count,
        .sites = sites,
    };
    int r = store_open(&options, error, &e->store);
    free(sites);
    return r;
}

/* Without a disk there is nothing that a purge would have to outlive. */
static int build_purges(struct edge *e, struct buf *error)
{
    const struct config *c = e->config;
    struct purge_options options = {
        .store = e->store,
        .path = c->arena.disk_count == 0 ? NULL
                : c->state               ? c->state
                                         : c->arena.disks[0].path,
        .rules_max = c->limits.purge_rules_max,
    };
    return purge_open(&options, error, &e->purges);
}

static int build_access_log(struct edge *e, struct buf *error)
{
    const struct config_access_log *log = &e->config->access_log;
    struct access_log_options options = {
        .path = log->path,
        .edge = e->config->edge,
        .worker_count = e->worker_count,
        .viewer_address = log->viewer_address,
    };
    return log->path ? access_log_open(&options, error, &e->access_log) : 0;
}

/* Besides viewers: the admin's, listeners, logs and libraries' own; the arena's regions; and connections to
 * origins, which take at most a quarter of all. */
static uint64_t descriptors_reserved(const struct edge *e, uint64_t all)
{
    const struct config *c = e->config;
    uint64_t count = DESCRIPTORS_RESERVED + e->worker_count * (c->listener_count + 8);
    for (size_t i = 0; i < c->arena.disk_count; i++)
        count += c->arena.disks[i].size_bytes / c->arena.region_size_bytes + 16;
    uint64_t origins = c->site_count * DESCRIPTORS_PER_SITE;
    return count + (origins < all / 4 ? origins : all / 4);
}

/* How many connections there may be is known before the first one comes. */
static int build_quota(struct edge *e)
{
    machine_init(&e->machine, e->config->limits.memory_max_bytes);
    uint64_t wanted = e->config->limits.connections_max, all = e->machine.descriptors_max;
    uint64_t max = quota_fit(wanted, all, descriptors_reserved(e, all));
    if (max < wanted)
        log_warn(
            "limits.connections_max is %llu, but of %llu descriptors only %llu are left for connections: "
            "raise the limit of open files (LimitNOFILE=, ulimit -n)",
            (unsigned long long)wanted, (unsigned long long)all, (unsigned long long)max);
    e->quota = quota_new(e->config, max, e->worker_count);
    return e->quota ? 0 : -ENOMEM;
}

static int build_flights(struct edge *e)
{
    struct flight_table_options options = {
        .store = e->store,
        .slice_bytes = e->config->arena.slice_size_bytes,
        .worker_count = e->worker_count,
        .mailboxes = e->mailboxes,
        .ledgers = e->ledgers,
        .purges = e->purges,
    };
    e->flights = flight_table_new(&options);
    return e->flights ? 0 : -ENOMEM;
}

/* ---- the uplink ---- */

static void on_egress_look(struct timer *t)
{
    struct edge *e = container_of(t, struct edge, egress_look);
    uint64_t *before = e->egress_sent_bytes, *since = before + e->config->site_count;
    uint64_t now_ms = loop_now_ms(e->loop);
    for (size_t i = 0; i < e->config->site_count; i++) {
        uint64_t sent = 0;
        for (size_t w = 0; w < e->worker_count; w++)
            sent += ledger_site_sent(e->ledgers[w], (unsigned)i + 1);
        since[i] = sent - before[i];
        before[i] = sent;
    }
    egress_step(e->egress, since, now_ms - e->egress_looked_ms);
    e->egress_looked_ms = now_ms;
    timer_start(e->loop, &e->egress_look, EGRESS_LOOK_MS);
}

static int build_egress(struct edge *e)
{
    const struct config *c = e->config;
    timer_init(&e->egress_look, on_egress_look);
    if (c->uplink_bytes_per_s == 0)
        return 0;
    e->egress_sent_bytes = calloc(2 * c->site_count, sizeof(*e->egress_sent_bytes));
    if (!e->egress_sent_bytes)
        return -ENOMEM;
    for (size_t i = 0; i < c->site_count; i++)
        e->egress_sent_bytes[i] = c->sites[i].uplink_weight;
    e->egress = egress_new(c->uplink_bytes_per_s, e->egress_sent_bytes, c->site_count);
    memset(e->egress_sent_bytes, 0, c->site_count * sizeof(*e->egress_sent_bytes));
    return e->egress ? 0 : -ENOMEM;
}

static void start_egress(struct edge *e)
{
    e->egress_looked_ms = loop_now_ms(e->loop);
    if (e->egress)
        timer_start(e->loop, &e->egress_look, EGRESS_LOOK_MS);
}

static int check_congestion(const struct config *c, struct buf *error)
{
    for (size_t i = 0; i < c->site_count; i++) {
        const char *name = c->sites[i].congestion_control;
        if (name && !stream_has_congestion(name)) {
            buf_printf(error,
                       "sites[%zu].congestion_control: this machine has no \"%s\", or does not allow it "
                       "(net.ipv4.tcp_allowed_congestion_control)",
                       i, name);
            return -EINVAL;
        }
    }
    return 0;
}

static int build_shared(struct edge *e, struct buf *error)
{
    e->catalog = catalog_new(CATALOG_ENTRIES_MAX);
    int r = e->catalog ? loop_new(&e->loop) : -ENOMEM;
    if (r == 0)
        r = build_routes(e);
    if (r == 0)
        r = places_new(e->config, e->worker_count, error, &e->places);
    if (r == 0)
        r = build_access_log(e, error);
    if (r == 0)
        r = build_store(e, error);
    if (r == 0)
        r = build_purges(e, error);
    if (r == 0)
        r = build_flights(e);
    if (r == 0)
        r = build_quota(e);
    if (r == 0)
        r = build_egress(e);
    return r;
}

/* ---- workers ---- */

static int build_workers(struct edge *e)
{
    int r = 0;
    e->bound = calloc(e->config->listener_count, sizeof(*e->bound));
    e->workers = calloc(e->worker_count, sizeof(*e->workers));
    e->mailboxes = calloc(e->worker_count, sizeof(*e->mailboxes));
    e->ledgers = calloc(e->worker_count, sizeof(*e->ledgers));
    if (!e->bound || !e->workers || !e->mailboxes || !e->ledgers)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < e->worker_count; i++) {
        r = worker_new((unsigned)i, e->config->site_count, &e->workers[i]);
        if (r == 0) {
            e->mailboxes[i] = worker_mailbox(e->workers[i]);
            e->ledgers[i] = worker_ledger(e->workers[i]);
        }
    }
    return r;
}

static int prepare_workers(struct edge *e)
{
    const struct config *c = e->config;
    struct worker_shared shared = {
        .config = c,
        .sites = e->sites,
        .site_routes = e->site_routes,
        .places = e->places,
        .edges = e->route_edges,
        .edge_count = c->edge_count,
        .self_index = c->self ? (size_t)(c->self - c->edges) : 0,
        .store = e->store,
        .flights = e->flights,
        .purges = e->purges,
        .catalog = e->catalog,
        .access_log = e->access_log,
        .tls_server = certificates_server(e->certificates),
        .quota = e->quota,
        .workers = e->workers,
        .worker_count = e->worker_count,
        .upstreams = e->upstreams,
        .admit = e->admit,
        .hit_for_miss = e->hit_for_miss,
        .machine = &e->machine,
        .egress = e->egress,
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < e->worker_count; i++)
        r = worker_prepare(e->workers[i], &shared);
    return r;
}

static int cannot_listen(const struct addr *address, int reason, struct buf *error)
{
    char text[ADDR_TEXT_MAX];
    addr_format(address, text);
    buf_printf(error, "cannot listen at %s: %s", text, strerror(-reason));
    return reason;
}

/* Before anything of ours listens: our own sockets share addresses, and so would those of a second edge. */
static int probe_addresses(const struct config *c, struct buf *error)
{
    int r = c->has_admin ? listener_probe(&c->admin) : 0;
    if (r < 0)
        return cannot_listen(&c->admin, r, error);
    for (size_t i = 0; i < c->listener_count; i++) {
        r = listener_probe(&c->listeners[i].address);
        if (r < 0)
            return cannot_listen(&c->listeners[i].address, r, error);
    }
    return 0;
}

/* Each worker has a socket of its own at every address; the first one's port counts where the system chooses
 * it. From here on viewers may connect; they wait until the workers run. */
static int open_listeners(struct edge *e, struct buf *error)
{
    for (size_t i = 0; i < e->config->listener_count; i++) {
        const struct config_listener *l = &e->config->listeners[i];
        e->bound[i] = l->address;
        for (size_t w = 0; w < e->worker_count; w++) {
            int r = worker_listen(e->workers[w], &e->bound[i], l, &e->bound[i]);
            if (r < 0)
                return cannot_listen(&l->address, r, error);
        }
    }
    return 0;
}

static void announce_listeners(const struct edge *e)
{
    char text[ADDR_TEXT_MAX];
    for (size_t i = 0; i < e->config->listener_count; i++) {
        addr_format(&e->bound[i], text);
        printf("edge ready %s://%s\n", e->config->listeners[i].tls ? "https" : "http", text);
    }
    fflush(stdout);
}

static int start_workers(struct edge *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < e->worker_count; i++)
        r = worker_start(e->workers[i]);
    return r;
}

static int open_admin(struct edge *e, struct buf *error)
{
    const struct config *c = e->config;
    char text[ADDR_TEXT_MAX];
    struct addr bound;
    if (!c->has_admin)
        return 0;
    e->site_names = calloc(c->site_count, sizeof(*e->site_names));
    e->server_stats = calloc(e->worker_count, sizeof(*e->server_stats));
    e->fetch_stats = calloc(e->worker_count, sizeof(*e->fetch_stats));
    e->origin_stats = calloc(e->worker_count, sizeof(*e->origin_stats));
    e->overloads = calloc(e->worker_count, sizeof(*e->overloads));
    if (!e->overloads || !e->site_names || !e->server_stats || !e->fetch_stats || !e->origin_stats)
        return -ENOMEM;
    for (size_t i = 0; i < c->site_count; i++)
        e->site_names[i] = c->sites[i].name;
    for (size_t i = 0; i < e->worker_count; i++) {
        e->server_stats[i] = worker_server_stats(e->workers[i]);
        e->overloads[i] = worker_overload(e->workers[i]);
        e->fetch_stats[i] = worker_fetch_stats(e->workers[i]);
        e->origin_stats[i] = worker_origin_stats(e->workers[i]);
    }
    struct admin_source source = {
        .edge = c->edge,
        .version = SHOREBREAK_VERSION,
        .started_wall_ms = clock_wall_ms(),
        .site_names = e->site_names,
        .site_count = c->site_count,
        .worker_count = e->worker_count,
        .ledgers = e->ledgers,
        .servers = e->server_stats,
        .overloads = e->overloads,
        .fetches = e->fetch_stats,
        .origins = e->origin_stats,
        .upstreams = e->upstreams,
        .store = e->store,
        .quota = e->quota,
        .egress = e->egress,
        .access_log = e->access_log,
        .certificates = e->certificates,
        .places = e->places,
        .explain = {.sites = e->sites, .catalog = e->catalog, .store = e->store, .purges = e->purges},
        .purge = {.purges = e->purges,
                  .sites = e->sites,
                  .token = c->admin_token_file ? buf_slice(&e->admin_token) : (struct slice){NULL, 0}},
    };
    int r = admin_open(e->loop, &c->admin, &source, error, &e->admin);
    if (r < 0)
        return r;
    admin_address(e->admin, &bound);
    addr_format(&bound, text);
    printf("admin http://%s\n", text);
    return 0;
}

/* ---- signals and the end ---- */

static void on_terminate(int signal_number, void *user)
{
    struct edge *e = user;
    log_info("signal %d: ending", signal_number);
    loop_stop(e->loop);
}

static void on_hangup(int signal_number, void *user)
{
    struct edge *e = user;
    (void)signal_number;
    if (e->access_log)
        access_log_reopen(e->access_log);
    if (e->certificates)
        certificates_reload(e->certificates);
    if (e->places)
        places_reload(e->places);
}

/* Waits for so many of them, STOP_GRACE_MS in all. */
static void await_drained(sem_t *drained, size_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_GRACE_MS / 1000;
    while (count > 0)
        if (sem_clockwait(drained, CLOCK_MONOTONIC, &until) == 0)
            count--;
        else if (errno != EINTR)
            return;
}

static void stop_workers(struct edge *e)
{
    size_t started = 0;
    while (started < e->worker_count && e->workers && e->workers[started] &&
           worker_is_started(e->workers[started]))
        started++;
    sem_t drained;
    sem_init(&drained, 0, 0);
    for (size_t i = 0; i < started; i++)
        worker_drain(e->workers[i], &drained);
    await_drained(&drained, started);
    for (size_t i = 0; i < started; i++)
        worker_halt(e->workers[i]);
    for (size_t i = 0; i < started; i++)
        worker_join(e->workers[i]);
    sem_destroy(&drained);
    for (size_t i = 0; i < e->worker_count; i++)
        if (e->workers && e->workers[i])
            worker_end(e->workers[i]);
    for (size_t i = 0; i < e->worker_count; i++)
        if (e->workers)
            worker_free(e->workers[i]);
}

static void edge_fini(struct edge *e)
{
    admin_close(e->admin);
    stop_workers(e);
    if (e->flights)
        flight_table_free(e->flights);
    purge_close(e->purges);
    if (e->store)
        store_close(e->store);
    quota_free(e->quota);
    egress_free(e->egress);
    free(e->egress_sent_bytes);
    machine_fini(&e->machine);
    access_log_close(e->access_log);
    certificates_free(e->certificates);
    upstreams_free(e->upstreams);
    admit_free(e->admit);
    hit_for_miss_free(e->hit_for_miss);
    places_free(e->places);
    if (e->catalog)
        catalog_free(e->catalog);
    site_table_free(e->sites);
    if (e->loop)
        loop_free(e->loop);
    free(e->site_routes);
    free(e->route_edges);
    free(e->workers);
    free(e->bound);
    free(e->mailboxes);
    free(e->ledgers);
    free(e->site_names);
    free(e->server_stats);
    free(e->fetch_stats);
    buf_fini(&e->admin_token);
    free(e->origin_stats);
    free(e->overloads);
    config_unref(e->config);
}

/* A connection is a descriptor: as many as we may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- privileges ---- */

static void allow_reading(void *user, const char *path)
{
    sandbox_files_read(user, path);
}

/* The log is reopened when its file was renamed: its folder, unless that is one of devices. */
static void allow_logging(struct sandbox_files *files, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!path || strcmp(path, "-") == 0)
        return;
    bool is_device = strncmp(path, "/dev/", sizeof("/dev/") - 1) == 0;
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    sandbox_files_write(files, is_device ? path : folder);
}

/* With the sockets open and the keys read, and before there are threads. */
static int give_up_privileges(struct edge *e, struct buf *error)
{
    const struct config *c = e->config;
    struct sandbox_files files;
    int r = 0;
    for (size_t i = 0; i < c->arena.disk_count && r == 0; i++)
        r = sandbox_make_folder(c->arena.disks[i].path, c->user, error);
    if (r == 0)
        r = sandbox_make_folder(c->state, c->user, error);
    if (r == 0 && c->user)
        r = sandbox_become(c->user, error);
    if (r < 0 || !c->sandbox)
        return r;
    sandbox_files_begin(&files);
    config_each_path(c, allow_reading, &files);
    for (size_t i = 0; i < c->arena.disk_count; i++)
        sandbox_files_write(&files, c->arena.disks[i].path);
    sandbox_files_write(&files, c->state);
    sandbox_files_write(&files, "/dev/null"); /* where the disks' threads send what is to be in memory */
    allow_logging(&files, c->access_log.path);
    return sandbox_files_restrict(&files, error);
}

static int edge_run(struct edge *e, struct buf *error)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    e->worker_count = e->config->workers ? e->config->workers
                                         : size_min((size_t)(cores > 0 ? cores : 1), FLIGHT_WORKERS_MAX);
    raise_descriptor_limit();
    int r = check_congestion(e->config, error);
    if (r == 0)
        r = probe_addresses(e->config, error);
    buf_init(&e->admin_token, ADMIN_TOKEN_MAX);
    if (r == 0 && e->config->admin_token_file)
        r = admin_read_token(e->config->admin_token_file, &e->admin_token, error);
    if (r == 0)
        r = build_sites(e, error);
    if (r == 0 && e->config->sandbox)
        r = sandbox_forbid_rings(error);
    if (r == 0)
        r = build_workers(e);
    if (r == 0)
        r = open_listeners(e, error);
    if (r == 0)
        r = give_up_privileges(e, error);
    if (r == 0)
        r = build_shared(e, error);
    if (r == 0)
        r = prepare_workers(e);
    if (r == 0)
        r = loop_on_signal(e->loop, SIGINT, on_terminate, e);
    if (r == 0)
        r = loop_on_signal(e->loop, SIGTERM, on_terminate, e);
    if (r == 0)
        r = loop_on_signal(e->loop, SIGHUP, on_hangup, e);
    if (r == 0) /* before the workers run: their loops are theirs from then on */
        r = open_admin(e, error);
    if (r == 0 && e->config->sandbox)
        r = sandbox_restrict_calls(error);
    if (r == 0 && e->certificates)
        r = certificates_start(e->certificates);
    if (r == 0 && e->places)
        r = places_start(e->places);
    if (r == 0)
        r = start_workers(e);
    if (r == 0)
        start_egress(e);
    if (r == 0)
        announce_listeners(e);
    if (r == 0)
        loop_run(e->loop);
    return r;
}

static int usage(FILE *to, int status)
{
    fputs("usage: edge CONFIG.yaml                  serve\n"
          "       edge --check CONFIG.yaml          read the configuration, say what is wrong with it, and "
          "end\n"
          "       edge arena check|stat|dump PATH   look into an arena that no edge is using\n"
          "       edge --version\n",
          to);
    return status;
}

/* The configuration's mistakes are whole lines, other errors a sentence, and some have none. */
static void complain(int error, struct slice text)
{
    if (text.size > 0)
        fprintf(stderr, "%.*s%s", SLICE_ARG(text), text.data[text.size - 1] == '\n' ? "" : "\n");
    else
        fprintf(stderr, "edge: cannot start: %s\n", strerror(-error));
}

int main(int argc, char **argv)
{
    struct edge edge = {.machine = {.statm_fd = -1}};
    struct buf error;
    bool is_check = argc == 3 && strcmp(argv[1], "--check") == 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("shorebreak edge " SHOREBREAK_VERSION);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (argc == 4 && strcmp(argv[1], "arena") == 0) {
        int status = arena_tool(argv[2], argv[3], stdout, stderr);
        return status == 2 ? usage(stderr, 2) : status;
    }
    if ((argc != 2 && !is_check) || argv[argc - 1][0] == '-')
        return usage(stderr, 2);
    signal(SIGPIPE, SIG_IGN);
    tls_manage_memory();
    log_set_name("edge");
    if (getenv("SHOREBREAK_FAULTS"))
        fault_arm_from_text(getenv("SHOREBREAK_FAULTS"));
    buf_init(&error, ERROR_SIZE_MAX);
    int r = config_load(argv[argc - 1], &error, &edge.config);
    if (r == 0 && !is_check)
        r = edge_run(&edge, &error);
    if (r < 0)
        complain(r, buf_slice(&error));
    edge_fini(&edge);
    buf_fini(&error);
    return r < 0 ? 1 : 0;
}
