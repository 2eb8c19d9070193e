/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A crowd of players, each on a connection and an address of its own, who come one after the other and then
 * take one segment behind the other at the pace of the server. Beside them new viewers come, ask for
 * something, and leave with the first byte: what these wait is what a crowd costs the others.
 *
 *   bench_crowd ADDRESS PORT PLAYERS OPEN_S WATCH_S RATE NEW_PER_S SEGMENTS NEW
 *
 * RATE: bytes a second that a player plays, and asks for as CMCD's rtp. SEGMENTS, NEW: files of paths, in
 * turn.
 *
 * A player starts to play when it holds START_S seconds, and plays on at RATE. It has stalled when it has
 * played all that has come. First bytes are timed from the sending of the request, when the connection
 * stands.
 *
 * Made to cost the server nothing but its work, and never to be what is waited for: bodies are thrown away in
 * the kernel, and not when they come (a wake-up each) but in a round over all players; only who waits for a
 * first byte is polled for, and the program never sleeps. How late the round was is printed: where that is
 * much, the client was the bottleneck. Prints "watching" and "watched" around the steady part, then one JSON
 * object.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS      ((uint64_t)1000000000)
#define ROUND_NS       (SECOND_NS / 10)
#define DRAINS_AT_ONCE 32 /* then first bytes are looked for again */
#define START_S        2
#define SETTLE_S       2
#define PLAYERS_MAX    100000
#define VISITORS_MAX   4096
#define SAMPLES_MAX    (1u << 20)
#define END_SOON_SIZE \
    (64u << 10) /* so near to a segment's end a player is polled for: the next request is not late */
#define RECEIVE_ROOM (1 << 20)     /* as a player's has become after a while: no burst finds it full */
#define ADDRESSES    ((size_t)250) /* of 127.x.y.1 to 127.x.y.250 */
#define PLAYERS_NET  1             /* 127.1.0.0/16 and what follows */
#define VISITORS_NET 101

enum viewer_state { VIEWER_ABSENT, VIEWER_CONNECTING, VIEWER_ASKING, VIEWER_TAKING };

struct viewer {
    int fd;
    enum viewer_state state;
    bool is_player, is_polled, is_first; /* its connection's first request */
    size_t next_path;
    uint64_t asked_ns, body_left;
    uint64_t got_bytes, watch_begin_bytes;
    uint64_t play_began_ns; /* moved on by stalls; 0: it has not begun */
    uint64_t stalled_ns;
};

struct paths {
    char **requests;
    size_t count;
};

struct samples {
    uint32_t *us;
    size_t count;
};

static struct crowd {
    struct sockaddr_in to;
    struct paths segments, news;
    struct viewer *players, visitors[VISITORS_MAX];
    size_t player_count, opened, visitor_count, free_visitors[VISITORS_MAX];
    uint64_t rate, new_per_s;
    int epoll;
    bool is_watching;
    uint64_t began_ns, open_ns, drains, visits;
    uint64_t failures, turned_away; /* connections that broke; visitors for whom there was no room here */
    struct samples opening, segment, visitor, late;
} crowd;

static void die(const char *what)
{
    fprintf(stderr, "bench_crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void add_sample(struct samples *s, uint64_t ns)
{
    if (s->count < SAMPLES_MAX)
        s->us[s->count++] = (uint32_t)(ns / 1000);
}

static void paths_read(struct paths *paths, const char *file_name, const char *address)
{
    FILE *file = fopen(file_name, "r");
    char *line = NULL;
    size_t capacity = 0;
    if (!file)
        die(file_name);
    while (getline(&line, &capacity, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        paths->requests = realloc(paths->requests, (paths->count + 1) * sizeof(*paths->requests));
        if (!paths->requests || asprintf(&paths->requests[paths->count++],
                                         "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n"
                                         "CMCD-Status: rtp=%llu\r\n\r\n",
                                         line, address, (unsigned long long)crowd.rate * 8 / 1000) < 0)
            die("requests");
    }
    free(line);
    fclose(file);
    if (paths->count == 0)
        die("no paths");
}

/* --- one viewer --- */

static void viewer_poll(struct viewer *v, bool wanted, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = v};
    int change = !wanted ? EPOLL_CTL_DEL : v->is_polled ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(crowd.epoll, change, v->fd, &event) < 0)
        die("epoll_ctl");
    v->is_polled = wanted;
}

static void viewer_leave(struct viewer *v)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* no TIME_WAIT */
    setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(v->fd);
    v->state = VIEWER_ABSENT;
    if (!v->is_player)
        crowd.free_visitors[--crowd.visitor_count] = (size_t)(v - crowd.visitors);
}

