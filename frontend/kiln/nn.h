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
/* Activations with parameters, PyTorch's: elu_by scale (x above 0, else alpha (e^(x
 * input_scale) - 1)), celu alpha; softplus_by log(1 + e^(beta x)) / beta, x where beta x
 * is above threshold; hardtanh x held in [lo, hi]; threshold x above it, else value;
 * hardshrink 0 in [-lambda, lambda], softshrink x moved towards 0 by lambda; tanhshrink x
 * - tanh x; prelu x, times slope where negative ([1], or [C] of x [N, C, ..]); rrelu a
 * random slope in [lo, hi); glu the first half along dim times the sigmoid of the second;
 * softmin softmax of -x. */
KL_API kl_tensor *kl_elu_by_at(const char *at, kl_tensor *x, double alpha, double scale,
                               double input_scale);
KL_API kl_tensor *kl_celu_at(const char *at, kl_tensor *x, double alpha);
KL_API kl_tensor *kl_softplus_by_at(const char *at, kl_tensor *x, double beta,
                                    double threshold);
KL_API kl_tensor *kl_hardtanh_at(const char *at, kl_tensor *x, double lo, double hi);
KL_API kl_tensor *kl_threshold_at(const char *at, kl_tensor *x, double threshold,
                                  double value);
KL_API kl_tensor *kl_hardshrink_at(const char *at, kl_tensor *x, double lambda);
KL_API kl_tensor *kl_softshrink_at(const char *at, kl_tensor *x, double lambda);
KL_API kl_tensor *kl_tanhshrink_at(const char *at, kl_tensor *x);
KL_API kl_tensor *kl_prelu_at(const char *at, kl_tensor *x, kl_tensor *slope);
KL_API kl_tensor *kl_rrelu_at(const char *at, kl_tensor *x, double lo, double hi,
                              bool training);
KL_API kl_tensor *kl_glu_at(const char *at, kl_tensor *x, int dim);
KL_API kl_tensor *kl_softmin_at(const char *at, kl_tensor *x, int dim);
/* A draw of a class along dim, in shares: softmax((x + gumbel) / tau); hard: 1 for the
 * largest and 0 else, with the gradient of the shares. */
KL_API kl_tensor *kl_gumbel_softmax_at(const char *at, kl_tensor *x, double tau,
                                       bool hard, int dim);
/* v g / |v|, the norm over all axes but dim (-1: over all) */
KL_API kl_tensor *kl_weight_norm_at(const char *at, kl_tensor *v, kl_tensor *g, int dim);
/* Rows of weight [n, d] at index [..]: [.., d]. */
KL_API kl_tensor *kl_embedding_at(const char *at, kl_tensor *index, kl_tensor *weight);
/* Zero with probability p, else x / (1 - p); x itself when not training. */
KL_API kl_tensor *kl_dropout_at(const char *at, kl_tensor *x, double p, bool training);
/* Bags of rows of weight [n, d]: index [bags, k], or [n] with each bag's first offset
 * (last: and the end); mode "sum", "mean", "max"; weights (sum only, may be NULL) of
 * index's shape; an index equal to padding does not count. */
KL_API kl_tensor *kl_embedding_bag_at(const char *at, kl_tensor *index, kl_tensor *weight,
                                      kl_tensor *offsets, const char *mode,
                                      kl_tensor *weights, bool last, bool has_padding,
                                      int64_t padding);
/* a [.., i] w [o, i, j] b [.., j]: a w b + bias, [.., o] */
KL_API kl_tensor *kl_bilinear_at(const char *at, kl_tensor *a, kl_tensor *b, kl_tensor *w,
                                 kl_tensor *bias);
/* As batch norm, of each channel of each sample; own: by its own statistics. */
KL_API kl_tensor *kl_instance_norm_at(const char *at, kl_tensor *x, kl_tensor *mean,
                                      kl_tensor *var, kl_tensor *w, kl_tensor *b,
                                      bool own, double momentum, double eps);
/* x / (k + alpha times the mean square of size neighbouring channels)^beta */
KL_API kl_tensor *kl_local_response_norm_at(const char *at, kl_tensor *x, int64_t size,
                                            double alpha, double beta, double k);
/* whole channels; what is dropped is selu's lowest value, mean and variance kept */
enum { KL_DROP_CHANNELS = 1, KL_DROP_ALPHA = 2 };
KL_API kl_tensor *kl_dropout_by_at(const char *at, kl_tensor *x, double p, bool training,
                                   int how);
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
/* The same with numbers an axis: one for all of them, or one each; none: 1, 0, 1, 0. */
typedef struct kl_conv_axes {
    kl_ints stride, padding, dilation, output_padding;
    int64_t groups;  /* 0: one */
    bool same;       /* padded so that extents stay (stride 1) */
    bool transposed; /* w [C, O / groups, kernel..] */
} kl_conv_axes;
/* x [N, C, spatial..] or [C, spatial..] */
KL_API kl_tensor *kl_convolution_at(const char *at, kl_tensor *x, kl_tensor *w,
                                    kl_tensor *b, kl_conv_axes o);

