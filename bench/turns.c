#include "bench/turns.h"

#include <stddef.h>
#include <sys/mman.h>

#include "platform/base/error.h"

void turns_begin(struct turns *t) {
    void *page = mmap(NULL, sizeof *t->next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        die("bench: no memory to share");
    *t = (struct turns){.next = page, .taken = -1};
}

bool turns_mine(struct turns *t) {
    if (t->taken < 0)
        t->taken = atomic_fetch_add(t->next, 1);
    if (t->at++ != t->taken)
        return false;
    t->taken = -1;
    return true;
}
