/* A refusal of any AWS service: the first byte chooses the service and status, the header is the second line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/aws_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum effect_service services[] = {SERVICE_IAM, SERVICE_STS, SERVICE_EC2, SERVICE_EKS};
    static const int statuses[] = {400, 403, 404, 409, 429, 500, 503, 301};
    struct error err;
    if (size < 1) {
        return 0;
    }
    char *text = malloc(size);
    if (!text) {
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    char *body = strchr(text, '\n');
    const char *type = body ? text : NULL;
    if (body) {
        *body++ = '\0';
    } else {
        body = text;
    }
    aws_error_decode(services[data[0] & 3u], statuses[data[0] >> 2 & 7u], body, strlen(body), type, &err);
    if (err.code == ERR_NONE) {
        abort(); /* a refusal is never a success */
    }
    free(text);
    return 0;
}
