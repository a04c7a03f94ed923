/* test_bench_turns.c - runs are dealt out: each to one process, and none waits for a long one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bench/turns.h"

#define ITEMS 100

static void every_item_is_somebodys(void **state) {
    (void)state;
    struct turns begun;
    turns_begin(&begun);
    struct turns each[3] = {begun, begun, begun};
    for (int i = 0; i < ITEMS; i++) {
        int takers = 0;
        for (int p = 0; p < 3; p++)
            takers += turns_mine(&each[p]);
        assert_int_equal(takers, 1);
    }
}

/* The first has a long run: all the others are the second's, and the first finds nothing more to do. */
static void a_long_run_holds_up_nobody(void **state) {
    (void)state;
    struct turns first, second;
    int mine = 0;
    turns_begin(&first);
    second = first;
    assert_true(turns_mine(&first));
    for (int i = 0; i < ITEMS; i++)
        mine += turns_mine(&second);
    assert_int_equal(mine, ITEMS - 1);
    for (int i = 1; i < ITEMS; i++)
        assert_false(turns_mine(&first));
}

static void it_counts_across_processes(void **state) {
    (void)state;
    struct turns t;
    int status = 0, mine = 0;
    turns_begin(&t);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < ITEMS / 2; i++)
            mine += turns_mine(&t);
        _exit(mine == ITEMS / 2 ? 0 : 1);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    for (int i = 0; i < ITEMS; i++)
        mine += turns_mine(&t);
    assert_int_equal(mine, ITEMS / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_somebodys),
        cmocka_unit_test(a_long_run_holds_up_nobody),
        cmocka_unit_test(it_counts_across_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
