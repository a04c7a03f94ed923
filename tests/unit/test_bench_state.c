/* The state file of a run: what its disk does, and what the store makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>

#include "bench/state.h"

static struct bench_state *state;
static struct store store;

static int setup(void **unused) {
    (void)unused;
    state = bench_state_new(0);
    bench_state_open(state);
    store = bench_state_port(state);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    bench_state_free(state);
    return 0;
}

static int64_t intend(const char *digest) {
    return store.intent_open(
        store.ctx,
        &(struct store_intent){.digest = digest, .description = "d", .binding_uid = "u", .epoch = 1, .wall_ms = 1});
}

static void count(void *arg, int64_t id, const struct store_intent *intent) {
    (void)id, (void)intent;
    ++*(int *)arg;
}

static int intents(void) {
    int n = 0;
    store.intent_each_open(store.ctx, count, &n);
    return n;
}

static void a_full_disk_is_read_and_not_written(void **unused) {
    (void)unused;
    assert_true(intend("a") > 0);
    bench_state_disk(state, DISK_FULL);
    assert_int_equal(intend("b"), 0);
    assert_true(store.errors(store.ctx) > 0);
    assert_int_equal(intents(), 1);
    bench_state_disk(state, DISK_GOOD);
    assert_true(intend("b") > 0);
    assert_int_equal(intents(), 2);
}

static void what_is_not_written_is_off_until_it_is_mended(void **unused) {
    static const enum disk_state bad[] = {DISK_BROKEN, DISK_READ_ONLY};
    (void)unused;
    assert_true(intend("a") > 0);
    for (int i = 0; i < 2; i++) {
        bench_state_disk(state, bad[i]);
        assert_int_equal(intend("b"), 0);
        assert_int_equal(intents(), 0); /* OFF */
        bench_state_close(state);
        bench_state_open(state);
        assert_int_equal(intend("b"), 0);
        bench_state_disk(state, DISK_GOOD);
        assert_int_equal(intents(), 1);
    }
}

static void nonsense_is_set_aside(void **unused) {
    (void)unused;
    assert_true(intend("a") > 0);
    bench_state_close(state);
    bench_state_spoil(state);
    bench_state_open(state);
    assert_true(store.errors(store.ctx) > 0);
    assert_int_equal(intents(), 0);
    assert_true(intend("b") > 0);
}

static void a_disk_is_of_one_replica(void **unused) {
    struct bench_state *other = bench_state_new(1);
    (void)unused;
    bench_state_open(other);
    bench_state_disk(other, DISK_BROKEN);
    assert_true(intend("a") > 0);
    bench_state_disk(other, DISK_GOOD);
    bench_state_free(other);
}

#define WITH_STATE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_STATE(a_full_disk_is_read_and_not_written),
        WITH_STATE(what_is_not_written_is_off_until_it_is_mended),
        WITH_STATE(nonsense_is_set_aside),
        WITH_STATE(a_disk_is_of_one_replica),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
