/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of HTTP/2 for tests: nghttp2 over a blocking socket, with every answer kept. Bodies are compared
 * with the stage's large one as they come, or kept when they are small. Windows open only as far as a test
 * says, or by themselves (auto_window).
 */
#ifndef HTTP_H2_CLIENT_TEST_H
#define HTTP_H2_CLIENT_TEST_H

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include "client_talk_test.h"
#include "h2_life_test.h"

#define ANSWERS_MAX 300 /* streams of one connection, as 2 * index + 1 */

struct answer {
    int status;
    char fields[512]; /* "name: value\n" of each, in their order */
    char small[64];
    size_t body_size;
    bool ended, closed;
    uint32_t error_code; /* once closed */
};

struct client {
    struct stage *stage;
    nghttp2_session *session;
    int fd;
    bool ended, was_reset, got_goaway;
    uint32_t goaway_code;
    int32_t goaway_last;
    unsigned pongs, settings;
    size_t data_bytes;
    int32_t data_order[64]; /* streams, as DATA of another than before came in */
    size_t data_order_count;
    struct answer answers[ANSWERS_MAX];
};

static inline struct answer *answer_of(struct client *c, int32_t id)
{
    assert_in_range(id, 1, 2 * ANSWERS_MAX - 1);
    return &c->answers[id / 2];
}

static inline ssize_t client_on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                                     void *user)
{
    struct client *c = user;
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);

    (void)session, (void)flags;
    c->was_reset |= n < 0;
    return n > 0 ? n : (ssize_t)size; /* reading says that the server has ended */
}

static inline int client_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                                   size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                                   void *user)
{
    struct answer *a = answer_of(user, frame->hd.stream_id);
    size_t filled = strlen(a->fields);

    (void)session, (void)flags;
    if (name_size == 7 && memcmp(name, ":status", 7) == 0)
        a->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
    else
        snprintf(a->fields + filled, sizeof(a->fields) - filled, "%.*s: %.*s\n", (int)name_size, name,
                 (int)value_size, value);
    return 0;
}

static inline int client_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                                 size_t size, void *user)
{
    struct client *c = user;
    struct answer *a = answer_of(c, id);

    (void)session, (void)flags;
    if (a->body_size + size < sizeof(a->small))
        memcpy(a->small + a->body_size, data, size);
    if (strstr(a->fields, "x: y") == NULL && a->status == 200 && size > 10) {
        assert_true(a->body_size + size <= LARGE_SIZE);
        assert_memory_equal(c->stage->large + a->body_size, data, size);
    }
    a->body_size += size;
    c->data_bytes += size;
    if (c->data_order_count < ARRAY_COUNT(c->data_order) &&
        (c->data_order_count == 0 || c->data_order[c->data_order_count - 1] != id))
        c->data_order[c->data_order_count++] = id;
    return 0;
}

static inline int client_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct client *c = user;

    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->got_goaway = true;
        c->goaway_code = frame->goaway.error_code;
        c->goaway_last = frame->goaway.last_stream_id;
    }
    c->pongs += frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK;
    c->settings += frame->hd.type == NGHTTP2_SETTINGS;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        answer_of(c, frame->hd.stream_id)->ended = true;
    return 0;
}

static inline int client_on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user)
{
    struct answer *a = answer_of(user, id);

    (void)session;
    a->closed = true;
    a->error_code = error_code;
    return 0;
}

/* A body that never comes: the test sends DATA itself. */
static inline ssize_t client_no_body_yet(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)buffer, (void)size, (void)flags, (void)source, (void)user;
    return NGHTTP2_ERR_DEFERRED;
}

/* window: of each stream at first; 0 is zero. */
static inline struct client *client_open(struct stage *stage, uint32_t window, bool auto_window,
                                         int receive_buffer)
{
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    struct client *c = calloc(1, sizeof(*c));
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    c->stage = stage;
    c->fd = client_dial(&stage->address, receive_buffer);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, client_on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_on_close);
    nghttp2_option_new(&option);
    nghttp2_option_set_no_auto_window_update(option, !auto_window);
    nghttp2_session_client_new2(&c->session, callbacks, c, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_COUNT(settings));
    nghttp2_session_send(c->session);
    return c;
}

static inline void client_close(struct client *c)
{
    close(c->fd);
    nghttp2_session_del(c->session);
    free(c);
}

#endif
