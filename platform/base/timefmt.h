/*
 * timefmt.h - instants as text: RFC 3339 as Kubernetes and AWS write it, HTTP dates, SigV4's basic format.
 *
 * Model: an instant is int64_t milliseconds since 1970-01-01T00:00:00Z (wall clock). Durations are `_ms` int64_t.
 * Pure: reads no clock.  Errors: parse returns false; nothing is written then.
 * Source: RFC 3339 section 5.6, RFC 9110 section 5.6.7 (IMF-fixdate), Kubernetes Time and MicroTime (K-LE4: exactly six decimals).
 */
#ifndef CNI_IAM_BASE_TIMEFMT_H
#define CNI_IAM_BASE_TIMEFMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMEFMT_MAX 40

void timefmt_rfc3339(int64_t ms, char out[TIMEFMT_MAX]);  /* 2026-01-02T03:04:05Z */
void timefmt_micro(int64_t us, char out[TIMEFMT_MAX]);    /* 2026-01-02T03:04:05.000000Z; MICROseconds in */
void timefmt_basic(int64_t ms, char out[TIMEFMT_MAX]);    /* 20260102T030405Z (SigV4) */
bool timefmt_parse_rfc3339(const char *s, int64_t *ms);   /* fractions and offsets accepted */
bool timefmt_parse_http_date(const char *s, int64_t *ms); /* Sun, 06 Nov 1994 08:49:37 GMT */

#endif
