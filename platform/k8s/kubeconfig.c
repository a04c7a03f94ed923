#include "platform/k8s/kubeconfig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/base/buf.h"
#include "platform/base/json.h"
#include "platform/k8s/file_text.h"
#include "platform/k8s/kubeconfig_entry.h"
#include "platform/k8s/yaml.h"

struct file {
    const char *path;
    const char *dir;
    json *doc;
};

struct loader {
    struct arena *arena; /* of the files' names */
    struct file files[KUBECONFIG_FILES_MAX];
    size_t count;
};

/* ---- the files ---- */

static const char *directory_of(const char *path, struct arena *a) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        char *cwd = getcwd(NULL, 0);
        const char *dir = arena_strdup(a, cwd != NULL ? cwd : ".");
        free(cwd);
        return dir;
    }
    return slash == path ? "/" : arena_strndup(a, path, (size_t)(slash - path));
}

static bool add_text(struct loader *l, const char *path, const char *dir, const char *text, size_t len,
                     struct error *err) {
    json *doc = yaml_parse(text, len, err);
    if (doc == NULL) {
        return error_wrap(err, "kubeconfig %s", path);
    }
    if (!json_is_object(doc) && !cJSON_IsNull(doc)) {
        json_free(doc);
        return error_set(err, ERR_PARSE, "kubeconfig %s is not a mapping", path);
    }
    l->files[l->count++] = (struct file){arena_strdup(l->arena, path), dir, doc};
    return true;
}

static bool already_read(const struct loader *l, const char *path) {
    for (size_t i = 0; i < l->count; i++) {
        if (str_eq(l->files[i].path, path)) {
            return true;
        }
    }
    return false;
}

static bool add_file(struct loader *l, const char *path, bool must_exist, struct error *err) {
    size_t n = 0;
    if (already_read(l, path)) {
        return true;
    }
    if (l->count == KUBECONFIG_FILES_MAX) {
        return error_set(err, ERR_TOO_LARGE, "KUBECONFIG names more than %d files", KUBECONFIG_FILES_MAX);
    }
    char *text = file_text(path, K8S_FILE_MAX, &n, NULL, err);
    if (text == NULL) {
        bool skip = err->code == ERR_NOT_FOUND && !must_exist;
        return skip || error_wrap(err, "kubeconfig");
    }
    bool ok = add_text(l, path, directory_of(path, l->arena), text, n, err);
    explicit_bzero(text, n);
    free(text);
    return ok;
}

/* ---- first wins: the entry of a name is that of the first file that has it ---- */

/* Looks through one file's list; false on a malformed one. out->name stays NULL if it is not there. */
static bool find_in_file(const struct file *f, const char *list, const char *what, const char *name,
                         struct kubeconfig_entry *out, struct error *err) {
    const json *items = json_get(f->doc, list);
    if (items != NULL && !cJSON_IsNull(items) && !json_is_array(items)) {
        return error_set(err, ERR_PARSE, "kubeconfig %s: %s must be a list", f->path, list);
    }
    for (const json *it = json_first(items); it != NULL; it = it->next) {
        if (json_str(it, "name") == NULL) {
            return error_set(err, ERR_PARSE, "kubeconfig %s: an item of %s has no name", f->path, list);
        }
        if (!str_eq(json_str(it, "name"), name)) {
            continue;
        }
        if (out->name != NULL) {
            return error_set(err, ERR_PARSE, "kubeconfig %s: %s has \"%s\" twice", f->path, list, name);
        }
        *out = (struct kubeconfig_entry){what, json_str(it, "name"), f->dir, json_get(it, what)};
        if (out->body != NULL && !cJSON_IsNull(out->body) && !json_is_object(out->body)) {
            return error_set(err, ERR_PARSE, "kubeconfig %s: %s \"%s\" is no mapping", f->path, what, name);
        }
    }
    return true;
}

static char *names_of(const struct loader *l, const char *list, struct arena *a) {
    struct buf b;
    buf_init(&b, 200);
    for (size_t i = 0; i < l->count; i++) {
        for (const json *it = json_first(json_array(l->files[i].doc, list)); it != NULL; it = it->next) {
            (void)buf_printf(&b, "%s%s", b.n > 0 ? ", " : "", str_or(json_str(it, "name"), "?"));
        }
    }
    char *out = arena_strdup(a, b.n > 0 ? buf_str(&b) : "none");
    buf_done(&b);
    return out;
}

