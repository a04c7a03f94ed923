/*
 * k8s_call.c - performs one Kubernetes effect, LIST or WATCH from the command line and prints JSON: the hand of
 * test_k8s_wire.py.
 *
 * usage: k8s_call [--kubeconfig F] [--context C] [--component NAME] [--body JSON] KIND [name=value ...]
 *   KIND is a K8S_* kind of EFFECT_TABLE with its arguments, or LIST or WATCH with those of watch_source.h (resource,
 * namespace, labelSelector, fieldSelector, metadataOnly, resourceVersion, resourceVersionMatch, continue, limit,
 * timeoutSeconds). Prints one line for each event ({"line": ...}) and one at the end: {"error": "OK", "http": ...,
 * "wire": ..., "message": ..., "value": ...}. Exit status: 0 done (whatever the outcome), 64 usage, 1 no client.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/k8s/k8s_effects.h"
#include "platform/k8s/k8s_watch.h"

struct options {
    const char *kubeconfig, *context, *component, *body, *kind;
    char **args;
    int nargs;
};

static struct loop *loop;
static bool finished;

static const struct {
    const char *name;
    enum effect_kind kind;
} kinds[] = {
#define X(kind, service, op, class_) {#kind, EFFECT_##kind},
    EFFECT_TABLE(X)
#undef X
};

static void print_line(json *o) {
    char *text = json_print(o);
    (void)puts(text);
    (void)fflush(stdout);
    free(text);
    json_free(o);
}

static void print_end(const struct error *err, const json *value, const char *request_id) {
    json *o = json_object();
    json_add_str(o, "error", error_name(err->code));
    json_add_int64(o, "http", err->http_status);
    json_add_str(o, "wire", err->wire);
    json_add_str(o, "message", err->code != ERR_NONE ? err->message : "");
    json_add_int64(o, "retryAfterMs", err->retry_after_ms);
    json_add_str(o, "requestId", request_id);
    if (value != NULL) {
        json_add_item(o, "value", json_dup(value));
    }
    print_line(o);
    finished = true;
}

static void on_effect(void *arg, struct effect_result *r) {
    (void)arg;
    print_end(&r->error, r->value, r->request_id);
}

static void on_list(void *arg, json *list, const struct error *err) {
    static const struct error none;
    (void)arg;
    print_end(list != NULL ? &none : err, list, "");
    json_free(list);
}

static void on_open(void *arg) {
    (void)arg;
    json *o = json_object();
    json_add_bool(o, "open", true);
    print_line(o);
}

static void on_line(void *arg, const char *line, size_t len) {
    struct error err;
    (void)arg;
    json *o = json_object();
    json *event = json_parse(line, len, &err);
    json_add_item(o, "line", event != NULL ? event : json_object());
    print_line(o);
}

static void on_end(void *arg, const struct error *err) {
    static const struct error none;
    (void)arg;
    print_end(err != NULL ? err : &none, NULL, "");
}

static const char *value_of(const struct options *o, const char *name) {
    size_t n = strlen(name);
    for (int i = 0; i < o->nargs; i++) {
        if (strncmp(o->args[i], name, n) == 0 && o->args[i][n] == '=') {
            return o->args[i] + n + 1;
        }
    }
    return NULL;
}

static void start_source(const struct options *o, struct k8s_client *c) {
    struct watch_source s = k8s_watch_source(k8s_watch_new(c));
    struct watch_sink sink = {NULL, on_list, on_open, on_line, on_end};
    struct watch_target t = {.resource = str_or(value_of(o, "resource"), "pods"),
                             .ns = value_of(o, "namespace"),
                             .label_selector = value_of(o, "labelSelector"),
                             .field_selector = value_of(o, "fieldSelector"),
                             .metadata_only = str_eq(value_of(o, "metadataOnly"), "true")};
    if (str_eq(o->kind, "LIST")) {
        struct list_query q = {.resource_version = value_of(o, "resourceVersion"),
                               .resource_version_match = value_of(o, "resourceVersionMatch"),
                               .continue_token = value_of(o, "continue"),
                               .limit = atoi(str_or(value_of(o, "limit"), "0"))};
        (void)s.list(s.ctx, &t, &q, sink);
    } else {
        struct watch_query q = {.resource_version = value_of(o, "resourceVersion"),
                                .timeout_seconds = atoi(str_or(value_of(o, "timeoutSeconds"), "30"))};
        (void)s.watch(s.ctx, &t, &q, sink);
    }
}

static bool start_effect(const struct options *o, struct k8s_client *c) {
    struct arena *a = arena_new(0);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_eq(kinds[i].name, o->kind)) {
            continue;
        }
        struct effect *e = effect_new(a, kinds[i].kind, NULL);
        for (int n = 0; n < o->nargs; n++) {
            char *name = arena_strdup(a, o->args[n]);
            char *value = strchr(name, '=');
            if (value == NULL) {
                return false;
            }
            *value = '\0';
            effect_add_arg(e, a, name, value + 1);
        }
        e->body = o->body;
        struct effector x = k8s_effects_effector(k8s_effects_new(c));
        (void)x.submit(x.ctx, e, on_effect, NULL);
        arena_free(a);
        return true;
    }
    arena_free(a);
    return false;
}

static bool parse_options(int argc, char **argv, struct options *o) {
    int i = 1;
    for (; i + 1 < argc && str_has_prefix(argv[i], "--"); i += 2) {
        const char **to = str_eq(argv[i], "--kubeconfig")  ? &o->kubeconfig
                          : str_eq(argv[i], "--context")   ? &o->context
                          : str_eq(argv[i], "--component") ? &o->component
                          : str_eq(argv[i], "--body")      ? &o->body
                                                           : NULL;
        if (to == NULL) {
            return false;
        }
        *to = argv[i + 1];
    }
    if (i >= argc) {
        return false;
    }
    o->kind = argv[i];
    o->args = argv + i + 1;
    o->nargs = argc - i - 1;
    return true;
}

int main(int argc, char **argv) {
    struct options o = {.component = "wire-test"};
    struct error err;
    if (!parse_options(argc, argv, &o)) {
        (void)fputs("usage: k8s_call [--kubeconfig F] [--context C] [--body JSON] KIND [name=value ...]\n", stderr);
        return 64;
    }
    struct k8s_config_request where = {.kubeconfig = o.kubeconfig, .context = o.context};
    struct k8s_config *config = k8s_config_load(&where, &err);
    loop = config != NULL ? loop_new(&err) : NULL;
    struct k8s_client_options options = {
        .loop = loop, .config = config, .version = "0.0-test", .component = o.component};
    struct k8s_client *c = loop != NULL ? k8s_client_new(&options, &err) : NULL;
    if (c == NULL) {
        print_end(&err, NULL, "");
        return 1;
    }
    if (str_eq(o.kind, "LIST") || str_eq(o.kind, "WATCH")) {
        start_source(&o, c);
    } else if (!start_effect(&o, c)) {
        (void)fprintf(stderr, "k8s_call: unknown kind %s, or an argument without '='\n", o.kind);
        return 64;
    }
    while (!finished) {
        loop_turn(loop, 1000);
    }
    return 0; /* the process ends here: nothing is worth tidying up */
}
