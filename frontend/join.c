/* join.c: putting tensors together and taking them apart in the ways NumPy and PyTorch
 * name: stacks, grids, diagonals, rotations. Compositions of kiln's own calls.
 *
 *   kl_vstack({f32[3], f32[3]})  ->  cat of f32[1,3] along 0 */
#include "front.h"

kl_call kl_compose(const char *at)
{
    kl_scope_begin();
    return kl_call_begin(at);
}

kl_tensor *kl_composed(kl_call *c, const char *fn, kl_tensor *r)
{
    kl_call_done(c, KL_OK);
    kl_keep(r);
    kl_scope_drop();
    if (r && fn)
        kl_tensor_named(r, fn);
    return r;
}

kl_tensor *kl_composed_two(kl_call *c, const char *fn, kl_tensor *r, kl_tensor **second)
{
    kl_keep(*second);
    return kl_composed(c, fn, r);
}

static int done(kl_call *c, int n)
{
    kl_call_done(c, KL_OK);
    return n;
}

/* ---- at least so many dimensions ---- */

static kl_tensor *same(const char *at, kl_tensor *t)
{
    return kl_to_at(at, t, kl_dtype_of(t));
}

kl_tensor *kl_atleast_1d_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL,
                       t && t->rank == 0 ? kl_unsqueeze_at(at, t, 0) : same(at, t));
}

kl_tensor *kl_atleast_2d_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    if (!t || t->rank >= 2)
        return kl_composed(&c, NULL, same(at, t));
    kl_tensor *r = t->rank ? t : kl_unsqueeze_at(at, t, 0);
    return kl_composed(&c, __func__, kl_unsqueeze_at(at, r, 0));
}

kl_tensor *kl_atleast_3d_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    if (!t || t->rank >= 3)
        return kl_composed(&c, NULL, same(at, t));
    kl_tensor *r = t->rank == 2 ? t : kl_atleast_2d_at(at, t);
    return kl_composed(&c, __func__, kl_unsqueeze_at(at, r, 2));
}

/* ---- stacks ---- */

typedef kl_tensor *(*shape_fn)(const char *at, kl_tensor *t);

/* cat along dim of what fn makes of each. */
static kl_tensor *stack_by(const char *at, const char *fn, shape_fn shape,
                           kl_tensor *const *t, int n, int dim)
{
    kl_call c = kl_compose(at);
    if (!kl_arg_given(t, n, "the list of tensors"))
        return kl_composed(&c, NULL, NULL);
    kl_tensor **v = n > 0 ? kl_alloc_zeroed((size_t)n * sizeof *v) : NULL;
    bool ok = v != NULL;
    for (int i = 0; i < n && ok; i++) {
        v[i] = shape(at, t[i]);
        ok = v[i] != NULL;
    }
    kl_tensor *r = ok || n <= 0 ? kl_cat_at(at, v, n, dim) : NULL;
    if (v)
        kl_free(v, (size_t)n * sizeof *v);
    return kl_composed(&c, fn, r);
}

kl_tensor *kl_vstack_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL, stack_by(at, __func__, kl_atleast_2d_at, t, n, 0));
}

kl_tensor *kl_hstack_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    bool flat = n > 0 && t && t[0] && t[0]->rank <= 1;
    return kl_composed(&c, NULL,
                       stack_by(at, __func__, kl_atleast_1d_at, t, n, flat ? 0 : 1));
}

kl_tensor *kl_dstack_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL, stack_by(at, __func__, kl_atleast_3d_at, t, n, 2));
}

static kl_tensor *as_column(const char *at, kl_tensor *t)
{
    return t && t->rank <= 1 ? kl_reshape_at(at, t, kl_shape(kl_numel(t), 1))
                             : same(at, t);
}

kl_tensor *kl_column_stack_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL, stack_by(at, __func__, as_column, t, n, 1));
}

/* ---- parts ---- */

/* Pieces that end at the given indices. */
int kl_tensor_split_at(const char *at, kl_tensor *t, const int64_t *ends, int n, int dim,
                       kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    int64_t extent = kl_extent(t, dim), from = 0;
    if (!kl_arg_given(ends, n, "the list of ends") ||
        !kl_arg_given(out, n + 1, "the place for the results"))
        return done(&c, -1);
    for (int i = 0; i <= n; i++) {
        int64_t to = i < n ? ends[i] : extent;
        to = to < 0 ? to + extent : to;
        to = KL_MIN(KL_MAX(to, 0), extent);
        out[i] = kl_slice_at(at, t, dim, from, KL_MAX(to, from), 1);
        from = i < n ? to : from;
        if (!out[i])
            return done(&c, -1);
    }
    return done(&c, n + 1);
}

