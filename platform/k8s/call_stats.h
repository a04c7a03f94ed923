/*
 * call_stats.h - counters by verb, resource and code: the inside of k8s_client_stats.
 *
 * Model: a small table that is searched from the front; a process uses a few dozen rows.
 *
 * Ownership: a value inside its owner; verb and resource must be static strings, which are compared by address.
 *
 * Errors: none. Beyond K8S_STATS_MAX rows a new combination is not counted.
 */
#ifndef CNI_IAM_K8S_CALL_STATS_H
#define CNI_IAM_K8S_CALL_STATS_H

#include "platform/k8s/k8s_client.h"

struct call_stats {
    struct k8s_stat rows[K8S_STATS_MAX];
    size_t count;
};

void call_stats_add(struct call_stats *s, const char *verb, const char *resource, int code, int64_t took_ms);

#endif
