/* face_tls.c - two certificates, and OpenSSL on sockets that do not block. */
#include "simulator/face_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "platform/base/str.h"
#include "platform/os/loop.h"

#define SIGNED_FOR "IP:127.0.0.1,DNS:localhost"

struct sim_tls {
    SSL_CTX *ctx;
    char *ca_pem;
};

struct sim_tls_link {
    SSL *ssl;
    bool broken;
    unsigned read_waits, write_waits; /* for what else than its own kind of event */
};

/* --- certificates --- */

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(cert, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

/* From a day ago: a container's clock may be behind that of its host. */
static bool describe(X509 *cert, const char *name, EVP_PKEY *key) {
    uint64_t serial;
    X509_NAME *subject = X509_get_subject_name(cert);
    return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 && X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1 &&
           X509_time_adj_ex(X509_getm_notBefore(cert), -1, 0, NULL) &&
           X509_time_adj_ex(X509_getm_notAfter(cert), SIM_TLS_DAYS, 0, NULL) &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1 &&
           X509_set_pubkey(cert, key) == 1;
}

static X509 *make_ca(EVP_PKEY *key) {
    X509 *ca = X509_new();
    if (ca && describe(ca, "cni-iam simulated authority", key) &&
        X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
        extend(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        extend(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        extend(ca, ca, NID_subject_key_identifier, "hash") && X509_sign(ca, key, EVP_sha256()) > 0)
        return ca;
    X509_free(ca);
    return NULL;
}

static X509 *make_server(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key) {
    X509 *cert = X509_new();
    if (cert && describe(cert, "cni-iam simulated world", key) &&
        X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
        extend(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        extend(cert, ca, NID_key_usage, "critical,digitalSignature") &&
        extend(cert, ca, NID_ext_key_usage, "serverAuth") && extend(cert, ca, NID_subject_alt_name, SIGNED_FOR) &&
        extend(cert, ca, NID_subject_key_identifier, "hash") &&
        extend(cert, ca, NID_authority_key_identifier, "keyid") && X509_sign(cert, ca_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static char *pem_of(X509 *cert) {
    char *text = NULL, *written = NULL;
    BIO *b = BIO_new(BIO_s_mem());
    if (b && PEM_write_bio_X509(b, cert) == 1) {
        long n = BIO_get_mem_data(b, &written);
        text = strndup(written, (size_t)n);
    }
    BIO_free(b);
    return text;
}

static SSL_CTX *make_context(X509 *cert, EVP_PKEY *key) {
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    if (!c || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 || SSL_CTX_use_certificate(c, cert) != 1 ||
        SSL_CTX_use_PrivateKey(c, key) != 1 || SSL_CTX_set_num_tickets(c, 0) != 1) {
        SSL_CTX_free(c);
        return NULL;
    }
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    /* What waits to be sent grows and moves between two tries, and each record that went out is one to forget. */
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    return c;
}

/* --- life --- */

struct sim_tls *sim_tls_new(struct error *err) {
    struct sim_tls *t = calloc(1, sizeof *t);
    if (!t)
        die("out of memory: TLS");
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = ca_key && key ? make_ca(ca_key) : NULL;
    X509 *cert = ca ? make_server(key, ca, ca_key) : NULL;
    t->ctx = cert ? make_context(cert, key) : NULL;
    t->ca_pem = ca ? pem_of(ca) : NULL;
    bool ok = (t->ctx && t->ca_pem) ||
              error_set(err, ERR_INTERNAL, "OpenSSL made no certificate: %s",
                        str_or(ERR_reason_error_string(ERR_peek_last_error()), "it does not say why"));
    X509_free(ca);
    X509_free(cert);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (!ok) {
        sim_tls_free(t);
        return NULL;
    }
    return t;
}

void sim_tls_free(struct sim_tls *t) {
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t->ca_pem);
    free(t);
}

const char *sim_tls_ca_pem(const struct sim_tls *t) {
    return t->ca_pem;
}

/* --- links --- */

struct sim_tls_link *sim_tls_accept(struct sim_tls *t, int fd) {
    struct sim_tls_link *k = calloc(1, sizeof *k);
    SSL *ssl = SSL_new(t->ctx);
    if (!k || !ssl || SSL_set_fd(ssl, fd) != 1)
        die("out of memory: TLS");
    SSL_set_accept_state(ssl);
    k->ssl = ssl;
    return k;
}

void sim_tls_end(struct sim_tls_link *k) {
    if (!k)
        return;
    if (!k->broken && sim_tls_is_ready(k))
        SSL_shutdown(k->ssl);
    SSL_free(k->ssl);
    ERR_clear_error();
    free(k);
}

/* What a call that did not succeed means: 0 or -1, and what it waits for. */
static ssize_t without(struct sim_tls_link *k, unsigned *waits, int result) {
    int why = SSL_get_error(k->ssl, result);
    ERR_clear_error();
    *waits = why == SSL_ERROR_WANT_READ ? LOOP_READ : why == SSL_ERROR_WANT_WRITE ? LOOP_WRITE : 0;
    if (*waits)
        return 0;
    k->broken = k->broken || why != SSL_ERROR_ZERO_RETURN;
    return -1;
}

ssize_t sim_tls_receive(struct sim_tls_link *k, void *to, size_t room) {
    size_t n = 0;
    if (k->broken)
        return -1;
    int result = SSL_read_ex(k->ssl, to, room, &n);
    if (result != 1)
        return without(k, &k->read_waits, result);
    k->read_waits = 0;
    return (ssize_t)n;
}

ssize_t sim_tls_send(struct sim_tls_link *k, const void *p, size_t n) {
    size_t sent = 0;
    if (k->broken)
        return -1;
    int result = SSL_write_ex(k->ssl, p, n, &sent);
    if (result != 1)
        return without(k, &k->write_waits, result);
    k->write_waits = 0;
    return (ssize_t)sent;
}

bool sim_tls_is_ready(const struct sim_tls_link *k) {
    return SSL_is_init_finished(k->ssl);
}

unsigned sim_tls_waits_for(const struct sim_tls_link *k) {
    return (k->read_waits & LOOP_WRITE) | (k->write_waits & LOOP_READ);
}
