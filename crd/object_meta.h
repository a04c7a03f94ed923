/*
 * object_meta.h - what every decoder of this folder shares: identity, labels, instants, field managers.
 *
 * Ownership: strings are copied into the arena that is given.   Errors: ERR_PARSE naming the missing part of an object's identity.
 */
#ifndef CNI_IAM_CRD_OBJECT_META_H
#define CNI_IAM_CRD_OBJECT_META_H

#include "crd/views.h"

/* metadata of any object; false when name, uid or resourceVersion is missing: such a thing cannot be told apart (S8). */
bool object_meta_decode(const json *object, struct object_meta *out, struct arena *a, struct error *err);
const char *object_label(const json *object, const char *key);      /* borrowed; NULL: absent */
const char *object_annotation(const json *object, const char *key); /* borrowed; NULL: absent */
int64_t json_instant_ms(const json *j, const char *path);           /* RFC 3339; 0: absent or unreadable */
int64_t json_deletion_ms(const json *object);    /* 0: not being deleted; unreadable: 1, it is being deleted */
int json_count(const json *j, const char *path); /* absent, negative or absurd: 0 (DaemonSet counters) */

/* Names of the field managers whose fieldsV1 holds all `steps` one below the other, e.g. "f:metadata", "f:annotations", "f:x". */
struct strlist field_managers(const json *object, const char *const *steps, size_t nsteps, struct arena *a);
/* When one of them last changed what it has, by the API server's clock; 0: not known. */
int64_t field_set_ms(const json *object, const char *const *steps, size_t nsteps);

#endif
