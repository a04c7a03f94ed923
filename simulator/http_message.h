/*
 * http_message.h - one HTTP request and its answer, as the simulated servers see them. No sockets.
 *
 * Ownership: the request is borrowed for the call; body of the answer is the caller's (free).
 */
#ifndef CNI_IAM_SIMULATOR_HTTP_MESSAGE_H
#define CNI_IAM_SIMULATOR_HTTP_MESSAGE_H

#include <stddef.h>

struct sim_http_request {
    const char *method;                             /* "GET" */
    const char *path;                               /* still percent-encoded, without the query: "/api/v1/pods" */
    const char *query;                              /* "" if none; still percent-encoded */
    const char *authorization;                      /* NULL: none */
    const char *date;                               /* X-Amz-Date; NULL: none, or nobody looks at it */
    const char *accept, *content_type, *user_agent; /* NULL: none */
    const char *body;                               /* NUL-terminated after body_len */
    size_t body_len;
};

struct sim_http_answer {
    int status;
    const char *content_type; /* static */
    char *body;               /* NULL: empty */
    size_t body_len;
    int retry_after_s;      /* 0: no header */
    const char *error_type; /* x-amzn-ErrorType; NULL: no header; lasts until the next call */
};

#endif
