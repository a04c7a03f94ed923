/*
 * others.h - everybody else who changes the cluster and the account: people, Terraform, eksctl, ACK, GitOps, EKS itself.
 *
 * Model: an actor is a file of its own with a table of verbs; what it does to the world is found by its name. It speaks to
 * the servers as anybody does, by requests of its own user agent, field manager and access key, and remembers between two
 * deeds what such a program remembers (Terraform its state, ACK its spec, Argo CD the manifest). A verb takes arguments by
 * name, all of them text; those whose name ends in '?' may be left out.
 *
 * Ownership: sim_others_new/_free (before the world); verbs are static.
 * Errors: ERR_INVALID and the server's own words, if it refused what an actor wanted.
 * Bounds: SIM_DEED_ARGS_MAX arguments.
 */
#ifndef CNI_IAM_SIMULATOR_OTHERS_H
#define CNI_IAM_SIMULATOR_OTHERS_H

#include "simulator/world.h"

#define SIM_DEED_ARGS_MAX 8

struct sim_deed_arg {
    const char *name, *value;
};
struct sim_verb;
bool sim_actor_is(const char *who);
const struct sim_verb *sim_verb_find(const char *who, const char *does); /* NULL: there is none */
const char *const *sim_verb_params(const struct sim_verb *v);            /* ends with NULL */
/* For messages: the names of all actors, or of the verbs of one, with commas. false: cut. */
bool sim_actor_names(char *out, size_t size);
bool sim_verb_names(const char *who, char *out, size_t size);

struct sim_others;
struct sim_others *sim_others_new(struct sim_world *w);
void sim_others_free(struct sim_others *o);
/* Called before and after each deed, those of programs that come back by themselves included. */
void sim_others_on_deed(struct sim_others *o, void (*fn)(void *arg, bool done), void *arg);
bool sim_others_do(struct sim_others *o, const struct sim_verb *v, const struct sim_deed_arg *args, size_t nargs,
                   struct error *err);

#endif
