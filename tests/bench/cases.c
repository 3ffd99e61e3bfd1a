/* cases.c: the tensor programs that are timed, written as a user of kiln.h writes them.
 * peers.py has the same under the same names for NumPy and PyTorch; a row here, a row
 * there.
 *
 *   chain-cheap-50M   ten operations that only move data
 *   chain-trans-1M    ten with tanh, exp, sigmoid and gelu among them */
#include "bench.h"

static int chain_cheap(kl_tensor *const *in, kl_tensor **out)
{
    kl_tensor *x = in[0], *y = in[1], *t = kl_add(x, y);
    t = kl_mul(t, x);
    t = kl_sub(t, y);
    t = kl_max(t, x);
    t = kl_min(t, 0.9);
    t = kl_abs(t);
    t = kl_neg(t);
    t = kl_where(kl_gt(x, 0.0), t, y);
    t = kl_clamp(t, -0.75, 0.75);
    out[0] = kl_fma(t, x, y);
    return 1;
}

static int chain_trans(kl_tensor *const *in, kl_tensor **out)
{
    kl_tensor *x = in[0], *t = kl_tanh(x);
    t = kl_mul(t, x);
    t = kl_exp(t);
    t = kl_sub(t, 1.0);
    t = kl_sigmoid(t);
    t = kl_add(t, x);
    t = kl_gelu(t);
    t = kl_max(t, -0.5);
    t = kl_abs(t);
    out[0] = kl_mul(t, 0.5);
    return 1;
}

static int matmul(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_matmul(in[0], in[1]);
    return 1;
}

static int matmul_nt(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_matmul(in[0], kl_t(in[1]));
    return 1;
}

static int matmul_tn(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_matmul(kl_t(in[0]), in[1]);
    return 1;
}

static int conv(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_conv(in[0], in[1], NULL, .padding = 1);
    return 1;
}

static int conv_both(kl_tensor *const *in, kl_tensor **out)
{
    kl_tensor *x[2] = {kl_requires_grad_(in[0]), kl_requires_grad_(in[1])}, *g[2];
    out[0] = kl_conv(x[0], x[1], NULL, .padding = 1);
    if (kl_grad_with(out[0], x, 2, in[2], false, false, g) != KL_OK)
        return 0;
    out[1] = g[0];
    out[2] = g[1];
    return 3;
}

static int softmax(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_softmax(in[0], 1);
    return 1;
}

static int layer_norm(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_layer_norm(in[0], 1, in[1], in[2], 1e-5);
    return 1;
}

#define M 1000000
const bench_case bench_cases[] = {
    {.name = "chain-cheap-50M",
     .nin = 2,
     .in = {V(50 * M), V(50 * M)},
     .build = chain_cheap},
    {.name = "chain-cheap-1M",
     .nin = 2,
     .in = {V(M), V(M)},
     .build = chain_cheap,
     .fresh = true},
    {.name = "chain-cheap-10k",
     .nin = 2,
     .in = {V(10000), V(10000)},
     .build = chain_cheap,
     .fresh = true},
    {.name = "chain-trans-50M",
     .nin = 1,
     .in = {V(50 * M)},
     .build = chain_trans,
     .fresh = true,
     .scale = 4},
    {.name = "chain-trans-1M",
     .nin = 1,
     .in = {V(M)},
     .build = chain_trans,
     .fresh = true,
     .scale = 4},
    {.name = "chain-trans-10k",
     .nin = 1,
     .in = {V(10000)},
     .build = chain_trans,
     .fresh = true,
     .scale = 4},
    {.name = "matmul-256", .nin = 2, .in = {V(256, 256), V(256, 256)}, .build = matmul},
    {.name = "matmul-1024",
     .nin = 2,
     .in = {V(1024, 1024), V(1024, 1024)},
     .build = matmul},
    {.name = "matmul-2048",
     .nin = 2,
     .in = {V(2048, 2048), V(2048, 2048)},
     .build = matmul},
    {.name = "matmul-64x10-nn",
     .nin = 2,
     .in = {V(64, 100000), V(100000, 10)},
     .build = matmul},
    {.name = "matmul-64x10-nt",
     .nin = 2,
     .in = {V(64, 100000), V(10, 100000)},
     .build = matmul_nt},
    {.name = "matmul-64x10-tn",
     .nin = 2,
     .in = {V(100000, 64), V(100000, 10)},
     .build = matmul_tn},
    {.name = "matmul-1x4096-nn",
     .nin = 2,
     .in = {V(1, 4096), V(4096, 4096)},
     .build = matmul},
    {.name = "matmul-1x4096-nt",
     .nin = 2,
     .in = {V(1, 4096), V(4096, 4096)},
     .build = matmul_nt},
    {.name = "matmul-1x4096-tn",
     .nin = 2,
     .in = {V(4096, 1), V(4096, 4096)},
     .build = matmul_tn},
    {.name = "conv3x3-64-56",
     .nin = 2,
     .in = {V(1, 64, 56, 56), V(64, 64, 3, 3)},
     .build = conv},
    {.name = "conv3x3-64-56-grads",
     .nin = 3,
     .in = {V(1, 64, 56, 56), V(64, 64, 3, 3), V(1, 64, 56, 56)},
     .build = conv_both},
    {.name = "softmax-4096x1024",
     .nin = 1,
     .in = {V(4096, 1024)},
     .build = softmax,
     .scale = 8},
    {.name = "layernorm-4096x1024",
     .nin = 3,
     .in = {V(4096, 1024), V(1024), V(1024)},
     .build = layer_norm},
};
const int bench_cases_count = (int)KL_COUNT(bench_cases);
