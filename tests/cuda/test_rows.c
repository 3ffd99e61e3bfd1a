/* test_rows.c: every elementwise row at every dtype it has, and every cast and bitcast,
 * as CUDA C on the device, against kl_eval: all pairs of special values, and random ones.
 * One text and one test a dtype. */
#include "kernels.h"
#include "tests/unit/llvm_run.h"
#include "tests/unit/only.h"

enum { N = 2600, BLOCK = 128, NROWS = KL_OP_COUNT + 2 * KL_C64 };

typedef struct row {
    kl_op op;
    kl_dtype to;
    kl_kernel *k;
} row;

static bool applies(kl_op op, kl_dtype dt)
{
    const kl_op_info *o = &kl_ops[op];
    if (o->kind != KL_KIND_ELT || (o->flags & KL_F_GRAPH) ||
        (o->rule == KL_RULE_FLOAT && !kl_is_float(dt)) ||
        (o->rule == KL_RULE_U64 && dt != KL_U64) ||
        (o->flags & KL_F_NOBOOL && dt == KL_BOOL))
        return false;
    return !(o->flags & KL_F_INT && kl_is_float(dt));
}

static kl_dtype operand_type(kl_op op, int j, kl_dtype dt)
{
    return op == KL_OP_where && j == 0 ? KL_BOOL : dt;
}

/* y[i] = op(a[i], b[i], c[i]) for N elements */
static kl_kernel *row_kernel(kl_arena *a, row r, kl_dtype dt)
{
    static const char *const names[] = {"a", "b", "c"};
    kl_build b;
    uint32_t w;
    int blocks = (N + BLOCK - 1) / BLOCK;
    kl_kernel *k = kernel_new(a, kl_dims_new(a), kl_ops[r.op].name, blocks, &b, &w);
    kl_x s[3] = {KL_NONE, KL_NONE, KL_NONE};
    k->phases[0].lane = BLOCK;
    kl_x first = kl_x_mul(k->x, kl_x_var(k->x, w), kl_x_int(k->x, BLOCK));
    kl_x left = kl_x_op(k->x, KL_OP_sub, kl_x_int(k->x, N), first, KL_NONE);
    uint32_t v = kl_x_newvar(k->x, "i", BLOCK);
    kl_build in =
        kl_b_for(&b, v, kl_x_op(k->x, KL_OP_min, left, kl_x_int(k->x, BLOCK), KL_NONE),
                 KL_BIND_LANE, BLOCK);
    kl_x at = kl_x_add(k->x, first, kl_x_var(k->x, v));
    for (int j = 0; j < kl_ops[r.op].arity; j++) {
        kl_dtype t = operand_type(r.op, j, dt);
        s[j] = kl_x_load(k->x, operand(k, names[j], t, KL_ROLE_IN, N), t, at, KL_NONE,
                         KL_NONE);
    }
    uint32_t y = operand(k, "y", r.to, KL_ROLE_OUT, N);
    kl_x e = r.op == KL_OP_cast      ? kl_x_cast(k->x, s[0], r.to)
             : r.op == KL_OP_bitcast ? kl_x_bitcast(k->x, s[0], r.to)
                                     : kl_x_op(k->x, r.op, s[0], s[1], s[2]);
    ck_assert(e != KL_NONE);
    kl_b_store(&in, y, at, e, KL_NONE);
    return k;
}

static int all_rows(kl_arena *a, kl_dtype dt, row *rows)
{
    int n = 0;
    for (int op = 0; op < KL_OP_COUNT; op++)
        if (applies((kl_op)op, dt) && only_row(kl_ops[op].name))
            rows[n++] =
                (row){(kl_op)op, kl_ops[op].rule == KL_RULE_BOOL ? KL_BOOL : dt, NULL};
    for (int to = 0; to < KL_C64; to++) {
        if (only_row("cast"))
            rows[n++] = (row){KL_OP_cast, (kl_dtype)to, NULL};
        if (only_row("bitcast") && kl_dtypes[to].size == kl_dtypes[dt].size &&
            to != KL_BOOL)
            rows[n++] = (row){KL_OP_bitcast, (kl_dtype)to, NULL};
    }
    for (int i = 0; i < n; i++)
        rows[i].k = row_kernel(a, rows[i], dt);
    return n;
}

