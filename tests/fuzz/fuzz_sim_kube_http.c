/*
 * fuzz_sim_kube_http.c - any request to the simulated API server: an answer with a status, and a state that holds.
 *
 * The input is up to eight requests, separated by 0x1e; of each the first byte chooses method and content type, then come
 * the target up to a line's end, and the body.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube.h"

#define REQUESTS_MAX 8
#define TARGET_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t now_ms(void *ctx) {
    (void)ctx;
    return INT64_C(1767225600000);
}

/* Time stands still: nothing fires, and closing has to stop what was started. */
static uint64_t start(void *ctx, int64_t delay_ms, timer_fn fire, void *arg) {
    static uint64_t last;
    (void)ctx, (void)delay_ms, (void)fire, (void)arg;
    return ++last;
}

static void stop(void *ctx, uint64_t ticket) {
    (void)ctx, (void)ticket;
}

static void on_line(void *arg, const char *line, size_t len) {
    (void)arg, (void)line, (void)len;
    abort(); /* a watch says nothing from inside a call */
}

static void on_end(void *arg) {
    (void)arg;
    abort();
}

static void check_answer(const struct sim_http_answer *out) {
    assert(out->status >= 200 && out->status < 600);
    assert(out->body != NULL && strlen(out->body) == out->body_len);
    if (str_eq(out->content_type, "application/json")) {
        struct error err = {0};
        json *j = json_parse(out->body, out->body_len, &err);
        assert(j != NULL);
        json_free(j);
    }
}

static void send_one(struct sim_kube *k, const uint8_t *p, size_t n) {
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    static const char *const types[] = {"application/json",
                                        "application/apply-patch+yaml",
                                        "application/merge-patch+json",
                                        "application/json-patch+json",
                                        "application/strategic-merge-patch+json",
                                        "application/yaml",
                                        "application/vnd.kubernetes.protobuf",
                                        NULL};
    static const char *const accepts[] = {NULL, "application/json;as=Table;v=v1;g=meta.k8s.io",
                                          "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"};
    char target[TARGET_MAX];
    size_t target_n = 0;
    while (1 + target_n < n && p[1 + target_n] != '\n' && target_n + 1 < sizeof target) {
        target[target_n] = (char)p[1 + target_n];
        target_n++;
    }
    target[target_n] = '\0';
    char *query = strchr(target, '?');
    size_t from = 1 + target_n < n ? 2 + target_n : n;
    size_t body_n = from < n ? n - from : 0;
    char *body = calloc(1, body_n + 1);
    assert(body != NULL);
    memcpy(body, p + (body_n > 0 ? from : 0), body_n);
    if (query != NULL) {
        *query++ = '\0';
    }
    struct sim_http_request r = {.method = methods[p[0] % 6],
                                 .path = target,
                                 .query = query != NULL ? query : "",
                                 .content_type = types[p[0] / 6 % 8],
                                 .accept = accepts[p[0] / 48 % 3],
                                 .user_agent = "fuzz/1",
                                 .body = body,
                                 .body_len = body_n};
    struct sim_http_answer out;
    if (sim_kube_is_watch(&r)) {
        uint64_t ticket = sim_kube_watch(k, &r, (struct sim_watch_sink){NULL, on_line, on_end}, &out);
        if (ticket != 0 && (p[0] & 1) != 0) {
            sim_kube_watch_close(k, ticket);
        }
    } else {
        sim_kube_http(k, &r, &out);
        check_answer(&out);
    }
    free(out.body);
    free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sim_kube_options o = {.clock = {NULL, now_ms, now_ms, start, stop}, .seed = 1, .issuer = "https://i"};
    struct sim_kube *k = sim_kube_new(&o);
    int64_t rv = sim_kube_resource_version(k);
    int n = 0;
    while (size > 0 && n++ < REQUESTS_MAX) {
        const uint8_t *end = memchr(data, 0x1e, size);
        size_t piece = end != NULL ? (size_t)(end - data) : size;
        if (piece > 0) {
            send_one(k, data, piece);
        }
        assert(sim_kube_resource_version(k) >= rv);
        rv = sim_kube_resource_version(k);
        data += piece + (end != NULL);
        size -= piece + (end != NULL);
    }
    sim_kube_free(k);
    return 0;
}