/* n pieces, the first ones longer by one where it does not come out even. */
int kl_tensor_split_n_at(const char *at, kl_tensor *t, int64_t n, int dim,
                         kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    int64_t extent = kl_extent(t, dim), from = 0;
    if (t && t->rank == 0) {
        kl_fail(KL_ERR_ARG,
                "tensor_split expected at least a 1-dimensional tensor, but got a "
                "tensor with 0 dims");
        return done(&c, -1);
    }
    if (n <= 0 || extent < 0) {
        kl_fail(KL_ERR_ARG, "number of sections must be larger than 0, got %lld",
                (long long)n);
        return done(&c, -1);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t len = extent / n + (i < extent % n);
        out[i] = kl_narrow_at(at, t, dim, from, len);
        from += len;
        if (!out[i])
            return done(&c, -1);
    }
    return done(&c, (int)n);
}

kl_tensor *kl_unflatten_at(const char *at, kl_tensor *t, int dim, kl_ints sizes)
{
    kl_call c = kl_compose(at);
    kl_ints s = {0};
    int axis;
    if (!t || kl_dim_wrap(dim, t->rank, &axis))
        return kl_composed(&c, NULL, NULL);
    for (int i = 0; i < t->rank && s.n < KL_INTS_MAX; i++) {
        if (i != axis)
            s.v[s.n++] = kl_t_shape(t)[i];
        for (int k = 0; i == axis && k < sizes.n && s.n < KL_INTS_MAX; k++)
            s.v[s.n++] = sizes.v[k];
    }
    return kl_composed(&c, NULL, kl_view_at(at, t, s));
}

/* ---- grids ---- */

/* Every tensor (1-d) spread over the grid of all; xy: the first two dimensions swapped.
 */
int kl_meshgrid_at(const char *at, kl_tensor *const *t, int n, bool xy, kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    kl_ints grid = {.n = n};
    if (n <= 0 || n > KL_INTS_MAX) {
        kl_fail(KL_ERR_ARG, "meshgrid expects a non-empty TensorList");
        return done(&c, -1);
    }
    if (!kl_arg_given(t, n, "the list of tensors") ||
        !kl_arg_given(out, n, "the place for the results"))
        return done(&c, -1);
    for (int i = 0; i < n; i++)
        grid.v[i] = kl_numel(t[i]);
    for (int i = 0; i < n; i++) {
        kl_ints one = {.n = n};
        for (int k = 0; k < n; k++)
            one.v[k] = k == i ? grid.v[i] : 1;
        kl_call in = kl_compose(at);
        kl_tensor *r = kl_expand_at(at, kl_reshape_at(at, t[i], one), grid);
        if (xy && n > 1)
            r = kl_transpose_at(at, r, 0, 1);
        out[i] = kl_composed(&in, "kl_expand_at", r);
        if (!out[i])
            return done(&c, -1);
    }
    return done(&c, n);
}

kl_tensor *kl_cartesian_prod_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    kl_tensor *grid[KL_INTS_MAX];
    if (n == 1 && t)
        return kl_composed(&c, NULL, same(at, t[0]));
    bool ok = kl_meshgrid_at(at, t, n, false, grid) == n;
    kl_tensor *all = ok ? kl_stack_at(at, grid, n, -1) : NULL;
    return kl_composed(&c, __func__,
                       all ? kl_reshape_at(at, all, kl_shape(-1, n)) : NULL);
}

