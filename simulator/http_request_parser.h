/*
 * http_request_parser.h - the bytes of one HTTP/1.1 request, strictly.
 *
 * Model: a pure function: all bytes of the connection that are not consumed yet go in, and it says whether they begin
 * with a whole request. Strict: what two readers could read differently (bare CR or LF, folded headers, two lengths, a
 * length and chunks, chunk extensions, trailers, white space before a colon, HTTP/1.0) is refused, never guessed.
 *
 * Ownership: the request's strings live in the arena.   Errors: SIM_HTTP_BAD with a status and a sentence.
 * Bounds: SIM_HTTP_*_MAX below.   Source: RFC 9112.
 */
#ifndef CNI_IAM_SIMULATOR_HTTP_REQUEST_PARSER_H
#define CNI_IAM_SIMULATOR_HTTP_REQUEST_PARSER_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/base/arena.h"
#include "simulator/http_message.h"

#define SIM_HTTP_LINE_MAX ((size_t)16 * 1024)
#define SIM_HTTP_HEAD_MAX ((size_t)64 * 1024)
#define SIM_HTTP_HEADERS_MAX 100
#define SIM_HTTP_BODY_MAX ((size_t)4 * 1024 * 1024)
#define SIM_HTTP_CHUNKS_MAX 65536
/* What an unfinished request may take as it comes: its head, its body, and the sizes of its chunks. */
#define SIM_HTTP_REQUEST_MAX (SIM_HTTP_HEAD_MAX + SIM_HTTP_BODY_MAX + (size_t)SIM_HTTP_CHUNKS_MAX * 12 + 16)

enum sim_http_parse { SIM_HTTP_MORE, SIM_HTTP_WHOLE, SIM_HTTP_BAD };

struct sim_http_parsed {
    struct sim_http_request request; /* WHOLE */
    size_t used;                     /* WHOLE: bytes that it took */
    bool close;                      /* WHOLE: the client wants the connection to end with the answer */
    bool expects_continue; /* MORE: the head is whole, and the client waits for 100 before it sends the body */
    int status;            /* BAD: what to answer, 400, 413 or 431 */
    const char *why;       /* BAD: static */
};

enum sim_http_parse sim_http_request_parse(const char *bytes, size_t n, struct arena *a, struct sim_http_parsed *out);

#endif
