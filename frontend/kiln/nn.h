/* kiln/nn.h: layers as functions, random numbers. Shapes in brackets; N is the batch, C
 * channels. Parameters are ordinary tensors. Statistics and losses of f16 and bf16 are
 * computed in f32 and rounded once, as PyTorch's kernels do. */
#ifndef KILN_NN_H
#define KILN_NN_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- layers ---- */
/* e^x / sum e^x along dim; log_softmax: its logarithm, without overflow. */
KL_API kl_tensor *kl_softmax_at(const char *at, kl_tensor *x, int dim);
KL_API kl_tensor *kl_log_softmax_at(const char *at, kl_tensor *x, int dim);
/* x [.., k] w [n, k] b [n] or NULL: x w^T + b, [.., n]. */
KL_API kl_tensor *kl_linear_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b);
/* Normalise over the last `dims` axes; w and b of their shape, or NULL. */
KL_API kl_tensor *kl_layer_norm_at(const char *at, kl_tensor *x, int dims, kl_tensor *w,
                                   kl_tensor *b, double eps);
KL_API kl_tensor *kl_rms_norm_at(const char *at, kl_tensor *x, int dims, kl_tensor *w,
                                 double eps);
/* x [N, C, ..]: groups of C / groups channels; w and b [C] or NULL. */
KL_API kl_tensor *kl_group_norm_at(const char *at, kl_tensor *x, int groups, kl_tensor *w,
                                   kl_tensor *b, double eps);
/* x [N, C, ..]. Training: this batch's mean and biased variance, and mean, var (may be
 * NULL) move in place towards it by momentum (the variance unbiased). Else mean and var
 * are used. */
KL_API kl_tensor *kl_batch_norm_at(const char *at, kl_tensor *x, kl_tensor *mean,
                                   kl_tensor *var, kl_tensor *w, kl_tensor *b,
                                   bool training, double momentum, double eps);
/* Rows of weight [n, d] at index [..]: [.., d]. */
KL_API kl_tensor *kl_embedding_at(const char *at, kl_tensor *index, kl_tensor *weight);
/* Zero with probability p, else x / (1 - p); x itself when not training. */
KL_API kl_tensor *kl_dropout_at(const char *at, kl_tensor *x, double p, bool training);
#define kl_softmax(x, dim) kl_softmax_at(KL_HERE, x, dim)
#define kl_log_softmax(x, dim) kl_log_softmax_at(KL_HERE, x, dim)
#define kl_linear(x, w, b) kl_linear_at(KL_HERE, x, w, b)
#define kl_layer_norm(x, dims, w, b, eps) kl_layer_norm_at(KL_HERE, x, dims, w, b, eps)
#define kl_rms_norm(x, dims, w, eps) kl_rms_norm_at(KL_HERE, x, dims, w, eps)
#define kl_group_norm(x, groups, w, b, eps)                                              \
    kl_group_norm_at(KL_HERE, x, groups, w, b, eps)
#define kl_batch_norm(x, mean, var, w, b, training, momentum, eps)                       \
    kl_batch_norm_at(KL_HERE, x, mean, var, w, b, training, momentum, eps)
#define kl_embedding(index, weight) kl_embedding_at(KL_HERE, index, weight)
#define kl_dropout(x, p, training) kl_dropout_at(KL_HERE, x, p, training)

/* ---- convolution and pooling over the last one, two or three axes ---- */
typedef struct kl_conv_options { /* one number each: the same for all axes */
    int stride, padding, dilation,
        groups; /* 0: stride 1, padding 0, dilation 1, one group */
    int end_;
} kl_conv_options;
/* x [N, C, spatial..] w [O, C / groups, kernel..] b [O] or NULL: [N, O, spatial..]. */
KL_API kl_tensor *kl_conv_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                             kl_conv_options o);
#define kl_conv(x, w, ...) KL_CONV_(x, w, __VA_ARGS__, .end_ = 0)
#define KL_CONV_(x, w, b, ...)                                                           \
    kl_conv_at(KL_HERE, x, w, b, (kl_conv_options){__VA_ARGS__})
