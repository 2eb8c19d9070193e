/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_acked.h. */
#include "tcp_acked.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

uint64_t tcp_acked_bytes(int fd)
{
    struct tcp_info info = {.tcpi_bytes_acked = 0};
    socklen_t size = sizeof(info);

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size); /* an older kernel's is shorter, but has it */
    return info.tcpi_bytes_acked;
}
