/* scatter.c: writing by index in the ways PyTorch names: whole slices, with a reduction,
 * where a mask is true, through a view. All give new tensors.
 *
 *   kl_index_copy(t, 0, i, s)   ->  scatter.set t, i, s along 0 */
#include "terms.h"

static bool index_ok(const char *fn, kl_lazy *a, kl_lazy *i, kl_lazy *v, int axis)
{
    if (!a || !i || !v)
        return false;
    bool ok = i->rank <= 1 && (kl_is_int((kl_dtype)i->dtype)) && v->rank == a->rank &&
              v->dtype == a->dtype;
    int64_t n = i->rank ? kl_lazy_shape(i)[0] : 1;
    for (int k = 0; ok && k < a->rank; k++)
        ok = kl_lazy_shape(v)[k] == (k == axis ? n : kl_lazy_shape(a)[k]);
    if (!ok) {
        char x[100], y[100];
        kl_fail(KL_ERR_INDEX,
                "%s: source %s %s does not fit %lld indices into dimension %d of %s %s",
                fn, kl_dtypes[v->dtype].torch_name,
                kl_ints_text(kl_ints_of(v->rank, kl_lazy_shape(v)), x, sizeof x),
                (long long)n, axis, kl_dtypes[a->dtype].torch_name,
                kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), y, sizeof y));
    }
    return ok;
}

static kl_lazy *vector(kl_lazy *i)
{
    int64_t n = i ? kl_lazy_numel(i) : 0;
    return kl_n_reshape(i, 1, &n);
}

typedef struct slices {
    kl_lazy *a, *i, *v; /* a and v of one rank, at least 1; i a vector, wrapped */
    int axis;
    kl_lazy *as; /* whose shape the result has */
} slices;

static bool prepare(const char *fn, kl_tensor *t, int dim, kl_tensor *index, kl_arg src,
                    slices *s)
{
    kl_lazy *raw = kl_arg_tensor(t), *i = kl_arg_tensor(index);
    *s = (slices){.a = kl_n_at_least_1(raw), .as = raw};
    if (!raw || !i || kl_dim_wrap(dim, raw->rank, &s->axis))
        return false;
    s->v = src.kind == KL_ARG_TENSOR ? kl_n_at_least_1(kl_arg_tensor(src.t))
                                     : kl_arg_read(src, type(raw));
    if (src.kind != KL_ARG_TENSOR && s->v) {
        int64_t shape[KL_MAX_RANK];
        memcpy(shape, kl_lazy_shape(s->a), s->a->rank * sizeof *shape);
        shape[s->axis] = kl_lazy_numel(i);
        s->v = kl_n_expand(s->v, s->a->rank, shape);
    }
    if (!index_ok(fn, s->a, i, s->v, s->axis))
        return false;
    s->i = vector(kl_n_index(i, kl_lazy_shape(s->a)[s->axis], s->axis, KL_SCATTERED));
    if (!s->i)
        return false;
    return true;
}

static kl_tensor *finish(kl_call *c, const slices *s, kl_lazy *r)
{
    return kl_call_end(c, r ? kl_n_reshape(r, s->as->rank, kl_lazy_shape(s->as)) : NULL);
}

kl_tensor *kl_index_copy_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                            kl_tensor *src)
{
    kl_call c = kl_call_begin(at);
    slices s;
    if (!prepare("index_copy", t, dim, index, kl_arg_t(src), &s))
        return kl_call_end(&c, NULL);
    return finish(&c, &s, kl_n_scatter((int)KL_SET, s.a, s.i, s.v, s.axis, 0));
}

kl_tensor *kl_index_fill_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                            kl_arg v)
{
    kl_call c = kl_call_begin(at);
    slices s;
    kl_tensor *one = v.kind == KL_ARG_TENSOR ? v.t : NULL;
    if (one && one->rank > 0) {
        kl_fail(KL_ERR_ARG,
                "index_fill_ only supports a 0-dimensional value tensor, but got tensor "
                "with %d dimension(s).",
                one->rank);
        return kl_call_end(&c, NULL);
    }
    /* a 0-d tensor is a number of another kind: read as one */
    kl_arg zero = kl_arg_i(0);
    if (!prepare("index_fill", t, dim, index, one ? zero : v, &s))
        return kl_call_end(&c, NULL);
    if (one)
        s.v = kl_n_expand_like(kl_n_cast(kl_arg_tensor(one), type(s.a)), s.v);
    return finish(&c, &s, kl_n_scatter((int)KL_SET, s.a, s.i, s.v, s.axis, 0));
}

