/* fuzz_status_error.c - any HTTP status and body: always an error value, whose text is bounded and free of control
 * bytes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/k8s/status_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) {
        return 0;
    }
    struct status_request shape = {.is_create = (data[2] & 1) != 0, .is_json_patch = (data[2] & 2) != 0};
    struct error err = {0};
    int status = 300 + (data[0] * 256 + data[1]) % 300;
    status_error(status, (const char *)data + 3, size - 3, 0, &shape, &err);
    assert(err.code != ERR_NONE && err.http_status == status && err.retry_after_ms >= 0);
    for (const char *p = err.message; *p != '\0'; p++) {
        assert((unsigned char)*p >= 0x20);
    }
    json *j = json_parse((const char *)data + 3, size - 3, &err);
    status_object_error(j, &err);
    assert(err.code != ERR_NONE);
    json_free(j);
    return 0;
}
