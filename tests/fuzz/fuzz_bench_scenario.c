/* fuzz_bench_scenario.c - any bytes as a scenario file: a whole scenario, or a message that says where and what. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "bench/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error err;
    struct scenario *s = scenario_parse("fuzz", "fuzz.yaml", (const char *)data, size, &err);
    if (s) {
        assert(s->about && s->options.spec && s->options.story == &s->story && s->options.nodes >= 1);
        assert(s->story.nsteps <= STORY_STEPS_MAX && s->story.facts.n <= STORY_FACTS_MAX &&
               s->story.afterwards.n <= STORY_FACTS_MAX);
        for (size_t i = 0; i < s->story.nsteps; i++)
            assert(s->story.steps[i].verb);
    } else {
        assert(err.code != ERR_NONE && strncmp(err.message, "fuzz.yaml:", 10) == 0);
    }
    scenario_free(s);
    return 0;
}
