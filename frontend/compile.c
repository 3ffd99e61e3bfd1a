/* compile.c: the one place where graph, passes, code generation and runtime meet:
 *
 *   graph -> passes -> kernels and a plan -> link.c: their code, loaded -> runtime: runs
 *
 * Plans are kept in the store as kernels' objects are: a plan found there is linked with
 * objects found there, and neither a pass runs nor LLVM opens. */
#include "front.h"
#include "codegen/codegen.h"
#include "trial.h"

/* ---- what a device runs ---- */

/* The newest target that is not newer than the device. Features of one architecture alone
 * (a suffix) are for that one. */
static const kl_target *cuda_target(int index)
{
    int major, minor;
    const kl_target *best = NULL;
    if (kl_cuda_compute(index, &major, &minor) != KL_OK)
        return NULL;
    for (int i = 0; i < kl_target_count(); i++) {
        const kl_target *t = kl_target_at(i);
        bool runs = t->kind == KL_TARGET_CUDA && t->arch <= 10 * major + minor &&
                    (!t->arch_suffix || t->arch == 10 * major + minor);
        if (runs && (!best || t->arch > best->arch))
            best = t;
    }
    if (!best)
        kl_fail(KL_ERR_UNSUPPORTED, "cuda:%d: compute capability %d.%d is too old", index,
                major, minor);
    return best;
}

static const kl_target *target_of(int device)
{
    const kl_device_ops *ops;
    int index;
    if (device == 0)
        return kl_target_host();
    return kl_device_get(device, &ops, &index) == KL_OK ? cuda_target(index) : NULL;
}

/* ---- plans in the store ---- */

static kl_status plan_key(const void *key, size_t nkey, const kl_target *t, kl_hash *out)
{
    kl_text text = {0};
    kl_link_setting(&text, t);
    kl_text_putn(&text, key, nkey);
    if (!text.failed)
        *out = kl_hash_bytes(text.s, text.len);
    kl_text_free(&text);
    return text.failed ? kl_fail(KL_ERR_OOM, "out of memory for a plan's key") : KL_OK;
}

/* Its kernels are named by their keys; native functions are not. */
static bool storable(const kl_program *p)
{
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->kind == KL_STEP_CALL || (s->body && !storable(s->body)) ||
            (s->other && !storable(s->other)))
            return false;
    }
    return true;
}

static int phases_of(const kl_program *p, int kernel)
{
    int n = 0;
    for (int i = 0; i < p->nsteps; i++)
        if (p->steps[i].kind == KL_STEP_LAUNCH && p->steps[i].kernel == kernel)
            n = KL_MAX(n, p->steps[i].nphases);
    return n;
}

/* A plan's kernels from the caches, its bodies' too; *whole: all were there. */
static kl_status link_found(kl_program *p, int device, bool *whole)
{
    kl_status st = KL_OK;
    p->device = device;
    for (int i = 0; *whole && st == KL_OK && i < p->nkernels; i++) {
        st = kl_link_found(&p->kernels[i], phases_of(p, i), device);
        *whole = p->kernels[i].module != NULL;
    }
    for (int i = 0; *whole && st == KL_OK && i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->body)
            st = link_found(s->body, device, whole);
        if (s->other && *whole && st == KL_OK)
            st = link_found(s->other, device, whole);
    }
    return st;
}

static bool tunes(int device)
{
    return kl_env_get()->tune_ms > 0 && device == 0;
}

kl_status kl_compile_find(const void *key, size_t nkey, int device, kl_program **out)
{
    const kl_target *t = target_of(device);
    kl_hash h;
    void *bytes;
    size_t size;
    *out = NULL;
    if (!t)
        return kl_error_status();
    if (tunes(device)) /* the plan that is kept may be from before */
        return KL_OK;
    KL_TRY(plan_key(key, nkey, t, &h));
    KL_TRY(kl_store_get(h, "plan", &bytes, &size));
    if (!bytes)
        return KL_OK;
    kl_program *p = NULL;
    kl_status st = kl_program_unpack(bytes, size, &p);
    bool whole = st == KL_OK;
    kl_free(bytes, size);
    if (whole)
        st = link_found(p, device, &whole);
    if (whole && st == KL_OK) {
        *out = p;
        return KL_OK;
    }
    kl_program_unref(p);
    return st;
}

