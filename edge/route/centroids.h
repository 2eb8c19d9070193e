/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a country is, for want of anything better.
 */
#ifndef ROUTE_CENTROIDS_H
#define ROUTE_CENTROIDS_H

#include <stdbool.h>

/* Degrees. False for a code that is none. */
bool centroid_find(const char *country, double *ret_latitude, double *ret_longitude);

#endif