/* ---- with a reduction ---- */

typedef enum how { SUM, PROD, MEAN, AMAX, AMIN, HOWS } how;

static how how_of(const char *reduce)
{
    static const char *const names[HOWS] = {"sum", "prod", "mean", "amax", "amin"};
    for (int h = 0; reduce && h < HOWS; h++)
        if (strcmp(reduce, names[h]) == 0)
            return (how)h;
    kl_fail(KL_ERR_ARG,
            "reduce argument must be either sum, prod, mean, amax or amin, got %s.",
            reduce ? reduce : "NULL");
    return HOWS;
}

static const int combine[HOWS] = {KL_OP_add, KL_OP_mul, KL_OP_add, KL_OP_max, KL_OP_min};

/* What combining begins with where self does not take part. */
static kl_lazy *neutral(kl_dtype dt, how h)
{
    if (h == SUM || h == MEAN || h == PROD)
        return kl_n_const(dt, h == PROD);
    if (kl_is_float(dt))
        return kl_n_const(dt, h == AMAX ? -INFINITY : INFINITY);
    bool is_signed = dt == KL_I8 || dt == KL_I16 || dt == KL_I32 || dt == KL_I64;
    int bits = dt == KL_BOOL ? 1 : 8 * kl_dtypes[dt].size - is_signed;
    int64_t top = (int64_t)(~UINT64_C(0) >> (64 - bits));
    return kl_n_const_int(dt, h == AMIN ? top : is_signed ? -top - 1 : 0);
}

typedef kl_lazy *(*put_fn)(void *user, int op, kl_lazy *a, kl_lazy *v);

/* put(op, a, v) combines v into a; ones of v's shape count what comes to each element. */
static kl_lazy *reduced(how h, bool self, kl_lazy *a, kl_lazy *v, put_fn put, void *user)
{
    kl_dtype dt = type(a), ct = kl_is_float(dt) || kl_is_complex(dt) ? dt : KL_I64;
    kl_lazy *zero = kl_n_full(ct, a->rank, kl_lazy_shape(a), 0);
    kl_lazy *ones = kl_n_full(ct, v->rank, kl_lazy_shape(v), 1), *count = NULL, *base = a;
    if (!self || h == MEAN)
        count = put(user, KL_OP_add, zero, ones);
    if (!self)
        base = kl_n_where(equals(count, 0), a, neutral(dt, h));
    kl_lazy *r = put(user, combine[h], base, v);
    if (h != MEAN || !r)
        return r;
    kl_lazy *n = self ? plus(count, 1) : kl_n_binc(KL_OP_max, count, 1);
    if (kl_is_float(dt) || kl_is_complex(dt))
        return over(r, kl_is_complex(dt) && !self
                           ? kl_n_where(equals(count, 0), num(r, 1), count)
                           : n);
    return kl_n_cast(kl_n_bin(KL_OP_floordiv, kl_n_cast(r, KL_I64), n), dt);
}

static kl_lazy *put_slices(void *user, int op, kl_lazy *a, kl_lazy *v)
{
    const slices *s = user;
    return kl_n_scatter(op, a, s->i, v, s->axis, 0);
}

kl_tensor *kl_index_reduce_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                              kl_tensor *src, const char *reduce, bool self)
{
    kl_call c = kl_call_begin(at);
    slices s;
    how h = how_of(reduce);
    if (h == HOWS || !prepare("index_reduce", t, dim, index, kl_arg_t(src), &s))
        return kl_call_end(&c, NULL);
    return finish(&c, &s, reduced(h, self, s.a, s.v, put_slices, &s));
}

