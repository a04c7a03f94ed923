/*
 * sim_server.c - the simulated world alone, on loopback: prints its two URLs as JSON, and with --tls its authority's
 * certificate, then serves until it is killed.
 *
 * sim_server [NODES [--tls]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "platform/base/json.h"
#include "platform/os/loop.h"
#include "simulator/world_faces.h"

static void say_where(const struct sim_world_faces *f) {
    json *said = json_object();
    json_add_str(said, "kube", sim_face_url(f->kube));
    json_add_str(said, "aws", sim_face_url(f->aws));
    json_add_str(said, "ca", sim_world_faces_ca(f));
    char *text = json_print(said);
    puts(text);
    fflush(stdout);
    free(text);
    json_free(said);
}

int main(int argc, char **argv) {
    struct error err;
    struct loop *l = loop_new(&err);
    struct sim_world_faces faces;
    if (!l)
        die("%s", err.message);
    struct sim_world_options o = {.clock = loop_clock(l),
                                  .seed = 1,
                                  .nodes = argc > 1 ? atoi(argv[1]) : 0, /* NOLINT(cert-err34-c): 0 is none */
                                  .pod_start_ms = 100};
    struct sim_world *w = sim_world_new(&o);
    sim_aws_add_access_key(sim_world_aws(w), "AKIASIMULATED", "arn:aws:iam::111122223333:root");
    enum sim_world_wire wire = argc > 2 && str_eq(argv[2], "--tls") ? SIM_WORLD_TLS : SIM_WORLD_PLAIN;
    if (!sim_world_faces_open(&faces, l, w, wire, &err))
        die("%s", err.message);
    say_where(&faces);
    loop_run(l);
    return 0;
}
