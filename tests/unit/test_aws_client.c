/* Effects through the whole client against tests/unit/aws_peer.py, which checks every signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "platform/aws/aws_client.h"
#include "platform/aws/aws_client_internal.h"
#include "platform/aws/proof.h"
#include "platform/base/log.h"
#include "platform/base/str.h"
#include "support_aws_peer.h"
#include "support_hasty_clock.h"

static struct aws_peer peer;
static struct loop *loop;
static struct arena *arena;
static struct aws_client *client;

struct reply {
    bool done;
    struct error error;
    json *value;
    char request_id[96];
};

static void on_done(void *arg, struct effect_result *r) {
    struct reply *reply = arg;
    assert_false(reply->done);
    reply->done = true;
    reply->error = r->error;
    reply->value = r->value;
    (void)str_copy(reply->request_id, sizeof reply->request_id, r->request_id);
    r->value = NULL;
}

static void start_client(void) {
    struct error err;
    const struct aws_settings *s = aws_settings_load(arena, NULL, &err);
    client = s ? aws_client_new(loop, s, "cni-iam/test", &err) : NULL;
    if (!client) {
        fail_msg("%s", err.message);
    }
    aws_client_transport(client)->clock = hasty_clock(loop); /* back-offs are none of what is waited for here */
}

static int setup(void **state) {
    static const char *const files[] = {"ttl", "clock", "imds", "sts", "credentials", "web-token"};
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        aws_peer_write(&peer, files[i], NULL);
    }
    aws_peer_environment(&peer);
    set_variable("AWS_ACCESS_KEY_ID", "AKIDPEER");
    set_variable("AWS_SECRET_ACCESS_KEY", "peer-secret");
    aws_peer_forget(&peer);
    arena = arena_new(0);
    start_client();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    aws_client_free(client);
    arena_free(arena);
    return 0;
}

static void again(void) {
    (void)teardown(NULL);
    arena = arena_new(0);
    start_client();
}

static struct reply perform(const struct effect *e) {
    struct reply r = {0};
    struct effector port = aws_client_effector(client);
    assert_int_not_equal(port.submit(port.ctx, e, on_done, &r), 0);
    assert_false(r.done); /* never from inside submit */
    assert_true(wait_for(loop, &r.done, 70000));
    return r;
}

static struct reply with_role(enum effect_kind kind, const char *role) {
    return perform(effect_new(arena, kind, "RoleName", role, NULL));
}

static struct reply with_cluster(enum effect_kind kind, const char *label, const char *name) {
    return perform(effect_new(arena, kind, label, name, NULL));
}

static void expect(const struct reply *r, enum err_code code) {
    if (r->error.code != code) {
        fail_msg("wanted %s, got %s: %s", error_name(code), error_name(r->error.code), r->error.message);
    }
}

static int calls(const char *role) {
    char needle[96];
    (void)snprintf(needle, sizeof needle, "\"name\": \"%s\", \"parameters\"", role);
    return aws_peer_count(&peer, needle);
}

static void a_read(void **state) {
    (void)state;
    struct reply r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_NONE);
    const json *role = json_get(r.value, "Role");
    assert_string_equal(json_str(role, "RoleName"), "plain");
    assert_string_equal(json_str(role, "Description"), "a & b < c");
    /* Percent-decoded, '+' kept. */
    assert_string_equal(json_str(role, "AssumeRolePolicyDocument"),
                        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"a+b c\",\"Effect\":\"Allow\"}]}");
    assert_int_equal(json_array_size(json_array(role, "Tags")), 1);
    assert_string_equal(json_str(json_first(json_array(role, "Tags")), "Value"), "");
    assert_string_equal(r.request_id, "xml-id");
    json_free(r.value);
    assert_int_equal(aws_peer_count(&peer, "\"scope\": \"us-east-1/iam\""), 1);
    assert_int_equal(aws_peer_count(&peer, "\"agent\": \"cni-iam/test\""), 1);
    r = perform(effect_new(arena, EFFECT_STS_GET_CALLER_IDENTITY, NULL));
    expect(&r, ERR_NONE);
    assert_string_equal(json_str(r.value, "Account"), "111122223333");
    assert_int_equal(aws_peer_count(&peer, "\"scope\": \"us-west-2/sts\""), 1);
    json_free(r.value);
}

