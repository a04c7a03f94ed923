/*
 * teller.h - acts out a story (story.h) in a running world and looks how it ended.
 *
 * Model: asked between any two events of the world; it does the steps whose moment has come, excuses what they break, and
 * knows what the account would be without the operator. Where a fault refuses the repair of what was broken, the operator has
 * its last resort and as long as that takes (G8); and where its guard fired under such a fault, a person approves again.
 *
 * Ownership: teller_new/_free (before the world and the checker).
 * Errors: false, and teller_failure says what was not as told.   Bounds: story.h's.
 */
#ifndef CNI_IAM_BENCH_TELLER_H
#define CNI_IAM_BENCH_TELLER_H

#include "bench/story.h"
#include "simulator/checker.h"

#define TELLER_FAILURE_MAX 400

struct teller_options {
    const struct story *story; /* NULL: one without steps, that ends migrated */
    struct sim_world *world;
    int64_t (*now_ms)(void);
    int64_t enforcement_lag_ms;
    bool trace;
};
struct teller;
struct teller *teller_new(const struct teller_options *o);
void teller_free(struct teller *t);
const struct story *teller_story(const struct teller *t);
const char *teller_failure(const struct teller *t); /* "": none */

/* The steps of the start; false: there are none. */
bool teller_start(struct teller *t, void (*settle)(int64_t ms));
void teller_begin(struct teller *t, struct sim_checker *checker); /* from now on the operator may do something */
bool teller_look(struct teller *t);                               /* false: failed */
bool teller_is_done(const struct teller *t); /* all steps before the deletion, and nothing excused */
bool teller_is_deleted_done(const struct teller *t);
bool teller_has_ended(const struct teller *t); /* the world is as the story says that it ends */
void teller_delete(struct teller *t);          /* the binding's deletion was asked for */

void teller_check_end(struct teller *t);
void teller_check_deletion(struct teller *t);

#endif
