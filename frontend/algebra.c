/* algebra.c: products that PyTorch names beside matmul: with an addend, outer and inner,
 * Kronecker and cross, powers, distances. Compositions of kiln's own calls.
 *
 *   kl_addmm(c, a, b, beta, alpha)  ->  beta c + alpha (a b) */
#include "handles.h"

static bool is_one(kl_arg a)
{
    return a.d == 1 && a.kind != KL_ARG_COMPLEX;
}

/* Factors of integers are integers. */
static kl_arg as_dtype(kl_arg a, kl_dtype dt)
{
    if (a.kind == KL_ARG_FLOAT && dt != KL_DTYPE_NONE && kl_is_int(dt))
        return kl_arg_i((int64_t)a.d);
    return dt == KL_BOOL ? kl_arg_b(a.d != 0) : a;
}

/* beta c + alpha p; c is not read at all where beta is 0, so that its NaN does not count.
 */
static kl_tensor *addend(const char *at, kl_tensor *c, kl_arg beta, kl_tensor *p,
                         kl_arg alpha)
{
    kl_dtype dt = kl_dtype_of(p);
    alpha = as_dtype(alpha, dt);
    beta = as_dtype(beta, dt);
    if (p && !is_one(alpha))
        p = kl_mul_at(at, T(p), alpha);
    if (!p || (beta.d == 0 && beta.kind != KL_ARG_COMPLEX))
        return p && c ? kl_expand_at(at, p, kl_shape_of(p)) : p;
    if (!is_one(beta))
        c = kl_mul_at(at, T(c), beta);
    return c ? kl_add_at(at, T(c), T(p)) : NULL;
}

kl_tensor *kl_addmm_at(const char *at, kl_tensor *base, kl_tensor *a, kl_tensor *b,
                       kl_arg beta, kl_arg alpha)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__,
                       addend(at, base, beta, kl_matmul_at(at, a, b), alpha));
}

/* a and b are batches whose products are summed. */
kl_tensor *kl_addbmm_at(const char *at, kl_tensor *base, kl_tensor *a, kl_tensor *b,
                        kl_arg beta, kl_arg alpha)
{
    kl_call c = kl_compose(at);
    kl_tensor *p = kl_rank(a) == 3 && kl_rank(b) == 3
                       ? kl_einsum_at(at, "bik,bkj->ij", a, b)
                       : kl_matmul_at(at, a, b); /* says what is wrong */
    return kl_composed(&c, __func__, addend(at, base, beta, p, alpha));
}

kl_tensor *kl_outer_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_compose(at);
    if (!a || !b || a->rank != 1 || b->rank != 1) {
        kl_fail(KL_ERR_SHAPE, "outer: Expected 1-D arguments, but got %d-D and %d-D",
                a ? a->rank : 0, b ? b->rank : 0);
        return kl_composed(&c, NULL, NULL);
    }
    return kl_composed(&c, __func__, kl_mul_at(at, T(kl_unsqueeze_at(at, a, 1)), T(b)));
}

kl_tensor *kl_addr_at(const char *at, kl_tensor *base, kl_tensor *a, kl_tensor *b,
                      kl_arg beta, kl_arg alpha)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__,
                       addend(at, base, beta, kl_outer_at(at, a, b), alpha));
}

/* Over the last dimension of both; a number: their product. */
kl_tensor *kl_inner_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_compose(at);
    if (!a || !b || a->rank == 0 || b->rank == 0)
        return kl_composed(&c, NULL, kl_mul_at(at, T(a), T(b)));
    int last = a->rank - 1;
    kl_ints x = kl_axes(last), y = kl_axes(b->rank - 1);
    return kl_composed(&c, NULL, kl_tensordot_at(at, a, b, x, y));
}

