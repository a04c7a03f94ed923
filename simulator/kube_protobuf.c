/* kube_protobuf.c - the wire format of protobuf, and tables of the kinds that are read. */
#include "simulator/kube_protobuf.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#include "platform/base/arena.h"
#include "platform/base/str.h"
#include "platform/base/utf8.h"

#define MAGIC "k8s"
#define MAGIC_BYTES 4 /* with its NUL */
#define NUMBER_MAX ((UINT64_C(1) << 29) - 1)
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define ANY_VERSION NULL

/* ---- tables ---- */

enum shape { TEXT, BOOL, INT, MESSAGE, TEXT_MAP, BYTES_MAP };
enum presence { ONCE, POINTER, REPEATED }; /* POINTER: its zero value is a value */

struct message;
struct field {
    uint64_t number;
    const char *name;
    enum shape shape;
    enum presence presence;
    const struct message *of; /* of a MESSAGE */
};
struct message {
    const struct field *fields;
    size_t n;
};
#define FIELDS(array)                                                                                                  \
    { array, LENGTH(array) }

static const struct field owner_fields[] = {
    {1, "kind", TEXT, ONCE, NULL},          {3, "name", TEXT, ONCE, NULL},
    {4, "uid", TEXT, ONCE, NULL},           {5, "apiVersion", TEXT, ONCE, NULL},
    {6, "controller", BOOL, POINTER, NULL}, {7, "blockOwnerDeletion", BOOL, POINTER, NULL},
};
static const struct message owner = FIELDS(owner_fields);

static const struct field metadata_fields[] = {
    {1, "name", TEXT, ONCE, NULL},
    {2, "generateName", TEXT, ONCE, NULL},
    {3, "namespace", TEXT, ONCE, NULL},
    {5, "uid", TEXT, ONCE, NULL},
    {6, "resourceVersion", TEXT, ONCE, NULL},
    {11, "labels", TEXT_MAP, REPEATED, NULL},
    {12, "annotations", TEXT_MAP, REPEATED, NULL},
    {13, "ownerReferences", MESSAGE, REPEATED, &owner},
    {14, "finalizers", TEXT, REPEATED, NULL},
};
static const struct message metadata = FIELDS(metadata_fields);

static const struct field requirement_fields[] = {
    {1, "key", TEXT, ONCE, NULL}, {2, "operator", TEXT, ONCE, NULL}, {3, "values", TEXT, REPEATED, NULL}};
static const struct message requirement = FIELDS(requirement_fields);

static const struct field selector_fields[] = {{1, "rawSelector", TEXT, ONCE, NULL},
                                               {2, "requirements", MESSAGE, REPEATED, &requirement}};
static const struct message selector = FIELDS(selector_fields);

static const struct field resource_fields[] = {
    {1, "namespace", TEXT, ONCE, NULL},
    {2, "verb", TEXT, ONCE, NULL},
    {3, "group", TEXT, ONCE, NULL},
    {4, "version", TEXT, ONCE, NULL},
    {5, "resource", TEXT, ONCE, NULL},
    {6, "subresource", TEXT, ONCE, NULL},
    {7, "name", TEXT, ONCE, NULL},
    {8, "fieldSelector", MESSAGE, ONCE, &selector},
    {9, "labelSelector", MESSAGE, ONCE, &selector},
};
static const struct message resource = FIELDS(resource_fields);

static const struct field path_fields[] = {{1, "path", TEXT, ONCE, NULL}, {2, "verb", TEXT, ONCE, NULL}};
static const struct message path = FIELDS(path_fields);

static const struct field access_spec_fields[] = {{1, "resourceAttributes", MESSAGE, ONCE, &resource},
                                                  {2, "nonResourceAttributes", MESSAGE, ONCE, &path}};
static const struct message access_spec = FIELDS(access_spec_fields);
static const struct field access_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                             {2, "spec", MESSAGE, ONCE, &access_spec}};

static const struct field rules_spec_fields[] = {{1, "namespace", TEXT, ONCE, NULL}};
static const struct message rules_spec = FIELDS(rules_spec_fields);
static const struct field rules_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                            {2, "spec", MESSAGE, ONCE, &rules_spec}};

static const struct field subject_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata}};