static void hard_parameters_are_signed_as_sent(void **state) {
    (void)state;
    struct reply r = perform(effect_new(arena, EFFECT_IAM_TAG_ROLE, "RoleName", "plain", "Tags.member.1.Key",
                                        "a b+c/d=e&f", "Tags.member.1.Value", "\xc3\xa4\"%41~*'", NULL));
    expect(&r, ERR_NONE);
    json_free(r.value);
    assert_int_equal(aws_peer_count(&peer, "\"Tags.member.1.Key\": \"a b+c/d=e&f\""), 1);
    assert_int_equal(aws_peer_count(&peer, "\"Tags.member.1.Value\": \"\\u00e4\\\"%41~*'\""), 1);
    r = perform(effect_new(arena, EFFECT_EKS_DESCRIBE_ADDON, "clusterName", "a b/c:d+e", "addonName", "vpc-cni",
                           "extra", "x y+z/:=&", NULL));
    expect(&r, ERR_NONE);
    assert_string_equal(json_str(r.value, "addon.clusterName"), "a b/c:d+e");
    json_free(r.value);
    r = perform(effect_new(arena, EFFECT_EKS_DESCRIBE_ADDON, "clusterName", "x", NULL));
    expect(&r, ERR_INVALID); /* a label is missing: another path would be asked */
    assert_int_equal(aws_peer_count(&peer, "SignatureDoesNotMatch"), 0);
}

static void an_endpoint_with_a_path(void **state) {
    (void)state;
    set_variable("AWS_ENDPOINT_URL_IAM", "http://localhost:%d/prefix/", peer.port);
    again();
    struct reply r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_NONE);
    json_free(r.value);
}

static void session_tokens_are_signed(void **state) {
    (void)state;
    set_variable("AWS_ACCESS_KEY_ID", "ASIA-x-1");
    set_variable("AWS_SECRET_ACCESS_KEY", "secret ASIA-x-1");
    set_variable("AWS_SESSION_TOKEN", "token ASIA-x-1");
    again();
    struct reply r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_NONE);
    json_free(r.value);
}

static void pages_become_one(void **state) {
    (void)state;
    struct reply r = with_role(EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "pages");
    expect(&r, ERR_NONE);
    char *text = json_print(r.value);
    assert_string_equal(
        text,
        "{\"AttachedPolicies\":[{\"PolicyArn\":\"arn:0.0\"},{\"PolicyArn\":\"arn:0.1\"},{\"PolicyArn\":\"arn:1.0\"},"
        "{\"PolicyArn\":\"arn:1.1\"},{\"PolicyArn\":\"arn:2.0\"},{\"PolicyArn\":\"arn:2.1\"}]}");
    free(text);
    json_free(r.value);
    r = with_role(EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "empty-first");
    expect(&r, ERR_NONE);
    assert_int_equal(json_array_size(json_array(r.value, "AttachedPolicies")), 2);
    json_free(r.value);
    r = with_role(EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "many-pages");
    expect(&r, ERR_NONE);
    assert_int_equal(json_array_size(json_array(r.value, "AttachedPolicies")), 62);
    json_free(r.value);
    r = with_cluster(EFFECT_EKS_LIST_NODEGROUPS, "clusterName", "prod");
    expect(&r, ERR_NONE);
    text = json_print(r.value);
    assert_string_equal(text, "{\"nodegroups\":[\"g0\",\"g1\",\"g2\"]}");
    free(text);
    json_free(r.value);
    r = perform(effect_new(arena, EFFECT_EC2_DESCRIBE_INSTANCES, "InstanceId.1", "i-1", NULL));
    expect(&r, ERR_NONE);
    const json *set = json_array(r.value, "reservationSet");
    assert_int_equal(json_array_size(set), 2);
    assert_string_equal(json_str(json_first(json_array(json_first(set), "instancesSet")), "instanceId"), "i-0");
    assert_null(json_get(r.value, "nextToken"));
    assert_string_equal(r.request_id, "ec2-id");
    json_free(r.value);
}

