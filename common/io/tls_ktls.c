/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tls_ktls.h. The trial goes as far as a key: a kernel may have the module and not the cipher, and a
 * sandbox may forbid what the kernel can.
 */
#include "tls_ktls.h"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/opensslconf.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

bool tls_ktls_enable(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;
}

/* A connected pair; only the one that connects is returned, as what comes is of no interest. */
static int connected_socket(int *ret_other)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int other = -1;

    if (listener >= 0 && fd >= 0 && bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&sa, &size) == 0 &&
        connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (listener >= 0)
        close(listener);
    if (fd >= 0 && other < 0) {
        close(fd);
        fd = -1;
    }
    *ret_other = other;
    return fd;
}

static bool is_available;

static void try_once(void)
{
#ifndef OPENSSL_NO_KTLS
    struct tls12_crypto_info_aes_gcm_128 keys;
    int other, fd = connected_socket(&other);

    memset(&keys, 0, sizeof(keys));
    keys.info.version = TLS_1_3_VERSION;
    keys.info.cipher_type = TLS_CIPHER_AES_GCM_128;
    if (fd < 0)
        return;
    is_available = tls_ktls_enable(fd) && setsockopt(fd, SOL_TLS, TLS_TX, &keys, sizeof(keys)) == 0;
    close(fd);
    close(other);
#endif
}

bool tls_ktls_is_available(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, try_once);
    return is_available;
}
