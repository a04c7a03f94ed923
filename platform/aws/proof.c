#include "platform/aws/proof.h"

#include <string.h>

#include "platform/aws/aws_client_internal.h"
#include "platform/base/mutant.h"
#include "platform/base/str.h"

#define SESSION_NAME "cni-iam-proof"
#define SESSION_SECONDS "900" /* the least that STS gives */

static const char *const actions[] = {"DescribeInstances", "DescribeNetworkInterfaces"};
#define ACTIONS (sizeof actions / sizeof *actions)

struct proof { /* in the operation's arena */
    struct secret *token, *secret, *session;
    const char *access_key_id;
    size_t next; /* of actions */
    json *ec2;
};

void proof_release(struct proof *p) {
    if (p) {
        secret_free(p->token);
        secret_free(p->secret);
        secret_free(p->session);
        json_free(p->ec2);
    }
}

static const char *verdict(const struct error *err) {
    if (err->code == ERR_NONE || str_eq(err->wire, "DryRunOperation")) {
        return "allowed";
    }
    static const char *const denials[] = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"};
    for (size_t i = 0; i < sizeof denials / sizeof *denials; i++) {
        if (str_eq(err->wire, denials[i])) {
            return "denied";
        }
    }
    return NULL;
}

static void ask_ec2(struct operation *op);

static void on_ec2(void *arg, struct aws_answer *answer) {
    struct operation *op = arg;
    struct proof *p = op->proof;
    struct error err = answer->error;
    const char *said = verdict(&err);
    op->call = NULL;
    if (said) {
        error_clear(&err); /* it answered the question */
    }
    aws_operation_count(op, &err);
    if (said) {
        json_add_str(p->ec2, actions[p->next++], said);
        op->attempts = 0;
        ask_ec2(op);
        return;
    }
    if (aws_operation_retries(op, &err)) {
        return;
    }
    if (err.code == ERR_UNAUTHORIZED || err.code == ERR_EXPIRED_CREDENTIALS) {
        err.code = ERR_IDENTITY_TOKEN; /* the role's credentials, not ours */
    }
    (void)error_wrap(&err, "ec2:%s with the role's credentials", actions[p->next]);
    aws_operation_finish(op, NULL, &err);
}

static void succeed(struct operation *op) {
    struct error ok;
    json *value = json_object();
    error_clear(&ok);
    json_add_bool(value, "assumed", true);
    json_add_item(value, "ec2", op->proof->ec2);
    op->proof->ec2 = NULL;
    aws_operation_finish(op, value, &ok);
}

static void ask_ec2(struct operation *op) {
    struct proof *p = op->proof;
    struct error err;
    if (p->next == ACTIONS) {
        succeed(op);
        return;
    }
    struct sigv4_credentials cred = {p->access_key_id, p->secret, p->session};
    struct aws_call_request r = {.effect = effect_new(op->arena, EFFECT_EC2_DESCRIBE_INSTANCES, "DryRun", "true", NULL),
                                 .action = actions[p->next],
                                 .service = SERVICE_EC2,
                                 .region = effect_arg(op->effect, "Region"),
                                 .credentials = &cred};
    op->attempt = ask_ec2;
    op->call = aws_call_start(aws_client_transport(op->client), &r, on_ec2, op, &err);
    if (!op->call) {
        aws_operation_finish(op, NULL, &err);
    }
}

static struct secret *take_secret(const json *credentials, const char *member) {
    const char *s = json_str(credentials, member);
    return str_empty(s) ? NULL : secret_new(s, strlen(s));
}

static void on_exchange(void *arg, struct aws_answer *answer) {
    struct operation *op = arg;
    struct proof *p = op->proof;
    struct error err = answer->error;
    const json *credentials = json_get(answer->value, "Credentials");
    op->call = NULL;
    (void)str_copy(op->request_id, sizeof op->request_id, answer->request_id);
    p->access_key_id = arena_strdup(op->arena, json_str(credentials, "AccessKeyId"));
    p->secret = take_secret(credentials, "SecretAccessKey");
    p->session = take_secret(credentials, "SessionToken");
    if (err.code == ERR_NONE && (str_empty(p->access_key_id) || !p->secret)) {
        (void)error_set(&err, ERR_PARSE, "AssumeRoleWithWebIdentity answered without credentials");
    }
    aws_operation_count(op, &err);
    if (err.code == ERR_NONE) {
        op->attempts = 0;
        ask_ec2(op);
    } else if (!aws_operation_retries(op, &err)) {
        if (MUTANT(token_in_message)) {
            (void)error_wrap(&err, "token %s", secret_expose(p->token));
        }
        aws_operation_finish(op, NULL, &err);
    }
}

static void exchange(struct operation *op) {
    struct error err;
    struct effect *e =
        effect_new(op->arena, EFFECT_STS_GET_CALLER_IDENTITY, "RoleArn", effect_arg(op->effect, "RoleArn"),
                   "RoleSessionName", SESSION_NAME, "DurationSeconds", SESSION_SECONDS, NULL);
    struct aws_call_request r = {.effect = e,
                                 .action = "AssumeRoleWithWebIdentity",
                                 .service = SERVICE_STS,
                                 .region = effect_arg(op->effect, "Region"),
                                 .secret_token = op->proof->token};
    op->call = aws_call_start(aws_client_transport(op->client), &r, on_exchange, op, &err);
    if (!op->call) {
        aws_operation_finish(op, NULL, &err);
    }
}

uint64_t aws_prove_role(struct aws_client *c, const struct effect *e, const struct secret *token, effect_done_fn done,
                        void *arg) {
    struct operation *op = aws_operation_new(c, e, done, arg, exchange);
    op->proof = ARENA_NEW(op->arena, struct proof);
    op->proof->token = secret_dup(token);
    op->proof->ec2 = json_object();
    return op->ticket;
}
