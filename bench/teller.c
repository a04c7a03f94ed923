#include "bench/teller.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/picture.h"
#include "platform/base/arena.h"
#include "platform/base/str.h"
#include "simulator/virtual/net.h"

#define LOOK_MS 500
#define STEADY_MS 2500 /* longer than a look of the nodes */
#define NODE_MS 15000  /* that a pod takes to be made anew */
#define CNI_POLICY "AmazonEKS_CNI_Policy"

static const struct story plain = {.end = STORY_ENDS_MIGRATED};

struct teller {
    struct teller_options o;
    const struct story *story;
    struct sim_others *others;
    struct sim_checker *checker; /* NULL: it did not begin yet */
    size_t next;                 /* step */
    int64_t due_ms;              /* of the next step, once its moment has come; -1 before */
    int64_t look_ms;
    bool begun, deleting;
    int writes_seen; /* by the next step */
    /* what the last step broke */
    const struct story_step *breaker;      /* NULL: nothing is excused */
    const struct story_step *last_breaker; /* of all that were */
    bool acting;                           /* a step, not a program that comes back by itself */
    int64_t broken_ms, bad_ms;
    int detaches;                   /* of the operator, when it was broken */
    json *expected, *before;        /* the account without the operator; before the deed under way */
    enum sim_pod_identity identity; /* of the pods at the start */
    char failure[TELLER_FAILURE_MAX];
};