kl_tensor *kl_block_diag_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_compose(at);
    int64_t rows = 0, cols = 0, r0 = 0, c0 = 0;
    kl_tensor *all = NULL;
    if (!kl_arg_given(t, n, "the list of tensors"))
        return kl_composed(&c, NULL, NULL);
    kl_tensor **v = kl_alloc_zeroed((size_t)n * sizeof *v + 1);
    for (int i = 0; v && i < n; i++) {
        v[i] = kl_atleast_2d_at(at, t[i]);
        if (!v[i])
            break;
        rows += kl_extent(v[i], 0);
        cols += kl_extent(v[i], 1);
    }
    for (int i = 0; v && i < n && v[i]; i++) {
        int64_t h = kl_extent(v[i], 0), w = kl_extent(v[i], 1);
        kl_tensor *p = kl_pad_at(at, v[i], kl_axes(c0, cols - c0 - w, r0, rows - r0 - h),
                                 kl_arg_i(0));
        all = all && p ? kl_add_at(at, kl_arg_t(all), kl_arg_t(p)) : p;
        r0 += h, c0 += w;
        if (!p)
            break;
    }
    kl_free(v, (size_t)n * sizeof *v + 1);
    return kl_composed(&c, __func__, all);
}

/* ---- diagonals ---- */

/* The last dimension along a diagonal of two new ones, the rest zero. */
kl_tensor *kl_diag_embed_at(const char *at, kl_tensor *t, int64_t offset, int dim1,
                            int dim2)
{
    kl_call c = kl_compose(at);
    int a, b;
    if (!t || kl_dim_wrap(dim1, t->rank + 1, &a) || kl_dim_wrap(dim2, t->rank + 1, &b))
        return kl_composed(&c, NULL, NULL);
    int64_t n = t->rank ? kl_extent(t, -1) : 1,
            size = kl_sat_add(n, KL_MAX(offset, kl_sat_neg(offset)));
    kl_tensor *x = t->rank ? t : kl_unsqueeze_at(at, t, 0);
    /* [.., n] -> [.., n, size]: element i at column i + max(offset, 0), rows shifted down
     */
    kl_tensor *row = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    kl_tensor *col = kl_arange_at(at, kl_arg_i(0), kl_arg_i(size), kl_arg_i(1), KL_I64);
    row = row ? kl_unsqueeze_at(at, row, 1) : NULL;
    kl_tensor *hit =
        kl_eq_at(at, kl_arg_t(col),
                 kl_arg_t(kl_add_at(at, kl_arg_t(row), kl_arg_i(KL_MAX(offset, 0)))));
    kl_tensor *m =
        kl_where_at(at, hit, kl_arg_t(kl_unsqueeze_at(at, x, -1)), kl_arg_i(0));
    m = m ? kl_to_at(at, m, kl_dtype_of(t)) : NULL;
    m = m ? kl_pad_at(at, m,
                      kl_axes(0, 0, KL_MAX(kl_sat_neg(offset), 0), KL_MAX(offset, 0)),
                      kl_arg_i(0))
          : NULL;
    kl_ints perm = {.n = m ? m->rank : 0};
    for (int i = 0, k = 0; i < perm.n; i++)
        perm.v[i] = i == a ? perm.n - 2 : i == b ? perm.n - 1 : k++;
    return kl_composed(&c, __func__, m ? kl_permute_at(at, m, perm) : NULL);
}

kl_tensor *kl_diag_at(const char *at, kl_tensor *t, int64_t diagonal)
{
    kl_call c = kl_compose(at);
    if (t && t->rank == 1)
        return kl_composed(&c, NULL, kl_diag_embed_at(at, t, diagonal, -2, -1));
    if (t && t->rank == 2)
        return kl_composed(&c, NULL, kl_diagonal_at(at, t, diagonal, 0, 1));
    kl_fail(KL_ERR_SHAPE, "diag(): Supports 1D or 2D tensors. Got %dD", t ? t->rank : 0);
    return kl_composed(&c, NULL, NULL);
}

kl_tensor *kl_diagflat_at(const char *at, kl_tensor *t, int64_t offset)
{
    kl_call c = kl_compose(at);
    kl_tensor *flat = kl_reshape_at(at, t, kl_shape(-1));
    return kl_composed(&c, __func__,
                       flat ? kl_diag_embed_at(at, flat, offset, -2, -1) : NULL);
}

/* Row and column numbers of a triangle, row by row: i64 [2, count]. */
static kl_tensor *triangle(const char *at, const char *fn, int64_t rows, int64_t cols,
                           int64_t offset, bool upper)
{
    kl_call c = kl_compose(at);
    kl_tensor *ones = kl_full_at(at, kl_shape(rows, cols), kl_arg_b(true), KL_BOOL);
    kl_tensor *in =
        ones ? (upper ? kl_triu_at(at, ones, offset) : kl_tril_at(at, ones, offset))
             : NULL;
    kl_tensor *where = in ? kl_nonzero_at(at, in) : NULL;
    return kl_composed(&c, fn, where ? kl_contiguous_at(at, kl_t_at(at, where)) : NULL);
}