/* Over the listed dimensions of a and of b; the others follow, a's first. */
kl_tensor *kl_tensordot_at(const char *at, kl_tensor *a, kl_tensor *b, kl_ints of_a,
                           kl_ints of_b)
{
    kl_call c = kl_compose(at);
    char la[KL_MAX_RANK + 1] = "", lb[KL_MAX_RANK + 1] = "", text[4 * KL_MAX_RANK + 8];
    char out[2 * KL_MAX_RANK + 1] = "";
    int n = 0, x, y;
    if (!a || !b || of_a.n != of_b.n) {
        kl_fail(KL_ERR_ARG, "both dimension lists should have same length");
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < a->rank; i++)
        la[i] = (char)('a' + i);
    for (int i = 0; i < b->rank; i++)
        lb[i] = (char)('A' + i);
    for (int i = 0; i < of_a.n; i++) {
        if (kl_dim_wrap(of_a.v[i], a->rank, &x) || kl_dim_wrap(of_b.v[i], b->rank, &y))
            return kl_composed(&c, NULL, NULL);
        if (kl_extent(a, x) != kl_extent(b, y)) {
            kl_fail(
                KL_ERR_SHAPE,
                "contracted dimensions need to match, but first has size %lld in dim %d "
                "and second has size %lld in dim %d",
                (long long)kl_extent(a, x), x, (long long)kl_extent(b, y), y);
            return kl_composed(&c, NULL, NULL);
        }
        lb[y] = la[x];
    }
    for (int i = 0; i < a->rank; i++)
        if (!strchr(lb, la[i]))
            out[n++] = la[i];
    for (int i = 0; i < b->rank; i++)
        if (!strchr(la, lb[i]))
            out[n++] = lb[i];
    snprintf(text, sizeof text, "%s,%s->%s", la, lb, out);
    return kl_composed(&c, NULL, kl_einsum_at(at, text, a, b));
}

kl_tensor *kl_vecdot_at(const char *at, kl_tensor *a, kl_tensor *b, int dim)
{
    kl_call c = kl_compose(at);
    kl_tensor *p = kl_mul_at(at, T(a ? kl_conj_at(at, a) : NULL), T(b));
    return kl_composed(&c, __func__, p ? kl_sum_at(at, p, kl_axes(dim), false) : NULL);
}

kl_tensor *kl_trace_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    if (!t || t->rank != 2) {
        kl_fail(KL_ERR_SHAPE, "trace: expected a matrix, but got tensor with dim %d",
                t ? t->rank : 0);
        return kl_composed(&c, NULL, NULL);
    }
    return kl_composed(&c, __func__,
                       kl_sum_at(at, kl_diagonal_at(at, t, 0, 0, 1), kl_axes(), false));
}

/* Blocks of b scaled by each element of a; missing leading dimensions are 1. */
kl_tensor *kl_kron_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_compose(at);
    if (!a || !b)
        return kl_composed(&c, NULL, NULL);
    int rank = KL_MAX(a->rank, b->rank);
    kl_ints sa = {.n = 2 * rank}, sb = {.n = 2 * rank}, out = {.n = rank};
    if (2 * rank > KL_MAX_RANK) {
        kl_fail(KL_ERR_SHAPE, "kron: more than %d dimensions", KL_MAX_RANK / 2);
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        sa.v[2 * i] = ia < 0 ? 1 : kl_extent(a, ia);
        sb.v[2 * i + 1] = ib < 0 ? 1 : kl_extent(b, ib);
        sa.v[2 * i + 1] = sb.v[2 * i] = 1;
        out.v[i] = kl_sat_mul(sa.v[2 * i], sb.v[2 * i + 1]);
    }
    kl_tensor *p =
        kl_mul_at(at, T(kl_reshape_at(at, a, sa)), T(kl_reshape_at(at, b, sb)));
    return kl_composed(&c, __func__, p ? kl_reshape_at(at, p, out) : NULL);
}

/* Of vectors of 3 along dim. */
kl_tensor *kl_cross_at(const char *at, kl_tensor *a, kl_tensor *b, int dim)
{
    kl_call c = kl_compose(at);
    if (kl_extent(a, dim) != 3 || kl_extent(b, dim) != 3) {
        kl_fail(KL_ERR_SHAPE,
                "linalg.cross: inputs dimension %d must have length 3. Got %lld "
                "and %lld",
                dim, (long long)kl_extent(a, dim), (long long)kl_extent(b, dim));
        return kl_composed(&c, NULL, NULL);
    }
    int neg = dim < 0 ? dim : dim - a->rank; /* counted from the end: ranks may differ */
    kl_tensor *a1 = kl_roll_at(at, a, -1, neg), *a2 = kl_roll_at(at, a, -2, neg);
    kl_tensor *b1 = kl_roll_at(at, b, -1, neg), *b2 = kl_roll_at(at, b, -2, neg);
    return kl_composed(
        &c, __func__,
        kl_sub_at(at, T(kl_mul_at(at, T(a1), T(b2))), T(kl_mul_at(at, T(a2), T(b1)))));
}

