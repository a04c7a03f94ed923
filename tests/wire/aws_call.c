/*
 * aws_call.c - performs one AWS effect from the command line and prints JSON: the hand of test_aws_wire.py.
 *
 * usage: aws_call [--token FILE] KIND [name=value ...]
 *   KIND is an AWS kind of EFFECT_TABLE, or PROVE_ROLE with a web identity token in FILE. Who and where: the AWS
 * variables. Prints {"error": "OK", "http": ..., "wire": ..., "message": ..., "value": ...}. Exit status: 0 done
 * (whatever the outcome), 64 usage, 1 no client.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/aws_client.h"
#include "platform/aws/proof.h"
#include "platform/base/str.h"

static bool finished;

static const struct {
    const char *name;
    enum effect_kind kind;
} kinds[] = {
#define X(kind, service, op, class_) {#kind, EFFECT_##kind},
    EFFECT_TABLE(X)
#undef X
};

static void print_end(const struct error *err, const json *value, const char *request_id) {
    json *o = json_object();
    json_add_str(o, "error", error_name(err->code));
    json_add_int64(o, "http", err->http_status);
    json_add_str(o, "wire", err->wire);
    json_add_str(o, "message", err->code != ERR_NONE ? err->message : "");
    json_add_str(o, "requestId", request_id);
    if (value != NULL) {
        json_add_item(o, "value", json_dup(value));
    }
    char *text = json_print(o);
    (void)puts(text);
    free(text);
    json_free(o);
    finished = true;
}

static void on_effect(void *arg, struct effect_result *r) {
    (void)arg;
    print_end(&r->error, r->value, r->request_id);
}

static struct effect *effect_of(struct arena *a, int argc, char **argv) {
    for (size_t i = 0; argc > 0 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_eq(kinds[i].name, argv[0]) || effect_service(kinds[i].kind) == SERVICE_KUBERNETES) {
            continue;
        }
        struct effect *e = effect_new(a, kinds[i].kind, NULL);
        for (int n = 1; n < argc; n++) {
            char *value = strchr(argv[n], '=');
            if (value == NULL) {
                return NULL;
            }
            effect_add_arg(e, a, arena_strndup(a, argv[n], (size_t)(value - argv[n])), value + 1);
        }
        return e;
    }
    return NULL;
}

static struct secret *read_token(const char *path) {
    char text[20000];
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    if (f == NULL) {
        return NULL;
    }
    size_t n = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    while (n > 0 && text[n - 1] == '\n') {
        n--;
    }
    return secret_new(text, n);
}

int main(int argc, char **argv) {
    struct arena *a = arena_new(0);
    struct error err;
    bool with_token = argc > 2 && str_eq(argv[1], "--token");
    int first = with_token ? 3 : 1;
    struct effect *e = effect_of(a, argc - first, argv + first);
    if (e == NULL || (e->kind == EFFECT_PROVE_ROLE && !with_token)) {
        (void)fputs("usage: aws_call [--token FILE] KIND [name=value ...]\n", stderr);
        return 64;
    }
    struct aws_settings *settings = aws_settings_load(a, NULL, &err);
    struct loop *loop = settings != NULL ? loop_new(&err) : NULL;
    struct aws_client *c = loop != NULL ? aws_client_new(loop, settings, "cni-iam/0.0-test", &err) : NULL;
    if (c == NULL) {
        print_end(&err, NULL, "");
        return 1;
    }
    if (e->kind == EFFECT_PROVE_ROLE) {
        struct secret *token = read_token(argv[2]);
        (void)aws_prove_role(c, e, token, on_effect, NULL);
        secret_free(token);
    } else {
        struct effector x = aws_client_effector(c);
        (void)x.submit(x.ctx, e, on_effect, NULL);
    }
    while (!finished) {
        loop_turn(loop, 1000);
    }
    return 0; /* the process ends here: nothing is worth tidying up */
}
