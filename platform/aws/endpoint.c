/* endpoint.c - hosts and signing regions of IAM, STS, EKS and EC2 in every partition (aws.md 1.3, from botocore's rule sets). */
#include <string.h>

#include "platform/aws/settings.h"
#include "platform/base/str.h"

struct partition {
    const char *prefix;           /* of its regions */
    const char *name;
    const char *dns, *dual_stack; /* suffixes */
    const char *iam_host, *iam_fips, *iam_dual;
    const char *iam_region, *iam_fips_region; /* signing; NULL: the call's own */
};

/* gov before aws: "us-gov-" starts like "us-". */
static const struct partition partitions[] = {
    {"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws", "iam.us-gov.amazonaws.com", "iam.us-gov.amazonaws.com", "iam.us-gov.api.aws",
     "us-gov-west-1", "us-gov-west-1"},
    {"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "iam.us-isob-east-1.sc2s.sgov.gov", "iam-fips.us-isob-east-1.sc2s.sgov.gov",
     "iam.api.aws.scloud", NULL, NULL},
    {"us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "iam.us-iso-east-1.c2s.ic.gov", "iam-fips.us-iso-east-1.c2s.ic.gov",
     "iam.api.aws.ic.gov", NULL, NULL},
    {"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "iam.cn-north-1.amazonaws.com.cn", "iam-fips.amazonaws.com.cn",
     "iam.global.api.amazonwebservices.com.cn", "cn-north-1", "cn-northwest-1"},
    {"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "iam.eusc-de-east-1.amazonaws.eu", "iam-fips.amazonaws.eu",
     "iam.api.amazonwebservices.eu", NULL, NULL},
    {"", "aws", "amazonaws.com", "api.aws", "iam.amazonaws.com", "iam-fips.amazonaws.com", "iam.global.api.aws", "us-east-1", "us-east-1"},
};

static const struct partition *partition_of(const char *region)
{
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
        if (str_has_prefix(region, partitions[i].prefix))
            return &partitions[i];
    return NULL;
}

static bool region_is_sane(const char *region)
{
    size_t n = strlen(region);
    for (size_t i = 0; i < n; i++)
        if (!(region[i] == '-' || (region[i] >= 'a' && region[i] <= 'z') || (region[i] >= '0' && region[i] <= '9')))
            return false;
    return n >= 5 && n <= 40 && strchr(region, '-');
}

static const char *iam_host(const struct aws_settings *s, const struct partition *p)
{
    if (s->use_dual_stack)
        return p->iam_dual;
    return s->use_fips ? p->iam_fips : p->iam_host;
}

static const char *regional_host(const struct aws_settings *s, const struct partition *p, const char *name, const char *region,
                                 struct arena *a)
{
    bool gov = str_eq(p->name, "aws-us-gov"), fips = s->use_fips && !gov; /* gov's plain hosts are FIPS already */
    const char *suffix = s->use_dual_stack ? p->dual_stack : p->dns;
    if (s->use_fips && str_eq(p->name, "aws") && str_eq(name, "eks") && !s->use_dual_stack)
        return arena_printf(a, "fips.eks.%s.%s", region, suffix); /* the one that is named the other way round */
    return arena_printf(a, "%s%s.%s.%s", name, fips ? "-fips" : "", region, suffix);
}

static const char *override_for(const struct aws_settings *s, enum effect_service service)
{
    const char *own = service == SERVICE_IAM   ? s->endpoint_iam
                      : service == SERVICE_STS ? s->endpoint_sts
                      : service == SERVICE_EKS ? s->endpoint_eks
                                               : s->endpoint_ec2;
    return own ? own : s->endpoint_all;
}

static const char *without_slash(const char *url, struct arena *a)
{
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    return arena_strndup(a, url, n);
}

bool aws_endpoint_resolve(const struct aws_settings *s, enum effect_service service, const char *region, struct arena *a,
                          struct aws_endpoint *out, struct error *err)
{
    memset(out, 0, sizeof *out);
    region = str_or(region, s->region);
    if (str_empty(region))
        return error_set(err, ERR_INVALID, "no AWS region: give --region or set AWS_REGION");
    if (!region_is_sane(region))
        return error_set(err, ERR_INVALID, "\"%.50s\" is no AWS region", region);
    const struct partition *p = partition_of(region);
    const char *name = effect_service_name(service), *url = override_for(s, service);
    out->signing_name = name;
    out->signing_region = region;
    if (service == SERVICE_IAM)
        out->signing_region = str_or(s->use_fips && !s->use_dual_stack ? p->iam_fips_region : p->iam_region, region);
    bool global_sts = service == SERVICE_STS && s->sts_legacy_global && str_eq(p->name, "aws") && !s->use_fips && !s->use_dual_stack;
    if (global_sts)
        out->signing_region = "us-east-1";
    if (url) {
        out->url = without_slash(url, a);
        out->overridden = true;
    } else if (service == SERVICE_IAM) {
        out->url = arena_printf(a, "https://%s", iam_host(s, p));
    } else if (global_sts) {
        out->url = "https://sts.amazonaws.com";
    } else {
        out->url = arena_printf(a, "https://%s", regional_host(s, p, name, region, a));
    }
    return true;
}