static void viewer_fail(struct viewer *v, const char *why)
{
    if (crowd.failures++ == 0)
        fprintf(stderr, "bench_crowd: %s: %s\n", why, strerror(errno));
    viewer_leave(v);
}

static void viewer_connect(struct viewer *v, unsigned net, size_t number)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1, room = RECEIVE_ROOM;
    from.sin_addr.s_addr = htonl((127u << 24) + ((uint32_t)net << 16) +
                                 (uint32_t)(((number / ADDRESSES) << 8) + 1 + number % ADDRESSES));
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (v->fd < 0)
        die("socket");
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    if (bind(v->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        (connect(v->fd, (struct sockaddr *)&crowd.to, sizeof(crowd.to)) < 0 && errno != EINPROGRESS))
        die("connect");
    v->state = VIEWER_CONNECTING;
    v->is_first = true;
    v->is_polled = false;
    viewer_poll(v, true, EPOLLOUT);
}

static void viewer_ask(struct viewer *v)
{
    struct paths *paths = v->is_player ? &crowd.segments : &crowd.news;
    const char *request = paths->requests[v->next_path++ % paths->count];
    v->state = VIEWER_ASKING;
    v->asked_ns = now_ns();
    if (send(v->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        viewer_fail(v, "send");
        return;
    }
    viewer_poll(v, true, EPOLLIN);
}

/* What a player sees of what has come until now. */
static void viewer_play(struct viewer *v, uint64_t now, uint64_t come_bytes)
{
    uint64_t media_ns = v->got_bytes * SECOND_NS / crowd.rate;
    if (v->play_began_ns > 0 && now - v->play_began_ns > media_ns) { /* it had played all before these came */
        v->stalled_ns += now - v->play_began_ns - media_ns;
        v->play_began_ns = now - media_ns;
    }
    v->got_bytes += come_bytes;
    if (v->play_began_ns == 0 && v->got_bytes >= START_S * crowd.rate)
        v->play_began_ns = now;
}

static void viewer_took(struct viewer *v, uint64_t size)
{
    viewer_play(v, now_ns(), size);
    v->body_left -= size;
    if (v->body_left == 0)
        viewer_ask(v);
    else if (v->is_polled != (v->body_left <= END_SOON_SIZE))
        viewer_poll(v, !v->is_polled, EPOLLIN);
}

/* The head, which comes in one piece, and what follows it. */
static void viewer_hear(struct viewer *v)
{
    static char text[4097];
    ssize_t size = recv(v->fd, text, sizeof(text) - 1, 0);
    const char *end, *length;
    uint64_t waited_ns = now_ns() - v->asked_ns, body;
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN)
            viewer_fail(v, "no response");
        return;
    }
    text[size] = '\0';
    end = strstr(text, "\r\n\r\n");
    length = strcasestr(text, "\r\nContent-Length:");
    if (!end || strncmp(text, "HTTP/1.1 200", 12) != 0 || !length || length > end) {
        viewer_fail(v, "not a 200 with a length");
        return;
    }
    if (crowd.is_watching || v->is_first)
        add_sample(!v->is_player ? &crowd.visitor : v->is_first ? &crowd.opening : &crowd.segment, waited_ns);
    if (!v->is_player) {
        viewer_leave(v);
        return;
    }
    v->is_first = false;
    v->state = VIEWER_TAKING;
    body = (uint64_t)(text + size - (end + 4));
    v->body_left = strtoull(length + 17, NULL, 10);
    viewer_took(v, body);
}

