/*
 * rv.h - resourceVersions: which of two is newer.
 *
 * Model: KEP-5504: a resourceVersion is a decimal number without leading zero, of any length up to 128 bits, comparable
 * within one resource type: by length, then bytewise (K-W12). Anything else is opaque: there only equality means
 * something, and nothing here calls an opaque one newer or older.
 * Ownership: nothing is kept.   Errors: none.   Bounds: RV_MAX bytes with the NUL; longer ones are no resourceVersions.
 */
#ifndef CNI_IAM_INFORMERS_RV_H
#define CNI_IAM_INFORMERS_RV_H

#include <stdbool.h>

#define RV_MAX 64

bool rv_valid(const char *rv);                     /* digits only, no leading zero, fits; false for NULL and "0" */
bool rv_older(const char *a, const char *b);       /* a < b; false unless both are valid */
bool rv_reached(const char *at, const char *goal); /* at >= goal, or equal as text */
/* Copies the newer one of *at and rv into at; an opaque rv replaces an opaque or empty *at. */
void rv_advance(char at[RV_MAX], const char *rv);

#endif
