/* test_interp.c: the graph interpreter, a row at a time, against numbers worked out by
 * hand, and sums and contractions against their definition written a second time,
 * recursively. */
#include "ir/ir.h"

#include <check.h>
#include <math.h>

/* One small graph, its inputs and its results. */
static kl_arena *arena;
static kl_graph *g;
static kl_buffer in[8], out[8];
static int nin;

static void setup(void)
{
    kl_error_clear();
    arena = kl_arena_new();
    g = kl_graph_new(arena, NULL, "t");
    nin = 0;
}

static void teardown(void)
{
    for (int i = 0; i < nin; i++)
        kl_memory_unref(in[i].mem);
    kl_arena_free(arena);
}

/* A new input holding these elements. */
static kl_ref given(kl_dtype dt, int rank, const int64_t *shape, const void *data)
{
    kl_buffer b = {.dtype = dt, .rank = rank};
    int64_t n = kl_dtypes[dt].size;
    for (int i = 0; i < rank; i++)
        b.shape[i] = shape[i], n *= shape[i];
    kl_buffer_dense_strides(&b);
    b.mem = kl_memory_new(0, (size_t)n);
    memcpy(b.mem->base, data, (size_t)n);
    in[nin++] = b;
    return kl_graph_input(g, NULL, dt, rank, shape);
}
#define SHAPE(...)                                                                       \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t[])                       \
    {                                                                                    \
        __VA_ARGS__                                                                      \
    }
#define F32(...)                                                                         \
    (const float[])                                                                      \
    {                                                                                    \
        __VA_ARGS__                                                                      \
    }
#define I64(...)                                                                         \
    (const int64_t[])                                                                    \
    {                                                                                    \
        __VA_ARGS__                                                                      \
    }

/* A node of any row: sources, wanted type, attributes. */
static kl_ref row(kl_op op, kl_ref a, kl_ref b, kl_ref c, const kl_type *want,
                  uint32_t nattr, const int64_t *attr)
{
    kl_ref src[3] = {a, b, c};
    uint32_t n = a == KL_NONE ? 0 : b == KL_NONE ? 1 : c == KL_NONE ? 2 : 3;
    kl_spec s = {.op = op, .src = src, .nsrc = n, .nattr = nattr, .attr = attr};
    if (want)
        s.want = *want;
    kl_ref r = kl_graph_node(g, &s);
    ck_assert_msg(r != KL_NONE, "%s", kl_error());
    return r;
}
#define ATTR(...)                                                                        \
    (uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[])                        \
    {                                                                                    \
        __VA_ARGS__                                                                      \
    }

static int64_t minus(int64_t v)
{
    return kl_dim_const(g->dims, -v);
}

static void run(void)
{
    ck_assert_msg(kl_graph_interp(g, in, NULL, out) == KL_OK, "%s", kl_error());
}

static bool same(double a, double b)
{
    return isnan(a) || isnan(b) ? isnan(a) && isnan(b)
                                : a == b && signbit(a) == signbit(b);
}

/* Runs the graph with r as its output and compares every element. */
static void expect(kl_ref r, int64_t n, const double *want)
{
    ck_assert(kl_graph_output(g, r, NULL) == KL_OK);
    run();
    kl_dtype dt = out[0].dtype;
    const char *p = (const char *)out[0].mem->base + out[0].offset;
    int64_t count;
    ck_assert(kl_shape_count(out[0].rank, out[0].shape, dt, &count) == KL_OK);
    ck_assert_int_eq(count, n);
    for (int64_t i = 0; i < n; i++) {
        double got;
        kl_eval_cast_n(KL_F64, dt, 1, &got, p + (size_t)i * kl_dtypes[dt].size);
        ck_assert_msg(same(got, want[i]), "element %d is %g, not %g", (int)i, got,
                      want[i]);
    }
    kl_memory_unref(out[0].mem);
}
#define EXPECT(r, ...)                                                                   \
    expect(r, (int64_t)(sizeof((double[]){__VA_ARGS__}) / 8), (double[]){__VA_ARGS__})

static const float count6[] = {0, 1, 2, 3, 4, 5};

/* ---- leaves, elements, movement ---- */

