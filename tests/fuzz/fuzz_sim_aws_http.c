/* fuzz_sim_aws_http.c - any request to the simulated account: answered, in a form that says what it is. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/aws_http.h"

#define AUTH(service) "AWS4-HMAC-SHA256 Credential=AKIAROOT/20260102/us-west-2/" service "/aws4_request"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t now(void *ctx) {
    (void)ctx;
    return INT64_C(1767323045000);
}

static bool verify(void *arg, const char *token, struct sim_token_claims *out) {
    (void)arg;
    (void)str_copy(out->issuer, sizeof out->issuer, "https://oidc.example/id/A");
    (void)str_copy(out->subject, sizeof out->subject, token);
    (void)str_copy(out->audience, sizeof out->audience, "sts.amazonaws.com");
    out->expires_ms = now(NULL) + 1000;
    return token[0] != 'x';
}

static struct sim_aws *account(void) {
    struct sim_aws_options o = {.clock = {.wall_ms = now, .boot_ms = now},
                                .account = "111122223333",
                                .region = "us-west-2",
                                .cluster = "prod",
                                .issuer = "https://oidc.example/id/A",
                                .enforcement_lag_ms = 1000,
                                .verify_token = verify};
    struct sim_aws *a = sim_aws_new(&o);
    sim_aws_add_access_key(a, "AKIAROOT", "arn:aws:iam::111122223333:root");
    sim_aws_add_node_role(a, "node", NULL, 0);
    sim_aws_run_instance(a, "i-1", "node", "prod");
    return a;
}

static void ask(struct sim_aws *a, const struct sim_http_request *req) {
    struct sim_http_answer out;
    sim_aws_http(a, req, &out);
    assert(out.status >= 200 && out.status < 500);
    assert(out.body != NULL && strlen(out.body) == out.body_len);
    assert(out.body[0] == '<' || out.body[0] == '{');
    free(out.body);
}

/* The first byte chooses the face; then one request a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const faces[] = {AUTH("iam"), AUTH("sts"), AUTH("ec2"), AUTH("eks"), NULL};
    const size_t nfaces = sizeof faces / sizeof *faces;

    if (size == 0) {
        return 0;
    }
    struct sim_aws *a = account();
    char *text = strndup((const char *)data + 1, size - 1), *rest = text, *line;
    assert(text != NULL);
    struct sim_http_request req = {.path = "/", .query = "", .body = "", .authorization = faces[data[0] % nfaces]};
    if (data[0] % (nfaces + 1) == nfaces) {
        req.authorization = text;
    }
    while ((line = strsep(&rest, "\n")) != NULL) {
        bool is_path = line[0] == '/';
        req.method = is_path ? "GET" : "POST";
        req.path = is_path ? line : "/";
        req.query = is_path && strchr(line, '?') != NULL ? strchr(line, '?') + 1 : "";
        req.body = is_path ? "" : line;
        req.body_len = strlen(req.body);
        ask(a, &req);
    }
    assert(sim_aws_role_of_instance(a, "i-1") != NULL || sim_aws_count(a, "iam:RemoveRoleFromInstanceProfile") > 0);
    free(text);
    sim_aws_free(a);
    return 0;
}
