/* function.h: between trace.c, function.c, function_dims.c and control.c. */
#ifndef KL_FUNCTION_H
#define KL_FUNCTION_H

#include "front.h"

typedef struct kl_port_at { /* an input or output */
    kl_dtype dtype;
    kl_ints shape;
    size_t bytes;
    bool open; /* some extents are symbolic */
} kl_port_at;
struct kl_function {
    int nin, nout, nall; /* nall: with what is captured */
    kl_port_at *in, *out;
    const char **names;  /* of all inputs, unique */
    kl_memory **held;    /* of captured inputs; [i] for i >= nin */
    kl_graph *graph;     /* as traced, for saving */
    kl_program *program; /* or, interpreted: */
    kl_graph *run;
    kl_arena *arena; /* owns all of the above but the held memory */
};
/* What one call works on: the ports at its dimensions. */
typedef struct kl_sizes {
    const kl_port_at *in, *out;
    const int64_t *dims;
} kl_sizes;
/* Check the memory and run. */
kl_status kl_function_run(const kl_function *f, const kl_sizes *z, const void *const *in,
                          void *const *out);

/* A function whose first nin inputs of l are parameters; the others are captured.
 * donated: as kl_compile_donating has it. */
struct kl_follow; /* of sizes that the user left open (sizes.h) */
/* open NULL: all are fixed. */
kl_function *kl_function_from(const kl_linear *l, int nin, const char *const *names,
                              const int *donated, struct kl_follow *open);

/* Whether this thread's new functions get a program; without, they are graphs to be
 * compiled ahead of time. */
void kl_function_programs(bool on);

/* NULL when it is interpreted. */
const kl_program *kl_function_program(const kl_function *f);

/* trace.c: a tensor without a value; end the trace's scope. Storages written in it (dirty
 * ones from `before` on) must have been the function's own: they hang on parameters
 * without values and are not to be computed. */
kl_tensor *kl_trace_parameter(const kl_input *in, int device);
kl_status kl_trace_end(size_t before);
/* The linear form of fn's results on parameters like `in`, these first. open: their sizes
 * are examples; nothing that fn makes of them is a constant. */
kl_status kl_trace(kl_trace_fn fn, void *user, const kl_input *in, int nin, int nout,
                   bool open, kl_linear *l);

#endif
