/* kiln/control.h: loops and branches in the graph, for trip counts and choices that
 * depend on values.
 *
 *   static void cell(kl_tensor *const *in, kl_tensor **out, void *user)
 *   {                                              in: h, x[t]     out: h, y[t]
 *       out[0] = out[1] = kl_tanh(kl_add(kl_matmul(in[0], w), in[1]));
 *   }
 *   kl_tensor *out[2];
 *   kl_scan(cell, NULL, &h, 1, &x, 1, out, 2);     out[0]: the last h, out[1]: every y
 *
 * A body is called once, on tensors without values, each time the call is made: it says
 * what is to be computed, and its elements cannot be looked at. Tensors from outside that
 * it uses are read once, before the loop, and gradients flow to them too; numbers in it
 * are constants; random numbers drawn in it are the same in each trip. It may hold
 * further loops and branches, and write in place to tensors of its own only.
 *
 * Reverse mode goes through kl_scan, kl_cond and kl_while_within. The steps of kl_while
 * are not known before: a gradient through it is refused when the value is computed. */
#ifndef KILN_CONTROL_H
#define KILN_CONTROL_H

#include "kiln/compile.h"

#ifdef __cplusplus
extern "C" {
#endif

/* For each i along axis 0 of the nx tensors xs: (carry, y[i]) = body(carry, xs[i]). The
 * body gets ncarry carried tensors, then nx elements, and gives nout tensors: the carried
 * ones again, of the same dtypes and shapes, then one element of each stacked result.
 * out[0 .. nout): the last carried ones, then the stacked results [n, ..]. */
KL_API kl_status kl_scan_at(const char *at, kl_trace_fn body, void *user,
                            kl_tensor *const *carry, int ncarry, kl_tensor *const *xs,
                            int nx, kl_tensor **out, int nout);
#define kl_scan(body, user, carry, ncarry, xs, nx, out, nout)                            \
    kl_scan_at(KL_HERE, body, user, carry, ncarry, xs, nx, out, nout)

/* carry = body(carry) while test(carry), a bool of one element, holds; out[0 .. n). */
KL_API kl_status kl_while_at(const char *at, kl_trace_fn test, kl_trace_fn body,
                             void *user, kl_tensor *const *carry, int n, kl_tensor **out);
#define kl_while(test, body, user, carry, n, out)                                        \
    kl_while_at(KL_HERE, test, body, user, carry, n, out)

/* The same of at most `trips` trips, after which it ends whatever the test says: with a
 * gradient, for which the carried tensors of every trip are kept. */
KL_API kl_status kl_while_within_at(const char *at, kl_trace_fn test, kl_trace_fn body,
                                    void *user, kl_tensor *const *carry, int n,
                                    int64_t trips, kl_tensor **out);
#define kl_while_within(test, body, user, carry, n, trips, out)                          \
    kl_while_within_at(KL_HERE, test, body, user, carry, n, trips, out)

/* out[0 .. nout) = pred ? yes(in) : no(in): one of the two is run. pred is a bool of one
 * element; both sides give the same dtypes and shapes. */
KL_API kl_status kl_cond_at(const char *at, kl_tensor *pred, kl_trace_fn yes,
                            kl_trace_fn no, void *user, kl_tensor *const *in, int nin,
                            kl_tensor **out, int nout);
#define kl_cond(pred, yes, no, user, in, nin, out, nout)                                 \
    kl_cond_at(KL_HERE, pred, yes, no, user, in, nin, out, nout)

#ifdef __cplusplus
}
#endif
#endif
