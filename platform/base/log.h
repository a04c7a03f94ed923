/*
 * log.h - one line an event, to stderr: JSON (default) or text.
 *
 * Model: level, component, message, typed fields. LOG_INFO("queue", "requeued", F_STR("key", k), F_INT("after_ms", n));
 * Control bytes are escaped in both formats; no field can hold a `struct secret` (S10).
 * Ownership: borrows everything for the call.  Errors: a failed write is dropped; logging never fails the caller.
 * Bounds: LOG_LINE_MAX bytes a line (cut, valid JSON still), LOG_FIELDS_MAX fields.
 */
#ifndef CNI_IAM_BASE_LOG_H
#define CNI_IAM_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 8192
#define LOG_FIELDS_MAX 24

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };

enum log_field_type { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL };
struct log_field {
    const char *key;
    enum log_field_type type;
    const char *str;
    int64_t num;
};
#define F_STR(k, v) ((struct log_field){(k), LOG_FIELD_STR, (v), 0})
#define F_INT(k, v) ((struct log_field){(k), LOG_FIELD_INT, NULL, (int64_t)(v)})
#define F_BOOL(k, v) ((struct log_field){(k), LOG_FIELD_BOOL, NULL, (v) ? 1 : 0})

void log_configure(enum log_level min_level, enum log_format format);
bool log_level_parse(const char *s, enum log_level *out);   /* debug|info|warn|error */
bool log_format_parse(const char *s, enum log_format *out); /* json|text */
bool log_enabled(enum log_level level);
/* Replaces the sink (tests); NULL restores stderr. `line` ends in '\n'. */
void log_set_sink(void (*sink)(void *ctx, const char *line, size_t len), void *ctx);

void log_write(enum log_level level, const char *component, const char *message, const struct log_field *fields,
               size_t nfields);
/* Renders a line without writing it (fuzz, tests); returns its length. */
size_t log_render(char *out, size_t out_size, enum log_format format, int64_t wall_ms, enum log_level level,
                  const char *component, const char *message, const struct log_field *fields, size_t nfields);

#define LOG_FIELDS_(...) ((const struct log_field[]){{NULL, LOG_FIELD_STR, NULL, 0}, ##__VA_ARGS__})
#define LOG_AT_(level, component, message, ...)                                                                        \
    log_write((level), (component), (message), LOG_FIELDS_(__VA_ARGS__) + 1,                                           \
              sizeof(LOG_FIELDS_(__VA_ARGS__)) / sizeof(struct log_field) - 1)
#define LOG_DEBUG(component, message, ...) LOG_AT_(LOG_LEVEL_DEBUG, component, message, ##__VA_ARGS__)
#define LOG_INFO(component, message, ...) LOG_AT_(LOG_LEVEL_INFO, component, message, ##__VA_ARGS__)
#define LOG_WARN(component, message, ...) LOG_AT_(LOG_LEVEL_WARN, component, message, ##__VA_ARGS__)
#define LOG_ERROR(component, message, ...) LOG_AT_(LOG_LEVEL_ERROR, component, message, ##__VA_ARGS__)

#endif
