/* credentials_process.c - credential_process: a helper program prints credentials. */
#include <string.h>

#include "platform/aws/credentials_internal.h"

static void on_process(void *arg, const char *out, size_t n, const struct error *err) {
    struct credentials *c = arg;
    struct error parse;
    struct found f = {0};
    c->process = NULL;
    if (err->code) {
        provider_failed(c, "credential_process", err->message);
        return;
    }
    json *j = json_parse(out, n, &parse);
    bool right_version = json_int64_or(j, "Version", 0) == 1;
    bool ok = j && right_version && found_from_json(j, "SessionToken", &f, &parse);
    if (j && !right_version) {
        (void)error_set(&parse, ERR_PARSE, "its output has not \"Version\": 1");
    }
    aws_wipe_json(j);
    json_free(j);
    if (ok) {
        provider_base(c, &f);
    } else {
        provider_failed(c, "credential_process", parse.message);
    }
}

/* One word: quotes and backslash as a POSIX shell reads them. NULL: a quote is not closed. */
static const char *take_word(const char **at, struct arena *a) {
    const char *s = *at;
    char *word = arena_alloc(a, strlen(s) + 1), *w = word, quote = 0;
    for (; *s && (quote || (*s != ' ' && *s != '\t')); s++) {
        if (quote && *s == quote) {
            quote = 0;
        } else if (!quote && (*s == '"' || *s == '\'')) {
            quote = *s;
        } else if (*s == '\\' && quote != '\'' && s[1]) {
            *w++ = *++s;
        } else {
            *w++ = *s;
        }
    }
    *at = s;
    return quote ? NULL : word;
}

/* No shell is started. NULL: nothing in it, an open quote, or too many words. */
static const char *const *split_words(const char *s, struct arena *a) {
    enum { WORDS_MAX = 64 };
    const char **argv = ARENA_ARRAY(a, WORDS_MAX + 1, const char *);
    size_t n = 0;
    for (s += strspn(s, " \t"); *s; s += strspn(s, " \t")) {
        const char *word = take_word(&s, a);
        if (!word || n == WORDS_MAX) {
            return NULL;
        }
        argv[n++] = word;
    }
    return n ? argv : NULL;
}

void start_process(struct credentials *c, const char *command) {
    struct error err;
    struct process_request r = {.argv = split_words(command, c->arena)};
    if (!r.argv) {
        provider_failed(c, "credential_process", "a quote is not closed, or it has over 64 words");
        return;
    }
    c->process = process_start(c->t->loop, &r, on_process, c, &err);
    if (!c->process) {
        provider_failed(c, "credential_process", err.message);
    }
}

enum provider_start provider_process(struct credentials *c) {
    const char *command = profile_value(c, c->t->settings->profile, "credential_process");
    if (!command) {
        return not_configured(c, "credential_process", "none");
    }
    start_process(c, command);
    return STARTED;
}
