/* The simulated servers' requests: any bytes, and the answer does not hang on how they were cut into pieces. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "simulator/http_request_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_new(0);
    struct sim_http_parsed whole, piece;
    char *text = malloc(size + 1); /* its own allocation: a read beyond the end is seen */
    assert(text);
    memcpy(text, data, size);
    enum sim_http_parse r = sim_http_request_parse(text, size, a, &whole);
    if (r == SIM_HTTP_WHOLE) {
        assert(whole.used <= size && whole.request.body_len <= SIM_HTTP_BODY_MAX);
        assert(whole.request.path[0] == '/' && whole.request.body[whole.request.body_len] == '\0');
        assert(sim_http_request_parse(text, whole.used, a, &piece) == SIM_HTTP_WHOLE && piece.used == whole.used);
        assert(sim_http_request_parse(text, whole.used - 1, a, &piece) == SIM_HTTP_MORE);
    } else if (r == SIM_HTTP_BAD) {
        assert(whole.status >= 400 && whole.why);
    } else {
        assert(size < SIM_HTTP_REQUEST_MAX);
    }
    free(text);
    arena_free(a);
    return 0;
}
