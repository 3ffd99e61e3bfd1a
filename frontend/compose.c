/* compose.c: functions of nodes that several calls share, made of primitives: what is
 * written here is differentiated, fused and emitted for every target without another
 * line.
 *
 *   softmax(a, axis)  =  e / sum e   with  e = exp(a - max a)
 *
 * Kinks follow PyTorch: relu has gradient 0 at 0 and passes NaN, so it is where(a <= 0,
 * 0, a), not max(a, 0), which would give each side one half. */
#include "math_compose.h"

kl_lazy *kl_n_relu(kl_lazy *a)
{
    kl_lazy *off = kl_n_binc(KL_OP_le, a, 0);
    return a ? kl_n_where(off, kl_n_const((kl_dtype)a->dtype, 0), a) : NULL;
}

kl_lazy *kl_n_sigmoid(kl_lazy *a)
{
    kl_lazy *e = kl_n_un(KL_OP_exp, kl_n_un(KL_OP_neg, a));
    return kl_n_cbin(KL_OP_div, 1, kl_n_binc(KL_OP_add, e, 1));
}

kl_lazy *kl_n_square(kl_lazy *a)
{
    return kl_n_bin(KL_OP_mul, a, a);
}

kl_lazy *kl_n_widen(kl_lazy *a)
{
    return a && (a->dtype == KL_F16 || a->dtype == KL_BF16) ? kl_n_cast(a, KL_F32) : a;
}

static int64_t extent_of(kl_lazy *a, uint64_t axes)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++)
        n *= axes >> i & 1 ? kl_lazy_shape(a)[i] : 1;
    return n;
}

kl_lazy *kl_n_mean(kl_lazy *a, uint64_t axes, bool keep)
{
    if (!a)
        return NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    kl_lazy *s = kl_n_reduce(KL_OP_add, kl_n_widen(a), axes, keep);
    return kl_n_cast(kl_n_binc(KL_OP_div, s, (double)extent_of(a, axes)), dt);
}

kl_lazy *kl_n_var(kl_lazy *a, uint64_t axes, double correction, bool keep)
{
    if (!a)
        return NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    kl_lazy *w = kl_n_widen(a);
    kl_lazy *d = kl_n_bin(KL_OP_sub, w, kl_n_mean(w, axes, true));
    kl_lazy *s = kl_n_reduce(KL_OP_add, kl_n_square(d), axes, keep);
    double n = (double)extent_of(a, axes) - correction;
    return kl_n_cast(kl_n_binc(KL_OP_div, s, n > 0 ? n : 0), dt);
}

/* The largest, as a number to subtract: no gradient passes, and an infinity gives 0. */
static kl_lazy *shift_of(kl_lazy *a, uint64_t axes)
{
    kl_lazy *m = kl_n_reduce(KL_OP_max, a && a->track ? kl_n_detach(a) : a, axes, true);
    return m;
}

kl_lazy *kl_n_softmax(kl_lazy *a, int axis)
{
    int64_t one = 1;
    if (!a || a->rank == 0)
        return a ? kl_n_reshape(kl_n_softmax(kl_n_reshape(a, 1, &one), 0), 0, NULL)
                 : NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    uint64_t axes = UINT64_C(1) << axis;
    kl_lazy *w = kl_n_widen(a);
    kl_lazy *e = kl_n_un(KL_OP_exp, kl_n_bin(KL_OP_sub, w, shift_of(w, axes)));
    return kl_n_cast(kl_n_bin(KL_OP_div, e, kl_n_reduce(KL_OP_add, e, axes, true)), dt);
}

kl_lazy *kl_n_log_softmax(kl_lazy *a, int axis)
{
    int64_t one = 1;
    if (!a || a->rank == 0)
        return a ? kl_n_reshape(kl_n_log_softmax(kl_n_reshape(a, 1, &one), 0), 0, NULL)
                 : NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    uint64_t axes = UINT64_C(1) << axis;
    kl_lazy *w = kl_n_widen(a), *d = kl_n_bin(KL_OP_sub, w, shift_of(w, axes));
    kl_lazy *s = kl_n_reduce(KL_OP_add, kl_n_un(KL_OP_exp, d), axes, true);
    return kl_n_cast(kl_n_bin(KL_OP_sub, d, kl_n_un(KL_OP_log, s)), dt);
}

