/*
 * guard_switch.h - every guard and gate has a name, and tests can switch one off.
 *
 * Model: GUARD(name, condition) is the condition. In a build with CNI_IAM_GUARD_SWITCH (cmake --preset guards, tests only)
 * it is true without being asked while guard_switched_off holds the name: tests/unit/test_guards.c shows for each which
 * invariant it alone keeps. With CNI_IAM_MUTANTS a guard that is off is a mutant of the same name: the bench has to notice.
 */
#ifndef CNI_IAM_RECONCILERS_GUARD_SWITCH_H
#define CNI_IAM_RECONCILERS_GUARD_SWITCH_H

#ifdef CNI_IAM_GUARD_SWITCH
#include <string.h>
extern const char *guard_switched_off; /* NULL: none */
#define GUARD(name, condition) ((guard_switched_off && strcmp(guard_switched_off, #name) == 0) || (condition))
#elif defined CNI_IAM_MUTANTS
#include "platform/base/mutant.h"
#define GUARD(name, condition) (MUTANT(name) || (condition))
#else
#define GUARD(name, condition) (condition)
#endif

#endif
