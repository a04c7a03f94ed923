/* oracle_internal.h - what the oracle's files share. */
#ifndef CNI_IAM_BENCH_ORACLE_INTERNAL_H
#define CNI_IAM_BENCH_ORACLE_INTERNAL_H

#include "bench/oracle.h"
#include "platform/base/str.h"
#include "simulator/virtual/virtual_loop.h"
#include "simulator/world.h"

struct oracle {
    struct sim_world *world; /* NULL: nobody looks */
    const struct bench_options *o;
    const char *keep;
    const struct bench_state *state;
    char violation[400];
};
extern struct oracle oracle;

void oracle_broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void gates_begin(void);
void gates_see(const struct net_call *c);
void wire_begin(void);
void wire_see(const struct net_call *c);
void wire_end(void);

/* The value of a parameter of a call to AWS, percent-decoded; "" if it has none. */
const char *aws_param(const struct net_call *c, const char *name, char *out, size_t max);
bool aws_is(const struct net_call *c, const char *action);

#endif
