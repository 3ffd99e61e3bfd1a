/* test_llvm_loops.c: statements through LLVM against the loops' interpreter, to the bit:
 * every shape of access, masks, registers and their folds, branches, checks, tiles,
 * phases; sizes around multiples of the lanes; buffers beside forbidden pages; all
 * levels. */
#include "llvm_run.h"

/* ---- comparing with the interpreter ---- */

enum { OPERANDS = 8 };
typedef struct setting {
    const kl_kernel *k;
    const int64_t *syms;
    int64_t fault; /* the kind expected */
    bool at_end;
} setting;

static void fill(const kl_operand *o, guarded *g, int64_t n)
{
    bool index = strncmp(o->name, "i_", 2) == 0; /* i_17: indices below 17 */
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = element(o->dtype, rnd() % 80);
        put(g->p, o->dtype, i, index ? rnd() % (uint64_t)atoi(o->name + 2) : v);
    }
}

static void compare(const setting *s, guarded *want, guarded *got, const char *target)
{
    for (uint32_t i = 0; i < s->k->noperands; i++) {
        const kl_operand *o = &s->k->operands[i];
        int64_t n = (int64_t)(want[i].size / kl_dtypes[o->dtype].size);
        for (int64_t j = 0; j < n && o->role == KL_ROLE_OUT; j++)
            ck_assert_msg(
                same(o->dtype, get(want[i].p, o->dtype, j), get(got[i].p, o->dtype, j)),
                "%s %s: %s[%ld] of %ld: want %llx, got %llx", s->k->name, target, o->name,
                (long)j, (long)n, (unsigned long long)get(want[i].p, o->dtype, j),
                (unsigned long long)get(got[i].p, o->dtype, j));
    }
}

static void launch(const setting *s, const kl_code *c, guarded *g, int64_t *error)
{
    const kl_kernel *k = s->k;
    void *bufs[OPERANDS];
    int n = 0;
    kl_dim dims[16];
    int64_t values[16];
    int ndims = kl_kernel_dims(k, dims, 16);
    for (int i = 0; i < ndims; i++)
        values[i] = kl_dim_eval(k->x->dims, dims[i], s->syms);
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].role != KL_ROLE_TILE)
            bufs[n++] = g[i].p;
    int64_t scratch = kl_dim_eval(k->x->dims, kl_kernel_scratch(k, NULL), s->syms);
    char *tiles = kl_alloc((size_t)scratch * 2 + 64);
    for (int p = 0; p < k->nphases; p++) {
        kl_args args = {.bufs = bufs,
                        .dims = values,
                        .scratch = tiles,
                        .scratch_stride = scratch,
                        .error = error};
        char name[80];
        kl_phase_fn fn;
        snprintf(name, sizeof name, "%s.%d", k->name, p);
        void *at = kl_code_symbol(c, name);
        ck_assert_msg(at != NULL, "%s", name);
        memcpy(&fn, &at, sizeof at);
        int64_t workers = kl_dim_eval(k->x->dims, k->phases[p].workers, s->syms);
        fn(&args, 0, workers / 2, 0); /* two shares, two workers */
        fn(&args, workers / 2, workers, 1);
    }
    kl_free(tiles, (size_t)scratch * 2 + 64);
}

/* Once by the interpreter, once by the code, on the same random operands. */
static void check_one(const setting *s, const kl_code *c, const char *target)
{
    const kl_kernel *k = s->k;
    guarded want[OPERANDS], got[OPERANDS];
    void *bufs[OPERANDS] = {0};
    for (uint32_t i = 0; i < k->noperands; i++) {
        const kl_operand *o = &k->operands[i];
        int64_t n =
            o->role == KL_ROLE_TILE ? 0 : kl_dim_eval(k->x->dims, o->count, s->syms);
        size_t size = (size_t)n * kl_dtypes[o->dtype].size;
        want[i] = guarded_new(size, s->at_end);
        got[i] = guarded_new(size, s->at_end);
        fill(o, &want[i], n);
        memcpy(got[i].p, want[i].p, size);
        bufs[i] = want[i].p;
    }
    int64_t e0[3] = {0}, e1[3] = {0};
    kl_status st = kl_loops_interp(k, bufs, s->syms, e0);
    ck_assert_msg(st == KL_OK, "%s: %s", k->name, kl_error());
    launch(s, c, got, e1);
    ck_assert_int_eq(e1[0], e0[0]);
    ck_assert_int_eq(e1[1], e0[1]);
    compare(s, want, got, target);
    for (uint32_t i = 0; i < k->noperands; i++) {
        guarded_free(&want[i]);
        guarded_free(&got[i]);
    }
}

