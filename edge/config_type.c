/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of single values. Each reader is strict: what could be meant in two ways is refused, with a
 * sentence that says what is expected instead.
 */
#include "config_type.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/addr.h"
#include "base/check.h"
#include "config.h"
#include "config_preset.h"
#include "http/uri.h"

#define HOST_SIZE_MAX  253
#define LABEL_SIZE_MAX 63

struct unit {
    const char *name;
    uint64_t factor;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Whether all bytes are printable; bytes above ASCII are, they stand in file names. */
static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return false;
    return true;
}

static bool is_visible_ascii(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f) /* char may be signed: bytes above ASCII fail too */
            return false;
    return true;
}

static int keep_slice(const struct config_value *v, struct slice text, struct slice *ret)
{
    struct slice copy = config_pool_copy(v->pool, text);

    if (!copy.data)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

static int keep_text(const struct config_value *v, struct slice text, const char **ret)
{
    struct slice copy;
    int status = keep_slice(v, text, &copy);

    if (status == 0)
        *ret = copy.data;
    return status;
}

static int keep_lower(const struct config_value *v, struct slice text, struct slice *ret)
{
    char *copy = config_pool_take(v->pool, text.size + 1);

    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < text.size; i++)
        copy[i] = lower(text.data[i]);
    *ret = slice_make(copy, text.size);
    return 0;
}

/* --- numbers -------------------------------------------------------------------------------------------- */

/* Digits and a unit, one of those listed (a NULL name ends the list). */
static int read_with_unit(struct slice text, const struct unit *units, uint64_t *ret_value)
{
    uint64_t value;
    size_t digits = 0;

    while (digits < text.size && is_digit(text.data[digits]))
        digits++;
    if (digits == 0)
        return -EINVAL;
    while (units->name && !slice_equal(slice_skip(text, digits), slice_of(units->name)))
        units++;
    if (!units->name)
        return -EINVAL;
    if (!slice_to_u64(slice_make(text.data, digits), &value) || value > UINT64_MAX / units->factor)
        return -ERANGE;
    *ret_value = value * units->factor;
    return 0;
}

static int read_integer(struct slice text, uint64_t *ret_value)
{
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    return read_with_unit(text, units, ret_value);
}

static int read_size(struct slice text, uint64_t *ret_value)
{
    static const struct unit units[] = {
        {"", 1},   {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40},
        {NULL, 0},
    };
    return read_with_unit(text, units, ret_value);
}

static int read_share(struct slice text, uint64_t *ret_value)
{
    static const struct unit percent[] = {{"%", 1}, {NULL, 0}};
    uint64_t value;
    int rv = read_with_unit(text, percent, &value);
    bool is_size = rv == -EINVAL;
    if (is_size)
        rv = read_size(text, &value);
    if (rv == 0 && value > (is_size ? CONFIG_PERCENT - 1 : 100))
        rv = -ERANGE;
    if (rv == 0)
        *ret_value = is_size ? value : CONFIG_PERCENT | value;
    return rv;
}

static int read_duration(struct slice text, uint64_t *ret_value)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
    };
    return read_with_unit(text, units, ret_value);
}

const struct config_type config_type_integer = {
    .name = "integer",
    .expected = "a whole number",
    .read_number = read_integer,
};
const struct config_type config_type_size = {
    .name = "size",
    .expected = "a size such as 64KiB, 10MiB or 1GiB",
    .read_number = read_size,
};
const struct config_type config_type_share = {
    .name = "size",
    .expected = "a size such as 10GiB, or a part of the arena such as 10%",
    .read_number = read_share,
};
const struct config_type config_type_duration = {
    .name = "duration",
    .expected = "a duration such as 500ms, 5s, 2m, 1h or 30d",
    .read_number = read_duration,
};

