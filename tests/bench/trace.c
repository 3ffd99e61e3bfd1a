/* trace.c: a case compiled once and run on buffers of ours, as kl_compile does for a
 * user; here so that a case may also be compiled for another target than the host's.
 *
 *   parameters -> the case's function -> linear form -> graph -> passes -> codegen -> run
 */
#include "bench.h"
#include "codegen/codegen.h"

void bench_fill(float *p, int64_t n, uint32_t seed, float scale)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t h = ((uint32_t)i + seed * 0x9E3779B9u) * 2654435761u;
        h = (h ^ h >> 15) * 2246822519u;
        h ^= h >> 13;
        p[i] = ((float)(h >> 8) * 0x1p-23f - 1) * scale;
    }
}

/* Generate and load every kernel of u's program. */
static kl_status link_kernels(kl_unit *u)
{
    int n = 0;
    for (int i = 0; i < u->nkernels; i++) {
        const kl_kernel *k = u->kernels[i];
        kl_text object = {0};
        char base[200], name[220];
        if (k->call)
            continue;
        kl_kernel_code *code = &u->program->kernels[n++];
        KL_TRY(kl_codegen_cpu(&k, 1, u->target, KL_LLVM_OBJECT, &object));
        KL_TRY(kl_device_cpu.load(0, object.s, object.len, &code->module));
        kl_text_free(&object);
        kl_codegen_symbol(k->name, base, sizeof base);
        for (int j = 0; j < k->nphases && j < (int)KL_COUNT(code->entry); j++) {
            snprintf(name, sizeof name, "%s.%d", base, j);
            code->entry[j] = kl_device_cpu.symbol(code->module, name);
            if (!code->entry[j])
                return kl_fail(KL_ERR_INTERNAL, "no entry %s", name);
        }
    }
    return KL_OK;
}

static kl_dtype dtype_of(const bench_case *c)
{
    return c->dtype ? c->dtype : KL_F32;
}

/* The same numbers, narrowed where the case's inputs are half floats. */
static kl_status fill(const bench_case *c, void *p, int64_t n, uint32_t seed)
{
    float scale = (float)(c->scale > 0 ? c->scale : 1), *wide = p;
    size_t bytes = (size_t)n * sizeof *wide;
    if (dtype_of(c) == KL_F32) {
        bench_fill(p, n, seed, scale);
        return KL_OK;
    }
    if (!(wide = kl_alloc(bytes)))
        return kl_fail(KL_ERR_OOM, "input %u", seed);
    bench_fill(wide, n, seed, scale);
    kl_eval_cast_n(dtype_of(c), KL_F32, n, p, wide);
    kl_free(wide, bytes);
    return KL_OK;
}

/* A parameter without a value, number i of the case. */
static kl_tensor *parameter(const bench_case *c, int i)
{
    kl_call call = kl_call_begin(KL_HERE);
    return kl_call_end(&call, kl_lazy_input(NULL, dtype_of(c), c->in[i].n, c->in[i].v));
}

static kl_status graph_of(const bench_case *c, kl_linear *l, kl_tensor **in,
                          bench_program *p)
{
    kl_tensor *out[MOST_OUT];
    kl_lazy *roots[MOST_OUT];
    for (int i = 0; i < c->nin; i++)
        in[i] = parameter(c, i);
    p->nout = c->build(in, out);
    if (kl_failed())
        return kl_error_status();
    for (int i = 0; i < p->nout; i++)
        roots[i] = kl_storage_node(out[i]->storage);
    pthread_mutex_lock(&kl_graph_lock);
    kl_status st = kl_linearise(l, roots, p->nout, false);
    pthread_mutex_unlock(&kl_graph_lock);
    return st;
}

/* Buffers in the order in which the program names them. */
static kl_status buffers(const bench_case *c, const kl_linear *l, kl_tensor **in,
                         bench_program *p)
{
    p->nin = (int)l->inputs.n;
    for (int i = 0; i < p->nin; i++)
        for (int j = 0; j < c->nin; j++) {
            if (l->inputs.v[i] != in[j]->storage->node)
                continue;
            int64_t n = kl_numel(in[j]);
            p->in_bytes[i] = (size_t)n * (size_t)kl_dtypes[dtype_of(c)].size;
            p->in[i] = kl_alloc(p->in_bytes[i]);
            if (!p->in[i])
                return kl_fail(KL_ERR_OOM, "input %d", j);
            KL_TRY(fill(c, p->in[i], n, (uint32_t)j));
        }
    for (int i = 0; i < p->nout; i++) {
        kl_lazy *n = l->outputs.v[i];
        p->out_bytes[i] = (size_t)kl_lazy_numel(n) * kl_dtypes[n->dtype].size;
        p->out[i] = kl_alloc(p->out_bytes[i]);
        if (!p->out[i])
            return kl_fail(KL_ERR_OOM, "output %d", i);
    }
    return KL_OK;
}

kl_status bench_compile(const bench_case *c, const char *target, bench_program *p)
{
    kl_linear l = {0};
    kl_tensor *in[MOST_IN];
    kl_unit u = {.arena = kl_arena_new(),
                 .target = target ? kl_target_find(target) : kl_target_host()};
    *p = (bench_program){.fresh = c->fresh};
    kl_scope_begin();
    kl_status st = u.target ? graph_of(c, &l, in, p) : kl_error_status();
    if (st == KL_OK)
        st = kl_import(&l, u.arena, NULL, &u.graph);
    if (st == KL_OK)
        st = kl_pipeline_run(&u, NULL, NULL);
    if (st == KL_OK)
        st = link_kernels(&u);
    if (st == KL_OK)
        st = buffers(c, &l, in, p);
    p->program = u.program;
    kl_linear_free(&l);
    kl_scope_end();
    kl_arena_free(u.arena);
    return st;
}

kl_status bench_run(bench_program *p)
{
    for (int i = 0; i < p->nout && p->fresh; i++) {
        kl_free(p->out[i], p->out_bytes[i]);
        p->out[i] = kl_alloc(p->out_bytes[i]);
        if (!p->out[i])
            return kl_fail(KL_ERR_OOM, "output %d", i);
    }
    return kl_program_run(p->program, p->in, p->out, NULL);
}

void bench_free(bench_program *p)
{
    for (int i = 0; i < p->nin; i++)
        kl_free(p->in[i], p->in_bytes[i]);
    for (int i = 0; i < p->nout; i++)
        kl_free(p->out[i], p->out_bytes[i]);
    kl_program_unref(p->program);
}
