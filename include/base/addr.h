/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IP addresses, with or without a port, and prefixes (CIDR). IPv4 is kept as IPv4-mapped IPv6, so that every
 * comparison is one of 16 bytes.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <sys/socket.h>

#include "base/slice.h"

#define ADDR_TEXT_MAX 64 /* "[ipv6]:port" and a terminator */

struct addr {
    uint8_t ip[16];
    uint16_t port; /* host byte order, 0 for none */
};

struct addr_prefix {
    uint8_t ip[16];
    uint8_t bits; /* 0 to 128; an IPv4 /24 is 120 */
};

/* "1.2.3.4", "1.2.3.4:80", "::1", "[::1]:80". Names are not resolved. 0 or -EINVAL. */
int addr_parse(struct slice text, struct addr *ret_addr);
/* "10.0.0.0/8", "2001:db8::/32", or an address alone. Bits behind the prefix are cleared. 0 or -EINVAL. */
int addr_prefix_parse(struct slice text, struct addr_prefix *ret_prefix);
bool addr_prefix_contains(const struct addr_prefix *p, const struct addr *a);

bool addr_is_ipv4(const struct addr *a);
void addr_format_ip(const struct addr *a, char ret_text[ADDR_TEXT_MAX]); /* "1.2.3.4", "::1" */
void addr_format(const struct addr *a, char ret_text[ADDR_TEXT_MAX]);    /* with the port, IPv6 in brackets */
void addr_truncate(const struct addr *a,
                   struct addr *ret_addr); /* to /24 or /48, no port: no viewer in logs */

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *ret_addr);
/* Makes an AF_INET sockaddr of an IPv4 address, AF_INET6 of the rest. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ret_sa);

static inline bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

#endif
