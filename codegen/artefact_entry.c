/* artefact_entry.c: the function that a C program calls: it checks its arguments, takes
 * the scratch and has the steps run, by the best level that the processor has.
 *
 *   int net(int64_t B, const float *x, float *y)
 *     dims, then pointers and overlaps  ->  a code (codegen.h), and nothing is written
 *     net.run.x86-64-v3(B, x, y)        ->  0, INDEX or CALL */
#include "codegen/artefact.h"

/* ---- parameters ---- */

/* The entry takes the caller's scratch; a run also what the entry took for the call. */
static bool has_scratch(const kl_art *e, bool visible)
{
    return e->a->scratch_caller || (e->a->scratch_heap && !visible);
}

static void declare(kl_art *e, const char *name, bool visible)
{
    const kl_program *p = e->a->program;
    int n = 0;
    LLVMTypeRef *params = kl_arena_alloc(
        e->arena, (size_t)(p->nsyms + p->nin + p->nout + 1) * sizeof *params);
    if (!params)
        return;
    for (int i = 0; i < p->nsyms; i++)
        params[n++] = e->i64;
    for (int i = 0; i < p->nin; i++)
        if (e->a->weight[i] < 0)
            params[n++] = e->ptr;
    for (int i = 0; i < p->nout + has_scratch(e, visible); i++)
        params[n++] = e->ptr;
    kl_art_function(e, name, e->i32, params, n, visible);
    e->nparams = n;
}

static LLVMValueRef weight_at(kl_art *e, LLVMValueRef base, int i)
{
    return kl_art_field(e, base, (size_t)e->a->weight[i]);
}

static void take_params(kl_art *e, bool visible, kl_art_params *q)
{
    const kl_program *p = e->a->program;
    unsigned n = 0;
    LLVMValueRef base = e->weights;
    for (int i = 0; i < p->nsyms; i++)
        e->dims[e->a->syms[i]] = LL.GetParam(e->fn, n++);
    if (base && e->a->weights_file) {
        base = kl_art_load(e, e->ptr, e->weights);
        kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntEQ, base, LL.ConstNull(e->ptr), ""),
                       KL_ARTEFACT_WEIGHTS);
    }
    for (int i = 0; i < p->nin; i++)
        q->in[i] = e->a->weight[i] >= 0 ? weight_at(e, base, i) : LL.GetParam(e->fn, n++);
    for (int i = 0; i < p->nout; i++)
        q->out[i] = LL.GetParam(e->fn, n++);
    q->scratch = has_scratch(e, visible) ? LL.GetParam(e->fn, n) : e->scratch;
}

kl_status kl_art_entry(kl_art *e, const char *name, bool visible, kl_art_params *q)
{
    const kl_program *p = e->a->program;
    q->in = kl_arena_alloc(e->arena, ((size_t)p->nin + 1) * sizeof *q->in);
    q->out = kl_arena_alloc(e->arena, ((size_t)p->nout + 1) * sizeof *q->out);
    declare(e, name, visible);
    if (kl_arena_failed(e->arena))
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    take_params(e, visible, q);
    return KL_OK;
}

/* ---- checks ---- */

static void check_dims(kl_art *e)
{
    const kl_program *p = e->a->program;
    for (int i = 0; i < p->nsyms; i++) {
        LLVMValueRef d = e->dims[i], by = kl_art_i64(e, p->sym_div[i]);
        LLVMValueRef low =
            LL.BuildICmp(e->b, LLVMIntSLT, d, kl_art_i64(e, p->sym_min[i]), "");
        LLVMValueRef high =
            LL.BuildICmp(e->b, LLVMIntSGT, d, kl_art_i64(e, p->sym_max[i]), "");
        kl_art_fail_if(e, LL.BuildOr(e->b, low, high, ""), KL_ARTEFACT_DIM);
        LLVMValueRef rest = LL.BuildSRem(e->b, d, by, "");
        kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, rest, kl_art_i64(e, 0), ""),
                       KL_ARTEFACT_DIM);
    }
}

typedef struct ports {
    LLVMValueRef base, size, donated;
} ports;

static void check_port(kl_art *e, const ports *t, int i, LLVMValueRef p, LLVMValueRef n,
                       int donated)
{
    LLVMValueRef none = LL.BuildICmp(e->b, LLVMIntEQ, p, LL.ConstNull(e->ptr), "");
    LLVMValueRef some = LL.BuildICmp(e->b, LLVMIntNE, n, kl_art_i64(e, 0), "");
    kl_art_fail_if(e, LL.BuildAnd(e->b, none, some, ""), KL_ARTEFACT_POINTER);
    kl_art_put(e, t->base, i, LL.BuildCast(e->b, LLVMPtrToInt, p, e->i64, ""));
    kl_art_put(e, t->size, i, n);
    kl_art_put(e, t->donated, i, kl_art_i64(e, donated));
}