static void viewer_take(struct viewer *v)
{
    ssize_t size = recv(v->fd, NULL, v->body_left, MSG_TRUNC);
    if (size > 0)
        viewer_took(v, (uint64_t)size);
    else if (size == 0 || errno != EAGAIN)
        viewer_fail(v, "cut off");
    else
        viewer_play(v, now_ns(), 0);
}

static void viewer_on_event(struct viewer *v)
{
    int error = 0;
    socklen_t size = sizeof(error);
    switch (v->state) {
    case VIEWER_CONNECTING:
        if (getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || (errno = error) != 0)
            viewer_fail(v, "connect");
        else
            viewer_ask(v);
        break;
    case VIEWER_ASKING: viewer_hear(v); break;
    case VIEWER_TAKING: viewer_take(v); break;
    case VIEWER_ABSENT: break;
    }
}

/* --- all of them --- */

/* How many of `count` things that are spread over `over_ns` are due. */
static uint64_t due(uint64_t count, uint64_t passed_ns, uint64_t over_ns)
{
    return (uint64_t)((unsigned __int128)count * passed_ns / over_ns);
}

static void open_players(uint64_t passed_ns)
{
    uint64_t wanted = due(crowd.player_count, passed_ns, crowd.open_ns);
    for (int i = 0; i < DRAINS_AT_ONCE && crowd.opened < wanted && crowd.opened < crowd.player_count; i++) {
        struct viewer *v = &crowd.players[crowd.opened];
        v->is_player = true;
        v->next_path = crowd.opened;
        viewer_connect(v, PLAYERS_NET, crowd.opened++);
    }
}

static void open_visitors(uint64_t passed_ns)
{
    while (crowd.visits < due(crowd.new_per_s, passed_ns, SECOND_NS)) {
        crowd.visits++;
        if (crowd.visitor_count == VISITORS_MAX) {
            crowd.turned_away++;
            continue;
        }
        struct viewer *v = &crowd.visitors[crowd.free_visitors[crowd.visitor_count++]];
        *v = (struct viewer){.next_path = crowd.visits};
        viewer_connect(v, VISITORS_NET, crowd.visits % (200 * ADDRESSES));
    }
}

static void drain_players(uint64_t passed_ns)
{
    uint64_t wanted = due(crowd.player_count, passed_ns, ROUND_NS);
    if (crowd.player_count == 0)
        return;
    for (int i = 0; i < DRAINS_AT_ONCE && crowd.drains < wanted; i++) {
        struct viewer *v = &crowd.players[crowd.drains++ % crowd.player_count];
        if (v->state == VIEWER_TAKING)
            viewer_take(v);
        else if (v->state == VIEWER_ASKING)
            viewer_play(v, now_ns(), 0);
    }
    if (crowd.is_watching && crowd.drains % 64 == 0)
        add_sample(&crowd.late, (wanted - crowd.drains) * ROUND_NS / crowd.player_count);
}

static void run_until(uint64_t passed_ns)
{
    struct epoll_event events[256];
    for (uint64_t passed; (passed = now_ns() - crowd.began_ns) < passed_ns;) {
        int count = epoll_wait(crowd.epoll, events, 256, 0);
        for (int i = 0; i < count; i++)
            viewer_on_event(events[i].data.ptr);
        open_players(passed);
        drain_players(passed);
        if (crowd.is_watching)
            open_visitors(passed - crowd.open_ns - SETTLE_S * SECOND_NS);
    }
}

/* Who still waits has waited so long at least. */
static void count_waiting(void)
{
    uint64_t now = now_ns();
    for (size_t i = 0; i < crowd.player_count; i++) {
        struct viewer *v = &crowd.players[i];
        if (v->state == VIEWER_ASKING)
            add_sample(v->is_first ? &crowd.opening : &crowd.segment, now - v->asked_ns);
    }
    for (size_t i = 0; i < VISITORS_MAX; i++)
        if (crowd.visitors[i].state == VIEWER_ASKING)
            add_sample(&crowd.visitor, now - crowd.visitors[i].asked_ns);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *name, const struct samples *s)
{
    size_t n = s->count;
    qsort(s->us, n, sizeof(*s->us), compare);
    printf(", \"%s_us\": {\"count\": %zu, \"p50\": %u, \"p99\": %u, \"max\": %u}", name, n,
           n ? s->us[n / 2] : 0, n ? s->us[n * 99 / 100] : 0, n ? s->us[n - 1] : 0);
}

