#include "platform/base/mutant.h"

#include <string.h>

#ifdef CNI_IAM_MUTANTS
const char *mutant_on;

bool mutant_is_on(const char *name) {
    return mutant_on && strcmp(mutant_on, name) == 0;
}
#endif