/* Windows of `size` along each of the last `dims` axes; stride none: size. */
typedef struct kl_pool_axes {
    kl_ints size, stride, padding, dilation;
    bool ceil;            /* also windows that reach beyond the end */
    bool exclude_padding; /* averages: count elements alone */
    int64_t divisor;      /* averages: by this number; 0: the count */
} kl_pool_axes;
/* *index (may be NULL): where the largest stands among the last dims axes, flattened. */
KL_API kl_tensor *kl_max_pool_axes_at(const char *at, kl_tensor *x, int dims,
                                      kl_pool_axes o, kl_tensor **index);
KL_API kl_tensor *kl_avg_pool_axes_at(const char *at, kl_tensor *x, int dims,
                                      kl_pool_axes o);
/* the p-th root of sums of p-th powers */
KL_API kl_tensor *kl_lp_pool_at(const char *at, kl_tensor *x, int dims, double p,
                                kl_pool_axes o);
/* So many windows: from floor(i n / m) to ceil((i + 1) n / m); -1: as many as elements.
 */
KL_API kl_tensor *kl_adaptive_avg_pool_at(const char *at, kl_tensor *x, int dims,
                                          kl_ints out);
KL_API kl_tensor *kl_adaptive_max_pool_at(const char *at, kl_tensor *x, int dims,
                                          kl_ints out, kl_tensor **index);
/* x's elements at the places that max_pool told, in zeros of those last axes */
KL_API kl_tensor *kl_max_unpool_at(const char *at, kl_tensor *x, kl_tensor *index,
                                   int dims, kl_ints out);
/* The largest of windows whose places are random: out of them along each of the last dims axes
 * (2 or 3), of `size`; samples [N, C, dims] in [0, 1); *index as max_pool's. */
KL_API kl_tensor *kl_fractional_max_pool_at(const char *at, kl_tensor *x, int dims,
                                            kl_ints size, kl_ints out, kl_tensor *samples,
                                            kl_tensor **index);

/* ---- images by other numbers of pixels ---- */
/* x [N, C, ..] to `size` by "nearest", "nearest-exact", "linear", "bilinear",
 * "trilinear", "bicubic"; scale (an axis each, 0: from the sizes; may be NULL): outputs
 * an input. */
KL_API kl_tensor *kl_interpolate_at(const char *at, kl_tensor *x, kl_ints size,
                                    const double *scale, const char *mode,
                                    bool align_corners, bool antialias);
/* as kl_pad, filled by "reflect", "replicate" or "circular" */
KL_API kl_tensor *kl_pad_mode_at(const char *at, kl_tensor *x, kl_ints pads,
                                 const char *mode);
/* x [N, C, H, W] at grid [N, h, w, 2] (places in [-1, 1], x first), or one axis more;
 * mode "bilinear", "nearest", "bicubic"; padding "zeros", "border", "reflection" */
KL_API kl_tensor *kl_grid_sample_at(const char *at, kl_tensor *x, kl_tensor *grid,
                                    const char *mode, const char *padding,
                                    bool align_corners);
/* theta [N, 2, 3] or [N, 3, 4], size [N, C, ..]: the grid of theta's images of places */
KL_API kl_tensor *kl_affine_grid_at(const char *at, kl_tensor *theta, kl_ints size,
                                    bool align_corners);
/* [.., C r^2, H, W] to [.., C, H r, W r] and back; channels of groups interleaved */
KL_API kl_tensor *kl_pixel_shuffle_at(const char *at, kl_tensor *x, int64_t r);
KL_API kl_tensor *kl_pixel_unshuffle_at(const char *at, kl_tensor *x, int64_t r);
KL_API kl_tensor *kl_channel_shuffle_at(const char *at, kl_tensor *x, int64_t groups);
typedef struct kl_column_options {
    kl_ints size, dilation, padding, stride;
} kl_column_options;
/* [N, C, H, W] to [N, C kh kw, windows], and back into `size`: overlaps are summed */
KL_API kl_tensor *kl_im2col_at(const char *at, kl_tensor *x, kl_column_options o);
KL_API kl_tensor *kl_col2im_at(const char *at, kl_tensor *x, kl_ints size,
                               kl_column_options o);

/* ---- pooling with one number for all axes ---- */
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
/* From here on this thread draws by a seed that is a tensor, u32[2] with the low word first,
 * its streams numbered from 0: a traced function whose parameter it is draws anew in each
 * call that gives another one. NULL: from a generator again. KL_ERR_ARG: no such tensor. */
KL_API kl_status kl_draw_from_at(const char *at, kl_tensor *seed);
#define kl_draw_from(seed) kl_draw_from_at(KL_HERE, seed)
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
/* Of t's shape and dtype: exponential of that rate, Cauchy's, how many trials until the
 * first success, e^normal. */
KL_API kl_tensor *kl_exponential_at(const char *at, kl_tensor *t, double rate);
KL_API kl_tensor *kl_cauchy_at(const char *at, kl_tensor *t, double median, double sigma);
KL_API kl_tensor *kl_geometric_at(const char *at, kl_tensor *t, double p);
KL_API kl_tensor *kl_log_normal_at(const char *at, kl_tensor *t, double mean, double std);
/* weights [n] or [rows, n]: draws of class numbers, i64; again: one more than once */
KL_API kl_tensor *kl_multinomial_at(const char *at, kl_tensor *weights, int64_t n,
                                    bool again);
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