static void print_players(uint64_t watch_ns)
{
    uint64_t bytes = 0, stalled_ns = 0;
    size_t stalled = 0, unstarted = 0, n = crowd.player_count;
    uint32_t *rates = calloc(n, sizeof(*rates));
    if (!rates)
        die("rates");
    for (size_t i = 0; i < n; i++) {
        struct viewer *v = &crowd.players[i];
        uint64_t got = v->got_bytes - v->watch_begin_bytes;
        rates[i] = (uint32_t)(got * SECOND_NS / watch_ns);
        bytes += got;
        stalled += v->stalled_ns > 0;
        unstarted += v->play_began_ns == 0;
        stalled_ns += v->stalled_ns;
    }
    qsort(rates, n, sizeof(*rates), compare);
    printf(
        "{\"players\": %zu, \"watch_s\": %.3f, \"bytes\": %llu, \"failures\": %llu, \"turned_away\": %llu, "
        "\"stalled\": %zu, \"unstarted\": %zu, \"stalled_s\": %.3f, "
        "\"rate\": {\"min\": %u, \"p1\": %u, \"p50\": %u, \"max\": %u}",
        n, (double)watch_ns / 1e9, (unsigned long long)bytes, (unsigned long long)crowd.failures,
        (unsigned long long)crowd.turned_away, stalled, unstarted, (double)stalled_ns / 1e9, rates[0],
        rates[n / 100], rates[n / 2], rates[n - 1]);
    free(rates);
}

static void crowd_init(char **argv)
{
    struct samples *all[] = {&crowd.opening, &crowd.segment, &crowd.visitor, &crowd.late};
    crowd.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    crowd.player_count = strtoul(argv[3], NULL, 10);
    crowd.open_ns = (uint64_t)(atof(argv[4]) * 1e9);
    crowd.rate = strtoull(argv[6], NULL, 10);
    crowd.new_per_s = strtoull(argv[7], NULL, 10);
    if (inet_pton(AF_INET, argv[1], &crowd.to.sin_addr) != 1 || crowd.player_count - 1 >= PLAYERS_MAX ||
        crowd.rate == 0 || crowd.open_ns == 0)
        die("arguments");
    paths_read(&crowd.segments, argv[8], argv[1]);
    paths_read(&crowd.news, argv[9], argv[1]);
    crowd.players = calloc(crowd.player_count, sizeof(*crowd.players));
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (!(all[i]->us = calloc(SAMPLES_MAX, sizeof(uint32_t))))
            die("samples");
    if (!crowd.players || crowd.epoll < 0)
        die("start");
    for (size_t i = 0; i < VISITORS_MAX; i++)
        crowd.free_visitors[i] = i;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    uint64_t steady_ns, watch_ns;
    if (argc != 10) {
        fprintf(stderr,
                "usage: bench_crowd ADDRESS PORT PLAYERS OPEN_S WATCH_S RATE NEW_PER_S SEGMENTS NEW\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    crowd_init(argv);
    steady_ns = crowd.open_ns + SETTLE_S * SECOND_NS;
    crowd.began_ns = now_ns();
    run_until(steady_ns);
    for (size_t i = 0; i < crowd.player_count; i++)
        crowd.players[i].watch_begin_bytes = crowd.players[i].got_bytes;
    puts("watching");
    fflush(stdout);
    crowd.is_watching = true;
    watch_ns = now_ns();
    run_until(steady_ns + (uint64_t)(atof(argv[5]) * 1e9));
    watch_ns = now_ns() - watch_ns;
    puts("watched");
    fflush(stdout);
    count_waiting();
    print_players(watch_ns);
    print_times("opening", &crowd.opening);
    print_times("segment", &crowd.segment);
    print_times("visitor", &crowd.visitor);
    print_times("late", &crowd.late);
    printf("}\n");
    return 0;
}