/* An element each: index and source have self's rank; see kl_scatter. */
typedef struct elements {
    kl_lazy *i;
    int axis;
} elements;

static kl_lazy *put_elements(void *user, int op, kl_lazy *a, kl_lazy *v)
{
    const elements *e = user;
    return kl_n_scatter_along(op, a, e->i, v, e->axis);
}

kl_tensor *kl_scatter_reduce_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                                kl_tensor *src, const char *reduce, bool self)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *raw = kl_arg_tensor(t), *a = kl_n_at_least_1(raw),
            *i = kl_n_at_least_1(kl_arg_tensor(index));
    kl_lazy *v = kl_n_at_least_1(kl_arg_tensor(src));
    int64_t zero[KL_MAX_RANK] = {0};
    elements e = {.i = i};
    how h = how_of(reduce);
    if (!a || !i || !v || h == HOWS || kl_dim_wrap(dim, a->rank, &e.axis))
        return kl_call_end(&c, NULL);
    if (kl_lazy_numel(i) == 0 && kl_is_int((kl_dtype)i->dtype))
        return kl_call_end(&c, kl_n_copy(a)); /* nothing is written, whatever the shapes */
    bool ok = i->rank == a->rank && v->rank == a->rank && v->dtype == a->dtype &&
              kl_is_int((kl_dtype)i->dtype);
    for (int k = 0; ok && k < a->rank; k++)
        ok = kl_lazy_shape(v)[k] >= kl_lazy_shape(i)[k];
    if (!ok) {
        kl_fail(KL_ERR_SHAPE, "scatter_reduce: index and src must have self's number of "
                              "dimensions, src self's dtype and no smaller extents than "
                              "index");
        return kl_call_end(&c, NULL);
    }
    v = kl_n_slice(v, zero, kl_lazy_shape(i), NULL);
    kl_lazy *r = v ? reduced(h, self, a, v, put_elements, &e) : NULL;
    return kl_call_end(&c, r ? kl_n_reshape(r, raw->rank, kl_lazy_shape(raw)) : NULL);
}

/* ---- in the flattened tensor ---- */

kl_tensor *kl_put_at(const char *at, kl_tensor *t, kl_tensor *index, kl_tensor *src,
                     bool accumulate)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *i = kl_arg_tensor(index), *v = kl_arg_tensor(src);
    if (!a || !i || !v)
        return kl_call_end(&c, NULL);
    int64_t n = kl_lazy_numel(a), m = kl_lazy_numel(i);
    if (kl_lazy_numel(v) != m || v->dtype != a->dtype || !kl_is_int((kl_dtype)i->dtype)) {
        kl_fail(KL_ERR_ARG,
                "put_(): Expected source and index to have the same number of "
                "elements, and source self's dtype");
        return kl_call_end(&c, NULL);
    }
    kl_lazy *r =
        kl_n_scatter(accumulate ? (int)KL_OP_add : (int)KL_SET, kl_n_reshape(a, 1, &n),
                     vector(kl_n_index(i, n, 0, KL_TAKEN)), kl_n_reshape(v, 1, &m), 0, 0);
    return kl_call_end(&c, kl_n_reshape(r, a->rank, kl_lazy_shape(a)));
}

/* The next element of src wherever mask is true. */
kl_tensor *kl_masked_scatter_at(const char *at, kl_tensor *t, kl_tensor *mask,
                                kl_tensor *src)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n[2] = {kl_arg_tensor(t), kl_arg_tensor(mask)}, *v = kl_arg_tensor(src);
    if (!n[0] || !n[1] || !v || kl_broadcast("masked_scatter", 2, n))
        return kl_call_end(&c, NULL);
    if (n[1]->dtype != KL_BOOL || v->dtype != n[0]->dtype) {
        kl_fail(KL_ERR_DTYPE, "masked_scatter_ only supports boolean masks, and expected "
                              "self and source to have same dtypes");
        return kl_call_end(&c, NULL);
    }
    int64_t all = kl_lazy_numel(n[0]), m = kl_lazy_numel(v);
    if (all == 0)
        return kl_call_end(&c, n[0]);
    kl_lazy *on = kl_n_reshape(n[1], 1, &all);
    kl_lazy *k = plus(kl_n_prefix(KL_OP_add, kl_n_cast(on, KL_I64), 0), -1);
    k = or_number(on, k, 0); /* one too far is a fault of the gather */
    kl_lazy *got = kl_n_gather(kl_n_reshape(v, 1, &m), k, 0, 0);
    kl_lazy *r = kl_n_where(on, got, kl_n_reshape(n[0], 1, &all));
    return kl_call_end(&c, kl_n_reshape(r, n[0]->rank, kl_lazy_shape(n[0])));
}

