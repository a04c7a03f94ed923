/* fuzz_json.c - any bytes: refused, or a tree whose text is accepted again and equal. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    json *j = json_parse((const char *)data, size, &err);

    if (j == NULL) {
        assert(err.code == ERR_PARSE || err.code == ERR_TOO_LARGE);
        return 0;
    }
    char *text = json_print(j);
    json *again = json_parse(text, strlen(text), &err);
    assert(again != NULL);
    assert(json_equal(j, again));
    struct arena *a = arena_new(0);
    char *canonical = json_canonical(j, a);
    json *third = json_parse(canonical, strlen(canonical), &err);
    assert(third != NULL);
    assert(strcmp(json_canonical(third, a), canonical) == 0);
    int64_t v;
    (void)json_int64(j, "a.b", &v);
    (void)json_str(j, "metadata.name");
    arena_free(a);
    json_free(third);
    json_free(again);
    json_free(j);
    free(text);
    return 0;
}
