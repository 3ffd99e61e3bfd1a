/* infer.c: the dtype and shape of every row's result, or a sentence why there is none.
 * Shared by the graph and the frontend's lazy nodes, so a call is refused where the user
 * wrote it. The graph is strict: shapes of elementwise operands are equal, broadcasting
 * is an explicit expand.
 *
 *   add f32[2,3], f32[2,3]  ->  f32[2,3]
 *   add f32[2,3], f32[2]    ->  shape: "add: f32[2,3] and f32[2] do not match"
 *
 * A failure begins with the row's name and its operands' types; what follows is the
 * reason. A condition on symbolic extents that can be proved neither way passes here:
 * sizes are checked when they are bound. Rows with bodies stand in infer_body.c, movement
 * in infer_move.c. */
#include "ir/infer.h"

void kl_type_print(const kl_dims *d, const kl_type *t, kl_text *out)
{
    kl_text_put(out, t->dtype < KL_DTYPE_COUNT ? kl_dtypes[t->dtype].name : "?");
    kl_text_put(out, "[");
    for (int i = 0; i < t->rank; i++) {
        if (i)
            kl_text_put(out, ",");
        kl_dim_print(d, t->shape[i], out);
    }
    kl_text_put(out, "]");
}

/* "add: f32[2,3] and f32[2]"; of many operands the first four. */
static void print_head(const kl_infer_args *in, kl_text *t)
{
    uint32_t n = KL_MIN(in->nsrc, 4u);
    kl_text_put(t, kl_ops[in->op].name);
    kl_text_put(t, ": ");
    for (uint32_t i = 0; i < n; i++) {
        kl_type_print(in->d, &in->src[i], t);
        if (i + 1 < n)
            kl_text_put(t, i + 2 == in->nsrc ? " and " : ", ");
    }
    kl_text_put(t, in->nsrc > n ? ", .. " : n ? " " : "");
}

kl_status kl_infer_fail(const kl_infer_args *in, kl_status s, const char *fmt, ...)
{
    char what[512];
    kl_text t = {0};
    va_list ap;
    if (kl_dims_failed(in->d)) /* an extent for which there was no memory */
        return kl_fail(KL_ERR_OOM, "out of memory for an extent");
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    print_head(in, &t);
    kl_fail(s, "%s%s", t.failed || !t.s ? "" : t.s, what);
    kl_text_free(&t);
    return s;
}

/* As kl_infer_fail, with a type at the end: "reshape: f32[2,3] does not fit f32[7]". */
kl_status kl_infer_fail_type(const kl_infer_args *in, kl_status s, const char *what,
                             const kl_type *type)
{
    kl_text t = {0};
    kl_type_print(in->d, type, &t);
    kl_infer_fail(in, s, "%s %s", what, t.failed || !t.s ? "" : t.s);
    kl_text_free(&t);
    return s;
}

