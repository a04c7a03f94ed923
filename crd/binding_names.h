/*
 * binding_names.h - words of the API for enum values. word[v] is the word of value v, in the order of the enum in binding.h.
 *
 * Ownership: static.   Errors: cib_word ends the process for a value outside its enum; cib_word_find returns false for foreign text.
 */
#ifndef CNI_IAM_CRD_BINDING_NAMES_H
#define CNI_IAM_CRD_BINDING_NAMES_H

#include "crd/binding.h"

#define CIB_WORDS_MAX 5

struct cib_words {
    unsigned n;
    const char *word[CIB_WORDS_MAX];
};

extern const struct cib_words cib_modes, cib_identities, cib_managements, cib_ip_families, cib_detaches, cib_deletions,
    cib_gate_states, cib_condition_statuses;

extern const char *const cib_gate_ids[CIB_GATES]; /* gates[i] is this one, whatever its name says */

const char *cib_word(const struct cib_words *words, unsigned value);
bool cib_word_find(const struct cib_words *words, const char *text, unsigned *value);

#endif
