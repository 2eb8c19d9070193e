/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of paths. Dot segments are removed as URIs say, before anything is decoded; what climbs in spite
 * of that is stopped by the kernel (directory.c).
 */
#include "path.h"

#include "http/uri.h"

/* Of a digit that has been parsed and normalised: 0-9 or A-F. */
static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

/* Decodes the percent-encodings that normalising has left. False for bytes that no name of a file here has.
 */
static bool decode(struct slice text, char *out, size_t room, size_t *ret_size)
{
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            c = (char)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2]));
            i += 2;
            if (c == '/')
                return false;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f || size + 1 >= room)
            return false;
        out[size++] = c;
    }
    out[size] = '\0';
    *ret_size = size;
    return true;
}

/* Every component but the last has bytes, and none begins with a dot. */
static bool is_shown(struct slice path)
{
    struct slice rest = path, part;

    while (slice_split(&rest, '/', &part)) {
        if (part.size == 0 && rest.data != NULL)
            return false;
        if (part.size > 0 && part.data[0] == '.')
            return false;
    }
    return true;
}

static enum path_outcome from_normalized(struct slice path, char *ret_path)
{
    char text[PATH_SIZE_MAX];
    size_t size;

    if (!decode(slice_skip(path, 1), text, sizeof(text), &size) || !is_shown(slice_make(text, size)))
        return PATH_NONE;
    if (size == 0 || text[size - 1] == '/') {
        if (size + sizeof("index.html") > sizeof(text))
            return PATH_NONE;
        memcpy(text + size, "index.html", sizeof("index.html"));
    }
    memcpy(ret_path, text, sizeof(text));
    return PATH_OK;
}

enum path_outcome path_from_target(struct slice target, char ret_path[PATH_SIZE_MAX])
{
    enum path_outcome outcome = PATH_BAD;
    struct buf path;
    struct uri uri;

    if (!uri_parse_target(target, &uri))
        return PATH_BAD;
    buf_init(&path, URI_SIZE_MAX);
    if (uri.path.size == 0)
        outcome = from_normalized(SLICE_LITERAL("/"), ret_path);
    else if (uri.path.data[0] == '/' && uri_append_normalized_path(&path, uri.path))
        outcome = from_normalized(buf_slice(&path), ret_path);
    buf_fini(&path);
    return outcome;
}
