/* fuzz_snapshot.c - any bytes as a snapshot: refused with file and line, or a world that can be made, or refused whole. */
#include <assert.h>
#include <string.h>

#include "simulator/virtual/virtual_loop.h"
#include "simulator/world_load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is copied from any tree can be read back, unless a named field had another type than it should have. */
static void check_copy(const char *text, size_t size) {
    struct error err = {0};
    struct buf out;
    json *tree = json_parse(text, size, &err), *copy = snapshot_copy(tree);
    buf_init(&out, SNAPSHOT_TEXT_MAX);
    snapshot_print(copy, &out);
    json *back = out.overflow ? NULL : json_parse(buf_str(&out), out.n, &err);
    assert(out.overflow || (back && json_equal(back, copy)));
    buf_done(&out);
    json_free(back);
    json_free(copy);
    json_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err = {0};
    const char *text = (const char *)data;
    struct snapshot *s = snapshot_parse("file", text, size, &err);
    if (s == NULL) {
        assert((err.code == ERR_PARSE || err.code == ERR_TOO_LARGE) && strncmp(err.message, "file:", 5) == 0);
        return 0;
    }
    check_copy(text, size);
    virtual_loop_begin();
    struct sim_world *w =
        sim_world_load(&(struct sim_world_options){.clock = virtual_clock(), .pod_start_ms = 1000}, s, &err);
    if (w == NULL)
        assert(err.code == ERR_PARSE && strncmp(err.message, "file:", 5) == 0);
    for (int i = 0; w != NULL && i < 100; i++)
        virtual_loop_step(virtual_now_ms() + 10000);
    sim_world_free(w);
    virtual_loop_end();
    snapshot_free(s);
    return 0;
}
