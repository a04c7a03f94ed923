/*
 * guard_switch.h - TESTS ONLY: one guard can be compiled out (cmake -DCNI_IAM_GUARD_OFF=name) to show which invariant it alone keeps.
 * In every other build GUARD(name, condition) is the condition.
 */
#ifndef CNI_IAM_RECONCILERS_GUARD_SWITCH_H
#define CNI_IAM_RECONCILERS_GUARD_SWITCH_H

#ifdef CNI_IAM_GUARD_OFF
#include <string.h>
#define GUARD(name, condition) (strcmp(CNI_IAM_GUARD_OFF, #name) == 0 || (condition))
#else
#define GUARD(name, condition) (condition)
#endif

#endif