static void pages_that_never_end(void **state) {
    (void)state;
    struct reply r = with_role(EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "circle");
    expect(&r, ERR_PARSE);
    assert_int_equal(calls("circle"), 2);
    r = with_role(EFFECT_IAM_LIST_ATTACHED_ROLE_POLICIES, "endless");
    expect(&r, ERR_TOO_LARGE);
    assert_int_equal(calls("endless"), AWS_PAGES_MAX);
}

struct row {
    const char *name;
    enum err_code read, write;
    int read_calls, write_calls, commits;
};

/* What each kind of answer is to a read and to a write, and how often each was sent: writes only where it is safe. */
static void answers_and_attempts(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"throttled", ERR_THROTTLED, ERR_THROTTLED, 3, 3, 0},
        {"throttled-twice", ERR_NONE, ERR_NONE, 3, 3, 1},
        {"slow-down", ERR_NONE, ERR_NONE, 2, 2, 1},
        {"unavailable", ERR_UNAVAILABLE, ERR_UNAVAILABLE, 3, 1, 0},
        {"unavailable-once", ERR_NONE, ERR_UNAVAILABLE, 2, 1, 0},
        {"lost-before", ERR_LOST, ERR_LOST, 3, 1, 0},
        {"lost-once", ERR_NONE, ERR_LOST, 2, 1, 0},
        {"lost-after", ERR_LOST, ERR_LOST, 3, 1, 1},
        {"half", ERR_LOST, ERR_LOST, 3, 1, 1},
        {"garbage", ERR_PARSE, ERR_LOST, 1, 1, 1},
        {"huge", ERR_TOO_LARGE, ERR_LOST, 1, 1, 1},
        {"other-operation", ERR_PARSE, ERR_LOST, 1, 1, 0},
        {"html-404", ERR_UNSUPPORTED, ERR_UNSUPPORTED, 1, 1, 0},
        {"html-500", ERR_UNSUPPORTED, ERR_UNAVAILABLE, 1, 1, 0},
        {"html-503", ERR_UNAVAILABLE, ERR_UNAVAILABLE, 3, 1, 0},
        {"redirect", ERR_UNSUPPORTED, ERR_UNSUPPORTED, 1, 1, 0},
        {"denied", ERR_FORBIDDEN, ERR_FORBIDDEN, 1, 1, 0},
        {"limit", ERR_QUOTA, ERR_QUOTA, 1, 1, 0},
        {"missing", ERR_NOT_FOUND, ERR_NOT_FOUND, 1, 1, 0},
        {"expired-once", ERR_NONE, ERR_NONE, 2, 2, 1},
        {"expired", ERR_EXPIRED_CREDENTIALS, ERR_EXPIRED_CREDENTIALS, 2, 2, 0},
        {"no-result", ERR_PARSE, ERR_NONE, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        for (int write = 0; write < 2; write++) {
            char committed[96];
            aws_peer_forget(&peer);
            struct reply r = with_role(write ? EFFECT_IAM_UNTAG_ROLE : EFFECT_IAM_GET_ROLE, row->name);
            if (r.error.code != (write ? row->write : row->read) ||
                calls(row->name) < (write ? row->write_calls : row->read_calls) ||
                (write && calls(row->name) != row->write_calls)) {
                fail_msg("%s of %s: %s after %d calls: %s", write ? "write" : "read", row->name,
                         error_name(r.error.code), calls(row->name), r.error.message);
            }
            (void)snprintf(committed, sizeof committed, "\"committed\": \"UntagRole\", \"name\": \"%s\"", row->name);
            assert_int_equal(aws_peer_count(&peer, committed), write ? row->commits : 0);
            json_free(r.value);
        }
    }
}

