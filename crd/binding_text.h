/*
 * binding_text.h - the rules for strings of a binding: those of cniiambindings.yaml once more, never stricter, for objects that are older.
 *
 * Pure.   Errors: false.   Source: IAM and EKS API references (patterns of RoleName, Path, tags, cluster name).
 */
#ifndef CNI_IAM_CRD_BINDING_TEXT_H
#define CNI_IAM_CRD_BINDING_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define CIB_ROLE_NAME_MAX 64
#define CIB_ARN_MAX 640 /* arn:aws-us-gov:iam::123456789012:role + path of 512 + name of 64 */
#define CIB_PATH_MAX 512
#define CIB_DESCRIPTION_MAX 1000
#define CIB_TAG_KEY_MAX 128
#define CIB_TAG_VALUE_MAX 256
#define CIB_CLUSTER_NAME_MAX 100
#define CIB_REGION_MAX 32
#define CIB_CONSUMER_MAX 256

bool cib_is_role_name(const char *s);
bool cib_is_role_arn(const char *s);
bool cib_is_policy_arn(const char *s); /* customer or AWS managed */
bool cib_is_path(const char *s);
bool cib_is_cluster_name(const char *s);
bool cib_is_region(const char *s);
bool cib_is_account_id(const char *s);
bool cib_is_description(const char *s);
bool cib_is_consumer(const char *s);
bool cib_is_tag_key(const char *s); /* not one of the reserved prefixes either */
bool cib_is_tag_value(const char *s);

#endif
