/* fuzz_sim_kube_protobuf.c - any bytes as a body in protobuf: an error that says why, or a tree that is JSON. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "simulator/kube_protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    struct error none = {0};
    json *j = kube_protobuf_read((const char *)data, size, &err);
    if (j == NULL) {
        assert(err.code == ERR_PARSE || err.code == ERR_UNSUPPORTED);
        assert(err.message[0] != '\0');
        return 0;
    }
    assert(err.code == ERR_NONE && !str_empty(json_str(j, "kind")));
    char *text = json_print(j);
    json *again = json_parse(text, strlen(text), &none);
    assert(again != NULL && json_equal(j, again));
    json_free(again);
    free(text);
    json_free(j);
    return 0;
}
