/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's log. A line is built on the stack and written whole, so that lines of several threads (and
 * processes on one terminal) never mix. What a message quotes may come from a viewer: control bytes are
 * replaced, so that nobody can forge a line.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

#define LINE_MAX_BYTES 2048 /* what is longer is cut */

static atomic_int level_min = LOG_INFO;
static _Atomic(const char *) program_name;

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_min, (int)level, memory_order_relaxed);
}

void log_set_name(const char *name)
{
    atomic_store(&program_name, name);
}

/* "2026-01-02T03:04:05.678Z info edge: "; returns its length, less than `room`. */
static size_t write_prefix(char *line, size_t room, enum log_level level)
{
    const char *name = atomic_load(&program_name);
    int64_t wall_ms = clock_wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t size;

    gmtime_r(&seconds, &tm);
    size = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &tm);
    size += (size_t)snprintf(line + size, room - size, ".%03dZ %s %.64s%s", (int)(wall_ms % 1000),
                             level_names[level], name ? name : "", name ? ": " : "");
    return size;
}

static void replace_controls(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    int errno_before = errno;
    size_t size, room;
    va_list args;
    int wanted;

    if ((int)level < atomic_load_explicit(&level_min, memory_order_relaxed))
        return;
    size = write_prefix(line, sizeof(line), level);
    room = sizeof(line) - size - 1; /* without the line feed */
    errno = errno_before;           /* %m */
    va_start(args, format);
    wanted = vsnprintf(line + size, room, format, args);
    va_end(args);
    if (wanted > 0) {
        size_t written = size_min((size_t)wanted, room - 1);
        replace_controls(line + size, written);
        size += written;
    }
    line[size++] = '\n';
    while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
        continue;
    errno = errno_before;
}
