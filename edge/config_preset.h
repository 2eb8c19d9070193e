/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query parameters by the name of the server that adds them: what `query_drop` means by "preset:name".
 */
#ifndef CONFIG_PRESET_H
#define CONFIG_PRESET_H

#include "base/slice.h"

#define CONFIG_PRESET_PREFIX "preset:"

/* `text`: with the prefix. NULL: there is none of that name. */
const struct slice *config_preset_find(struct slice text, size_t *ret_count);

#endif
