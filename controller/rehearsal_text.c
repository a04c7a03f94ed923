/* rehearsal_text.c - the report for people. */
#include <string.h>

#include "controller/rehearsal_report.h"

#define VALUE_SHOWN_MAX 100 /* bytes of a parameter; of a longer one its size is told */

static void put_time(int64_t ms, struct buf *out) {
    buf_printf(out, "%3lld:%02lld:%02lld", (long long)(ms / 3600000), (long long)(ms / 60000 % 60),
               (long long)(ms / 1000 % 60));
}

static void put_list(const char *title, const json *list, struct buf *out) {
    if (json_array_size(list) == 0)
        return;
    buf_printf(out, "%s\n", title);
    for (const json *it = json_first(list); it; it = it->next)
        buf_printf(out, "  - %s\n", it->valuestring);
    buf_putc(out, '\n');
}

static void put_parameters(const json *parameters, struct buf *out) {
    for (const json *it = json_first(parameters); it; it = it->next) {
        size_t n = strlen(it->valuestring);
        if (strncmp(it->string, "Tags.", 5) == 0)
            continue;
        if (n > VALUE_SHOWN_MAX)
            buf_printf(out, " %s=(%zu bytes)", it->string, n);
        else
            buf_printf(out, " %s=%s", it->string, it->valuestring);
    }
}

static void put_step(const json *step, struct buf *out) {
    put_time(json_int64_or(step, "atMs", 0), out);
    buf_printf(out, "  %-2s  %-10s  %s", str_or(json_str(step, "gate"), ""), str_or(json_str(step, "api"), ""),
               str_or(json_str(step, "call"), ""));
    put_parameters(json_get(step, "parameters"), out);
    buf_putc(out, '\n');
}

static void put_approval(const json *approval, struct buf *out) {
    put_time(json_int64_or(approval, "atMs", 0), out);
    buf_printf(
        out, "  G7  %s\n",
        json_bool(approval, "given", false)
            ? "approval    waits for `cni-iam approve`; approved here, in the rehearsal alone, to see what follows"
            : "approval    waits for `cni-iam approve`; the rehearsal ends here");
}

static void put_steps(const json *tree, struct buf *out) {
    const json *approval = json_get(tree, "approval");
    buf_puts(out, "Steps, in this order:\n");
    for (const json *it = json_first(json_array(tree, "steps")); it; it = it->next) {
        if (approval && json_int64_or(it, "atMs", 0) >= json_int64_or(approval, "atMs", 0)) {
            put_approval(approval, out);
            approval = NULL;
        }
        put_step(it, out);
    }
    if (approval)
        put_approval(approval, out);
    if (!json_first(json_array(tree, "steps")))
        buf_puts(out, "  none\n");
    buf_printf(out, "  and %lld writes of the binding itself\n\n", (long long)json_int64_or(tree, "bindingWrites", 0));
}

static void put_gates(const json *tree, struct buf *out) {
    buf_puts(out, "Gates:\n");
    for (const json *it = json_first(json_array(tree, "gates")); it; it = it->next) {
        int64_t took = json_int64_or(it, "tookMs", -1);
        buf_printf(out, "  %s %-18s %-13s", str_or(json_str(it, "name"), ""), str_or(json_str(it, "condition"), ""),
                   str_or(json_str(it, "state"), ""));
        if (took >= 0) {
            buf_puts(out, " after");
            put_time(took, out);
        }
        buf_printf(out, "  %s\n", str_or(json_str(it, "evidence"), ""));
    }
    buf_puts(out, "Each duration is from when the gate before had passed.\n\n");
}

static void put_names(const char *what, const json *list, struct buf *out) {
    buf_printf(out, "    %s: %s", what, json_first(list) ? "" : "none");
    for (const json *it = json_first(list); it; it = it->next)
        buf_printf(out, "%s%s", it == json_first(list) ? "" : ", ", it->valuestring);
    buf_putc(out, '\n');
}

static void put_node_roles(const json *tree, struct buf *out) {
    buf_puts(out, "Who depends on each node role:\n");
    for (const json *it = json_first(json_array(tree, "nodeRoles")); it; it = it->next) {
        buf_printf(out, "  %s\n", str_or(json_str(it, "arn"), "?"));
        put_names("nodes of the cluster", json_get(it, "nodes"), out);
        put_names("others on it", json_get(it, "others"), out);
        for (const json *d = json_first(json_get(it, "detaches")); d; d = d->next)
            buf_printf(out, "    loses %s\n", d->valuestring);
        for (const json *f = json_first(json_get(it, "findings")); f; f = f->next)
            buf_printf(out, "    note: %s\n", f->valuestring);
    }
    buf_putc(out, '\n');
}

void report_text(const json *tree, struct buf *out) {
    buf_printf(out,
               "Rehearsal of CniIamBinding %s, from the cluster and the account as of %s. Nothing was changed.\n\n",
               str_or(json_str(tree, "binding"), "?"), str_or(json_str(tree, "takenAt"), "?"));
    put_list("Assumed:", json_get(tree, "assumptions"), out);
    put_steps(tree, out);
    put_gates(tree, out);
    put_node_roles(tree, out);
    put_list("What would go wrong:", json_get(tree, "problems"), out);
    buf_puts(out, json_bool(tree, "converges", false) ? "It would get there; the last write after"
                                                      : "It would not get there; the last write after");
    put_time(json_int64_or(tree, "tookMs", 0), out);
    buf_puts(out, ".\n");
}
