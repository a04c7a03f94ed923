/*
 * story.h - what happens in a scenario besides the operator's work, and how it has to end.
 *
 * Model: steps come one after the other: a step waits for its moment, then for wait_ms, then somebody does something
 * (simulator/others.h). What they break is excused from S1 and S2 from then until every node may do its work again, which
 * has to be within repaired_within_ms, and the operator may take no policy off a node role meanwhile. With all steps done
 * and nothing excused, the world has to come to its end and stay there; then nothing is written any more (S13), the facts
 * are looked up, and the binding is deleted, with the steps and facts of after that.
 *
 * Ownership: of the scenario.   Errors: none, it is data.   Bounds: STORY_*_MAX.
 */
#ifndef CNI_IAM_BENCH_STORY_H
#define CNI_IAM_BENCH_STORY_H

#include "simulator/others.h"

#define STORY_STEPS_MAX 32
#define STORY_FACTS_MAX 32

enum story_when {
    STORY_START,     /* before there is a binding */
    STORY_APPLIED,   /* the binding is there */
    STORY_NEXT,      /* right after the step before */
    STORY_MIGRATED,  /* Ready and NodeRoleDetached */
    STORY_CONDITION, /* of that type, with that reason */
    STORY_WRITE,     /* the operator's call of that number that changes something */
    STORY_CALL,      /* the operator's next such call that contains the text: "aws CreateRole" */
    STORY_GONE,      /* there is no binding any more, before the scenario's own deletion */
    STORY_DELETING   /* the binding's deletion was asked for */
};

struct story_step {
    int line; /* of the file, for messages */
    enum story_when when;
    int write;
    const char *type, *text; /* CONDITION: type and reason; CALL: text */
    int64_t wait_ms;
    const char *who, *does;
    const struct sim_verb *verb;
    struct sim_deed_arg args[SIM_DEED_ARGS_MAX];
    size_t nargs;
    int64_t repaired_within_ms; /* 0: it breaks no pod */
};

enum story_end {
    STORY_ENDS_MIGRATED, /* every pod on the role, no policy on a node role */
    STORY_ENDS_READY,    /* Ready, and NodeRoleDetached=False with the reason */
    STORY_ENDS_STALLED,  /* Stalled with the reason */
    STORY_ENDS_WAITING,  /* Ready=False with the reason */
    STORY_ENDS_GONE      /* somebody deleted the binding, and it is gone */
};
enum story_deletion {
    STORY_DELETION_RESTORES, /* as it was before, with what others changed */
    STORY_DELETION_RETAINS,  /* the binding goes, pods and node roles stay as they are */
    STORY_DELETION_NONE      /* is not tried */
};

enum story_fact_kind {
    STORY_FACT_ROLE,       /* subject: role */
    STORY_FACT_POLICY,     /* text is attached to role subject, or an inline policy of it */
    STORY_FACT_TRUST,      /* the trust policy of role subject contains text */
    STORY_FACT_TAG,        /* role subject has tag text: KEY=VALUE */
    STORY_FACT_PROVIDER,   /* subject: URL without https:// */
    STORY_FACT_ANNOTATION, /* the ServiceAccount names the role subject; "": none */
    STORY_FACT_PODS,       /* subject: own-role or node-role; all of them, permitted and Ready */
    STORY_FACT_EVENT       /* subject: reason of an Event */
};
struct story_fact {
    int line;
    enum story_fact_kind kind;
    const char *subject, *text;
    bool is; /* false: it must not be so */
};

struct story {
    struct story_step steps[STORY_STEPS_MAX];
    size_t nsteps;
    enum story_end end;
    const char *reason;  /* NULL: any */
    const char *message; /* a part of that condition's message; NULL: any */
    enum story_deletion deletion;
    struct story_facts {
        struct story_fact v[STORY_FACTS_MAX];
        size_t n;
    } facts, afterwards; /* at the end; after the deletion */
};

#endif