START_TEST(leaves)
{
    kl_type t = {KL_I32, 2, {2, 3}};
    EXPECT(row(KL_OP_iota, KL_NONE, 0, 0, &t, ATTR(1)), 0, 1, 2, 0, 1, 2);
}
END_TEST

START_TEST(constants)
{
    kl_type t = {KL_I16, 1, {3}};
    int64_t word = 7 | (int64_t)0xffff << 16 | (int64_t)300 << 32;
    EXPECT(row(KL_OP_const, KL_NONE, 0, 0, &t, ATTR(word)), 7, -1, 300);
}
END_TEST

START_TEST(elements)
{
    kl_ref a = given(KL_F32, SHAPE(4), F32(1, -2, 3, NAN));
    kl_ref b = given(KL_F32, SHAPE(4), F32(3, 2, 1, 0));
    kl_ref lt = kl_g_elt(g, KL_OP_lt, a, b, KL_NONE);
    kl_ref sum = kl_g_elt(g, KL_OP_add, a, b, KL_NONE);
    kl_ref w = kl_g_elt(g, KL_OP_where, lt, sum, b);
    EXPECT(w, 4, 0, 1, 0);
}
END_TEST

START_TEST(casts)
{
    kl_ref a = given(KL_F32, SHAPE(4), F32(1.5f, -2.5f, 3e9f, NAN));
    EXPECT(kl_g_cast(g, a, KL_I32), 1, -2, 2147483647, 0);
}
END_TEST

START_TEST(bits)
{
    kl_ref a = given(KL_F32, SHAPE(2), F32(1, -0.0f));
    EXPECT(kl_g_bitcast(g, a, KL_I32), 0x3f800000, -2147483648.0);
}
END_TEST

START_TEST(complex_parts)
{
    kl_ref a = given(KL_F32, SHAPE(2), F32(1, 2)), b = given(KL_F32, SHAPE(2), F32(3, 4));
    kl_ref z = kl_g_elt(g, KL_OP_complex, a, b, KL_NONE);
    kl_ref zz = kl_g_elt(g, KL_OP_mul, z, z, KL_NONE);
    EXPECT(kl_g_elt(g, KL_OP_imag, zz, KL_NONE, KL_NONE), 6, 16);
}
END_TEST

START_TEST(reshapes)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6);
    kl_ref b = kl_g_reshape(g, kl_g_permute(g, a, (int[]){1, 0}), SHAPE(6));
    EXPECT(b, 0, 3, 1, 4, 2, 5);
}
END_TEST

START_TEST(expands)
{
    kl_ref a = given(KL_F32, SHAPE(2, 1), F32(7, 8));
    EXPECT(kl_g_expand(g, a, SHAPE(2, 2, 2)), 7, 7, 8, 8, 7, 7, 8, 8);
}
END_TEST

START_TEST(pads)
{
    kl_ref a = given(KL_F32, SHAPE(3), F32(1, 2, 3)), z = given(KL_F32, 0, NULL, F32(9));
    kl_ref p = kl_g_pad(g, a, z, I64(1), I64(2), I64(1));
    EXPECT(p, 9, 1, 9, 2, 9, 3, 9, 9);
}
END_TEST

START_TEST(slices)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6);
    EXPECT(kl_g_slice(g, a, I64(0, 0), I64(2, 2), I64(1, 2)), 0, 2, 3, 5);
}
END_TEST

START_TEST(flips)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6);
    EXPECT(kl_g_flip(g, a, 2), 2, 1, 0, 5, 4, 3);
}
END_TEST

START_TEST(joins)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6),
           b = given(KL_F32, SHAPE(2, 1), F32(8, 9));
    EXPECT(row(KL_OP_concat, a, b, KL_NONE, NULL, ATTR(1)), 0, 1, 2, 8, 3, 4, 5, 9);
}
END_TEST

START_TEST(windows)
{
    kl_ref a = given(KL_F32, SHAPE(6), count6);
    kl_ref w = row(KL_OP_window, a, KL_NONE, 0, NULL, ATTR(1, 0, 2, 2, 2));
    EXPECT(w, 0, 2, 2, 4);
}
END_TEST

