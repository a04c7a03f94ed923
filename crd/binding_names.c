/* binding_names.c - the words of the API for our enumerations: the one place that both directions use. */
#include "crd/binding_names.h"

#include "platform/base/error.h"

const struct cib_words cib_modes = {3, {"Enforce", "Plan", "Observe"}};
const struct cib_words cib_identities = {3, {"IRSA", "NodeRole", "PodIdentity"}};
const struct cib_words cib_managements = {3, {"Manage", "Adopt", "Reference"}};
const struct cib_words cib_ip_families = {3, {"Auto", "IPv4", "IPv6"}};
const struct cib_words cib_detaches = {3, {"OnApproval", "Never", "Automatic"}};
const struct cib_words cib_deletions = {2, {"Restore", "Retain"}};
const struct cib_words cib_gate_states = {5, {"Pending", "Waiting", "Passed", "Failed", "NotApplicable"}};
const struct cib_words cib_condition_statuses = {3, {"True", "False", "Unknown"}};

const char *const cib_gate_ids[CIB_GATES] = {"G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"};

const char *cib_word(const struct cib_words *words, unsigned value) {
    if (value >= words->n) {
        die("no word for value %u of an enumeration that starts with %s", value, words->word[0]);
    }
    return words->word[value];
}

bool cib_word_find(const struct cib_words *words, const char *text, unsigned *value) {
    for (unsigned i = 0; i < words->n; i++) {
        if (str_eq(words->word[i], text)) {
            *value = i;
            return true;
        }
    }
    return false;
}

const char *cib_mode_name(enum cib_mode m) {
    return cib_word(&cib_modes, (unsigned)m);
}

const char *cib_identity_name(enum cib_identity i) {
    return cib_word(&cib_identities, (unsigned)i);
}

const char *cib_detach_name(enum cib_detach d) {
    return cib_word(&cib_detaches, (unsigned)d);
}

const char *cib_gate_state_name(enum cib_gate_state s) {
    return cib_word(&cib_gate_states, (unsigned)s);
}