static const struct field bound_fields[] = {{1, "kind", TEXT, ONCE, NULL},
                                            {2, "apiVersion", TEXT, ONCE, NULL},
                                            {3, "name", TEXT, ONCE, NULL},
                                            {4, "uid", TEXT, ONCE, NULL}};
static const struct message bound = FIELDS(bound_fields);
static const struct field token_spec_fields[] = {{1, "audiences", TEXT, REPEATED, NULL},
                                                 {3, "boundObjectRef", MESSAGE, ONCE, &bound},
                                                 {4, "expirationSeconds", INT, POINTER, NULL}};
static const struct message token_spec = FIELDS(token_spec_fields);
static const struct field token_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                            {2, "spec", MESSAGE, ONCE, &token_spec}};

static const struct field config_map_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                                 {2, "data", TEXT_MAP, REPEATED, NULL},
                                                 {3, "binaryData", BYTES_MAP, REPEATED, NULL},
                                                 {4, "immutable", BOOL, POINTER, NULL}};

static const struct field namespace_spec_fields[] = {{1, "finalizers", TEXT, REPEATED, NULL}};
static const struct message namespace_spec = FIELDS(namespace_spec_fields);
static const struct field namespace_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                                {2, "spec", MESSAGE, ONCE, &namespace_spec}};

static const struct field secret_fields[] = {
    {1, "kind", TEXT, ONCE, NULL},      {2, "namespace", TEXT, ONCE, NULL},  {3, "name", TEXT, ONCE, NULL},
    {4, "uid", TEXT, ONCE, NULL},       {5, "apiVersion", TEXT, ONCE, NULL}, {6, "resourceVersion", TEXT, ONCE, NULL},
    {7, "fieldPath", TEXT, ONCE, NULL},
};
static const struct message secret = FIELDS(secret_fields);
static const struct field pull_secret_fields[] = {{1, "name", TEXT, ONCE, NULL}};
static const struct message pull_secret = FIELDS(pull_secret_fields);
static const struct field account_fields[] = {{1, "metadata", MESSAGE, ONCE, &metadata},
                                              {2, "secrets", MESSAGE, REPEATED, &secret},
                                              {3, "imagePullSecrets", MESSAGE, REPEATED, &pull_secret},
                                              {4, "automountServiceAccountToken", BOOL, POINTER, NULL}};

static const struct field precondition_fields[] = {{1, "uid", TEXT, POINTER, NULL},
                                                   {2, "resourceVersion", TEXT, POINTER, NULL}};
static const struct message precondition = FIELDS(precondition_fields);
static const struct field delete_fields[] = {{1, "gracePeriodSeconds", INT, POINTER, NULL},
                                             {2, "preconditions", MESSAGE, ONCE, &precondition},
                                             {3, "orphanDependents", BOOL, POINTER, NULL},
                                             {4, "propagationPolicy", TEXT, POINTER, NULL},
                                             {5, "dryRun", TEXT, REPEATED, NULL}};

static const struct kind {
    const char *version, *kind;
    struct message message;
} kinds[] = {
    {"authorization.k8s.io/v1", "SelfSubjectAccessReview", FIELDS(access_fields)},
    {"authorization.k8s.io/v1", "SelfSubjectRulesReview", FIELDS(rules_fields)},
    {"authentication.k8s.io/v1", "SelfSubjectReview", FIELDS(subject_fields)},
    {"authentication.k8s.io/v1", "TokenRequest", FIELDS(token_fields)},
    {"v1", "ConfigMap", FIELDS(config_map_fields)},
    {"v1", "Namespace", FIELDS(namespace_fields)},
    {"v1", "ServiceAccount", FIELDS(account_fields)},
    {ANY_VERSION, "DeleteOptions", FIELDS(delete_fields)}, /* the group of what is deleted */
};

/* ---- the wire ---- */

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* What is left to read; `arena` and `fields` belong to the whole body. */
struct cursor {
    const unsigned char *p, *end;
    struct arena *arena;
    int *fields;
    struct error *err;
};
struct item {
    uint64_t number, varint;
    enum wire wire;
    const unsigned char *bytes; /* of BYTES */
    size_t n;
};

static bool broken(const struct cursor *c, const char *what) {
    return error_set(c->err, ERR_PARSE, "no protobuf message: %s", what);
}

static bool read_varint(struct cursor *c, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64 && c->p < c->end; shift += 7) {
        unsigned char byte = *c->p++;
        if (shift == 63 && byte > 1) {
            break;
        }
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return broken(c, "a number that does not end");
}