static void a_mute_server_ends_a_write(void **state) {
    (void)state;
    struct reply r = with_role(EFFECT_IAM_UNTAG_ROLE, "mute");
    expect(&r, ERR_TIMEOUT);
    assert_int_equal(calls("mute"), 1);
}

static void not_sent_at_all(void **state) {
    (void)state;
    set_variable("AWS_ENDPOINT_URL_IAM", "http://127.0.0.1:1");
    set_variable("AWS_MAX_ATTEMPTS", "2");
    again();
    struct reply r = with_role(EFFECT_IAM_UNTAG_ROLE, "x");
    expect(&r, ERR_UNREACHABLE);
    set_variable("AWS_ENDPOINT_URL_IAM", "nonsense");
    again();
    r = with_role(EFFECT_IAM_UNTAG_ROLE, "x");
    expect(&r, ERR_INVALID);
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    again();
    r = with_role(EFFECT_IAM_UNTAG_ROLE, "x");
    expect(&r, ERR_NO_CREDENTIALS);
}

static void another_clock_is_learnt(void **state) {
    (void)state;
    static const char *const clocks[] = {"4000", "-7200"};
    for (size_t i = 0; i < 2; i++) {
        again();
        aws_peer_write(&peer, "clock", clocks[i]);
        aws_peer_forget(&peer);
        struct reply r = with_role(EFFECT_IAM_UNTAG_ROLE, "skew"); /* a refusal for the time changed nothing */
        expect(&r, ERR_NONE);
        json_free(r.value);
        assert_int_equal(calls("skew"), 2);
        r = with_role(EFFECT_IAM_GET_ROLE, "skew");
        expect(&r, ERR_NONE);
        json_free(r.value);
        assert_int_equal(calls("skew"), 3); /* learnt for good */
    }
}

static void a_wrong_key_is_read_again_once(void **state) {
    (void)state;
    (void)unsetenv("AWS_ACCESS_KEY_ID");
    (void)unsetenv("AWS_SECRET_ACCESS_KEY");
    aws_peer_write(&peer, "credentials", "[default]\naws_access_key_id=AKIDGONE\naws_secret_access_key=x\n");
    again();
    struct reply r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_UNAUTHORIZED);
    aws_peer_write(&peer, "credentials",
                   "[default]\naws_access_key_id=AKIDOTHER\naws_secret_access_key=other-secret\n");
    r = with_role(EFFECT_IAM_UNTAG_ROLE, "plain");
    expect(&r, ERR_NONE);
    json_free(r.value);
    aws_peer_write(&peer, "credentials", "[default]\naws_access_key_id=AKIDPEER\naws_secret_access_key=wrong\n");
    again();
    r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_UNAUTHORIZED);
    assert_string_equal(r.error.wire, "SignatureDoesNotMatch");
}

