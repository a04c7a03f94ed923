/* snapshot_internal.h - the table of what may be in a snapshot. Private to simulator/snapshot*.c. */
#ifndef CNI_IAM_SIMULATOR_SNAPSHOT_INTERNAL_H
#define CNI_IAM_SIMULATOR_SNAPSHOT_INTERNAL_H

#include "simulator/snapshot.h"

enum shape_type {
    SHAPE_TEXT,
    SHAPE_NUMBER,
    SHAPE_SWITCH,
    SHAPE_COUNT,     /* a number, or a text such as "10%" */
    SHAPE_OBJECT,    /* of the members */
    SHAPE_LIST,      /* of such objects */
    SHAPE_TEXTS,     /* list of texts */
    SHAPE_MAP,       /* key -> text; only the named keys are copied, "x*" names all that begin so */
    SHAPE_VARIABLES, /* environment of a container: names, and the values of the named ones */
    SHAPE_TREE       /* any object: policy documents, and what a schema of ours has pruned already */
};

struct shape {
    const char *key; /* NULL ends a table */
    enum shape_type type;
    bool required;
    const struct shape *members; /* of SHAPE_OBJECT and SHAPE_LIST */
    const char *const *keys;     /* of SHAPE_MAP and SHAPE_VARIABLES; ends with NULL; NULL: all */
};

extern const struct shape snapshot_shape[];

#endif