bool kl_same_shape(const kl_type *a, const kl_type *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

bool kl_same_type(const kl_type *a, const kl_type *b)
{
    return a->dtype == b->dtype && kl_same_shape(a, b);
}

kl_dim kl_type_numel(kl_dims *d, const kl_type *t)
{
    kl_dim n = 1;
    for (int i = 0; i < t->rank; i++)
        n = kl_dim_mul(d, n, t->shape[i]);
    return n;
}

/* Whether a <= b is disproved. */
bool kl_dim_never_le(kl_dims *d, kl_dim a, kl_dim b)
{
    int64_t min, max;
    kl_dim x = kl_dim_sub(d, b, a);
    if (a >= 0 && b >= 0)
        return a > b;
    if (x == KL_DIM_BAD)
        return true;
    kl_dim_range(d, x, &min, &max);
    return max < 0;
}

/* A result's shape: rank, extents not negative, size within int64. */
kl_status kl_infer_shape(const kl_infer_args *in, const kl_type *t)
{
    int64_t bytes;
    if (t->rank < 0 || t->rank > KL_MAX_RANK)
        return kl_infer_fail(in, KL_ERR_SHAPE, "gives rank %d; at most %d are possible",
                             t->rank, KL_MAX_RANK);
    for (int i = 0; i < t->rank; i++)
        if (t->shape[i] == KL_DIM_BAD || kl_dim_never_le(in->d, 0, t->shape[i]))
            return kl_infer_fail(in, KL_ERR_SHAPE, "gives axis %d an impossible extent",
                                 i);
    kl_dim n = kl_type_numel(in->d, t);
    if (n == KL_DIM_BAD ||
        (n >= 0 && kl_mul_overflow(n, kl_dtypes[t->dtype].size, &bytes)))
        return kl_infer_fail(in, KL_ERR_SHAPE, "gives more bytes than 63 bits count");
    return KL_OK;
}

kl_status kl_infer_attrs(const kl_infer_args *in, uint32_t n)
{
    if (in->nattr == n)
        return KL_OK;
    return kl_infer_fail(in, KL_ERR_ARG, "has %u attribute words instead of %u",
                         in->nattr, n);
}

kl_status kl_infer_axis(const kl_infer_args *in, int64_t axis, int rank)
{
    if (axis >= 0 && axis < rank)
        return KL_OK;
    return kl_infer_fail(in, KL_ERR_ARG, "has no axis %lld", (long long)axis);
}

/* ---- leaves ---- */

static kl_status want_type(const kl_infer_args *in)
{
    if (!in->want || in->want->dtype >= KL_DTYPE_COUNT)
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs a dtype");
    *in->out = *in->want;
    return kl_infer_shape(in, in->out);
}

static kl_status infer_input(const kl_infer_args *in)
{
    KL_TRY(want_type(in));
    if (in->nattr == 1)
        return KL_OK;
    return kl_infer_attrs(in, 1 + (uint32_t)in->out->rank);
}

static kl_status infer_const(const kl_infer_args *in)
{
    int64_t n;
    KL_TRY(want_type(in));
    if (!kl_dim_is_const(in->d, kl_type_numel(in->d, in->out), &n))
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "must have a constant shape, not",
                                  in->out);
    if (n > 64 / kl_dtypes[in->out->dtype].size)
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "holds at most 64 bytes, less than",
                                  in->out);
    return kl_infer_attrs(in, ((uint32_t)n * kl_dtypes[in->out->dtype].size + 7) / 8);
}

static kl_status infer_iota(const kl_infer_args *in)
{
    KL_TRY(want_type(in));
    KL_TRY(kl_infer_attrs(in, 1));
    if (in->out->dtype == KL_BOOL || kl_is_complex(in->out->dtype))
        return kl_infer_fail_type(in, KL_ERR_DTYPE, "does not count in", in->out);
    return kl_infer_axis(in, in->attr[0], in->out->rank);
}

/* ---- elementwise ---- */

static kl_status elt_dtype(const kl_infer_args *in, kl_dtype dt)
{
    unsigned flags = kl_ops[in->op].flags;
    const char *name = kl_dtypes[dt].name;
    if (KL_PLANTED_AT(dtypes, in->op))
        return KL_OK;
    if (kl_is_complex(dt))
        return flags & KL_F_CPLX
                   ? KL_OK
                   : kl_infer_fail(in, KL_ERR_DTYPE, "has no meaning on %s", name);
    if (kl_ops[in->op].rule == KL_RULE_FLOAT && !kl_is_float(dt))
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs a floating-point dtype, not %s",
                             name);
    if (kl_ops[in->op].rule == KL_RULE_U64 && dt != KL_U64)
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs u64, not %s", name);
    if (flags & KL_F_INT && kl_is_float(dt))
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs an integer dtype, not %s", name);
    if (flags & KL_F_NOBOOL && dt == KL_BOOL)
        return kl_infer_fail(in, KL_ERR_DTYPE, "has no meaning on bool");
    return KL_OK;
}

