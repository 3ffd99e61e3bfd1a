/* test_llvm.c: libLLVM opened by name, every machine of the table, objects that are
 * closed, and whatever LLVM objects to coming back as an error. */
#include "codegen/codegen.h"

#include <check.h>
#include <pthread.h>

/* ---- building small modules ---- */

enum { LANES = 8 };
typedef struct mod {
    kl_llvm_unit u;
    LLVMTypeRef f32, vec, i32, i64, ptr;
    LLVMValueRef fn;
} mod;

static void open_mod(mod *m, const kl_target *t, kl_llvm_class cls)
{
    kl_error_clear();
    ck_assert_msg(kl_llvm_begin(&m->u, "test", t, cls, true) == KL_OK, "%s", kl_error());
    LLVMContextRef c = m->u.ctx;
    m->f32 = LL.FloatTypeInContext(c);
    m->vec = LL.VectorType(m->f32, LANES);
    m->i32 = LL.IntTypeInContext(c, 32);
    m->i64 = LL.IntTypeInContext(c, 64);
    m->ptr = LL.PointerTypeInContext(c, 0);
    LLVMTypeRef params[] = {m->ptr, m->i64, m->i64, m->i64};
    LLVMTypeRef type = LL.FunctionType(LL.VoidTypeInContext(c), params, 4, 0);
    m->fn = LL.AddFunction(m->u.mod, "phase", type);
    LL.PositionBuilderAtEnd(m->u.b, LL.AppendBasicBlockInContext(c, m->fn, "entry"));
}

static kl_status close_mod(mod *m, const kl_target *t, kl_llvm_output what, kl_text *out)
{
    kl_status s = kl_llvm_emit(m->u.mod, t, m->u.cls, what, out);
    kl_llvm_end(&m->u);
    return s;
}

static LLVMValueRef intrinsic(mod *m, const char *name, LLVMTypeRef *over, size_t n,
                              LLVMValueRef *args, unsigned count)
{
    unsigned id = LL.LookupIntrinsicID(name, strlen(name));
    ck_assert_uint_ne(id, 0);
    LLVMValueRef fn = LL.GetIntrinsicDeclaration(m->u.mod, id, over, n);
    return LL.BuildCall2(m->u.b, LL.IntrinsicGetType(m->u.ctx, id, over, n), fn, args,
                         count, "");
}

/* args->bufs[i] */
static LLVMValueRef operand(mod *m, int i)
{
    LLVMValueRef at = LL.ConstInt(m->i64, (unsigned)i, 0);
    LLVMValueRef bufs = LL.BuildLoad2(m->u.b, m->ptr, LL.GetParam(m->fn, 0), "bufs");
    return LL.BuildLoad2(m->u.b, m->ptr, LL.BuildGEP2(m->u.b, m->ptr, bufs, &at, 1, ""),
                         "buf");
}

static LLVMValueRef constants(mod *m, double first, double step)
{
    LLVMValueRef c[LANES];
    for (int i = 0; i < LANES; i++)
        c[i] = LL.ConstReal(m->f32, first + step * i);
    return LL.ConstVector(c, LANES);
}

/* Lane l is on when l < end. */
static LLVMValueRef mask_below(mod *m, LLVMValueRef end)
{
    LLVMValueRef lanes[LANES], zeros[LANES];
    LLVMTypeRef vi = LL.VectorType(m->i64, LANES);
    for (int i = 0; i < LANES; i++) {
        lanes[i] = LL.ConstInt(m->i64, (unsigned)i, 0);
        zeros[i] = LL.ConstInt(m->i32, 0, 0);
    }
    LLVMValueRef v = LL.BuildInsertElement(m->u.b, LL.GetPoison(vi), end, zeros[0], "");
    v = LL.BuildShuffleVector(m->u.b, v, LL.GetPoison(vi), LL.ConstVector(zeros, LANES),
                              "");
    return LL.BuildICmp(m->u.b, LLVMIntSLT, LL.ConstVector(lanes, LANES), v, "mask");
}

