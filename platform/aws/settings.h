/*
 * settings.h - the AWS SDKs' own variables and files, read once.
 *
 * Model: environment first, then the profile of the shared config file (AWS_PROFILE, "default"). Nothing secret is kept here: credentials.h reads keys when
 * they are needed.
 * Ownership: strings live in the arena.   Errors: ERR_INVALID / ERR_IO naming the variable or file.
 * Source: AWS SDKs and Tools reference guide; botocore's order (aws.md 2.3).
 */
#ifndef CNI_IAM_AWS_SETTINGS_H
#define CNI_IAM_AWS_SETTINGS_H

#include <stdbool.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/port/effect.h"

struct ini;

struct aws_settings {
    const char *region;          /* --region, AWS_REGION, AWS_DEFAULT_REGION, the profile's; NULL: none */
    const char *profile;         /* AWS_PROFILE, AWS_DEFAULT_PROFILE, "default" */
    bool profile_is_explicit;
    const char *config_file, *credentials_file;
    const struct ini *config, *credentials; /* parsed; NULL where the file is absent */
    const char *endpoint_all;    /* AWS_ENDPOINT_URL or the profile's endpoint_url */
    const char *endpoint_iam, *endpoint_sts, *endpoint_eks, *endpoint_ec2; /* AWS_ENDPOINT_URL_<SERVICE>, services section */
    bool use_fips, use_dual_stack, sts_legacy_global;
    const char *ca_bundle_pem;   /* text of AWS_CA_BUNDLE; NULL: the system's */
    int max_attempts;            /* AWS_MAX_ATTEMPTS; 3 */
};

/* region_flag may be NULL. NULL on error. */
struct aws_settings *aws_settings_load(struct arena *a, const char *region_flag, struct error *err);

/* Where a service is spoken to and for which region its requests are signed (aws.md 1.3). False: no region, or unknown partition. */
struct aws_endpoint {
    const char *url;            /* "https://iam.amazonaws.com" without a path at its end */
    const char *signing_region;
    const char *signing_name;
    bool overridden;            /* by the user: plain http is then his word */
};
bool aws_endpoint_resolve(const struct aws_settings *s, enum effect_service service, const char *region, struct arena *a,
                          struct aws_endpoint *out, struct error *err);

#endif