/* ---- kernels ---- */

typedef struct maker {
    kl_arena *a;
    kl_kernel *k;
    kl_exprs *x;
    kl_dims *d;
    kl_build b;
    uint32_t w;
    kl_dim n; /* the symbol N */
} maker;

static maker make(kl_arena *a, const char *name, kl_dim workers)
{
    maker m = {.a = a, .d = kl_dims_new(a)};
    m.n = kl_dim_sym(m.d, "N");
    m.k = kernel_new(a, m.d, name, workers == KL_DIM_BAD ? m.n : workers, &m.b, &m.w);
    m.x = m.k->x;
    return m;
}

#define X(i) kl_x_int(m.x, i)
#define OP2(op, a, b) kl_x_op(m.x, KL_OP_##op, a, b, KL_NONE)
#define F32(v) kl_x_const(m.x, KL_F32, (kl_scalar){.f32 = v})
#define LOAD(o, i) kl_x_load(m.x, o, m.k->operands[o].dtype, i, KL_NONE, KL_NONE)

static kl_build lanes(maker *m, kl_build *at, kl_x extent, kl_dim bound, int width,
                      kl_x *var)
{
    uint32_t v = kl_x_newvar(m->x, "i", bound);
    *var = kl_x_var(m->x, v);
    return kl_b_for(at, v, extent, KL_BIND_LANE, width);
}

/* Rows of N: sums and maxima over lanes, their folds, and what is made of them. */
static kl_kernel *rows(kl_arena *a, kl_dtype dt)
{
    maker m = make(a, "rows", 5);
    kl_dim total = kl_dim_mul(m.d, m.n, 5);
    uint32_t x = operand(m.k, "x", dt, KL_ROLE_IN, total);
    uint32_t y = operand(m.k, "y", dt, KL_ROLE_OUT, total);
    uint32_t s = operand(m.k, "s", dt, KL_ROLE_OUT, 10);
    kl_x w = kl_x_var(m.x, m.w), base = kl_x_mul(m.x, w, kl_x_dim(m.x, m.n)), i;
    kl_x acc = kl_b_reg(&m.b, "acc", dt, 32, 0, NULL),
         top = kl_b_reg(&m.b, "top", dt, 32, 0, NULL);
    kl_b_set(&m.b, acc, kl_x_const(m.x, dt, kl_identity(KL_OP_add, dt)));
    kl_b_set(&m.b, top, kl_x_const(m.x, dt, kl_identity(KL_OP_max, dt)));
    kl_build l = lanes(&m, &m.b, kl_x_dim(m.x, m.n), m.n, 32, &i);
    kl_x v = LOAD(x, kl_x_add(m.x, base, i));
    kl_b_set(&l, acc, OP2(add, acc, v));
    kl_b_set(&l, top, OP2(max, top, v));
    kl_x sum = kl_b_reg(&m.b, "sum", dt, 1, 0, NULL),
         most = kl_b_reg(&m.b, "most", dt, 1, 0, NULL);
    kl_b_fold(&m.b, sum, KL_OP_add, acc);
    kl_b_fold(&m.b, most, KL_OP_max, top);
    kl_b_store(&m.b, s, kl_x_mul(m.x, w, X(2)), sum, KL_NONE);
    kl_b_store(&m.b, s, kl_x_add(m.x, kl_x_mul(m.x, w, X(2)), X(1)), most, KL_NONE);
    l = lanes(&m, &m.b, kl_x_dim(m.x, m.n), m.n, 32, &i);
    v = LOAD(x, kl_x_add(m.x, base, i));
    kl_b_store(&l, y, kl_x_add(m.x, base, i), OP2(add, OP2(min, v, most), sum), KL_NONE);
    return m.k;
}
static kl_kernel *rows_f32(kl_arena *a)
{
    return rows(a, KL_F32);
}
static kl_kernel *rows_f64(kl_arena *a)
{
    return rows(a, KL_F64);
}
static kl_kernel *rows_i32(kl_arena *a)
{
    return rows(a, KL_I32);
}
static kl_kernel *rows_u8(kl_arena *a)
{
    return rows(a, KL_U8);
}
static kl_kernel *rows_f16(kl_arena *a)
{
    return rows(a, KL_F16);
}