START_TEST(folds)
{
    kl_type t = {KL_F32, 1, {5}};
    kl_ref a = given(KL_F32, SHAPE(3, 2), F32(1, 10, 2, 20, 3, 30));
    kl_ref f = row(KL_OP_fold, a, KL_NONE, 0, &t, ATTR(1, 0, 2, 1, 2));
    EXPECT(f, 1, 2, 13, 20, 30);
}
END_TEST

START_TEST(folds_two_axes)
{
    kl_type t = {KL_F32, 2, {3, 3}};
    float v[16];
    for (int i = 0; i < 16; i++)
        v[i] = (float)i; /* [2, 2 windows, 2, 2 within] */
    kl_ref a = given(KL_F32, SHAPE(2, 2, 2, 2), v);
    kl_ref f = row(KL_OP_fold, a, KL_NONE, 0, &t, ATTR(2, 0, 2, 1, 1, 1, 2, 1, 1));
    EXPECT(f, 0, 1 + 4, 5, 2 + 8, 3 + 6 + 9 + 12, 7 + 13, 10, 11 + 14, 15);
}
END_TEST

START_TEST(strides)
{
    kl_type t = {KL_F32, 2, {2, 2}};
    kl_ref a = given(KL_F32, SHAPE(6), count6);
    kl_ref s = row(KL_OP_strided, a, KL_NONE, 0, &t, ATTR(5, minus(1), minus(2)));
    EXPECT(s, 5, 3, 4, 2);
}
END_TEST

/* Sizes that only the run knows: refused, not read. */
START_TEST(reaches)
{
    kl_dim n = kl_dim_sym(g->dims, "n");
    kl_type t = {KL_F32, 1, {n}};
    const int64_t syms[2][1] = {{3}, {4}};
    kl_ref a = given(KL_F32, SHAPE(6), count6);
    kl_ref y = _i ? row(KL_OP_strided, a, KL_NONE, 0, &t, ATTR(0, 2))
                  : kl_g_slice(g, a, I64(1), &n, I64(2));
    ck_assert(kl_graph_output(g, y, NULL) == KL_OK);
    ck_assert(kl_graph_interp(g, in, syms[0], out) == KL_OK);
    ck_assert_int_eq(out[0].shape[0], 3);
    kl_memory_unref(out[0].mem);
    ck_assert_int_eq(kl_graph_interp(g, in, syms[1], out), KL_ERR_SHAPE);
}
END_TEST

START_TEST(updates)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6), b = given(KL_F32, SHAPE(2), F32(8, 9));
    EXPECT(row(KL_OP_update, a, b, KL_NONE, NULL, ATTR(4, minus(3))), 0, 9, 2, 3, 8, 5);
}
END_TEST

/* ---- reductions ---- */

