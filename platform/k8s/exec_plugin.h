/*
 * exec_plugin.h - credentials from a helper program (K-A3).
 *
 * Model: one run at a time, by argv, without a terminal, with KUBERNETES_EXEC_INFO in the environment. What it prints
 * is an ExecCredential of the version that was asked for: a token, a certificate with its key, or both. The credential
 * is kept until its expirationTimestamp (for ever if there is none) less EXEC_PLUGIN_LEEWAY_MS. After a failed run the
 * same failure is given for EXEC_PLUGIN_HOLD_MS instead of another fork.
 *
 * Ownership: the credential is the plugin's until exec_plugin_drop or the next run.
 *
 * Errors: ERR_NO_CREDENTIALS (not found: with the installHint; failed; timed out; printed something else): the message
 * says which.
 *
 * Bounds: process.h's PROCESS_OUTPUT_MAX and PROCESS_DEADLINE_MS.
 */
#ifndef CNI_IAM_K8S_EXEC_PLUGIN_H
#define CNI_IAM_K8S_EXEC_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/error.h"
#include "platform/base/secret.h"
#include "platform/k8s/k8s_config.h"
#include "platform/os/loop.h"

#define EXEC_PLUGIN_LEEWAY_MS 10000
#define EXEC_PLUGIN_HOLD_MS 1000

struct exec_credential {
    struct secret *token;    /* NULL: none */
    struct secret *cert_pem; /* both or none */
    struct secret *key_pem;
    int64_t expires_wall_ms; /* 0: never */
};
void exec_credential_done(struct exec_credential *c);
/* The output of a plugin; empty and half pairs are errors. *out is written only on success. */
bool exec_credential_parse(const char *text, size_t len, const char *api_version, struct exec_credential *out,
                           struct error *err);

struct exec_plugin;
typedef void (*exec_plugin_fn)(void *arg, const struct error *err); /* ERR_NONE: exec_plugin_credential has a new one */

struct exec_plugin *exec_plugin_new(struct loop *l, const struct exec_config *config); /* borrows config */
void exec_plugin_free(struct exec_plugin *p);                                      /* ends a run without a callback */
const struct exec_credential *exec_plugin_credential(const struct exec_plugin *p); /* NULL: none, or it has expired */
const struct exec_credential *
exec_plugin_latest(const struct exec_plugin *p); /* of the last good run; expired or not */
void exec_plugin_drop(struct exec_plugin *p);    /* after a 401 */
/* Starts a run; done comes once, from the loop. Must not be called while one is under way. */
void exec_plugin_run(struct exec_plugin *p, exec_plugin_fn done, void *arg);

#endif