static int read_degrees(struct slice text, double limit, double *ret_value)
{
    char terminated[32], *end;
    double value;

    if (text.size == 0 || text.size >= sizeof(terminated))
        return -EINVAL;
    for (size_t i = 0; i < text.size; i++)
        if (!is_digit(text.data[i]) && text.data[i] != '.' && (text.data[i] != '-' || i > 0))
            return -EINVAL; /* neither hexadecimal nor infinite */
    snprintf(terminated, sizeof(terminated), "%.*s", SLICE_ARG(text));
    value = strtod(terminated, &end);
    if (end != terminated + text.size)
        return -EINVAL;
    if (value < -limit || value > limit)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

static int read_latitude(const struct config_value *v, struct slice text, void *ret)
{
    (void)v;
    return read_degrees(text, 90, ret);
}

static int read_longitude(const struct config_value *v, struct slice text, void *ret)
{
    (void)v;
    return read_degrees(text, 180, ret);
}

const struct config_type config_type_latitude = {
    .name = "degrees",
    .expected = "degrees from -90 to 90, such as 50.1",
    .read = read_latitude,
};
const struct config_type config_type_longitude = {
    .name = "degrees",
    .expected = "degrees from -180 to 180, such as 8.7",
    .read = read_longitude,
};

/* --- words ---------------------------------------------------------------------------------------------- */

static int read_bool(const struct config_value *v, struct slice text, void *ret)
{
    bool is_true = slice_equal(text, SLICE_LITERAL("true"));

    (void)v;
    if (!is_true && !slice_equal(text, SLICE_LITERAL("false")))
        return -EINVAL;
    *(bool *)ret = is_true;
    return 0;
}

static int read_word(const struct config_value *v, struct slice text, void *ret)
{
    for (int i = 0; v->words[i]; i++)
        if (slice_equal(text, slice_of(v->words[i]))) {
            *(int *)ret = i;
            return 0;
        }
    return -EINVAL;
}

static const char countries[] =
    " AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV "
    "BW BY BZ"
    " CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ "
    "FK FM FO"
    " FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR "
    "IS IT JE"
    " JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML "
    "MM MN MO"
    " MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR "
    "PS PT PW"
    " PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ "
    "TK TL TM"
    " TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
    " XK "; /* in no standard, but in every database: Kosovo */

static int read_country(const struct config_value *v, struct slice text, void *ret)
{
    char wanted[5];

    (void)v;
    if (text.size != 2 || !is_lower(lower(text.data[0])) || !is_lower(lower(text.data[1])))
        return -EINVAL;
    snprintf(wanted, sizeof(wanted), " %c%c ", text.data[0] & ~0x20, text.data[1] & ~0x20);
    if (!strstr(countries, wanted))
        return -EINVAL;
    memcpy(ret, (char[3]){wanted[1], wanted[2], '\0'}, 3);
    return 0;
}

const struct config_type config_type_bool = {
    .name = "boolean",
    .expected = "true or false",
    .read = read_bool,
};
const struct config_type config_type_word = {
    .name = "word",
    .expected = "one of the words", /* which ones, the reader of the table says */
    .read = read_word,
};
const struct config_type config_type_country = {
    .name = "country",
    .expected = "a country's two letters of ISO 3166-1, such as DE",
    .read = read_country,
};

/* --- texts ---------------------------------------------------------------------------------------------- */

static int read_text(const struct config_value *v, struct slice text, void *ret)
{
    if (text.size == 0 || !is_printable(text))
        return -EINVAL;
    return keep_text(v, text, ret);
}

static bool is_label(struct slice label)
{
    if (label.size == 0 || label.size > LABEL_SIZE_MAX || label.data[0] == '-' ||
        label.data[label.size - 1] == '-')
        return false;
    for (size_t i = 0; i < label.size; i++)
        if (!is_digit(label.data[i]) && !is_lower(lower(label.data[i])) && label.data[i] != '-' &&
            label.data[i] != '_')
            return false;
    return true;
}

static int read_name(const struct config_value *v, struct slice text, void *ret)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] != lower(text.data[i]) || text.data[i] == '_')
            return -EINVAL;
    return is_label(text) ? keep_text(v, text, ret) : -EINVAL;
}

static int read_path(const struct config_value *v, struct slice text, void *ret)
{
    struct slice folder = slice_of(v->folder);
    bool joined = folder.size > 0 && text.size > 0 && text.data[0] != '/';
    const char *separator = joined && !slice_ends_with(folder, SLICE_LITERAL("/")) ? "/" : "";
    size_t room = folder.size + 1 + text.size + 1;
    char *path;

    if (text.size == 0 || !is_printable(text))
        return -EINVAL;
    path = config_pool_take(v->pool, room);
    if (!path)
        return -ENOMEM;
    snprintf(path, room, "%s%s%.*s", joined ? v->folder : "", separator, SLICE_ARG(text));
    *(const char **)ret = path;
    return 0;
}

static int read_log_path(const struct config_value *v, struct slice text, void *ret)
{
    return slice_equal(text, SLICE_LITERAL("-")) ? keep_text(v, text, ret) : read_path(v, text, ret);
}

static int read_pattern(const struct config_value *v, struct slice text, void *ret)
{
    return text.size > 0 && is_visible_ascii(text) ? keep_lower(v, text, ret) : -EINVAL;
}

static int read_query_name(const struct config_value *v, struct slice text, void *ret)
{
    size_t count;

    if (text.size == 0 || !is_visible_ascii(text))
        return -EINVAL;
    for (size_t i = 0; i < text.size; i++)
        if (strchr("&=#?", text.data[i]) || (text.data[i] == '*' && i + 1 < text.size))
            return -EINVAL;
    if (slice_starts_with(text, SLICE_LITERAL(CONFIG_PRESET_PREFIX)) && !config_preset_find(text, &count))
        return -EINVAL;
    return keep_slice(v, text, ret);
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!is_digit(text.data[i]) && !is_lower(lower(text.data[i])) &&
            !strchr("!#$%&'+-.^_`|~", text.data[i]))
            return false;
    return text.size > 0 && memchr(text.data, '\0', text.size) == NULL;
}

