#include "controller/decision_log.h"

#include <string.h>

#include "platform/base/buf.h"
#include "platform/base/digest.h"
#include "platform/base/log.h"
#include "platform/base/str.h"

#define INPUTS_MAX ((size_t)16 * 1024 * 1024)
#define DIGEST_SHOWN 16

static void add_identity(struct buf *b, const struct object_meta *m) {
    buf_printf(b, "%s:%s\n", m->uid, m->resource_version);
}

static const char *digest_of(struct buf *b, struct arena *a) {
    char hex[DIGEST_SHA256_HEX];
    digest_sha256_hex(buf_str(b), b->n, hex);
    buf_done(b);
    return arena_strndup(a, hex, DIGEST_SHOWN);
}

static const char *pods_digest(const struct world *w, struct arena *a) {
    struct buf b;
    buf_init(&b, INPUTS_MAX);
    for (size_t i = 0; i < w->npods; i++)
        add_identity(&b, &w->pods[i]->meta);
    return digest_of(&b, a);
}

static const char *nodes_digest(const struct world *w, struct arena *a) {
    struct buf b;
    buf_init(&b, INPUTS_MAX);
    for (size_t i = 0; i < w->nnodes; i++)
        add_identity(&b, &w->nodes[i]->meta);
    return digest_of(&b, a);
}

static const char *gates_text(const struct cib_status *s, struct arena *a) {
    struct strlist words = {0};
    for (int g = 0; g < CIB_GATES; g++)
        strlist_add(&words, arena_printf(a, "G%d=%s", g + 1, cib_gate_state_name(s->gates[g].state)), a);
    return strlist_join(&words, " ", a);
}

static const char *identity_text(const struct object_meta *m, struct arena *a) {
    return m ? arena_printf(a, "%s:%s", m->uid, m->resource_version) : "";
}

static const struct object_meta *meta_of_service_account(const struct world *w) {
    return w->service_account ? &w->service_account->meta : NULL;
}

static const struct object_meta *meta_of_daemon_set(const struct world *w) {
    return w->daemon_set ? &w->daemon_set->meta : NULL;
}

void decision_log(const struct decision_record *r, struct arena *a) {
    const struct world *w = r->world;
    const struct step *s = r->step;
    bool failed = r->error->code != ERR_NONE;
    LOG_AT_(failed ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "driver", failed ? "step failed" : "step done",
            F_STR("binding", w->binding->name), F_STR("gate", s->gate), F_STR("step", s->line), F_STR("why", s->why),
            F_STR("effect", effect_describe(s->effect, a)), F_STR("digest", effect_digest(s->effect, a)),
            F_STR("result", failed ? error_name(r->error->code) : "ok"),
            F_STR("error", failed ? r->error->message : ""), F_STR("request", str_or(r->request_id, "")),
            F_INT("tookMs", r->took_ms), F_INT("epoch", w->epoch), F_STR("bindingUID", w->binding->uid),
            F_STR("bindingRV", w->binding->resource_version), F_INT("generation", w->binding->generation),
            F_STR("serviceAccount", identity_text(meta_of_service_account(w), a)),
            F_STR("daemonSet", identity_text(meta_of_daemon_set(w), a)), F_INT("pods", w->npods),
            F_STR("podsDigest", pods_digest(w, a)), F_INT("nodes", w->nnodes), F_STR("nodesDigest", nodes_digest(w, a)),
            F_INT("proven", r->decision->status.nodes.proven), F_STR("gates", gates_text(&r->decision->status, a)));
}

char *decision_detail(const struct decision_record *r, struct arena *a) {
    const struct world *w = r->world;
    json *o = json_object();
    json_add_str(o, "gate", r->step->gate);
    json_add_str(o, "step", r->step->line);
    json_add_str(o, "why", r->step->why);
    json_add_str(o, "bindingRV", w->binding->resource_version);
    json_add_int64(o, "generation", w->binding->generation);
    json_add_str(o, "serviceAccount", identity_text(meta_of_service_account(w), a));
    json_add_str(o, "daemonSet", identity_text(meta_of_daemon_set(w), a));
    json_add_int64(o, "pods", (int64_t)w->npods);
    json_add_str(o, "podsDigest", pods_digest(w, a));
    json_add_int64(o, "nodes", (int64_t)w->nnodes);
    json_add_str(o, "nodesDigest", nodes_digest(w, a));
    json_add_str(o, "gates", gates_text(&r->decision->status, a));
    json_add_int64(o, "tookMs", r->took_ms);
    if (r->error->code)
        json_add_str(o, "error", r->error->message);
    char *text = json_print_arena(o, a);
    json_free(o);
    return text;
}
