/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict HTTP/1 parser over llhttp, which it hides. Two phases, one message:
 *
 *   http_parser_init -> http_parser_head ... DONE -> (the body, when http_parser_has_body) http_parser_body
 * ... DONE
 *
 * The head is parsed where it stands: the caller gives the same, growing piece of memory each time, and it
 * must not move before http_parser_head has answered something else than MORE (init again after moving it). A
 * body comes in pieces, from anywhere. What follows a message is left alone: the caller is told where it
 * ended.
 *
 * Refused beyond what llhttp refuses in its strict mode: see `check_*` in parser.c. The same bytes give the
 * same answer however they were split.
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include "http/head.h"

/* Chunk sizes, extensions and trailers between two body bytes, and after the last, together. */
#define HTTP_FRAMING_SIZE_MAX 8192

enum http_parse {
    HTTP_PARSE_MORE, /* all was used, more is needed */
    HTTP_PARSE_DONE,
    HTTP_PARSE_STOPPED,         /* the body's receiver wanted no more; the parser is of no more use */
    HTTP_PARSE_BAD,             /* not HTTP/1, or ambiguous */
    HTTP_PARSE_BAD_VERSION,     /* HTTP/0.9, HTTP/2.0, ... */
    HTTP_PARSE_TOO_MANY_FIELDS, /* more than HTTP_FIELDS_MAX */
};

enum http_parser_kind { HTTP_PARSER_REQUEST, HTTP_PARSER_RESPONSE };

/* How the end of the body is known (RFC 9112 section 6.3). */
enum http_framing { HTTP_FRAMING_NONE, HTTP_FRAMING_LENGTH, HTTP_FRAMING_CHUNKED, HTTP_FRAMING_CLOSE };

/* False: stop, nothing more is wanted. */
typedef bool http_body_fn(void *user, const char *data, size_t size);

struct http_parser {
    struct http_head *head; /* the caller's, filled while the head is parsed, unused afterwards */
    const char *start;      /* of the head, behind empty lines; NULL before its first byte */
    size_t used;            /* bytes of the head that were parsed */
    bool in_field, too_many_fields;
    struct slice version;

    enum http_framing framing;
    uint64_t body_left;      /* HTTP_FRAMING_LENGTH */
    bool complete, stopped;  /* HTTP_FRAMING_CHUNKED, from here on */
    const char *body_cursor; /* behind the last body byte in this call's data */
    size_t framing_bytes;    /* seen since the last body byte, in earlier calls */
    http_body_fn *on_body;
    void *user;

    enum http_parser_kind kind;
    _Alignas(8) unsigned char machine[96]; /* llhttp_t */
};

void http_parser_init(struct http_parser *p, enum http_parser_kind kind, struct http_head *head);

/* `size`: all that is there of the message so far. DONE: the head ends after *ret_head_size bytes and is
 * valid. Of a 1xx response only the head is parsed: init again for what follows. */
enum http_parse http_parser_head(struct http_parser *p, const char *data, size_t size, size_t *ret_head_size);

/* After the head is DONE: how its body is framed. A response to a HEAD request has none. */
enum http_framing http_parser_begin_body(struct http_parser *p, bool is_head_request);

/* Hands out body bytes without framing. DONE: the message ended after *ret_used bytes. */
enum http_parse http_parser_body(struct http_parser *p, const char *data, size_t size, http_body_fn *on_body,
                                 void *user, size_t *ret_used);

/* A method that requests may have in any version; HTTP_OTHER for those without a number of their own. */
bool http_parser_is_method(struct slice text, enum http_method *ret_method);

/* What a request may ask for in any version: visible ASCII, in a form that suits the method (RFC 9112 section
 * 3.2); the characters of uri-host [ ":" port ] (RFC 3986 section 3.2.2), not empty. */
bool http_parser_is_target(enum http_method method, struct slice target);
bool http_parser_is_host(struct slice value);

/* The connection ended here: is the message whole? */
bool http_parser_ends_well(const struct http_parser *p);

#endif