static float noise(int64_t i)
{
    uint64_t h = ((uint64_t)i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29, h *= UINT64_C(0xbf58476d1ce4e5b9), h ^= h >> 32;
    float f = (float)(int32_t)h * 0x1p-31f;
    return h & 1 ? f * 1e-4f : f;
}

static float sum_block(const float *v, int64_t n, int lanes)
{
    float lane[32];
    for (int64_t i = 0; i < n; i++)
        lane[i % lanes] = i < lanes ? v[i] : lane[i % lanes] + v[i];
    for (int w = lanes / 2; w; w /= 2)
        for (int l = 0; l < w; l++)
            if (l + w < n)
                lane[l] += lane[l + w];
    return lane[0];
}

static float pairs(const float *v, int64_t n)
{
    int64_t half = 1;
    while (half * 2 < n)
        half *= 2;
    return n == 1 ? v[0] : pairs(v, half) + pairs(v + half, n - half);
}

static float sum(const float *v, int64_t n)
{
    static float blocks[64];
    int64_t k = 0;
    for (int64_t i = 0; i < n; i += 4096)
        blocks[k++] = sum_block(v + i, n - i < 4096 ? n - i : 4096, 32);
    return pairs(blocks, k);
}

static const int64_t lengths[] = {1,    2,    3,    15,   16,    17,    31,    32,
                                  33,   63,   64,   65,   100,   4095,  4096,  4097,
                                  4100, 8192, 8193, 9000, 12288, 12300, 16384, 30000};

START_TEST(sums)
{
    static float v[30000], r[30000];
    int64_t n = lengths[_i];
    for (int64_t i = 0; i < n; i++)
        v[i] = noise(i), r[i] = v[n - 1 - i];
    kl_ref a = given(KL_F32, SHAPE(n), v), b = given(KL_F32, SHAPE(n), r);
    kl_ref both = row(KL_OP_concat, kl_g_reshape(g, a, SHAPE(n, 1)),
                      kl_g_reshape(g, b, SHAPE(n, 1)), KL_NONE, NULL, ATTR(1));
    EXPECT(kl_g_reduce(g, KL_OP_add, both, 1, false), sum(v, n), sum(r, n));
}
END_TEST

/* Adjacent axes are one axis; others are reduced innermost first. */
START_TEST(sums_of_groups)
{
    static float v[7 * 50 * 3 * 11], line[7 * 50], inner[7 * 50];
    for (int64_t i = 0; i < 7 * 50 * 3 * 11; i++)
        v[i] = noise(i);
    kl_ref a = given(KL_F32, SHAPE(7, 50, 3, 11), v);
    double want[3];
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < 7 * 50; i++) {
            memcpy(line, v + (i * 3 + j) * 11, 11 * sizeof *line);
            inner[i] = sum(line, 11);
        }
        want[j] = sum(inner, 7 * 50);
    }
    expect(kl_g_reduce(g, KL_OP_add, a, 1 | 2 | 8, false), 3, want);
}
END_TEST

START_TEST(empty_reductions)
{
    kl_ref a = given(KL_F32, SHAPE(2, 0), F32(0));
    kl_ref s = kl_g_reduce(g, KL_OP_add, a, 2, false);
    kl_ref m = kl_g_reduce(g, KL_OP_max, a, 2, false);
    EXPECT(row(KL_OP_concat, s, m, KL_NONE, NULL, ATTR(0)), 0, 0, -INFINITY, -INFINITY);
}
END_TEST

START_TEST(minus_zero_sums)
{
    kl_ref a = given(KL_F32, SHAPE(2, 2), F32(-0.0f, -0.0f, -0.0f, 0));
    EXPECT(kl_g_reduce(g, KL_OP_add, a, 2, false), -0.0, 0);
}
END_TEST

START_TEST(products_and_extremes)
{
    kl_ref a = given(KL_I64, SHAPE(2, 3), I64(3, -5, 2, 7, 7, 1));
    kl_ref p = kl_g_reduce(g, KL_OP_mul, a, 2, false);
    kl_ref m = kl_g_reduce(g, KL_OP_min, a, 2, false);
    EXPECT(row(KL_OP_concat, p, m, KL_NONE, NULL, ATTR(0)), -30, 49, -5, 1);
}
END_TEST

START_TEST(args)
{
    kl_ref a = given(KL_F32, SHAPE(2, 4), F32(1, 5, 5, 0, 2, NAN, 9, NAN));
    kl_ref x = row(KL_OP_argmax, a, KL_NONE, 0, NULL, ATTR(1));
    kl_ref n = row(KL_OP_argmin, a, KL_NONE, 0, NULL, ATTR(1));
    EXPECT(row(KL_OP_concat, x, n, KL_NONE, NULL, ATTR(0)), 1, 1, 3, 1);
}
END_TEST

START_TEST(prefixes)
{
    kl_ref a = given(KL_F32, SHAPE(3, 2), F32(1, 2, 3, 4, 5, 6));
    EXPECT(row(KL_OP_prefix, a, KL_NONE, 0, NULL, ATTR(KL_OP_add, 0)), 1, 2, 4, 6, 9, 12);
}
END_TEST

/* ---- contraction ---- */

static float dot(const float *a, const float *b, int64_t k, int lanes)
{
    static float sums[16];
    int64_t nb = 0;
    for (int64_t t = 0; t < k; t += 4096) {
        float lane[16] = {0};
        int64_t n = k - t < 4096 ? k - t : 4096;
        for (int64_t i = 0; i < n; i++)
            lane[i % lanes] = fmaf(a[t + i], b[t + i], lane[i % lanes]);
        for (int w = lanes / 2; w; w /= 2)
            for (int l = 0; l < w && l + w < n; l++)
                lane[l] += lane[l + w];
        sums[nb++] = lane[0];
    }
    return nb ? pairs(sums, nb) : 0;
}

