/* kiln/autograd.h: gradients. A leaf that requires them collects them in kl_grad_of;
 * operations on it are differentiated by kl_backward, or functionally by kl_grad. */
#ifndef KILN_AUTOGRAD_H
#define KILN_AUTOGRAD_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Only real and complex dtypes; only leaves. Returns t. */
KL_API kl_tensor *kl_requires_grad_at(const char *at, kl_tensor *t, bool on);
#define kl_requires_grad_(t) kl_requires_grad_at(KL_HERE, t, true)
KL_API bool kl_requires_grad(const kl_tensor *t);
KL_API bool kl_is_leaf(const kl_tensor *t);
/* "AddBackward0": the operation t comes from; NULL where there is none. */
KL_API const char *kl_grad_fn(kl_tensor *t);
/* The function fn made t, whatever it consists of; the name must stay as long as t does.
 */
KL_API void kl_tensor_named(kl_tensor *t, const char *fn);
/* Up to cap of the tensors that this operation was given and that a gradient flows to:
 * results of others, and leaves. How many; -1: an error. */
KL_API int kl_grad_operands(kl_tensor *t, kl_tensor **out, int cap);
/* The same for tensors whose gradients meet in one operation or one leaf; 0: none. Good
 * for as long as one of them lives. */
KL_API uint64_t kl_grad_id(kl_tensor *t);
/* What backward collected; NULL so far. Belongs to the scope, like every result. */
KL_API kl_tensor *kl_grad_of(kl_tensor *t);
/* NULL forgets it: the next backward makes it anew. */
KL_API kl_status kl_set_grad(kl_tensor *t, kl_tensor *grad);
/* Collect the gradient of a tensor that is no leaf, too. */
KL_API kl_status kl_retain_grad(kl_tensor *t);
KL_API bool kl_retains_grad(const kl_tensor *t);
/* The same storage, and no gradient. */
KL_API kl_tensor *kl_detach_at(const char *at, kl_tensor *t);
#define kl_detach(t) kl_detach_at(KL_HERE, t)

/* A handle of v's storage that stands for t: its requires_grad and its gradient. */
KL_API kl_tensor *kl_with_data_at(const char *at, kl_tensor *t, kl_tensor *v);
#define kl_with_data(t, v) kl_with_data_at(KL_HERE, t, v)
/* Nothing is recorded between these, on this thread; they nest. */
KL_API void kl_no_grad_begin(void);
KL_API void kl_no_grad_end(void);
KL_API bool kl_grad_enabled(void);
KL_API bool kl_set_grad_enabled(bool on); /* returns what it was */

/* Add d y / d leaf to each leaf's grad. seed (NULL: 1, for a single element) weighs y. */
KL_API kl_status kl_backward_at(const char *at, kl_tensor *y, kl_tensor *seed,
                                bool retain, bool create_graph);
#define kl_backward(y) kl_backward_at(KL_HERE, y, NULL, false, false)
#define kl_backward_with(y, seed, retain, create_graph)                                  \
    kl_backward_at(KL_HERE, y, seed, retain, create_graph)
/* A derivative of one's own. From dy[nout], the gradients of the results (NULL: none
 * came), give dx[nin], those of the operands (NULL: none goes on), as tensors of the open
 * scope. Called by backward, with recording on only for create_graph; not KL_OK ends it.
 */
typedef kl_status (*kl_cut_fn)(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                               int nin);
/* Replaces out[i] by tensors of the same values that depend on in[] by that derivative.
 * drop (may be NULL) is called when nobody needs user any more. */
KL_API kl_status kl_custom_at(const char *at, kl_tensor *const *in, int nin,
                              kl_tensor **out, int nout, kl_cut_fn fn, void *user,
                              void (*drop)(void *));
#define kl_custom(in, nin, out, nout, fn, user, drop)                                    \
    kl_custom_at(KL_HERE, in, nin, out, nout, fn, user, drop)
/* fn sees the gradient of t (nin and nout 1) on its way; dx[0] replaces it, unless NULL.
 * One a tensor: a second one replaces the first. */
KL_API kl_status kl_hook_at(const char *at, kl_tensor *t, kl_cut_fn fn, void *user,
                            void (*drop)(void *));
#define kl_hook(t, fn, user, drop) kl_hook_at(KL_HERE, t, fn, user, drop)
/* d y / d x for each x, into out[n]; nothing is collected. Zeros for an x that y does not
 * depend on: kl_depends tells. */
KL_API kl_status kl_grad_at(const char *at, kl_tensor *y, kl_tensor *const *x, int n,
                            kl_tensor *seed, bool retain, bool create_graph,
                            kl_tensor **out);
#define kl_grad(y, x, n, out) kl_grad_at(KL_HERE, y, x, n, NULL, false, false, out)
#define kl_grad_with(y, x, n, seed, retain, create_graph, out)                           \
    kl_grad_at(KL_HERE, y, x, n, seed, retain, create_graph, out)
/* on[i]: whether y was computed from x[i] by what is recorded. KL_ERR_STATE: y or an x is
 * not tracked. */
KL_API kl_status kl_depends_at(const char *at, kl_tensor *y, kl_tensor *const *x, int n,
                               bool *on);
#define kl_depends(y, x, n, on) kl_depends_at(KL_HERE, y, x, n, on)
/* Of a function: its value at x, and the gradients by each x in out[n]. */
typedef kl_tensor *(*kl_fn_of)(kl_tensor *const *x, int n, void *user);
KL_API kl_tensor *kl_value_and_grad_at(const char *at, kl_fn_of fn, void *user,
                                       kl_tensor *const *x, int n, kl_tensor **out);
#define kl_value_and_grad(fn, user, x, n, out)                                           \
    kl_value_and_grad_at(KL_HERE, fn, user, x, n, out)

/* fn(in, n, user) without keeping what it computes on the way: kl_backward calls fn
 * again, with the same random numbers, and so needs its memory one piece at a time. fn
 * must give the same each time; its in are in by value, without or with their own
 * gradients. The gradients have the bits they have without (a value that several pieces
 * read adds up their gradients latest piece first). Not through kl_grad, create_graph,
 * kl_compile or the one-call steps of kiln/optim.h: an error. */
KL_API kl_tensor *kl_checkpoint_at(const char *at, kl_fn_of fn, void *user,
                                   kl_tensor *const *in, int n);
#define kl_checkpoint(fn, user, in, n) kl_checkpoint_at(KL_HERE, fn, user, in, n)

#ifdef __cplusplus
}
#endif
#endif
