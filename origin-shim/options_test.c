/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of options.h and of the configuration file behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "options.h"

#define ARGUMENTS_MAX 12

struct parsed {
    struct options options;
    enum options_outcome outcome;
    char text[4096];
};

/* The arguments end with NULL. */
static struct parsed *parse(const char *const *arguments)
{
    char *argv[ARGUMENTS_MAX + 2] = {"origin-shim"};
    struct parsed *p = calloc(1, sizeof(*p));
    struct buf text;
    int argc = 1;

    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)arguments[argc - 1];
    buf_init(&text, sizeof(p->text) - 1);
    p->outcome = options_parse(argc, argv, &text, &p->options);
    memcpy(p->text, buf_slice(&text).data, text.size);
    buf_fini(&text);
    return p;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void done(struct parsed *p)
{
    options_fini(&p->options);
    free(p);
}

static void assert_invalid(struct parsed *p, const char *text)
{
    assert_int_equal(p->outcome, OPTIONS_INVALID);
    if (strstr(p->text, text) == NULL)
        fail_msg("'%s' does not say '%s'", p->text, text);
    done(p);
}

static void test_defaults(void **state)
{
    struct parsed *p = PARSE("--root", "/srv");
    char address[ADDR_TEXT_MAX];

    (void)state;
    assert_int_equal(p->outcome, OPTIONS_RUN);
    assert_string_equal(p->options.root, "/srv");
    assert_int_equal(p->options.listener_count, 1);
    addr_format(&p->options.listeners[0], address);
    assert_string_equal(address, "127.0.0.1:8080");
    assert_int_equal(p->options.channel_count, 0);
    assert_true(p->options.workers >= 1);
    done(p);
}

static void test_everything_on_the_command_line(void **state)
{
    struct parsed *p = PARSE("--root", "/srv", "--listen", "127.0.0.1:0", "--listen=[::1]:8081", "--live",
                             "a=x=y.m3u8", "--live-window", "9", "--workers", "3");

    (void)state;
    assert_int_equal(p->outcome, OPTIONS_RUN);
    assert_int_equal(p->options.listener_count, 2);
    assert_int_equal(p->options.listeners[1].port, 8081);
    assert_int_equal(p->options.channel_count, 1);
    assert_string_equal(p->options.channels[0].name, "a");
    assert_string_equal(p->options.channels[0].source, "x=y.m3u8");
    assert_int_equal(p->options.channels[0].window_segments, 9);
    assert_int_equal(p->options.workers, 3);
    done(p);
}

static void test_help_and_version(void **state)
{
    struct parsed *p = PARSE("--help");

    (void)state;
    assert_int_equal(p->outcome, OPTIONS_HELP);
    assert_non_null(strstr(p->text, "--live NAME=PLAYLIST"));
    done(p);
    p = PARSE("--nonsense", "--version");
    assert_int_equal(p->outcome, OPTIONS_INVALID);
    done(p);
    p = PARSE("--version");
    assert_int_equal(p->outcome, OPTIONS_HELP);
    assert_non_null(strstr(p->text, "origin-shim " SHOREBREAK_VERSION));
    done(p);
}

static void test_wrong_command_lines(void **state)
{
    (void)state;
    assert_invalid(PARSE("--workers", "1"), "no root");
    assert_invalid(PARSE("--root"), "its value is missing");
    assert_invalid(PARSE("--root", "/srv", "more"), "more: what is this?");
    assert_invalid(PARSE("--root", "/srv", "--listen", "localhost:80"), "'localhost:80' is not ADDRESS:PORT");
    assert_invalid(PARSE("--root", "/srv", "--listen", "127.0.0.1"), "is not ADDRESS:PORT");
    assert_invalid(PARSE("--root", "/srv", "--listen", "::1"), "is not ADDRESS:PORT");
    assert_invalid(PARSE("--root", "/srv", "--listen", "[::1]"), "is not ADDRESS:PORT");
    assert_invalid(PARSE("--root", "/srv", "--live", "news"), "is not NAME=PLAYLIST");
    assert_invalid(PARSE("--root", "/srv", "--live", "a=b", "--live", "a=c"), "a channel 'a' already");
    assert_invalid(PARSE("--root", "/srv", "--live-window", "0"), "not a number from 1");
    assert_invalid(PARSE("--root", "/srv", "--workers", "1000"), "not a number from 1 to 256");
    assert_invalid(PARSE("--config", "/nowhere/shim.yaml"), "/nowhere/shim.yaml:1:1: No such file");
}

