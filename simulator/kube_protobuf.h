/*
 * kube_protobuf.h - bodies in Kubernetes' protobuf form, as the trees that their JSON form would give.
 *
 * Model: kubectl sends what it creates through typed clients as application/vnd.kubernetes.protobuf and does not fall
 * back to JSON: reviews (auth can-i, auth whoami), TokenRequest (create token), ConfigMap, Namespace, ServiceAccount
 * (create …), DeleteOptions (drain). Those kinds are read, each by a table of its fields; others are refused by name.
 * The envelope is "k8s\0" and a runtime.Unknown: apiVersion and kind, and the message itself as bytes. As in the real
 * server fields that the table does not have are skipped; those are the ones that a server fills in (status, times,
 * managedFields). Zero values of fields that are no pointers in Go are absent, as in JSON.
 *
 * Ownership: the tree is the caller's.   Errors: ERR_PARSE: no such message; ERR_UNSUPPORTED: a kind that is not read.
 * Bounds: KUBE_PROTOBUF_FIELDS_MAX fields in all messages of one body together.
 * Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding, the generated.proto of v1.36.
 */
#ifndef CNI_IAM_SIMULATOR_KUBE_PROTOBUF_H
#define CNI_IAM_SIMULATOR_KUBE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/error.h"
#include "platform/base/json.h"

#define KUBE_PROTOBUF_TYPE "application/vnd.kubernetes.protobuf"
#define KUBE_PROTOBUF_FIELDS_MAX 20000

json *kube_protobuf_read(const char *bytes, size_t n, struct error *err); /* NULL on error */

#endif
