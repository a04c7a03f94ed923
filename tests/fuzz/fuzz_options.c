/* fuzz_options.c - the command line and the environment: any bytes give options or a sentence, never both or neither. */
#include <assert.h>
#include <string.h>

#include "controller/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *variable, *variable_value;

static const char *env(const char *name) {
    return str_eq(name, variable) ? variable_value : NULL;
}

/* First byte: the subcommand. Then words that end in a NUL: a variable, its value, the arguments. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum command commands[] = {COMMAND_CONTROLLER, COMMAND_PLAN, COMMAND_APPROVE, COMMAND_SNAPSHOT,
                                            COMMAND_REHEARSE};
    const char *argv[32];
    struct options o;
    struct error err = {0};
    int argc = 0;
    if (size < 1)
        return 0;
    struct arena *a = arena_new(0);
    char *text = arena_alloc(a, size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    for (size_t at = 0; at < size && argc < 32; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    variable = argc > 1 ? argv[0] : NULL;
    variable_value = argc > 1 ? argv[1] : NULL;
    int skip = argc > 1 ? 2 : 0;
    if (options_parse(argc - skip, argv + skip, commands[data[0] % 5], env, a, &o, &err)) {
        assert(err.code == ERR_NONE);
        assert(o.help || (o.lease_duration_ms > o.renew_deadline_ms && o.retry_period_ms > 0));
        assert(o.help || (o.role_path && o.role_path[0] == '/'));
    } else {
        assert(err.code == ERR_INVALID && err.message[0]);
    }
    arena_free(a);
    return 0;
}
