/*
 * world_faces.h - the world on two ports of 127.0.0.1: its API server and its AWS endpoint.
 *
 * Model: each request goes to sim_kube_http or sim_aws_http; a watch becomes a stream. With TLS both have the same
 * certificate, and who talks to them is to be given sim_world_faces_ca.
 * Ownership: open/close; to be closed before the world is freed, which must outlive it.
 * Errors: as sim_face_new and sim_tls_new.   Bounds: those of http_face.h.
 */
#ifndef CNI_IAM_SIMULATOR_WORLD_FACES_H
#define CNI_IAM_SIMULATOR_WORLD_FACES_H

#include "simulator/http_face.h"
#include "simulator/world.h"

struct sim_world_faces {
    struct sim_face *kube, *aws;
    struct sim_tls *tls; /* NULL: plain */
};
enum sim_world_wire { SIM_WORLD_PLAIN, SIM_WORLD_TLS };
bool sim_world_faces_open(struct sim_world_faces *f, struct loop *l, struct sim_world *w, enum sim_world_wire wire,
                          struct error *err);
const char *sim_world_faces_ca(const struct sim_world_faces *f); /* PEM; NULL: plain */
void sim_world_faces_close(struct sim_world_faces *f);

#endif
