/*
 * kubeconfig_entry.h - one cluster or one user of a kubeconfig, validated and resolved (K-A2). Part of kubeconfig.h's
 * module.
 *
 * Model: an entry is the mapping of one named item and the directory of its file. A field of the wrong type is an error
 * that names it; null and "" count as absent. *-data wins over the file beside it.
 *
 * Ownership: results are copied into the config's arena; entries borrow from the parsed files.
 *
 * Errors: ERR_PARSE, ERR_INVALID, ERR_IO: see kubeconfig.h.
 */
#ifndef CNI_IAM_K8S_KUBECONFIG_ENTRY_H
#define CNI_IAM_K8S_KUBECONFIG_ENTRY_H

#include <stdbool.h>

#include "platform/base/json.h"
#include "platform/k8s/k8s_config.h"

struct kubeconfig_entry {
    const char *what; /* "cluster", "user", "context" */
    const char *name;
    const char *dir;
    const json *body; /* NULL: `user:` with nothing behind it, which is a user without credentials */
};

/* Field readers: *out is NULL when absent. False and an error on another type. */
bool kubeconfig_string(const struct kubeconfig_entry *e, const char *key, const char **out, struct error *err);
bool kubeconfig_flag(const struct kubeconfig_entry *e, const char *key, bool *out, struct error *err);
bool kubeconfig_strings(const struct kubeconfig_entry *e, const char *key, struct strlist *out, struct arena *a,
                        struct error *err);
const char *kubeconfig_path(const struct kubeconfig_entry *e, const char *path, struct arena *a); /* NULL stays NULL */

bool kubeconfig_cluster(const struct kubeconfig_entry *e, struct k8s_config *c, bool read_files, struct error *err);
bool kubeconfig_user(const struct kubeconfig_entry *e, const struct kubeconfig_entry *cluster, struct k8s_config *c,
                     bool read_files, struct error *err);
/* user.exec (kubeconfig_exec.c, K-A3). */
bool kubeconfig_exec(const struct kubeconfig_entry *user, const struct kubeconfig_entry *cluster, struct k8s_config *c,
                     struct error *err);

#endif
