/*
 * listener.h - a listening TCP socket exactly where it was asked for.
 * Ownership: the descriptor is the caller's.   Errors: ERR_INVALID (not HOST:PORT), ERR_IO; the message names the flag
 * and what to do.
 */
#ifndef CNI_IAM_CONTROLLER_LISTENER_H
#define CNI_IAM_CONTROLLER_LISTENER_H

#include "platform/base/error.h"

/* bind: as http_server_new takes it. Non-blocking, close-on-exec; -1 on error. *port: what is bound. */
int listener_open(const char *bind, const char *flag, int *port, struct error *err);

#endif
