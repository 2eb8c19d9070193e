/* SPDX-License-Identifier: Apache-2.0 */
/* What the client of the HTTP/2 tests says, and how long it listens. */
#ifndef HTTP_H2_TALK_TEST_H
#define HTTP_H2_TALK_TEST_H

#include "h2_client_test.h"

#define NV(name, value) \
    ((nghttp2_nv){(uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE})

static inline void client_send(struct client *c)
{
    assert_int_equal(nghttp2_session_send(c->session), 0);
}

/* Reads once, and answers. False: the connection has ended. */
static inline bool client_step(struct client *c)
{
    char data[16384];
    ssize_t n = c->ended ? 0 : recv(c->fd, data, sizeof(data), 0);

    if (n < 0 && errno != ECONNRESET)
        fail_msg("the server says nothing");
    c->was_reset |= n < 0;
    c->ended |= n <= 0;
    if (c->ended)
        return false;
    assert_int_equal(nghttp2_session_mem_recv(c->session, (uint8_t *)data, (size_t)n), n);
    client_send(c);
    return true;
}

/* Whether `condition` came true before the connection ended. */
#define CLIENT_UNTIL(c, condition)                    \
    do {                                              \
        while (!(condition))                          \
            if (!client_step(c))                      \
                fail_msg("ended before " #condition); \
    } while (0)

/* Reads to the end of the connection. */
static inline void client_hear_end(struct client *c)
{
    while (client_step(c))
        ;
}

static inline int32_t client_ask_with(struct client *c, const char *method, const char *path,
                                      const nghttp2_nv *extra, size_t extra_count, bool ends)
{
    nghttp2_nv fields[160] = {NV(":method", method), NV(":scheme", "http"), NV(":authority", "video.test"),
                              NV(":path", path)};
    nghttp2_data_provider body = {.read_callback = client_no_body_yet};
    int32_t id;

    assert_true(extra_count + 4 <= ARRAY_COUNT(fields));
    if (extra_count > 0)
        memcpy(fields + 4, extra, extra_count * sizeof(*extra));
    id = nghttp2_submit_request(c->session, NULL, fields, extra_count + 4, ends ? NULL : &body, NULL);
    assert_true(id > 0);
    client_send(c);
    return id;
}

static inline int32_t client_ask(struct client *c, const char *path)
{
    return client_ask_with(c, "GET", path, NULL, 0, true);
}

static inline struct answer *client_get(struct client *c, const char *path)
{
    struct answer *a = answer_of(c, client_ask(c, path));

    CLIENT_UNTIL(c, a->closed);
    return a;
}

/* Lets the server send that much more, on a stream or (0) on all together. */
static inline void client_widen(struct client *c, int32_t id, int32_t increment)
{
    assert_int_equal(nghttp2_submit_window_update(c->session, NGHTTP2_FLAG_NONE, id, increment), 0);
    client_send(c);
}

static inline void client_reset(struct client *c, int32_t id)
{
    assert_int_equal(nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL), 0);
    client_send(c);
}

/* Everything said before has been heard and acted on when this returns. */
static inline void client_ping(struct client *c)
{
    unsigned before = c->pongs;

    assert_int_equal(nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL), 0);
    client_send(c);
    CLIENT_UNTIL(c, c->pongs > before);
}

/* Bytes that no library would send; the server may have ended already. */
static inline void client_raw(struct client *c, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = send(c->fd, at, size, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        at += n;
        size -= (size_t)n;
    }
}

static inline void client_raw_frame(struct client *c, uint8_t type, uint8_t flags, int32_t id,
                                    const void *payload, size_t size)
{
    char frame[9 + 1024] = {(char)(size >> 16), (char)(size >> 8), (char)size,      (char)type, (char)flags,
                            (char)(id >> 24),   (char)(id >> 16),  (char)(id >> 8), (char)id};

    assert_true(size <= 1024);
    if (size > 0)
        memcpy(frame + 9, payload, size);
    client_raw(c, frame, 9 + size);
}

#endif
