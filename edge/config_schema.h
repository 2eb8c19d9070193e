/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of all fields of a configuration: the one place that says names, types, defaults and bounds.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config_table.h"

extern const struct config_table config_schema;

/* What single fields cannot say; for the tables. See config_check.c. */
void config_check(struct config_reader *r, void *config);
void config_check_arena(struct config_reader *r, void *arena);
void config_check_override(struct config_reader *r, void *override);
void config_check_edge(struct config_reader *r, void *edge);
void config_check_upstream(struct config_reader *r, void *upstream);
void config_check_upstream_tls(struct config_reader *r, void *upstream);
void config_check_site(struct config_reader *r, void *site);
void config_check_countries(struct config_reader *r, void *countries);
void config_check_limits(struct config_reader *r, void *limits);

#endif
