/* sim_server.c - the simulated world alone, on loopback: prints its two URLs as JSON, then serves until it is killed. */
#include <stdio.h>
#include <stdlib.h>

#include "platform/os/loop.h"
#include "simulator/world_faces.h"

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
    if (!sim_world_faces_open(&faces, l, w, &err))
        die("%s", err.message);
    printf("{\"kube\": \"http://127.0.0.1:%d\", \"aws\": \"http://127.0.0.1:%d\"}\n", sim_face_port(faces.kube),
           sim_face_port(faces.aws));
    fflush(stdout);
    loop_run(l);
    return 0;
}