static void eks_answers(void **state) {
    (void)state;
    static const struct {
        const char *cluster;
        enum err_code code;
    } rows[] = {{"prod", ERR_NONE},        {"none", ERR_NOT_FOUND}, {"html", ERR_UNSUPPORTED},
                {"denied", ERR_FORBIDDEN}, {"busy", ERR_THROTTLED}, {"array", ERR_PARSE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply r = with_cluster(EFFECT_EKS_DESCRIBE_CLUSTER, "name", rows[i].cluster);
        expect(&r, rows[i].code);
        if (rows[i].code == ERR_NOT_FOUND) {
            assert_string_equal(r.error.wire, "ResourceNotFoundException");
            assert_string_equal(r.request_id, "eks-id");
        }
        json_free(r.value);
    }
    struct reply r = perform(effect_new(arena, EFFECT_EC2_DESCRIBE_INSTANCES, "InstanceId.1", "i-missing", NULL));
    expect(&r, ERR_NOT_FOUND);
}

/* S2: by the time that a throttled removal would be sent again, what it stands on is old. */
static void a_removal_is_sent_once(void **state) {
    (void)state;
    static const enum effect_kind kinds[] = {EFFECT_IAM_DETACH_ROLE_POLICY, EFFECT_IAM_DELETE_ROLE,
                                             EFFECT_IAM_UPDATE_ASSUME_ROLE_POLICY};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        aws_peer_forget(&peer);
        struct reply r = with_role(kinds[i], "throttled-twice");
        expect(&r, ERR_THROTTLED);
        assert_int_equal(calls("throttled-twice"), 1);
    }
    aws_peer_forget(&peer);
    struct reply r = with_role(EFFECT_IAM_DETACH_ROLE_POLICY, "expired-once"); /* at once: nothing became older */
    expect(&r, ERR_NONE);
    assert_int_equal(calls("expired-once"), 2);
    json_free(r.value);
}

static bool gate(void *arg) {
    int *left = arg;
    return (*left)-- > 0;
}

static void the_gate_is_asked_before_each_write(void **state) {
    (void)state;
    int left = 1;
    aws_client_set_write_gate(client, gate, &left);
    struct reply r = with_role(EFFECT_IAM_UNTAG_ROLE, "throttled"); /* the second attempt is not sent any more */
    expect(&r, ERR_CANCELLED);
    assert_int_equal(calls("throttled"), 1);
    r = with_role(EFFECT_IAM_DELETE_ROLE, "plain");
    expect(&r, ERR_CANCELLED);
    assert_int_equal(calls("plain"), 0);
    r = with_role(EFFECT_IAM_GET_ROLE, "plain");
    expect(&r, ERR_NONE);
    json_free(r.value);
}

static void a_write_has_a_connection_of_its_own(void **state) {
    (void)state;
    char *ports[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        struct reply r = with_role(i == 1 ? EFFECT_IAM_UNTAG_ROLE : EFFECT_IAM_GET_ROLE, "plain");
        expect(&r, ERR_NONE);
        json_free(r.value);
    }
    FILE *f = fopen(aws_peer_path(&peer, "log.jsonl"), "r");
    char line[4096];
    size_t n = 0;
    while (n < 3 && fgets(line, sizeof line, f)) {
        char *at = strstr(line, "\"connection\": ");
        if (at) {
            ports[n++] = arena_strndup(arena, at + 14, strcspn(at + 14, ","));
        }
    }
    (void)fclose(f);
    assert_int_equal(n, 3);
    assert_string_not_equal(ports[0], ports[1]);
    assert_string_equal(ports[0], ports[2]);
}

static void cancelled_calls_do_not_answer(void **state) {
    (void)state;
    struct effector port = aws_client_effector(client);
    struct reply r[4] = {0};
    bool never = false;
    const struct effect *slow = effect_new(arena, EFFECT_IAM_GET_ROLE, "RoleName", "mute", NULL);
    uint64_t tickets[4];
    for (size_t i = 0; i < 4; i++) {
        tickets[i] = port.submit(port.ctx, slow, on_done, &r[i]);
    }
    port.cancel(port.ctx, tickets[0]); /* before it began */
    (void)wait_for(loop, &never, 150);
    port.cancel(port.ctx, tickets[1]); /* under way */
    port.cancel(port.ctx, tickets[1]);
    port.cancel(port.ctx, 12345);
    aws_client_free(client); /* the rest with it */
    client = NULL;
    (void)wait_for(loop, &never, 50);
    for (size_t i = 0; i < 4; i++) {
        assert_false(r[i].done);
    }
}

