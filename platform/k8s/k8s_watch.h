/*
 * k8s_watch.h - the watch_source port over HTTP: one LIST page a call, one WATCH stream a call.
 *
 * Model: protocol only. Nothing is retried here: resourceVersion rules, backoff and relists are the watch machine's. A
 * watch asks for bookmarks and timeoutSeconds and is given up timeoutSeconds + K8S_WATCH_GRACE_S after it was sent,
 * whatever the server does (K-T2); a dead path is found by keepalive and TCP_USER_TIMEOUT within 45 s (K-T1).
 * Accept-Encoding is never sent; an answer with a Content-Encoding is an error (K-G1). Metadata-only: ...MetadataList
 * on LIST, the single form on WATCH (the other way round the server ends in silence).
 *
 * Ends of a watch: clean (the server closed the chunked body), ERR_LOST (cut off; a partial last line is dropped,
 * K-W8), ERR_TIMEOUT (the hard deadline), ERR_TOO_LARGE (a line above WATCH_LINE_MAX), ERR_PARSE (encoding), or the
 * error of an HTTP status that is not 200. ERROR events are lines like any other: the machine reads them.
 *
 * Ownership: k8s_watch_new/_free; free closes everything without callbacks. The client must outlive it.
 *
 * Bounds: WATCH_LINE_MAX bytes a line, HTTP_BODY_MAX bytes a page, K8S_CALLS_MAX open at once.
 */
#ifndef CNI_IAM_K8S_K8S_WATCH_H
#define CNI_IAM_K8S_K8S_WATCH_H

#include "platform/k8s/k8s_client.h"
#include "platform/port/watch_source.h"

#define K8S_WATCH_GRACE_S 30

struct k8s_watch;
struct k8s_watch *k8s_watch_new(struct k8s_client *c);
void k8s_watch_free(struct k8s_watch *w);
struct watch_source k8s_watch_source(struct k8s_watch *w);

#endif
