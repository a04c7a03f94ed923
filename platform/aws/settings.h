/*
 * settings.h - the AWS SDKs' own variables and files, read once.
 *
 * Model: a value comes from the environment, else from the profile (AWS_PROFILE, else "default") of the credentials
 * file, else from that of the shared config file; an empty variable counts as unset. Keys are not
 * kept here: credentials.h reads both files anew whenever it needs some.
 *
 *   region                AWS_REGION, AWS_DEFAULT_REGION, region (the --region flag comes before them)
 *   endpoints             AWS_ENDPOINT_URL_IAM|STS|EKS|EC2, AWS_ENDPOINT_URL, the profile's `services` section, its
 *                         endpoint_url; none of them with AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true
 *   variants              AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT, AWS_STS_REGIONAL_ENDPOINTS (legacy|regional)
 *   trust                 AWS_CA_BUNDLE, ca_bundle: a PEM file, which replaces the system's
 *   attempts              AWS_MAX_ATTEMPTS, max_attempts: 1 to 20, default 3
 *
 * AWS_RETRY_MODE is not read: there is one way (aws_client.h). SSO is not supported; credential_process is its way in.
 *
 * Ownership: strings live in the arena.   Errors: ERR_INVALID, ERR_IO, ERR_PARSE naming the variable or file.
 * Source: AWS SDKs and Tools reference guide; botocore's order (aws.md 2.3).
 */
#ifndef CNI_IAM_AWS_SETTINGS_H
#define CNI_IAM_AWS_SETTINGS_H

#include <stdbool.h>

#include "platform/base/arena.h"
#include "platform/base/error.h"
#include "platform/port/effect.h"

#define AWS_REGION_MAX 32
#define AWS_CA_BUNDLE_MAX ((size_t)4 * 1024 * 1024)

struct ini;

struct aws_settings {
    const char *region;  /* NULL: none */
    const char *profile; /* never NULL */
    bool profile_is_explicit;
    const char *config_file, *credentials_file; /* paths */
    const struct ini *config;                   /* without keys; NULL where the file is absent */
    const char *endpoint_all;                   /* NULL: none */
    const char *endpoint_iam, *endpoint_sts, *endpoint_eks, *endpoint_ec2;
    bool use_fips, use_dual_stack, sts_legacy_global;
    const char *ca_bundle_pem; /* the text; NULL: the system's */
    int max_attempts;
};

/* region_flag may be NULL. NULL on error. */
struct aws_settings *aws_settings_load(struct arena *a, const char *region_flag, struct error *err);

/* The section of a profile in a config file: "profile x", for the default one also "default". */
const char *aws_profile_section(const struct ini *config, const char *profile, struct arena *a);
/* A shared file as it is now. A file that is not there is an empty one, as for the SDKs: *out NULL and true. */
bool aws_ini_load(const char *path, const struct ini **out, struct arena *a, struct error *err);

/* Where a service is spoken to and for which region its requests are signed (aws.md 1.3). */
struct aws_endpoint {
    const char *origin;    /* "https://iam.amazonaws.com" */
    const char *host;      /* as the Host header has it */
    const char *base_path; /* of an override: "/prefix" or "" */
    const char *signing_region;
    const char *signing_name;
    bool overridden; /* by the user: plain http is then his word */
};
/* region NULL: the settings'. False: no region, something that is none, an override that is no URL. */
bool aws_endpoint_resolve(const struct aws_settings *s, enum effect_service service, const char *region,
                          struct arena *a, struct aws_endpoint *out, struct error *err);

#endif
