/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses. Each name has an entry: its last good answer, who waits for the first one, and the
 * lookup that runs, if any. A lookup runs on libuv's pool and cannot be stopped there, so it is memory of its
 * own, and an entry that goes away leaves it without one.
 *
 *   resolve_start: literal --------------------------------> calls back
 *                  answered -- older than its time? lookup -> calls back with what there is
 *                  unanswered -- lookup, unless one runs ---> waits -- on_lookup_done --> calls back
 */
#include "io/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "loop_private.h"

#define NAME_SIZE_MAX 255 /* RFC 1035 section 2.3.4 */

struct lookup {
    uv_getaddrinfo_t request;
    struct entry *entry; /* NULL: nobody wants the answer any more */
};

struct entry {
    struct list node; /* in the resolver's, most recently used first */
    struct resolver *resolver;
    struct list waiting;   /* of struct resolve */
    struct lookup *lookup; /* NULL: none runs */
    uint64_t asked_ms;
    size_t count; /* 0: no good answer yet */
    struct addr addresses[RESOLVE_ADDRESSES_MAX];
    size_t name_size;
    char name[];
};

struct resolver {
    struct loop *loop;
    struct list entries;
    size_t entry_count;
};

int resolver_new(struct loop *l, struct resolver **ret_resolver)
{
    struct resolver *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->loop = l;
    list_init(&r->entries);
    *ret_resolver = r;
    return 0;
}

static void entry_free(struct entry *e)
{
    struct resolve *resolve, *following;

    LIST_FOR_EACH_SAFE (resolve, following, &e->waiting, node)
        list_remove(&resolve->node);
    if (e->lookup) {
        e->lookup->entry = NULL;
        uv_cancel((uv_req_t *)&e->lookup->request); /* may run already; its callback comes in any case */
    }
    list_remove(&e->node);
    e->resolver->entry_count--;
    free(e);
}

void resolver_free(struct resolver *r)
{
    struct entry *e, *following;

    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an entry leaves the list before it is freed
    LIST_FOR_EACH_SAFE (e, following, &r->entries, node)
        entry_free(e);
    free(r);
}

/* The last that is done with an entry: the callback may free the resolver. */
static void call_back(struct resolve *resolve, int status, const struct addr *addresses, size_t count)
{
    struct addr with_port[RESOLVE_ADDRESSES_MAX];

    for (size_t i = 0; i < count; i++) {
        with_port[i] = addresses[i];
        with_port[i].port = resolve->port;
    }
    resolve->fn(resolve, status, with_port, count);
}

/* In the order of getaddrinfo, which is the order of preference (RFC 6724). */
static size_t take_addresses(const struct addrinfo *info, struct addr addresses[RESOLVE_ADDRESSES_MAX])
{
    size_t count = 0;

    for (; info && count < RESOLVE_ADDRESSES_MAX; info = info->ai_next)
        if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
            addr_from_sockaddr(info->ai_addr, &addresses[count++]);
    return count;
}

static void on_lookup_done(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct lookup *lookup = container_of(request, struct lookup, request);
    struct entry *e = lookup->entry;
    struct addr addresses[RESOLVE_ADDRESSES_MAX];
    size_t count = take_addresses(info, addresses);
    struct list waiting;

    uv_freeaddrinfo(info);
    free(lookup);
    if (!e)
        return;
    e->lookup = NULL;
    if (status == 0 && count == 0)
        status = UV_EAI_NODATA;
    if (status == 0) {
        memcpy(e->addresses, addresses, sizeof(addresses));
        e->count = count;
    }
    list_init(&waiting); /* a callback may free the entry, with the resolver */
    list_splice_back(&waiting, &e->waiting);
    while (!list_is_empty(&waiting)) {
        struct resolve *resolve = LIST_FIRST(&waiting, struct resolve, node);

        list_remove(&resolve->node);
        call_back(resolve, status, addresses, status == 0 ? count : 0);
    }
}

static int start_lookup(struct entry *e)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    int status;

    if (!lookup)
        return -ENOMEM;
    status =
        uv_getaddrinfo(loop_uv(e->resolver->loop), &lookup->request, on_lookup_done, e->name, NULL, &hints);
    if (status < 0) {
        free(lookup);
        return status;
    }
    lookup->entry = e;
    e->lookup = lookup;
    e->asked_ms = loop_now_ms(e->resolver->loop);
    return 0;
}

static struct entry *find(struct resolver *r, struct slice name)
{
    struct entry *e;

    LIST_FOR_EACH (e, &r->entries, node)
        if (slice_equal_nocase(slice_make(e->name, e->name_size), name))
            return e;
    return NULL;
}

/* The least recently used entry that nobody waits for gives way. */
static bool make_room(struct resolver *r)
{
    if (r->entry_count < RESOLVE_NAMES_MAX)
        return true;
    for (struct list *node = r->entries.prev; node != &r->entries; node = node->prev) {
        struct entry *e = LIST_ENTRY(node, struct entry, node);

        if (list_is_empty(&e->waiting)) {
            entry_free(e);
            return true;
        }
    }
    return false;
}

static struct entry *add(struct resolver *r, struct slice name)
{
    struct entry *e = make_room(r) ? calloc(1, sizeof(*e) + name.size + 1) : NULL;

    if (!e)
        return NULL;
    e->resolver = r;
    list_init(&e->waiting);
    e->name_size = name.size;
    memcpy(e->name, name.data, name.size);
    list_push_front(&r->entries, &e->node);
    r->entry_count++;
    return e;
}

/* An address, without brackets and without a port: colons are IPv6's, which has two at least. */
static bool parse_literal(struct slice name, struct addr *ret_addr)
{
    size_t colon = slice_find(name, ':');
    bool has_port =
        colon < name.size && slice_find(slice_skip(name, colon + 1), ':') == name.size - colon - 1;

    return slice_find(name, '[') == name.size && !has_port && addr_parse(name, ret_addr) == 0;
}

static int fail_at_once(struct resolve *resolve, int status)
{
    call_back(resolve, status, NULL, 0);
    return 1;
}

int resolve_start(struct resolver *r, struct resolve *resolve, const char *name_text, uint16_t port,
                  resolve_fn *fn)
{
    struct slice name = slice_of(name_text);
    struct addr literal;
    struct entry *e;
    int status = 0;

    *resolve = (struct resolve){.port = port, .fn = fn};
    list_init(&resolve->node);
    if (parse_literal(name, &literal)) {
        call_back(resolve, 0, &literal, 1);
        return 1;
    }
    if (name.size == 0 || name.size > NAME_SIZE_MAX)
        return fail_at_once(resolve, UV_EAI_NONAME);
    e = find(r, name);
    if (!e)
        e = add(r, name);
    if (!e)
        return fail_at_once(resolve, -ENOMEM);
    list_remove(&e->node);
    list_push_front(&r->entries, &e->node);
    if (!e->lookup && (e->count == 0 || loop_now_ms(r->loop) - e->asked_ms >= RESOLVE_TTL_MS))
        status = start_lookup(e);
    if (e->count > 0) {
        call_back(resolve, 0, e->addresses, e->count);
        return 1;
    }
    if (status < 0)
        return fail_at_once(resolve, status);
    list_push_back(&e->waiting, &resolve->node);
    return 0;
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve->node.next) /* else zeroed memory, never started */
        list_remove(&resolve->node);
}
