/* test_views.c: views, in-place operations and shared memory, by a few fixed cases and by
 * random programs: each program runs on tensors and on an eager model of them (arrays
 * with offset, extents and strides), and whatever it reads must be equal.
 *
 *   t0 = tensor; t1 = t0[1:]; t1 += 3; t2 = t0 * 2; t0.data()[0] = 7; read t2 .. */
#include "tests/unit/front_test.h"

START_TEST(writes_show_through)
{
    kl_tensor *x = kl_arange(0, 16, 1, KL_DTYPE_NONE), *m = kl_view(x, kl_shape(4, 4));
    kl_tensor *row = kl_select(m, 0, 1), *col = kl_select(kl_t(m), 0, 2);
    ck_assert(kl_shares_memory(x, row) && kl_shares_memory(row, col));
    ck_assert_int_eq(kl_storage_offset(row), 4);
    kl_tensor *before = kl_add(row, 0);
    kl_fill_(row, -1);
    kl_add_(col, 100);
    SHOWS(
        x,
        "tensor([  0,   1, 102,   3,  -1,  -1,  99,  -1,   8,   9, 110,  11,  12,  13,\n"
        "        114,  15])");
    SHOWS(before, "tensor([4, 5, 6, 7])");
    SHOWS(row, "tensor([-1, -1, 99, -1])");
    ck_assert_int_eq(kl_version(x), 2);
}
END_TEST

START_TEST(strides)
{
    kl_tensor *p = kl_permute(kl_zeros(kl_shape(4, 3, 2), KL_F32), kl_shape(2, 0, 1));
    ck_assert(kl_stride(p, 0) == 1 && kl_stride(p, 1) == 6 && kl_stride(p, 2) == 2);
    ck_assert(!kl_is_contiguous(p) && kl_is_contiguous(kl_contiguous(p)));
    ck_assert(kl_shares_memory(kl_reshape(p, kl_shape(2, -1)), p)); /* 4 and 3 in line */
    kl_tensor *q = kl_reshape(kl_t(kl_zeros(kl_shape(4, 3), KL_F32)), kl_shape(-1));
    ck_assert(!kl_shares_memory(p, q) && kl_extent(q, 0) == 12);
    kl_tensor *n =
        kl_slice_step(kl_arange(0, 5, 1, KL_DTYPE_NONE), 0, KL_END, -KL_END, -2);
    ck_assert_int_eq(kl_stride(n, 0), -2);
    kl_fill_(n, 9);
    SHOWS(n, "tensor([9, 9, 9])");
}
END_TEST

START_TEST(laid)
{
    kl_tensor *x = kl_reshape(kl_arange(0, 6, 1, KL_F32), kl_shape(2, 3));
    kl_tensor *y = kl_lay(x, kl_shape(1, 0)), *row = kl_add(x, 1);
    ck_assert(kl_stride(y, 0) == 1 && kl_stride(y, 1) == 2 && !kl_shares_memory(x, y));
    ck_assert(kl_lay(y, kl_shape(1, 0)) == y && kl_lay_after(y, &row, 1) != y);
    ck_assert(kl_stride(kl_lay_after(row, &y, 1), 0) == 1);
    kl_fill_(kl_select(y, 0, 1), 9);
    SHOWS(y, "tensor([[0., 1., 2.],\n        [9., 9., 9.]])");
    SHOWS(x, "tensor([[0., 1., 2.],\n        [3., 4., 5.]])");
}
END_TEST

static int released;
static void release(void *user, void *data)
{
    (void)data;
    released += *(int *)user;
}

START_TEST(borrowed_memory)
{
    float a[6] = {1, 1, 1, 1, 1, 1};
    int one = 1;
    released = 0;
    kl_scope_begin();
    kl_tensor *t = kl_from_buffer(a, KL_F32, kl_shape(5), NULL, false, release, &one);
    kl_tensor *z = kl_add(t, 1); /* reads before the writes below */
    for (int i = 0; i < 5; i++)
        a[i] += 1;
    SHOWS(t, "tensor([2., 2., 2., 2., 2.])");
    SHOWS(z, "tensor([2., 2., 2., 2., 2.])");
    kl_fill_(kl_select(t, 0, 0), 7);
    ck_assert(a[0] == 7 && a[1] == 2);
    kl_mul_(t, 2);
    ck_assert(a[0] == 14 && a[4] == 4 && a[5] == 1);
    int64_t strides[2] = {4, 8};
    kl_tensor *s = kl_from_buffer(a, KL_F32, kl_shape(2, 3), strides, false, NULL, NULL);
    SHOWS(s, "tensor([[14.,  4.,  4.],\n        [ 4.,  4.,  1.]])");
    kl_add_(kl_select(s, 0, 1), 1); /* a[1], a[3], a[5] */
    ck_assert(a[1] == 5 && a[3] == 5 && a[5] == 2);
    ck_assert_int_eq(released, 0);
    kl_scope_end();
    ck_assert_int_eq(released, 1);
    kl_tensor *r = kl_from_buffer(a, KL_F32, kl_shape(5), NULL, true, NULL, NULL);
    FAILS(kl_add_(r, 1), "read-only");
}
END_TEST

