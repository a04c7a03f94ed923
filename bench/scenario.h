/*
 * scenario.h - a scenario file: a world, a binding, who does what, and how it ends.
 *
 * Model: one YAML document (CONTRIBUTING.md shows one). `about` and `sources` are for people; `world` says what is not as
 * usual; `spec` is the binding's, handed on as JSON; `steps` and `expect` are story.h's. Nothing is guessed: an unknown
 * key, a key twice, another type, a value out of bounds, an actor or verb that there is not, an argument that a verb does
 * not take or misses are errors, and nothing is half-loaded.
 *
 * Ownership: scenario_parse/_free; everything is the scenario's.
 * Errors: ERR_PARSE, ERR_TOO_LARGE: "FILE:LINE:COLUMN: expected …".
 * Bounds: SCENARIO_TEXT_MAX bytes, SCENARIO_NODES_MAX values, SCENARIO_DEPTH_MAX levels, story.h's.
 */
#ifndef CNI_IAM_BENCH_SCENARIO_H
#define CNI_IAM_BENCH_SCENARIO_H

#include "bench/run.h"
#include "bench/story.h"
#include "platform/base/arena.h"
#include "platform/base/error.h"

#define SCENARIO_TEXT_MAX ((size_t)64 * 1024)
#define SCENARIO_NODES_MAX 2000
#define SCENARIO_DEPTH_MAX 32

struct scenario {
    struct arena *arena;
    const char *about;
    bool swept; /* faults and random swarms try it too */
    struct story story;
    struct bench_options options; /* .scenario is its name, .story its story */
};

/* file: for messages. NULL on error. */
struct scenario *scenario_parse(const char *name, const char *file, const char *text, size_t n, struct error *err);
void scenario_free(struct scenario *s);

#endif
