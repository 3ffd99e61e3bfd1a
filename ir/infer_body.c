/* infer_body.c: types of the rows with graphs in them: loops, branches, functions, and
 * the two derivatives. A body's inputs are the node's operands in order, its outputs the
 * node's results.
 *
 *   %2: i64[] = while %0, %1 cond @test body @step     test, step: (i64[], f32[4])
 *   %3: i64[] = pick %2 result 0                       step gives i64[], f32[4] again */
#include "ir/infer.h"

static kl_status body_of(const kl_infer_args *in, uint32_t word, const kl_graph **out)
{
    if (!in->bodies)
        return kl_infer_fail(in, KL_ERR_INTERNAL, "needs its bodies: kl_infer_pick");
    *out = in->bodies[in->attr[word]];
    return KL_OK;
}

/* The body takes exactly these operands. */
static kl_status check_inputs(const kl_infer_args *in, const kl_graph *b,
                              const kl_type *t, uint32_t n)
{
    kl_type x;
    if (b->ninputs != n)
        return kl_infer_fail(in, KL_ERR_ARG,
                             "meets @%s, which has %u inputs instead of %u", b->name,
                             b->ninputs, n);
    for (uint32_t i = 0; i < n; i++) {
        kl_graph_type(b, b->inputs[i], &x);
        if (!kl_same_type(&x, &t[i]))
            return kl_infer_fail_type(in, KL_ERR_SHAPE,
                                      "differs from an input of its body:", &x);
    }
    return KL_OK;
}

/* Outputs first.. of the body have exactly these types. */
static kl_status check_outputs(const kl_infer_args *in, const kl_graph *b,
                               const kl_type *t, uint32_t n)
{
    kl_type x;
    if (b->noutputs < n)
        return kl_infer_fail(in, KL_ERR_ARG,
                             "meets @%s, which has %u outputs instead of %u", b->name,
                             b->noutputs, n);
    for (uint32_t i = 0; i < n; i++) {
        kl_graph_type(b, b->outputs[i], &x);
        if (!kl_same_type(&x, &t[i]))
            return kl_infer_fail_type(in, KL_ERR_SHAPE,
                                      "differs from an output of its body:", &x);
    }
    return KL_OK;
}

static kl_status check_pick(const kl_infer_args *in, uint32_t n)
{
    if (in->pick >= 0 && (uint32_t)in->pick < n)
        return KL_OK;
    return kl_infer_fail(in, KL_ERR_ARG, "has no result %d", in->pick);
}

/* What a while's condition gives. */
static kl_status check_test(const kl_infer_args *in, const kl_graph *b)
{
    kl_type x;
    if (b->noutputs != 1)
        return kl_infer_fail(in, KL_ERR_ARG, "needs a condition with 1 output, not %u",
                             b->noutputs);
    kl_graph_type(b, b->outputs[0], &x);
    return x.dtype == KL_BOOL && !x.rank
               ? KL_OK
               : kl_infer_fail_type(in, KL_ERR_DTYPE,
                                    "needs a condition that gives bool[], not", &x);
}

kl_status kl_infer_while(const kl_infer_args *in)
{
    const kl_graph *cond = NULL, *body = NULL;
    KL_TRY(kl_infer_attrs(in, 2));
    KL_TRY(check_pick(in, in->nsrc));
    *in->out = in->src[in->pick];
    KL_TRY(body_of(in, 0, &cond));
    KL_TRY(body_of(in, 1, &body));
    KL_TRY(check_inputs(in, cond, in->src, in->nsrc));
    KL_TRY(check_test(in, cond));
    KL_TRY(check_inputs(in, body, in->src, in->nsrc));
    if (body->noutputs != in->nsrc)
        return kl_infer_fail(in, KL_ERR_ARG, "needs a body with %u outputs", in->nsrc);
    return check_outputs(in, body, in->src, in->nsrc);
}

