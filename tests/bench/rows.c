/* rows.c: sums, rows, columns and broadcasts at many sizes: what no bar names and a user
 * still compares with PyTorch (bars.py row). peers.py has the same under the same names.
 *
 *   row-softmax-4096x64    many short rows
 *   row-sum0-4096x1024     down the columns */
#include "bench.h"

static int softmax(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_softmax(in[0], 1);
    return 1;
}

static int softmax_down(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_softmax(in[0], 0);
    return 1;
}

static int log_softmax(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_log_softmax(in[0], 1);
    return 1;
}

static int layer_norm(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_layer_norm(in[0], 1, in[1], in[2], 1e-5);
    return 1;
}

static int sum(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_sum(in[0]);
    return 1;
}

static int sum_rows(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_sum_at(KL_HERE, in[0], kl_axes(1), false);
    return 1;
}

static int sum_columns(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_sum_at(KL_HERE, in[0], kl_axes(0), false);
    return 1;
}

static int mean_rows(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_mean_at(KL_HERE, in[0], kl_axes(1), false);
    return 1;
}

static int max_columns(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_amax_at(KL_HERE, in[0], kl_axes(0), false);
    return 1;
}

static int sum_channels(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_sum_at(KL_HERE, in[0], kl_axes(0, 2, 3), false);
    return 1;
}

static int argmax_rows(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_argmax(in[0], 1, false);
    return 1;
}

static int argmax_columns(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_argmax(in[0], 0, false);
    return 1;
}

static int cumsum_rows(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_cumsum(in[0], 1);
    return 1;
}

static int cumsum_columns(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_cumsum(in[0], 0);
    return 1;
}

static int add(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_add(in[0], in[1]);
    return 1;
}

static int add_turned(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_add(in[0], kl_t(in[1]));
    return 1;
}

static int add_half(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_add(kl_slice_at(KL_HERE, in[0], 1, 0, INT64_MAX, 2), in[1]);
    return 1;
}

static int copy_turned(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_contiguous(kl_mul(kl_t(in[0]), 1.5));
    return 1;
}

static int times(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_matmul(in[0], in[1]);
    return 1;
}

#define ROW1(name, build, dt, ...)                                                       \
    {                                                                                    \
        "row-" name, 1, {V(__VA_ARGS__)}, build, false, 4, dt                            \
    }
#define ROW2(name, build, a, b)                                                          \
    {                                                                                    \
        "row-" name, 2, {a, b}, build, false, 1, KL_F32                                  \
    }
#define M 1000000
const bench_case bench_rows[] = {
    ROW1("softmax-32768x64", softmax, KL_F32, 32768, 64),
    ROW1("softmax-16384x128", softmax, KL_F32, 16384, 128),
    ROW1("softmax-40x100000", softmax, KL_F32, 40, 100000),
    ROW1("softmax-1x4000000", softmax, KL_F32, 1, 4 * M),
    ROW1("softmax-4096x1024-bf16", softmax, KL_BF16, 4096, 1024),
    ROW1("softmax-4096x1024-f16", softmax, KL_F16, 4096, 1024),
    ROW1("softmax0-1024x4096", softmax_down, KL_F32, 1024, 4096),
    ROW1("logsoftmax-4096x1024", log_softmax, KL_F32, 4096, 1024),
    ROW1("logsoftmax-32768x64", log_softmax, KL_F32, 32768, 64),
    ROW1("logsoftmax-128x50000", log_softmax, KL_F32, 128, 50000),
    {"row-layernorm-32768x64", 3, {V(32768, 64), V(64), V(64)}, layer_norm, false, 1, 0},
    {"row-layernorm-40x100000",
     3,
     {V(40, 100000), V(100000), V(100000)},
     layer_norm,
     false,
     1,
     0},
    {"row-layernorm-4096x1024-bf16",
     3,
     {V(4096, 1024), V(1024), V(1024)},
     layer_norm,
     false,
     1,
     KL_BF16},
    ROW1("sum-50M", sum, KL_F32, 50 * M),
    ROW1("sum-1M", sum, KL_F32, M),
    ROW1("sum-10k", sum, KL_F32, 10000),
    ROW1("sum-20M-bf16", sum, KL_BF16, 20 * M),
    ROW1("sum1-4096x1024", sum_rows, KL_F32, 4096, 1024),
    ROW1("sum1-300000x10", sum_rows, KL_F32, 300000, 10),
    ROW1("sum1-100000x64", sum_rows, KL_F32, 100000, 64),
    ROW1("mean1-16384x256", mean_rows, KL_F32, 16384, 256),
    ROW1("mean1-4096x1024-f16", mean_rows, KL_F16, 4096, 1024),
    ROW1("sum0-4096x1024", sum_columns, KL_F32, 4096, 1024),
    ROW1("sum0-1000000x10", sum_columns, KL_F32, M, 10),
    ROW1("sum0-32x100000", sum_columns, KL_F32, 32, 100000),
    ROW1("sum0-100x128", sum_columns, KL_F32, 100, 128),
    ROW1("amax0-4096x1024", max_columns, KL_F32, 4096, 1024),
    ROW1("channels-16x64x56x56", sum_channels, KL_F32, 16, 64, 56, 56),
    ROW1("argmax1-4096x1024", argmax_rows, KL_F32, 4096, 1024),
    ROW1("argmax1-100000x10", argmax_rows, KL_F32, 100000, 10),
    ROW1("argmax1-1x10000000", argmax_rows, KL_F32, 1, 10 * M),
    ROW1("argmax0-4096x1024", argmax_columns, KL_F32, 4096, 1024),
    ROW1("argmax0-10x100000", argmax_columns, KL_F32, 10, 100000),
    ROW1("cumsum1-4096x1024", cumsum_rows, KL_F32, 4096, 1024),
    ROW1("cumsum1-1x4000000", cumsum_rows, KL_F32, 1, 4 * M),
    ROW1("cumsum0-4096x1024", cumsum_columns, KL_F32, 4096, 1024),
    ROW2("add-row-4096x1024", add, V(4096, 1024), V(1024)),
    ROW2("add-column-4096x1024", add, V(4096, 1024), V(4096, 1)),
    ROW2("add-outer-4096x1024", add, V(4096, 1), V(1, 1024)),
    ROW2("add-scalar-4096x1024", add, V(4096, 1024), V(1)),
    ROW2("add-turned-2048x2048", add_turned, V(2048, 2048), V(2048, 2048)),
    ROW2("add-stride2-2048x2048", add_half, V(2048, 4096), V(2048, 2048)),
    ROW1("turned-4096x1024", copy_turned, KL_F32, 4096, 1024),
    ROW2("matvec-4096x4096", times, V(4096, 4096), V(4096, 1)),
    ROW2("matvec-1000x1000", times, V(1000, 1000), V(1000, 1)),
    ROW2("vecmat-1000x1000", times, V(1, 1000), V(1000, 1000)),
    ROW2("vecmat-3x4096x4096", times, V(3, 4096), V(4096, 4096)),
};
const int bench_rows_count = (int)KL_COUNT(bench_rows);
