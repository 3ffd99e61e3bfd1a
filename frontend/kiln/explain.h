/* kiln/explain.h: what a computation will cost, before it runs, and why.
 *
 *   kl_cost c;
 *   kl_plan(&y, 1, &c);
 *   char *text = kl_explain(&y, 1);
 *   free(text);
 *
 * Both compile what kl_realize_all would run, without running it. */
#ifndef KILN_EXPLAIN_H
#define KILN_EXPLAIN_H

#include "kiln/compile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kl_cost {
    int64_t intermediates; /* exact bytes, at the peak, of what is neither input nor
                              result: arena and threads' tiles (kl_stats' pool_peak) */
    int64_t results;       /* bytes of what is computed; a function's are the caller's */
    int64_t inputs;        /* bytes of what is read and there already */
    int64_t launches;      /* kernels run */
    double flops;          /* floating-point operations: an fma two, exp its body's */
    double bytes;          /* that the kernels must move: each operand once */
} kl_cost;
/* Memory use rises by intermediates + results; kl_set_memory_limit refuses by that sum.
 */
KL_API kl_status kl_plan_at(const char *at, kl_tensor *const *t, int n, kl_cost *out);
#define kl_plan(t, n, out) kl_plan_at(KL_HERE, t, n, out)
KL_API kl_status kl_function_plan(const kl_function *f, kl_cost *out);

/* One line a kernel, in launch order: what was fused, where it comes from in the user's
 * source, bytes, operations, operations a byte, the time that this machine's memory and
 * arithmetic allow at best, and which of the two bounds it; then the sums. The machine's
 * speed is measured at the first call (about 0.1 s). To be freed with free(); NULL after
 * a failure. */
KL_API char *kl_explain_at(const char *at, kl_tensor *const *t, int n);
#define kl_explain(t, n) kl_explain_at(KL_HERE, t, n)
KL_API char *kl_function_explain(const kl_function *f);

#ifdef __cplusplus
}
#endif
#endif