static LLVMValueRef scratch_bytes(kl_art *e)
{
    char name[300];
    int n = e->a->program->nsyms;
    LLVMValueRef args[64];
    for (int i = 0; i < n; i++)
        args[i] = e->dims[e->a->syms[i]];
    snprintf(name, sizeof name, "%s_scratch_bytes", e->a->name);
    return kl_art_call(e, LL.GetNamedFunction(e->u.mod, name), args, n);
}

/* Inputs that are weights are no pointers of the caller's: they count as empty. */
static void check_ports(kl_art *e, const kl_art_params *q)
{
    const kl_program *p = e->a->program;
    int n = p->nin + p->nout + 1;
    ports t = {kl_art_array(e, e->i64, n), kl_art_array(e, e->i64, n),
               kl_art_array(e, e->i64, n)};
    LLVMValueRef zero = kl_art_i64(e, 0);
    for (int i = 0; i < p->nin; i++) {
        bool mine = e->a->weight[i] >= 0;
        check_port(e, &t, i, q->in[i],
                   mine ? zero : kl_art_size(e, kl_art_port_bytes(e, &p->in[i])), -1);
    }
    for (int i = 0; i < p->nout; i++)
        check_port(e, &t, p->nin + i, q->out[i],
                   kl_art_size(e, kl_art_port_bytes(e, &p->out[i])),
                   kl_program_donated(p, i));
    if (e->a->scratch_caller)
        check_port(e, &t, n - 1, q->scratch, scratch_bytes(e), -1);
    LLVMValueRef args[] = {t.base, t.size, t.donated},
                 code = kl_art_call(e, e->overlap, args, 3);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, code, kl_art_i32(e, 0), ""),
                   KL_ARTEFACT_OVERLAP);
}

/* Static scratch is one call's at a time. Largest dimensions need not need the most of
 * it. */
static void take_scratch(kl_art *e)
{
    int64_t most = kl_artefact_scratch_max(e->a->program, e->size, KL_ARTEFACT_WORKERS);
    LLVMValueRef workers = kl_art_i64(e, KL_ARTEFACT_WORKERS);
    LLVMValueRef n = LL.BuildMul(e->b, workers, kl_art_size(e, e->size.tile), "");
    n = LL.BuildAdd(e->b, n, kl_art_size(e, e->size.fixed), "");
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntSGT, n, kl_art_i64(e, most), ""),
                   KL_ARTEFACT_DIM);
    LLVMValueRef was =
        LL.BuildAtomicRMW(e->b, LLVMAtomicRMWBinOpXchg, e->busy, kl_art_i32(e, 1),
                          LLVMAtomicOrderingAcquireRelease, 0);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, was, kl_art_i32(e, 0), ""),
                   KL_ARTEFACT_BUSY);
}

/* A call's own, from the heap, begins at a multiple of 64. */
static void take_heap(kl_art *e)
{
    LLVMTypeRef alloc_t[] = {e->i64, e->i64};
    LLVMValueRef align = kl_art_i64(e, KL_ARTEFACT_ALIGN), n = scratch_bytes(e);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntSLT, n, kl_art_i64(e, 0), ""),
                   KL_ARTEFACT_MEMORY);
    LLVMValueRef args[] = {align, LL.BuildAdd(e->b, n, align, "")}; /* never 0 bytes */
    e->scratch = kl_art_call(
        e, kl_art_extern(e, "aligned_alloc", e->ptr, alloc_t, 2, false), args, 2);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntEQ, e->scratch, LL.ConstNull(e->ptr), ""),
                   KL_ARTEFACT_MEMORY);
}

static void give_heap(kl_art *e)
{
    kl_art_call(e, kl_art_extern(e, "free", e->none, &e->ptr, 1, false), &e->scratch, 1);
}

/* ---- the entry ---- */

kl_status kl_art_make_entry(kl_art *e)
{
    kl_art_params q;
    KL_TRY(kl_art_entry(e, e->a->name, true, &q));
    check_dims(e);
    check_ports(e, &q);
    LLVMValueRef level = kl_art_level(e);
    if (e->busy)
        take_scratch(e);
    if (e->a->scratch_heap)
        take_heap(e);
    LLVMValueRef result = kl_art_run(e, level);
    if (e->busy)
        LL.BuildAtomicRMW(e->b, LLVMAtomicRMWBinOpXchg, e->busy, kl_art_i32(e, 0),
                          LLVMAtomicOrderingAcquireRelease, 0);
    if (e->a->scratch_heap)
        give_heap(e);
    LL.BuildRet(e->b, result);
    return kl_arena_failed(e->arena) ? kl_fail(KL_ERR_OOM, "artefact: no memory")
                                     : e->status;
}
