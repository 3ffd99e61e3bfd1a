/* op_random.c: random numbers, kiln's own (Philox), one after the other as calls come. A
 * seed in the model starts them anew at the node. A traced function would draw them once.
 */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

static bool may_draw(kl_onnx_op *n)
{
    const attribute_proto *seed = kl_onnx_attribute(n, "seed");
    if (n->run->traced)
        return kl_onnx_fail(n, KL_ERR_STATE,
                            "draws random numbers, a program would draw them once"),
               false;
    if (seed)
        kl_manual_seed((uint64_t)whole64((double)seed->f));
    return true;
}

static kl_dtype dtype_of(kl_onnx_op *n, kl_dtype fallback)
{
    const attribute_proto *a = kl_onnx_attribute(n, "dtype");
    kl_dtype dt = a ? kl_onnx_dtype((int)a->i) : fallback;
    if (dt == KL_DTYPE_NONE)
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "results of that type are not supported");
    return dt;
}

static void uniform(kl_onnx_op *n, kl_ints s, kl_dtype fallback)
{
    kl_dtype dt = dtype_of(n, fallback);
    if (may_draw(n) && !kl_failed())
        give(n, 0,
             kl_uniform(s, dt, kl_onnx_float(n, "low", 0), kl_onnx_float(n, "high", 1)));
}

static void normal(kl_onnx_op *n, kl_ints s, kl_dtype fallback)
{
    kl_dtype dt = dtype_of(n, fallback);
    if (!may_draw(n) || kl_failed())
        return;
    kl_tensor *y = kl_mul(kl_randn(s, dt), kl_onnx_float(n, "scale", 1));
    give(n, 0, kl_to(kl_add(y, kl_onnx_float(n, "mean", 0)), dt));
}

OP(RandomUniform)
{
    kl_ints s;
    kl_onnx_list(n, "shape", &s);
    uniform(n, s, KL_F32);
}
OP(RandomUniformLike)
{
    uniform(n, kl_shape_of(in(n, 0)), kl_dtype_of(in(n, 0)));
}
OP(RandomNormal)
{
    kl_ints s;
    kl_onnx_list(n, "shape", &s);
    normal(n, s, KL_F32);
}
OP(RandomNormalLike)
{
    normal(n, kl_shape_of(in(n, 0)), kl_dtype_of(in(n, 0)));
}

OP(Bernoulli)
{
    kl_dtype dt = dtype_of(n, kl_dtype_of(in(n, 0)));
    if (may_draw(n) && !kl_failed())
        give(n, 0, kl_to(kl_bernoulli(in(n, 0)), dt));
}

/* Classes by unnormalised log-probabilities. */
OP(Multinomial)
{
    kl_dtype dt = dtype_of(n, KL_I32);
    int64_t count = kl_onnx_int(n, "sample_size", 1);
    if (may_draw(n) && !kl_failed())
        give(n, 0,
             kl_to(
                 kl_multinomial_at(KL_HERE, kl_softmax(widen(in(n, 0)), -1), count, true),
                 dt));
}