START_TEST(exposed_memory)
{
    kl_tensor *a = kl_ones(kl_shape(3), KL_F32), *pending = kl_mul(a, 5);
    float *p = kl_data(a);
    p[0] = 2;
    SHOWS(a, "tensor([2., 1., 1.])");
    SHOWS(pending, "tensor([5., 5., 5.])");
    kl_add_(a, 1);
    ck_assert(p[0] == 3 && p[1] == 2);
    kl_tensor *b = kl_clone(a), *c = kl_add(a, 1);
    p[0] = 9;
    SHOWS(b, "tensor([3., 2., 2.])");
    SHOWS(c, "tensor([4., 3., 3.])");
    ck_assert(kl_item(kl_select(a, 0, 0)) == 9); /* reading alone exposes nothing */
    kl_data_done(a);
    kl_add_(a, 1);
    SHOWS(a, "tensor([10.,  3.,  3.])");
}
END_TEST

/* A result that is larger than what it reads stays lazy over copies of that. */
START_TEST(large_exposed_memory)
{
    enum { N = 5000, M = 3 };
    static float a[N], b[M * N];
    kl_scope_begin();
    for (int i = 0; i < N; i++)
        a[i] = (float)i, b[i] = 1;
    kl_tensor *x = kl_from_buffer(a, KL_F32, kl_shape(N), NULL, false, NULL, NULL);
    kl_tensor *y = kl_from_buffer(b, KL_F32, kl_shape(M, N), NULL, false, NULL, NULL);
    kl_tensor *rows = kl_reshape(kl_slice_step(x, 0, 1, N, 2), kl_shape(N / 2, 1));
    int64_t before = kl_counts.kernels_launched;
    kl_tensor *pairs = kl_sub(rows, kl_arange(0, 4, 1, KL_F32)); /* twice as large */
    ck_assert_int_eq(kl_counts.kernels_launched, before);
    kl_tensor *as_large = kl_mul(y, kl_reshape(x, kl_shape(1, N)));
    if (!front_interp)
        ck_assert_int_gt(kl_counts.kernels_launched, before);
    a[1] = 50, b[1] = 2;
    kl_tensor *after = kl_sub(rows, kl_arange(0, 4, 1, KL_F32));
    SHOWS(kl_slice(pairs, 0, 0, 2), "tensor([[ 1.,  0., -1., -2.],\n"
                                    "        [ 3.,  2.,  1.,  0.]])");
    SHOWS(kl_select(after, 0, 0), "tensor([50., 49., 48., 47.])");
    SHOWS(kl_slice(kl_select(as_large, 0, 0), 0, 0, 3), "tensor([0., 1., 2.])");
    kl_scope_end();
}
END_TEST

/* ---- random programs ---- */

enum { TENSORS = 8, STEPS = 40, MEM = 64 };
typedef struct model { /* an eager tensor: a map into one of the arrays below */
    int mem, rank;
    int64_t offset, shape[4], stride[4];
    kl_tensor *t;
} model;
typedef struct world {
    uint64_t seed;
    double mem[TENSORS * STEPS][MEM];
    int nmem, n;
    model m[TENSORS];
} world;

static int64_t roll(world *w, int64_t n)
{
    w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((w->seed >> 33) % (uint64_t)n);
}

static int64_t numel(const model *m)
{
    int64_t n = 1;
    for (int i = 0; i < m->rank; i++)
        n *= m->shape[i];
    return n;
}

/* Address of element i in logical order. */
static double *element(world *w, const model *m, int64_t i)
{
    int64_t at = m->offset;
    for (int k = m->rank; k-- > 0; i /= m->shape[k])
        at += i % m->shape[k] * m->stride[k];
    return &w->mem[m->mem][at];
}

static model fresh(world *w, int rank, const int64_t *shape)
{
    model m = {.mem = w->nmem++, .rank = rank};
    int64_t n = 1;
    for (int k = rank; k-- > 0; n *= shape[k]) {
        m.shape[k] = shape[k];
        m.stride[k] = n;
    }
    return m;
}

static model create(world *w)
{
    static const int64_t shapes[][3] = {{3, 4, 0}, {2, 3, 2}, {6, 2, 0},
                                        {4, 4, 0}, {8, 0, 0}, {2, 2, 3}};
    const int64_t *s = shapes[roll(w, 6)];
    model m = fresh(w, s[1] == 0 ? 1 : s[2] == 0 ? 2 : 3, s);
    float data[MEM];
    for (int64_t i = 0; i < numel(&m); i++)
        w->mem[m.mem][i] = data[i] = (float)(roll(w, 19) - 9);
    m.t = kl_tensor_copy(data, KL_F32, kl_ints_of((size_t)m.rank, m.shape));
    return m;
}

