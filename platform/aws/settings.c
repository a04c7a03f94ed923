#include "platform/aws/settings.h"

#include <stdlib.h>
#include <string.h>

#include "platform/aws/ini.h"
#include "platform/aws/small_file.h"
#include "platform/base/buf.h"
#include "platform/base/str.h"

static const char *variable(const char *name) {
    const char *v = getenv(name);
    return str_empty(v) ? NULL : v;
}

static const char *either(const char *a, const char *b) {
    return a ? a : b;
}

bool aws_ini_load(const char *path, const struct ini **out, struct arena *a, struct error *err) {
    struct buf b;
    *out = NULL;
    buf_init(&b, INI_TEXT_MAX);
    bool read = small_file_read(&b, path, err);
    bool absent = !read && err->code == ERR_NOT_FOUND;
    if (read) {
        *out = ini_parse(buf_str(&b), b.n, a, err);
        if (!*out) {
            (void)error_wrap(err, "%s", path);
        }
    }
    buf_done_secret(&b);
    return *out || absent;
}

/* A leading "~/" as the SDKs have it. */
static const char *file_path(const char *variable_name, const char *name, struct arena *a) {
    const char *set = variable(variable_name), *home = str_or(getenv("HOME"), "");
    if (!set) {
        return arena_printf(a, "%s/.aws/%s", home, name);
    }
    return str_has_prefix(set, "~/") ? arena_printf(a, "%s%s", home, set + 1) : arena_strdup(a, set);
}

const char *aws_profile_section(const struct ini *config, const char *profile, struct arena *a) {
    const char *named = arena_printf(a, "profile %s", profile);
    return str_eq(profile, "default") && !ini_has_section(config, named) ? "default" : named;
}

/* What the loading needs and the settings do not keep. */
struct loading {
    struct aws_settings *s;
    const struct ini *credentials;
    const char *section;
    struct arena *a;
};

static const char *of_profile(const struct loading *l, const char *key) {
    return either(ini_get(l->credentials, l->s->profile, key), ini_get(l->s->config, l->section, key));
}

static const char *value_of(const struct loading *l, const char *variable_name, const char *key) {
    return arena_strdup(l->a, either(variable(variable_name), of_profile(l, key)));
}

static const char *service_endpoint(const struct loading *l, const char *variable_name, const char *service) {
    const char *v = variable(variable_name), *services = of_profile(l, "services");
    if (!v && !variable("AWS_ENDPOINT_URL") && services) {
        v = ini_get_nested(l->s->config, arena_printf(l->a, "services %s", services), service, "endpoint_url");
    }
    return arena_strdup(l->a, str_empty(v) ? NULL : v);
}

static bool is_on(const char *value) {
    return str_eq_nocase(value, "true");
}

static void load_endpoints(const struct loading *l) {
    struct aws_settings *s = l->s;
    s->use_fips = is_on(value_of(l, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"));
    s->use_dual_stack = is_on(value_of(l, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"));
    s->sts_legacy_global = str_eq_nocase(value_of(l, "AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints"), "legacy");
    if (is_on(value_of(l, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"))) {
        return;
    }
    s->endpoint_all = value_of(l, "AWS_ENDPOINT_URL", "endpoint_url");
    s->endpoint_iam = service_endpoint(l, "AWS_ENDPOINT_URL_IAM", "iam");
    s->endpoint_sts = service_endpoint(l, "AWS_ENDPOINT_URL_STS", "sts");
    s->endpoint_eks = service_endpoint(l, "AWS_ENDPOINT_URL_EKS", "eks");
    s->endpoint_ec2 = service_endpoint(l, "AWS_ENDPOINT_URL_EC2", "ec2");
}

static bool load_attempts(const struct loading *l, struct error *err) {
    const char *text = value_of(l, "AWS_MAX_ATTEMPTS", "max_attempts");
    int64_t n = 3;
    if (text && (!str_to_int64(text, &n) || n < 1 || n > 20)) {
        return error_set(err, ERR_INVALID, "AWS_MAX_ATTEMPTS is \"%.20s\": write a number from 1 to 20", text);
    }
    l->s->max_attempts = (int)n;
    return true;
}

static bool load_ca_bundle(const struct loading *l, struct error *err) {
    const char *path = value_of(l, "AWS_CA_BUNDLE", "ca_bundle");
    struct buf b;
    if (!path) {
        return true;
    }
    buf_init(&b, AWS_CA_BUNDLE_MAX);
    bool ok = small_file_read(&b, path, err) || error_wrap(err, "AWS_CA_BUNDLE");
    if (ok) {
        l->s->ca_bundle_pem = arena_strdup(l->a, buf_str(&b));
    }
    buf_done(&b);
    return ok;
}

static void forget_keys(const struct ini *ini) {
    ini_forget(ini, "aws_secret_access_key");
    ini_forget(ini, "aws_session_token");
}

static bool fill(struct loading *l, const char *region_flag, struct error *err) {
    struct aws_settings *s = l->s;
    if (s->profile_is_explicit && !ini_has_section(s->config, l->section) &&
        !ini_has_section(l->credentials, s->profile)) {
        return error_set(err, ERR_INVALID, "AWS_PROFILE names %.60s, which neither %s nor %s has", s->profile,
                         s->config_file, s->credentials_file);
    }
    s->region = arena_strdup(l->a, either(str_empty(region_flag) ? NULL : region_flag, variable("AWS_REGION")));
    s->region = either(s->region, value_of(l, "AWS_DEFAULT_REGION", "region"));
    load_endpoints(l);
    return load_attempts(l, err) && load_ca_bundle(l, err);
}

struct aws_settings *aws_settings_load(struct arena *a, const char *region_flag, struct error *err) {
    struct aws_settings *s = ARENA_NEW(a, struct aws_settings);
    struct loading l = {.s = s, .a = a};
    const char *profile = either(variable("AWS_PROFILE"), variable("AWS_DEFAULT_PROFILE"));
    s->profile = arena_strdup(a, str_or(profile, "default"));
    s->profile_is_explicit = profile != NULL;
    s->config_file = file_path("AWS_CONFIG_FILE", "config", a);
    s->credentials_file = file_path("AWS_SHARED_CREDENTIALS_FILE", "credentials", a);
    if (!aws_ini_load(s->config_file, &s->config, a, err) ||
        !aws_ini_load(s->credentials_file, &l.credentials, a, err)) {
        return NULL;
    }
    forget_keys(s->config);
    forget_keys(l.credentials);
    l.section = aws_profile_section(s->config, s->profile, a);
    return fill(&l, region_flag, err) ? s : NULL;
}
