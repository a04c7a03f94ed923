/* trouble.c - what breaks by itself: the webhook is away or misses pods, AWS throttles for a while. */
#include "simulator/others_internal.h"

static bool webhook_sleeps(struct deed *d) {
    sim_world_webhook(d->o->w, false);
    return true;
}

static bool webhook_wakes(struct deed *d) {
    sim_world_webhook(d->o->w, true);
    return true;
}

static bool webhook_misses(struct deed *d) {
    d->o->w->misses_left = (int)deed_number(d, "count", 1);
    return true;
}

static bool aws_throttles(struct deed *d) {
    sim_aws_throttle(d->o->w->aws, deed_duration_ms(d, "for", 60000));
    return true;
}

static bool node_breaks(struct deed *d) {
    d->o->w->broken_node = (int)deed_number(d, "number", 1);
    sim_world_look(d->o->w);
    return true;
}

static bool node_mends(struct deed *d) {
    d->o->w->broken_node = 0;
    sim_world_look(d->o->w);
    return true;
}

const struct sim_verb trouble_verbs[] = {
    {"webhook-sleeps", webhook_sleeps, {NULL}},
    {"webhook-wakes", webhook_wakes, {NULL}},
    {"webhook-misses", webhook_misses, {"count"}},
    {"aws-throttles", aws_throttles, {"for"}},
    {"node-breaks", node_breaks, {"number?"}},
    {"node-mends", node_mends, {NULL}},
    {NULL, NULL, {NULL}},
};
