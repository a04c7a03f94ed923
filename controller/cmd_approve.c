/* cmd_approve.c - cni-iam approve NAME: records the approval of the digest that the status shows. */
#include <stdio.h>
#include <stdlib.h>

#include "controller/commands.h"
#include "controller/connect.h"
#include "crd/binding.h"

static int refuse(const char *name, const char *why) {
    fprintf(stderr, "cni-iam approve: %s: %s\n", name, why);
    return 1;
}

static void show(const struct cib_binding *b) {
    printf("CniIamBinding %s, digest %s: the role %s replaces, and these detachments are approved:\n", b->name,
           b->status.plan.digest, str_or(b->status.role.arn, "?"));
    for (size_t i = 0; i < b->status.nnode_roles; i++)
        for (size_t j = 0; j < b->status.node_roles[i].attached.n; j++)
            printf("  - %s from node role %s\n", b->status.node_roles[i].attached.v[j], b->status.node_roles[i].arn);
}

static const struct effect *annotate(struct arena *a, const struct cib_binding *b) {
    struct effect *e = effect_new(a, EFFECT_K8S_MERGE_PATCH, "resource", CIB_RESOURCE, "name", b->name, "fieldManager",
                                  "cni-iam-approve", NULL);
    json *patch = json_object(), *meta = json_add_object(patch, "metadata");
    /* With the uid a binding of the same name that was made anew is not approved by accident. */
    json_add_str(meta, "uid", b->uid);
    json_add_str(json_add_object(meta, "annotations"), CIB_ANNOTATION_APPROVE, b->status.plan.digest);
    e->body = json_print_arena(patch, a);
    json_free(patch);
    return e;
}

static int approve(struct connection *c, const struct options *o, const struct cib_binding *b) {
    struct error err;
    if (b->deletion_ms)
        return refuse(b->name, "it is being deleted");
    if (b->status.approval.digest && !b->status.approval.used &&
        str_eq(b->status.approval.digest, b->status.plan.digest)) {
        printf("CniIamBinding %s: digest %s is approved already\n", b->name, b->status.plan.digest);
        return 0;
    }
    if (!b->status.plan.digest)
        return refuse(b->name, "there is nothing to approve now; see with: kubectl get cib -o wide");
    if (o->digest && !str_eq(o->digest, b->status.plan.digest)) {
        fprintf(stderr,
                "cni-iam approve: %s: the plan has digest %s now, not %s; look at status.nodeRoles and approve again\n",
                b->name, b->status.plan.digest, o->digest);
        return 1;
    }
    show(b);
    json *value = connection_call(c, annotate(c->arena, b), &err);
    json_free(value);
    if (err.code)
        return refuse(b->name, err.message);
    printf("approved; watch it with: kubectl wait --for=condition=NodeRoleDetached cib/%s --timeout=15m\n", b->name);
    return 0;
}

int command_approve(const struct options *o) {
    struct connection c;
    struct error err;
    if (str_empty(o->name)) {
        fprintf(stderr, "cni-iam approve: which binding? write: cni-iam approve NAME (kubectl get cib lists them)\n");
        return 1;
    }
    struct connection_options co = {.options = o, .component = "approve", .kubernetes_only = true};
    if (!connection_open(&c, &co, &err)) {
        fprintf(stderr, "cni-iam approve: %s\n", err.message);
        return 1;
    }
    int status = 1;
    json *object =
        connection_call(&c, effect_new(c.arena, EFFECT_K8S_GET, "resource", CIB_RESOURCE, "name", o->name, NULL), &err);
    struct cib_binding *b = object ? cib_decode(object, &err) : NULL;
    json_free(object);
    if (b)
        status = approve(&c, o, b);
    else
        refuse(o->name, err.message);
    cib_free(b);
    connection_close(&c);
    return status;
}