static void on_free_client(void *arg, struct effect_result *r) {
    (void)r;
    *(bool *)arg = true;
    aws_client_free(client);
    client = NULL;
}

static void a_callback_may_free_the_client(void **state) {
    (void)state;
    static const char *const names[] = {"plain", "garbage", "missing"};
    for (size_t i = 0; i < 3; i++) {
        bool done = false;
        struct effector port = aws_client_effector(client);
        (void)port.submit(port.ctx, effect_new(arena, EFFECT_IAM_GET_ROLE, "RoleName", names[i], NULL), on_free_client,
                          &done);
        assert_true(wait_for(loop, &done, 5000));
        start_client();
    }
}

static void too_many_at_once(void **state) {
    (void)state;
    enum { MANY = AWS_CALLS_MAX + 20 };
    static struct reply r[MANY];
    struct effector port = aws_client_effector(client);
    size_t refused = 0;
    memset(r, 0, sizeof r);
    for (size_t i = 0; i < MANY; i++) {
        (void)port.submit(port.ctx, effect_new(arena, EFFECT_IAM_GET_ROLE, "RoleName", "plain", NULL), on_done, &r[i]);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_true(wait_for(loop, &r[i].done, 30000));
        refused += r[i].error.code == ERR_TOO_LARGE;
        json_free(r[i].value);
    }
    assert_int_equal(refused, 20);
}

struct sum {
    uint64_t ok, throttled;
};

static void add(void *arg, const struct aws_stat *s) {
    struct sum *sum = arg;
    assert_string_equal(s->service, "iam");
    if (str_eq(s->operation, "GetRole")) {
        sum->ok += str_eq(s->outcome, "ok") ? s->count : 0;
        sum->throttled += str_eq(s->outcome, "Throttled") ? s->count : 0;
    }
}

static void attempts_are_counted(void **state) {
    (void)state;
    struct sum sum = {0};
    static const char *const names[] = {"plain", "plain", "throttled"};
    for (size_t i = 0; i < 3; i++) {
        struct reply r = with_role(EFFECT_IAM_GET_ROLE, names[i]);
        json_free(r.value);
    }
    aws_client_stats(client, add, &sum);
    assert_int_equal(sum.ok, 2);
    assert_int_equal(sum.throttled, 3);
}

/* --- the proof --- */

static struct reply prove(const char *role, const char *token_text) {
    struct reply r = {0};
    struct secret *token = secret_new(token_text, strlen(token_text));
    struct effect *e =
        effect_new(arena, EFFECT_PROVE_ROLE, "RoleArn", arena_printf(arena, "arn:aws:iam::111122223333:role/%s", role),
                   "Region", "eu-west-1", NULL);
    (void)aws_prove_role(client, e, token, on_done, &r);
    secret_free(token);
    assert_false(r.done);
    assert_true(wait_for(loop, &r.done, 30000));
    return r;
}

