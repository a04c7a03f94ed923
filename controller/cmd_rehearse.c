/* cmd_rehearse.c - cni-iam rehearse: the migration in a copy of cluster and account, in memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "controller/binding_file.h"
#include "controller/commands.h"
#include "controller/rehearsal_report.h"
#include "controller/snapshot_take.h"

#define GOES_WRONG 2 /* as of plan: there is something to look at */

static bool take_live(const struct options *o, const json *binding, struct buf *text, struct error *err) {
    struct connection c;
    struct snapshot_request r = {.options = o, .binding = binding};
    sigset_t mask; /* a loop blocks the signals that it reads; after it nobody would */
    sigprocmask(SIG_BLOCK, NULL, &mask);
    bool good = connection_open(&c, &(struct connection_options){.options = o, .component = "rehearse"}, err);
    if (good) {
        good = snapshot_take_text(&c, &r, text, err);
        connection_close(&c);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return good;
}

static struct snapshot *load(const struct options *o, const json *binding, struct error *err) {
    struct buf text;
    buf_init(&text, SNAPSHOT_TEXT_MAX);
    bool from_file = !str_empty(o->snapshot);
    bool good = from_file ? file_read(o->snapshot, &text, err) : take_live(o, binding, &text, err);
    struct snapshot *s =
        good ? snapshot_parse(from_file ? o->snapshot : "the snapshot", buf_str(&text), text.n, err) : NULL;
    buf_done(&text);
    return s;
}

static void print(const struct options *o, const json *tree) {
    struct buf out;
    buf_init(&out, SNAPSHOT_TEXT_MAX);
    if (str_eq(o->output, "json"))
        snapshot_print(tree, &out);
    else
        report_text(tree, &out);
    fputs(buf_str(&out), stdout);
    buf_done(&out);
}

static json *rehearse(const struct options *o, struct error *err) {
    json *binding = str_empty(o->file) ? NULL : binding_file_read(o->file, err);
    struct snapshot *s = err->code ? NULL : load(o, binding, err);
    struct rehearsal_request r = {.options = o, .snapshot = s, .binding = binding};
    json *tree = s ? rehearsal_run(&r, err) : NULL;
    snapshot_free(s);
    json_free(binding);
    return tree;
}

int command_rehearse(const struct options *o) {
    struct error err;
    error_clear(&err);
    if (!str_empty(o->output) && !str_eq(o->output, "json") && !str_eq(o->output, "text")) {
        fprintf(stderr, "cni-iam rehearse: -o %s: write json or text\n", o->output);
        return 1;
    }
    json *tree = rehearse(o, &err);
    if (!tree) {
        fprintf(stderr, "cni-iam rehearse: %s\n", err.message);
        return 1;
    }
    print(o, tree);
    int status = json_bool(tree, "converges", false) ? 0 : GOES_WRONG;
    json_free(tree);
    return status;
}
