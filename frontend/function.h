/* function.h: between trace.c and function.c. */
#ifndef KL_FUNCTION_H
#define KL_FUNCTION_H

#include "front.h"

/* A function whose first nin inputs of l are parameters; the others are captured. */
kl_function *kl_function_from(const kl_linear *l, int nin, const char *const *names);

/* NULL when it is interpreted. */
const kl_program *kl_function_program(const kl_function *f);

#endif