/* bufs[1][l] = bufs[0][l] * {2, 2.5, ...} + 3 for l < end */
static void build_row(mod *m, bool fma)
{
    LLVMValueRef in = operand(m, 0), out = operand(m, 1);
    LLVMValueRef mask = mask_below(m, LL.GetParam(m->fn, 2));
    LLVMTypeRef over[] = {m->vec, m->ptr};
    LLVMValueRef align = LL.ConstInt(m->i32, 4, 0);
    LLVMValueRef load[] = {in, align, mask, LL.ConstNull(m->vec)};
    LLVMValueRef x = intrinsic(m, "llvm.masked.load", over, 2, load, 4);
    LLVMValueRef a = constants(m, 2, .5), c = constants(m, 3, 0), y;
    LLVMValueRef three[] = {x, a, c};
    if (fma)
        y = intrinsic(m, "llvm.fma", &m->vec, 1, three, 3);
    else
        y = LL.BuildFAdd(m->u.b, LL.BuildFMul(m->u.b, x, a, ""), c, "y");
    LLVMValueRef store[] = {y, out, align, mask};
    intrinsic(m, "llvm.masked.store", over, 2, store, 4);
    LL.BuildRetVoid(m->u.b);
}

/* ---- the library ---- */

START_TEST(absent_and_old_libraries_are_told)
{
    const char *const absent[] = {"libkiln-no-such.so", NULL};
    const char *const old[] = {"libc.so.6", NULL}; /* opens, and has no LLVMGetVersion */
    kl_llvm_api api;
    int version;
    kl_error_clear();
    ck_assert_int_eq(kl_llvm_open_from(absent, &api, &version), KL_ERR_COMPILE);
    ck_assert_ptr_nonnull(strstr(kl_error(), "no LLVM: none of libkiln-no-such.so"));
    kl_error_clear();
    ck_assert_int_eq(kl_llvm_open_from(old, &api, &version), KL_ERR_COMPILE);
    ck_assert_ptr_nonnull(strstr(kl_error(), "too old"));
    kl_error_clear();
}
END_TEST

START_TEST(opens_once)
{
    ck_assert_msg(kl_llvm_open() == KL_OK, "%s", kl_error());
    ck_assert_int_ge(kl_llvm_version(), 17);
    ck_assert_int_eq(kl_llvm_open(), KL_OK);
}
END_TEST

/* ---- objects ---- */

/* Every CPU row in every class gives a closed object. */
START_TEST(every_target_emits)
{
    const kl_target *t = kl_target_at(_i / KL_LLVM_CLASS_COUNT);
    if (t->kind != KL_TARGET_CPU)
        return;
    mod m;
    kl_text o = {0};
    open_mod(&m, t, (kl_llvm_class)(_i % KL_LLVM_CLASS_COUNT));
    build_row(&m, t->fma);
    ck_assert_msg(close_mod(&m, t, KL_LLVM_OBJECT, &o) == KL_OK, "%s: %s", t->name,
                  kl_error());
    kl_elf e;
    ck_assert_int_eq(kl_elf_open(o.s, o.len, &e), KL_OK);
    ck_assert_int_ge(kl_elf_find(&e, "phase"), 0);
    kl_elf_close(&e);
    kl_text_free(&o);
}
END_TEST

START_TEST(runs_here)
{
    const kl_target *t = kl_target_host();
    mod m;
    kl_text o = {0};
    open_mod(&m, t, (kl_llvm_class)_i);
    build_row(&m, t->fma);
    ck_assert_msg(close_mod(&m, t, KL_LLVM_OBJECT, &o) == KL_OK, "%s", kl_error());
    kl_code *code;
    ck_assert_msg(kl_code_load(o.s, o.len, &code) == KL_OK, "%s", kl_error());
    kl_text_free(&o);
    float x[LANES] = {1, 2, 3, 4, 5, 6, 7, 8}, y[LANES] = {0};
    void *bufs[] = {x, y}, *entry = kl_code_symbol(code, "phase");
    kl_args args = {.bufs = bufs};
    kl_phase_fn fn;
    ck_assert_ptr_nonnull(entry);
    memcpy(&fn, &entry, sizeof fn);
    fn(&args, 0, 5, 0); /* five of eight lanes */
    for (int i = 0; i < LANES; i++)
        ck_assert(y[i] == (i < 5 ? x[i] * (2 + .5f * (float)i) + 3 : 0));
    kl_code_free(code);
}
END_TEST

