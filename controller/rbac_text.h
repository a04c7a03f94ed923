/* rbac_text.h - the operator's own ServiceAccount, Roles and bindings (manifests/base) as they were when this program was built. */
#ifndef CNI_IAM_CONTROLLER_RBAC_TEXT_H
#define CNI_IAM_CONTROLLER_RBAC_TEXT_H

extern const char rbac_text[], service_account_text[];

#endif
