/* fuzz_exec_credential.c - any output of a plugin: refused, or a token or a whole pair. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/k8s/exec_plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    struct exec_credential c;
    if (!exec_credential_parse((const char *)data, size, "client.authentication.k8s.io/v1", &c, &err)) {
        assert(err.code == ERR_PARSE || err.code == ERR_TOO_LARGE);
        return 0;
    }
    assert(c.token != NULL || c.cert_pem != NULL);
    assert((c.cert_pem == NULL) == (c.key_pem == NULL));
    exec_credential_done(&c);
    return 0;
}
