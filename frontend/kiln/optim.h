/* kiln/optim.h: optimisers. A step computes the gradients, the update of every parameter
 * and whatever else is pending as one program; what changes from step to step (learning
 * rate, step number) is an input of it, so it compiles once.
 *
 *   kl_adam *opt = kl_adam_new(p, 4, .lr = 1e-2);
 *   kl_adam_step(opt, loss);          backward and update; or, as in PyTorch:
 *   kl_backward(loss); kl_optim_step(opt); kl_zero_grad(opt);
 *
 * Options are PyTorch's. 0 means PyTorch's default; KL_ZERO means 0. */
#ifndef KILN_OPTIM_H
#define KILN_OPTIM_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KL_ZERO (-0.0)

typedef struct kl_optim kl_optim;
typedef kl_optim kl_sgd;
typedef kl_optim kl_adam;
typedef struct kl_sgd_options {
    double lr; /* 1e-3 */
    double momentum, dampening, weight_decay;
    bool nesterov, maximize;
    int end_;
} kl_sgd_options;
typedef struct kl_adam_options {
    double lr;           /* 1e-3 */
    double beta1, beta2; /* 0.9, 0.999 */
    double eps;          /* 1e-8 */
    double weight_decay; /* Adam: 0; AdamW: 1e-2 */
    bool amsgrad, maximize;
    int end_;
} kl_adam_options;

/* The parameters become leaves that require grad, and are held until kl_optim_free. */
KL_API kl_optim *kl_sgd_new_at(const char *at, kl_tensor *const *p, int n,
                               kl_sgd_options o);
KL_API kl_optim *kl_adam_new_at(const char *at, kl_tensor *const *p, int n,
                                kl_adam_options o);
KL_API kl_optim *kl_adamw_new_at(const char *at, kl_tensor *const *p, int n,
                                 kl_adam_options o);
#ifndef __cplusplus
#define KL_OPTIM_(fn, type, p, ...) KL_OPTIM2_(fn, type, p, __VA_ARGS__, .end_ = 0)
#define KL_OPTIM2_(fn, type, p, n, ...) fn(KL_HERE, p, n, (type){__VA_ARGS__})
#define kl_sgd_new(p, ...) KL_OPTIM_(kl_sgd_new_at, kl_sgd_options, p, __VA_ARGS__)
#define kl_adam_new(p, ...) KL_OPTIM_(kl_adam_new_at, kl_adam_options, p, __VA_ARGS__)
#define kl_adamw_new(p, ...) KL_OPTIM_(kl_adamw_new_at, kl_adam_options, p, __VA_ARGS__)
#endif
KL_API void kl_optim_free(kl_optim *o);

/* Update by the collected gradients; parameters without one stay as they are. */
KL_API kl_status kl_optim_step_at(const char *at, kl_optim *o);
#define kl_optim_step(o) kl_optim_step_at(KL_HERE, o)
/* Update by the gradients of loss, which are not collected; loss is computed with it. */
KL_API kl_status kl_optim_minimize_at(const char *at, kl_optim *o, kl_tensor *loss);
#define kl_optim_minimize(o, loss) kl_optim_minimize_at(KL_HERE, o, loss)
#define kl_sgd_step(o, loss) kl_optim_minimize_at(KL_HERE, o, loss)
#define kl_adam_step(o, loss) kl_optim_minimize_at(KL_HERE, o, loss)
/* Forget the collected gradients (set_to_none). */
KL_API void kl_zero_grad(kl_optim *o);
KL_API void kl_optim_set_lr(kl_optim *o, double lr);
KL_API double kl_optim_lr(const kl_optim *o);
/* One step for those who keep the state themselves (Python's optimisers): parameter,
 * gradient (NULL: left alone), state of its shape. Nothing is computed before it is asked
 * for, or kl_flush. step counts from 1; first: SGD's momentum begins as the gradient. */
typedef struct kl_update {
    kl_tensor *p, *g;
    kl_tensor *m, *v,
        *vmax; /* SGD: m is the momentum, or NULL; Adam: vmax with amsgrad */
} kl_update;
KL_API kl_status kl_sgd_update_at(const char *at, const kl_update *u, int n,
                                  kl_sgd_options o, bool first);
KL_API kl_status kl_adam_update_at(const char *at, const kl_update *u, int n,
                                   kl_adam_options o, bool decoupled, int64_t step);
/* Compute all that was written and is pending. */
KL_API kl_status kl_flush_at(const char *at);
#define kl_flush() kl_flush_at(KL_HERE)
/* Scale the gradients so that their joint norm is at most max; the norm before. */
KL_API kl_tensor *kl_clip_grad_norm_at(const char *at, kl_tensor *const *p, int n,
                                       double max);
#define kl_clip_grad_norm(p, n, max) kl_clip_grad_norm_at(KL_HERE, p, n, max)

#ifdef __cplusplus
}
#endif
#endif