START_TEST(text_forms)
{
    const kl_target *t = kl_target_find("zen4");
    mod m;
    kl_text ir = {0}, as = {0};
    open_mod(&m, t, KL_LLVM_NORMAL);
    build_row(&m, true);
    ck_assert_int_eq(close_mod(&m, t, KL_LLVM_IR, &ir), KL_OK);
    ck_assert_ptr_nonnull(strstr(ir.s, "define void @phase("));
    ck_assert_ptr_nonnull(strstr(ir.s, "nounwind"));
    ck_assert_ptr_nonnull(strstr(ir.s, "\"no-builtins\""));
    ck_assert_ptr_nonnull(strstr(ir.s, "%bufs"));
    open_mod(&m, t, KL_LLVM_NORMAL);
    build_row(&m, true);
    ck_assert_int_eq(close_mod(&m, t, KL_LLVM_ASM, &as), KL_OK);
    ck_assert_ptr_nonnull(strstr(as.s, "phase:"));
    ck_assert_ptr_nonnull(strstr(as.s, "vfmadd"));
    ck_assert_ptr_null(strstr(as.s, ".cfi_")); /* nounwind: no unwind tables */
    kl_text_free(&ir);
    kl_text_free(&as);
}
END_TEST

/* The addresses that aarch64's adrp and its partner make are those of the constants. */
START_TEST(aarch64_relocations)
{
    const kl_target *t = kl_target_find("aarch64-neon");
    mod m;
    kl_text o = {0};
    open_mod(&m, t, KL_LLVM_NORMAL);
    LLVMValueRef out = operand(&m, 1);
    LL.SetAlignment(LL.BuildStore(m.u.b, constants(&m, 1.25, 1), out), 4);
    LL.BuildRetVoid(m.u.b);
    ck_assert_msg(close_mod(&m, t, KL_LLVM_OBJECT, &o) == KL_OK, "%s", kl_error());
    kl_elf e;
    ck_assert_int_eq(kl_elf_open(o.s, o.len, &e), KL_OK);
    static _Alignas(16) uint8_t image[4096];
    const uint64_t base = 0x7f0012345000;
    ck_assert_uint_le(e.image, sizeof image);
    ck_assert_msg(kl_elf_link(&e, image, base) == KL_OK, "%s", kl_error());
    uint64_t page[32] = {0};
    int loads = 0;
    for (int64_t at = kl_elf_find(&e, "phase"); at + 4 <= (int64_t)e.image; at += 4) {
        uint32_t w;
        memcpy(&w, image + at, 4);
        if ((w & 0x9f000000) == 0x90000000) { /* adrp */
            int64_t imm = (int64_t)((w >> 5 & 0x7ffff) << 2 | (w >> 29 & 3)) << 43 >> 31;
            page[w & 31] = ((base + (uint64_t)at) & ~(uint64_t)4095) + (uint64_t)imm;
        } else if ((w & 0xffc00000) == 0x3dc00000 && page[w >> 5 & 31]) { /* ldr q */
            uint64_t from = page[w >> 5 & 31] + (w >> 10 & 0xfff) * 16;
            float v;
            ck_assert_uint_lt(from - base, e.image);
            memcpy(&v, image + (from - base), 4);
            ck_assert(v == 1.25f || v == 5.25f);
            loads++;
        } else if (w == 0xd65f03c0) { /* ret */
            break;
        }
    }
    ck_assert_int_eq(loads, 2);
    kl_code *c;
#if defined(__x86_64__)
    kl_error_clear();
    ck_assert_int_eq(kl_code_load(o.s, o.len, &c), KL_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(kl_error(), "another machine"));
    kl_error_clear();
#else
    ck_assert_int_eq(kl_code_load(o.s, o.len, &c), KL_OK);
    kl_code_free(c);
#endif
    kl_elf_close(&e);
    kl_text_free(&o);
}
END_TEST