static kl_module *load_rows(kl_arena *a, const row *rows, int n)
{
    unsigned parts = 0;
    kl_text body = {0}, text = {0};
    kl_nvrtc_code code;
    kl_module *m;
    for (int i = 0; i < n; i++)
        OK(kl_cuda_kernel(rows[i].k, kl_arena_printf(a, "r%d", i), a, &parts, &body));
    kl_cuda_prelude(&text, parts);
    kl_text_put(&text, body.s);
    OK(kl_nvrtc_compile("rows", text.s, "sm_90a", KL_NVRTC_CUBIN, &code));
    OK(CUDA->load(0, code.bytes, code.size, &m));
    kl_nvrtc_free(&code);
    kl_text_free(&body);
    kl_text_free(&text);
    return m;
}

/* All pairs of specials first (some 2400), so that a third operand runs through them too.
 */
static void draw_operand(char *p, int j, kl_dtype dt)
{
    uint64_t n = kl_is_float(dt) ? KL_COUNT(specials) : KL_COUNT(int_specials);
    for (int64_t i = 0; i < N; i++) {
        uint64_t at = (uint64_t)i, which = j == 0 ? at % n : j == 1 ? at / n : at * 7 % n;
        put(p, dt, i, element(dt, at < n * n ? which : 1000 + at));
    }
}

static void check_row(kl_module *m, int number, row r, kl_dtype dt)
{
    static char in[3][N * 8], got[N * 8], want[N * 8];
    int arity = kl_ops[r.op].arity;
    int64_t error[3] = {0};
    void *bufs[4];
    char name[32];
    for (int j = 0; j < arity; j++) {
        kl_dtype t = operand_type(r.op, j, dt);
        draw_operand(in[j], j, t);
        bufs[j] = to_device(in[j], (size_t)N * kl_dtypes[t].size);
    }
    bufs[arity] = to_device(got, (size_t)N * kl_dtypes[r.to].size);
    snprintf(name, sizeof name, "r%d.0", number);
    OK(start(m, name, (shape){(N + BLOCK - 1) / BLOCK, BLOCK, 1, 0}, arity + 1, bufs, 0,
             NULL, error));
    from_device(got, bufs[arity], (size_t)N * kl_dtypes[r.to].size);
    if (r.op == KL_OP_cast)
        kl_eval_cast_n(r.to, dt, N, want, in[0]);
    else if (r.op == KL_OP_bitcast)
        memcpy(want, in[0], (size_t)N * kl_dtypes[dt].size);
    else
        kl_eval_n(r.op, dt, N, want, in[0], in[1], in[2]);
    for (int64_t i = 0; i < N; i++)
        ck_assert_msg(same(r.to, get(want, r.to, i), get(got, r.to, i)),
                      "%s %s to %s [%d]: want %llx got %llx of %llx %llx",
                      kl_ops[r.op].name, kl_dtypes[dt].name, kl_dtypes[r.to].name, (int)i,
                      (unsigned long long)get(want, r.to, i),
                      (unsigned long long)get(got, r.to, i),
                      (unsigned long long)get(in[0], operand_type(r.op, 0, dt), i),
                      (unsigned long long)(arity > 1 ? get(in[1], dt, i) : 0));
    for (int j = 0; j <= arity; j++)
        CUDA->free(0, bufs[j], 0);
}

START_TEST(test_rows)
{
    static row rows[NROWS];
    kl_dtype dt = (kl_dtype)_i;
    kl_arena *a = kl_arena_new();
    int n = only_dtype(dt) ? all_rows(a, dt, rows) : 0;
    if (!n) {
        kl_arena_free(a);
        return;
    }
    kl_module *m = load_rows(a, rows, n);
    for (int i = 0; i < n; i++)
        check_row(m, i, rows[i], dt);
    CUDA->unload(m);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    (void)levels;
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, test_rows, 0, KL_C64);
    return run_suite(tc);
}
