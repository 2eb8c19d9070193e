/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shim answers: a request becomes a file of the root or a resource of a live channel, and that
 * becomes a reply with its media type and Cache-Control. Immutable once made; shared by all workers.
 */
#ifndef SERVICE_H
#define SERVICE_H

#include "channel.h"
#include "http/exchange.h"
#include "media_type.h"

struct service {
    struct directory *root;
    struct channel **channels;
    size_t channel_count;

    /* By class; NULL: the class's own (media_type.h), "": none. Shorter than REPLY_CACHE_CONTROL_MAX. */
    const char *cache_control[MEDIA_CLASS_COUNT];
};

/* For http_server_options.on_request, with the service as user. */
void service_handle(struct exchange *x, void *service);

#endif