static bool read_bytes(struct cursor *c, uint64_t n, struct item *it) {
    if (n > (uint64_t)(c->end - c->p)) {
        return broken(c, "a field that is longer than the rest");
    }
    it->bytes = c->p;
    it->n = (size_t)n;
    c->p += n;
    return true;
}

/* The next field; call it only while something is left. */
static bool read_item(struct cursor *c, struct item *it) {
    uint64_t key = 0;
    uint64_t n = 0;
    *it = (struct item){0};
    if (++*c->fields > KUBE_PROTOBUF_FIELDS_MAX) {
        return broken(c, "too many fields");
    }
    if (!read_varint(c, &key)) {
        return false;
    }
    it->number = key >> 3;
    it->wire = (enum wire)(key & 7);
    if (it->number == 0 || it->number > NUMBER_MAX) {
        return broken(c, "a field without a number");
    }
    switch ((int)it->wire) {
    case VARINT:
        return read_varint(c, &it->varint);
    case BYTES:
        return read_varint(c, &n) && read_bytes(c, n, it);
    case FIXED64:
        return read_bytes(c, 8, it);
    case FIXED32:
        return read_bytes(c, 4, it);
    default:
        return broken(c, "a field of an unknown form");
    }
}

static struct cursor inside(const struct cursor *c, const struct item *it) {
    struct cursor inner = *c;
    inner.p = it->bytes;
    inner.end = it->bytes + it->n;
    return inner;
}

/* NULL: no text. */
static const char *text_of(const struct cursor *c, const struct item *it) {
    uint32_t code;
    if (it->wire != BYTES) {
        (void)broken(c, "text of another form");
        return NULL;
    }
    for (size_t i = 0, step; i < it->n; i += step) {
        step = utf8_step(it->bytes + i, it->n - i, &code);
        if (step == 0 || it->bytes[i] == '\0') {
            (void)broken(c, "text that is no UTF-8");
            return NULL;
        }
    }
    return it->n > 0 ? arena_strndup(c->arena, (const char *)it->bytes, it->n) : "";
}

static const char *base64_of(const struct cursor *c, const struct item *it) {
    if (it->wire != BYTES) {
        (void)broken(c, "bytes of another form");
        return NULL;
    }
    char *out = arena_alloc(c->arena, (it->n + 2) / 3 * 4 + 1);
    out[0] = '\0';
    if (it->n > 0) {
        (void)EVP_EncodeBlock((unsigned char *)out, it->bytes, (int)it->n);
    }
    return out;
}

/* ---- messages to trees ---- */

static json *list_of(json *o, const char *name) {
    const json *list = json_get(o, name);
    return list != NULL ? cJSON_GetObjectItemCaseSensitive(o, name) : json_add_array(o, name);
}

static bool put_text(const struct cursor *c, const struct field *f, const struct item *it, json *o) {
    const char *text = text_of(c, it);
    if (text == NULL) {
        return false;
    }
    if (f->presence == REPEATED) {
        json_push_str(list_of(o, f->name), text);
    } else if (f->presence == POINTER || *text != '\0') {
        json_add_str(o, f->name, text);
    }
    return true;
}

static bool put_number(const struct cursor *c, const struct field *f, const struct item *it, json *o) {
    if (it->wire != VARINT) {
        return broken(c, "a number of another form");
    }
    if (f->presence != POINTER && it->varint == 0) {
        return true;
    }
    if (f->shape == BOOL) {
        json_add_bool(o, f->name, it->varint != 0);
    } else {
        json_add_int64(o, f->name, (int64_t)it->varint);
    }
    return true;
}

/* An entry is a message of key (1) and value (2); absent ones are empty. */
static bool put_entry(const struct cursor *c, const struct field *f, const struct item *it, json *o) {
    struct cursor entry = inside(c, it);
    const char *key = "";
    const char *value = "";
    struct item part;
    while (entry.p < entry.end) {
        if (!read_item(&entry, &part)) {
            return false;
        }
        if (part.number == 1) {
            key = text_of(c, &part);
        } else if (part.number == 2) {
            value = f->shape == TEXT_MAP ? text_of(c, &part) : base64_of(c, &part);
        }
        if (key == NULL || value == NULL) {
            return false;
        }
    }
    const json *map = json_get(o, f->name);
    json_add_str(map != NULL ? cJSON_GetObjectItemCaseSensitive(o, f->name) : json_add_object(o, f->name), key, value);
    return true;
}

