/*
 * support_sim_kube.h - requests to the simulated API server in one line each, for its tests.
 *
 * Ownership: sim_test_open/_close; answers live in the fixture until the next request.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_SIM_KUBE_H
#define CNI_IAM_TESTS_SUPPORT_SIM_KUBE_H

#include <stdbool.h>

#include "platform/base/json.h"
#include "simulator/kube.h"
#include "support_sim_clock.h"

#define SIM_TEST_LINES_MAX 4096

struct sim_test {
    struct sim_clock *clock;
    struct sim_kube *kube;
    char *crd; /* its text */
    int status;
    const char *content_type;
    char *text;
    json *body;                      /* NULL: the answer is no JSON */
    char *lines[SIM_TEST_LINES_MAX]; /* of all watches */
    int nlines, nends;
};

struct sim_test *sim_test_open(bool with_crd);
void sim_test_close(struct sim_test *t);
/* target: path and query; content_type and body may be NULL. The status comes back. */
int sim_test_do(struct sim_test *t, const char *method, const char *target, const char *content_type, const char *body);
int sim_test_accept(struct sim_test *t, const char *target, const char *accept);
int sim_test_get(struct sim_test *t, const char *target);
int sim_test_post(struct sim_test *t, const char *target, const char *body);
int sim_test_apply(struct sim_test *t, const char *target, const char *body);
/* The string at path of the last answer; "" when there is none. */
const char *sim_test_str(const struct sim_test *t, const char *path);
/* The message of the cause of that field in the last answer, or "". */
const char *sim_test_cause(const struct sim_test *t, const char *field);
uint64_t sim_test_watch(struct sim_test *t, const char *target, const char *accept);
/* "ADDED a", "BOOKMARK ", … of line i; "" past the end. */
const char *sim_test_line(struct sim_test *t, int i);
void sim_test_forget_lines(struct sim_test *t);

#endif
