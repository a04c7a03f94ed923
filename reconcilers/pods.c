/* pods.c - the aws-node pods as the proof sees them (G6, S2): what each lives on, read from its spec alone. */
#include <string.h>

#include "reconcilers/context.h"
#include "reconcilers/policy_document.h"

static const char *audience_defect(struct ctx *c, const struct pod_view *p) {
    if (str_eq(p->token_audience, TRUST_AUDIENCE))
        return NULL;
    return arena_printf(c->a, "its token is for audience %s", str_or(p->token_audience, "unknown"));
}

static const char *outranked_defect(struct ctx *c, const struct pod_view *p) {
    for (size_t i = 0; i < p->ncontainers; i++)
        if (p->containers[i].outranked_by)
            return arena_printf(c->a, "%s in container %s outranks the identity", p->containers[i].outranked_by,
                                p->containers[i].name);
    return NULL;
}

/* S2: "created after the annotation": whole seconds, and a little for two clocks. */
static bool created_too_early(const struct ctx *c, const struct pod_view *p) {
    enum { CLOCK_SLACK_MS = 5000 };
    return str_eq(c->s->rollout.role_arn, c->role_arn) && c->s->rollout.annotated_ms > 0 &&
           p->meta.creation_ms + CLOCK_SLACK_MS < c->s->rollout.annotated_ms;
}

static void judge(struct ctx *c, const struct pod_view *p, struct pod_fact *f) {
    const char *role = NULL;
    enum pod_credential credential = pod_credential(p, &role);
    f->pod = p;
    f->ready = p->ready;
    f->ours = c->w->daemon_set && str_eq(p->owner_uid, c->w->daemon_set->meta.uid);
    f->state = POD_NODE;
    if (p->unreadable || credential == POD_CREDENTIAL_NODE) {
        f->defect = "the identity webhook did not inject it: it lives on the node role";
    } else if (credential != POD_CREDENTIAL_IRSA) {
        f->state = POD_OTHER_ROLE;
        f->defect = str_or(outranked_defect(c, p), "it has credentials of another kind");
    } else if (!str_eq(role, c->role_arn)) {
        f->state = POD_OTHER_ROLE;
        f->defect = arena_printf(c->a, "it has the role %s", role);
    } else {
        f->defect = audience_defect(c, p);
        f->defect = f->defect ? f->defect : outranked_defect(c, p);
        if (!f->defect && created_too_early(c, p))
            f->defect = "it is older than the annotation";
        f->state = f->defect ? POD_OTHER_ROLE : POD_TARGET;
    }
}

void observe_pods(struct ctx *c) {
    c->pods = ARENA_ARRAY(c->a, c->w->npods ? c->w->npods : 1, struct pod_fact);
    c->npods = c->ntarget = c->ntarget_ready = c->nnode = c->nother = c->nready = 0;
    for (size_t i = 0; i < c->w->npods; i++) {
        const struct pod_view *p = c->w->pods[i];
        if (p->meta.deletion_ms || str_eq(p->phase, "Succeeded") || str_eq(p->phase, "Failed"))
            continue;
        struct pod_fact *f = &c->pods[c->npods++];
        judge(c, p, f);
        c->nready += f->ready;
        c->ntarget += f->state == POD_TARGET;
        c->ntarget_ready += f->state == POD_TARGET && f->ready;
        c->nnode += f->state == POD_NODE;
        c->nother += f->state == POD_OTHER_ROLE;
    }
    c->s->nodes.total = (int64_t)c->npods;
    c->s->nodes.proven = (int64_t)c->ntarget_ready;
}

const struct pod_fact *pick_pod(const struct ctx *c, bool (*wanted)(const struct pod_fact *p)) {
    const struct pod_fact *best = NULL;
    for (size_t i = 0; i < c->npods; i++) {
        const struct pod_fact *f = &c->pods[i];
        if (!f->ours || !wanted(f))
            continue;
        if (!best || strcmp(f->pod->node, best->pod->node) < 0)
            best = f;
    }
    return best;
}

bool daemon_set_settled(const struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    if (!ds || ds->meta.generation != ds->observed_generation)
        return false;
    return ds->desired <= ds->current && (ds->on_delete || ds->desired <= ds->updated) &&
           ds->desired <= ds->available && ds->desired <= ds->ready_count;
}

bool pods_all_present(const struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    size_t ours_ready = 0, terminating = 0;
    for (size_t i = 0; i < c->npods; i++)
        ours_ready += c->pods[i].ours && c->pods[i].ready;
    for (size_t i = 0; i < c->w->npods; i++)
        terminating += c->w->pods[i]->meta.deletion_ms != 0;
    return ds && terminating == 0 && ours_ready >= (size_t)(ds->desired > 0 ? ds->desired : 0) &&
           ours_ready == c->npods;
}

