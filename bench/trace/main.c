/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a trace of requests through the store's policy (edge/store/worth.h) on simulated regions, and
 * beside it through the classics, object by object. Prints a table for each size of cache.
 *
 *   bench_trace FILE [--sizes 1,3,10] [--region-mib 64] [--object-kib 256] [--seed 1] [--only-edge] [--csv]
 *
 * FILE: records of 24 bytes or lines of CSV (file.h); - reads stdin. Sizes are percent of all distinct bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "regions.h"

#define SIZES_MAX 16

struct arguments {
    const char *path;
    double sizes[SIZES_MAX];
    unsigned size_count;
    struct regions_options regions;
    bool is_only_edge, is_csv;
};

struct row {
    const char *name;
    struct trace_result result;
    double seconds;
};

static _Noreturn void usage(void)
{
    fprintf(stderr,
            "usage: bench_trace FILE [--sizes 1,3,10] [--region-mib 64] [--object-kib 256] [--seed 1] "
            "[--only-edge] [--csv]\n");
    exit(2);
}

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_trace: %s: %s\n", what, why);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void parse_sizes(const char *text, struct arguments *a)
{
    char *end;
    for (a->size_count = 0; a->size_count < SIZES_MAX; text = end + 1) {
        double size = strtod(text, &end);
        if (end == text || size <= 0 || size > 100)
            usage();
        a->sizes[a->size_count++] = size;
        if (*end == '\0')
            return;
    }
    usage();
}

static uint64_t parse_number(const char *text)
{
    char *end;
    uint64_t number = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end != '\0' || number == 0)
        usage();
    return number;
}

static struct arguments parse(char **argv)
{
    struct arguments a = {.sizes = {1, 3, 10},
                          .size_count = 3,
                          .regions = {.region_bytes = 64u << 20, .object_bytes_avg = 256u << 10, .seed = 1}};
    for (char **arg = argv + 1; *arg; arg++) {
        if (strcmp(*arg, "--sizes") == 0 && arg[1])
            parse_sizes(*++arg, &a);
        else if (strcmp(*arg, "--region-mib") == 0)
            a.regions.region_bytes = parse_number(*++arg) << 20;
        else if (strcmp(*arg, "--object-kib") == 0)
            a.regions.object_bytes_avg = parse_number(*++arg) << 10;
        else if (strcmp(*arg, "--seed") == 0)
            a.regions.seed = parse_number(*++arg);
        else if (strcmp(*arg, "--only-edge") == 0)
            a.is_only_edge = true;
        else if (strcmp(*arg, "--csv") == 0)
            a.is_csv = true;
        else if (!a.path && (strncmp(*arg, "--", 2) != 0))
            a.path = *arg;
        else
            usage();
    }
    if (!a.path)
        usage();
    return a;
}

static struct trace read_trace(const char *path)
{
    struct trace t;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file)
        die(path, strerror(errno));
    int rv = trace_read(file, &t);
    if (rv < 0)
        die(path, strerror(-rv));
    if (file != stdin)
        fclose(file);
    return t;
}

static struct row run_edge(const struct trace *t, uint64_t capacity_bytes, const char *name,
                           const struct regions_options *options, enum worth_policy policy)
{
    struct row row = {.name = name};
    struct regions_options own = *options;
    double began_s = cpu_s();
    own.policy = policy;
    if (!trace_regions(t, capacity_bytes, &own, &row.result))
        die(name, "out of memory");
    row.seconds = cpu_s() - began_s;
    return row;
}

