/* compile.c: the one place where graph, passes, code generation and runtime meet:
 *
 *   graph -> passes -> kernels and a plan -> codegen: object bytes -> runtime: loaded,
 * runs
 *
 * A kernel is known by the hash of its loops' text (kl_loops_key), its target and this
 * build of kiln: two programs that need the same one share its module, and two threads
 * that need it compile it once. Kernels of one program compile side by side. Objects and
 * plans are kept in the store: a plan found there is linked with objects found there, and
 * neither a pass runs nor LLVM opens. */
#include "front.h"
#include "codegen/codegen.h"
#include "trial.h"

/* What else an object or a plan depends on. */
static void put_setting(kl_text *text, const kl_target *t)
{
    kl_hash h = kl_build_id();
    kl_text_printf(text, "# %s %s %d%d %016llx%016llx\n", t->name,
                   t->features ? t->features : "", kl_env_get()->bounds,
                   kl_env_get()->batch_invariant, (unsigned long long)h.hi,
                   (unsigned long long)h.lo);
}

static kl_status key_of(const kl_kernel *k, const kl_target *t, kl_hash *key)
{
    kl_text text = {0};
    put_setting(&text, t);
    kl_loops_key(k, &text);
    if (!text.failed)
        *key = kl_hash_bytes(text.s, text.len);
    kl_text_free(&text);
    return text.failed ? kl_fail(KL_ERR_OOM, "out of memory for a kernel's text") : KL_OK;
}

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

/* Machine code runs on devices of its own generation; on newer ones the driver compiles
 * PTX. */
static kl_cuda_output cuda_form(const kl_target *t, int index)
{
    int major = 0, minor;
    if (kl_cuda_compute(index, &major, &minor) != KL_OK)
        return KL_CUDA_PTX;
    return t->arch / 10 == major ? KL_CUDA_CUBIN : KL_CUDA_PTX;
}

static const kl_target *target_of(int device)
{
    const kl_device_ops *ops;
    int index;
    if (device == 0)
        return kl_target_host();
    return kl_device_get(device, &ops, &index) == KL_OK ? cuda_target(index) : NULL;
}

static kl_status generate(const kl_kernel *k, const kl_target *t, int index,
                          kl_text *object)
{
    if (kl_env_get()->no_compile)
        return kl_fail(KL_ERR_COMPILE,
                       "KILN_NO_COMPILE is set and kernel %s is in no cache", k->name);
    KL_TICK(kernels_compiled);
    return t->kind == KL_TARGET_CUDA
               ? kl_codegen_cuda(&k, 1, t, cuda_form(t, index), object)
               : kl_codegen_cpu(&k, 1, t, KL_LLVM_OBJECT, object);
}

/* Load one kernel: from the store, else generated (k NULL: not then, *out stays NULL). */
static kl_status build(kl_hash key, const kl_kernel *k, const kl_target *t, int device,
                       kl_module **out)
{
    const kl_device_ops *ops;
    int index;
    kl_text object = {0};
    void *bytes = NULL;
    size_t size = 0;
    KL_TRY(kl_device_get(device, &ops, &index));
    KL_TRY(kl_store_get(key, "kernel", &bytes, &size));
    if (bytes) {
        kl_status st = ops->load(index, bytes, size, out);
        kl_free(bytes, size);
        KL_TICK(kernels_from_disk);
        return st;
    }
    if (!k)
        return KL_OK;
    kl_status st = generate(k, t, index, &object);
    if (st == KL_OK)
        st = ops->load(index, object.s, object.len, out);
    if (st == KL_OK)
        kl_store_put(key, "kernel", object.s, object.len);
    kl_text_free(&object);
    return st;
}

static kl_status find_entries(kl_kernel_code *code, int nphases, int device)
{
    const kl_device_ops *ops;
    int index;
    char base[200], name[220];
    KL_TRY(kl_device_get(device, &ops, &index));
    kl_codegen_symbol(code->name, base, sizeof base);
    for (int i = 0; i < nphases && i < (int)KL_COUNT(code->entry); i++) {
        snprintf(name, sizeof name, "%s.%d", base, i);
        code->entry[i] = ops->symbol(code->module, name);
        if (!code->entry[i])
            return kl_fail(KL_ERR_INTERNAL, "kernel %s has no entry %s", code->name,
                           name);
    }
    return KL_OK;
}

/* Past every cache. */
static kl_status make_kernel(kl_kernel_code *code, const kl_kernel *k, const kl_target *t,
                             int device)
{
    const kl_device_ops *ops;
    int index;
    kl_text object = {0};
    KL_TRY(kl_device_get(device, &ops, &index));
    kl_status st = generate(k, t, index, &object);
    if (st == KL_OK)
        st = ops->load(index, object.s, object.len, &code->module);
    kl_text_free(&object);
    return st == KL_OK ? find_entries(code, k->nphases, device) : st;
}

/* k NULL: only if it is in a cache; else code->module stays NULL. */
static kl_status link_kernel(kl_kernel_code *code, const kl_kernel *k, int nphases,
                             const kl_target *t, int device)
{
    bool mine;
    KL_TRY(kl_modules_begin(code->key, device, &code->module, &mine));
    if (mine) {
        kl_status st = build(code->key, k, t, device, &code->module);
        kl_modules_end(code->key, device, st == KL_OK ? code->module : NULL);
        KL_TRY(st);
    }
    return code->module ? find_entries(code, nphases, device) : KL_OK;
}

/* ---- all kernels of a program; errors come back to the caller ---- */

