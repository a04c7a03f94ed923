/* endpoint.c - hosts and signing regions of IAM, STS, EKS and EC2 in every partition (aws.md 1.3, from botocore's rule
 * sets; tests/unit/aws_vectors.py prints the table again). */
#include <string.h>

#include "platform/aws/settings.h"
#include "platform/base/str.h"
#include "platform/http/http.h"

struct partition {
    const char *prefix;           /* of its regions */
    const char *dns, *dual_stack; /* suffixes */
    const char *iam_host, *iam_fips, *iam_dual, *iam_fips_dual;
    const char *iam_region; /* signing; NULL: the call's own */
    bool plain_is_fips;     /* gov's plain hosts are FIPS already */
    bool sts_has_global;
};

/* The longer prefix first: "us-gov-" starts like "us-". */
static const struct partition partitions[] = {
    {"us-gov-", "amazonaws.com", "api.aws", "iam.us-gov.amazonaws.com", "iam.us-gov.amazonaws.com",
     "iam.us-gov.api.aws", "iam.us-gov.api.aws", "us-gov-west-1", true, false},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", "iam.us-isob-east-1.sc2s.sgov.gov",
     "iam-fips.us-isob-east-1.sc2s.sgov.gov", "iam.api.aws.scloud", "iam-fips.api.aws.scloud", "us-isob-east-1", false,
     false},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "iam.us-isof-south-1.csp.hci.ic.gov",
     "iam-fips.csp.hci.ic.gov", "iam.api.aws.hci.ic.gov", "iam-fips.api.aws.hci.ic.gov", "us-isof-south-1", false,
     false},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "iam.eu-isoe-west-1.cloud.adc-e.uk",
     "iam-fips.cloud.adc-e.uk", "iam.api.cloud-aws.adc-e.uk", "iam-fips.api.cloud-aws.adc-e.uk", "eu-isoe-west-1",
     false, false},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", "iam.us-iso-east-1.c2s.ic.gov", "iam-fips.us-iso-east-1.c2s.ic.gov",
     "iam.api.aws.ic.gov", "iam-fips.api.aws.ic.gov", "us-iso-east-1", false, false},
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "iam.cn-north-1.amazonaws.com.cn",
     "iam-fips.amazonaws.com.cn", "iam.global.api.amazonwebservices.com.cn", "iam-fips.api.amazonwebservices.com.cn",
     "cn-north-1", false, false},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", "iam.eusc-de-east-1.amazonaws.eu", "iam-fips.amazonaws.eu",
     "iam.global.api.amazonwebservices.eu", "iam-fips.api.amazonwebservices.eu", "eusc-de-east-1", false, false},
    {"", "amazonaws.com", "api.aws", "iam.amazonaws.com", "iam-fips.amazonaws.com", "iam.global.api.aws",
     "iam-fips.global.api.aws", "us-east-1", false, true},
};

/* The regions that AWS_STS_REGIONAL_ENDPOINTS=legacy sends to the global host; newer ones never had it. */
static const char *const legacy_sts[] = {"ap-northeast-1", "ap-south-1",   "ap-southeast-1", "ap-southeast-2",
                                         "ca-central-1",   "eu-central-1", "eu-north-1",     "eu-west-1",
                                         "eu-west-2",      "eu-west-3",    "sa-east-1",      "us-east-1",
                                         "us-east-2",      "us-west-1",    "us-west-2"};

static const struct partition *partition_of(const char *region) {
    const struct partition *p = partitions;
    while (!str_has_prefix(region, p->prefix)) {
        p++; /* the last one's prefix is empty */
    }
    return p;
}

/* What goes into a host name: nothing but what regions are made of. */
static bool region_is_sane(const char *region) {
    size_t n = strlen(region);
    return n >= 5 && n <= AWS_REGION_MAX && strchr(region, '-') &&
           strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && region[0] != '-' && region[n - 1] != '-';
}

