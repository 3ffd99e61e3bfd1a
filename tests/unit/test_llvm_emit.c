/* test_llvm_emit.c: loops through LLVM, run, and compared to the bit with the meaning of
 * the rows (eval.c) and with plain loops written here. Every buffer ends, or begins, at a
 * page that may not be touched, so that a vector's width too much is a fault. Each x86-64
 * level this CPU has is run; the others, and aarch64, are compiled. */
#include "llvm_run.h"
#include "only.h"

/* ---- every row at every dtype ---- */

enum { N = 331, LANES = 32 };

/* y[i] = op(a[i], b[i], c[i]) for N elements */
static kl_kernel *row_kernel(kl_arena *a, kl_op op, kl_dtype dt, kl_dtype to,
                             const char *name)
{
    kl_build b;
    uint32_t w, in[3];
    kl_dims *d = kl_dims_new(a);
    kl_dim n = kl_dim_sym(d, "N");
    kl_kernel *k = kernel_new(a, d, name, 1, &b, &w);
    kl_x src[3] = {KL_NONE, KL_NONE, KL_NONE};
    uint32_t i = kl_x_newvar(k->x, "i", n);
    kl_x iv = kl_x_var(k->x, i);
    static const char *const names[] = {"a", "b", "c"};
    for (int j = 0; j < kl_ops[op].arity; j++) {
        kl_dtype t = op == KL_OP_where && j == 0 ? KL_BOOL : dt;
        in[j] = operand(k, names[j], t, KL_ROLE_IN, n);
        src[j] = kl_x_load(k->x, in[j], t, iv, KL_NONE, KL_NONE);
    }
    uint32_t y = operand(k, "y", to, KL_ROLE_OUT, n);
    kl_x v = op == KL_OP_cast      ? kl_x_cast(k->x, src[0], to)
             : op == KL_OP_bitcast ? kl_x_bitcast(k->x, src[0], to)
                                   : kl_x_op(k->x, op, src[0], src[1], src[2]);
    ck_assert(v != KL_NONE);
    kl_build in_loop = kl_b_for(&b, i, kl_x_dim(k->x, n), KL_BIND_LANE, LANES);
    kl_b_store(&in_loop, y, iv, v, KL_NONE);
    return k;
}

static bool applies(int op, kl_dtype dt)
{
    const kl_op_info *o = &kl_ops[op];
    if (o->kind != KL_KIND_ELT || (o->flags & KL_F_GRAPH))
        return false;
    if ((o->rule == KL_RULE_FLOAT && !kl_is_float(dt)) ||
        (o->rule == KL_RULE_U64 && dt != KL_U64) ||
        (o->flags & KL_F_NOBOOL && dt == KL_BOOL))
        return false;
    return !(o->flags & KL_F_INT && kl_is_float(dt));
}

static void check_row(const kl_code *c, const char *name, kl_op op, kl_dtype dt,
                      kl_dtype to, int64_t n, bool at_end)
{
    int arity = kl_ops[op].arity;
    guarded g[4];
    char entry[80];
    void *bufs[4], *want = malloc((size_t)n * 8 + 8);
    for (int j = 0; j < arity; j++) {
        kl_dtype t = op == KL_OP_where && j == 0 ? KL_BOOL : dt;
        g[j] = guarded_new((size_t)n * kl_dtypes[t].size, at_end);
        /* all pairs of the specials come up over the runs */
        for (int64_t i = 0; i < n; i++)
            put(g[j].p, t, i, element(t, rnd() % 3 ? rnd() % 60 : 100 + (uint64_t)i));
        bufs[j] = g[j].p;
    }
    g[arity] = guarded_new((size_t)n * kl_dtypes[to].size, at_end);
    bufs[arity] = g[arity].p;
    snprintf(entry, sizeof entry, "%s.0", name);
    run(c, entry, bufs, &n, 1, NULL, NULL);
    if (op == KL_OP_cast)
        kl_eval_cast_n(to, dt, n, want, bufs[0]);
    else
        kl_eval_n(op, dt, n, want, bufs[0], arity > 1 ? bufs[1] : NULL,
                  arity > 2 ? bufs[2] : NULL);
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(
            same(to, get(want, to, i), get(bufs[arity], to, i)),
            "%s %s[%d of %d]: want %llx got %llx from %llx %llx", name,
            kl_dtypes[dt].name, (int)i, (int)n, (unsigned long long)get(want, to, i),
            (unsigned long long)get(bufs[arity], to, i),
            (unsigned long long)get(bufs[0], op == KL_OP_where ? KL_BOOL : dt, i),
            (unsigned long long)(arity > 1 ? get(bufs[1], dt, i) : 0));
    for (int j = 0; j <= arity; j++)
        guarded_free(&g[j]);
    free(want);
}