kl_lazy *kl_n_logsumexp(kl_lazy *a, uint64_t axes, bool keep)
{
    if (!a)
        return NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    bool complex = kl_is_complex(dt); /* shifted by the largest real part */
    if (axes == 0 && !complex)
        return a;
    kl_lazy *w = kl_n_widen(a), *x = complex ? kl_n_un(KL_OP_real, w) : w;
    kl_lazy *m = axes ? shift_of(x, axes) : x;
    kl_lazy *inf = kl_n_binc(KL_OP_eq, kl_n_un(KL_OP_abs, m), INFINITY);
    m = m ? kl_n_where(inf, kl_n_const((kl_dtype)m->dtype, 0), m) : NULL;
    m = complex ? kl_n_cast(m, dt) : m;
    kl_lazy *e = kl_n_bin(KL_OP_sub, w, m);
    e = complex ? kl_c_exp(e) : kl_n_un(KL_OP_exp, e);
    kl_lazy *r = axes ? kl_n_reduce(KL_OP_add, e, axes, true) : e;
    r = kl_n_bin(KL_OP_add, complex ? kl_c_log(r) : kl_n_un(KL_OP_log, r), m);
    if (r && !keep) {
        int64_t shape[KL_MAX_RANK];
        int rank = 0;
        for (int i = 0; i < a->rank; i++)
            if (!(axes >> i & 1))
                shape[rank++] = kl_lazy_shape(a)[i];
        r = kl_n_reshape(r, rank, shape);
    }
    return kl_n_cast(r, dt);
}

/* ---- matrices ---- */

static kl_dtype accumulator(kl_lazy *a)
{
    return a->dtype == KL_F16 || a->dtype == KL_BF16 ? KL_F32 : (kl_dtype)a->dtype;
}

/* Batch axes of both sides, broadcast: operands with equal leading axes. */
static bool join_batch(kl_lazy **a, kl_lazy **b, int *batch)
{
    int64_t lead[KL_MAX_RANK], shape[KL_MAX_RANK];
    int ra = (*a)->rank - 2, rb = (*b)->rank - 2;
    kl_lazy *x[2] = {*a, *b};
    if (kl_broadcast_shape("matmul", ra, kl_lazy_shape(*a), rb, kl_lazy_shape(*b), batch,
                           lead))
        return false;
    for (int i = 0; i < 2; i++) {
        memcpy(shape, lead, (size_t)*batch * sizeof *lead);
        memcpy(shape + *batch, kl_lazy_shape(x[i]) + x[i]->rank - 2, 2 * sizeof *shape);
        x[i] = kl_n_expand(x[i], *batch + 2, shape);
    }
    *a = x[0];
    *b = x[1];
    return x[0] && x[1];
}

static kl_lazy *bad_matmul(kl_lazy *a, kl_lazy *b)
{
    const int64_t *sa = kl_lazy_shape(a), *sb = kl_lazy_shape(b);
    int ra = a->rank, rb = b->rank;
    if (ra == 1 && rb == 1)
        kl_fail(KL_ERR_SHAPE,
                "matmul: inconsistent tensor size, expected tensor [%lld] and src "
                "[%lld] to have the same number of elements",
                (long long)sa[0], (long long)sb[0]);
    else if (ra == 2 && rb == 1)
        kl_fail(KL_ERR_SHAPE,
                "matmul: size mismatch, got input (%lld), mat (%lldx%lld), vec (%lld)",
                (long long)sa[0], (long long)sa[0], (long long)sa[1], (long long)sb[0]);
    else
        kl_fail(
            KL_ERR_SHAPE,
            "matmul: mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)",
            (long long)(ra > 1 ? sa[ra - 2] : 1), (long long)sa[ra - 1],
            (long long)(rb > 1 ? sb[rb - 2] : sb[0]),
            (long long)(rb > 1 ? sb[rb - 1] : 1));
    return NULL;
}

/* The forms without a batch, by rank of both sides; batched: letters for the batch, then
 * ..k, k.. */