/* gather with the other dimensions broadcast; no dim (flat): of the flattened tensor. */
kl_tensor *kl_take_along_dim_at(const char *at, kl_tensor *t, kl_tensor *index, int dim,
                                bool flat)
{
    kl_call c = kl_compose(at);
    if (flat) {
        t = kl_reshape_at(at, t, kl_shape(-1));
        index = kl_reshape_at(at, index, kl_shape(-1));
    }
    int axis;
    kl_ints st = kl_shape_of(t), si = kl_shape_of(index);
    if (!t || !index || kl_dim_wrap(dim, st.n, &axis))
        return kl_composed(&c, NULL, NULL);
    if (kl_dtype_of(index) != KL_I64) {
        kl_fail(KL_ERR_DTYPE,
                "torch.take_along_dim(): dtype of indices should be Long but got %s",
                kl_dtypes[kl_dtype_of(index)].scalar);
        return kl_composed(&c, NULL, NULL);
    }
    if (st.n != si.n) {
        kl_fail(KL_ERR_SHAPE,
                "torch.take_along_dim(): input and indices should have the same number "
                "of dimensions, but got %d dimensions for input, and %d dimensions for "
                "indices",
                st.n, si.n);
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < st.n; i++) {
        if (i == axis)
            continue;
        int64_t n = st.v[i] == 1 ? si.v[i] : st.v[i];
        st.v[i] = si.v[i] = n;
    }
    kl_tensor *r =
        kl_gather_at(at, kl_expand_at(at, t, st), axis, kl_expand_at(at, index, si));
    return kl_composed(&c, NULL, r);
}

/* ---- through a view of a copy ---- */

static kl_tensor *written(kl_call *c, const char *at, const char *fn, kl_tensor *t,
                          kl_tensor *copy, kl_tensor *view, kl_tensor *src)
{
    bool ok = view && src && kl_copy_in_at(at, view, kl_arg_t(src));
    if (ok && kl_tracks(t) && kl_grad_enabled()) { /* though nothing of t may be left */
        kl_tensor *yes = kl_full_at(at, kl_shape(), kl_arg_b(true), KL_BOOL);
        copy = kl_where_at(at, yes, kl_arg_t(copy), kl_arg_t(t));
    }
    return kl_composed(c, fn, ok ? copy : NULL);
}

kl_tensor *kl_select_scatter_at(const char *at, kl_tensor *t, kl_tensor *src, int dim,
                                int64_t index)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = kl_clone_at(at, t);
    return written(&c, at, __func__, t, r, kl_select_at(at, r, dim, index), src);
}

kl_tensor *kl_slice_scatter_at(const char *at, kl_tensor *t, kl_tensor *src, int dim,
                               int64_t start, int64_t end, int64_t step)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = kl_clone_at(at, t);
    return written(&c, at, __func__, t, r, kl_slice_at(at, r, dim, start, end, step),
                   src);
}

kl_tensor *kl_diagonal_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                  int64_t offset, int dim1, int dim2)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = kl_clone_at(at, t);
    return written(&c, at, __func__, t, r, kl_diagonal_at(at, r, offset, dim1, dim2),
                   src);
}

kl_tensor *kl_as_strided_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                    kl_ints shape, kl_ints strides, int64_t offset)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = kl_clone_at(at, t);
    return written(&c, at, __func__, t, r,
                   kl_as_strided_at(at, r, shape, strides, offset), src);
}
