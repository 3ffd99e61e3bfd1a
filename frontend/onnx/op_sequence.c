/* op_sequence.c: sequences of tensors, lists of values of the walk. A position in one
 * must be known; a traced function has no lists. Those that a loop of a program makes are
 * one tensor, its elements along axis 0; while the loop's body is traced, all that is
 * known of one is what the trip appends. */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

enum { LONGEST = 1 << 20 };

/* A list of that length as the first result; NULL is an error. */
static kl_onnx_value *new_list(kl_onnx_op *n, int64_t count)
{
    kl_onnx_value *v = NULL;
    if (count < 0 || count > LONGEST)
        kl_onnx_fail(n, KL_ERR_INDEX, "a sequence of %lld tensors", (long long)count);
    else
        v = kl_onnx_alloc(n->run, ((size_t)count + 1) * sizeof *v);
    if (v && n->nout)
        n->out[0] = (kl_onnx_value){.n = (int)count, .list = v};
    return v;
}

static bool is_list(const kl_onnx_op *n)
{
    return n->in[0].n >= 0 ||
           (kl_onnx_fail(n, KL_ERR_DTYPE, "operand 0 is no sequence"), false);
}

/* What was before a loop's trip is not at hand in it; appending needs none of it. */
static bool is_whole(const kl_onnx_op *n, bool appends)
{
    return !n->in[0].growing || appends ||
           (kl_onnx_fail(n, KL_ERR_STATE, "reads a sequence that its loop appends to"),
            false);
}

/* The operand as a list, and a position in it or at its end (room 1). */
static const kl_onnx_value *list_at(kl_onnx_op *n, int position, int room, int64_t *at)
{
    int64_t count;
    const kl_onnx_value *l = &n->in[0];
    bool given = has(n, position);
    if (!is_list(n) || !is_whole(n, room && !given))
        return NULL;
    const int64_t *p = given ? kl_onnx_ints(n, position, &count) : NULL;
    *at = p && count ? *p : l->n - 1 + room;
    *at += *at < 0 ? l->n : 0;
    if (given && (!p || !count))
        return NULL;
    if (*at < 0 || *at >= l->n + room)
        return kl_onnx_fail(n, KL_ERR_INDEX, "position %lld of %d", (long long)*at, l->n),
               NULL;
    return l;
}

OP(SequenceConstruct)
{
    kl_onnx_value *v = new_list(n, n->nin);
    if (v)
        memcpy(v, n->in, (size_t)n->nin * sizeof *v);
}

OP(SequenceEmpty)
{
    new_list(n, 0);
}

/* Of a list that is one tensor, at a position that may not be known. */
static void at_stacked(kl_onnx_op *n)
{
    const kl_onnx_value *l = &n->in[0];
    int64_t extent = kl_extent(l->t, 0);
    kl_tensor *count = l->count ? l->count : kl_full(kl_shape(), extent, KL_I64);
    kl_tensor *at = kl_onnx_within(kl_reshape(in(n, 1), kl_shape(1)), count, extent);
    give(n, 0, kl_squeeze(kl_index_select(l->t, 0, at), kl_axes(0)));
}

OP(SequenceAt)
{
    int64_t at;
    if (n->in[0].stacked) {
        at_stacked(n);
        return;
    }
    const kl_onnx_value *l = list_at(n, 1, 0, &at);
    if (l && n->nout)
        n->out[0] = l->list[at];
}

OP(SequenceInsert)
{
    int64_t at;
    if (n->in[0].stacked && !n->in[0].count && !has(n, 2)) {
        kl_tensor *two[] = {in(n, 0), kl_unsqueeze(in(n, 1), 0)};
        give(n, 0, kl_cat(two, 2, 0));
        n->out[0].stacked = true;
        return;
    }
    const kl_onnx_value *l = list_at(n, 2, 1, &at);
    kl_onnx_value *v = l ? new_list(n, l->n + 1) : NULL;
    for (int i = 0; v && i <= l->n; i++)
        v[i] = i < at ? l->list[i] : i == at ? n->in[1] : l->list[i - 1];
    n->out[0].growing = l && l->growing;
}

OP(SequenceErase)
{
    int64_t at;
    const kl_onnx_value *l = list_at(n, 1, 0, &at);
    kl_onnx_value *v = l ? new_list(n, l->n - 1) : NULL;
    for (int i = 0; v && i < l->n - 1; i++)
        v[i] = l->list[i < at ? i : i + 1];
}

