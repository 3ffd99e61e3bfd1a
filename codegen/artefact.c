/* artefact.c: a program as one C function of a native object.
 *
 *   artefact_entry.c    what is called: checks, scratch           net(B, x, y)
 *   artefact_level.c    which level this processor has            net.choose()
 *   artefact_step.c     the plan's steps, once a level            net.run.x86-64-v3(B, x,
 * y) artefact_ll.c       small functions beside them               net_load(path)
 *
 * The kernels' phases stand in the same module; so do the weights, once. */
#include "codegen/artefact.h"

enum { EMBED_MOST = 1 << 30 };

/* ---- the module's data ---- */

static kl_status make_weights(kl_art *e)
{
    const kl_artefact *a = e->a;
    if (a->nweights <= KL_WEIGHTS_HEAD)
        return KL_OK;
    if (a->weights_file) {
        e->weights = kl_art_name(e, ".weights", e->ptr, false);
        kl_art_make_load(e);
        return KL_OK;
    }
    if (a->nweights > EMBED_MOST)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: %zu bytes of weights do not fit into an object: "
                       "give --weights=FILE or --weights=args",
                       a->name, a->nweights);
    e->weights = kl_art_bytes(e, ".weights", a->weights, a->nweights);
    return KL_OK;
}

static kl_status make_scratch(kl_art *e)
{
    const kl_artefact *a = e->a;
    e->size = kl_artefact_scratch_of(a, e->arena);
    if (kl_arena_failed(e->arena))
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    if (a->scratch_caller || a->scratch_heap) {
        kl_art_make_scratch_bytes(e, a->scratch_caller);
        return KL_OK;
    }
    int64_t most = kl_artefact_scratch_max(a->program, e->size, KL_ARTEFACT_WORKERS);
    if (kl_artefact_is_vast(most))
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: the scratch of the largest dimensions does not fit "
                       "into an object: bound them (dim B 1..N; ONNX: --dims=B=1..N) or "
                       "give --scratch=caller or heap",
                       a->name);
    if (most == 0)
        return KL_OK;
    e->scratch = kl_art_name(e, ".scratch", LL.ArrayType2(e->i8, (uint64_t)most), false);
    LL.SetAlignment(e->scratch, KL_ARTEFACT_ALIGN);
    e->busy = kl_art_name(e, ".busy", e->i32, false);
    return KL_OK;
}

/* The phases of every kernel of a level. */
static kl_status make_kernels(kl_art *e, const kl_artefact_level *l)
{
    e->u.target = l->target;
    for (int i = 0; i < l->nkernels; i++) {
        char symbol[128], first[140];
        if (l->kernels[i]->call)
            continue;
        kl_codegen_symbol(l->kernels[i]->name, symbol, sizeof symbol);
        snprintf(first, sizeof first, "%s.0", symbol);
        if (LL.GetNamedFunction(e->u.mod, first))
            return kl_fail(KL_ERR_INTERNAL, "artefact: two kernels are named %s", symbol);
        KL_TRY(kl_llvm_kernel(&e->u, l->kernels[i], symbol, e->arena));
    }
    kl_art_level_end(e, l);
    return KL_OK;
}

static kl_status make_all_kernels(kl_art *e)
{
    if (e->a->lines)
        KL_TRY(kl_llvm_lines_begin(&e->u, e->a->lines));
    for (int i = 0; i < e->a->nlevels; i++)
        KL_TRY(make_kernels(e, &e->a->level[i]));
    LL.SetCurrentDebugLocation2(e->b, NULL);
    kl_llvm_lines_end(&e->u, true);
    return KL_OK;
}

static kl_status make_module(kl_art *e)
{
    KL_TRY(make_all_kernels(e));
    e->hook = kl_art_name(e, "_parallel_for", e->ptr, true);
    kl_art_make_launch(e);
    kl_art_make_overlap(e);
    KL_TRY(make_weights(e));
    KL_TRY(make_scratch(e));
    for (int i = 0; i < e->a->nlevels; i++)
        KL_TRY(kl_art_make_run(e, &e->a->level[i]));
    kl_art_make_choose(e);
    return kl_art_make_entry(e);
}

kl_status kl_artefact_emit(const kl_artefact *a, kl_llvm_output what, kl_text *out)
{
    kl_art e = {.a = a, .arena = kl_arena_new()};
    if (!e.arena)
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    kl_status s = a->program->nsyms > (int)KL_COUNT(e.dims) || a->program->device
                      ? kl_fail(KL_ERR_UNSUPPORTED,
                                "%s: an artefact is for the CPU and has at most "
                                "%zu dimensions",
                                a->name, KL_COUNT(e.dims))
                      : kl_llvm_begin(&e.u, a->name, a->level[0].target, KL_LLVM_THOROUGH,
                                      what == KL_LLVM_IR);
    if (s == KL_OK) {
        LLVMContextRef c = e.u.ctx;
        e.b = e.u.b;
        e.none = LL.VoidTypeInContext(c), e.ptr = LL.PointerTypeInContext(c, 0);
        e.i8 = LL.IntTypeInContext(c, 8), e.i32 = LL.IntTypeInContext(c, 32);
        e.i64 = LL.IntTypeInContext(c, 64);
        s = make_module(&e);
        if (s == KL_OK)
            s = kl_llvm_emit(e.u.mod, a->level[0].target, KL_LLVM_THOROUGH, what, out);
    }
    kl_llvm_end(&e.u);
    kl_arena_free(e.arena);
    return s;
}