/* Writes a configuration file; the test folder is removed by test_teardown. */
static const char *config_file(void **state, const char *content)
{
    const char *path = *state;
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fclose(file), 0);
    return path;
}

static void test_config_file(void **state)
{
    const char *path = config_file(state, "root: /srv\n"
                                          "listen: [127.0.0.1:0, \"[::1]:0\"]\n"
                                          "workers: 2\n"
                                          "live_window: 8\n"
                                          "live:\n"
                                          "  - {name: news, source: vod/news.m3u8}\n"
                                          "  - {name: sport, source: vod/sport.m3u8, window: 4}\n"
                                          "cache_control:\n"
                                          "  segment: public, max-age=60\n"
                                          "  other: \"\"\n");
    struct parsed *p = PARSE("--config", path, "--workers", "5", "--listen", "127.0.0.1:81");

    assert_int_equal(p->outcome, OPTIONS_RUN);
    assert_string_equal(p->options.root, "/srv");
    assert_int_equal(p->options.workers, 5); /* the command line wins */
    assert_int_equal(p->options.listener_count, 3);
    assert_int_equal(p->options.channel_count, 2);
    assert_string_equal(p->options.channels[1].name, "sport");
    assert_int_equal(p->options.channels[0].window_segments, 8);
    assert_int_equal(p->options.channels[1].window_segments, 4);
    assert_string_equal(p->options.cache_control[MEDIA_SEGMENT], "public, max-age=60");
    assert_string_equal(p->options.cache_control[MEDIA_OTHER], "");
    assert_null(p->options.cache_control[MEDIA_INIT]);
    done(p);
}

static void test_wrong_config_files(void **state)
{
    static const struct {
        const char *content, *error;
    } cases[] = {
        {"rot: /srv\n", ":1:1: no such field"},
        {"root: [a]\n", ":1:8: expected a text"},
        {"root: /srv\nworkers: many\n", ":2:10: workers: 'many' is not a number"},
        {"root: /srv\nlisten: 127.0.0.1:0\n", ":2:9: expected a list"},
        {"root: /srv\nlisten: [nowhere]\n", ":2:10: 'nowhere' is not ADDRESS:PORT"},
        {"root: /srv\nlive:\n  - {name: a}\n", ":3:6: a live channel needs a name and a source"},
        {"root: /srv\nlive:\n  - {name: a, source: b, windw: 3}\n", ":3:26: expected name, source or window"},
        {"root: /srv\ncache_control: {segmnt: x}\n", ":2:17: 'segmnt' is no class"},
        {"root: /srv\ncache_control: {segment: \"a\\nb\"}\n", ":2:17: not a value of Cache-Control"},
        {"root: /srv\nroot: /srv\n", ":2:"},
        {"root: [\n", ""},
        {"- a\n", ":1:3: expected fields"},
        {"", ":1:1: "},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_invalid(PARSE("--config", config_file(state, cases[i].content)), cases[i].error);
}

static int make_path(void **state)
{
    char template[] = "/tmp/options_test.XXXXXX";
    int fd = mkstemp(template);

    if (fd < 0)
        return -1;
    close(fd);
    *state = strdup(template);
    return 0;
}

static int remove_path(void **state)
{
    unlink(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything_on_the_command_line),
        cmocka_unit_test(test_help_and_version),
        cmocka_unit_test(test_wrong_command_lines),
        cmocka_unit_test_setup_teardown(test_config_file, make_path, remove_path),
        cmocka_unit_test_setup_teardown(test_wrong_config_files, make_path, remove_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