static int read_header(const struct config_value *v, struct slice text, void *ret)
{
    struct slice name =
        slice_ends_with(text, SLICE_LITERAL("*")) ? slice_make(text.data, text.size - 1) : text;

    return is_token(name) || (name.size == 0 && text.size == 1) ? keep_lower(v, text, ret) : -EINVAL;
}

static int read_field_name(const struct config_value *v, struct slice text, void *ret)
{
    return is_token(text) ? keep_slice(v, text, ret) : -EINVAL;
}

static int read_target(const struct config_value *v, struct slice text, void *ret)
{
    bool is_target = slice_starts_with(text, SLICE_LITERAL("/")) && is_visible_ascii(text) &&
                     slice_find(text, '#') == text.size;

    return is_target ? keep_slice(v, text, ret) : -EINVAL;
}

static int read_method(const struct config_value *v, struct slice text, void *ret)
{
    for (size_t i = 0; i < text.size; i++)
        if (is_lower(text.data[i])) /* methods are case-sensitive, and this one is a mistake */
            return -EINVAL;
    return is_token(text) || slice_equal(text, SLICE_LITERAL("*")) ? keep_slice(v, text, ret) : -EINVAL;
}

const struct config_type config_type_text = {
    .name = "text",
    .expected = "a line of text",
    .read = read_text,
};
const struct config_type config_type_name = {
    .name = "name",
    .expected = "a name of a-z, 0-9 and - (at most 63)",
    .read = read_name,
};
const struct config_type config_type_path = {
    .name = "path",
    .expected = "a path",
    .read = read_path,
};
const struct config_type config_type_log_path = {
    .name = "path",
    .expected = "a path, or - for standard output",
    .read = read_log_path,
};
const struct config_type config_type_pattern = {
    .name = "pattern",
    .expected = "a host name with {edge} or {address} in it, such as {edge}.video.example.com",
    .read = read_pattern,
};
const struct config_type config_type_query_name = {
    .name = "parameter",
    .expected = "the name of a query parameter, such as CMCD or utm_*, or preset:mediamtx, "
                "preset:ovenmediaengine, preset:srs, preset:bunny",
    .read = read_query_name,
};

const struct config_type config_type_header = {
    .name = "header",
    .expected = "the name of a header field, such as User-Agent or X-App-*, or * for all",
    .read = read_header,
};
const struct config_type config_type_field_name = {
    .name = "header",
    .expected = "the name of a header field, such as X-Origin-Secret",
    .read = read_field_name,
};
const struct config_type config_type_target = {
    .name = "target",
    .expected = "a path, maybe with a query, such as /health",
    .read = read_target,
};
const struct config_type config_type_method = {
    .name = "method",
    .expected = "a method in capitals, such as POST, or * for any",
    .read = read_method,
};

/* --- names and addresses -------------------------------------------------------------------------------- */

static int read_ip(const struct config_value *v, struct slice text, void *ret)
{
    struct addr_prefix prefix;
    struct addr *addr = ret;

    (void)v;
    if (slice_find(text, '/') < text.size || addr_prefix_parse(text, &prefix) < 0)
        return -EINVAL;
    *addr = (struct addr){.port = 0};
    memcpy(addr->ip, prefix.ip, sizeof(addr->ip));
    return 0;
}

static int read_socket_address(const struct config_value *v, struct slice text, void *ret)
{
    struct addr addr, addr_alone;

    /* Port 0 lets the system choose one; a port that was forgotten is a mistake. */
    if (addr_parse(text, &addr) < 0 || read_ip(v, text, &addr_alone) == 0 ||
        slice_ends_with(text, SLICE_LITERAL("]")))
        return -EINVAL;
    *(struct addr *)ret = addr;
    return 0;
}

static int read_prefix(const struct config_value *v, struct slice text, void *ret)
{
    (void)v;
    return addr_prefix_parse(text, ret);
}

static bool is_host_name(struct slice text)
{
    struct slice rest = text, label = SLICE_EMPTY;
    uint64_t number;

    if (text.size > HOST_SIZE_MAX)
        return false;
    while (slice_split(&rest, '.', &label))
        if (!is_label(label))
            return false;
    return !slice_to_u64(label, &number); /* what ends with a number is an address, and a wrong one */
}