static const struct {
    int64_t m, n, k;
} sizes[] = {{4, 4, 5},  {3, 8, 40}, {8, 3, 17}, {5, 6, 9000}, {2, 2, 9000},
             {1, 1, 13}, {4, 5, 0},  {1, 4, 0},  {4, 4, 4096}, {1, 9, 4097}};

START_TEST(contractions)
{
    int64_t m = sizes[_i].m, n = sizes[_i].n, k = sizes[_i].k;
    static float a[54000], b[54000];
    double want[64];
    for (int64_t i = 0; i < m * k; i++)
        a[i] = noise(i);
    for (int64_t i = 0; i < n * k; i++)
        b[i] = noise(i + 100000);
    for (int64_t i = 0; i < m * n; i++)
        want[i] = dot(a + i / n * k, b + i % n * k, k, m >= 4 && n >= 4 ? 1 : 16);
    kl_ref x = given(KL_F32, SHAPE(m, k), a), y = given(KL_F32, SHAPE(n, k), b);
    expect(kl_g_contract(g, x, y, "mk,nk->mn", KL_F32), m * n, want);
}
END_TEST

START_TEST(contraction_labels)
{
    kl_ref a = given(KL_I64, SHAPE(2, 1, 2), I64(1, 2, 3, 4));
    kl_ref b = given(KL_I64, SHAPE(2, 2, 2), I64(1, 10, 100, 1000, 2, 20, 200, 2000));
    EXPECT(kl_g_contract(g, a, b, "bmk,bkn->bnm", KL_I64), 201, 2010, 806, 8060);
}
END_TEST

/* Several contracted labels are one k in a's order: 3 x 7 with lanes of 16. */
START_TEST(contraction_axes)
{
    float a[21], b[21], bt[21];
    for (int i = 0; i < 21; i++)
        a[i] = noise(i), b[i] = noise(i + 50), bt[i % 7 * 3 + i / 7] = b[i];
    kl_ref x = given(KL_F32, SHAPE(3, 7), a), y = given(KL_F32, SHAPE(7, 3), bt);
    EXPECT(kl_g_contract(g, x, y, "ij,ji->", KL_F32), dot(a, b, 21, 16));
}
END_TEST

START_TEST(contraction_of_halves)
{
    uint16_t h[2] = {kl_f32_to_f16(300), kl_f32_to_f16(400)};
    kl_ref a = given(KL_F16, SHAPE(2), h);
    EXPECT(kl_g_contract(g, a, a, "k,k->", KL_F32), 250000);
}
END_TEST

START_TEST(contraction_of_bools)
{
    bool v[6] = {true, false, false, false, true, false};
    kl_ref a = given(KL_BOOL, SHAPE(3, 2), v);
    EXPECT(kl_g_contract(g, a, a, "ik,jk->ij", KL_BOOL), 1, 0, 1, 0, 0, 0, 1, 0, 1);
}
END_TEST

START_TEST(contraction_of_complex)
{
    kl_ref a = given(KL_C64, SHAPE(2), F32(1, 2, 3, 4));
    kl_ref z = kl_g_contract(g, a, a, "k,k->", KL_C64);
    kl_ref re = kl_g_elt(g, KL_OP_real, z, KL_NONE, KL_NONE);
    kl_ref im = kl_g_elt(g, KL_OP_imag, z, KL_NONE, KL_NONE);
    EXPECT(row(KL_OP_concat, kl_g_reshape(g, re, SHAPE(1)), kl_g_reshape(g, im, SHAPE(1)),
               KL_NONE, NULL, ATTR(0)),
           -10, 28);
}
END_TEST

/* ---- indexing ---- */

START_TEST(gathers)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6), i = given(KL_I64, SHAPE(2), I64(2, 0));
    EXPECT(row(KL_OP_gather, a, i, KL_NONE, NULL, ATTR(1, 0)), 2, 0, 5, 3);
}
END_TEST