/* ---- what is refused ---- */

static void call_outside(mod *m)
{
    LLVMTypeRef type = LL.FunctionType(LL.VoidTypeInContext(m->u.ctx), NULL, 0, 0);
    LL.BuildCall2(m->u.b, type, LL.AddFunction(m->u.mod, "outside", type), NULL, 0, "");
    LL.BuildRetVoid(m->u.b);
}

static void remainder_of_floats(mod *m)
{
    LLVMValueRef p = operand(m, 0), x = LL.BuildLoad2(m->u.b, m->f32, p, "");
    LL.BuildStore(m->u.b, LL.BuildBinOp(m->u.b, LLVMFRem, x, x, ""), p);
    LL.BuildRetVoid(m->u.b);
}

static void big_memset(mod *m)
{
    LLVMValueRef zero = LL.ConstInt(LL.IntTypeInContext(m->u.ctx, 8), 0, 0);
    LL.BuildMemSet(m->u.b, operand(m, 0), zero, LL.GetParam(m->fn, 2), 1);
    LL.BuildRetVoid(m->u.b);
}

static void fma_on_v2(mod *m)
{
    build_row(m, true);
}

static void big_frame(mod *m)
{
    LLVMValueRef a = LL.BuildAlloca(m->u.b, LL.ArrayType2(m->f32, 8192), "");
    LLVMValueRef i = LL.GetParam(m->fn, 1);
    LLVMValueRef p = LL.BuildGEP2(m->u.b, m->f32, a, &i, 1, "");
    LL.SetVolatile(LL.BuildStore(m->u.b, LL.ConstReal(m->f32, 1), p), 1);
    LL.BuildRetVoid(m->u.b);
}

static void writable_global(mod *m)
{
    LLVMValueRef g = LL.AddGlobal(m->u.mod, m->f32, "counter");
    LL.SetInitializer(g, LL.ConstReal(m->f32, 1));
    LL.BuildStore(m->u.b, LL.ConstReal(m->f32, 2), g);
    LL.BuildRetVoid(m->u.b);
}

static void no_terminator(mod *m)
{
    operand(m, 0);
}

/* Cannot be selected on x86: LLVM's fatal error handler. */
static void foreign_intrinsic(mod *m)
{
    LLVMTypeRef v4 = LL.VectorType(m->f32, 4);
    LLVMValueRef a[] = {LL.ConstNull(v4), LL.BuildLoad2(m->u.b, v4, operand(m, 0), "")};
    LLVMValueRef x = intrinsic(m, "llvm.aarch64.neon.fmulx", &v4, 1, a, 2);
    LL.BuildStore(m->u.b, x, operand(m, 1));
    LL.BuildRetVoid(m->u.b);
}

static const struct refusal {
    void (*build)(mod *m);
    const char *target, *says;
} refusals[] = {
    {call_outside, "x86-64-v3", "undefined symbol 'outside'"},
    {call_outside, "aarch64-neon", "undefined symbol 'outside'"},
    {remainder_of_floats, "x86-64-v4", "'fmodf'"},
    {big_memset, "zen4", "'memset'"},
    {fma_on_v2, "x86-64-v2", "'fmaf'"},
    {big_frame, "x86-64-v3", "stack frame size"},
    {writable_global, "x86-64-v3", "writable section"},
    {no_terminator, "x86-64-v3", "terminator"},
    {foreign_intrinsic, "x86-64-v3", "Cannot select"},
};

/* A leak checker need not mind what a fatal error abandons. */
extern void __lsan_disable(void) __attribute__((weak));
extern void __lsan_enable(void) __attribute__((weak));