OP(SequenceLength)
{
    const kl_onnx_value *l = &n->in[0];
    if (l->stacked)
        give(n, 0, l->count ? l->count : kl_full(kl_shape(), kl_extent(l->t, 0), KL_I64));
    else if (is_list(n) && is_whole(n, false))
        give(n, 0, kl_scalar_tensor((int64_t)l->n, KL_I64));
}

/* The elements of one tensor side by side, along an axis of theirs or a new one. */
static void join_stacked(kl_onnx_op *n, int64_t axis, bool apart)
{
    const kl_onnx_value *l = &n->in[0];
    kl_ints s = {0};
    if (!kl_onnx_axis(n, &axis, kl_rank(l->t) - !apart))
        return;
    int to = (int)axis;
    kl_tensor *y = kl_movedim(l->t, 0, to), *count = l->count;
    kl_ints have = kl_shape_of(y);
    for (int i = 0; i < have.n; i++)
        if (apart || i != to + 1)
            push(&s, !apart && i == to ? have.v[i] * have.v[i + 1] : have.v[i]);
    if (count && !apart)
        count = kl_mul(count, have.v[to + 1]);
    give_counted(n, 0, kl_reshape(y, s), count, to);
}

OP(ConcatFromSequence)
{
    const kl_onnx_value *l = &n->in[0];
    int64_t axis = kl_onnx_int(n, "axis", 0);
    if (l->stacked) {
        join_stacked(n, axis, kl_onnx_int(n, "new_axis", 0) != 0);
        return;
    }
    if (!is_whole(n, false))
        return;
    kl_tensor **t = l->n > 0 ? kl_onnx_alloc(n->run, (size_t)l->n * sizeof *t) : NULL;
    for (int i = 0; t && i < l->n; i++)
        t[i] = l->list[i].t;
    if (l->n <= 0)
        kl_onnx_fail(n, KL_ERR_DTYPE, "operand 0 is no sequence, or an empty one");
    else if (t && kl_onnx_int(n, "new_axis", 0))
        give(n, 0, kl_stack(t, l->n, (int)axis));
    else if (t)
        give(n, 0, kl_cat(t, l->n, (int)axis));
}

/* Pieces of one size, or of sizes given; of 1 without the axis unless keepdims. */
OP(SplitToSequence)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", 0), count = 0, from = 0;
    bool keep = kl_onnx_int(n, "keepdims", 1) || has(n, 1);
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    int64_t all = kl_extent(x, (int)axis), each = 1;
    const int64_t *size = has(n, 1) ? kl_onnx_ints(n, 1, &count) : NULL;
    bool equal = !size || kl_rank(in(n, 1)) == 0;
    each = size && equal && count ? *size : 1;
    if (each < 1 || kl_failed())
        return;
    kl_onnx_value *v = new_list(n, equal ? all / each + (all % each != 0) : count);
    for (int i = 0; v && i < n->out[0].n; i++) {
        int64_t want = equal ? (all - from < each ? all - from : each) : size[i];
        kl_tensor *t = kl_narrow(x, (int)axis, from, want);
        t = keep ? t : kl_squeeze(t, kl_axes(axis));
        v[i] = (kl_onnx_value){.t = t, .type = n->in[0].type, .n = -1};
        from = sum64(from, want);
    }
}

/* The body on each element of the sequences; other operands are the same each time. */
OP(SequenceMap)
{
    const attribute_proto *a = kl_onnx_attribute(n, "body");
    int count = n->in[0].n;
    if (!a || !a->g || count < 0) {
        kl_onnx_fail(n, KL_ERR_PARSE, "no body, or no sequence");
        return;
    }
    kl_onnx_value *v = kl_onnx_alloc(n->run, ((size_t)n->nin + 1) * sizeof *v);
    kl_onnx_value *w = kl_onnx_alloc(n->run, ((size_t)n->nout + 1) * sizeof *w);
    for (int k = 0; w && k < n->nout; k++)
        n->out[k] = (kl_onnx_value){
            .n = count, .list = kl_onnx_alloc(n->run, ((size_t)count + 1) * sizeof *v)};
    for (int i = 0; v && w && i < count && !kl_failed(); i++) {
        for (int k = 0; k < n->nin; k++)
            v[k] = n->in[k].n < 0   ? n->in[k]
                   : i < n->in[k].n ? n->in[k].list[i]
                                    : n->in[0];
        if (kl_onnx_walk(n->run, a->g, n->frame, v, n->nin, w, n->nout) == KL_OK)
            for (int k = 0; k < n->nout; k++)
                n->out[k].list[i] = w[k];
    }
}

OP(Optional)
{
    if (n->nout && n->nin)
        n->out[0] = n->in[0];
    else
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "optional values without an element");
}