static bool find_entry(const struct loader *l, const char *list, const char *what, const char *name,
                       struct kubeconfig_entry *out, struct error *err) {
    *out = (struct kubeconfig_entry){.what = what};
    for (size_t i = 0; i < l->count && out->name == NULL; i++) {
        if (!find_in_file(&l->files[i], list, what, name, out, err)) {
            return false;
        }
    }
    if (out->name == NULL) {
        return error_set(err, ERR_INVALID, "the kubeconfig has no %s named \"%s\" (it has: %s)", what, name,
                         names_of(l, list, l->arena));
    }
    return true;
}

static const char *current_context(const struct loader *l) {
    for (size_t i = 0; i < l->count; i++) {
        const char *name = json_str(l->files[i].doc, "current-context");
        if (!str_empty(name)) {
            return name;
        }
    }
    return NULL;
}

/* ---- context -> cluster, user ---- */

static bool resolve(const struct loader *l, const char *context, struct k8s_config *c, bool read_files,
                    struct error *err) {
    struct kubeconfig_entry e;
    struct kubeconfig_entry part;
    const char *cluster = NULL;
    const char *user = NULL;
    const char *ns = NULL;
    const char *name = !str_empty(context) ? context : current_context(l);

    if (name == NULL) {
        return error_set(err, ERR_NO_CREDENTIALS,
                         "the kubeconfig has no current-context; give --context NAME (it has: %s)",
                         names_of(l, "contexts", l->arena));
    }
    if (!find_entry(l, "contexts", "context", name, &e, err) || !kubeconfig_string(&e, "cluster", &cluster, err) ||
        !kubeconfig_string(&e, "user", &user, err) || !kubeconfig_string(&e, "namespace", &ns, err)) {
        return false;
    }
    if (str_empty(cluster)) {
        return error_set(err, ERR_INVALID, "context \"%s\" names no cluster", name);
    }
    c->context = arena_strdup(c->arena, name);
    c->ns = arena_strdup(c->arena, str_or(ns, "default"));
    if (!find_entry(l, "clusters", "cluster", cluster, &part, err) || !kubeconfig_cluster(&part, c, read_files, err)) {
        return false;
    }
    struct kubeconfig_entry cluster_entry = part;
    if (str_empty(user)) {
        return true; /* anonymous: the server will say what it thinks of that */
    }
    return find_entry(l, "users", "user", user, &part, err) &&
           kubeconfig_user(&part, &cluster_entry, c, read_files, err);
}

static struct k8s_config *finish(struct loader *l, const char *context, bool read_files, struct error *err) {
    struct k8s_config *c = k8s_config_new();
    error_clear(err);
    if (!resolve(l, context, c, read_files, err)) {
        k8s_config_free(c);
        c = NULL;
    } else {
        error_clear(err);
    }
    return c;
}

static void loader_done(struct loader *l) {
    for (size_t i = 0; i < l->count; i++) {
        json_free(l->files[i].doc);
    }
    arena_free(l->arena);
}

struct k8s_config *kubeconfig_load(const struct kubeconfig_source *s, const char *context, struct error *err) {
    struct loader l = {.arena = arena_new(0)};
    struct k8s_config *c = NULL;
    bool ok = true;

    error_clear(err);
    for (size_t i = 0; i < s->npaths && ok; i++) {
        ok = add_file(&l, s->paths[i], s->explicit_path, err);
    }
    if (ok && l.count == 0) {
        ok = error_set(err, ERR_NO_CREDENTIALS, "no kubeconfig at %s; give --kubeconfig FILE or set KUBECONFIG",
                       s->npaths > 0 ? s->paths[0] : "(nothing named)");
    }
    if (ok) {
        c = finish(&l, context, true, err);
    }
    loader_done(&l);
    return c;
}

struct k8s_config *kubeconfig_parse(const char *text, size_t len, const char *dir, const char *context, bool read_files,
                                    struct error *err) {
    struct loader l = {.arena = arena_new(0)};
    struct k8s_config *c = NULL;
    if (add_text(&l, "(text)", dir, text, len, err)) {
        c = finish(&l, context, read_files, err);
    }
    loader_done(&l);
    return c;
}