kl_status kl_infer_cond(const kl_infer_args *in)
{
    const kl_graph *yes = NULL, *no = NULL;
    kl_type a, b;
    KL_TRY(kl_infer_attrs(in, 2));
    if (in->nsrc < 1 || in->src[0].dtype != KL_BOOL || in->src[0].rank)
        return kl_infer_fail(in, KL_ERR_DTYPE, "must begin with a bool[]");
    KL_TRY(body_of(in, 0, &yes));
    KL_TRY(body_of(in, 1, &no));
    KL_TRY(check_inputs(in, yes, in->src + 1, in->nsrc - 1));
    KL_TRY(check_inputs(in, no, in->src + 1, in->nsrc - 1));
    if (yes->noutputs != no->noutputs)
        return kl_infer_fail(in, KL_ERR_ARG, "has branches of %u and %u outputs",
                             yes->noutputs, no->noutputs);
    for (uint32_t i = 0; i < yes->noutputs; i++) {
        kl_graph_type(yes, yes->outputs[i], &a);
        kl_graph_type(no, no->outputs[i], &b);
        if (!kl_same_type(&a, &b))
            return kl_infer_fail_type(in, KL_ERR_SHAPE, "has branches that differ in",
                                      &b);
    }
    KL_TRY(check_pick(in, yes->noutputs));
    kl_graph_type(yes, yes->outputs[in->pick], in->out);
    return KL_OK;
}

/* An element of a scanned operand: axis 0 gone. */
static kl_type element(const kl_type *t)
{
    kl_type y = *t;
    y.rank--;
    memmove(y.shape, t->shape + 1, (size_t)y.rank * sizeof *y.shape);
    return y;
}

/* Types of the body's inputs: carries, then elements of what is scanned. */
static kl_status scan_inputs(const kl_infer_args *in, const kl_graph *body,
                             uint32_t ncarry)
{
    kl_dim extent = in->src[ncarry].rank ? in->src[ncarry].shape[0] : 0;
    for (uint32_t i = ncarry; i < in->nsrc; i++) {
        if (in->src[i].rank < 1 || in->src[i].shape[0] != extent)
            return kl_infer_fail(in, KL_ERR_SHAPE, "do not share an axis 0 to scan");
        kl_type x, y = element(&in->src[i]);
        if (i >= body->ninputs)
            break;
        kl_graph_type(body, body->inputs[i], &x);
        if (!kl_same_type(&x, &y))
            return kl_infer_fail_type(in, KL_ERR_SHAPE,
                                      "differs from an input of its body:", &x);
    }
    if (body->ninputs != in->nsrc)
        return kl_infer_fail(in, KL_ERR_ARG,
                             "meets @%s, which has %u inputs instead of %u", body->name,
                             body->ninputs, in->nsrc);
    kl_infer_args carries = *in;
    carries.nsrc = ncarry;
    kl_graph first = *body;
    first.ninputs = ncarry;
    return check_inputs(&carries, &first, in->src, ncarry);
}

kl_status kl_infer_scan(const kl_infer_args *in)
{
    const kl_graph *body = NULL;
    KL_TRY(kl_infer_attrs(in, 2));
    if (in->attr[0] < 0 || (uint64_t)in->attr[0] >= in->nsrc)
        return kl_infer_fail(in, KL_ERR_ARG, "needs something to scan after its carries");
    uint32_t ncarry = (uint32_t)in->attr[0];
    KL_TRY(body_of(in, 1, &body));
    KL_TRY(scan_inputs(in, body, ncarry));
    KL_TRY(check_outputs(in, body, in->src, ncarry));
    KL_TRY(check_pick(in, body->noutputs));
    kl_graph_type(body, body->outputs[in->pick], in->out);
    if ((uint32_t)in->pick < ncarry)
        return KL_OK;
    if (in->out->rank == KL_MAX_RANK)
        return kl_infer_fail(in, KL_ERR_SHAPE, "stacks a result of rank %d", KL_MAX_RANK);
    memmove(in->out->shape + 1, in->out->shape, (size_t)in->out->rank * sizeof(kl_dim));
    in->out->shape[0] = in->src[ncarry].shape[0];
    in->out->rank++;
    return kl_infer_shape(in, in->out);
}

