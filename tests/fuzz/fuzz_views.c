/* fuzz_views.c - any JSON as each kind we read: an error, or a view; and a pod with an identity has the proof of it in
 * its spec. */
#include <assert.h>
#include <string.h>

#include "crd/views.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pod(const json *j) {
    struct error err = {0};
    const char *role;
    struct pod_view *p = pod_decode(j, &err);

    if (p == NULL) {
        return;
    }
    if (pod_credential(p, &role) == POD_CREDENTIAL_IRSA) {
        const struct container_view *c = pod_container(p, "aws-node");
        assert(role != NULL && !p->unreadable && c != NULL && c->token_mounted && c->outranked_by == NULL);
    } else {
        assert(role == NULL);
    }
    pod_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    struct cni_version version;
    json *j = json_parse((const char *)data, size, &err);

    check_pod(j);
    service_account_free(service_account_decode(j, &err));
    struct daemon_set_view *ds = daemon_set_decode(j, &err);
    if (ds != NULL) {
        (void)cni_version_parse(ds->cni_image, &version);
        assert(ds->desired >= 0 && json_is_object(ds->template_pod));
    }
    daemon_set_free(ds);
    node_free(node_decode(j, &err));
    event_free(event_decode(j, &err));
    json_free(j);
    return 0;
}