START_TEST(gathers_by_batch)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6);
    kl_ref i = given(KL_I64, SHAPE(2, 2), I64(2, 0, 1, 1));
    EXPECT(row(KL_OP_gather, a, i, KL_NONE, NULL, ATTR(1, 1)), 2, 0, 4, 4);
}
END_TEST

START_TEST(faults)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6), i = given(KL_I64, SHAPE(1), I64(-4));
    kl_ref y = row(KL_OP_gather, a, i, KL_NONE, NULL, ATTR(1, 0));
    ck_assert(kl_graph_output(g, y, NULL) == KL_OK);
    ck_assert_int_eq(kl_graph_interp(g, in, NULL, out), KL_ERR_INDEX);
    ck_assert_str_eq(kl_error(), "gather: index -4 is out of range for an axis of 3");
    ck_assert_ptr_null(out[0].mem);
}
END_TEST

START_TEST(scatters)
{
    kl_ref a = given(KL_F32, SHAPE(3), F32(10, 20, 30));
    kl_ref i = given(KL_I64, SHAPE(3), I64(2, 0, 2)),
           c = given(KL_F32, SHAPE(3), F32(1, 2, 3));
    kl_ref add = row(KL_OP_scatter, a, i, c, NULL, ATTR(KL_OP_add, 0, 0));
    kl_ref set = row(KL_OP_scatter, a, i, c, NULL, ATTR(KL_SET, 0, 0));
    EXPECT(row(KL_OP_concat, add, set, KL_NONE, NULL, ATTR(0)), 12, 20, 34, 2, 20, 3);
}
END_TEST

START_TEST(sorts)
{
    kl_ref a = given(KL_F32, SHAPE(6), F32(3, NAN, -0.0f, 0, -1, 3));
    kl_ref up = row(KL_OP_sort, a, KL_NONE, 0, NULL, ATTR(0, 0));
    kl_ref down = row(KL_OP_sort, a, KL_NONE, 0, NULL, ATTR(0, 1));
    kl_ref i = row(KL_OP_concat, kl_g_pick(g, up, 1), kl_g_pick(g, down, 1), KL_NONE,
                   NULL, ATTR(0));
    kl_ref v = row(KL_OP_concat, kl_g_pick(g, up, 0), kl_g_pick(g, down, 0), KL_NONE,
                   NULL, ATTR(0));
    EXPECT(row(KL_OP_concat, kl_g_cast(g, i, KL_F32), v, KL_NONE, NULL, ATTR(0)), 4, 2, 3,
           0, 5, 1, 1, 0, 5, 2, 3, 4, -1, -0.0, 0, 3, 3, NAN, NAN, 3, 3, -0.0, 0, -1);
}
END_TEST

/* ---- control, calls ---- */

static kl_graph *body_graph(int ninputs, kl_ref *x)
{
    kl_graph *b = kl_graph_new(arena, g->dims, "body");
    for (int i = 0; i < ninputs; i++)
        x[i] = kl_graph_input(b, NULL, KL_F32, 0, NULL);
    return b;
}

/* while x < y: x, y = x + x, y */
START_TEST(whiles)
{
    kl_ref x[2];
    kl_graph *test = body_graph(2, x);
    kl_graph_output(test, kl_g_elt(test, KL_OP_lt, x[0], x[1], KL_NONE), NULL);
    kl_graph *step = body_graph(2, x);
    kl_graph_output(step, kl_g_elt(step, KL_OP_add, x[0], x[0], KL_NONE), NULL);
    kl_graph_output(step, x[1], NULL);
    kl_ref a = given(KL_F32, 0, NULL, F32(3)), b = given(KL_F32, 0, NULL, F32(20));
    kl_ref w = row(KL_OP_while, a, b, KL_NONE, NULL,
                   ATTR(kl_graph_body(g, test), kl_graph_body(g, step)));
    EXPECT(kl_g_pick(g, w, 0), 24);
}
END_TEST

