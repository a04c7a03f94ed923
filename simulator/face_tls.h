/*
 * face_tls.h - TLS for the faces of the simulated world: an authority of its own, and the server's end of connections.
 *
 * Model: sim_tls_new makes an authority that signs one certificate, for 127.0.0.1 and localhost. A client that is given
 * the authority's certificate trusts the face, and nobody else has to. No key is written anywhere; the authority's is
 * gone as soon as it has signed. A link is TLS over a socket that does not block: the handshake goes along with the
 * first calls of receive. TLS 1.2 at least; no certificates of clients, no resumption, no renegotiation.
 *
 * Ownership: sim_tls_new/_free; links by sim_tls_accept/sim_tls_end, before the sim_tls is freed. The socket stays the
 * caller's, who closes it after sim_tls_end. The process must ignore SIGPIPE, as loop_new makes it.
 * Errors: ERR_INTERNAL when OpenSSL makes no key or certificate. A link that is broken stays so; OpenSSL's queue of
 * errors is left empty.
 * Bounds: SIM_TLS_DAYS. A link keeps one record each way.
 */
#ifndef CNI_IAM_SIMULATOR_FACE_TLS_H
#define CNI_IAM_SIMULATOR_FACE_TLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/base/error.h"

#define SIM_TLS_DAYS (5 * 365)
#define SIM_TLS_RECORD ((size_t)16 * 1024) /* the most that one record holds */

struct sim_tls;
struct sim_tls_link;

struct sim_tls *sim_tls_new(struct error *err);
void sim_tls_free(struct sim_tls *t); /* NULL is fine */
const char *sim_tls_ca_pem(const struct sim_tls *t);

struct sim_tls_link *sim_tls_accept(struct sim_tls *t, int fd);
void sim_tls_end(struct sim_tls_link *k); /* says goodbye where that needs no waiting; NULL is fine */
/* Both: bytes; 0: not now; -1: the peer has ended, or the link is broken. receive takes what TLS has ready, so that
 * nothing waits of which the socket tells no more; therefore room is SIM_TLS_RECORD at least. Bytes that send did not
 * take are to be offered again, first and unchanged; they may lie elsewhere, and more may follow them. */
ssize_t sim_tls_receive(struct sim_tls_link *k, void *to, size_t room);
ssize_t sim_tls_send(struct sim_tls_link *k, const void *p, size_t n);
bool sim_tls_is_ready(const struct sim_tls_link *k); /* the handshake is over */
/* TLS may have to write before it can read, and to read before it can write: enum loop_io, to be waited for as well.
 * Whatever comes then, both are to be tried. */
unsigned sim_tls_waits_for(const struct sim_tls_link *k);

#endif