/* By repeated squaring; 0 gives the identity, negative powers are the inverse's. */
kl_tensor *kl_matrix_power_at(const char *at, kl_tensor *a, int64_t n)
{
    kl_call c = kl_compose(at);
    if (!a || a->rank < 2 || kl_extent(a, -1) != kl_extent(a, -2)) {
        kl_fail(KL_ERR_SHAPE,
                "linalg.matrix_power: A must be batches of square matrices, but they are "
                "%lld by %lld matrices",
                (long long)kl_extent(a, -2), (long long)kl_extent(a, -1));
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *r = NULL, *p = n < 0 ? kl_linalg_inv_at(at, a) : a;
    n = n < 0 ? -n : n;
    for (; n > 0 && p; n >>= 1) {
        if (n & 1)
            r = r ? kl_matmul_at(at, r, p) : p;
        p = n > 1 ? kl_matmul_at(at, p, p) : p;
    }
    if (!r && p) {
        kl_tensor *eye =
            kl_eye_at(at, kl_extent(a, -1), kl_extent(a, -1), kl_dtype_of(a));
        kl_tensor *yes = kl_full_at(at, kl_shape(), kl_arg_b(true), KL_BOOL);
        r = kl_where_at(at, yes, T(eye), T(a)); /* tracked as a is */
    } else if (r == a) {
        r = kl_clone_at(at, a);
    }
    return kl_composed(&c, __func__, r);
}

/* The product of a chain, in the order that costs least (Cormen et al., 15.2). */
kl_tensor *kl_multi_dot_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    enum { MOST = 32 };
    double cost[MOST][MOST] = {{0}};
    int cut[MOST][MOST] = {{0}};
    int64_t d[MOST + 1];
    if (n < 2 || n > MOST) {
        kl_fail(KL_ERR_ARG, "multi_dot(): expected 2 to %d tensors, got %d", MOST, n);
        return kl_composed(&c, NULL, NULL);
    }
    if (!kl_arg_given(t, n, "the list of tensors"))
        return kl_composed(&c, NULL, NULL);
    for (int i = 0; i < n; i++)
        d[i] = t[i] && t[i]->rank == 2 ? kl_extent(t[i], 0) : 1;
    d[n] = t[n - 1] && t[n - 1]->rank == 2 ? kl_extent(t[n - 1], 1) : 1;
    for (int len = 2; len <= n; len++)
        for (int i = 0, j = len - 1; j < n; i++, j++)
            for (int k = i; k < j; k++) {
                double c = cost[i][k] + cost[k + 1][j] +
                           (double)d[i] * (double)d[k + 1] * (double)d[j + 1];
                if (k == i || c < cost[i][j])
                    cost[i][j] = c, cut[i][j] = k;
            }
    /* evaluate without recursion: contract the innermost cut of what is left */
    kl_tensor *part[MOST];
    int from[MOST], to[MOST], left = n;
    for (int i = 0; i < n; i++)
        part[i] = t[i], from[i] = to[i] = i;
    while (left > 1) {
        int best = 0;
        for (int i = 0; i + 1 < left; i++)
            if (cut[from[i]][to[i + 1]] == to[i])
                best = i;
        part[best] = kl_matmul_at(at, part[best], part[best + 1]);
        to[best] = to[best + 1];
        left--;
        for (int i = best + 1; i < left; i++)
            part[i] = part[i + 1], from[i] = from[i + 1], to[i] = to[i + 1];
        if (!part[best])
            break;
    }
    return kl_composed(&c, __func__, left == 1 ? part[0] : NULL);
}

/* Distances between the rows of a [.., m, d] and b [.., n, d]: [.., m, n]. */
kl_tensor *kl_cdist_at(const char *at, kl_tensor *a, kl_tensor *b, double p)
{
    kl_call c = kl_compose(at);
    if (kl_rank(a) < 2 || kl_rank(b) < 2) {
        kl_fail(KL_ERR_SHAPE, "cdist only supports at least 2D tensors, got: %dD and %dD",
                kl_rank(a), kl_rank(b));
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *d =
        kl_sub_at(at, T(kl_unsqueeze_at(at, a, -2)), T(kl_unsqueeze_at(at, b, -3)));
    return kl_composed(&c, __func__, d ? kl_norm_at(at, d, p, kl_axes(-1), false) : NULL);
}

kl_tensor *kl_conj_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    kl_dtype dt = kl_dtype_of(t);
    if (dt != KL_C64 && dt != KL_C128)
        return kl_composed(&c, NULL, kl_to_at(at, t, dt));
    kl_tensor *im = kl_neg_at(at, T(kl_imag_at(at, T(t))));
    return kl_composed(&c, __func__, kl_complex_at(at, kl_real_at(at, T(t)), im));
}
