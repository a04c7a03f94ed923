/* A shared config file of the AWS SDKs. */
#include <stddef.h>
#include <stdint.h>

#include "platform/aws/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    struct error err;
    const struct ini *ini = ini_parse((const char *)data, size, a, &err);
    (void)ini_get(ini, "default", "region");
    (void)ini_get_nested(ini, "services x", "iam", "endpoint_url");
    ini_forget(ini, "aws_secret_access_key");
    arena_free(a);
    return 0;
}