void kl_compile_keep(const void *key, size_t nkey, const kl_program *p)
{
    const kl_target *t = target_of(p->device);
    kl_text text = {0};
    kl_hash h;
    if (t && storable(p) && plan_key(key, nkey, t, &h) == KL_OK &&
        kl_program_pack(p, &text) == KL_OK)
        kl_store_put(h, "plan", text.s, text.len);
    kl_text_free(&text);
}

static kl_status compile_unit(kl_graph *g, int device, bool fresh, bool fuse_off,
                              kl_program **out)
{
    kl_unit u = {.arena = g->arena,
                 .target = target_of(device),
                 .graph = g,
                 .fuse_off = fuse_off,
                 .share = KL_SHARE};
    if (!u.target)
        return kl_error_status();
    kl_status st = kl_pipeline_run(&u, NULL, "schedule");
    if (st == KL_OK)
        st = kl_tune_apply(&u);
    if (st == KL_OK)
        st = kl_pipeline_run(&u, "lower", NULL);
    if (st == KL_OK)
        st = kl_link_unit(&u, device, fresh);
    if (st != KL_OK)
        kl_program_unref(u.program);
    else
        *out = u.program;
    return st;
}

/* A kernel that the code generator refuses (its stack frame would be too large) is one of
 * many values: each gets a kernel of its own then. */
static kl_status compile(kl_graph *g, int device, bool fresh, kl_program **out)
{
    kl_status st = compile_unit(g, device, fresh, false, out);
    if (st != KL_ERR_COMPILE)
        return st;
    kl_error_clear();
    return compile_unit(g, device, fresh, true, out);
}

kl_status kl_compile_text(const char *text, kl_program **out)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL;
    *out = NULL;
    kl_status st = a ? kl_graph_parse(a, "program", text, &g)
                     : kl_fail(KL_ERR_OOM, "out of memory for a program");
    if (st == KL_OK)
        st = compile(g, 0, false, out);
    kl_arena_free(a);
    return st;
}

kl_status kl_compile_graph(kl_graph *g, int device, kl_program **out)
{
    kl_text text = {0};
    if (tunes(device))
        kl_graph_print(g, &text); /* the passes change g */
    int64_t begin = kl_now_ns();
    kl_status st = compile(g, device, false, out);
    if (st == KL_OK && text.s && !text.failed)
        kl_tune(text.s, kl_now_ns() - begin, out);
    kl_text_free(&text);
    return st;
}

/* ---- does compiling work here at all? ---- */

/* A row of several operations: lanes, a reduction, a transcendental, a tail. */
static const char probe[] = "graph selftest(%x: f32[3,37]) {\n"
                            "  %1: f32[3,37] = exp %x\n"
                            "  %2: f32[3] = reduce.add %1 axes (1)\n"
                            "  out %2\n"
                            "}\n";

static kl_status compare(kl_graph *g, const kl_program *p)
{
    float x[3 * 37], y[3];
    for (int i = 0; i < 3 * 37; i++)
        x[i] = (float)(i % 7) / 4 - 1;
    kl_memory *mx = kl_memory_wrap(x, sizeof x, true, NULL, NULL);
    kl_buffer in = {.mem = mx, .dtype = KL_F32, .rank = 2, .shape = {3, 37}}, want;
    if (!mx)
        return kl_error_status();
    kl_buffer_dense_strides(&in);
    kl_status st = kl_program_run(p, (void *[]){x}, (void *[]){y}, NULL);
    if (st == KL_OK)
        st = kl_graph_interp(g, &in, NULL, &want);
    kl_memory_unref(mx);
    KL_TRY(st);
    bool same = memcmp(want.mem->base, y, sizeof y) == 0;
    kl_memory_unref(want.mem);
    return same ? KL_OK
                : kl_fail(KL_ERR_INTERNAL,
                          "selftest: a compiled kernel computes something else than the "
                          "interpreter");
}

kl_status kl_selftest(void)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL, *kept = NULL;
    kl_program *p = NULL;
    kl_status st = a ? KL_OK : kl_fail(KL_ERR_OOM, "selftest: out of memory");
    if (st == KL_OK)
        st = kl_graph_parse(a, "selftest", probe, &g);
    if (st == KL_OK)
        st = kl_graph_parse(a, "selftest", probe, &kept);
    if (st == KL_OK)
        st = compile(g, 0, true, &p);
    if (st == KL_OK)
        st = compare(kept, p);
    kl_program_unref(p);
    kl_arena_free(a);
    return st;
}
