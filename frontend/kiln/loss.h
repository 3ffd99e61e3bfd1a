/* kiln/loss.h: losses. Operands are real tensors of one shape, where no other is said;
 * without options the result is their mean over all elements, 0-d, in their dtype (f16
 * and bf16 are computed in f32 and rounded once). Shapes that do not fit are
 * KL_ERR_SHAPE, integers KL_ERR_DTYPE; a class out of range is found when the value is
 * computed. With d = x - y, after PyTorch's definitions:
 *
 * mse d^2; l1 |d|; huber d^2 / 2 up to beta, else beta (|d| - beta / 2); smooth_l1 the
 * same divided by beta; bce -(y log p + (1 - y) log(1 - p)), each log no less than -100,
 * bce_with_logits the same of sigmoid(x), without overflow; kl_div y (log y - x);
 * cross_entropy -log softmax(logits)[target]. A weighted mean is over the weights. */
#ifndef KILN_LOSS_H
#define KILN_LOSS_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kl_reduction {
    KL_REDUCE_MEAN,
    KL_REDUCE_SUM,
    KL_REDUCE_NONE,
    KL_REDUCE_BATCHMEAN /* the sum divided by the first extent */
} kl_reduction;
typedef struct kl_loss_options {
    kl_reduction reduction;
    kl_tensor *weight;      /* of each class; bce: of each element */
    double label_smoothing; /* cross entropy */
    double beta;            /* huber's delta, smooth l1's beta; 0: 1 */
    bool ignore;            /* cross entropy: leave out targets equal to ignore_index */
    int64_t ignore_index;
    kl_tensor *pos_weight; /* bce_with_logits: what counts where y is 1 */
    bool log_target;       /* kl_div: y in logs too */
    double margin;         /* margin losses */
    bool log_input, full;  /* poisson: x in logs; poisson and gaussian: all terms */
    double eps; /* poisson, gaussian: added to, or least of, what is divided by */
    int end_;
} kl_loss_options;

/* logits [N, C, ..]; target: class indices [N, ..], or probabilities of logits' shape */
KL_API kl_tensor *kl_cross_entropy_at(const char *at, kl_tensor *logits,
                                      kl_tensor *target, kl_loss_options o);
/* the same on log-probabilities */
KL_API kl_tensor *kl_nll_loss_at(const char *at, kl_tensor *logp, kl_tensor *target,
                                 kl_loss_options o);
KL_API kl_tensor *kl_mse_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                 kl_loss_options o);
KL_API kl_tensor *kl_l1_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                kl_loss_options o);
KL_API kl_tensor *kl_huber_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                   kl_loss_options o);
KL_API kl_tensor *kl_smooth_l1_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                       kl_loss_options o);
KL_API kl_tensor *kl_bce_loss_at(const char *at, kl_tensor *p, kl_tensor *y,
                                 kl_loss_options o);
KL_API kl_tensor *kl_bce_with_logits_at(const char *at, kl_tensor *x, kl_tensor *y,
                                        kl_loss_options o);
/* y (log x's target) in probabilities, x in logs */
KL_API kl_tensor *kl_kl_div_at(const char *at, kl_tensor *x, kl_tensor *y,
                               kl_loss_options o);

/* ---- loss_margin.c ---- */

/* e^x - y x (log_input), else x - y log(x + eps); full: with Stirling's terms of y! */
KL_API kl_tensor *kl_poisson_nll_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                         kl_loss_options o);
/* (log v + (x - y)^2 / v) / 2, v = max(var, eps); full: + log(2 pi) / 2 */
KL_API kl_tensor *kl_gaussian_nll_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                          kl_tensor *var, kl_loss_options o);
/* y 1: x; y -1: max(0, margin - x) */
KL_API kl_tensor *kl_hinge_embedding_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                             kl_loss_options o);
/* log(1 + e^(-y x)) */
KL_API kl_tensor *kl_soft_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                         kl_loss_options o);
/* y 1: 1 - cos(a, b); y -1: max(0, cos(a, b) - margin) */
KL_API kl_tensor *kl_cosine_embedding_loss_at(const char *at, kl_tensor *a, kl_tensor *b,
                                              kl_tensor *y, kl_loss_options o);
/* max(0, margin - y (a - b)) */
KL_API kl_tensor *kl_margin_ranking_loss_at(const char *at, kl_tensor *a, kl_tensor *b,
                                            kl_tensor *y, kl_loss_options o);
/* x [N, C] or [C]; y the class: sum over the others of max(0, margin - x[y] + x[i])^p / C
 */
KL_API kl_tensor *kl_multi_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                          int p, kl_loss_options o);
/* y [N, C]: classes up to the first -1 */
KL_API kl_tensor *kl_multilabel_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                               kl_loss_options o);
/* y [N, C] of 0 and 1: mean over classes of bce_with_logits */
KL_API kl_tensor *kl_multilabel_soft_margin_loss_at(const char *at, kl_tensor *x,
                                                    kl_tensor *y, kl_loss_options o);
/* max(0, d(a, p) - d(a, n) + margin), d of p-norm; swap: the nearer of a, p to n */
KL_API kl_tensor *kl_triplet_margin_loss_at(const char *at, kl_tensor *a, kl_tensor *p,
                                            kl_tensor *n, double norm, double eps,
                                            bool swap, kl_loss_options o);

/* ---- ctc.c ---- */
/* logp [T, N, C] or [T, C]: log-probabilities of labels a step; targets [N, S], or one
 * after the other; steps and lengths [N]: how many of each count. Mean: over samples,
 * each divided by its length. Lengths are read at once. */
KL_API kl_tensor *kl_ctc_loss_at(const char *at, kl_tensor *logp, kl_tensor *targets,
                                 kl_tensor *steps, kl_tensor *lengths, int64_t blank,
                                 bool zero_infinity, kl_loss_options o);

#ifndef __cplusplus
#define KL_LOSS_(fn, x, ...) KL_LOSS2_(fn, x, __VA_ARGS__, .end_ = 0)
#define KL_LOSS2_(fn, x, y, ...) fn(KL_HERE, x, y, (kl_loss_options){__VA_ARGS__})
#define kl_cross_entropy(x, ...) KL_LOSS_(kl_cross_entropy_at, x, __VA_ARGS__)
#define kl_nll_loss(x, ...) KL_LOSS_(kl_nll_loss_at, x, __VA_ARGS__)
#define kl_mse_loss(x, ...) KL_LOSS_(kl_mse_loss_at, x, __VA_ARGS__)
#define kl_l1_loss(x, ...) KL_LOSS_(kl_l1_loss_at, x, __VA_ARGS__)
#define kl_huber_loss(x, ...) KL_LOSS_(kl_huber_loss_at, x, __VA_ARGS__)
#define kl_smooth_l1_loss(x, ...) KL_LOSS_(kl_smooth_l1_loss_at, x, __VA_ARGS__)
#define kl_bce_loss(x, ...) KL_LOSS_(kl_bce_loss_at, x, __VA_ARGS__)
#define kl_bce_with_logits(x, ...) KL_LOSS_(kl_bce_with_logits_at, x, __VA_ARGS__)
#define kl_kl_div(x, ...) KL_LOSS_(kl_kl_div_at, x, __VA_ARGS__)
#endif

#ifdef __cplusplus
}
#endif
#endif