static int read_host(const struct config_value *v, struct slice text, void *ret)
{
    bool in_brackets = text.size > 2 && text.data[0] == '[' && text.data[text.size - 1] == ']';
    struct slice name = slice_starts_with(text, SLICE_LITERAL("*.")) ? slice_skip(text, 2) : text;
    char formatted[ADDR_TEXT_MAX];
    struct addr addr;

    if (read_ip(v, in_brackets ? slice_make(text.data + 1, text.size - 2) : text, &addr) == 0) {
        addr_format_ip(&addr, formatted);
        return keep_slice(v, slice_of(formatted), ret);
    }
    return is_host_name(name) ? keep_lower(v, text, ret) : -EINVAL;
}

static int read_server_name(const struct config_value *v, struct slice text, void *ret)
{
    struct slice host;
    int status = slice_find(text, '*') < text.size ? -EINVAL : read_host(v, text, &host);

    if (status == 0)
        *(const char **)ret = host.data;
    return status;
}

static int read_authority(const struct config_value *v, struct slice text, void *ret)
{
    struct uri_authority authority;

    return is_visible_ascii(text) && uri_parse_authority(text, &authority) ? keep_slice(v, text, ret)
                                                                           : -EINVAL;
}

/* "scheme://authority" and a path. */
static bool parse_url(struct slice text, struct uri *ret_uri, struct uri_authority *ret_authority)
{
    return uri_parse_target(text, ret_uri) && ret_uri->scheme.data && ret_uri->authority.data &&
           !ret_uri->query.data && uri_parse_authority(ret_uri->authority, ret_authority);
}

static int read_cors_origin(const struct config_value *v, struct slice text, void *ret)
{
    struct uri_authority authority;
    struct uri uri;

    if (!slice_equal(text, SLICE_LITERAL("*")) && (!parse_url(text, &uri, &authority) || uri.path.size > 0))
        return -EINVAL;
    return keep_lower(v, text, ret);
}

/* "host", or "host:port" when the port is not the scheme's own. */
static int keep_authority(const struct config_value *v, const struct config_origin *o, struct slice *ret)
{
    bool is_ipv6 = strchr(o->host, ':') != NULL;
    char text[HOST_SIZE_MAX + sizeof("[]:65535")];
    int size = snprintf(text, sizeof(text), "%s%s%s", is_ipv6 ? "[" : "", o->host, is_ipv6 ? "]" : "");

    if (o->port != (o->tls ? 443 : 80))
        snprintf(text + size, sizeof(text) - (size_t)size, ":%u", (unsigned)o->port);
    return keep_slice(v, slice_of(text), ret);
}

static int read_origin(const struct config_value *v, struct slice text, void *ret)
{
    struct config_origin origin = {0};
    struct uri_authority authority;
    struct slice host;
    struct uri uri;
    int status;

    if (!parse_url(text, &uri, &authority) || slice_find(authority.host, '*') < authority.host.size)
        return -EINVAL;
    origin.tls = slice_equal_nocase(uri.scheme, SLICE_LITERAL("https"));
    if (!origin.tls && !slice_equal_nocase(uri.scheme, SLICE_LITERAL("http")))
        return -EINVAL;
    origin.port = authority.port ? authority.port : origin.tls ? 443 : 80;
    while (slice_ends_with(uri.path, SLICE_LITERAL("/")))
        uri.path.size--;
    status = read_host(v, authority.host, &host);
    if (status < 0)
        return status;
    origin.host = host.data;
    status = keep_authority(v, &origin, &origin.authority);
    if (status == 0)
        status = keep_slice(v, uri.path, &origin.path_prefix);
    if (status == 0)
        *(struct config_origin *)ret = origin;
    return status;
}

const struct config_type config_type_ip = {
    .name = "address",
    .expected = "an IP address without a port, such as 192.0.2.1 or 2001:db8::1",
    .read = read_ip,
};
const struct config_type config_type_socket_address = {
    .name = "address:port",
    .expected = "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080",
    .read = read_socket_address,
};
const struct config_type config_type_prefix = {
    .name = "prefix",
    .expected = "an IP address or prefix, such as 10.0.0.0/8 or 2001:db8::/32",
    .read = read_prefix,
};
const struct config_type config_type_host = {
    .name = "host",
    .expected = "a host name or an IP address without a port, such as video.example.com or *.example.com",
    .read = read_host,
};
const struct config_type config_type_server_name = {
    .name = "host",
    .expected = "a host name or an IP address, such as origin.example.com",
    .read = read_server_name,
};
const struct config_type config_type_authority = {
    .name = "host[:port]",
    .expected = "a host and maybe a port, such as origin.example.com:8080",
    .read = read_authority,
};
const struct config_type config_type_cors_origin = {
    .name = "origin",
    .expected = "* or an origin without a path, such as https://player.example.com",
    .read = read_cors_origin,
};
const struct config_type config_type_origin = {
    .name = "URL",
    .expected = "a URL of http or https without user, query and fragment, such as "
                "http://origin.example.com:9000/videos",
    .read = read_origin,
    .may_hide_secret = true,
};