static struct row run_classic(const struct trace *t, uint64_t capacity_bytes, const char *name,
                              trace_policy_fn *policy)
{
    struct row row = {.name = name};
    double began_s = cpu_s();
    if (!policy(t, capacity_bytes, &row.result))
        die(name, "out of memory");
    row.seconds = cpu_s() - began_s;
    return row;
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

/* To classics that were not run the ratio is 0: shown as a dash. */
static void print_ratio(const struct arguments *a, double value)
{
    if (value > 0)
        printf(a->is_csv ? ",%.4f" : " %8.3f", value);
    else
        printf(a->is_csv ? "," : " %8s", "-");
}

static void print_row(const struct arguments *a, const struct trace *t, double size, uint64_t capacity_bytes,
                      const struct row *row, const struct row *lru, const struct row *s3fifo)
{
    const struct trace_result *r = &row->result;
    double admitted = (double)(r->written_bytes - r->rewritten_bytes);
    if (a->is_csv)
        printf("%g,%s", size, row->name);
    else
        printf("%5g %% %-16s", size, row->name);
    print_ratio(a, ratio(r->missed_requests, t->request_count));
    print_ratio(a, ratio(r->missed_bytes, t->requested_bytes));
    print_ratio(a, lru ? ratio(r->missed_bytes, lru->result.missed_bytes) : 0);
    print_ratio(a, s3fifo ? ratio(r->missed_bytes, s3fifo->result.missed_bytes) : 0);
    print_ratio(a, ratio(r->written_bytes, r->missed_bytes));
    print_ratio(a, admitted > 0 ? (double)r->written_bytes / admitted : 0);
    print_ratio(a, row->seconds * 1e6 / t->request_count);
    print_ratio(a, ratio(r->memory_bytes, capacity_bytes / a->regions.object_bytes_avg));
    putchar('\n');
}

static void print_head(const struct arguments *a, const struct trace *t)
{
    if (a->is_csv) {
        puts("percent,policy,request_miss,byte_miss,of_lru,of_s3fifo,written_per_missed,write_amplification,"
             "us_per_request,memory_per_object");
        return;
    }
    printf("%u requests of %u objects, %.1f GB; footprint %.1f GB; titles are %s\n\n", t->request_count,
           t->object_count, (double)t->requested_bytes / 1e9, (double)t->footprint_bytes / 1e9,
           t->has_structure ? "known" : "not known");
    printf("%7s %-16s %8s %8s %8s %8s %8s %8s %8s %8s\n", "cache", "policy", "requests", "bytes", "of LRU",
           "of S3", "written/", "written/", "us a", "memory");
    printf("%7s %-16s %8s %8s %8s %8s %8s %8s %8s %8s\n", "", "", "missed", "missed", "", "", "missed",
           "admitted", "request", "B/object");
}

static void run_size(const struct arguments *a, const struct trace *t, double size)
{
    uint64_t capacity_bytes = (uint64_t)((double)t->footprint_bytes * size / 100);
    struct row rows[8];
    unsigned count = 0;
    rows[count++] = run_edge(t, capacity_bytes, "value", &a->regions, WORTH_VALUE);
    if (!a->is_only_edge) {
        rows[count++] = run_edge(t, capacity_bytes, "lru-regions", &a->regions, WORTH_LRU);
        rows[count++] = run_edge(t, capacity_bytes, "fifo-regions", &a->regions, WORTH_FIFO);
        rows[count++] = run_classic(t, capacity_bytes, "lru", trace_lru);
        rows[count++] = run_classic(t, capacity_bytes, "s3-fifo", trace_s3fifo);
        rows[count++] = run_classic(t, capacity_bytes, "fifo", trace_fifo);
        rows[count++] = run_classic(t, capacity_bytes, "sieve", trace_sieve);
        rows[count++] = run_classic(t, capacity_bytes, "belady", trace_belady);
    }
    for (unsigned i = 0; i < count; i++)
        print_row(a, t, size, capacity_bytes, &rows[i], count > 1 ? &rows[3] : NULL,
                  count > 1 ? &rows[4] : NULL);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    (void)argc;
    struct arguments a = parse(argv);
    struct trace t = read_trace(a.path);
    print_head(&a, &t);
    for (unsigned i = 0; i < a.size_count; i++)
        run_size(&a, &t, a.sizes[i]);
    trace_free(&t);
    return 0;
}
