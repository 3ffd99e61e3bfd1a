/* op_loss.c: losses of classes, and optimisers' steps of the training domain. */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* -logp [N, C, ..] at target [N, ..], weighted by class; ignored ones count nothing. */
static kl_tensor *likelihood(kl_onnx_op *n, kl_tensor *logp)
{
    kl_tensor *target = kl_to(in(n, 1), KL_I64), *weight = in(n, 2);
    kl_dtype dt = kl_dtype_of(logp);
    const char *how = kl_onnx_text(n, "reduction", "mean");
    kl_tensor *ignored = NULL, *w = NULL;
    logp = widen(logp);
    if (kl_onnx_attribute(n, "ignore_index")) {
        ignored = kl_eq(target, kl_onnx_int(n, "ignore_index", 0));
        target = kl_where(ignored, 0, target);
    }
    kl_tensor *picked =
        kl_squeeze(kl_gather(logp, 1, kl_unsqueeze(target, 1)), kl_axes(1));
    if (weight)
        w = kl_reshape(kl_take(widen(weight), target), kl_shape_of(target));
    if (ignored)
        w = kl_to(kl_where(ignored, 0.0, w ? KL_ARG(w) : kl_arg_d(1)), kl_dtype_of(logp));
    kl_tensor *loss = kl_neg(w ? kl_mul(picked, w) : picked);
    if (strcmp(how, "none") != 0) {
        loss = kl_sum(loss);
        if (strcmp(how, "mean") == 0)
            loss = w ? kl_div(loss, kl_sum(kl_expand(w, kl_shape_of(target))))
                     : kl_div(loss, (double)kl_numel(target));
    }
    return kl_to(loss, dt);
}

OP(NegativeLogLikelihoodLoss)
{
    give(n, 0, likelihood(n, in(n, 0)));
}

OP(SoftmaxCrossEntropyLoss)
{
    kl_tensor *x = in(n, 0), *logp = kl_to(kl_log_softmax(widen(x), 1), kl_dtype_of(x));
    give(n, 0, likelihood(n, logp));
    give(n, 1, logp);
}

/* ---- steps: R, T, then all X, all G, all states of one kind after the other ---- */

static int tensors_of(kl_onnx_op *n, int kinds)
{
    int k = n->nin - 2;
    if (k > 0 && k % kinds == 0)
        return k / kinds;
    kl_onnx_fail(n, KL_ERR_PARSE, "%d operands", n->nin);
    return 0;
}

static kl_tensor *regular(kl_onnx_op *n, kl_tensor *g, kl_tensor *x)
{
    double norm = kl_onnx_float(n, "norm_coefficient", 0);
    return norm != 0 ? kl_add(g, kl_mul(x, norm)) : g;
}

OP(Adagrad)
{
    int k = tensors_of(n, 3);
    kl_tensor *rate = kl_reshape(in(n, 0), kl_shape());
    kl_tensor *t = kl_to(kl_reshape(in(n, 1), kl_shape()), kl_dtype_of(rate));
    rate = kl_div(rate, kl_add(kl_mul(t, kl_onnx_float(n, "decay_factor", 0)), 1.0));
    for (int i = 0; i < k; i++) {
        kl_tensor *x = in(n, 2 + i), *h = in(n, 2 + 2 * k + i);
        kl_tensor *g = regular(n, in(n, 2 + k + i), x);
        h = kl_add(h, kl_mul(g, g));
        kl_tensor *by = kl_add(kl_sqrt(h), kl_onnx_float(n, "epsilon", 0));
        give(n, i, kl_sub(x, kl_mul(rate, kl_div(g, by))));
        give(n, k + i, h);
    }
}

OP(Adam)
{
    int k = tensors_of(n, 4);
    double a = kl_onnx_float(n, "alpha", 0.9f), b = kl_onnx_float(n, "beta", 0.999f);
    double post = kl_onnx_float(n, "norm_coefficient_post", 0);
    kl_tensor *rate = kl_reshape(in(n, 0), kl_shape());
    kl_tensor *t = kl_to(kl_reshape(in(n, 1), kl_shape()), kl_dtype_of(rate));
    kl_tensor *moved = kl_div(kl_mul(rate, kl_sqrt(kl_sub(1.0, kl_pow(b, t)))),
                              kl_sub(1.0, kl_pow(a, t)));
    rate = kl_where(kl_gt(t, 0), moved, rate);
    for (int i = 0; i < k; i++) {
        kl_tensor *x = in(n, 2 + i), *v = in(n, 2 + 2 * k + i), *h = in(n, 2 + 3 * k + i);
        kl_tensor *g = regular(n, in(n, 2 + k + i), x);
        v = kl_add(kl_mul(v, a), kl_mul(g, 1 - a));
        h = kl_add(kl_mul(h, b), kl_mul(kl_mul(g, g), 1 - b));
        kl_tensor *by = kl_add(kl_sqrt(h), kl_onnx_float(n, "epsilon", 0));
        kl_tensor *y = kl_sub(x, kl_mul(rate, kl_div(v, by)));
        give(n, i, kl_mul(y, 1 - post));
        give(n, k + i, v);
        give(n, 2 * k + i, h);
    }
}

OP(Momentum)
{
    int k = tensors_of(n, 3);
    double a = kl_onnx_float(n, "alpha", 0), b = kl_onnx_float(n, "beta", 0);
    bool nesterov = strcmp(kl_onnx_text(n, "mode", "standard"), "nesterov") == 0;
    kl_tensor *rate = kl_reshape(in(n, 0), kl_shape());
    kl_tensor *first = kl_eq(kl_reshape(in(n, 1), kl_shape()), 0);
    kl_tensor *share = kl_to(kl_where(first, 1.0, b), kl_dtype_of(rate));
    for (int i = 0; i < k; i++) {
        kl_tensor *x = in(n, 2 + i), *v = in(n, 2 + 2 * k + i);
        kl_tensor *g = regular(n, in(n, 2 + k + i), x);
        v = kl_add(kl_mul(v, a), kl_mul(g, share));
        kl_tensor *d = nesterov ? kl_add(g, kl_mul(v, a)) : v;
        give(n, i, kl_sub(x, kl_mul(rate, d)));
        give(n, k + i, v);
    }
}
