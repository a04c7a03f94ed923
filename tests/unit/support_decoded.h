/*
 * support_decoded.h - what a text was decoded to, kept as long as the text is the same.
 *
 * Model: a slot for each object. The small world of support_world.h writes its objects as text before every pass, and mostly they are what they
 * were; decoding them again was most of what its tests did.
 * Ownership: the slot owns text and value; a value lives until the slot is asked about another text, or dropped.
 * Errors: a text that cannot be decoded ends the process: it is the test's own.
 */
#ifndef CNI_IAM_TESTS_SUPPORT_DECODED_H
#define CNI_IAM_TESTS_SUPPORT_DECODED_H

#include "crd/binding.h"
#include "crd/views.h"
#include "platform/base/json.h"

struct decoded {
    char *text;
    void *value;
    void (*free_value)(void *value);
};

const json *decoded_json(struct decoded *d, const char *text);
const struct cib_binding *decoded_binding(struct decoded *d, const char *text, const json *tree); /* tree: the text's */
const struct service_account_view *decoded_service_account(struct decoded *d, const char *text);
const struct daemon_set_view *decoded_daemon_set(struct decoded *d, const char *text);
const struct pod_view *decoded_pod(struct decoded *d, const char *text);
const struct node_view *decoded_node(struct decoded *d, const char *text);
void decoded_drop(struct decoded *d);

#endif
