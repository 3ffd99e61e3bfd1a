/* function.h: between trace.c, function.c and control.c. */
#ifndef KL_FUNCTION_H
#define KL_FUNCTION_H

#include "front.h"

/* A function whose first nin inputs of l are parameters; the others are captured.
 * donated: as kl_compile_donating has it. */
kl_function *kl_function_from(const kl_linear *l, int nin, const char *const *names,
                              const int *donated);

/* NULL when it is interpreted. */
const kl_program *kl_function_program(const kl_function *f);

/* trace.c: a tensor without a value; end the trace's scope. Storages written in it (dirty
 * ones from `before` on) must have been the function's own: they hang on parameters
 * without values and are not to be computed. */
kl_tensor *kl_trace_parameter(const kl_input *in, int device);
kl_status kl_trace_end(size_t before);

#endif
