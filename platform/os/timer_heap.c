#include "platform/os/timer_heap.h"

#include <assert.h>
#include <stdlib.h>

#include "platform/base/error.h"

#define FIRST_CAP 64

static bool earlier(const struct timer *a, const struct timer *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->ticket < b->ticket;
}

static void swap(struct timer_heap *h, size_t i, size_t j) {
    struct timer t = h->v[i];
    h->v[i] = h->v[j];
    h->v[j] = t;
}

static void sift_up(struct timer_heap *h, size_t i) {
    while (i > 0 && earlier(&h->v[i], &h->v[(i - 1) / 2])) {
        swap(h, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void sift_down(struct timer_heap *h, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++) {
            if (earlier(&h->v[child], &h->v[least])) {
                least = child;
            }
        }
        if (least == i) {
            return;
        }
        swap(h, i, least);
        i = least;
    }
}

static void drop(struct timer_heap *h, size_t i) {
    h->v[i] = h->v[--h->n];
    if (i < h->n) {
        sift_up(h, i);
        sift_down(h, i);
    }
}

void timer_heap_done(struct timer_heap *h) {
    free(h->v);
    *h = (struct timer_heap){0};
}

uint64_t timer_heap_add(struct timer_heap *h, int64_t at_ms, timer_fn fire, void *arg) {
    if (h->n >= TIMER_HEAP_MAX) {
        die("more than %zu timers", TIMER_HEAP_MAX);
    }
    if (h->n == h->cap) {
        h->cap = h->cap != 0 ? h->cap * 2 : FIRST_CAP;
        h->v = realloc(h->v, h->cap * sizeof *h->v);
        if (h->v == NULL) {
            die("out of memory");
        }
    }
    uint64_t ticket = ++h->last_ticket;
    h->v[h->n++] = (struct timer){.at_ms = at_ms, .ticket = ticket, .fire = fire, .arg = arg};
    sift_up(h, h->n - 1);
    return ticket;
}

bool timer_heap_remove(struct timer_heap *h, uint64_t ticket) {
    for (size_t i = 0; ticket != 0 && i < h->n; i++) {
        if (h->v[i].ticket == ticket) {
            drop(h, i);
            return true;
        }
    }
    return false;
}

const struct timer *timer_heap_first(const struct timer_heap *h) {
    return h->n > 0 ? &h->v[0] : NULL;
}

struct timer timer_heap_take(struct timer_heap *h) {
    assert(h->n > 0);
    struct timer t = h->v[0];
    drop(h, 0);
    return t;
}
