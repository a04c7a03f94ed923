/*
 * scenario_set.h - all scenarios of a folder, by name.
 *
 * Model: NAME.yaml is scenario NAME; files of other kinds are left alone. The order is that of the names.
 * Ownership: process-wide; loaded once, lives as long as the process.
 * Errors: scenario.h's; ERR_IO. One bad file, and nothing is loaded.   Bounds: SCENARIO_SET_MAX files.
 */
#ifndef CNI_IAM_BENCH_SCENARIO_SET_H
#define CNI_IAM_BENCH_SCENARIO_SET_H

#include "bench/scenario.h"

#define SCENARIO_SET_MAX 256

bool scenario_set_load(const char *directory, struct error *err);
size_t scenario_set_size(void);
const struct scenario *scenario_set_at(size_t i);
const struct scenario *scenario_set_find(const char *name); /* NULL: there is none */
void scenario_set_free(void);

#endif
