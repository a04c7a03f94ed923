/* world_faces.c - requests and watches from sockets to the simulated servers. */
#include "simulator/world_faces.h"

#include <stdlib.h>

#include "simulator/aws_http.h"

struct face_watch {
    struct sim_kube *kube;
    struct sim_face_stream *stream;
    uint64_t ticket;
};

static void on_line(void *arg, const char *line, size_t len) {
    const struct face_watch *w = arg;
    sim_face_stream_line(w->stream, line, len);
}

static void on_end(void *arg) {
    struct face_watch *w = arg;
    sim_face_stream_end(w->stream);
    free(w);
}

static void on_gone(void *arg) {
    struct face_watch *w = arg;
    sim_kube_watch_close(w->kube, w->ticket);
    free(w);
}

static void on_kube(void *arg, const struct sim_http_request *req, struct sim_face_stream *stream,
                    struct sim_http_answer *out) {
    struct sim_kube *k = arg;
    if (!sim_kube_is_watch(req)) {
        sim_kube_http(k, req, out);
        return;
    }
    struct face_watch *w = calloc(1, sizeof *w);
    if (!w)
        die("out of memory: watch");
    *w = (struct face_watch){.kube = k, .stream = stream};
    w->ticket = sim_kube_watch(k, req, (struct sim_watch_sink){.arg = w, .on_line = on_line, .on_end = on_end}, out);
    if (w->ticket)
        sim_face_stream_open(stream, "application/json", on_gone, w);
    else
        free(w);
}

static void on_aws(void *arg, const struct sim_http_request *req, struct sim_face_stream *stream,
                   struct sim_http_answer *out) {
    (void)stream;
    sim_aws_http(arg, req, out);
}

bool sim_world_faces_open(struct sim_world_faces *f, struct loop *l, struct sim_world *w, enum sim_world_wire wire,
                          struct error *err) {
    *f = (struct sim_world_faces){0};
    if (wire == SIM_WORLD_TLS && !(f->tls = sim_tls_new(err)))
        return false;
    f->kube = sim_face_new(l, 0, f->tls, (struct sim_face_handler){sim_world_kube(w), on_kube}, err);
    if (f->kube)
        f->aws = sim_face_new(l, 0, f->tls, (struct sim_face_handler){sim_world_aws(w), on_aws}, err);
    if (f->aws)
        return true;
    sim_world_faces_close(f);
    return false;
}

const char *sim_world_faces_ca(const struct sim_world_faces *f) {
    return f->tls ? sim_tls_ca_pem(f->tls) : NULL;
}

void sim_world_faces_close(struct sim_world_faces *f) {
    sim_face_free(f->kube);
    sim_face_free(f->aws);
    sim_tls_free(f->tls);
    *f = (struct sim_world_faces){0};
}
