/*
 * options.h - flags and their twins in the environment, for all subcommands.
 *
 * Model: one table of flags; --flag=value, --flag value, and CNI_IAM_FLAG in the environment (dashes become underscores); the command line wins.
 * Ownership: strings live in the arena.   Errors: ERR_INVALID naming the flag and what to write.
 * Bounds: OPTIONS_VALUE_MAX bytes a value.
 */
#ifndef CNI_IAM_CONTROLLER_OPTIONS_H
#define CNI_IAM_CONTROLLER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/log.h"
#include "platform/base/str.h"

#define OPTIONS_VALUE_MAX 65536

enum command {
    COMMAND_CONTROLLER = 1,
    COMMAND_PLAN = 2,
    COMMAND_APPROVE = 4,
    COMMAND_DEMO = 8,
    COMMAND_SNAPSHOT = 16,
    COMMAND_REHEARSE = 32
};

struct options {
    const char *kubeconfig, *context;
    const char *cluster_name, *region;
    bool leader_elect;
    const char *leader_election_namespace; /* NULL: the default */
    int64_t lease_duration_ms, renew_deadline_ms, retry_period_ms;
    int64_t aws_audit_interval_ms;
    const char *metrics_bind_address, *health_probe_bind_address; /* "0": off */
    const char *state_file;                                       /* NULL: the default; "": none */
    struct strlist allowed_policy_arns;
    const char *role_path;
    enum log_level log_level;
    enum log_format log_format;
    /* plan, snapshot, rehearse, approve */
    const char *file;   /* -f; "-" is standard input */
    const char *digest; /* --digest */
    const char *name;   /* the operand */
    /* snapshot, rehearse */
    const char *output;   /* -o: of snapshot a file, of rehearse json or text */
    const char *snapshot; /* rehearse: a file in place of the cluster */
    int64_t iam_lag_ms, pod_start_ms;
    bool approve;
    /* demo */
    bool fast, no_color, keep;
    int64_t seed;
    bool help;
};

/* argv without the program and the subcommand. `env` is getenv in the program. */
bool options_parse(int argc, const char *const *argv, enum command command, const char *(*env)(const char *name),
                   struct arena *a, struct options *out, struct error *err);
/* The flags of a subcommand as text for --help. */
char *options_help(enum command command, struct arena *a);

#endif
