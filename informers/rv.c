#include "informers/rv.h"

#include <string.h>

#include "platform/base/str.h"

bool rv_valid(const char *rv) {
    if (str_empty(rv) || rv[0] == '0') {
        return false;
    }
    size_t n = strspn(rv, "0123456789");
    return n < RV_MAX && rv[n] == '\0';
}

bool rv_older(const char *a, const char *b) {
    if (!rv_valid(a) || !rv_valid(b)) {
        return false;
    }
    size_t n = strlen(a);
    size_t m = strlen(b);
    return n != m ? n < m : strcmp(a, b) < 0;
}

bool rv_reached(const char *at, const char *goal) {
    return str_eq(at, goal) || rv_older(goal, at);
}

void rv_advance(char at[RV_MAX], const char *rv) {
    if (str_empty(rv) || strlen(rv) >= RV_MAX) {
        return;
    }
    if (!rv_valid(at) || rv_older(at, rv)) {
        (void)str_copy(at, RV_MAX, rv);
    }
}
