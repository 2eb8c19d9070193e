/* SPDX-License-Identifier: Apache-2.0 */
/* What the peer of a TCP socket has acknowledged since the connection began: 0 where that cannot be told. In
 * a file of its own, as the kernel's tcp_info cannot be had beside the library's. */
#ifndef IO_TCP_ACKED_H
#define IO_TCP_ACKED_H

#include <stdint.h>

uint64_t tcp_acked_bytes(int fd);

#endif