START_TEST(refused_with_a_reason)
{
    const struct refusal *r = &refusals[_i];
    const kl_target *t = kl_target_find(r->target);
    bool abandons = r->build == foreign_intrinsic && __lsan_disable;
    mod m;
    kl_text o = {0};
    if (abandons)
        __lsan_disable();
    open_mod(&m, t, KL_LLVM_NORMAL);
    r->build(&m);
    kl_error_clear();
    ck_assert_int_eq(close_mod(&m, t, KL_LLVM_OBJECT, &o), KL_ERR_COMPILE);
    if (abandons)
        __lsan_enable();
    ck_assert_msg(strstr(kl_error(), r->says) != NULL, "%s", kl_error());
    ck_assert_uint_eq(o.len, 0);
    kl_error_clear();
    open_mod(&m, t, KL_LLVM_NORMAL); /* and the next compile works */
    build_row(&m, t->fma);
    ck_assert_msg(close_mod(&m, t, KL_LLVM_OBJECT, &o) == KL_OK, "%s", kl_error());
    kl_text_free(&o);
}
END_TEST

START_TEST(only_rows_of_the_table)
{
    kl_target fake = *kl_target_find("x86-64-v3");
    kl_llvm_unit u;
    fake.cpu = "made-up";
    kl_error_clear();
    ck_assert_int_eq(kl_llvm_begin(&u, "m", &fake, KL_LLVM_QUICK, false), KL_ERR_ARG);
    ck_assert_int_eq(
        kl_llvm_begin(&u, "m", kl_target_find("sm_80"), KL_LLVM_QUICK, false),
        KL_ERR_ARG);
    kl_llvm_end(&u);
    kl_error_clear();
}
END_TEST

START_TEST(classes_are_chosen_by_size)
{
    const kl_target *v3 = kl_target_find("x86-64-v3"), *v4 = kl_target_find("x86-64-v4");
    ck_assert_int_eq(kl_llvm_choose(v4, 100, false), KL_LLVM_NORMAL);
    ck_assert_int_eq(kl_llvm_choose(v4, 400, false), KL_LLVM_QUICK);
    ck_assert_int_eq(kl_llvm_choose(v4, 400, true), KL_LLVM_NORMAL);
    ck_assert_int_eq(kl_llvm_choose(v3, 400, false), KL_LLVM_NORMAL);
    ck_assert_int_eq(kl_llvm_choose(v3, 1000, false), KL_LLVM_QUICK);
}
END_TEST

/* ---- many threads ---- */

static void *compile_many(void *arg)
{
    const char *const names[] = {"x86-64-v2", "x86-64-v4", "aarch64-neon", "zen2",
                                 "haswell"};
    for (int i = 0; i < 10; i++) {
        const kl_target *t = kl_target_find(names[i % 5]);
        mod m;
        kl_text o = {0};
        open_mod(&m, t, (kl_llvm_class)(i % KL_LLVM_CLASS_COUNT));
        build_row(&m, t->fma);
        if (close_mod(&m, t, KL_LLVM_OBJECT, &o) == KL_OK && o.len)
            ++*(int *)arg;
        kl_text_free(&o);
    }
    return NULL;
}

START_TEST(threads_compile_side_by_side)
{
    enum { THREADS = 8 };
    pthread_t t[THREADS];
    int done[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, compile_many, &done[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(done[i], 10);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("llvm");
    TCase *tc = tcase_create("llvm");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, absent_and_old_libraries_are_told);
    tcase_add_test(tc, opens_once);
    tcase_add_loop_test(tc, every_target_emits, 0,
                        kl_target_count() * KL_LLVM_CLASS_COUNT);
    tcase_add_loop_test(tc, runs_here, 0, KL_LLVM_CLASS_COUNT);
    tcase_add_test(tc, text_forms);
    tcase_add_test(tc, aarch64_relocations);
    tcase_add_loop_test(tc, refused_with_a_reason, 0, (int)KL_COUNT(refusals));
    tcase_add_test(tc, only_rows_of_the_table);
    tcase_add_test(tc, classes_are_chosen_by_size);
    tcase_add_test(tc, threads_compile_side_by_side);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
