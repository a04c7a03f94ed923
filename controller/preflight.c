#include "controller/preflight.h"

#include <stdlib.h>
#include <string.h>

#include "crd/binding.h"
#include "platform/base/log.h"
#include "platform/base/str.h"

#define KUBE_SYSTEM "kube-system"
#define WORKLOAD "aws-node"

struct right {
    const char *verb, *group, *resource, *subresource, *ns, *name; /* NULL: none */
};

static const struct right rights[] = {
    {"list", CIB_GROUP, CIB_RESOURCE, NULL, NULL, NULL},
    {"watch", CIB_GROUP, CIB_RESOURCE, NULL, NULL, NULL},
    {"patch", CIB_GROUP, CIB_RESOURCE, NULL, NULL, NULL},
    {"patch", CIB_GROUP, CIB_RESOURCE, "status", NULL, NULL},
    {"list", "", "nodes", NULL, NULL, NULL},
    {"watch", "", "nodes", NULL, NULL, NULL},
    {"list", "", "serviceaccounts", NULL, NULL, NULL},
    {"list", "", "serviceaccounts", NULL, KUBE_SYSTEM, WORKLOAD},
    {"watch", "", "serviceaccounts", NULL, KUBE_SYSTEM, WORKLOAD},
    {"patch", "", "serviceaccounts", NULL, KUBE_SYSTEM, WORKLOAD},
    {"create", "", "serviceaccounts", "token", KUBE_SYSTEM, WORKLOAD},
    {"list", "apps", "daemonsets", NULL, KUBE_SYSTEM, WORKLOAD},
    {"watch", "apps", "daemonsets", NULL, KUBE_SYSTEM, WORKLOAD},
    {"patch", "apps", "daemonsets", NULL, KUBE_SYSTEM, WORKLOAD},
    {"list", "", "pods", NULL, KUBE_SYSTEM, NULL},
    {"watch", "", "pods", NULL, KUBE_SYSTEM, NULL},
    {"create", "", "pods", NULL, KUBE_SYSTEM, NULL},
    {"delete", "", "pods", NULL, KUBE_SYSTEM, NULL},
    {"list", "", "events", NULL, KUBE_SYSTEM, NULL},
    {"watch", "", "events", NULL, KUBE_SYSTEM, NULL},
    {"create", "events.k8s.io", "events", NULL, KUBE_SYSTEM, NULL},
    {"patch", "events.k8s.io", "events", NULL, KUBE_SYSTEM, NULL},
    /* with the election's namespace and name */
    {"get", "coordination.k8s.io", "leases", NULL, NULL, NULL},
    {"update", "coordination.k8s.io", "leases", NULL, NULL, NULL},
    {"create", "coordination.k8s.io", "leases", NULL, NULL, NULL},
};
#define NRIGHTS (sizeof rights / sizeof *rights)

struct preflight {
    struct effector effector;
    struct clock clock;
    char lease_ns[256], lease_name[256];
    size_t next;
    uint64_t ticket, timer;
    bool missing[NRIGHTS], found[NRIGHTS]; /* of the last whole round; of the one under way */
};

static bool is_lease(size_t i) {
    return str_eq(rights[i].resource, "leases");
}

/* The table's row with what only this process knows. */
static struct right right_at(const struct preflight *p, size_t i) {
    struct right r = rights[i];
    if (is_lease(i)) {
        r.ns = p->lease_ns;
        r.name = str_eq(r.verb, "create") ? NULL : p->lease_name; /* the name stands in the body */
    }
    return r;
}

static const char *describe(const struct preflight *p, size_t i, struct arena *a) {
    struct right r = right_at(p, i);
    return arena_printf(a, "%s %s%s%s%s%s%s%s%s", r.verb, r.resource, r.subresource ? "/" : "",
                        str_or(r.subresource, ""), r.group[0] ? "." : "", r.group, r.name ? " " : "",
                        str_or(r.name, ""), r.ns ? arena_printf(a, " in %s", r.ns) : "");
}

static void ask_next(struct preflight *p);

static void on_timer(void *arg) {
    struct preflight *p = arg;
    p->timer = 0;
    ask_next(p);
}

static void end_round(struct preflight *p) {
    struct arena *a = arena_new(0);
    size_t n = 0;
    for (size_t i = 0; i < NRIGHTS; i++) {
        if (p->found[i] && !p->missing[i])
            LOG_WARN("preflight", "a permission is missing; grant it with: kubectl apply -k manifests/base",
                     F_STR("right", describe(p, i, a)));
        n += p->found[i];
    }
    arena_free(a);
    memcpy(p->missing, p->found, sizeof p->missing);
    p->next = 0;
    if (n)
        p->timer = p->clock.timer_start(p->clock.ctx, PREFLIGHT_RETRY_MS, on_timer, p);
}

static void on_answer(void *arg, struct effect_result *r) {
    struct preflight *p = arg;
    p->ticket = 0;
    if (r->error.code)
        LOG_WARN("preflight", "an access review failed", F_STR("error", r->error.message));
    p->found[p->next] = r->error.code == ERR_NONE && !json_bool(r->value, "allowed", true);
    p->next++;
    ask_next(p);
}

static void ask_next(struct preflight *p) {
    while (p->next < NRIGHTS && is_lease(p->next) && !p->lease_ns[0])
        p->found[p->next++] = false;
    if (p->next >= NRIGHTS) {
        end_round(p);
        return;
    }
    struct arena *a = arena_new(0);
    struct right r = right_at(p, p->next);
    const struct effect *e =
        effect_new(a, EFFECT_K8S_ACCESS_REVIEW, "verb", r.verb, "group", r.group, "resource", r.resource, "subresource",
                   r.subresource, "namespace", r.ns, "name", r.name, NULL);
    p->ticket = p->effector.submit(p->effector.ctx, e, on_answer, p);
    arena_free(a);
}

struct preflight *preflight_new(struct effector effector, struct clock clock, const char *lease_ns,
                                const char *lease_name) {
    struct preflight *p = calloc(1, sizeof *p);
    if (!p)
        die("out of memory");
    p->effector = effector;
    p->clock = clock;
    str_copy(p->lease_ns, sizeof p->lease_ns, str_or(lease_ns, ""));
    str_copy(p->lease_name, sizeof p->lease_name, str_or(lease_name, ""));
    return p;
}

void preflight_free(struct preflight *p) {
    if (!p)
        return;
    p->clock.timer_stop(p->clock.ctx, p->timer);
    if (p->ticket)
        p->effector.cancel(p->effector.ctx, p->ticket);
    free(p);
}

void preflight_start(struct preflight *p) {
    if (!p->ticket && !p->timer)
        ask_next(p);
}

size_t preflight_report(const struct preflight *p, struct buf *out) {
    struct arena *a = arena_new(0);
    size_t n = 0;
    for (size_t i = 0; i < NRIGHTS; i++)
        if (p->missing[i]) {
            n++;
            (void)buf_printf(out, "missing permission: %s; grant it with: kubectl apply -k manifests/base\n",
                             describe(p, i, a));
        }
    arena_free(a);
    return n;
}
