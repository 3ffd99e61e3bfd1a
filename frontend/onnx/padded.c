/* padded.c: values whose size elements decide, in a model that becomes a program: as
 * large as they may get, with a count of what is meant along one axis. NonZero and its
 * like make them, an output hands them over with its count, and between the two each
 * operator has a rule (padded_rules.c) that keeps padding out of what is meant:
 *
 *   NonZero [2, 12] count 5, axis 1   ->   Transpose [12, 2] count 5, axis 0
 *                                     ->   Slice first 3 [3, 2] count min(5, 3), axis 0
 *
 * An operator without a rule is refused. */
#include "op.h"

bool kl_onnx_pads(const kl_onnx_op *n, kl_tensor *x)
{
    if (!n->run->padded || !x || kl_failed())
        return false;
    size_t size = (size_t)kl_nbytes(x);
    void *bytes = kl_onnx_alloc(n->run, size + 1);
    bool known = bytes && kl_peek(x, bytes, size) == KL_OK;
    if (bytes && !known)
        kl_error_clear();
    return bytes && !known;
}

void kl_onnx_fill_counted(kl_onnx_op *n, int i, kl_arg with)
{
    kl_onnx_value *v = &n->in[i];
    if (!v->count)
        return;
    kl_ints s = ints_fill(kl_rank(v->t), 1);
    s.v[v->axis] = kl_extent(v->t, v->axis);
    kl_tensor *at = kl_arange(0, s.v[v->axis], 1, KL_I64);
    kl_tensor *meant = kl_reshape(kl_lt(at, v->count), s);
    v->t = kl_where_at(KL_HERE, meant, kl_arg_t(v->t), with);
}

/* One operand chooses the same each time it is asked: x[m] and y[m] have one count. */
kl_onnx_value kl_onnx_chosen(kl_onnx_op *n, int i)
{
    kl_tensor *key = in(n, i), *count = NULL;
    for (kl_onnx_choice *c = n->run->choices; c; c = c->next)
        if (c->which == key)
            return c->places;
    kl_onnx_fill_counted(n, i, kl_arg_i(0));
    kl_tensor *which = in(n, i);
    which = kl_rank(which) ? which : kl_reshape(which, kl_shape(1));
    kl_onnx_value v = {.t = kl_nonzero_padded(which, &count), .n = -1};
    v.count = count;
    kl_onnx_choice *c = n->frame->up ? NULL : kl_onnx_alloc(n->run, sizeof *c);
    if (c) {
        *c = (kl_onnx_choice){n->run->choices, key, v};
        n->run->choices = c;
    }
    return v;
}

/* A position that counts from the end where it is negative, within 0 and count. */
static kl_tensor *position(kl_tensor *count, int64_t at)
{
    kl_tensor *p = at < 0 ? kl_add(count, at) : kl_scalar_tensor(at, KL_I64);
    return kl_min(kl_max(p, 0), count);
}

/* The most that is taken of an extent. */
static int64_t room_of(int64_t have, int64_t from, int64_t to, int64_t step)
{
    int64_t end = to < 0 || to > have ? have : to;
    int64_t n = from < 0 ? (have < -from ? have : -from) : end - from;
    return n > 0 ? (n + step - 1) / step : 0;
}

void kl_onnx_cut_counted(kl_onnx_op *n, kl_onnx_value *v, int64_t from, int64_t to,
                         int64_t step)
{
    int64_t have = kl_extent(v->t, v->axis);
    from = from < -have ? -have : from > have ? have : from;
    to = to < -have ? -have - 1 : to > have ? have : to;
    if (step < 1 || step > INT32_MAX) {
        kl_onnx_refuse_counted(n, 0);
        return;
    }
    int64_t room = room_of(have, from, to, step);
    kl_tensor *first = position(v->count, from);
    kl_tensor *many = kl_sub(position(v->count, to), first);
    many = kl_floordiv(kl_add(many, step - 1), step);
    kl_tensor *at = kl_add(kl_mul(kl_arange(0, room, 1, KL_I64), step), first);
    v->t = from >= 0 && step == 1
               ? kl_slice(v->t, v->axis, from, from + room)
               : kl_index_select(v->t, v->axis, kl_min(at, have > 0 ? have - 1 : 0));
    v->count = kl_min(kl_max(many, 0), room);
}

kl_status kl_onnx_refuse_counted(const kl_onnx_op *n, int operand)
{
    return kl_onnx_fail(n, KL_ERR_STATE,
                        "its operand '%.100s' has a size that elements decide, which a "
                        "compiled model can hand out, but not use here",
                        n->node->input[operand < 0 ? 0 : operand]);
}

void kl_onnx_carry_counted(kl_onnx_op *n)
{
    int first = 0;
    while (first < n->nin && !n->in[first].count)
        first++;
    void (*rule)(kl_onnx_op *, int) = first < n->nin ? kl_onnx_rule(n) : NULL;
    if (first == n->nin)
        kl_onnx_carry_out(n);
    else if (rule)
        rule(n, first);
    else
        kl_onnx_refuse_counted(n, first);
    bool sized = false;
    for (int i = 0; i < n->nin; i++)
        sized |= n->in[i].most != NULL;
    if (sized && !kl_failed())
        kl_onnx_carry_most(n);
}
