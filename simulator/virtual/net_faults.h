/*
 * net_faults.h - the kinds of faults: their names, what counts them, and what a server says of itself. Private to net*.c.
 *
 * Ownership: answers as those of the servers (the body is the caller's).   Errors: none.   Bounds: NET_STALE_MAX.
 */
#ifndef CNI_IAM_VIRTUAL_NET_FAULTS_H
#define CNI_IAM_VIRTUAL_NET_FAULTS_H

#include "simulator/virtual/net.h"

#define NET_STALE_MAX 128 /* reads of AWS that are remembered with their last answer */

bool net_is_refusal(enum net_fault_kind kind); /* the server says no, and does nothing */
void net_refusal(enum net_fault_kind kind, bool to_aws, struct sim_http_answer *out);
void net_not_found(bool to_aws, struct sim_http_answer *out); /* instead of what *out has */
/* 504 after it was done. */
void net_gateway_timeout(bool to_aws, struct sim_http_answer *out);
/* Takes the items out of a list; false: it is none. */
bool net_empty_list(struct sim_http_answer *answer);

/* What AWS would have said to a read before its last write: asked anew before each write. */
struct net_stale;
struct net_stale *net_stale_new(struct sim_aws *aws);
void net_stale_free(struct net_stale *s);
void net_stale_saw_read(struct net_stale *s, const struct sim_http_request *req);
void net_stale_before_write(struct net_stale *s, int64_t now_ms);
/* false: that read was not asked before, or the last write is longer ago than IAM takes. */
bool net_stale_answer(struct net_stale *s, const struct sim_http_request *req, int64_t now_ms,
                      struct sim_http_answer *out);

#endif