/* name, results, effects, then dtype, rank, extents of each result. */
kl_status kl_infer_call(const kl_infer_args *in)
{
    uint32_t at = 3;
    if (in->nattr < 3 || in->attr[1] < 1)
        return kl_infer_fail(in, KL_ERR_ARG, "needs a name and at least one result");
    for (int64_t i = 0; i < in->attr[1]; i++) {
        kl_type t;
        if (at + 2 > in->nattr || in->attr[at] < 0 || in->attr[at] >= KL_DTYPE_COUNT ||
            in->attr[at + 1] < 0 || in->attr[at + 1] > KL_MAX_RANK ||
            in->attr[at + 1] > (int64_t)in->nattr - at - 2)
            return kl_infer_fail(in, KL_ERR_ARG, "has a malformed list of results");
        t.dtype = (kl_dtype)in->attr[at];
        t.rank = (int)in->attr[at + 1];
        memcpy(t.shape, in->attr + at + 2, (size_t)t.rank * sizeof *t.shape);
        KL_TRY(kl_infer_shape(in, &t));
        if (i == in->pick)
            *in->out = t;
        at += 2 + (uint32_t)t.rank;
    }
    KL_TRY(kl_infer_attrs(in, at));
    return check_pick(in, (uint32_t)in->attr[1]);
}

kl_status kl_infer_function(const kl_infer_args *in)
{
    const kl_graph *body = NULL;
    KL_TRY(kl_infer_attrs(in, 3));
    KL_TRY(body_of(in, 0, &body));
    KL_TRY(check_inputs(in, body, in->src, in->nsrc));
    if (in->attr[1] < 1 || in->attr[1] > body->noutputs)
        return kl_infer_fail(in, KL_ERR_ARG, "cannot have %lld results of @%s",
                             (long long)in->attr[1], body->name);
    KL_TRY(check_pick(in, body->noutputs));
    kl_graph_type(body, body->outputs[in->pick], in->out);
    return KL_OK;
}

static bool differentiable(kl_dtype dt)
{
    return kl_is_float(dt) || kl_is_complex(dt);
}

kl_status kl_infer_grad(const kl_infer_args *in)
{
    if (in->nsrc < 3)
        return kl_infer_fail(in, KL_ERR_ARG, "needs a value, a seed and inputs");
    KL_TRY(kl_infer_attrs(in, 0));
    if (!kl_same_type(&in->src[0], &in->src[1]))
        return kl_infer_fail(in, KL_ERR_SHAPE, "has a seed unlike its value");
    for (uint32_t i = 0; i < in->nsrc; i++)
        if (!differentiable(in->src[i].dtype))
            return kl_infer_fail(in, KL_ERR_DTYPE, "needs floating-point operands");
    KL_TRY(check_pick(in, in->nsrc - 2));
    *in->out = in->src[2 + in->pick];
    return KL_OK;
}

kl_status kl_infer_jvp(const kl_infer_args *in)
{
    if (in->nsrc < 3 || in->nsrc % 2 == 0)
        return kl_infer_fail(in, KL_ERR_ARG,
                             "needs a value, then pairs of input and tangent");
    KL_TRY(kl_infer_attrs(in, 0));
    for (uint32_t i = 1; i < in->nsrc; i += 2)
        if (!kl_same_type(&in->src[i], &in->src[i + 1]))
            return kl_infer_fail(in, KL_ERR_SHAPE, "has a tangent unlike its input");
    for (uint32_t i = 0; i < in->nsrc; i++)
        if (!differentiable(in->src[i].dtype))
            return kl_infer_fail(in, KL_ERR_DTYPE, "needs floating-point operands");
    *in->out = in->src[0];
    return KL_OK;
}