static void the_proof(void **state) {
    (void)state;
    static const struct {
        const char *role;
        enum err_code code;
        const char *value; /* NULL: none */
    } rows[] = {
        {"good", ERR_NONE,
         "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\",\"DescribeNetworkInterfaces\":\"allowed\"}}"},
        {"busy", ERR_NONE,
         "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\",\"DescribeNetworkInterfaces\":\"allowed\"}}"},
        {"nodryrun", ERR_NONE,
         "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\",\"DescribeNetworkInterfaces\":\"allowed\"}}"},
        {"powerless", ERR_NONE,
         "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"denied\",\"DescribeNetworkInterfaces\":\"denied\"}}"},
        {"half", ERR_NONE,
         "{\"assumed\":true,\"ec2\":{\"DescribeInstances\":\"allowed\",\"DescribeNetworkInterfaces\":\"denied\"}}"},
        {"strange", ERR_INVALID, NULL},
        {"fresh", ERR_IDENTITY_TOKEN, NULL},
    };
    aws_peer_write(&peer, "web-token", "pod.token");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reply r = prove(rows[i].role, "pod.token");
        expect(&r, rows[i].code);
        char *text = r.value ? json_print(r.value) : strdup("");
        assert_string_equal(text, str_or(rows[i].value, ""));
        free(text);
        json_free(r.value);
    }
    assert_int_equal(aws_peer_count(&peer, "\"scope\": \"eu-west-1/ec2\""), 14);
    assert_int_equal(aws_peer_count(&peer, "pod.token"), 0);
    struct reply r = prove("good", "another");
    expect(&r, ERR_IDENTITY_TOKEN);
    assert_string_equal(r.error.wire, "InvalidIdentityToken");
    aws_peer_write(&peer, "sts", "unavailable-once");
    r = prove("good", "pod.token");
    expect(&r, ERR_NONE);
    json_free(r.value);
    aws_peer_write(&peer, "sts", "html-404");
    r = prove("good", "pod.token");
    expect(&r, ERR_UNSUPPORTED);
}

static void a_proof_can_be_cancelled(void **state) {
    (void)state;
    struct effector port = aws_client_effector(client);
    struct reply r = {0};
    struct secret *token = secret_new("x", 1);
    bool never = false;
    aws_peer_write(&peer, "sts", "mute");
    uint64_t ticket =
        aws_prove_role(client, effect_new(arena, EFFECT_PROVE_ROLE, "RoleArn", "a/b", NULL), token, on_done, &r);
    secret_free(token);
    (void)wait_for(loop, &never, 100);
    port.cancel(port.ctx, ticket);
    (void)wait_for(loop, &never, 50);
    assert_false(r.done);
}

/* --- nothing secret in a log or an error --- */

static bool leaked;

static void watch_log(void *ctx, const char *line, size_t len) {
    (void)ctx;
    (void)len;
    leaked = leaked || strstr(line, "peer-secret") || strstr(line, "secret ASIA") || strstr(line, "token ASIA");
}

static void no_secret_in_a_log(void **state) {
    static const char *const names[] = {"plain", "denied", "garbage", "expired", "html-500"};
    (void)state;
    log_configure(LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_set_sink(watch_log, NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct reply r = with_role(EFFECT_IAM_GET_ROLE, names[i]);
        leaked = leaked || strstr(r.error.message, "secret");
        json_free(r.value);
    }
    log_set_sink(NULL, NULL);
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    assert_false(leaked);
}

static int start(void **state) {
    struct error err;
    (void)state;
    aws_peer_start(&peer);
    loop = loop_new(&err);
    return loop ? 0 : 1;
}

static int stop(void **state) {
    (void)state;
    loop_free(loop);
    aws_peer_stop(&peer);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(a_read),
                                       TEST(hard_parameters_are_signed_as_sent),
                                       TEST(an_endpoint_with_a_path),
                                       TEST(session_tokens_are_signed),
                                       TEST(pages_become_one),
                                       TEST(pages_that_never_end),
                                       TEST(answers_and_attempts),
                                       TEST(a_mute_server_ends_a_write),
                                       TEST(not_sent_at_all),
                                       TEST(another_clock_is_learnt),
                                       TEST(a_wrong_key_is_read_again_once),
                                       TEST(eks_answers),
                                       TEST(a_removal_is_sent_once),
                                       TEST(the_gate_is_asked_before_each_write),
                                       TEST(a_write_has_a_connection_of_its_own),
                                       TEST(cancelled_calls_do_not_answer),
                                       TEST(a_callback_may_free_the_client),
                                       TEST(too_many_at_once),
                                       TEST(attempts_are_counted),
                                       TEST(the_proof),
                                       TEST(a_proof_can_be_cancelled),
                                       TEST(no_secret_in_a_log)};
    return cmocka_run_group_tests(tests, start, stop);
}