/* Squares read along rows, turned, and stored along columns. */
static kl_kernel *squares(kl_arena *a, kl_dtype dt, int32_t width)
{
    maker m = make(a, "squares", KL_DIM_BAD);
    kl_dim total = kl_dim_mul(m.d, m.n, (int64_t)width * width);
    uint32_t x = operand(m.k, "x", dt, KL_ROLE_IN, total);
    uint32_t y = operand(m.k, "y", dt, KL_ROLE_OUT, total);
    kl_x base = kl_x_scale(m.x, kl_x_var(m.x, m.w), (int64_t)width * width), i;
    kl_x t = kl_b_reg(&m.b, "t", dt, width, 1, &width);
    uint32_t reg = (uint32_t)m.x->nodes[t].imm;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t v = kl_x_newvar(m.x, "j", width);
        kl_x j = kl_x_var(m.x, v);
        kl_build line = kl_b_for(&m.b, v, X(width), KL_BIND_UNROLL, 1);
        kl_build l = lanes(&m, &line, X(width), width, width, &i);
        kl_x at = kl_x_add(m.x, kl_x_add(m.x, base, kl_x_scale(m.x, j, width)), i);
        kl_x r = kl_x_reg(m.x, reg, dt, &j, 1);
        if (pass)
            kl_b_store(&l, y, at, r, KL_NONE);
        else
            kl_b_set(&l, r, LOAD(x, at));
        if (!pass)
            kl_b_turn(&m.b, reg);
    }
    return m.k;
}
static kl_kernel *squares_f32(kl_arena *a)
{
    return squares(a, KL_F32, 8);
}
static kl_kernel *squares_wide(kl_arena *a)
{
    return squares(a, KL_F64, 32);
}
static kl_kernel *squares_u8(kl_arena *a)
{
    return squares(a, KL_U8, 16);
}
static kl_kernel *squares_bool(kl_arena *a)
{
    return squares(a, KL_BOOL, 4);
}