kl_tensor *kl_tril_indices_at(const char *at, int64_t rows, int64_t cols, int64_t offset)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL, triangle(at, __func__, rows, cols, offset, false));
}

kl_tensor *kl_triu_indices_at(const char *at, int64_t rows, int64_t cols, int64_t offset)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, NULL, triangle(at, __func__, rows, cols, offset, true));
}

/* ---- turning and shifting ---- */

kl_tensor *kl_rot90_at(const char *at, kl_tensor *t, int64_t k, int dim0, int dim1)
{
    kl_call c = kl_compose(at);
    kl_tensor *r;
    switch ((k % 4 + 4) % 4) {
    case 1:
        r = kl_transpose_at(at, kl_flip_at(at, t, kl_axes(dim1)), dim0, dim1);
        break;
    case 2:
        r = kl_flip_at(at, t, kl_axes(dim0, dim1));
        break;
    case 3:
        r = kl_flip_at(at, kl_transpose_at(at, t, dim0, dim1), kl_axes(dim1));
        break;
    default:
        r = kl_clone_at(at, t);
    }
    return kl_composed(&c, __func__, r);
}

/* Along several dimensions; none named: of the flattened tensor. */
kl_tensor *kl_roll_axes_at(const char *at, kl_tensor *t, kl_ints shifts, kl_ints dims)
{
    kl_call c = kl_compose(at);
    if (shifts.n > KL_INTS_MAX || dims.n > KL_INTS_MAX) {
        kl_fail(KL_ERR_SHAPE, "more than %d axes", KL_INTS_MAX);
        return kl_composed(&c, NULL, NULL);
    }
    if (dims.n != shifts.n && !(dims.n == 0 && shifts.n == 1)) {
        kl_fail(KL_ERR_ARG, "shifts and dimensions must align. shifts: %d, dims:%d",
                shifts.n, dims.n);
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *r = t;
    if (dims.n == 0) {
        r = kl_roll_at(at, kl_reshape_at(at, t, kl_shape(-1)), shifts.v[0], 0);
        r = r ? kl_reshape_at(at, r, kl_shape_of(t)) : NULL;
    }
    for (int i = 0; i < dims.n && r; i++)
        r = kl_roll_at(at, r, shifts.v[i], (int)dims.v[i]);
    return kl_composed(&c, "kl_roll_at", r);
}

kl_tensor *kl_movedims_at(const char *at, kl_tensor *t, kl_ints from, kl_ints to)
{
    kl_call c = kl_compose(at);
    kl_ints perm = {.n = t ? t->rank : 0};
    bool taken[KL_INTS_MAX] = {0}, placed[KL_INTS_MAX] = {0};
    if (from.n != to.n) {
        char s[2][200];
        kl_fail(KL_ERR_ARG,
                "movedim: Invalid source or destination dims: source (%s dims) should "
                "contain "
                "the same number of dims as destination (%s dims)",
                kl_ints_text(from, s[0], 200), kl_ints_text(to, s[1], 200));
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < from.n && i < to.n && i < KL_INTS_MAX && t; i++) {
        int a, b;
        if (kl_dim_wrap(from.v[i], t->rank, &a) || kl_dim_wrap(to.v[i], t->rank, &b))
            return kl_composed(&c, NULL, NULL);
        if (taken[a] || placed[b]) {
            char s[200];
            kl_fail(KL_ERR_ARG, "movedim: repeated dim in `%s` (%s)",
                    taken[a] ? "source" : "destination",
                    kl_ints_text(taken[a] ? from : to, s, sizeof s));
            return kl_composed(&c, NULL, NULL);
        }
        taken[a] = placed[b] = true;
        perm.v[b] = a;
    }
    for (int i = 0, k = 0; i < perm.n; i++) {
        if (placed[i])
            continue;
        while (taken[k])
            k++;
        perm.v[i] = k++;
    }
    return kl_composed(&c, NULL, t ? kl_permute_at(at, t, perm) : NULL);
}

/* ---- broadcasting, choosing, powers ---- */

int kl_broadcast_tensors_at(const char *at, kl_tensor *const *t, int n, kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    kl_ints shape = {0};
    if (!kl_arg_given(t, n, "the list of tensors") ||
        !kl_arg_given(out, n, "the place for the results"))
        return done(&c, -1);
    for (int i = 0; i < n; i++) {
        kl_ints s = kl_shape_of(t[i]), before = shape;
        if (!t[i] || kl_broadcast_shape("broadcast_tensors", before.n, before.v, s.n, s.v,
                                        &shape.n, shape.v))
            return done(&c, -1);
    }
    for (int i = 0; i < n; i++) {
        out[i] = kl_expand_at(at, t[i], shape);
        if (!out[i])
            return done(&c, -1);
    }
    return done(&c, n);
}

/* Of all r-tuples of indices those that rise, or do not fall. */
kl_tensor *kl_combinations_at(const char *at, kl_tensor *t, int64_t r, bool again)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) != 1 || r < 0 || r > KL_INTS_MAX) {
        kl_fail(KL_ERR_ARG,
                "Expect a 1D vector and a non-negative number of at most %d, "
                "but got %d-d and %lld",
                KL_INTS_MAX, kl_rank(t), (long long)r);
        return kl_composed(&c, NULL, NULL);
    }
    if (r == 0)
        return kl_composed(&c, __func__,
                           kl_full_at(at, kl_shape(0), kl_arg_i(0), kl_dtype_of(t)));
    kl_tensor *index =
        kl_arange_at(at, kl_arg_i(0), kl_arg_i(kl_numel(t)), kl_arg_i(1), KL_I64);
    kl_tensor *same[KL_INTS_MAX], *of[KL_INTS_MAX], *on = NULL;
    for (int i = 0; i < r; i++)
        same[i] = index;
    if (kl_meshgrid_at(at, same, (int)r, false, of) != r)
        return kl_composed(&c, NULL, NULL);
    for (int i = 0; i < r; i++)
        of[i] = kl_reshape_at(at, of[i], kl_shape(-1));
    for (int i = 1; i < r; i++) {
        kl_arg a = kl_arg_t(of[i - 1]), b = kl_arg_t(of[i]);
        kl_tensor *rises = again ? kl_le_at(at, a, b) : kl_lt_at(at, a, b);
        on = on ? kl_logical_and_at(at, kl_arg_t(on), kl_arg_t(rises)) : rises;
    }
    for (int i = 0; i < r; i++) {
        kl_tensor *k = on ? kl_masked_select_at(at, of[i], on) : of[i];
        of[i] = k ? kl_index_select_at(at, t, 0, k) : NULL;
        if (!of[i])
            return kl_composed(&c, NULL, NULL);
    }
    return kl_composed(&c, __func__, kl_stack_at(at, of, (int)r, 1));
}

