/* fuzz_binding.c - any JSON as a binding: refused, or decoded into a status whose text comes back the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crd/binding.h"
#include "crd/binding_status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_status(const struct cib_status *s) {
    struct arena *a = arena_new(0);
    struct cib_status back;
    json *first = cib_status_encode(s);

    cib_status_decode(first, &back, a);
    json *second = cib_status_encode(&back);
    assert(json_equal(first, second));
    json_free(first);
    json_free(second);
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    json *j = json_parse((const char *)data, size, &err);
    struct cib_binding *b = cib_decode(j, &err);

    if (b == NULL) {
        assert(err.code != ERR_NONE);
    } else {
        assert(b->spec.rollout.proof_seconds >= 0 && b->spec.node_role.soak_seconds >= 0);
        assert(b->spec_error != NULL || b->spec.role.name == NULL || b->spec.role.arn == NULL);
        assert(b->status.nconditions <= CIB_CONDITIONS_MAX && b->status.nnode_roles <= CIB_NODE_ROLES_MAX);
        check_status(&b->status);
        cib_free(b);
    }
    json_free(j);
    return 0;
}