START_TEST(conds)
{
    kl_ref x[1];
    kl_graph *yes = body_graph(1, x);
    kl_graph_output(yes, kl_g_elt(yes, KL_OP_neg, x[0], KL_NONE, KL_NONE), NULL);
    kl_graph *no = body_graph(1, x);
    kl_graph_output(no, x[0], NULL);
    int64_t bodies[] = {kl_graph_body(g, yes), kl_graph_body(g, no)};
    kl_ref a = given(KL_F32, 0, NULL, F32(3));
    bool t = true, f = false;
    kl_ref p = given(KL_BOOL, 0, NULL, &t), q = given(KL_BOOL, 0, NULL, &f);
    kl_ref y = kl_g_pick(g, row(KL_OP_cond, p, a, KL_NONE, NULL, 2, bodies), 0);
    kl_ref z = kl_g_pick(g, row(KL_OP_cond, q, a, KL_NONE, NULL, 2, bodies), 0);
    EXPECT(kl_g_elt(g, KL_OP_div, y, z, KL_NONE), -1);
}
END_TEST

/* carry, y = carry + x, carry * x */
START_TEST(scans)
{
    kl_ref x[2];
    kl_graph *b = body_graph(2, x);
    kl_graph_output(b, kl_g_elt(b, KL_OP_add, x[0], x[1], KL_NONE), NULL);
    kl_graph_output(b, kl_g_elt(b, KL_OP_mul, x[0], x[1], KL_NONE), NULL);
    kl_ref c = given(KL_F32, 0, NULL, F32(1)),
           v = given(KL_F32, SHAPE(4), F32(2, 3, 4, 5));
    kl_ref s = row(KL_OP_scan, c, v, KL_NONE, NULL, ATTR(1, kl_graph_body(g, b)));
    kl_ref end = kl_g_reshape(g, kl_g_pick(g, s, 0), SHAPE(1));
    EXPECT(row(KL_OP_concat, end, kl_g_pick(g, s, 1), KL_NONE, NULL, ATTR(0)), 15, 2, 9,
           24, 50);
}
END_TEST

START_TEST(functions)
{
    kl_ref x[1];
    kl_graph *b = body_graph(1, x);
    kl_graph_output(b, kl_g_elt(b, KL_OP_mul, x[0], x[0], KL_NONE), NULL);
    kl_ref a = given(KL_F32, 0, NULL, F32(5));
    kl_ref f = row(KL_OP_function, a, KL_NONE, 0, NULL, ATTR(kl_graph_body(g, b), 1, 0));
    EXPECT(kl_g_pick(g, f, 0), 25);
}
END_TEST

static int twice(void *user, int n, const kl_buffer *from, int m, const kl_buffer *to)
{
    ck_assert(n == 1 && m == 1);
    const float *a = from[0].mem->base;
    float *y = to[0].mem->base;
    y[0] = 2 * a[0], y[1] = 2 * a[1];
    return *(int *)user;
}

START_TEST(calls)
{
    int result = _i;
    ck_assert(kl_native_register("twice", twice, &result) == KL_OK);
    kl_ref a = given(KL_F32, SHAPE(2), F32(5, 6));
    kl_ref c = row(KL_OP_call, a, KL_NONE, 0, NULL,
                   ATTR(kl_graph_string(g, "twice"), 1, 0, KL_F32, 1, 2));
    kl_ref y = kl_g_pick(g, c, 0);
    if (result == 0) {
        EXPECT(y, 10, 12);
        return;
    }
    ck_assert(kl_graph_output(g, y, NULL) == KL_OK);
    ck_assert_int_eq(kl_graph_interp(g, in, NULL, out), KL_ERR_ARG);
}
END_TEST

/* ---- the walk ---- */

/* Outputs are new memory, also when they are an input or each other; inputs may be
 * strided. */
START_TEST(outputs_are_new)
{
    kl_ref a = given(KL_F32, SHAPE(2, 3), count6);
    in[0].stride[0] = 4, in[0].stride[1] = 8;
    in[0].shape[0] = 2, in[0].shape[1] = 3;
    kl_graph_output(g, a, NULL), kl_graph_output(g, a, NULL);
    run();
    const float *x = out[0].mem->base, *y = out[1].mem->base;
    ck_assert(x != y && x != in[0].mem->base && y != in[0].mem->base);
    ck_assert(x[1] == 2 && x[3] == 1 && y[5] == 5);
    kl_memory_unref(out[0].mem), kl_memory_unref(out[1].mem);
}
END_TEST

