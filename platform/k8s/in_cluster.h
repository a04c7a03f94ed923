/*
 * in_cluster.h - the configuration that a pod has: environment and projected files (K-A4).
 *
 * Model: host and port from KUBERNETES_SERVICE_HOST and _PORT (IPv6 in brackets); token, ca.crt and namespace from the
 * ServiceAccount's volume. Token and CA are re-read by auth.h while the program runs: here they only have to be there.
 *
 * Ownership: the config is the caller's.
 *
 * Errors: ERR_NO_CREDENTIALS (not in a cluster), ERR_IO or ERR_NOT_FOUND (a file is missing), ERR_PARSE (ca.crt is no
 * PEM).
 */
#ifndef CNI_IAM_K8S_IN_CLUSTER_H
#define CNI_IAM_K8S_IN_CLUSTER_H

#include <stdbool.h>

#include "platform/k8s/k8s_config.h"

#define IN_CLUSTER_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct in_cluster_source {
    const char *host; /* NULL: $KUBERNETES_SERVICE_HOST */
    const char *port; /* NULL: $KUBERNETES_SERVICE_PORT */
    const char *dir;  /* NULL: IN_CLUSTER_DIR */
};

bool in_cluster_detected(void);                                                           /* both variables are set */
struct k8s_config *in_cluster_load(const struct in_cluster_source *s, struct error *err); /* NULL on error */

#endif
