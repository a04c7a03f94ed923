/*
 * scenario_tree.h - a YAML document with places: tables of keys, and readers that say what they expected where.
 *
 * Model: libyaml's document; a reader looks at one node and writes one value. A table says for every key of a mapping
 * which reader reads it into which member of the struct.
 *
 * Ownership: texts are copied into the arena.   Errors: ERR_PARSE with "FILE:LINE:COLUMN: expected …"; the first one stays.
 * Bounds: those of the caller, in tree.nodes_left and depth_max.
 */
#ifndef CNI_IAM_BENCH_SCENARIO_TREE_H
#define CNI_IAM_BENCH_SCENARIO_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yaml.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/base/json.h"

struct tree {
    yaml_document_t document;
    const char *file;
    struct arena *arena;
    struct error *err;
    int nodes_left, depth_left;
};

struct tree_key {
    const char *name;
    bool (*read)(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out);
    size_t offset; /* of the member that `read` gets */
    int64_t min, max;
    const char *const *words; /* tree_word: the index of the word, as int */
    bool required;
};
#define TREE_KEYS(keys) (keys), sizeof(keys) / sizeof *(keys)

bool tree_load(struct tree *t, const char *text, size_t n); /* then tree_done, whatever it said */
void tree_done(struct tree *t);
yaml_node_t *tree_root(struct tree *t);
bool tree_bad(struct tree *t, const yaml_node_t *node, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int tree_line(const yaml_node_t *node);

bool tree_mapping(struct tree *t, yaml_node_t *node, const struct tree_key *keys, size_t n, void *out);
/* Calls read for each item; max: more are an error. */
bool tree_list(struct tree *t, yaml_node_t *node, size_t max,
               bool (*read)(struct tree *t, yaml_node_t *item, void *out), void *out);
/* Calls read for each key and value; keys are scalars, none comes twice. */
bool tree_pairs(struct tree *t, yaml_node_t *node,
                bool (*read)(struct tree *t, yaml_node_t *key, yaml_node_t *value, void *out), void *out);
const char *tree_scalar(const yaml_node_t *node);   /* NULL: it is none */
json *tree_json(struct tree *t, yaml_node_t *node); /* NULL: error */

/* Readers for tables. */
bool tree_text(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out);     /* const char * */
bool tree_number(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out);   /* int, min to max */
bool tree_duration(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out); /* int64_t ms, min to max */
bool tree_bool(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out);     /* bool */
bool tree_word(struct tree *t, const struct tree_key *k, yaml_node_t *node, void *out);     /* int */

#endif
