/*
 * commands.h - one function a subcommand; the result is the process's exit status.
 *
 * controller: 0 after a clean shutdown, 1 on any other end. plan: 2 when there are steps, 0 when there are none, 1 on error. approve: 0 or 1.
 * snapshot: 0 or 1. rehearse: 0 when it would get there, 2 when something would go wrong, 1 on error.
 * demo: 0 when the migration came to its end and no invariant was broken on the way.
 */
#ifndef CNI_IAM_CONTROLLER_COMMANDS_H
#define CNI_IAM_CONTROLLER_COMMANDS_H

#include "controller/options.h"

int command_controller(const struct options *o);
int command_plan(const struct options *o);
int command_approve(const struct options *o);
int command_demo(const struct options *o);
int command_snapshot(const struct options *o);
int command_rehearse(const struct options *o);

#endif
