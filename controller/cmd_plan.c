/* cmd_plan.c - cni-iam plan -f FILE: the steps that a binding would take. Reads only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/binding_file.h"
#include "controller/collect.h"
#include "controller/commands.h"
#include "controller/connect.h"

/* The object of the cluster with this spec; one that is not there yet gets an identity of its own. Mode Plan: nothing may act. */
static struct cib_binding *binding_to_plan(const json *wanted, const json *lists, struct error *err) {
    const char *name = json_str(wanted, "metadata.name");
    json *object = NULL;
    if (str_empty(name)) {
        error_set(err, ERR_INVALID, "the CniIamBinding has no metadata.name");
        return NULL;
    }
    for (const json *it = json_first(json_array(lists, "items")); it; it = it->next)
        if (!object && str_eq(json_str(it, "metadata.name"), name))
            object = json_dup(it);
    if (!object) {
        object = json_dup(wanted);
        json *meta = (json *)(uintptr_t)json_get(object, "metadata");
        json_add_str(meta, "uid", "not-applied-yet");
        json_add_str(meta, "resourceVersion", "0");
        json_add_str(meta, "creationTimestamp", "9999-01-01T00:00:00Z");
    }
    const json *spec = json_get(wanted, "spec");
    json *copy = spec && !cJSON_IsNull(spec) ? json_dup(spec) : json_object();
    if (json_is_object(copy)) /* anything else is the decoder's to refuse */
        json_add_str(copy, "mode", "Plan");
    json_add_item(object, "spec", copy);
    struct cib_binding *b = cib_decode(object, err);
    json_free(object);
    return b;
}

static const struct effect *list_effect(struct arena *a, const struct watch_target *t) {
    return effect_new(a, EFFECT_K8S_LIST, "resource", t->resource, "namespace", t->ns, "labelSelector",
                      t->label_selector, "fieldSelector", t->field_selector, NULL);
}

/* effect_new leaves out pairs whose value is NULL, but a NULL name would end it: the names above never are. */
static bool list_all(struct connection *c, json *lists[WATCH_COUNT], struct error *err) {
    for (int k = 0; k < WATCH_COUNT; k++) {
        const struct watch_target *t = &watched_kind((enum watched)k)->target;
        fprintf(stderr, "reading %s\n", t->resource);
        lists[k] = connection_call(c, list_effect(c->arena, t), err);
        bool no_crd = k == WATCH_BINDINGS && err->code == ERR_NOT_FOUND; /* a plan may come before the CRD */
        if (err->code && !no_crd)
            return error_wrap(err, "reading %s", t->resource);
    }
    error_clear(err);
    return true;
}

static bool decide(struct connection *c, struct world *w, struct decision *d, struct error *err) {
    struct progress p = {0};
    struct clock clock = loop_clock(c->loop);
    observations_begin_pass(w->observations);
    for (int round = 0; round < RECONCILE_ROUNDS_MAX; round++) {
        w->now_boot_ms = clock.boot_ms(clock.ctx);
        w->now_wall_ms = clock.wall_ms(clock.ctx);
        reconcile_decide(w, &p, c->arena, d);
        if (!d->nreads)
            return true;
        fprintf(stderr, "asking AWS and the API server (%zu)\n", d->nreads);
        for (size_t i = 0; i < d->nreads; i++) {
            struct error answer; /* "not found" is an answer for the core, no failure of the plan */
            json *value = connection_call(c, d->reads[i], &answer);
            observations_put(w->observations, effect_key(d->reads[i], c->arena), value, &answer,
                             clock.boot_ms(clock.ctx));
        }
    }
    return error_set(err, ERR_INTERNAL, "the reads do not end");
}

static int print_plan(const struct decision *d) {
    const struct cib_condition *stalled = cib_condition_find(&d->status, "Stalled");
    if (stalled) {
        fprintf(stderr, "cni-iam plan: %s: %s\n", stalled->reason, stalled->message);
        return 1;
    }
    const struct cib_condition *ready = cib_condition_find(&d->status, "Ready");
    for (size_t i = 0; i < d->status.plan.steps.n; i++)
        printf("%s\n", d->status.plan.steps.v[i]);
    if (d->status.plan.steps.n > 0)
        return 2;
    if (ready && ready->status == CIB_CONDITION_TRUE)
        printf("nothing to do: aws-node runs with an identity of its own\n");
    else /* waits and proofs begin anew in a process of its own: they are the operator's to tell */
        printf("nothing to do: no step is missing; how far the operator is: kubectl get cib -o wide\n");
    return 0;
}

static int plan(struct connection *c, const struct options *o, const json *wanted, struct error *err) {
    json *lists[WATCH_COUNT] = {0};
    struct decision *d = calloc(1, sizeof *d);
    struct operator_config config = {.cluster_name = o->cluster_name,
                                     .region = str_or(o->region, c->settings->region),
                                     .allowed_policy_arns = o->allowed_policy_arns,
                                     .role_path = o->role_path,
                                     .aws_audit_interval_ms = 60000,
                                     .guard_independent = true};
    struct world w = {.config = &config, .observations = observations_new(), .epoch = INT64_MAX};
    struct cib_binding *b = NULL;
    struct cluster_view *v = NULL;
    int status = 1;
    if (list_all(c, lists, err) && (b = binding_to_plan(wanted, lists[WATCH_BINDINGS], err)) &&
        (v = cluster_view_from_lists(lists, err))) {
        cluster_view_fill(v, b, c->arena, &w);
        if (decide(c, &w, d, err))
            status = print_plan(d);
    }
    if (err->code)
        fprintf(stderr, "cni-iam plan: %s\n", err->message);
    cluster_view_free(v);
    cib_free(b);
    observations_free(w.observations);
    for (int k = 0; k < WATCH_COUNT; k++)
        json_free(lists[k]);
    free(d);
    return status;
}

int command_plan(const struct options *o) {
    struct error err;
    struct connection c;
    if (str_empty(o->file)) {
        fprintf(stderr, "cni-iam plan: which binding? write: cni-iam plan -f binding.yaml (- reads standard input)\n");
        return 1;
    }
    json *wanted = binding_file_read(o->file, &err);
    if (!wanted || !connection_open(&c, &(struct connection_options){.options = o, .component = "plan"}, &err)) {
        fprintf(stderr, "cni-iam plan: %s\n", err.message);
        json_free(wanted);
        return 1;
    }
    error_clear(&err);
    int status = plan(&c, o, wanted, &err);
    connection_close(&c);
    json_free(wanted);
    return status;
}
