/* support_sim_kube.c - see support_sim_kube.h. */
#include "support_sim_kube.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/error.h"
#include "platform/base/str.h"

#ifndef TESTS_DIR
#define TESTS_DIR "tests"
#endif

static char *read_all(const char *path) {
    FILE *f = fopen(path, "r");
    const size_t max = 256 * 1024;
    char *text = calloc(1, max + 1);
    if (f == NULL || text == NULL || fread(text, 1, max, f) == 0) {
        die("%s cannot be read", path);
    }
    (void)fclose(f);
    return text;
}

struct sim_test *sim_test_open(bool with_crd) {
    struct sim_test *t = calloc(1, sizeof *t);
    if (t == NULL) {
        die("out of memory");
    }
    t->clock = sim_clock_new();
    t->crd = with_crd ? read_all(TESTS_DIR "/../crd/cniiambindings.yaml") : NULL;
    struct sim_kube_options o = {
        .clock = sim_clock_port(t->clock), .seed = 7, .issuer = "https://oidc.example/id/1", .crd_yaml = t->crd};
    t->kube = sim_kube_new(&o);
    return t;
}

void sim_test_forget_lines(struct sim_test *t) {
    while (t->nlines > 0) {
        free(t->lines[--t->nlines]);
    }
}

void sim_test_close(struct sim_test *t) {
    sim_kube_free(t->kube);
    sim_clock_free(t->clock);
    sim_test_forget_lines(t);
    json_free(t->body);
    free(t->text);
    free(t->crd);
    free(t);
}

static void split(const char *target, char path[1024], const char **query) {
    size_t n = strcspn(target, "?");
    if (n >= 1024) {
        die("the path is too long");
    }
    memcpy(path, target, n);
    path[n] = '\0';
    *query = target[n] == '?' ? target + n + 1 : "";
}

static int send_it(struct sim_test *t, const char *target, struct sim_http_request *r) {
    char path[1024];
    struct sim_http_answer out;
    struct error err = {0};
    split(target, path, &r->query);
    r->path = path;
    r->user_agent = "tester/1.0";
    sim_kube_http(t->kube, r, &out);
    json_free(t->body);
    free(t->text);
    t->status = out.status;
    t->content_type = out.content_type;
    t->text = out.body;
    t->body = out.body != NULL ? json_parse(out.body, out.body_len, &err) : NULL;
    return out.status;
}

int sim_test_do(struct sim_test *t, const char *method, const char *target, const char *content_type,
                const char *body) {
    struct sim_http_request r = {.method = method, .content_type = content_type, .body = str_or(body, "")};
    r.body_len = strlen(r.body);
    return send_it(t, target, &r);
}

int sim_test_accept(struct sim_test *t, const char *target, const char *accept) {
    struct sim_http_request r = {.method = "GET", .accept = accept, .body = ""};
    return send_it(t, target, &r);
}

int sim_test_get(struct sim_test *t, const char *target) {
    return sim_test_do(t, "GET", target, NULL, NULL);
}

int sim_test_post(struct sim_test *t, const char *target, const char *body) {
    return sim_test_do(t, "POST", target, "application/json", body);
}

int sim_test_apply(struct sim_test *t, const char *target, const char *body) {
    return sim_test_do(t, "PATCH", target, "application/apply-patch+yaml", body);
}

const char *sim_test_str(const struct sim_test *t, const char *path) {
    return str_or(json_str(t->body, path), "");
}

const char *sim_test_cause(const struct sim_test *t, const char *field) {
    for (const json *it = json_first(json_array(t->body, "details.causes")); it != NULL; it = it->next) {
        if (str_eq(json_str(it, "field"), field)) {
            return str_or(json_str(it, "message"), "");
        }
    }
    return "";
}

/* ---- watches ---- */

static void on_line(void *arg, const char *line, size_t len) {
    struct sim_test *t = arg;
    if (t->nlines == SIM_TEST_LINES_MAX || line[len] != '\0') {
        die("too many lines, or a line without its end");
    }
    t->lines[t->nlines++] = strdup(line);
}

static void on_end(void *arg) {
    ((struct sim_test *)arg)->nends++;
}

uint64_t sim_test_watch(struct sim_test *t, const char *target, const char *accept) {
    char path[1024];
    struct sim_http_request r = {
        .method = "GET", .path = path, .accept = accept, .user_agent = "tester/1.0", .body = ""};
    struct sim_http_answer out;
    struct error err = {0};
    split(target, path, &r.query);
    if (!sim_kube_is_watch(&r)) {
        die("%s is no watch", target);
    }
    uint64_t ticket = sim_kube_watch(t->kube, &r, (struct sim_watch_sink){t, on_line, on_end}, &out);
    json_free(t->body);
    free(t->text);
    t->status = out.status;
    t->text = out.body;
    t->body = out.body != NULL ? json_parse(out.body, out.body_len, &err) : NULL;
    return ticket;
}

const char *sim_test_line(struct sim_test *t, int i) {
    static char text[300];
    struct error err = {0};
    text[0] = '\0';
    if (i < t->nlines) {
        json *j = json_parse(t->lines[i], strlen(t->lines[i]), &err);
        (void)snprintf(text, sizeof text, "%s %s", str_or(json_str(j, "type"), "?"),
                       str_or(json_str(j, "object.metadata.name"), ""));
        json_free(j);
    }
    return text;
}