/* Every shape of access, with and without predicates, in one body. */
static kl_kernel *accesses(kl_arena *a, kl_dtype dt, int64_t extent)
{
    maker m = make(a, "accesses", 2);
    kl_dim n = extent < 0 ? m.n : extent, n3 = kl_dim_mul(m.d, n, 3);
    uint32_t x = operand(m.k, "x", dt, KL_ROLE_IN, n3),
             one = operand(m.k, "one", dt, KL_ROLE_IN, 3);
    uint32_t idx = operand(m.k, "i_9", KL_I32, KL_ROLE_IN, kl_dim_mul(m.d, n, 2));
    uint32_t table = operand(m.k, "table", dt, KL_ROLE_IN, 9);
    uint32_t y = operand(m.k, "y", dt, KL_ROLE_OUT, kl_dim_mul(m.d, n, 8));
    uint32_t z = operand(m.k, "z", dt, KL_ROLE_OUT, kl_dim_mul(m.d, n, 7));
    kl_x nx = kl_x_dim(m.x, n), w = kl_x_var(m.x, m.w), i, base = kl_x_mul(m.x, w, nx);
    kl_build l = lanes(&m, &m.b, nx, n, 32, &i);
    kl_x at = kl_x_add(m.x, base, i), last = OP2(sub, nx, X(1));
    kl_x v[4] = {LOAD(x, at), LOAD(x, OP2(sub, OP2(add, base, last), i)),
                 LOAD(x, kl_x_mul(m.x, i, X(3))), LOAD(one, w)};
    kl_x pred = kl_x_lt(m.x, i, X(37));
    kl_x four = kl_x_mul(m.x, at, X(4));
    for (int j = 0; j < 4; j++)
        kl_b_store(&l, y, kl_x_add(m.x, four, X(j)), v[j], KL_NONE);
    kl_x odd = kl_x_op(m.x, KL_OP_eq, kl_x_mod(m.x, i, X(2)), X(1), KL_NONE);
    kl_x shifted = kl_x_load(m.x, x, dt, OP2(sub, at, X(1)), kl_x_lt(m.x, X(0), at),
                             LOAD(one, X(2)));
    kl_x gathered = LOAD(table, kl_x_cast(m.x, LOAD(idx, at), KL_I64));
    kl_x some = kl_x_load(m.x, table, dt, kl_x_mod(m.x, i, X(9)), odd, KL_NONE);
    kl_x lonely = kl_x_load(m.x, one, dt, X(1), pred, gathered);
    kl_b_store(&l, z, at, shifted, KL_NONE);
    kl_b_store(&l, z, kl_x_add(m.x, kl_x_mul(m.x, nx, X(2)), at), gathered, odd);
    kl_b_store(
        &l, z,
        OP2(sub, kl_x_add(m.x, kl_x_mul(m.x, nx, X(4)), kl_x_add(m.x, base, last)), i),
        some, pred);
    kl_b_store(&l, z, kl_x_add(m.x, kl_x_mul(m.x, nx, X(6)), i), lonely,
               kl_x_and(m.x, odd, kl_x_op(m.x, KL_OP_eq, w, X(1), KL_NONE)));
    return m.k;
}
static kl_kernel *acc_f32(kl_arena *a)
{
    return accesses(a, KL_F32, -1);
}
static kl_kernel *acc_f64(kl_arena *a)
{
    return accesses(a, KL_F64, -1);
}
static kl_kernel *acc_u8(kl_arena *a)
{
    return accesses(a, KL_U8, -1);
}
static kl_kernel *acc_bf16(kl_arena *a)
{
    return accesses(a, KL_BF16, -1);
}
static kl_kernel *acc_bool(kl_arena *a)
{
    return accesses(a, KL_BOOL, -1);
}
static kl_kernel *acc_10(kl_arena *a)
{
    return accesses(a, KL_F32, 10);
}
static kl_kernel *acc_70(kl_arena *a)
{
    return accesses(a, KL_I64, 70);
}
static kl_kernel *acc_96(kl_arena *a)
{
    return accesses(a, KL_I16, 96);
}

/* Branches, uniform and by lane, with registers set on both sides; a uniform count. */
static kl_kernel *branches(kl_arena *a)
{
    maker m = make(a, "branches", 3);
    uint32_t x = operand(m.k, "x", KL_F32, KL_ROLE_IN, kl_dim_mul(m.d, m.n, 3));
    uint32_t y = operand(m.k, "y", KL_F32, KL_ROLE_OUT, kl_dim_mul(m.d, m.n, 3));
    uint32_t c = operand(m.k, "c", KL_I64, KL_ROLE_OUT, 3);
    kl_x w = kl_x_var(m.x, m.w), base = kl_x_mul(m.x, w, kl_x_dim(m.x, m.n)), i;
    kl_x n = kl_b_reg(&m.b, "n", KL_I64, 1, 0, NULL);
    kl_b_set(&m.b, n, X(7));
    kl_build yes = kl_b_if(&m.b, kl_x_lt(m.x, w, X(2)));
    kl_b_set(&yes, n, OP2(add, n, w));
    kl_build no = kl_b_else(&m.b);
    kl_b_set(&no, n, X(-1));
    kl_build l = lanes(&m, &m.b, kl_x_dim(m.x, m.n), m.n, 32, &i);
    kl_x at = kl_x_add(m.x, base, i), v = LOAD(x, at);
    kl_x r = kl_b_reg(&l, "r", KL_F32, 32, 0, NULL);
    kl_b_set(&l, r, F32(1));
    kl_build by = kl_b_if(&l, OP2(lt, v, F32(0)));
    kl_b_set(&by, r, OP2(mul, v, F32(3)));
    kl_build deep = kl_b_if(&by, OP2(lt, v, F32(-2)));
    kl_b_set(&deep, r, OP2(add, r, kl_x_cast(m.x, n, KL_F32)));
    by = kl_b_else(&l);
    kl_b_set(&by, r, OP2(sub, r, v));
    kl_b_store(&by, y, at, r, OP2(lt, v, F32(100)));
    kl_b_store(&l, y, at, r, OP2(lt, r, F32(5)));
    kl_b_store(&m.b, c, w, n, KL_NONE);
    return m.k;
}