/* x^(n-1) .. x^0 in a new last dimension, or rising. */
kl_tensor *kl_vander_at(const char *at, kl_tensor *x, int64_t n, bool rising)
{
    kl_call c = kl_compose(at);
    if (kl_rank(x) < 1 || kl_rank(x) == KL_MAX_RANK || n < 0) {
        kl_fail(KL_ERR_ARG, "vander: x must be a one-dimensional tensor, and N "
                            "non-negative");
        return kl_composed(&c, NULL, NULL);
    }
    kl_dtype dt = kl_dtype_of(x) < KL_F16 ? KL_I64 : kl_dtype_of(x);
    kl_ints shape = kl_shape_of(x);
    shape.v[shape.n++] = n;
    kl_tensor *ones = kl_full_at(at, shape, kl_arg_i(1), dt), *r = ones;
    if (n > 1) {
        shape.v[shape.n - 1] = n - 1;
        kl_tensor *base = kl_to_at(at, kl_unsqueeze_at(at, x, -1), dt);
        kl_tensor *p = kl_cumprod_at(at, kl_expand_at(at, base, shape), -1);
        r = kl_cat_at(at, (kl_tensor *[]){kl_narrow_at(at, ones, -1, 0, 1), p}, 2, -1);
    }
    if (!rising)
        r = kl_flip_at(at, r, kl_axes(-1));
    return kl_composed(&c, __func__, r);
}
