#include "controller/options.h"

#include <stddef.h>
#include <string.h>

#include "platform/base/buf.h"

enum kind { TEXT, SWITCH, NUMBER, DURATION, LIST, LEVEL, FORMAT };

struct flag {
    const char *name;
    enum kind kind;
    size_t offset;
    unsigned commands; /* which subcommands take it */
    const char *value_name, *help;
};

#define READERS (COMMAND_PLAN | COMMAND_SNAPSHOT | COMMAND_REHEARSE)
#define ALL (COMMAND_CONTROLLER | READERS | COMMAND_APPROVE)
#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"kubeconfig", TEXT, AT(kubeconfig), ALL, "FILE",
     "kubeconfig (default: $KUBECONFIG, inside a cluster its own, ~/.kube/config)"},
    {"context", TEXT, AT(context), ALL, "NAME", "context of the kubeconfig"},
    {"cluster-name", TEXT, AT(cluster_name), COMMAND_CONTROLLER | READERS, "NAME",
     "EKS cluster, for bindings that do not say"},
    {"region", TEXT, AT(region), COMMAND_CONTROLLER | READERS, "REGION", "its region (default: AWS_REGION)"},
    {"leader-elect", SWITCH, AT(leader_elect), COMMAND_CONTROLLER, "true|false",
     "work only while holding a Lease (default true)"},
    {"leader-election-namespace", TEXT, AT(leader_election_namespace), COMMAND_CONTROLLER, "NS",
     "namespace of the Lease (default: the operator's own, kube-system outside a cluster)"},
    {"leader-elect-lease-duration", DURATION, AT(lease_duration_ms), COMMAND_CONTROLLER, "DURATION", "(default 15s)"},
    {"leader-elect-renew-deadline", DURATION, AT(renew_deadline_ms), COMMAND_CONTROLLER, "DURATION", "(default 10s)"},
    {"leader-elect-retry-period", DURATION, AT(retry_period_ms), COMMAND_CONTROLLER, "DURATION", "(default 2s)"},
    {"aws-audit-interval", DURATION, AT(aws_audit_interval_ms), COMMAND_CONTROLLER, "DURATION",
     "foreign changes in AWS are noticed within it (default 60s)"},
    {"metrics-bind-address", TEXT, AT(metrics_bind_address), COMMAND_CONTROLLER, "HOST:PORT",
     "/metrics (default 0: off)"},
    {"health-probe-bind-address", TEXT, AT(health_probe_bind_address), COMMAND_CONTROLLER, "HOST:PORT",
     "/healthz and /readyz (default 0: off)"},
    {"state-file", TEXT, AT(state_file), COMMAND_CONTROLLER, "FILE",
     "sqlite cache and journal (default: $XDG_STATE_HOME/cni-iam/state.db or /var/lib/cni-iam/state.db)"},
    {"allowed-policy-arns", LIST, AT(allowed_policy_arns), COMMAND_CONTROLLER | COMMAND_PLAN | COMMAND_REHEARSE,
     "ARN,...",
     "policies that may be attached or detached (default: the managed CNI policy and the IPv6 policy made here)"},
    {"role-path", TEXT, AT(role_path), COMMAND_CONTROLLER | READERS, "PATH",
     "IAM path below which roles may be (default /)"},
    {"log-level", LEVEL, AT(log_level), ALL, "LEVEL",
     "debug, info, warn, error (default info; rehearse: error; plan, snapshot and approve: warn)"},
    {"log-format", FORMAT, AT(log_format), ALL, "FORMAT", "json or text (default json for the controller, else text)"},
    {"filename", TEXT, AT(file), READERS, "FILE",
     "the binding that is meant, YAML or JSON; - reads standard input (also -f)"},
    {"output", TEXT, AT(output), COMMAND_SNAPSHOT, "FILE",
     "where it is written, for its owner alone (also -o; default -: standard output)"},
    {"output", TEXT, AT(output), COMMAND_REHEARSE, "text|json", "(also -o; default text)"},
    {"snapshot", TEXT, AT(snapshot), COMMAND_REHEARSE, "FILE",
     "what cni-iam snapshot wrote, in place of the cluster and the account"},
    {"iam-lag", DURATION, AT(iam_lag_ms), COMMAND_REHEARSE, "DURATION",
     "IAM enforces each change at most so much later (default 15s)"},
    {"pod-start", DURATION, AT(pod_start_ms), COMMAND_REHEARSE, "DURATION",
     "an aws-node pod is Ready so long after it was made (default 20s)"},
    {"approve", SWITCH, AT(approve), COMMAND_REHEARSE, "true|false",
     "approve in the rehearsal what it comes to wait for; else end there (default true)"},
    {"digest", TEXT, AT(digest), COMMAND_APPROVE, "DIGEST", "approve only if the plan still has this digest"},
    {"fast", SWITCH, AT(fast), COMMAND_DEMO, "true|false", "scale all waits down, and end at once (default false)"},
    {"seed", NUMBER, AT(seed), COMMAND_DEMO, "NUMBER",
     "of the world: the same one makes the same nodes and delays (default 1)"},
    {"no-color", SWITCH, AT(no_color), COMMAND_DEMO, "true|false",
     "no colors; so does NO_COLOR in the environment (default false)"},
    {"keep", SWITCH, AT(keep), COMMAND_DEMO, "true|false",
     "stay when it is done, to look around and to break things (default true on a terminal without --fast)"},
};
#define NFLAGS (sizeof flags / sizeof *flags)