/* A tile packed, then read; serial loops with carried registers and unrolled arrays. */
static kl_kernel *tiles(kl_arena *a)
{
    maker m = make(a, "tiles", 3);
    int32_t dims[2] = {3, 2};
    kl_dim n = m.n;
    uint32_t x = operand(m.k, "x", KL_F32, KL_ROLE_IN, kl_dim_mul(m.d, n, 6));
    uint32_t y = operand(m.k, "y", KL_F32, KL_ROLE_OUT, 3 * 6 * 48);
    uint32_t t0 = kl_kernel_operand(m.k, &(kl_operand){.name = "t0",
                                                       .dtype = KL_F32,
                                                       .role = KL_ROLE_TILE,
                                                       .count = kl_dim_mul(m.d, n, 6),
                                                       .node = KL_NONE});
    uint32_t t1 = kl_kernel_operand(m.k, &(kl_operand){.name = "t1",
                                                       .dtype = KL_F32,
                                                       .role = KL_ROLE_TILE,
                                                       .count = kl_dim_mul(m.d, n, 48),
                                                       .node = KL_NONE});
    kl_x nx = kl_x_dim(m.x, n), w = kl_x_var(m.x, m.w), i, j,
         wf = kl_x_cast(m.x, w, KL_F32);
    kl_build l = lanes(&m, &m.b, kl_x_mul(m.x, nx, X(6)), kl_dim_mul(m.d, n, 6), 32, &i);
    kl_b_store(&l, t0, i, OP2(add, LOAD(x, i), wf), KL_NONE);
    uint32_t kv = kl_x_newvar(m.x, "k", n), k2v = kl_x_newvar(m.x, "k2", n);
    kl_x k = kl_x_var(m.x, kv), k2 = kl_x_var(m.x, k2v);
    kl_build lk = kl_b_for(&m.b, kv, nx, KL_BIND_SERIAL, 0);
    l = lanes(&m, &lk, X(48), 48, 48, &j);
    kl_b_store(&l, t1, kl_x_add(m.x, kl_x_mul(m.x, k, X(48)), j),
               kl_x_cast(m.x, kl_x_mod(m.x, kl_x_mul(m.x, j, k), X(7)), KL_F32), KL_NONE);
    kl_x acc = kl_b_reg(&m.b, "acc", KL_F32, 48, 2, dims);
    uint32_t reg = (uint32_t)m.x->nodes[acc].imm;
    uint32_t p0 = kl_x_newvar(m.x, "p", 3), q0 = kl_x_newvar(m.x, "q", 2);
    for (int step = 0; step < 3; step++) {
        kl_build out = m.b, lane = m.b;
        kl_x pq[2] = {kl_x_var(m.x, p0), kl_x_var(m.x, q0)};
        kl_x rr = kl_x_reg(m.x, reg, KL_F32, pq, 2);
        if (step == 1)
            out = kl_b_for(&m.b, k2v, nx, KL_BIND_SERIAL, 0);
        lane = step ? lanes(&m, step == 1 ? &out : &m.b, X(48), 48, 48, &j) : m.b;
        kl_build up = kl_b_for(step ? &lane : &m.b, p0, X(3), KL_BIND_UNROLL, 0);
        kl_build uq = kl_b_for(&up, q0, X(2), KL_BIND_UNROLL, 0);
        kl_x row = kl_x_add(m.x, kl_x_mul(m.x, pq[0], X(2)), pq[1]);
        if (step == 0)
            kl_b_set(&uq, rr, F32(0));
        else if (step == 1)
            kl_b_set(&uq, rr,
                     OP2(add, rr,
                         OP2(mul, LOAD(t0, kl_x_add(m.x, kl_x_mul(m.x, k2, X(6)), row)),
                             LOAD(t1, kl_x_add(m.x, kl_x_mul(m.x, k2, X(48)), j)))));
        else
            kl_b_store(
                &uq, y,
                kl_x_add(m.x,
                         kl_x_mul(m.x, kl_x_add(m.x, kl_x_mul(m.x, w, X(6)), row), X(48)),
                         j),
                rr, KL_NONE);
        if (!step)
            m.b = (kl_build){m.k, m.b.at};
    }
    return m.k;
}