typedef struct keyed {
    kl_hash key;
    int i;
} keyed;
typedef struct job {
    kl_program *p;
    kl_kernel **kernels; /* those that are code, in the program's order */
    int n;
    const kl_target *t;
    int device;
    bool fresh;      /* every kernel is made, whatever the caches hold */
    keyed *each;     /* one of every kernel that differs from all others */
    int neach, next; /* the next that nobody has taken */
    pthread_mutex_t lock;
    kl_status status;
    char message[512];
} job;

static void failed(job *j, kl_status st, int64_t worker)
{
    pthread_mutex_lock(&j->lock);
    if (j->status == KL_OK) {
        j->status = kl_error_status() ? kl_error_status() : st; /* the first cause's */
        snprintf(j->message, sizeof j->message, "%s", kl_error());
    }
    pthread_mutex_unlock(&j->lock);
    if (worker) /* the caller is told; this thread has failed at nothing */
        kl_error_clear();
}

static void key_some(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        kl_status st = key_of(j->kernels[i], j->t, &j->p->kernels[i].key);
        if (st != KL_OK)
            failed(j, st, worker);
    }
}

static int by_key(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = memcmp(&x->key, &y->key, sizeof x->key);
    return order ? order : (x->i > y->i) - (x->i < y->i);
}

/* The first of each key. Two threads that came upon a layer's kernels and the next one's
 * would else wait for each other all along. */
static void find_each(job *j)
{
    for (int i = 0; i < j->n; i++)
        j->each[i] = (keyed){j->p->kernels[i].key, i};
    j->neach = j->n;
    if (j->n == 0 || j->fresh)
        return;
    qsort(j->each, (size_t)j->n, sizeof *j->each, by_key);
    j->neach = 0;
    for (int i = 0; i < j->n; i++)
        if (!j->neach || !kl_hash_same(j->each[i].key, j->each[j->neach - 1].key))
            j->each[j->neach++] = j->each[i];
}

static kl_status link_one(const job *j, int i)
{
    kl_kernel *k = j->kernels[i];
    kl_kernel_code *code = &j->p->kernels[i];
    int64_t begin = kl_profile_on() ? kl_now_ns() : 0;
    kl_status st = j->fresh ? make_kernel(code, k, j->t, j->device)
                            : link_kernel(code, k, k->nphases, j->t, j->device);
    if (kl_profile_on())
        kl_profile_event("compile", k->name, begin, kl_now_ns(), 0, 0);
    return st;
}

/* A worker takes one kernel after the other: some take a hundred times as long as
 * others. */
static void link_some(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    job *j = ctx;
    (void)begin, (void)end;
    for (int k; (k = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED)) < j->neach;) {
        kl_status st = link_one(j, j->each[k].i);
        if (st != KL_OK)
            failed(j, st, worker);
    }
}

static kl_status link_job(job *j)
{
    /* however few threads kernels run on: waiting for LLVM is no part of a model */
    int threads = j->device == 0 ? kl_cores() : 1;
    kl_parallel_on(threads, j->n, 1, key_some, j);
    if (j->status == KL_OK) {
        find_each(j);
        kl_parallel_on(threads, KL_MIN(threads, j->neach), 1, link_some, j);
    }
    if (j->status != KL_OK)
        return kl_fail(j->status, "%s", j->message);
    for (int i = 0; i < j->n; i++) {
        kl_kernel *k = j->kernels[i];
        if (!j->p->kernels[i].module)
            KL_TRY(link_kernel(&j->p->kernels[i], k, k->nphases, j->t, j->device));
    }
    return KL_OK;
}

static kl_status link_all(kl_unit *u, int device, bool fresh)
{
    job j = {.p = u->program,
             .t = u->target,
             .device = device,
             .fresh = fresh,
             .lock = PTHREAD_MUTEX_INITIALIZER};
    for (uint32_t i = 0; i < u->nbodies; i++)
        KL_TRY(link_all(u->bodies[i], device, fresh));
    u->program->device = device;
    j.kernels = kl_arena_alloc(u->arena, ((size_t)u->nkernels + 1) * sizeof *j.kernels);
    j.each = kl_arena_alloc(u->arena, ((size_t)u->nkernels + 1) * sizeof *j.each);
    if (!j.kernels || !j.each)
        return kl_fail(KL_ERR_OOM, "out of memory for %d kernels", u->nkernels);
    for (int i = 0; i < u->nkernels; i++)
        if (!u->kernels[i]->call)
            j.kernels[j.n++] = kl_code_of(u->kernels[i]);
        else if (device != 0 && !u->kernels[i]->control)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "%s: a native function works on host memory, not on a device",
                           u->kernels[i]->call);
    return link_job(&j);
}

/* ---- plans in the store ---- */

static kl_status plan_key(const void *key, size_t nkey, const kl_target *t, kl_hash *out)
{
    kl_text text = {0};
    put_setting(&text, t);
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
static kl_status link_found(kl_program *p, const kl_target *t, int device, bool *whole)
{
    kl_status st = KL_OK;
    p->device = device;
    for (int i = 0; *whole && st == KL_OK && i < p->nkernels; i++) {
        st = link_kernel(&p->kernels[i], NULL, phases_of(p, i), t, device);
        *whole = p->kernels[i].module != NULL;
    }
    for (int i = 0; *whole && st == KL_OK && i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->body)
            st = link_found(s->body, t, device, whole);
        if (s->other && *whole && st == KL_OK)
            st = link_found(s->other, t, device, whole);
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
        st = link_found(p, t, device, &whole);
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
        st = link_all(&u, device, fresh);
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
