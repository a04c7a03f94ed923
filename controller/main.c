/* main.c - cni-iam: which subcommand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/commands.h"
#include "platform/base/secret.h"

static const struct subcommand {
    const char *name;
    enum command command;
    int (*run)(const struct options *o);
    const char *usage, *what;
} subcommands[] = {
    {"controller", COMMAND_CONTROLLER, command_controller, "cni-iam controller [flags]", "run the operator"},
    {"plan", COMMAND_PLAN, command_plan, "cni-iam plan -f FILE [flags]",
     "print the steps that a binding would take; exits 2 when there are any, 0 when there are none, 1 on error"},
    {"approve", COMMAND_APPROVE, command_approve, "cni-iam approve NAME [flags]",
     "approve the detachment that the binding's status shows"},
    {"snapshot", COMMAND_SNAPSHOT, command_snapshot, "cni-iam snapshot [-f FILE] [-o FILE] [flags]",
     "read cluster and account into a file for a rehearsal; writes nothing else, and no secret is in it"},
    {"rehearse", COMMAND_REHEARSE, command_rehearse, "cni-iam rehearse [-f FILE] [--snapshot FILE] [flags]",
     "run the migration in a copy of cluster and account, in memory; exits 0 if it would get there, 2 if something "
     "would "
     "go wrong, 1 on error"},
    {"demo", COMMAND_DEMO, command_demo, "cni-iam demo [flags]",
     "show a migration in a simulated cluster and account, on loopback; needs neither"},
};
#define NSUBCOMMANDS (sizeof subcommands / sizeof *subcommands)

static const char *environment(const char *name) {
    return getenv(name);
}

static void print_help(FILE *to) {
    fprintf(to, "cni-iam moves the Amazon VPC CNI (aws-node) from the node role to an IAM role of its own, and keeps "
                "it there.\n\n");
    for (size_t i = 0; i < NSUBCOMMANDS; i++)
        fprintf(to, "  %-12s %s\n", subcommands[i].name, subcommands[i].what);
    fprintf(to, "  %-12s %s\n  %-12s %s\n\n", "version", "print the version", "help", "print this");
    fprintf(to, "cni-iam SUBCOMMAND --help lists its flags.\n");
}

static const struct subcommand *find(const char *name) {
    for (size_t i = 0; i < NSUBCOMMANDS; i++)
        if (str_eq(subcommands[i].name, name))
            return &subcommands[i];
    return NULL;
}

static int unknown(const char *name) {
    fprintf(stderr, "cni-iam: unknown subcommand \"%.100s\"", name);
    for (size_t i = 0; i < NSUBCOMMANDS; i++)
        if (subcommands[i].name[0] == name[0])
            fprintf(stderr, "; did you mean %s?", subcommands[i].name);
    fprintf(stderr, " (see cni-iam help)\n");
    return 1;
}

static int run(const struct subcommand *s, int argc, char **argv) {
    struct arena *a = arena_new(0);
    struct options o;
    struct error err;
    int status = 1;
    if (!options_parse(argc, (const char *const *)argv, s->command, environment, a, &o, &err)) {
        fprintf(stderr, "cni-iam %s: %s\n", s->name, err.message);
    } else if (o.help) {
        printf("%s\n\n%s.\n\n%s", s->usage, s->what, options_help(s->command, a));
        status = 0;
    } else {
        log_configure(o.log_level, o.log_format);
        status = s->run(&o);
    }
    arena_free(a);
    return status;
}

int main(int argc, char **argv) {
    secret_harden_process();
    if (argc < 2) {
        print_help(stderr);
        return 1;
    }
    if (str_eq(argv[1], "help") || str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
        print_help(stdout);
        return 0;
    }
    if (str_eq(argv[1], "version") || str_eq(argv[1], "--version")) {
        printf("cni-iam %s\n", CNI_IAM_VERSION);
        return 0;
    }
    const struct subcommand *s = find(argv[1]);
    return s ? run(s, argc - 2, argv + 2) : unknown(argv[1]);
}