/* Read, change and store again: in order, through one element that all steps share. */
static kl_kernel *updates(kl_arena *a)
{
    maker m = make(a, "updates", 1);
    uint32_t idx = operand(m.k, "i_5", KL_I64, KL_ROLE_IN, m.n);
    uint32_t x = operand(m.k, "x", KL_F32, KL_ROLE_IN, m.n),
             y = operand(m.k, "y", KL_F32, KL_ROLE_OUT, 6);
    uint32_t v = kl_x_newvar(m.x, "i", m.n);
    kl_x i = kl_x_var(m.x, v), j;
    kl_build z = lanes(&m, &m.b, X(6), 6, 4, &j);
    kl_b_store(&z, y, j, F32(0.5f), KL_NONE);
    kl_build l = kl_b_for(&m.b, v, kl_x_dim(m.x, m.n), KL_BIND_SERIAL, 0);
    kl_x at = LOAD(idx, i), sum = OP2(add, LOAD(y, at), LOAD(x, i));
    kl_b_store(&l, y, at, sum, KL_NONE);
    kl_b_store(&l, y, X(5), OP2(add, LOAD(y, X(5)), LOAD(y, at)), kl_x_lt(m.x, i, X(9)));
    return m.k;
}

/* Indices out of range: reported once, not followed. */
static kl_kernel *faults(kl_arena *a)
{
    maker m = make(a, "faults", 1);
    uint32_t idx = operand(m.k, "i_300", KL_I64, KL_ROLE_IN, m.n);
    uint32_t x = operand(m.k, "x", KL_F32, KL_ROLE_IN, 200),
             y = operand(m.k, "y", KL_F32, KL_ROLE_OUT, m.n);
    kl_x i;
    kl_build l = lanes(&m, &m.b, kl_x_dim(m.x, m.n), m.n, 32, &i);
    kl_x at = LOAD(idx, i), ok = kl_x_lt(m.x, at, X(200));
    kl_b_check(&l, ok, KL_FAULT_INDEX, 42, at);
    kl_b_store(&l, y, i, kl_x_load(m.x, x, KL_F32, at, ok, F32(-1)), KL_NONE);
    return m.k;
}

static kl_kernel *(*const makers[])(kl_arena *) = {
    rows_f32, rows_f64, rows_i32, rows_u8,     rows_f16,     acc_f32,    acc_f64,
    acc_u8,   acc_bf16, acc_bool, acc_10,      acc_70,       acc_96,     branches,
    tiles,    updates,  faults,   squares_f32, squares_wide, squares_u8, squares_bool};

START_TEST(statements)
{
    static const int64_t sizes[] = {0,  1,  3,  16, 31,  32,  33,
                                    63, 64, 70, 96, 100, 131, 257};
    const kl_target *t = kl_target_find(levels[_i % (int)KL_COUNT(levels)]);
    kl_arena *a = kl_arena_new();
    const kl_kernel *k = makers[_i / (int)KL_COUNT(levels)](a);
    ck_assert(!kl_arena_failed(a));
    kl_code *c = compile(&k, 1, t);
    for (size_t i = 0; c && i < KL_COUNT(sizes); i++)
        for (int end = 0; end < 2; end++)
            check_one(&(setting){.k = k, .syms = &sizes[i], .at_end = end}, c, t->name);
    kl_code_free(c);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("llvm_loops");
    TCase *tc = tcase_create("statements");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, statements, 0, (int)(KL_COUNT(makers) * KL_COUNT(levels)));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
