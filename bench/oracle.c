#include "bench/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/oracle_internal.h"

struct oracle oracle;

void oracle_broken(const char *fmt, ...) {
    va_list ap;
    if (oracle.violation[0])
        return;
    va_start(ap, fmt);
    vsnprintf(oracle.violation, sizeof oracle.violation, fmt, ap);
    va_end(ap);
}

const char *oracle_violation(void) {
    return oracle.violation[0] ? oracle.violation : NULL;
}

bool aws_is(const struct net_call *c, const char *action) {
    return c->to_aws && str_has_prefix(c->what, "aws ") && str_eq(c->what + 4, action);
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

const char *aws_param(const struct net_call *c, const char *name, char *out, size_t max) {
    size_t n = strlen(name), used = 0;
    out[0] = '\0';
    for (const char *p = c->body; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL) {
        if (strncmp(p, name, n) != 0 || p[n] != '=')
            continue;
        for (p += n + 1; *p && *p != '&' && used + 1 < max; p++)
            if (*p == '%' && p[1] && p[2]) {
                out[used++] = (char)(hex(p[1]) * 16 + hex(p[2]));
                p += 2;
            } else {
                out[used++] = *p == '+' ? ' ' : *p;
            }
        break;
    }
    out[used] = '\0';
    return out;
}

void oracle_begin(struct sim_world *world, const struct bench_options *o, const struct bench_state *state) {
    oracle = (struct oracle){.world = world, .o = o, .keep = o->keep, .state = state};
    if (!world)
        return;
    gates_begin();
    wire_begin();
}

void oracle_tap(void *arg, const struct net_call *c) {
    (void)arg;
    if (!oracle.world || oracle.violation[0])
        return;
    wire_see(c);
    gates_see(c);
}

void oracle_keep(const char *words) {
    oracle.keep = words;
}

void oracle_end(void) {
    if (oracle.world)
        wire_end();
}
