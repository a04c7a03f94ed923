/*
 * proxy.h - which proxy a URL goes through, by the rules of Go's net/http, which kubectl and the AWS SDKs follow.
 *
 * Model: HTTPS_PROXY for https, HTTP_PROXY for http (upper case before lower case), unless NO_PROXY says no. NO_PROXY:
 * a list by commas of
 * "*"; host names, which stand for their subdomains too; ".name", for the subdomains only; addresses; CIDR ranges; each
 * but the last with an optional ":port". Hosts that url_host_is_local names are never proxied. libcurl's own reading of
 * the environment is switched off: it has no ports, takes ALL_PROXY, and applies NO_PROXY to a proxy that a kubeconfig
 * names. Ownership: strings are borrowed.   Errors: none; entries that cannot be read match nothing.
 */
#ifndef CNI_IAM_HTTP_PROXY_H
#define CNI_IAM_HTTP_PROXY_H

#include <stdbool.h>

#include "platform/http/http.h"

struct proxy_settings {
    const char *https_proxy, *http_proxy, *no_proxy; /* NULL: none */
};

struct proxy_settings proxy_settings_of_environment(void);
/* "" for none; else what CURLOPT_PROXY takes. */
const char *proxy_for(const struct url *u, const struct proxy_settings *s);

#endif
