/* fuzz_kubeconfig.c - any bytes as a kubeconfig: refused, or a configuration whose promises hold; files it names are
 * not read. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/k8s/kubeconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    struct k8s_config *c = kubeconfig_parse((const char *)data, size, "/nowhere", NULL, false, &err);
    if (c == NULL) {
        assert(err.code != ERR_NONE && err.message[0] != '\0');
        return 0;
    }
    assert(str_has_prefix(c->server, "https://") || str_has_prefix(c->server, "http://"));
    assert(!str_empty(c->ns) && !str_empty(c->context));
    assert((c->client_cert_pem != NULL || c->client_cert_file != NULL) ==
           (c->client_key_pem != NULL || c->client_key_file != NULL));
    assert(c->exec == NULL || (c->token == NULL && c->username == NULL));
    assert(c->ca_file == NULL || c->ca_file[0] == '/');
    k8s_config_free(c);
    return 0;
}