#define kl_conv1d kl_conv
#define kl_conv2d kl_conv
#define kl_conv3d kl_conv
typedef struct kl_pool_options {
    int stride, padding; /* 0: stride of the kernel's size */
    int end_;
} kl_pool_options;
/* Windows of `size` along each of the last `dims` axes. Averages count the padding. */
KL_API kl_tensor *kl_max_pool_at(const char *at, kl_tensor *x, int dims, int size,
                                 kl_pool_options o);
KL_API kl_tensor *kl_avg_pool_at(const char *at, kl_tensor *x, int dims, int size,
                                 kl_pool_options o);
#define KL_POOL_(fn, x, dims, ...) KL_POOL2_(fn, x, dims, __VA_ARGS__, .end_ = 0)
#define KL_POOL2_(fn, x, dims, size, ...)                                                \
    fn(KL_HERE, x, dims, size, (kl_pool_options){__VA_ARGS__})
#define kl_max_pool1d(x, ...) KL_POOL_(kl_max_pool_at, x, 1, __VA_ARGS__)
#define kl_max_pool2d(x, ...) KL_POOL_(kl_max_pool_at, x, 2, __VA_ARGS__)
#define kl_avg_pool1d(x, ...) KL_POOL_(kl_avg_pool_at, x, 1, __VA_ARGS__)
#define kl_avg_pool2d(x, ...) KL_POOL_(kl_avg_pool_at, x, 2, __VA_ARGS__)

/* ---- random numbers: Philox 4x32-10 ----
 * Call number n after manual_seed draws from stream n: values depend on the program's
 * order of calls alone, not on threads, fusion or device. */
KL_API void kl_manual_seed(uint64_t seed);
/* A generator of one's own: a seed and the number of calls so far, which are its state.
 * NULL stands for the process's. A thread draws from the one that it uses;
 * kl_generator_use returns the one before. Not to be freed while a thread uses it. */
typedef struct kl_generator kl_generator;
KL_API kl_generator *kl_generator_new(uint64_t seed); /* NULL: out of memory */
KL_API void kl_generator_free(kl_generator *g);
KL_API kl_generator *kl_generator_use(kl_generator *g);
KL_API void kl_generator_set(kl_generator *g, uint64_t seed, uint64_t calls);
KL_API void kl_generator_get(kl_generator *g, uint64_t *seed, uint64_t *calls);
KL_API kl_tensor *kl_rand_at(const char *at, kl_ints shape, kl_dtype dt); /* [0, 1) */
KL_API kl_tensor *kl_randn_at(const char *at, kl_ints shape,
                              kl_dtype dt); /* mean 0, var 1 */
KL_API kl_tensor *kl_uniform_at(const char *at, kl_ints shape, kl_dtype dt, double lo,
                                double hi);
KL_API kl_tensor *kl_randint_at(const char *at, int64_t lo, int64_t hi, kl_ints shape,
                                kl_dtype dt);
KL_API kl_tensor *kl_randperm_at(const char *at, int64_t n); /* i64 */
/* 1 with probability p, in p's dtype. */
KL_API kl_tensor *kl_bernoulli_at(const char *at, kl_tensor *p);
/* As nn.Linear and nn.Conv start: uniform in +-1 / sqrt(fan in), f32; fan in: all axes
 * but the first. */
KL_API kl_tensor *kl_kaiming_at(const char *at, kl_ints shape);
#define kl_rand(shape, dt) kl_rand_at(KL_HERE, shape, dt)
#define kl_randn(shape, dt) kl_randn_at(KL_HERE, shape, dt)
#define kl_uniform(shape, dt, lo, hi) kl_uniform_at(KL_HERE, shape, dt, lo, hi)
#define kl_randint(lo, hi, shape, dt) kl_randint_at(KL_HERE, lo, hi, shape, dt)
#define kl_randperm(n) kl_randperm_at(KL_HERE, n)
#define kl_bernoulli(p) kl_bernoulli_at(KL_HERE, p)
#define kl_kaiming(shape) kl_kaiming_at(KL_HERE, shape)

#ifdef __cplusplus
}
#endif
#endif