/* Where nothing worked before us, only the pods that have the role can be expected to be Ready (S9: bootstrap). */
bool pods_fit(const struct ctx *c) {
    const struct daemon_set_view *ds = c->w->daemon_set;
    if (c->s->prior.worked)
        return pods_all_present(c);
    size_t terminating = 0;
    for (size_t i = 0; i < c->w->npods; i++)
        terminating += c->w->pods[i]->meta.deletion_ms != 0;
    return terminating == 0 && c->ntarget_ready == c->ntarget &&
           c->npods >= (size_t)(ds->desired > 0 ? ds->desired : 0);
}

const struct effect *effect_delete_pod(struct ctx *c, const struct pod_view *p) {
    return effect_new(c->a, EFFECT_K8S_DELETE, "resource", "pods", "namespace", p->meta.ns, "name", p->meta.name, "uid",
                      p->meta.uid, "resourceVersion", p->meta.resource_version, NULL);
}

/* What the DaemonSet controller would create, asked of the API server without creating it (G4). */
static const struct effect *effect_dry_run(struct ctx *c) {
    json *pod = json_dup(c->w->daemon_set->template_pod);
    json_add_str(pod, "apiVersion", "v1");
    json_add_str(pod, "kind", "Pod");
    json *meta = (json *)(uintptr_t)json_get(pod, "metadata");
    if (!meta)
        meta = json_add_object(pod, "metadata");
    json_add_str(meta, "namespace", "kube-system");
    json_add_str(meta, "generateName", "aws-node-probe-");
    struct effect *e = effect_new(c->a, EFFECT_K8S_POD_DRY_RUN, "namespace", "kube-system", NULL);
    e->body = json_print_arena(pod, c->a);
    json_free(pod);
    return e;
}

bool dry_run_role(struct ctx *c, enum gate g, int64_t max_age_ms, const char **role_arn) {
    *role_arn = NULL;
    const struct effect *e = effect_dry_run(c);
    const struct observation *o = ctx_read(c, e, max_age_ms);
    if (!o)
        return false;
    if (o->error.code)
        return ctx_read_failed(c, g, e, &o->error);
    struct error err;
    json *admitted = json_dup(o->value);
    json *meta = (json *)(uintptr_t)json_get(admitted, "metadata");
    if (meta)
        json_add_str(meta, "resourceVersion", "0"); /* a dry run has none */
    struct pod_view *p = pod_decode(admitted, &err);
    json_free(admitted);
    if (!p)
        return ctx_wait(c, g, REASON_UNAVAILABLE, RETRY_MS, "the dry run of an aws-node pod could not be read: %s",
                        err.message);
    const char *role = NULL;
    if (pod_credential(p, &role) == POD_CREDENTIAL_IRSA && str_eq(p->token_audience, TRUST_AUDIENCE))
        *role_arn = arena_strdup(c->a, role);
    pod_free(p);
    return true;
}

const char *role_user(struct ctx *c, const char *arn, int64_t max_age_ms, bool *known) {
    const struct effect *e = effect_new(c->a, EFFECT_K8S_LIST, "resource", "pods", "namespace", "kube-system",
                                        "labelSelector", "k8s-app=aws-node", NULL);
    const struct observation *o = ctx_read(c, e, max_age_ms);
    size_t pods = 0;
    const char *user = NULL;
    *known = o && (!o->error.code || ctx_read_failed(c, G8, e, &o->error));
    if (!*known)
        return NULL;
    if (c->w->service_account && str_eq(c->w->service_account->role_arn, arn))
        return "the annotation of ServiceAccount kube-system/aws-node names it";
    for (const json *it = json_first(json_array(o->value, "items")); it; it = it->next, pods++) {
        struct error err;
        struct pod_view *p = pod_decode(it, &err);
        const char *role = NULL;
        if (!p)
            user = arena_printf(c->a, "a pod can not be read: %s", err.message);
        else if (pod_credential(p, &role) == POD_CREDENTIAL_IRSA && str_eq(role, arn))
            user = arena_printf(c->a, "pod %s on node %s has it", p->meta.name, p->node);
        pod_free(p);
    }
    if (!user && pods < c->npods) /* S14: an empty answer is no reason to take anything away */
        user = arena_printf(c->a, "of %zu pods only %zu are listed", c->npods, pods);
    return user;
}