static kl_status infer_elt(const kl_infer_args *in)
{
    kl_rule rule = kl_ops[in->op].rule;
    uint32_t first = rule == KL_RULE_COND;
    if (first && in->src[0].dtype != KL_BOOL)
        return kl_infer_fail(in, KL_ERR_DTYPE, "must begin with a bool");
    for (uint32_t i = 1; i < in->nsrc; i++) {
        if (!kl_same_shape(&in->src[i], &in->src[0]))
            return kl_infer_fail(in, KL_ERR_SHAPE, "do not match");
        if (i > first && in->src[i].dtype != in->src[first].dtype)
            return kl_infer_fail(in, KL_ERR_DTYPE, "do not match");
    }
    KL_TRY(elt_dtype(in, in->src[first].dtype));
    *in->out = in->src[first];
    if (rule == KL_RULE_BOOL)
        in->out->dtype = KL_BOOL;
    return kl_infer_attrs(in, 0);
}

static kl_status infer_complex(const kl_infer_args *in)
{
    kl_dtype dt = in->src[0].dtype;
    if (!kl_same_type(&in->src[0], &in->src[1]))
        return kl_infer_fail(in, KL_ERR_SHAPE, "do not match");
    if (dt != KL_F32 && dt != KL_F64)
        return kl_infer_fail(in, KL_ERR_DTYPE,
                             "are no complex number's parts: f32 or f64");
    *in->out = in->src[0];
    in->out->dtype = dt == KL_F32 ? KL_C64 : KL_C128;
    return kl_infer_attrs(in, 0);
}

static kl_status infer_part(const kl_infer_args *in)
{
    if (!kl_is_complex(in->src[0].dtype))
        return kl_infer_fail(in, KL_ERR_DTYPE, "is not complex");
    *in->out = in->src[0];
    in->out->dtype = kl_dtypes[in->src[0].dtype].real;
    return kl_infer_attrs(in, 0);
}

static kl_status infer_cast(const kl_infer_args *in)
{
    if (!in->want || in->want->dtype >= KL_DTYPE_COUNT)
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs a dtype to go to");
    *in->out = in->src[0];
    in->out->dtype = in->want->dtype;
    KL_TRY(kl_infer_attrs(in, 0));
    return kl_infer_shape(in, in->out);
}

static kl_status infer_bitcast(const kl_infer_args *in)
{
    KL_TRY(infer_cast(in));
    kl_dtype from = in->src[0].dtype, to = in->out->dtype;
    bool whole = !kl_is_complex(from) && !kl_is_complex(to) &&
                 (from == KL_BOOL) == (to == KL_BOOL);
    if (!whole || kl_dtypes[from].size != kl_dtypes[to].size)
        return kl_infer_fail(in, KL_ERR_DTYPE, "has other bits than %s",
                             kl_dtypes[to].name);
    return KL_OK;
}

/* ---- reductions ---- */

/* The combining row stands in a RED row's place and takes this dtype. */
static kl_status check_combine(const kl_infer_args *in, int64_t combine, bool set)
{
    kl_dtype dt = in->src[0].dtype;
    if (set && combine == KL_SET)
        return KL_OK;
    if (combine < 0 || combine >= KL_OP_COUNT || !(kl_ops[combine].flags & KL_F_RED))
        return kl_infer_fail(in, KL_ERR_ARG, "has no such combining operation");
    kl_infer_args row = *in;
    row.op = (kl_op)combine;
    row.nsrc = 1;
    return elt_dtype(&row, dt);
}

/* Takes the masked axes out of t's shape. */
static void drop_axes(kl_type *t, uint64_t mask)
{
    int rank = 0;
    for (int i = 0; i < t->rank; i++)
        if (!(mask >> i & 1))
            t->shape[rank++] = t->shape[i];
    t->rank = rank;
}

static kl_status infer_reduce(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 2));
    KL_TRY(check_combine(in, in->attr[0], false));
    if (in->attr[1] < 0 || in->attr[1] >> in->src[0].rank)
        return kl_infer_fail(in, KL_ERR_ARG, "has no such axes");
    *in->out = in->src[0];
    drop_axes(in->out, (uint64_t)in->attr[1]);
    return KL_OK;
}

