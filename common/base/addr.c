/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses as text, as sockaddr and as prefixes. The text is parsed strictly (inet_pton: no octal, no
 * short forms), because it comes from X-Forwarded-For as well as from the configuration.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/check.h"

#define IPV4_MAPPED_BITS 96

static const uint8_t ipv4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_ipv4(uint8_t ip[16], const void *ipv4)
{
    memcpy(ip, ipv4_mapped, sizeof(ipv4_mapped));
    memcpy(ip + sizeof(ipv4_mapped), ipv4, 4);
}

static int parse_ip(struct slice text, uint8_t ret_ip[16])
{
    bool is_ipv6 = slice_find(text, ':') < text.size;
    char terminated[INET6_ADDRSTRLEN];
    uint8_t ip[16];

    if (text.size >= sizeof(terminated) || slice_find(text, '\0') < text.size)
        return -EINVAL;
    if (text.size > 0)
        memcpy(terminated, text.data, text.size);
    terminated[text.size] = '\0';
    if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, terminated, ip) != 1)
        return -EINVAL;
    if (is_ipv6)
        memcpy(ret_ip, ip, sizeof(ip));
    else
        set_ipv4(ret_ip, ip);
    return 0;
}

/* Parts "address:port" and "[address]:port"; what has several colons and no brackets is an address alone. The
 * port of an address alone is a slice without data. */
static bool split_port(struct slice text, struct slice *ret_ip, struct slice *ret_port)
{
    struct slice port = {NULL, 0}, rest;
    size_t end;

    if (text.size > 0 && text.data[0] == '[') {
        end = slice_find(text, ']');
        rest = slice_skip(text, end + 1);
        if (end == text.size || slice_find(slice_make(text.data, end), ':') == end)
            return false;
        if (rest.size > 0 && rest.data[0] != ':')
            return false;
        *ret_ip = slice_make(text.data + 1, end - 1);
        *ret_port = rest.size > 0 ? slice_skip(rest, 1) : port;
        return true;
    }
    end = slice_find(text, ':');
    rest = slice_skip(text, end + 1);
    if (end < text.size && slice_find(rest, ':') == rest.size) {
        *ret_port = rest;
        *ret_ip = slice_make(text.data, end);
    } else {
        *ret_port = port;
        *ret_ip = text;
    }
    return true;
}

int addr_parse(struct slice text, struct addr *ret_addr)
{
    struct slice ip, port_text;
    struct addr addr;
    uint64_t port = 0;

    if (!split_port(text, &ip, &port_text) || parse_ip(ip, addr.ip) < 0)
        return -EINVAL;
    if (port_text.data && (!slice_to_u64(port_text, &port) || port > UINT16_MAX))
        return -EINVAL;
    addr.port = (uint16_t)port;
    *ret_addr = addr;
    return 0;
}

static void keep_bits(uint8_t ip[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++, bits -= bits < 8 ? bits : 8)
        if (bits < 8)
            ip[i] &= (uint8_t)(0xff00u >> bits);
}

int addr_prefix_parse(struct slice text, struct addr_prefix *ret_prefix)
{
    struct slice bits_text = text, ip;
    struct addr_prefix prefix;
    uint64_t bits, bits_max;

    if (!slice_split(&bits_text, '/', &ip) || parse_ip(ip, prefix.ip) < 0)
        return -EINVAL;
    bits_max = slice_find(ip, ':') < ip.size ? 128 : 32;
    bits = bits_max;
    if (bits_text.data && (!slice_to_u64(bits_text, &bits) || bits > bits_max))
        return -EINVAL;
    prefix.bits = (uint8_t)(bits_max == 32 ? bits + IPV4_MAPPED_BITS : bits);
    keep_bits(prefix.ip, prefix.bits);
    *ret_prefix = prefix;
    return 0;
}

bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a)
{
    unsigned bytes = p->bits / 8, bits = p->bits % 8;

    if (memcmp(p->ip, a->ip, bytes) != 0)
        return false;
    return bits == 0 || ((p->ip[bytes] ^ a->ip[bytes]) & (0xff00u >> bits) & 0xff) == 0;
}

bool addr_is_ipv4(const struct addr *a)
{
    return memcmp(a->ip, ipv4_mapped, sizeof(ipv4_mapped)) == 0;
}

void addr_format_ip(const struct addr *a, char ret_text[ADDR_TEXT_MAX])
{
    const char *text = addr_is_ipv4(a) ? inet_ntop(AF_INET, a->ip + 12, ret_text, ADDR_TEXT_MAX)
                                       : inet_ntop(AF_INET6, a->ip, ret_text, ADDR_TEXT_MAX);
    REQUIRE(text);
}

void addr_format(const struct addr *a, char ret_text[ADDR_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];

    addr_format_ip(a, ip);
    snprintf(ret_text, ADDR_TEXT_MAX, addr_is_ipv4(a) ? "%.45s:%u" : "[%.45s]:%u", ip, (unsigned)a->port);
}

void addr_truncate(const struct addr *a, struct addr *ret_addr)
{
    struct addr truncated = {.port = 0}; /* the port would tell one viewer from another */

    memcpy(truncated.ip, a->ip, sizeof(truncated.ip));
    keep_bits(truncated.ip, addr_is_ipv4(a) ? IPV4_MAPPED_BITS + 24 : 48);
    *ret_addr = truncated;
}

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_addr)
{
    struct addr addr = {.port = 0};

    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        set_ipv4(addr.ip, &in->sin_addr);
        addr.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        memcpy(addr.ip, &in6->sin6_addr, sizeof(addr.ip));
        addr.port = ntohs(in6->sin6_port);
    }
    *ret_addr = addr;
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_sa)
{
    memset(ret_sa, 0, sizeof(*ret_sa));
    if (addr_is_ipv4(a)) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_sa;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip + 12, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_sa;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, sizeof(a->ip));
    return sizeof(*in6);
}
