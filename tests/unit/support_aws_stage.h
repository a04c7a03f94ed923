/*
 * support_aws_stage.h - starts tests/unit/aws_stage.py, points the SDKs' variables at it, and makes clients.
 *
 * Model: aws_stage_start clears every AWS_ variable of the test process and sets the endpoints, a region and files in
 * the peer's directory, so that no test reads the files of whoever runs it. Ownership: aws_stage_start/_stop; the
 * directory is removed by stop.   Errors: fail the test.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_AWS_STAGE_H
#define CNI_IAM_TESTS_SUPPORT_AWS_STAGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/aws/aws_client.h"
#include "platform/base/json.h"
#include "platform/os/loop.h"
#include "platform/port/effect.h"

struct aws_stage {
    pid_t pid;
    int port;
    char dir[64];
    char url[64]; /* http://127.0.0.1:PORT */
};

void aws_stage_start(struct aws_stage *p);
void aws_stage_stop(struct aws_stage *p);
/* The variables as aws_stage_start leaves them: no credentials. */
void aws_stage_environment(const struct aws_stage *p);
void aws_stage_static_keys(void); /* AWS_ACCESS_KEY_ID=AKIDPEER and its secret */

void aws_stage_write(const struct aws_stage *p, const char *name, const char *text); /* atomically; NULL removes */
void aws_stage_plan(const struct aws_stage *p, const char *lines);                   /* and an empty log */
/* Requests whose log line has the needle, in all or since the last plan. */
int aws_stage_count(const struct aws_stage *p, const char *needle);
char *aws_stage_path(const struct aws_stage *p, const char *name); /* DIR/name; static, four at a time */

/* A loop, settings from the environment, a client. */
struct aws_stage_bench {
    struct loop *loop;
    struct arena *arena;
    struct aws_settings *settings;
    struct aws_client *client;
};
void aws_stage_bench_open(struct aws_stage_bench *b);
void aws_stage_bench_close(struct aws_stage_bench *b);

/* One effect, waited for. The value is the caller's. */
struct aws_stage_reply {
    bool done;
    int calls; /* of done */
    struct error error;
    json *value;
    char request_id[96];
};
void aws_stage_on_reply(void *arg, struct effect_result *r); /* arg: struct aws_stage_reply */
bool aws_stage_wait(struct aws_stage_bench *b, const bool *done, long ms);
struct aws_stage_reply aws_stage_do(struct aws_stage_bench *b, const struct effect *e);
/* The same with the effect made of kind and up to two arguments. */
struct aws_stage_reply aws_stage_ask(struct aws_stage_bench *b, enum effect_kind kind, const char *n1, const char *v1,
                                     const char *n2, const char *v2);
/* Asks and expects this error; frees the value. */
void aws_stage_expect(struct aws_stage_bench *b, enum effect_kind kind, const char *n1, const char *v1,
                      enum err_code code);
/* The access key that the client signs with now, by GetCallerIdentity; "" with the error in *err. Static. */
const char *aws_stage_key_in_use(struct aws_stage_bench *b, struct error *err);

#endif
