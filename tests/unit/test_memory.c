/* test_memory.c - arena, buffer, map, secret, errors, randomness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/base/arena.h"
#include "platform/base/buf.h"
#include "platform/base/error.h"
#include "platform/base/random.h"
#include "platform/base/secret.h"
#include "platform/base/strmap.h"

/* Runs f in a child; true when it ended by abort(). */
static bool dies(void (*f)(void)) {
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)freopen("/dev/null", "w", stderr);
        f();
        _exit(0);
    }
    assert_true(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void arena_beyond_max(void) {
    (void)arena_alloc(arena_new(0), ARENA_MAX + 1);
}

static void arena_overflow(void) {
    (void)arena_array(arena_new(0), SIZE_MAX / 2, 3);
}

static void test_arena(void **state) {
    struct arena *a = arena_new(64);
    (void)state;
    for (size_t i = 1; i < 3000; i += 7) {
        unsigned char *p = arena_alloc(a, i);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(p[k], 0);
        }
        memset(p, 0xff, i);
    }
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    assert_null(arena_strdup(a, NULL));
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(a, NULL, 0), "");
    assert_true(arena_used(a) > 3000);
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    unsigned char *p = arena_alloc(a, 16);
    assert_int_equal(p[0], 0); /* zeroed although it was used before */
    assert_non_null(arena_alloc(a, (size_t)3 * 1024 * 1024));
    assert_non_null(arena_alloc(a, 0));
    arena_free(a);
    arena_free(NULL);
    assert_true(dies(arena_beyond_max));
    assert_true(dies(arena_overflow));
}

static void test_buf(void **state) {
    struct buf b;
    (void)state;
    buf_init(&b, 10);
    assert_string_equal(buf_str(&b), "");
    assert_true(buf_puts(&b, "abc") && buf_putc(&b, 'd') && buf_printf(&b, "%03d", 7));
    assert_string_equal(buf_str(&b), "abcd007");
    assert_false(buf_puts(&b, "xxxx")); /* all or none */
    assert_string_equal(buf_str(&b), "abcd007");
    assert_true(b.overflow);
    assert_false(buf_putc(&b, 'y')); /* sticky */
    buf_reset(&b);
    assert_true(buf_append(&b, "0123456789", 10));
    assert_false(buf_printf(&b, "%d", 1));
    buf_drop_front(&b, 4);
    assert_string_equal(buf_str(&b), "456789");
    buf_drop_front(&b, 99);
    assert_int_equal(b.n, 0);
    buf_done_secret(&b);
    buf_init(&b, 100000);
    buf_drop_front(&b, 1);
    for (int i = 0; i < 5000; i++) {
        assert_true(buf_puts(&b, "0123456789"));
    }
    char *taken = buf_take(&b);
    assert_int_equal(strlen(taken), 50000);
    free(taken);
    taken = buf_take(&b);
    assert_string_equal(taken, "");
    free(taken);
    assert_true(buf_append(&b, NULL, 0));
    buf_done(&b);
    buf_done_secret(&b);
}

static int freed;
static void count_free(void *value) {
    freed++;
    free(value);
}

static void test_strmap(void **state) {
    struct strmap *m = strmap_new(1000, count_free);
    char key[32];
    (void)state;
    freed = 0;
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "key-number-%d", i);
        assert_true(strmap_set(m, key, strdup(key)));
    }
    assert_false(strmap_set(m, "one more", NULL));
    assert_true(strmap_set(m, "key-number-5", strdup("new")));
    assert_int_equal(freed, 1);
    assert_string_equal(strmap_get(m, "key-number-5"), "new");
    assert_null(strmap_get(m, "absent"));
    assert_null(strmap_get(m, NULL));
    assert_int_equal(strmap_count(m), 1000);

    size_t it = 0;
    int seen = 0;
    const char *k;
    void *v;
    while (strmap_next(m, &it, &k, &v)) { /* in the order of insertion; every other one is removed on the way */
        (void)snprintf(key, sizeof key, "key-number-%d", seen);
        assert_string_equal(k, key);
        if (seen++ % 2 == 0) {
            assert_true(strmap_remove(m, key));
        }
    }
    assert_int_equal(seen, 1000);
    assert_int_equal(strmap_count(m), 500);
    assert_false(strmap_remove(m, "key-number-0"));
    void *taken = strmap_take(m, "key-number-1");
    assert_string_equal(taken, "key-number-1");
    free(taken);
    assert_null(strmap_take(m, "key-number-1"));
    assert_null(strmap_take(m, NULL));
    for (int i = 0; i < 100000; i++) { /* churn does not grow the table without end, nor lose anything */
        (void)snprintf(key, sizeof key, "churn-%d", i);
        assert_true(strmap_set(m, key, NULL));
        assert_true(strmap_remove(m, key));
    }
    assert_int_equal(strmap_count(m), 499);
    assert_string_equal(strmap_get(m, "key-number-999"), "key-number-999");
    freed = 0;
    strmap_free(m);
    assert_int_equal(freed, 499);
    strmap_free(NULL);
    m = strmap_new(2, NULL);
    assert_null(strmap_get(m, "a"));
    assert_true(strmap_set(m, "a", key));
    strmap_free(m);
}