static kl_status infer_arg(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 1));
    KL_TRY(kl_infer_axis(in, in->attr[0], in->src[0].rank));
    if (kl_is_complex(in->src[0].dtype))
        return kl_infer_fail(in, KL_ERR_DTYPE, "has no order");
    if (in->src[0].shape[in->attr[0]] == 0)
        return kl_infer_fail(in, KL_ERR_SHAPE, "is empty along axis %lld",
                             (long long)in->attr[0]);
    *in->out = in->src[0];
    in->out->dtype = KL_I64;
    drop_axes(in->out, UINT64_C(1) << in->attr[0]);
    return KL_OK;
}

static kl_status infer_prefix(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 2));
    KL_TRY(check_combine(in, in->attr[0], false));
    *in->out = in->src[0];
    return kl_infer_axis(in, in->attr[1], in->src[0].rank);
}

/* ---- contraction ---- */

/* Binds each label to an extent; labels come in order of first appearance. */
static kl_status bind_labels(const kl_infer_args *in, int operand, const int64_t *label,
                             int n, kl_dim *extent, unsigned *seen, int *next)
{
    const kl_type *t = &in->src[operand];
    unsigned own = 0;
    if (n != t->rank)
        return kl_infer_fail(in, KL_ERR_SHAPE, "has %d labels for operand %d", n,
                             operand + 1);
    for (int i = 0; i < n; i++) {
        int64_t l = label[i];
        if (l < 0 || l > *next || l >= 2 * KL_MAX_RANK || own >> l & 1)
            return kl_infer_fail(in, KL_ERR_ARG, "has labels repeated or out of order");
        if (l < *next && extent[l] != t->shape[i])
            return kl_infer_fail(in, KL_ERR_SHAPE, "do not match in label %c",
                                 'a' + (int)l % 26);
        if (l == *next)
            extent[(*next)++] = t->shape[i];
        own |= 1u << l;
    }
    *seen = own;
    return KL_OK;
}

static kl_status contract_result(const kl_infer_args *in, const int64_t *label, int n,
                                 const kl_dim *extent, unsigned a, unsigned b)
{
    unsigned y = 0;
    in->out->rank = n;
    for (int i = 0; i < n; i++) {
        if (label[i] < 0 || label[i] >= 2 * KL_MAX_RANK || !((a | b) >> label[i] & 1) ||
            y >> label[i] & 1)
            return kl_infer_fail(in, KL_ERR_ARG,
                                 "has a result label repeated or of no operand");
        y |= 1u << label[i];
        in->out->shape[i] = extent[label[i]];
    }
    if ((a ^ b) & ~y)
        return kl_infer_fail(in, KL_ERR_ARG,
                             "has a label of one operand only that the result lacks: "
                             "reduce it first");
    return kl_infer_shape(in, in->out);
}

static kl_status infer_contract(const kl_infer_args *in)
{
    kl_dim extent[2 * KL_MAX_RANK];
    unsigned a, b;
    int next = 0;
    if (in->src[0].dtype != in->src[1].dtype)
        return kl_infer_fail(in, KL_ERR_DTYPE, "do not match");
    if (!in->want || in->want->dtype >= KL_DTYPE_COUNT)
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs an accumulator's dtype");
    kl_dtype dt = in->src[0].dtype, acc = in->want->dtype;
    if (kl_dtypes[dt].cls > kl_dtypes[acc].cls || (dt == KL_BOOL) != (acc == KL_BOOL) ||
        kl_is_float(dt) != kl_is_float(acc) || kl_is_complex(dt) != kl_is_complex(acc) ||
        kl_dtypes[acc].size < kl_dtypes[dt].size)
        return kl_infer_fail(in, KL_ERR_DTYPE, "cannot add up in %s",
                             kl_dtypes[acc].name);
    if (in->nattr < 3)
        return kl_infer_attrs(in, 3);
    for (int i = 0; i < 3; i++)
        if (in->attr[i] < 0 || in->attr[i] > KL_MAX_RANK)
            return kl_infer_fail(in, KL_ERR_SHAPE, "has too many labels");
    int na = (int)in->attr[0], nb = (int)in->attr[1], ny = (int)in->attr[2];
    KL_TRY(kl_infer_attrs(in, 3 + (uint32_t)(na + nb + ny)));
    KL_TRY(bind_labels(in, 0, in->attr + 3, na, extent, &a, &next));
    KL_TRY(bind_labels(in, 1, in->attr + 3 + na, nb, extent, &b, &next));
    in->out->dtype = acc;
    return contract_result(in, in->attr + 3 + na + nb, ny, extent, a, b);
}