static const struct flag *find_flag(const char *name, size_t n, unsigned command) {
    for (size_t i = 0; i < NFLAGS; i++)
        if (strlen(flags[i].name) == n && memcmp(flags[i].name, name, n) == 0 && (flags[i].commands & command))
            return &flags[i];
    return NULL;
}

static bool set_switch(bool *out, const char *value) {
    bool on = str_eq(value, "true") || str_eq(value, "1"), off = str_eq(value, "false") || str_eq(value, "0");
    *out = on;
    return on || off;
}

static bool set_value(struct options *o, const struct flag *f, const char *value, struct arena *a, struct error *err) {
    char *at = (char *)o + f->offset;
    bool ok = true;
    if (strlen(value) > OPTIONS_VALUE_MAX)
        return error_set(err, ERR_INVALID, "--%s %.100s...: the value is longer than %d bytes", f->name, value,
                         OPTIONS_VALUE_MAX);
    switch (f->kind) {
    case TEXT:
        *(const char **)(void *)at = arena_strdup(a, value);
        break;
    case SWITCH:
        ok = set_switch((bool *)at, value);
        break;
    case NUMBER:
        ok = str_to_int64(value, (int64_t *)(void *)at);
        break;
    case DURATION:
        ok = str_to_duration_ms(value, (int64_t *)(void *)at) && *(int64_t *)(void *)at > 0;
        break;
    case LIST:
        *(struct strlist *)(void *)at = str_split(value, ',', a);
        break;
    case LEVEL:
        ok = log_level_parse(value, (enum log_level *)(void *)at);
        break;
    case FORMAT:
        ok = log_format_parse(value, (enum log_format *)(void *)at);
        break;
    }
    if (ok)
        return true;
    const char *what = f->kind == DURATION ? "a duration such as 15s, 1m30s or 500ms, greater than 0"
                       : f->kind == NUMBER ? "a number, 0 or greater"
                                           : f->value_name;
    return error_set(err, ERR_INVALID, "--%s %.100s: write %s", f->name, value, what);
}

static char *variable_name(const char *flag, struct arena *a) {
    char *name = arena_printf(a, "CNI_IAM_%s", flag);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    return name;
}

static bool from_environment(struct options *o, enum command command, const char *(*env)(const char *), struct arena *a,
                             struct error *err) {
    for (size_t i = 0; i < NFLAGS; i++) {
        const char *name = variable_name(flags[i].name, a), *value = env(name);
        if (!(flags[i].commands & (unsigned)command) || str_empty(value))
            continue;
        if (!set_value(o, &flags[i], value, a, err))
            return error_wrap(err, "environment %s", name);
    }
    return true;
}

static bool take_flag(const char *arg, int *i, int argc, const char *const *argv, enum command command,
                      struct options *o, struct arena *a, struct error *err) {
    const char *name = arg + 2, *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct flag *f = find_flag(name, n, (unsigned)command);
    if (!f)
        return error_set(err, ERR_INVALID, "unknown flag --%.*s; see --help", (int)(n < 100 ? n : 100), name);
    if (equals)
        return set_value(o, f, equals + 1, a, err);
    if (f->kind == SWITCH && (*i + 1 >= argc || argv[*i + 1][0] == '-'))
        return set_value(o, f, "true", a, err);
    if (*i + 1 >= argc)
        return error_set(err, ERR_INVALID, "--%s needs a value: %s", f->name, f->value_name);
    return set_value(o, f, argv[++*i], a, err);
}