static void test_secret(void **state) {
    (void)state;
    struct secret *s = secret_new("tok\0en", 6);
    struct secret *d = secret_dup(s);
    assert_int_equal(secret_len(d), 6);
    assert_memory_equal(secret_expose(d), "tok\0en", 7);
    assert_true(secret_equal(s, d));
    secret_free(s);
    struct secret *e = secret_new("tok", 3);
    assert_false(secret_equal(e, d) || secret_equal(e, NULL));
    assert_true(secret_equal(NULL, NULL));
    secret_free(d);
    secret_free(e);
    secret_free(NULL);
    assert_null(secret_dup(NULL));
    char *big = calloc(1, SECRET_MAX + 1);
    assert_null(secret_new(big, SECRET_MAX + 1));
    s = secret_new(big, SECRET_MAX);
    assert_non_null(s);
    secret_free(s);
    s = secret_new(NULL, 0);
    assert_int_equal(secret_len(s), 0);
    secret_free(s);
    free(big);
}

static void exit_hardened(void) {
    struct rlimit core = {1, 1};
    secret_harden_process();
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 && getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0) {
        abort(); /* what `dies` looks for */
    }
}

static void test_secret_harden_process(void **state) {
    (void)state;
    assert_true(dies(exit_hardened));
}

static void die_now(void) {
    die("as %s", "asked");
}

static void test_error(void **state) {
    struct error e;
    char longtext[2000];
    (void)state;
    memset(longtext, 'x', sizeof longtext - 1);
    longtext[sizeof longtext - 1] = '\0';
    error_clear(&e);
    e.http_status = 500;
    assert_false(error_set(&e, ERR_NOT_FOUND, "role %s\n\x1b[2J", "r"));
    assert_string_equal(e.message, "role r  [2J");
    assert_int_equal(e.http_status, 0);
    assert_false(error_wrap(&e, "reading %d", 7));
    assert_string_equal(e.message, "reading 7: role r  [2J");
    assert_int_equal(e.code, ERR_NOT_FOUND);
    (void)error_set(&e, ERR_IO, "%s", longtext);
    assert_int_equal(strlen(e.message), ERROR_MESSAGE_MAX - 1);
    assert_string_equal(e.message + ERROR_MESSAGE_MAX - 4, "...");
    (void)error_wrap(&e, "p");
    assert_true(strncmp(e.message, "p: xxx", 6) == 0);
    assert_string_equal(e.message + ERROR_MESSAGE_MAX - 4, "...");
    (void)error_wrap(&e, "%s", longtext);
    assert_string_equal(e.message + ERROR_MESSAGE_MAX - 4, "...");
    memset(longtext, '\xa9', sizeof longtext - 1); /* two-byte characters: the cut leaves none in halves */
    for (size_t i = 0; i < sizeof longtext - 1; i += 2) {
        longtext[i] = '\xc3';
    }
    longtext[sizeof longtext - 2] = '\0';
    (void)error_set(&e, ERR_IO, "%s", longtext);
    assert_string_equal(e.message + strlen(e.message) - 5, "\xc3\xa9...");
    for (int c = 0; c < ERR_CODE_COUNT; c++) {
        assert_non_null(error_name((enum err_code)c));
        assert_true(strlen(error_name((enum err_code)c)) > 0);
        assert_int_equal(error_disposition((enum err_code)c) == DISPOSITION_OK, c == ERR_NONE);
    }
    assert_string_equal(error_name(ERR_CODE_COUNT), "Unknown");
    assert_int_equal(error_disposition(ERR_CODE_COUNT), DISPOSITION_FATAL);
    assert_true(error_is_ambiguous(ERR_TIMEOUT) && error_is_ambiguous(ERR_LOST) && error_is_ambiguous(ERR_UNAVAILABLE));
    assert_false(error_is_ambiguous(ERR_UNREACHABLE) || error_is_ambiguous(ERR_THROTTLED));
    assert_true(error_is_transient(ERR_THROTTLED) && error_is_transient(ERR_CONFLICT));
    assert_false(error_is_transient(ERR_QUOTA) || error_is_transient(ERR_FORBIDDEN) ||
                 error_is_transient(ERR_INTERNAL));
    assert_true(dies(die_now));
}

static void test_random(void **state) {
    struct prng a;
    struct prng b;
    struct backoff o;
    (void)state;
    prng_seed(&a, 42);
    prng_seed(&b, 42);
    for (int i = 0; i < 1000; i++) {
        assert_true(prng_next(&a) == prng_next(&b));
        assert_true(prng_below(&a, 3) < 3 && prng_below(&b, 3) < 3);
        double u = prng_unit(&a);
        assert_true(u >= 0 && u < 1);
        (void)prng_unit(&b);
    }
    assert_int_equal(prng_below(&a, 1), 0);
    backoff_init(&o, 800, 30000);
    int64_t base = 800;
    for (int i = 0; i < 200; i++) {
        int64_t d = backoff_next_doubled_ms(&o, &a);
        assert_true(d >= base && d < 2 * base);
        base = base * 2 < 30000 ? base * 2 : 30000;
    }
    backoff_reset(&o);
    assert_true(backoff_next_doubled_ms(&o, &a) < 1600);
    backoff_init(&o, 1, INT64_MAX);
    for (int i = 0; i < 200; i++) {
        assert_true(backoff_next_full_ms(&o, &a) >= 0);
    }
    backoff_init(&o, 100, 1000);
    for (int i = 0; i < 200; i++) {
        assert_in_range(backoff_next_full_ms(&o, &a), 0, i < 4 ? 100 << i : 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena),  cmocka_unit_test(test_buf),   cmocka_unit_test(test_strmap),
        cmocka_unit_test(test_secret), cmocka_unit_test(test_error), cmocka_unit_test(test_secret_harden_process),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