static model viewed(world *w, const model *a)
{
    model v = *a;
    int ax = (int)roll(w, a->rank), bx = (int)roll(w, a->rank);
    int64_t n = a->shape[ax], start = roll(w, n), len = 1 + roll(w, n - start);
    switch (roll(w, 5)) {
    case 0:
        v.shape[ax] = len, v.offset += start * v.stride[ax];
        v.t = kl_slice(a->t, ax, start, start + len);
        break;
    case 1:
        v.shape[ax] = (n + 1) / 2, v.stride[ax] *= 2;
        v.t = kl_slice_step(a->t, ax, 0, KL_END, 2);
        break;
    case 2:
        v.offset += (n - 1) * v.stride[ax], v.stride[ax] *= -1;
        v.t = kl_slice_step(a->t, ax, KL_END, -KL_END, -1);
        break;
    case 3:
        v.shape[ax] = a->shape[bx], v.shape[bx] = a->shape[ax];
        v.stride[ax] = a->stride[bx], v.stride[bx] = a->stride[ax];
        v.t = kl_transpose(a->t, ax, bx);
        break;
    default:
        if (a->rank < 2)
            return viewed(w, a);
        v.rank--, v.offset += start * v.stride[ax];
        for (int k = ax; k < v.rank; k++)
            v.shape[k] = a->shape[k + 1], v.stride[k] = a->stride[k + 1];
        v.t = kl_select(a->t, ax, start);
    }
    return v;
}

static double clamp9(double v)
{
    return v > 99 ? 99 : v < -99 ? -99 : v;
}

/* a new tensor: clamp(a * 2 + c) */
static model computed(world *w, const model *a)
{
    model m = fresh(w, a->rank, a->shape);
    int c = (int)roll(w, 5);
    for (int64_t i = 0; i < numel(a); i++)
        *element(w, &m, i) = clamp9(*element(w, a, i) * 2 + c);
    m.t = kl_clamp(kl_add(kl_mul(a->t, 2), c), -99, 99);
    return m;
}

static void written(world *w, const model *a)
{
    int c = (int)roll(w, 7) - 3;
    if (roll(w, 2)) {
        kl_add_(a->t, c);
        for (int64_t i = 0; i < numel(a); i++)
            *element(w, a, i) += c;
        return;
    }
    for (int k = 0; k < w->n;
         k++) { /* copy one of the same shape, maybe of the same memory */
        model *b = &w->m[(k + c + 3) % w->n];
        double tmp[MEM];
        if (b->rank != a->rank || memcmp(b->shape, a->shape, (size_t)a->rank * 8) != 0)
            continue;
        for (int64_t i = 0; i < numel(a); i++)
            tmp[i] = *element(w, b, i);
        for (int64_t i = 0; i < numel(a); i++)
            *element(w, a, i) = tmp[i];
        kl_copy_(a->t, b->t);
        return;
    }
}

/* Write the first element through the pointer; let go of it now and then. */
static void poked(world *w, const model *a)
{
    float *p = kl_data(a->t);
    ck_assert_msg(p != NULL, "%s", kl_error());
    p[0] = (float)(*element(w, a, 0) = (double)roll(w, 50));
    if (roll(w, 2))
        kl_data_done(a->t);
}

static void compared(world *w, const model *a)
{
    float got[MEM];
    int64_t n = numel(a);
    ck_assert_msg(kl_copy_out(a->t, got, (size_t)n * 4) == KL_OK, "%s", kl_error());
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg((double)got[i] == *element(w, a, i), "element %d is %g, not %g",
                      (int)i, (double)got[i], *element(w, a, i));
}

static void add(world *w, model m)
{
    ck_assert_msg(m.t != NULL, "%s", kl_error());
    if (w->n < TENSORS)
        w->m[w->n++] = m;
    else
        w->m[roll(w, TENSORS)] = m;
}

START_TEST(random_program)
{
    world *w = calloc(1, sizeof *w);
    w->seed = (uint64_t)_i * 2 + 1;
    add(w, create(w));
    for (int s = 0; s < STEPS; s++) {
        model a = w->m[roll(w, w->n)];
        switch (roll(w, 8)) {
        case 0:
            add(w, create(w));
            break;
        case 1:
        case 2:
            add(w, viewed(w, &a));
            break;
        case 3:
            add(w, computed(w, &a));
            break;
        case 4:
        case 5:
            written(w, &a);
            break;
        case 6:
            poked(w, &a);
            break;
        default:
            compared(w, &a);
        }
    }
    for (int i = 0; i < w->n; i++)
        compared(w, &w->m[i]);
    free(w);
}
END_TEST

/* test_views [COUNT [FIRST]]: so many random programs, CK_FORK=no the faster. */
int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 100, first = argc > 2 ? atoi(argv[2]) : 0;
    Suite *s = suite_create("views");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, writes_show_through);
    tcase_add_test(tc, strides);
    tcase_add_test(tc, laid);
    tcase_add_test(tc, borrowed_memory);
    tcase_add_test(tc, exposed_memory);
    tcase_add_test(tc, large_exposed_memory);
    tcase_add_loop_test(tc, random_program, first, first + count);
    return front_run(s);
}
