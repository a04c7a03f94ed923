/*
 * strmap.h - a map from strings to pointers: open addressing, insertion-ordered iteration.
 *
 * Ownership: keys are copied; values are the caller's (strmap_free calls free_value for each when given).
 * Errors: strmap_set returns false beyond max entries; memory exhausted ends the process.
 */
#ifndef CNI_IAM_BASE_STRMAP_H
#define CNI_IAM_BASE_STRMAP_H

#include <stdbool.h>
#include <stddef.h>

struct strmap;
struct strmap *strmap_new(size_t max_entries, void (*free_value)(void *value));
void strmap_free(struct strmap *m);
void *strmap_get(const struct strmap *m, const char *key);
bool strmap_set(struct strmap *m, const char *key, void *value); /* replaces: the old value is freed */
void *strmap_take(struct strmap *m, const char *key); /* removes and returns without freeing; NULL if absent */
bool strmap_remove(struct strmap *m, const char *key);
size_t strmap_count(const struct strmap *m);
/* size_t it = 0; while (strmap_next(m, &it, &key, &value)) ...; removal of the current entry meanwhile is allowed. */
bool strmap_next(const struct strmap *m, size_t *it, const char **key, void **value);

#endif
