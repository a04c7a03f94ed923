/* An answer of IAM, STS or EC2: any bytes to JSON or an error, and what came out merges with itself. */
#include <stddef.h>
#include <stdint.h>

#include "platform/aws/pages.h"
#include "platform/aws/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char root[128];
    struct error err;
    json *j = xml_to_json((const char *)data, size, root, &err);
    if (json_is_object(j)) {
        json *page = json_dup(j);
        pages_merge(j, page);
        pages_drop_marks(j);
        json_free(page);
    }
    json_free(j);
    return 0;
}