static const struct field *field_of(const struct message *m, uint64_t number) {
    for (size_t i = 0; i < m->n; i++) {
        if (m->fields[i].number == number) {
            return &m->fields[i];
        }
    }
    return NULL;
}

static bool put_field(const struct cursor *c, const struct field *f, const struct item *it, json *o);

/* As deep as the tables are. */
static bool put_message(struct cursor c, const struct message *m, json *o) { /* NOLINT(misc-no-recursion) */
    struct item it;
    while (c.p < c.end) {
        if (!read_item(&c, &it)) {
            return false;
        }
        const struct field *f = field_of(m, it.number);
        if (f != NULL && !put_field(&c, f, &it, o)) {
            return false;
        }
    }
    return true;
}

static bool put_field(const struct cursor *c, const struct field *f,
                      const struct item *it, /* NOLINT(misc-no-recursion) */
                      json *o) {
    if (f->shape == TEXT) {
        return put_text(c, f, it, o);
    }
    if (f->shape == BOOL || f->shape == INT) {
        return put_number(c, f, it, o);
    }
    if (it->wire != BYTES) {
        return broken(c, "a message of another form");
    }
    if (f->shape != MESSAGE) {
        return put_entry(c, f, it, o);
    }
    json *inner = json_object();
    if (f->presence == REPEATED) {
        json_push(list_of(o, f->name), inner);
    } else {
        json_add_item(o, f->name, inner);
    }
    return put_message(inside(c, it), f->of, inner);
}

/* ---- the envelope ---- */

struct envelope {
    const char *version, *kind;
    struct item raw;
    bool encoded; /* compressed, or no protobuf inside */
};

static bool read_type(struct cursor c, struct envelope *e) {
    struct item it;
    while (c.p < c.end) {
        if (!read_item(&c, &it)) {
            return false;
        }
        const char **to = it.number == 1 ? &e->version : it.number == 2 ? &e->kind : NULL;
        if (to != NULL && (*to = text_of(&c, &it)) == NULL) {
            return false;
        }
    }
    return true;
}

static bool read_envelope(struct cursor c, struct envelope *e) {
    struct item it;
    *e = (struct envelope){.version = "", .kind = ""};
    while (c.p < c.end) {
        if (!read_item(&c, &it)) {
            return false;
        }
        if (it.number <= 4 && it.wire != BYTES) {
            return broken(&c, "an envelope of another form");
        }
        if (it.number == 1 && !read_type(inside(&c, &it), e)) {
            return false;
        }
        if (it.number == 2) {
            e->raw = it;
        }
        e->encoded = e->encoded || (it.number == 3 && it.n > 0);
    }
    return !e->encoded || broken(&c, "its content is encoded");
}

static const struct kind *kind_of(const struct envelope *e) {
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        if (str_eq(kinds[i].kind, e->kind) &&
            (kinds[i].version == ANY_VERSION || str_eq(kinds[i].version, e->version))) {
            return &kinds[i];
        }
    }
    return NULL;
}

static json *tree_of(const struct cursor *c, const struct envelope *e) {
    const struct kind *k = kind_of(e);
    if (k == NULL) {
        (void)error_set(c->err, ERR_UNSUPPORTED, "the protobuf form of %.100s %.100s is not read here: send JSON",
                        e->version, e->kind);
        return NULL;
    }
    json *o = json_object();
    json_add_str(o, "kind", e->kind);
    json_add_str(o, "apiVersion", e->version);
    if (!put_message(inside(c, &e->raw), &k->message, o)) {
        json_free(o);
        return NULL;
    }
    return o;
}

json *kube_protobuf_read(const char *bytes, size_t n, struct error *err) {
    int fields = 0;
    struct envelope e;
    if (n < MAGIC_BYTES || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0) {
        (void)error_set(err, ERR_PARSE, "no protobuf message: it does not begin with k8s");
        return NULL;
    }
    const unsigned char *p = (const unsigned char *)bytes;
    struct cursor c = {p + MAGIC_BYTES, p + n, arena_new(0), &fields, err};
    json *o = read_envelope(c, &e) ? tree_of(&c, &e) : NULL;
    arena_free(c.arena);
    return o;
}