static bool sts_is_global(const struct aws_settings *s, const char *region) {
    if (!s->sts_legacy_global || s->use_fips || s->use_dual_stack) {
        return false;
    }
    for (size_t i = 0; i < sizeof legacy_sts / sizeof *legacy_sts; i++) {
        if (str_eq(legacy_sts[i], region)) {
            return true;
        }
    }
    return false;
}

static const char *iam_host(const struct aws_settings *s, const struct partition *p) {
    if (s->use_dual_stack) {
        return s->use_fips ? p->iam_fips_dual : p->iam_dual;
    }
    return s->use_fips ? p->iam_fips : p->iam_host;
}

static const char *regional_host(const struct aws_settings *s, const struct partition *p, const char *name,
                                 const char *region, struct arena *a) {
    const char *suffix = s->use_dual_stack ? p->dual_stack : p->dns;
    bool fips = s->use_fips && (s->use_dual_stack || !p->plain_is_fips);
    if (fips && !s->use_dual_stack && p->sts_has_global && str_eq(name, "eks")) {
        return arena_printf(a, "fips.eks.%s.%s", region, suffix); /* the one that is named the other way round */
    }
    return arena_printf(a, "%s%s.%s.%s", name, fips ? "-fips" : "", region, suffix);
}

static const char *override_for(const struct aws_settings *s, enum effect_service service) {
    const char *own = service == SERVICE_IAM   ? s->endpoint_iam
                      : service == SERVICE_STS ? s->endpoint_sts
                      : service == SERVICE_EKS ? s->endpoint_eks
                                               : s->endpoint_ec2;
    return own ? own : s->endpoint_all;
}

/* "https://host:444/prefix/" -> base URL without a slash at its end, Host header, "/prefix". */
static bool take_override(const char *text, struct aws_endpoint *out, struct arena *a, struct error *err) {
    struct url u;
    if (!url_parse(text, &u, a, err)) {
        return error_wrap(err, "AWS endpoint \"%.100s\"", text);
    }
    bool https = str_eq_nocase(u.scheme, "https"), http = str_eq_nocase(u.scheme, "http");
    if ((!https && !http) || u.has_userinfo || strpbrk(text, "?#")) {
        return error_set(err, ERR_INVALID, "AWS endpoint: write http(s)://host[:port][/path] and nothing more");
    }
    size_t n = strlen(u.path);
    while (n && u.path[n - 1] == '/') {
        n--;
    }
    bool v6 = strchr(u.host, ':') != NULL;
    const char *host = arena_printf(a, v6 ? "[%s]" : "%s", u.host);
    out->host = u.port == (https ? 443 : 80) ? host : arena_printf(a, "%s:%d", host, u.port);
    out->origin = arena_printf(a, "%s://%s", https ? "https" : "http", out->host);
    out->base_path = arena_strndup(a, u.path, n);
    out->overridden = true;
    return true;
}

bool aws_endpoint_resolve(const struct aws_settings *s, enum effect_service service, const char *region,
                          struct arena *a, struct aws_endpoint *out, struct error *err) {
    memset(out, 0, sizeof *out);
    region = str_or(region, s->region);
    if (str_empty(region)) {
        return error_set(err, ERR_INVALID, "no AWS region: give --region or set AWS_REGION");
    }
    if (!region_is_sane(region)) {
        return error_set(err, ERR_INVALID, "\"%.50s\" is no AWS region", region);
    }
    const struct partition *p = partition_of(region);
    const char *name = effect_service_name(service), *override = override_for(s, service);
    bool global = service == SERVICE_STS && sts_is_global(s, region);
    out->signing_name = name;
    out->signing_region = arena_strdup(a, service == SERVICE_IAM ? p->iam_region : (global ? "us-east-1" : region));
    if (override) {
        return take_override(override, out, a, err);
    }
    out->host = service == SERVICE_IAM ? iam_host(s, p) : regional_host(s, p, name, region, a);
    if (global) {
        out->host = "sts.amazonaws.com";
    }
    out->origin = arena_printf(a, "https://%s", out->host);
    out->base_path = "";
    return true;
}
