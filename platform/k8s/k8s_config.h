/*
 * k8s_config.h - where the API server is and who we are: the result of reading a kubeconfig or the in-cluster files.
 *
 * Model: one value with everything resolved (paths absolute, *-data decoded), nothing yet proven. auth.h turns it into
 * headers and a TLS identity and re-reads what lives in files; k8s_client.h connects.
 *
 * Ownership: k8s_config_free frees all; strings live in the config's own arena.
 *
 * Errors: k8s_config_load and its parts say which file, which field, and what to write instead.
 *
 * Bounds: K8S_FILE_MAX bytes a file, K8S_CONFIG_EXTRAS_MAX impersonation headers.
 */
#ifndef CNI_IAM_K8S_K8S_CONFIG_H
#define CNI_IAM_K8S_K8S_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/json.h"
#include "platform/base/secret.h"
#include "platform/base/str.h"

#define K8S_FILE_MAX ((size_t)1024 * 1024)
#define K8S_CONFIG_EXTRAS_MAX 64

/* user.exec (K-A3). */
struct exec_config {
    const char *command; /* absolute, or a bare name for PATH */
    struct strlist args;
    struct strlist env;       /* "NAME=value" */
    const char *api_version;  /* client.authentication.k8s.io/v1 or /v1beta1 */
    const char *install_hint; /* NULL: none */
    bool provide_cluster_info;
    const char *cluster_info; /* JSON of ExecCredential.spec.cluster; NULL unless provide_cluster_info */
};

struct k8s_impersonation_extra {
    const char *key; /* as it goes into the header's name, already escaped */
    const char *value;
};

struct k8s_config {
    struct arena *arena;
    /* cluster */
    const char *server;          /* "https://host:6443/prefix", no '/' at the end */
    const char *ca_pem;          /* PEM text; NULL: the system's roots */
    const char *ca_file;         /* re-read for rotation (K-A5); NULL: ca_pem never changes */
    const char *tls_server_name; /* NULL: the host */
    const char *proxy_url;       /* NULL: the environment's */
    bool insecure_skip_tls_verify;
    /* user; at most one of certificate, token[_file], basic, exec gives the identity */
    struct secret *client_cert_pem;
    struct secret *client_key_pem;
    const char *client_cert_file; /* re-read for rotation; NULL: data */
    const char *client_key_file;
    struct secret *token;
    const char *token_file; /* wins over token once it was read */
    const char *username;   /* basic */
    struct secret *password;
    struct exec_config *exec;
    const char *as_user;
    const char *as_uid;
    struct strlist as_groups;
    struct k8s_impersonation_extra as_extra[K8S_CONFIG_EXTRAS_MAX];
    size_t nas_extra;
    /* context */
    const char *ns;      /* "default" when none is named */
    const char *context; /* its name, "in-cluster" inside */
    bool in_cluster;
    int64_t reread_ms; /* 0: the periods of auth.h; else files are re-read this often (tests) */
};

struct k8s_config_request {
    const char *kubeconfig; /* --kubeconfig; NULL: none */
    const char *context;    /* --context; NULL: current-context */
};

/*
 * The order of kubectl and of controller-runtime: --kubeconfig; $KUBECONFIG; the in-cluster files when
 * KUBERNETES_SERVICE_HOST is set (and no context was asked for); ~/.kube/config. NULL on error. K-A1, K-A4.
 */
struct k8s_config *k8s_config_load(const struct k8s_config_request *r, struct error *err);

struct k8s_config *k8s_config_new(void); /* empty, for the readers and for tests */
void k8s_config_free(struct k8s_config *c);

#endif
