#include "platform/aws/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/aws/ini.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

static const char *either(const char *a, const char *b)
{
    return a ? a : b;
}

/* NULL with err ERR_NOT_FOUND if there is none. */
static char *read_text(const char *path, size_t max, struct arena *a, struct error *err)
{
    FILE *f = fopen(path, "re");
    struct buf b;
    char piece[8192];
    size_t n;
    if (!f) {
        error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    buf_init(&b, max);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0 && buf_append(&b, piece, n))
        ;
    bool bad = ferror(f) || b.overflow;
    fclose(f);
    char *text = bad ? NULL : arena_strdup(a, buf_str(&b));
    if (bad)
        error_set(err, b.overflow ? ERR_TOO_LARGE : ERR_IO, "%s can not be read, or is larger than %zu bytes", path, max);
    buf_done_secret(&b);
    return text;
}

/* A file that is not there is an empty one, as for the SDKs. */
static bool load_ini(const char *path, const struct ini **out, struct arena *a, struct error *err)
{
    *out = NULL;
    char *text = read_text(path, INI_TEXT_MAX, a, err);
    if (!text)
        return err->code == ERR_NOT_FOUND;
    *out = ini_parse(text, strlen(text), a, err);
    return *out || error_wrap(err, "%s", path);
}

static const char *home_path(const char *file, struct arena *a)
{
    return arena_printf(a, "%s/.aws/%s", str_or(getenv("HOME"), "/"), file);
}

static const char *profile_section(const struct aws_settings *s, struct arena *a)
{
    const char *named = arena_printf(a, "profile %s", s->profile);
    return str_eq(s->profile, "default") && !ini_has_section(s->config, named) ? "default" : named;
}

static const char *service_endpoint(const struct aws_settings *s, const char *variable_suffix, const char *service, struct arena *a)
{
    const char *v = variable(arena_printf(a, "AWS_ENDPOINT_URL_%s", variable_suffix));
    if (v || variable("AWS_ENDPOINT_URL"))
        return v;
    const char *services = ini_get(s->config, profile_section(s, a), "services");
    return services ? ini_get_nested(s->config, arena_printf(a, "services %s", services), service, "endpoint_url") : NULL;
}

static void load_endpoints(struct aws_settings *s, struct arena *a)
{
    if (str_eq(variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true"))
        return;
    s->endpoint_all = either(variable("AWS_ENDPOINT_URL"), ini_get(s->config, profile_section(s, a), "endpoint_url"));
    s->endpoint_iam = service_endpoint(s, "IAM", "iam", a);
    s->endpoint_sts = service_endpoint(s, "STS", "sts", a);
    s->endpoint_eks = service_endpoint(s, "EKS", "eks", a);
    s->endpoint_ec2 = service_endpoint(s, "EC2", "ec2", a);
}

static bool is_on(const char *variable_value, const char *config_value)
{
    return str_eq_nocase(either(variable_value, config_value), "true");
}

struct aws_settings *aws_settings_load(struct arena *a, const char *region_flag, struct error *err)
{
    struct aws_settings *s = ARENA_NEW(a, struct aws_settings);
    const char *profile = either(variable("AWS_PROFILE"), variable("AWS_DEFAULT_PROFILE"));
    s->profile = str_or(profile, "default");
    s->profile_is_explicit = profile != NULL;
    s->config_file = str_or(variable("AWS_CONFIG_FILE"), home_path("config", a));
    s->credentials_file = str_or(variable("AWS_SHARED_CREDENTIALS_FILE"), home_path("credentials", a));
    if (!load_ini(s->config_file, &s->config, a, err) ||
        !load_ini(s->credentials_file, &s->credentials, a, err))
        return NULL;
    const char *section = profile_section(s, a);
    if (s->profile_is_explicit && !ini_has_section(s->config, section) && !ini_has_section(s->credentials, s->profile))
        return error_set(err, ERR_INVALID, "AWS_PROFILE names %s, which neither %s nor %s has", s->profile, s->config_file,
                         s->credentials_file),
               NULL;
    s->region = either(either(region_flag, variable("AWS_REGION")), either(variable("AWS_DEFAULT_REGION"), ini_get(s->config, section, "region")));
    s->use_fips = is_on(variable("AWS_USE_FIPS_ENDPOINT"), ini_get(s->config, section, "use_fips_endpoint"));
    s->use_dual_stack = is_on(variable("AWS_USE_DUALSTACK_ENDPOINT"), ini_get(s->config, section, "use_dualstack_endpoint"));
    s->sts_legacy_global =
        str_eq_nocase(either(variable("AWS_STS_REGIONAL_ENDPOINTS"), ini_get(s->config, section, "sts_regional_endpoints")), "legacy");
    const char *attempts = either(variable("AWS_MAX_ATTEMPTS"), ini_get(s->config, section, "max_attempts")), *ca;
    int64_t n = 3;
    if (attempts && (!str_to_int64(attempts, &n) || n < 1 || n > 20))
        return error_set(err, ERR_INVALID, "AWS_MAX_ATTEMPTS is \"%.20s\": write a number from 1 to 20", attempts), NULL;
    s->max_attempts = (int)n;
    load_endpoints(s, a);
    ca = either(variable("AWS_CA_BUNDLE"), ini_get(s->config, section, "ca_bundle"));
    if (ca && !(s->ca_bundle_pem = read_text(ca, (size_t)4 * 1024 * 1024, a, err)))
        return error_wrap(err, "AWS_CA_BUNDLE"), NULL;
    return s;
}
