/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What arrives is looked at in the socket before it is taken out: of a header that is not whole yet every
 * byte belongs to it, of a whole one it is known how many do. So nothing behind it is taken.
 */
#include "io/proxy_protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "loop_private.h"

#define V1_SIZE_MAX  107
#define V2_HEAD_SIZE 16
#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define FAMILY_INET  1
#define FAMILY_INET6 2
#define STREAM       1

/* --- version 1: "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n" --- */

/* "0" to "65535", without zeros in front. */
static bool parse_port(struct slice text, uint16_t *ret_port)
{
    unsigned value = 0;

    if (text.size == 0 || text.size > 5 || (text.size > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool parse_address(struct slice text, bool is_ipv4, struct addr *ret_addr)
{
    bool has_dot = slice_find(text, '.') < text.size, has_colon = slice_find(text, ':') < text.size;

    if (text.size == 0 || slice_find(text, '[') < text.size || (is_ipv4 ? has_colon || !has_dot : !has_colon))
        return false;
    return addr_parse(text, ret_addr) == 0 && ret_addr->port == 0;
}

/* The next word; each is followed by one blank but for the last. */
static struct slice take_word(struct slice *rest)
{
    size_t size = slice_find(*rest, ' ');
    struct slice word = slice_make(rest->data, size);

    *rest = slice_skip(*rest, size < rest->size ? size + 1 : size);
    return word;
}

static bool parse_v1_line(struct slice line, struct proxy_header *ret)
{
    struct addr destination;
    struct slice source, target;
    uint16_t ports[2];
    bool is_ipv4;

    if (slice_equal(line, SLICE_LITERAL("PROXY UNKNOWN")) ||
        slice_starts_with(line, SLICE_LITERAL("PROXY UNKNOWN ")))
        return true;
    is_ipv4 = slice_starts_with(line, SLICE_LITERAL("PROXY TCP4 "));
    if (!is_ipv4 && !slice_starts_with(line, SLICE_LITERAL("PROXY TCP6 ")))
        return false;
    line = slice_skip(line, sizeof("PROXY TCP4 ") - 1);
    source = take_word(&line);
    target = take_word(&line);
    if (!parse_address(source, is_ipv4, &ret->source) || !parse_address(target, is_ipv4, &destination) ||
        !parse_port(take_word(&line), &ports[0]) || !parse_port(line, &ports[1]))
        return false;
    ret->source.port = ports[0];
    ret->has_source = true;
    return true;
}

static enum proxy_parse parse_v1(struct slice data, struct proxy_header *ret)
{
    struct slice start = slice_make(data.data, size_min(data.size, V1_SIZE_MAX));
    size_t end = slice_find(start, '\n');

    if (end == start.size)
        return data.size >= V1_SIZE_MAX ? PROXY_PARSE_BAD : PROXY_PARSE_MORE;
    ret->size = end + 1;
    if (end == 0 || data.data[end - 1] != '\r' || !parse_v1_line(slice_make(data.data, end - 1), ret))
        return PROXY_PARSE_BAD;
    return PROXY_PARSE_DONE;
}

/* --- version 2: a signature, version and command, family and protocol, length, addresses, extensions --- */

static void from_bytes(const uint8_t *ip, bool is_ipv4, uint16_t port, struct addr *ret)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(ret->ip, mapped, sizeof(mapped));
    memcpy(ret->ip + (is_ipv4 ? 12 : 0), ip, is_ipv4 ? 4 : 16);
    ret->port = port;
}

static enum proxy_parse parse_v2(struct slice data, struct proxy_header *ret)
{
    const uint8_t *bytes = (const uint8_t *)data.data;
    size_t length, address_size, addresses_size;
    unsigned family;

    if (data.size < V2_HEAD_SIZE)
        return PROXY_PARSE_MORE;
    length = (size_t)bytes[14] << 8 | bytes[15];
    family = bytes[13] >> 4;
    if (bytes[12] != 0x20 && bytes[12] != 0x21) /* version 2; LOCAL or PROXY */
        return PROXY_PARSE_BAD;
    if (family > 3 || (bytes[13] & 15) > 2 || V2_HEAD_SIZE + length > PROXY_HEADER_MAX)
        return PROXY_PARSE_BAD;
    ret->size = V2_HEAD_SIZE + length;
    if (data.size < ret->size)
        return PROXY_PARSE_MORE;
    if (bytes[12] == 0x20 || (bytes[13] & 15) != STREAM || (family != FAMILY_INET && family != FAMILY_INET6))
        return PROXY_PARSE_DONE;
    address_size = family == FAMILY_INET ? 4 : 16;
    addresses_size = 2 * address_size + 4;
    if (length < addresses_size)
        return PROXY_PARSE_BAD;
    bytes += V2_HEAD_SIZE;
    from_bytes(bytes, family == FAMILY_INET,
               (uint16_t)(bytes[2 * address_size] << 8 | bytes[2 * address_size + 1]), &ret->source);
    ret->has_source = true;
    return PROXY_PARSE_DONE;
}

enum proxy_parse proxy_protocol_parse(struct slice data, struct proxy_header *ret_header)
{
    static const struct slice v1 = {"PROXY ", 6}, v2 = {V2_SIGNATURE, 12};
    struct proxy_header header = {0};
    enum proxy_parse parsed;

    if (data.size == 0)
        return PROXY_PARSE_MORE;
    if (memcmp(data.data, v2.data, size_min(data.size, v2.size)) == 0)
        parsed = parse_v2(data, &header);
    else if (memcmp(data.data, v1.data, size_min(data.size, v1.size)) == 0)
        parsed = parse_v1(data, &header);
    else
        parsed = PROXY_PARSE_BAD;
    if (parsed == PROXY_PARSE_DONE)
        *ret_header = header;
    return parsed;
}

/* --- from a socket --- */

struct proxy_reader {
    uv_poll_t poll;
    int fd;
    struct timer deadline;
    proxy_reader_fn *on_done;
    void *user;
    size_t taken;
    char data[PROXY_HEADER_MAX];
};

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct proxy_reader, poll));
}