/* ---- indexing ---- */

static kl_status check_index(const kl_infer_args *in, int64_t axis, int64_t batch)
{
    const kl_type *a = &in->src[0], *b = &in->src[1];
    if (b->dtype != KL_I64 && b->dtype != KL_I32)
        return kl_infer_fail(in, KL_ERR_DTYPE, "needs i64 or i32 indices");
    KL_TRY(kl_infer_axis(in, axis, a->rank));
    if (batch < 0 || batch > axis || batch > b->rank)
        return kl_infer_fail(in, KL_ERR_ARG, "cannot have %lld batch axes",
                             (long long)batch);
    for (int i = 0; i < batch; i++)
        if (a->shape[i] != b->shape[i])
            return kl_infer_fail(in, KL_ERR_SHAPE, "do not match in batch axis %d", i);
    return KL_OK;
}

/* a with the indices' own axes in the place of `axis`. */
static kl_status gathered(const kl_infer_args *in, int64_t axis, int64_t batch,
                          kl_type *y)
{
    const kl_type *a = &in->src[0], *b = &in->src[1];
    int own = b->rank - (int)batch;
    y->dtype = a->dtype;
    y->rank = a->rank - 1 + own;
    if (y->rank > KL_MAX_RANK)
        return kl_infer_shape(in, y);
    memcpy(y->shape, a->shape, (size_t)axis * sizeof *y->shape);
    memcpy(y->shape + axis, b->shape + batch, (size_t)own * sizeof *y->shape);
    memcpy(y->shape + axis + own, a->shape + axis + 1,
           (size_t)(a->rank - axis - 1) * sizeof *y->shape);
    return kl_infer_shape(in, y);
}

static kl_status infer_gather(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 2));
    KL_TRY(check_index(in, in->attr[0], in->attr[1]));
    return gathered(in, in->attr[0], in->attr[1], in->out);
}

static kl_status infer_scatter(const kl_infer_args *in)
{
    kl_type c;
    KL_TRY(kl_infer_attrs(in, 3));
    KL_TRY(check_combine(in, in->attr[0], true));
    KL_TRY(check_index(in, in->attr[1], in->attr[2]));
    KL_TRY(gathered(in, in->attr[1], in->attr[2], &c));
    if (!kl_same_type(&c, &in->src[2]))
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "do not match: the values should be",
                                  &c);
    *in->out = in->src[0];
    return KL_OK;
}

static kl_status infer_sort(const kl_infer_args *in)
{
    if (in->nattr != 3)
        KL_TRY(kl_infer_attrs(in, 2));
    if (kl_is_complex(in->src[0].dtype))
        return kl_infer_fail(in, KL_ERR_DTYPE, "has no order");
    if (in->attr[1] != 0 && in->attr[1] != 1)
        return kl_infer_fail(in, KL_ERR_ARG, "is either descending or not");
    *in->out = in->src[0];
    KL_TRY(kl_infer_axis(in, in->attr[0], in->src[0].rank));
    if (in->nattr == 2)
        return KL_OK;
    kl_dim *n = &in->out->shape[in->attr[0]];
    if (in->attr[2] < 1 || kl_dim_never_le(in->d, in->attr[2], *n))
        return kl_infer_fail(in, KL_ERR_ARG, "has no first %lld", (long long)in->attr[2]);
    *n = in->attr[2];
    return KL_OK;
}

static kl_status infer_detach(const kl_infer_args *in)
{
    *in->out = in->src[0];
    return kl_infer_attrs(in, 1);
}

/* ---- the table ---- */

