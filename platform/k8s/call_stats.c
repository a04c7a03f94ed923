#include "platform/k8s/call_stats.h"

void call_stats_add(struct call_stats *s, const char *verb, const char *resource, int code, int64_t took_ms) {
    size_t i = 0;
    while (i < s->count && !(s->rows[i].code == code && s->rows[i].verb == verb && s->rows[i].resource == resource)) {
        i++;
    }
    if (i == K8S_STATS_MAX) {
        return;
    }
    if (i == s->count) {
        s->rows[s->count++] = (struct k8s_stat){verb, resource, code, 0, 0};
    }
    s->rows[i].count++;
    s->rows[i].total_ms += took_ms > 0 ? (uint64_t)took_ms : 0;
}