static bool take_argument(const char *arg, int *i, int argc, const char *const *argv, enum command command,
                          struct options *o, struct arena *a, struct error *err) {
    if (str_eq(arg, "--help") || str_eq(arg, "-h")) {
        o->help = true;
        return true;
    }
    if (str_eq(arg, "-f") && (command & READERS)) {
        if (*i + 1 >= argc)
            return error_set(err, ERR_INVALID, "-f needs a file, or - for standard input");
        o->file = argv[++*i];
        return true;
    }
    if (str_eq(arg, "-o") && (command & (COMMAND_SNAPSHOT | COMMAND_REHEARSE))) {
        if (*i + 1 >= argc)
            return error_set(err, ERR_INVALID, "-o needs a value; see --help");
        o->output = argv[++*i];
        return true;
    }
    if (str_has_prefix(arg, "--"))
        return take_flag(arg, i, argc, argv, command, o, a, err);
    if (arg[0] == '-' && arg[1])
        return error_set(err, ERR_INVALID, "unknown flag %.20s; see --help", arg);
    if (command != COMMAND_APPROVE || o->name)
        return error_set(err, ERR_INVALID, "unexpected argument \"%.100s\"; see --help", arg);
    o->name = arg;
    return true;
}

static bool check(const struct options *o, struct error *err) {
    /* client-go's constraints (kubernetes.md 8) */
    if (o->lease_duration_ms <= o->renew_deadline_ms)
        return error_set(err, ERR_INVALID,
                         "--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline");
    if ((double)o->renew_deadline_ms <= 1.2 * (double)o->retry_period_ms)
        return error_set(err, ERR_INVALID,
                         "--leader-elect-renew-deadline must be greater than 1.2 times --leader-elect-retry-period");
    for (size_t i = 0; i < o->allowed_policy_arns.n; i++) /* compared as they stand: a bare name would never match */
        if (!str_has_prefix(o->allowed_policy_arns.v[i], "arn:"))
            return error_set(err, ERR_INVALID, "--allowed-policy-arns %.100s: write whole ARNs, separated by commas",
                             o->allowed_policy_arns.v[i]);
    if (o->role_path[0] != '/' || !str_has_suffix(o->role_path, "/"))
        return error_set(err, ERR_INVALID, "--role-path %.100s must start and end with /", o->role_path);
    return true;
}

bool options_parse(int argc, const char *const *argv, enum command command, const char *(*env)(const char *name),
                   struct arena *a, struct options *o, struct error *err) {
    memset(o, 0, sizeof *o);
    o->leader_elect = true;
    o->lease_duration_ms = 15000;
    o->renew_deadline_ms = 10000;
    o->retry_period_ms = 2000;
    o->aws_audit_interval_ms = 60000;
    o->metrics_bind_address = o->health_probe_bind_address = "0";
    o->role_path = "/";
    o->seed = 1;
    o->approve = true;
    o->iam_lag_ms = 15000;
    o->pod_start_ms = 20000;
    o->log_level = command == COMMAND_CONTROLLER ? LOG_LEVEL_INFO
                   : command == COMMAND_REHEARSE ? LOG_LEVEL_ERROR
                                                 : LOG_LEVEL_WARN;
    o->log_format = command == COMMAND_CONTROLLER ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    if (!from_environment(o, command, env, a, err))
        return false;
    for (int i = 0; i < argc; i++)
        if (!take_argument(argv[i], &i, argc, argv, command, o, a, err))
            return false;
    return o->help || check(o, err);
}

char *options_help(enum command command, struct arena *a) {
    struct buf b;
    buf_init(&b, OPTIONS_VALUE_MAX);
    for (size_t i = 0; i < NFLAGS; i++)
        if (flags[i].commands & (unsigned)command)
            buf_printf(&b, "  --%s %s\n        %s\n", flags[i].name, flags[i].value_name, flags[i].help);
    buf_puts(&b, "\nEvery flag can be given as CNI_IAM_<FLAG> in the environment. AWS settings are the AWS SDKs' own "
                 "variables and files.\n");
    char *text = arena_strdup(a, buf_str(&b));
    buf_done(&b);
    return text;
}