/* A chain much longer than its peak memory, and nothing left behind. */
START_TEST(long_chain)
{
    static float v[1000];
    kl_ref r = given(KL_F32, SHAPE(1000), v), one = kl_g_const_like(g, r, 1);
    size_t before = kl_alloc_live();
    for (int i = 0; i < 20000; i++)
        r = kl_g_elt(g, i & 1 ? KL_OP_sub : KL_OP_add, r, one, KL_NONE),
        r = kl_g_elt(g, KL_OP_abs, r, KL_NONE, KL_NONE);
    kl_graph_output(g, r, NULL);
    before = kl_alloc_live();
    kl_alloc_peak_reset();
    run();
    ck_assert(kl_alloc_peak() < before + 40000 * 32 + 100000);
    kl_memory_unref(out[0].mem);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* The n-th allocation fails: an error, nothing kept; until none does. */
START_TEST(out_of_memory)
{
    kl_ref x[2];
    kl_graph *b = body_graph(2, x);
    kl_graph_output(b, kl_g_elt(b, KL_OP_add, x[0], x[1], KL_NONE), NULL);
    kl_graph_output(b, x[1], NULL);
    kl_ref c = given(KL_F32, 0, NULL, F32(1)),
           v = given(KL_F32, SHAPE(4), F32(2, 3, 4, 5));
    kl_ref s = row(KL_OP_scan, c, v, KL_NONE, NULL, ATTR(1, kl_graph_body(g, b)));
    kl_ref y = kl_g_pick(g, s, 1);
    kl_ref sorted = kl_g_pick(g, row(KL_OP_sort, y, KL_NONE, 0, NULL, ATTR(0, 1)), 0);
    kl_graph_output(g, kl_g_contract(g, sorted, y, "k,k->", KL_F32), NULL);
    kl_graph_output(g, kl_g_reduce(g, KL_OP_add, y, 1, false), NULL);
    size_t before = kl_alloc_live();
    for (int64_t n = 0;; n++) {
        kl_error_clear();
        kl_alloc_fail_at(n);
        kl_status st = kl_graph_interp(g, in, NULL, out);
        kl_alloc_fail_at(-1);
        if (st == KL_OK)
            break;
        ck_assert_int_eq(st, KL_ERR_OOM);
        ck_assert_uint_eq(kl_alloc_live(), before);
        ck_assert_int_lt(n, 1000);
    }
    kl_memory_unref(out[0].mem), kl_memory_unref(out[1].mem);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

int main(void)
{
    TTest const *const tests[] = {leaves,
                                  constants,
                                  elements,
                                  casts,
                                  bits,
                                  complex_parts,
                                  reshapes,
                                  expands,
                                  pads,
                                  slices,
                                  flips,
                                  joins,
                                  windows,
                                  folds,
                                  folds_two_axes,
                                  strides,
                                  updates,
                                  sums_of_groups,
                                  empty_reductions,
                                  minus_zero_sums,
                                  products_and_extremes,
                                  args,
                                  prefixes,
                                  contraction_labels,
                                  contraction_axes,
                                  contraction_of_halves,
                                  contraction_of_bools,
                                  contraction_of_complex,
                                  gathers,
                                  gathers_by_batch,
                                  faults,
                                  scatters,
                                  sorts,
                                  whiles,
                                  conds,
                                  scans,
                                  functions,
                                  outputs_are_new,
                                  long_chain,
                                  out_of_memory};
    Suite *s = suite_create("interp");
    TCase *tc = tcase_create("rows");
    tcase_add_checked_fixture(tc, setup, teardown);
    for (size_t i = 0; i < KL_COUNT(tests); i++)
        tcase_add_test(tc, tests[i]);
    tcase_add_loop_test(tc, sums, 0, (int)KL_COUNT(lengths));
    tcase_add_loop_test(tc, contractions, 0, (int)KL_COUNT(sizes));
    tcase_add_loop_test(tc, calls, 0, 2);
    tcase_add_loop_test(tc, reaches, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
