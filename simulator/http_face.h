/*
 * http_face.h - a small HTTP/1.1 server on 127.0.0.1, plain or with TLS, so that real clients can talk to the simulated world.
 *
 * Model: connections on the event loop, each with one request at a time: while it is answered nothing is read, so that
 * pipelined requests are served in order. A handler either fills the answer at once, or opens a stream (chunked;
 * watches), to which lines may be written until it is ended or its client is gone. Anything odd is a 400, and the connection ends.
 * With TLS a client that can not shake hands is hung up on.
 *
 * Ownership: sim_face_new/_free; the TLS is lent and must outlive the face; a stream is the face's, and valid until
 * sim_face_stream_end or on_gone. sim_face_free calls on_gone for the streams that are open. The answer's body is taken
 * from the handler (free).
 * Errors: ERR_IO when the port can not be had, with what to do.
 * Bounds: SIM_FACE_*_MAX, and those of http_request_parser.h. A reader that is slower than its stream is disconnected.
 */
#ifndef CNI_IAM_SIMULATOR_HTTP_FACE_H
#define CNI_IAM_SIMULATOR_HTTP_FACE_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/os/loop.h"
#include "simulator/face_tls.h"
#include "simulator/http_message.h"

#define SIM_FACE_CONNECTIONS_MAX 256 /* the one that has been idle longest goes for a new one */
#define SIM_FACE_ANSWER_MAX ((size_t)128 * 1024 * 1024)
#define SIM_FACE_STREAM_MAX ((size_t)32 * 1024 * 1024) /* not yet read by the client */
#define SIM_FACE_REQUEST_MS 30000                      /* from its first byte to its last; the same for a handshake */

struct sim_face;
struct sim_face_stream;

struct sim_face_handler {
    void *arg;
    /* Fills *out, or opens the stream and leaves *out alone. */
    void (*handle)(void *arg, const struct sim_http_request *req, struct sim_face_stream *stream,
                   struct sim_http_answer *out);
};

struct sim_face *sim_face_new(struct loop *l, int port /* 0: any */, struct sim_tls *tls /* NULL: plain HTTP */,
                              struct sim_face_handler h, struct error *err);
void sim_face_free(struct sim_face *f); /* NULL is fine */
int sim_face_port(const struct sim_face *f);
const char *sim_face_url(const struct sim_face *f); /* "https://127.0.0.1:4711" */

/* Only inside `handle`. on_gone: the client went away or was too slow; the stream is no more then. */
void sim_face_stream_open(struct sim_face_stream *s, const char *content_type, void (*on_gone)(void *arg), void *arg);
void sim_face_stream_line(struct sim_face_stream *s, const char *line, size_t len); /* adds '\n' */
void sim_face_stream_end(struct sim_face_stream *s);                                /* on_gone is not called */

#endif