static bool failed(struct teller *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool failed(struct teller *t, const char *fmt, ...) {
    va_list ap;
    if (t->failure[0])
        return false;
    va_start(ap, fmt);
    (void)vsnprintf(t->failure, sizeof t->failure, fmt, ap);
    va_end(ap);
    return false;
}

/* --- the world as it is --- */

static const json *binding(const struct teller *t) {
    return sim_kube_get(sim_world_kube(t->o.world), "cniiambindings", NULL, "aws-node");
}

static const json *condition(const struct teller *t, const char *type) {
    for (const json *c = json_first(json_array(binding(t), "status.conditions")); c; c = c->next)
        if (str_eq(json_str(c, "type"), type))
            return c;
    return NULL;
}

static bool is(const struct teller *t, const char *type, const char *status, const char *reason) {
    const json *c = condition(t, type);
    return str_eq(json_str(c, "status"), status) && (!reason || str_eq(json_str(c, "reason"), reason)) &&
           json_int64_or(c, "observedGeneration", -1) == json_int64_or(binding(t), "metadata.generation", 0);
}

static bool is_migrated(const struct teller *t) {
    return is(t, "Ready", "True", NULL) && is(t, "NodeRoleDetached", "True", NULL);
}

static const json *end_condition(const struct teller *t) {
    static const char *const types[] = {[STORY_ENDS_MIGRATED] = "Ready",
                                        [STORY_ENDS_READY] = "NodeRoleDetached",
                                        [STORY_ENDS_STALLED] = "Stalled",
                                        [STORY_ENDS_WAITING] = "Ready",
                                        [STORY_ENDS_GONE] = "Ready"};
    return condition(t, types[t->story->end]);
}

bool teller_has_ended(const struct teller *t) {
    const char *reason = t->story->reason;
    if (t->story->message && !strstr(str_or(json_str(end_condition(t), "message"), ""), t->story->message))
        return false;
    switch (t->story->end) {
    case STORY_ENDS_MIGRATED:
        return is_migrated(t);
    case STORY_ENDS_READY:
        return is(t, "Ready", "True", NULL) && is(t, "NodeRoleDetached", "False", reason);
    case STORY_ENDS_STALLED:
        return is(t, "Stalled", "True", reason);
    case STORY_ENDS_WAITING:
        return is(t, "Ready", "False", reason);
    case STORY_ENDS_GONE:
        return binding(t) == NULL;
    }
    return false;
}

static int rows_of(const struct teller *t, struct sim_node_row **rows) {
    static struct sim_node_row all[SIM_WORLD_NODES_MAX];
    *rows = all;
    return sim_world_rows(t->o.world, all, SIM_WORLD_NODES_MAX);
}

static bool all_permitted(const struct teller *t) {
    struct sim_node_row *rows;
    int n = rows_of(t, &rows);
    for (int i = 0; i < n; i++)
        if (rows[i].pod[0] == '\0' || !rows[i].permitted || !rows[i].ready)
            return false;
    return true;
}

static int detaches_of_operator(void) {
    const char **lines;
    int n = net_writes(&lines), found = 0;
    for (int i = 0; i < n; i++)
        found += str_eq(lines[i], "aws DetachRolePolicy");
    return found;
}

/* --- what a fault refuses for long --- */

/* NULL: nothing. */
static const struct net_fault *refused_since(int64_t ms) {
    int n;
    const struct net_fault *faults = net_faults(&n);
    for (int i = 0; i < n; i++)
        if (faults[i].hit && faults[i].kind == NET_FORBIDDEN && faults[i].over_ms > ms)
            return &faults[i];
    return NULL;
}

/* The repair is refused: then the policy goes back, IAM is waited for, and every pod is made anew without the role (G8); where
 * attaching is what is refused, there is no other way until that is over. */
static int64_t last_resort_ms(const struct teller *t) {
    const struct net_fault *f = refused_since(t->broken_ms);
    const char **lines;
    struct sim_node_row *rows;
    if (!f)
        return 0;
    bool no_way = net_writes(&lines) >= f->at && str_eq(lines[f->at - 1], "aws AttachRolePolicy");
    return json_int64_or(binding(t), "spec.nodeRole.soakSeconds", 300) * 1000 + (int64_t)rows_of(t, &rows) * NODE_MS +
           (no_way ? f->over_ms - t->broken_ms : 0);
}

/* After that a detachment needs a new approval, Automatic included: somebody gives it. */
static bool approve_again(struct teller *t) {
    static const struct sim_verb *approve;
    const char *digest = json_str(binding(t), "status.plan.digest");
    const json *annotations = json_path(binding(t), "metadata.annotations");
    struct error err;
    if (t->story->end != STORY_ENDS_MIGRATED || t->deleting || !refused_since(0) || !digest ||
        str_eq(json_key_str(annotations, "cniiam.dev/approve"), digest) ||
        !str_eq(json_str(binding(t), "spec.nodeRole.detach"), "Automatic") ||
        !is(t, "NodeRoleDetached", "False", "AwaitingApproval") || !is(t, "GuardActive", "False", "GuardFired"))
        return true;
    approve = approve ? approve : sim_verb_find("human", "approve");
    t->acting = true;
    bool ok = sim_others_do(t->others, approve, NULL, 0, &err);
    t->acting = false;
    return ok || failed(t, "it could not be approved again: %s", err.message);
}

/* --- steps --- */

static bool excuse_ends(struct teller *t) {
    int64_t now = t->o.now_ms(), steady = t->o.enforcement_lag_ms + STEADY_MS;
    const struct story_step *s = t->breaker;
    if (detaches_of_operator() > t->detaches)
        return failed(t, "line %d: the operator took a policy away while %s's deed was not repaired", s->line, s->who);
    if (!all_permitted(t))
        t->bad_ms = now;
    if (t->bad_ms - t->broken_ms > s->repaired_within_ms + last_resort_ms(t))
        return failed(t, "line %d: not repaired %lld s after %s did %s", s->line,
                      (long long)(t->bad_ms - t->broken_ms) / 1000, s->who, s->does);
    if (now - t->bad_ms < steady)
        return true;
    if (t->o.trace)
        printf("      repaired in %.1f s\n", (double)(t->bad_ms - t->broken_ms) / 1000.0);
    t->breaker = NULL;
    sim_checker_excuse(t->checker, false);
    return true;
}

static void excuse(struct teller *t, const struct story_step *s) {
    if (!t->breaker)
        t->detaches = detaches_of_operator();
    t->breaker = s;
    t->broken_ms = t->bad_ms = t->o.now_ms();
    sim_checker_excuse(t->checker, true);
}

static void on_deed(void *arg, bool done) {
    struct teller *t = arg;
    struct sim_aws *aws = sim_world_aws(t->o.world);
    char line[400];
    if (!t->begun)
        return;
    if (!done) {
        t->before = picture_take(aws);
        return;
    }
    json *after = picture_take(aws);
    /* A program that came back by itself and changed something breaks what the step broke that made it come. */
    if (!t->acting && t->last_breaker && picture_differs(t->before, after, line, sizeof line))
        excuse(t, t->last_breaker);
    picture_carry_over(t->expected, t->before, after);
    json_free(after);
    json_free(t->before);
    t->before = NULL;
}

static bool act(struct teller *t, const struct story_step *s) {
    struct error err;
    if (s->repaired_within_ms && t->checker) {
        excuse(t, s);
        t->last_breaker = s;
    }
    if (t->o.trace)
        printf("      %s: %s, after %d writes at %.1f s\n", s->who, s->does, net_writes(NULL),
               (double)t->o.now_ms() / 1000.0);
    t->acting = true;
    bool ok = sim_others_do(t->others, s->verb, s->args, s->nargs, &err);
    t->acting = false;
    if (!ok)
        return failed(t, "line %d: %s", s->line, err.message);
    t->next++;
    t->due_ms = -1;
    t->writes_seen = net_writes(NULL);
    return true;
}

static bool has_called(const struct teller *t, const char *text) {
    const char **lines;
    int n = net_writes(&lines);
    for (int i = t->writes_seen; i < n; i++)
        if (strstr(lines[i], text))
            return true;
    return false;
}

/* Is it worth a look at conditions, which takes its time? */
static bool looks_again(struct teller *t) {
    if (t->o.now_ms() < t->look_ms)
        return false;
    t->look_ms = t->o.now_ms() + LOOK_MS;
    return true;
}

static bool has_come(struct teller *t, const struct story_step *s, bool look) {
    switch (s->when) {
    case STORY_START:
    case STORY_APPLIED:
    case STORY_NEXT:
        return true;
    case STORY_MIGRATED:
        return look && is_migrated(t);
    case STORY_CONDITION:
        return look && condition(t, s->type) && str_eq(json_str(condition(t, s->type), "reason"), s->text);
    case STORY_WRITE:
        return net_writes(NULL) >= s->write;
    case STORY_CALL:
        return has_called(t, s->text);
    case STORY_GONE:
        return look && binding(t) == NULL;
    case STORY_DELETING:
        return t->deleting;
    }
    return false;
}

static const struct story_step *next_step(const struct teller *t) {
    return t->next < t->story->nsteps ? &t->story->steps[t->next] : NULL;
}

bool teller_look(struct teller *t) {
    bool look = looks_again(t);
    if (look && ((t->breaker && !excuse_ends(t)) || !approve_again(t)))
        return false;
    for (const struct story_step *s; (s = next_step(t)) != NULL && (!t->breaker || s->when == STORY_NEXT);) {
        if (t->due_ms < 0 && !has_come(t, s, look))
            return true;
        if (t->due_ms < 0)
            t->due_ms = t->o.now_ms() + s->wait_ms;
        if (t->o.now_ms() < t->due_ms)
            return true;
        if (!act(t, s))
            return false;
    }
    return t->failure[0] == '\0';
}

bool teller_is_done(const struct teller *t) {
    const struct story_step *s = next_step(t);
    return !t->breaker && (!s || s->when == STORY_DELETING);
}

bool teller_is_deleted_done(const struct teller *t) {
    return !t->breaker && !next_step(t);
}

bool teller_start(struct teller *t, void (*settle)(int64_t ms)) {
    const struct story_step *s;
    while ((s = next_step(t)) != NULL && s->when == STORY_START) {
        settle(s->wait_ms);
        if (!act(t, s))
            break;
    }
    return t->next > 0;
}

void teller_begin(struct teller *t, struct sim_checker *checker) {
    struct sim_node_row *rows;
    t->begun = true;
    t->checker = checker;
    t->writes_seen = net_writes(NULL);
    t->expected = picture_take(sim_world_aws(t->o.world));
    t->identity = rows_of(t, &rows) > 0 ? rows[0].identity : SIM_POD_NODE_ROLE;
}

void teller_delete(struct teller *t) {
    t->deleting = true;
    t->writes_seen = net_writes(NULL);
}

/* --- facts --- */

static json *role_value(const struct teller *t, const char *role) {
    struct sim_aws_param p = {"RoleName", role};
    struct sim_aws_call call = {.service = "iam", .action = "GetRole", .params = &p, .nparams = 1};
    struct sim_aws_answer answer;
    sim_aws_do(sim_world_aws(t->o.world), &call, &answer);
    return answer.value;
}

static bool has_policy(const struct teller *t, const char *role, const char *policy) {
    json *picture = picture_take(sim_world_aws(t->o.world));
    struct arena *a = arena_new(0);
    const char *arn = arena_printf(a, "arn:aws:iam::aws:policy/%s", policy);
    bool has = picture_has(picture, arena_printf(a, "role %s policy %s", role, policy)) ||
               picture_has(picture, arena_printf(a, "role %s policy %s", role, arn));
    arena_free(a);
    json_free(picture);
    return has;
}

static bool has_tag(const json *role, const char *text) {
    char pair[512];
    for (const json *it = json_first(json_array(role, "Role.Tags")); it; it = it->next) {
        (void)snprintf(pair, sizeof pair, "%s=%s", str_or(json_str(it, "Key"), ""), str_or(json_str(it, "Value"), ""));
        if (str_eq(pair, text))
            return true;
    }
    return false;
}

static bool has_provider(const struct teller *t, const char *url) {
    json *picture = picture_take(sim_world_aws(t->o.world));
    bool has = false;
    for (const json *it = json_first(picture); it; it = it->next)
        has = has || (str_has_prefix(it->string, "provider ") && str_has_suffix(it->string, url));
    json_free(picture);
    return has;
}

static bool is_annotated(const struct teller *t, const char *role) {
    const json *sa = sim_kube_get(sim_world_kube(t->o.world), "serviceaccounts", "kube-system", "aws-node");
    const char *arn = str_or(json_key_str(json_path(sa, "metadata.annotations"), "eks.amazonaws.com/role-arn"), "");
    return *role ? str_has_suffix(arn, role) && arn[strlen(arn) - strlen(role) - 1] == '/' : !*arn;
}

static bool pods_are(const struct teller *t, enum sim_pod_identity identity) {
    struct sim_node_row *rows;
    int n = rows_of(t, &rows);
    for (int i = 0; i < n; i++)
        if (rows[i].pod[0] && (rows[i].identity != identity || !rows[i].ready || !rows[i].permitted))
            return false;
    return true;
}

struct event {
    const char *reason;
    bool seen;
};

static void look_at_event(void *arg, const json *object) {
    struct event *e = arg;
    e->seen = e->seen || str_eq(json_str(object, "reason"), e->reason);
}

static bool has_event(const struct teller *t, const char *reason) {
    struct event e = {.reason = reason};
    sim_kube_each(sim_world_kube(t->o.world), "events", NULL, look_at_event, &e);
    return e.seen;
}

static bool is_so(const struct teller *t, const struct story_fact *f) {
    bool so = false;
    json *role = f->kind == STORY_FACT_ROLE || f->kind == STORY_FACT_TRUST || f->kind == STORY_FACT_TAG
                     ? role_value(t, f->subject)
                     : NULL;
    switch (f->kind) {
    case STORY_FACT_ROLE:
        so = role != NULL;
        break;
    case STORY_FACT_POLICY:
        so = has_policy(t, f->subject, f->text);
        break;
    case STORY_FACT_TRUST:
        so = strstr(str_or(json_str(role, "Role.AssumeRolePolicyDocument"), ""), f->text) != NULL;
        break;
    case STORY_FACT_TAG:
        so = has_tag(role, f->text);
        break;
    case STORY_FACT_PROVIDER:
        so = has_provider(t, f->subject);
        break;
    case STORY_FACT_ANNOTATION:
        so = is_annotated(t, f->subject);
        break;
    case STORY_FACT_PODS:
        so = pods_are(t, str_eq(f->subject, "own-role") ? SIM_POD_OWN_ROLE : SIM_POD_NODE_ROLE);
        break;
    case STORY_FACT_EVENT:
        so = has_event(t, f->subject);
        break;
    }
    json_free(role);
    return so;
}

static void check_facts(struct teller *t, const struct story_facts *facts) {
    for (size_t i = 0; i < facts->n; i++) {
        const struct story_fact *f = &facts->v[i];
        if (is_so(t, f) != f->is)
            failed(t, "line %d: the fact about %s %s is not so", f->line, f->subject, f->text);
    }
}

/* --- ends --- */

static const char *role_of_row(const struct teller *t, const struct sim_node_row *row) {
    const char *id = json_str(sim_kube_get(sim_world_kube(t->o.world), "nodes", NULL, row->name), "spec.providerID");
    const char *slash = id ? strrchr(id, '/') : NULL;
    const char *arn = slash ? sim_aws_role_of_instance(sim_world_aws(t->o.world), slash + 1) : NULL;
    const char *name = arn ? strrchr(arn, '/') : NULL;
    return name ? name + 1 : NULL;
}

static void check_migrated(struct teller *t) {
    struct sim_node_row *rows;
    int n = rows_of(t, &rows);
    for (int i = 0; i < n; i++) {
        const char *role = role_of_row(t, &rows[i]);
        if (rows[i].pod[0] && (rows[i].identity != SIM_POD_OWN_ROLE || !rows[i].ready || !rows[i].permitted))
            failed(t, "L1: node %s is not migrated", rows[i].name);
        if (rows[i].pod[0] && role && has_policy(t, role, CNI_POLICY))
            failed(t, "L1: node role %s still has the policy", role);
    }
}

static void check_restored(struct teller *t) {
    struct sim_node_row *rows;
    char line[400];
    int n = rows_of(t, &rows);
    for (int i = 0; i < n; i++)
        if (rows[i].pod[0] && (rows[i].identity != t->identity || !rows[i].ready || !rows[i].permitted))
            failed(t, "S15: the pod of node %s is not as it was before", rows[i].name);
    json *is_now = picture_take(sim_world_aws(t->o.world));
    if (picture_differs(t->expected, is_now, line, sizeof line))
        failed(t, "S15: the account is not as it was before: %s", line);
    json_free(is_now);
}

void teller_check_end(struct teller *t) {
    if (t->story->end == STORY_ENDS_MIGRATED)
        check_migrated(t);
    if (t->story->end == STORY_ENDS_GONE)
        check_restored(t);
    check_facts(t, &t->story->facts);
}

void teller_check_deletion(struct teller *t) {
    if (t->story->deletion == STORY_DELETION_RESTORES)
        check_restored(t);
    check_facts(t, &t->story->afterwards);
}

/* --- life --- */

struct teller *teller_new(const struct teller_options *o) {
    struct teller *t = calloc(1, sizeof *t);
    if (!t)
        die("out of memory");
    t->o = *o;
    t->story = o->story ? o->story : &plain;
    t->due_ms = -1;
    t->others = sim_others_new(o->world);
    sim_others_on_deed(t->others, on_deed, t);
    return t;
}

void teller_free(struct teller *t) {
    if (!t)
        return;
    sim_others_free(t->others);
    json_free(t->expected);
    json_free(t->before);
    free(t);
}

const struct story *teller_story(const struct teller *t) {
    return t->story;
}

const char *teller_failure(const struct teller *t) {
    return t->failure;
}
