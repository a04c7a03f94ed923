/*
 * kubeconfig.h - kubeconfig files, in full: merge, contexts, certificates, tokens, exec plugins, proxies (K-A1, K-A2).
 *
 * Model: files are read in the order given and merged as client-go does it: clusters, users and contexts are maps, the
 * first file that has a name wins with its whole entry; current-context is the first one set. Relative paths belong to
 * the directory of the file they stand in. A file that is missing is skipped when it comes from $KUBECONFIG or is the
 * default, and an error when it was named by --kubeconfig. Only the chosen context's cluster and user are validated,
 * and only their files are read.
 *
 * Ownership: the config is the caller's (k8s_config_free).
 *
 * Errors: ERR_IO (a named file that can not be read), ERR_PARSE (no YAML, wrong types), ERR_INVALID (contradictions;
 * the message names the user, cluster or context and what to change), ERR_NO_CREDENTIALS (no file, no context).
 *
 * Bounds: KUBECONFIG_FILES_MAX files, K8S_FILE_MAX bytes each, YAML's own.
 */
#ifndef CNI_IAM_K8S_KUBECONFIG_H
#define CNI_IAM_K8S_KUBECONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/k8s/k8s_config.h"

#define KUBECONFIG_FILES_MAX 64

struct kubeconfig_source {
    const char *const *paths;
    size_t npaths;
    bool explicit_path; /* --kubeconfig: one path, must exist */
};

/* K-A1, K-A2. `context` NULL: current-context. */
struct k8s_config *kubeconfig_load(const struct kubeconfig_source *s, const char *context, struct error *err);

/* The same over a text, for tests and the fuzzer: paths are relative to `dir`, files named in it are read only if
 * read_files. */
struct k8s_config *kubeconfig_parse(const char *text, size_t len, const char *dir, const char *context, bool read_files,
                                    struct error *err);

#endif
