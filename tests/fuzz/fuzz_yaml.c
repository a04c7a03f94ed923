/* fuzz_yaml.c - any bytes: refused with a message, or JSON that is within the bounds and parses again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/k8s/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    json *j = yaml_parse_all((const char *)data, size, &err);
    if (j == NULL) {
        assert((err.code == ERR_PARSE || err.code == ERR_TOO_LARGE) && err.message[0] != '\0');
        return 0;
    }
    assert(json_is_array(j) && json_array_size(j) <= YAML_DOCUMENTS_MAX);
    char *text = json_print(j);
    assert(strlen(text) <= 6 * YAML_JSON_MAX);
    json *again = json_parse(text, strlen(text), &err);
    assert(again != NULL && json_equal(j, again));
    json_free(again);
    free(text);
    json_free(j);
    return 0;
}