static kl_status infer_pick(const kl_infer_args *in)
{
    return kl_infer_fail(in, KL_ERR_INTERNAL,
                         "is inferred from its source: kl_infer_pick");
}

typedef kl_status (*infer_fn)(const kl_infer_args *in);
static const infer_fn rows[KL_OP_COUNT] = {
    [KL_OP_input] = infer_input,        [KL_OP_const] = infer_const,
    [KL_OP_iota] = infer_iota,          [KL_OP_complex] = infer_complex,
    [KL_OP_real] = infer_part,          [KL_OP_imag] = infer_part,
    [KL_OP_cast] = infer_cast,          [KL_OP_bitcast] = infer_bitcast,
    [KL_OP_reshape] = kl_infer_reshape, [KL_OP_permute] = kl_infer_permute,
    [KL_OP_expand] = kl_infer_expand,   [KL_OP_pad] = kl_infer_pad,
    [KL_OP_slice] = kl_infer_slice,     [KL_OP_flip] = kl_infer_flip,
    [KL_OP_concat] = kl_infer_concat,   [KL_OP_window] = kl_infer_window,
    [KL_OP_fold] = kl_infer_fold,       [KL_OP_strided] = kl_infer_strided,
    [KL_OP_update] = kl_infer_update,   [KL_OP_reduce] = infer_reduce,
    [KL_OP_argmax] = infer_arg,         [KL_OP_argmin] = infer_arg,
    [KL_OP_prefix] = infer_prefix,      [KL_OP_contract] = infer_contract,
    [KL_OP_gather] = infer_gather,      [KL_OP_scatter] = infer_scatter,
    [KL_OP_sort] = infer_sort,          [KL_OP_while] = kl_infer_while,
    [KL_OP_cond] = kl_infer_cond,       [KL_OP_scan] = kl_infer_scan,
    [KL_OP_call] = kl_infer_call,       [KL_OP_function] = kl_infer_function,
    [KL_OP_pick] = infer_pick,          [KL_OP_grad] = kl_infer_grad,
    [KL_OP_jvp] = kl_infer_jvp,         [KL_OP_detach] = infer_detach,
};

static kl_status infer_any(const kl_infer_args *in)
{
    int arity = kl_ops[in->op].arity;
    if (arity >= 0 && in->nsrc != (uint32_t)arity)
        return kl_fail(KL_ERR_ARG, "%s: %u operands instead of %d", kl_ops[in->op].name,
                       in->nsrc, arity);
    infer_fn fn =
        kl_ops[in->op].kind == KL_KIND_ELT && !rows[in->op] ? infer_elt : rows[in->op];
    KL_ASSERT(fn);
    return fn ? fn(in) : KL_ERR_INTERNAL;
}

kl_status kl_infer(kl_dims *d, kl_op op, const kl_type *src, uint32_t nsrc,
                   const int64_t *attr, uint32_t nattr, const kl_type *want, kl_type *out)
{
    kl_infer_args in = {.d = d,
                        .op = op,
                        .src = src,
                        .nsrc = nsrc,
                        .attr = attr,
                        .nattr = nattr,
                        .want = want,
                        .out = out};
    return infer_any(&in);
}

kl_status kl_infer_pick(kl_dims *d, kl_op op, const kl_type *src, uint32_t nsrc,
                        const int64_t *attr, uint32_t nattr,
                        struct kl_graph *const *bodies, int k, kl_type *out)
{
    kl_infer_args in = {.d = d,
                        .op = op,
                        .src = src,
                        .nsrc = nsrc,
                        .attr = attr,
                        .nattr = nattr,
                        .out = out,
                        .bodies = bodies,
                        .pick = k};
    if (!(kl_ops[op].flags & KL_F_MULTI))
        return kl_infer_fail(&in, KL_ERR_ARG, "has one result, and needs no pick");
    KL_TRY(infer_any(&in));
    if (op != KL_OP_sort)
        return KL_OK;
    if (k < 0 || k > 1)
        return kl_infer_fail(&in, KL_ERR_ARG, "has no result %d", k);
    if (k == 1)
        out->dtype = KL_I64;
    return KL_OK;
}