/* One test for each level and dtype: all its rows in one object. */
START_TEST(rows)
{
    const kl_target *t = kl_target_find(levels[_i / KL_C64]);
    kl_dtype dt = (kl_dtype)(_i % KL_C64);
    if (!only_dtype(dt))
        return;
    kl_arena *a = kl_arena_new();
    const kl_kernel *ks[KL_OP_COUNT + KL_DTYPE_COUNT];
    struct {
        kl_op op;
        kl_dtype to;
    } what[KL_OP_COUNT + KL_DTYPE_COUNT];
    int n = 0;
    for (int op = 0; op < KL_OP_COUNT; op++)
        if (applies(op, dt) && only_row(kl_ops[op].name)) {
            kl_dtype to = kl_ops[op].rule == KL_RULE_BOOL ? KL_BOOL : dt;
            what[n].op = (kl_op)op, what[n].to = to;
            ks[n++] = row_kernel(a, (kl_op)op, dt, to, kl_ops[op].name);
        }
    for (int to = 0; to < KL_C64 && only_row("cast"); to++) {
        what[n].op = KL_OP_cast, what[n].to = (kl_dtype)to;
        ks[n++] = row_kernel(a, KL_OP_cast, dt, (kl_dtype)to,
                             kl_arena_printf(a, "cast_%s", kl_dtypes[to].name));
    }
    kl_code *c = n ? compile(ks, n, t) : NULL;
    static const int64_t sizes[] = {0, 1, 7, 31, 32, 64, 65, N};
    for (int i = 0; c && i < n; i++)
        for (size_t j = 0; j < KL_COUNT(sizes); j++)
            for (int rep = 0; rep < 4; rep++)
                check_row(c, ks[i]->name, what[i].op, dt, what[i].to, sizes[j], rep & 1);
    kl_code_free(c);
    kl_arena_free(a);
}
END_TEST

/* An output larger than the caches is written past them where it is aligned. */
START_TEST(large)
{
    const kl_target *t = kl_target_find(levels[_i / 2]);
    kl_dtype dt = _i % 2 ? KL_U8 : KL_F32;
    size_t size = (36 << 20) + 37 * kl_dtypes[dt].size;
    int64_t n = (int64_t)(size / kl_dtypes[dt].size);
    kl_arena *a = kl_arena_new();
    const kl_kernel *k = row_kernel(a, KL_OP_neg, dt, dt, "large");
    kl_code *c = compile(&k, 1, t);
    guarded want = guarded_new(size, true);
    for (int end = 0; c && end < 2; end++) {
        guarded x = guarded_new(size, end), y = guarded_new(size, end);
        void *bufs[] = {x.p, y.p};
        for (size_t i = 0; i + 8 <= size; i += 8)
            memcpy(x.p + i, &(uint64_t){i * 0x9e3779b97f4a7c15}, 8);
        run(c, "large.0", bufs, &n, 1, NULL, NULL);
        kl_eval_n(KL_OP_neg, dt, n, want.p, x.p, NULL, NULL);
        ck_assert(memcmp(want.p, y.p, size) == 0);
        guarded_free(&x);
        guarded_free(&y);
    }
    guarded_free(&want);
    kl_code_free(c);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("llvm_emit");
    TCase *tc = tcase_create("rows");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, rows, 0, (int)KL_COUNT(levels) * KL_C64);
    tcase_add_loop_test(tc, large, 0, 2 * KL_MIN((int)KL_COUNT(levels), 3));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
