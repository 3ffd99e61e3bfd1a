/* kiln/optim.h: optimisers. A step computes the gradients, the update of every parameter
 * and whatever else is pending as one program; what changes from step to step (learning
 * rate, step number) is an input of it, so it compiles once.
 *
 *   kl_adam *opt = kl_adam_new(p, 4, .lr = 1e-2);
 *   kl_adam_step(opt, loss);          backward and update; or, as in PyTorch:
 *   kl_backward(loss); kl_optim_step(opt); kl_zero_grad(opt);
 *
 * Options are PyTorch's, and so are the rules. 0 means PyTorch's default; KL_ZERO means
 * 0. */
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
typedef enum kl_optim_rule {
    KL_SGD,
    KL_ADAM,
    KL_ADAMW,
    KL_RMSPROP,
    KL_ADAGRAD,
    KL_ADADELTA,
    KL_ADAMAX,
    KL_NADAM,
    KL_RADAM,
    KL_RPROP,
    KL_ASGD,
    KL_RULE_COUNT
} kl_optim_rule;
/* What no rule of this name reads is ignored. Defaults in the rules' order: lr 1e-3 (SGD,
 * Adam, AdamW), 1e-2, 1e-2, 1, 2e-3, 2e-3, 1e-3, 1e-2, 1e-2; weight_decay 0, AdamW 1e-2;
 * eps 1e-8, Adagrad 1e-10, Adadelta 1e-6. */
typedef struct kl_optim_options {
    double lr;
    double momentum, dampening, weight_decay;
    double beta1, beta2; /* 0.9, 0.999 */
    double eps;
    double alpha;               /* RMSprop: 0.99; ASGD: 0.75, the power of the rate */
    double rho;                 /* Adadelta: 0.9 */
    double lr_decay;            /* Adagrad */
    double momentum_decay;      /* NAdam: 4e-3 */
    double eta_minus, eta_plus; /* Rprop: 0.5, 1.2 */
    double step_min, step_max;  /* Rprop: 1e-6, 50 */
    double lambd, t0;           /* ASGD: 1e-4, 1e6 */
    bool nesterov, maximize, amsgrad;
    bool centered;  /* RMSprop: by the variance */
    bool decoupled; /* NAdam, RAdam: weight decay apart from the gradient, as AdamW's */
    int end_;
} kl_optim_options;
typedef kl_optim_options kl_sgd_options, kl_adam_options;

/* The parameters become leaves that require grad, and are held until kl_optim_free. */
KL_API kl_optim *kl_optim_new_at(const char *at, kl_optim_rule rule, kl_tensor *const *p,
                                 int n, kl_optim_options o);
#ifndef __cplusplus
#define KL_OPTIM_(rule, p, ...) KL_OPTIM2_(rule, p, __VA_ARGS__, .end_ = 0)
#define KL_OPTIM2_(rule, p, n, ...)                                                      \
    kl_optim_new_at(KL_HERE, rule, p, n, (kl_optim_options){__VA_ARGS__})
#define kl_sgd_new(p, ...) KL_OPTIM_(KL_SGD, p, __VA_ARGS__)
#define kl_adam_new(p, ...) KL_OPTIM_(KL_ADAM, p, __VA_ARGS__)
#define kl_adamw_new(p, ...) KL_OPTIM_(KL_ADAMW, p, __VA_ARGS__)
#define kl_rmsprop_new(p, ...) KL_OPTIM_(KL_RMSPROP, p, __VA_ARGS__)
#define kl_adagrad_new(p, ...) KL_OPTIM_(KL_ADAGRAD, p, __VA_ARGS__)
#define kl_adadelta_new(p, ...) KL_OPTIM_(KL_ADADELTA, p, __VA_ARGS__)
#define kl_adamax_new(p, ...) KL_OPTIM_(KL_ADAMAX, p, __VA_ARGS__)
#define kl_nadam_new(p, ...) KL_OPTIM_(KL_NADAM, p, __VA_ARGS__)
#define kl_radam_new(p, ...) KL_OPTIM_(KL_RADAM, p, __VA_ARGS__)
#define kl_rprop_new(p, ...) KL_OPTIM_(KL_RPROP, p, __VA_ARGS__)
#define kl_asgd_new(p, ...) KL_OPTIM_(KL_ASGD, p, __VA_ARGS__)
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
 * gradient (NULL: left alone), states of its shape, NULL where the rule has none:
 *
 * SGD momentum; Adam and AdamW mean, square, amsgrad's largest; RMSprop square, momentum,
 * mean; Adagrad sum; Adadelta square, delta; Adamax mean, largest; NAdam and RAdam mean,
 * square; Rprop previous gradient, step sizes; ASGD average.
 *
 * Nothing is computed before it is asked for, or kl_flush. step counts from 1; SGD's
 * momentum begins at step 1 as the gradient. carry: two numbers that go from step to step
 * (NAdam: the product of momenta, from 1; ASGD: the rate, from lr, and the average's
 * weight, from 1); NULL where the rule has none. */
enum { KL_OPTIM_STATES = 3 };
typedef struct kl_update {
    kl_tensor *p, *g, *state[KL_OPTIM_STATES];
} kl_update;
KL_API kl_status kl_optim_update_at(const char *at, kl_optim_rule rule,
                                    const kl_update *u, int n, kl_optim_options o,
                                    int64_t step, double carry[2]);
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