static const char *const plain[2][2] = {{"k,k->", "k,kn->n"}, {"mk,k->m", "mk,kn->mn"}};

static kl_lazy *batched(kl_lazy *a, kl_lazy *b)
{
    char text[64], lead[KL_MAX_RANK + 1] = "";
    int batch = 0;
    bool va = a->rank == 1, vb = b->rank == 1;
    if (!va && !vb && a->rank > 2 && b->rank == 2) { /* the batch is more rows */
        for (int i = 0; i < a->rank - 1; i++)
            lead[i] = (char)('A' + i);
        snprintf(text, sizeof text, "%sk,kn->%sn", lead, lead);
        return kl_n_contract(a, b, text, accumulator(a));
    }
    if (va)
        a = kl_n_unsqueeze(a, 0);
    if (vb)
        b = kl_n_unsqueeze(b, 1);
    if (!a || !b || !join_batch(&a, &b, &batch))
        return NULL;
    for (int i = 0; i < batch; i++)
        lead[i] = (char)('A' + i);
    snprintf(text, sizeof text, "%smk,%skn->%smn", lead, lead, lead);
    kl_lazy *r = kl_n_contract(a, b, text, accumulator(a));
    if (!r || (!va && !vb))
        return r;
    int64_t shape[KL_MAX_RANK];
    memcpy(shape, kl_lazy_shape(r), (size_t)batch * sizeof *shape);
    shape[batch] = kl_lazy_shape(r)[va ? batch + 1 : batch];
    return kl_n_reshape(r, batch + 1, shape);
}

kl_lazy *kl_n_matmul(kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return NULL;
    int ra = a->rank, rb = b->rank;
    if (ra == 0 || rb == 0) {
        kl_fail(KL_ERR_SHAPE,
                "matmul: both arguments to matmul need to be at least 1D, but they "
                "are %dD and %dD",
                ra, rb);
        return NULL;
    }
    if (kl_lazy_shape(a)[ra - 1] != kl_lazy_shape(b)[rb == 1 ? 0 : rb - 2])
        return bad_matmul(a, b);
    kl_dtype dt = (kl_dtype)a->dtype;
    kl_lazy *r = ra <= 2 && rb <= 2
                     ? kl_n_contract(a, b, plain[ra - 1][rb - 1], accumulator(a))
                     : batched(a, b);
    return kl_n_cast(r, dt);
}

kl_lazy *kl_n_linear(kl_lazy *x, kl_lazy *w, kl_lazy *b)
{
    static const char lead[] = "ABCDEFGHIJKLMNOP";
    char text[2 * KL_MAX_RANK + 8];
    if (!x || !w)
        return NULL;
    size_t n = x->rank > 0 ? x->rank - 1u : 0;
    memcpy(text, lead, n); /* ABk,nk->ABn */
    memcpy(text + n, "k,nk->", 6);
    memcpy(text + n + 6, lead, n);
    memcpy(text + n + 6 + n, "n", 2);
    kl_lazy *y = kl_n_cast(kl_n_contract(x, w, text, accumulator(x)), (kl_dtype)x->dtype);
    return b ? kl_n_bin(KL_OP_add, y, b) : y;
}

/* ---- indices ---- */

kl_lazy *kl_n_wrap_index(kl_lazy *index, int64_t extent)
{
    kl_lazy *i = kl_n_cast(index, KL_I64);
    kl_lazy *low = kl_n_binc(KL_OP_lt, i, 0);
    return kl_n_where(
        low, i ? kl_n_bin(KL_OP_add, i, kl_n_const_int(KL_I64, extent)) : NULL, i);
}

kl_lazy *kl_n_one_hot(kl_lazy *index, int64_t n, kl_dtype dt)
{
    int64_t shape[KL_MAX_RANK];
    if (!index || index->rank == KL_MAX_RANK)
        return NULL;
    memcpy(shape, kl_lazy_shape(index), index->rank * sizeof *shape);
    shape[index->rank] = n;
    kl_lazy *iota =
        kl_n_iota((kl_dtype)index->dtype, index->rank + 1, shape, index->rank);
    return kl_n_cast(kl_n_bin(KL_OP_eq, kl_n_unsqueeze(index, index->rank), iota), dt);
}