void proxy_reader_cancel(struct proxy_reader *r)
{
    timer_stop(&r->deadline);
    uv_close((uv_handle_t *)&r->poll, on_closed); /* from here on somebody else may poll the socket */
}

static void done(struct proxy_reader *r, int status, const struct proxy_header *header)
{
    proxy_reader_cancel(r);
    r->on_done(r, status, header);
}

/* Takes out what is known to belong to the header. */
static int take_out(struct proxy_reader *r, size_t size)
{
    ssize_t n = recv(r->fd, r->data + r->taken, size, 0);

    if (n != (ssize_t)size) /* it was there a moment ago, and nobody else reads */
        return n < 0 ? -errno : -EPROTO;
    r->taken += size;
    return 0;
}

static void look(struct proxy_reader *r)
{
    struct proxy_header header;
    ssize_t n = recv(r->fd, r->data + r->taken, sizeof(r->data) - r->taken, MSG_PEEK);
    enum proxy_parse parsed;
    int status;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            done(r, n == 0 ? -ECONNRESET : -errno, NULL);
        return;
    }
    parsed = proxy_protocol_parse(slice_make(r->data, r->taken + (size_t)n), &header);
    status = parsed == PROXY_PARSE_BAD
                 ? -EPROTO
                 : take_out(r, parsed == PROXY_PARSE_DONE ? header.size - r->taken : (size_t)n);
    if (status < 0 || parsed == PROXY_PARSE_DONE)
        done(r, status, status < 0 ? NULL : &header);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct proxy_reader *r = container_of(handle, struct proxy_reader, poll);

    (void)events;
    if (status < 0)
        done(r, -ECONNRESET, NULL);
    else
        look(r);
}

static void on_deadline(struct timer *t)
{
    done(container_of(t, struct proxy_reader, deadline), -ETIMEDOUT, NULL);
}

struct proxy_reader *proxy_reader_start(struct loop *l, int fd, uint64_t timeout_ms, proxy_reader_fn *on_done,
                                        void *user)
{
    struct proxy_reader *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->fd = fd;
    r->on_done = on_done;
    r->user = user;
    timer_init(&r->deadline, on_deadline);
    if (uv_poll_init(loop_uv(l), &r->poll, fd) < 0) {
        free(r);
        return NULL;
    }
    REQUIRE(uv_poll_start(&r->poll, UV_READABLE, on_poll) == 0);
    timer_start(l, &r->deadline, timeout_ms);
    return r;
}

void *proxy_reader_user(const struct proxy_reader *r)
{
    return r->user;
}

int proxy_reader_fd(const struct proxy_reader *r)
{
    return r->fd;
}
