/*
 * support_aws_peer.h - starts tests/unit/aws_peer.py and points the AWS variables at it.
 *
 * Model: aws_peer_start clears every AWS_ variable, sets AWS_ENDPOINT_URL, a region, empty shared files in the peer's
 * directory, and AWS_EC2_METADATA_DISABLED; tests set more.
 * Ownership: start/stop; the directory is removed by stop.   Errors: fail the test.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_AWS_PEER_H
#define CNI_IAM_TESTS_SUPPORT_AWS_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/aws/aws_client.h"

struct aws_peer {
    pid_t pid;
    int port;
    char dir[64];
};

void aws_peer_start(struct aws_peer *p);
void aws_peer_stop(struct aws_peer *p);
void aws_peer_environment(const struct aws_peer *p);                               /* as after start */
void aws_peer_write(const struct aws_peer *p, const char *name, const char *text); /* NULL removes */
const char *aws_peer_path(const struct aws_peer *p, const char *name);             /* static */
int aws_peer_count(const struct aws_peer *p, const char *needle);                  /* requests whose log line has it */
void aws_peer_forget(const struct aws_peer *p);                                    /* empties the log */
/* setenv with a printf format. */
void set_variable(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool wait_for(struct loop *l, const bool *done, long ms); /* turns the loop; false: time is up */

#endif
