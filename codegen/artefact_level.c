/* artefact_level.c: one artefact for several CPUs: every level's kernels and steps stand
 * in the module, and the first call asks the processor which of them it has.
 *
 *   if (!net.level) net.level = net.choose()      cpuid, and xgetbv where there is one
 *   net.level 0      ->  CPU
 *   net.level 1, 2   ->  net.run.x86-64-v2(..), net.run.x86-64-v3(..)
 *
 * A level's functions are compiled for its CPU; what is no level's, for any. Asking twice
 * gives the same, so threads need not agree who asks. */
#include "codegen/artefact.h"

enum { EAX, EBX, ECX, EDX, WORDS, OSXSAVE = 1 << 27 };
#define ANY_CPU "x86-64"

/* ---- functions of a level ---- */

static bool several(const kl_art *e)
{
    return e->a->nlevels > 1;
}

static void put_cpu(kl_art *e, LLVMValueRef fn, const char *key, const char *value)
{
    LLVMAttributeRef a = LL.CreateStringAttribute(e->u.ctx, key, (unsigned)strlen(key),
                                                  value, (unsigned)strlen(value));
    LL.AddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

void kl_art_for_cpu(kl_art *e, LLVMValueRef fn, const kl_artefact_level *l)
{
    if (!several(e))
        return;
    put_cpu(e, fn, "target-cpu", l ? l->target->cpu : ANY_CPU);
    put_cpu(e, fn, "target-features", l ? l->target->features : "");
}

static void level_name(const kl_art *e, const kl_artefact_level *l, const char *name,
                       char *out, size_t cap)
{
    if (several(e))
        snprintf(out, cap, "%s:%s", l->target->name, name);
    else
        snprintf(out, cap, "%s", name);
}

void kl_art_level_end(kl_art *e, const kl_artefact_level *l)
{
    LLVMValueRef f =
        e->done ? LL.GetNextFunction(e->done) : LL.GetFirstFunction(e->u.mod);
    for (; f; f = LL.GetNextFunction(f)) {
        char name[200];
        size_t n;
        e->done = f;
        if (LL.IsDeclaration(f))
            continue;
        level_name(e, l, LL.GetValueName2(f, &n), name, sizeof name);
        LL.SetValueName2(f, name, strlen(name));
        LL.SetLinkage(f, LLVMInternalLinkage);
        kl_art_for_cpu(e, f, l);
    }
}

LLVMValueRef kl_art_phase(kl_art *e, const char *symbol, int phase)
{
    char name[160], full[200];
    snprintf(name, sizeof name, "%s.%d", symbol, phase);
    level_name(e, e->level, name, full, sizeof full);
    LLVMValueRef fn = LL.GetNamedFunction(e->u.mod, full);
    if (!fn)
        e->status = kl_fail(KL_ERR_INTERNAL, "artefact: there is no kernel %s", full);
    return fn;
}

/* ---- asking the processor ---- */

static LLVMValueRef k32(kl_art *e, uint32_t v)
{
    return LL.ConstInt(e->i32, v, 0);
}

static LLVMValueRef assembler(kl_art *e, LLVMTypeRef result, const char *text,
                              const char *operands, LLVMValueRef *args, int n)
{
    LLVMTypeRef params[] = {e->i32, e->i32}, t;
    t = LL.FunctionType(result, params, (unsigned)n, 0);
    LLVMValueRef v =
        LL.GetInlineAsm(t, text, strlen(text), operands, strlen(operands), 1, 0, 0, 0);
    return LL.BuildCall2(e->b, t, v, args, (unsigned)n, "");
}

static void cpuid(kl_art *e, uint32_t leaf, LLVMValueRef words[WORDS])
{
    LLVMTypeRef all[] = {e->i32, e->i32, e->i32, e->i32};
    LLVMTypeRef t = LL.StructTypeInContext(e->u.ctx, all, WORDS, 0);
    LLVMValueRef args[] = {k32(e, leaf), k32(e, 0)};
    LLVMValueRef y = assembler(e, t, "cpuid",
                               "={ax},={bx},={cx},={dx},{ax},{cx},"
                               "~{dirflag},~{fpsr},~{flags}",
                               args, 2);
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = LL.BuildExtractValue(e->b, y, i, "");
}

typedef struct asked { /* the leaves that the levels' bits are in */
    uint32_t leaf[4];
    LLVMValueRef words[4][WORDS];
    int n;
} asked;

/* A leaf beyond the last says something else than nothing. */
static void ask(kl_art *e, asked *a, uint32_t leaf)
{
    LLVMValueRef last[WORDS], *w = a->words[a->n];
    for (int i = 0; i < a->n; i++)
        if (a->leaf[i] == leaf)
            return;
    a->leaf[a->n++] = leaf;
    cpuid(e, leaf & KL_CPUID_EXT, last);
    cpuid(e, leaf, w);
    LLVMValueRef there = LL.BuildICmp(e->b, LLVMIntUGE, last[EAX], k32(e, leaf), "");
    for (int i = 0; i < WORDS; i++)
        w[i] = LL.BuildSelect(e->b, there, w[i], k32(e, 0), "");
}

static LLVMValueRef has(kl_art *e, LLVMValueRef word, uint64_t bits)
{
    LLVMValueRef mask = k32(e, (uint32_t)bits);
    return LL.BuildICmp(e->b, LLVMIntEQ, LL.BuildAnd(e->b, word, mask, ""), mask, "");
}

/* XCR0, where the system lets it be read; else 0. */
static LLVMValueRef saved_state(kl_art *e, const asked *a)
{
    LLVMTypeRef both[] = {e->i32, e->i32};
    LLVMValueRef at = kl_art_array(e, e->i32, 1), zero = k32(e, 0);
    LLVMBasicBlockRef yes = kl_art_block(e, "xsave"), after = kl_art_block(e, "after");
    LL.BuildStore(e->b, zero, at);
    LL.BuildCondBr(e->b, has(e, a->words[0][ECX], OSXSAVE), yes, after);
    kl_art_go(e, yes);
    LLVMValueRef y = assembler(e, LL.StructTypeInContext(e->u.ctx, both, 2, 0), "xgetbv",
                               "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}", &zero, 1);
    LL.BuildStore(e->b, LL.BuildExtractValue(e->b, y, 0, ""), at);
    LL.BuildBr(e->b, after);
    kl_art_go(e, after);
    return kl_art_load(e, e->i32, at);
}

static LLVMValueRef has_level(kl_art *e, const asked *a, LLVMValueRef state,
                              const kl_cpu_level *l)
{
    LLVMValueRef ok = has(e, state, l->state);
    for (int i = 0; i < a->n; i++)
        for (int r = 0; r < WORDS; r++) {
            uint64_t bits = 0;
            for (size_t k = 0; k < KL_COUNT(l->needs) && l->needs[k].leaf; k++)
                if (l->needs[k].leaf == a->leaf[i] && l->needs[k].reg == r)
                    bits |= (uint64_t)1 << l->needs[k].bit;
            if (bits)
                ok = LL.BuildAnd(e->b, ok, has(e, a->words[i][r], bits), "");
        }
    return ok;
}

static int number_of(const kl_artefact *a, const char *row)
{
    for (int i = 0; i < a->nlevels; i++)
        if (strcmp(a->level[i].target->name, row) == 0)
            return i + 1;
    return 0;
}

/* NAME.choose: 1 + the best level that the processor has, or 0. */
static LLVMValueRef make_choose(kl_art *e)
{
    char name[300];
    asked a = {.n = 0};
    snprintf(name, sizeof name, "%s.choose", e->a->name);
    LLVMValueRef fn = kl_art_function(e, name, e->i32, NULL, 0, false);
    for (int i = 0; i < KL_CPU_LEVELS; i++)
        for (const kl_cpu_bit *b = kl_cpu_levels[i].needs; b->leaf; b++)
            ask(e, &a, b->leaf);
    LLVMValueRef state = saved_state(e, &a), y = k32(e, 0), ok = NULL;
    for (int i = 0; i < KL_CPU_LEVELS; i++) {
        int n = number_of(e->a, kl_cpu_levels[i].row);
        LLVMValueRef this = has_level(e, &a, state, &kl_cpu_levels[i]);
        ok = ok ? LL.BuildAnd(e->b, ok, this, "") : this;
        if (n)
            y = LL.BuildSelect(e->b, ok, k32(e, (uint32_t)n), y, "");
    }
    LL.BuildRet(e->b, y);
    return fn;
}

void kl_art_make_choose(kl_art *e)
{
    if (!several(e))
        return;
    e->chosen = kl_art_name(e, ".level", e->i32, false);
    e->choose = make_choose(e);
}

/* ---- in the entry ---- */

LLVMValueRef kl_art_level(kl_art *e)
{
    if (!several(e))
        return NULL;
    LLVMBasicBlockRef first = kl_art_block(e, "first"), known = kl_art_block(e, "known");
    LLVMValueRef at = kl_art_array(e, e->i32, 1), zero = k32(e, 0);
    LLVMValueRef was = kl_art_load(e, e->i32, e->chosen);
    LL.SetAlignment(was, 4);
    LL.SetOrdering(was, LLVMAtomicOrderingMonotonic);
    LL.BuildStore(e->b, was, at);
    LL.BuildCondBr(e->b, LL.BuildICmp(e->b, LLVMIntEQ, was, zero, ""), first, known);
    kl_art_go(e, first);
    LLVMValueRef now = kl_art_call(e, e->choose, NULL, 0);
    LLVMValueRef kept = LL.BuildStore(e->b, now, e->chosen);
    LL.SetAlignment(kept, 4);
    LL.SetOrdering(kept, LLVMAtomicOrderingMonotonic);
    LL.BuildStore(e->b, now, at);
    LL.BuildBr(e->b, known);
    kl_art_go(e, known);
    LLVMValueRef level = kl_art_load(e, e->i32, at);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntEQ, level, zero, ""), KL_ARTEFACT_CPU);
    return level;
}

static LLVMValueRef run_level(kl_art *e, const kl_artefact_level *l)
{
    char name[300];
    LLVMValueRef *args =
        kl_arena_alloc(e->arena, ((size_t)e->nparams + 1) * sizeof *args);
    if (!args)
        return k32(e, 0);
    for (int i = 0; i < e->nparams; i++)
        args[i] = LL.GetParam(e->fn, (unsigned)i);
    kl_art_run_name(e, l, name, sizeof name);
    if (e->a->scratch_heap)
        args[e->nparams] = e->scratch;
    return kl_art_call(e, LL.GetNamedFunction(e->u.mod, name), args,
                       e->nparams + e->a->scratch_heap);
}

LLVMValueRef kl_art_run(kl_art *e, LLVMValueRef level)
{
    if (!level)
        return run_level(e, &e->a->level[0]);
    LLVMValueRef result = kl_art_array(e, e->i32, 1);
    LLVMBasicBlockRef none = kl_art_block(e, "none"), out = kl_art_block(e, "out");
    LLVMValueRef sw = LL.BuildSwitch(e->b, level, none, (unsigned)e->a->nlevels);
    for (int i = 0; i < e->a->nlevels; i++) {
        LLVMBasicBlockRef b = kl_art_block(e, "level");
        LL.AddCase(sw, kl_art_i32(e, i + 1), b);
        kl_art_go(e, b);
        LL.BuildStore(e->b, run_level(e, &e->a->level[i]), result);
        LL.BuildBr(e->b, out);
    }
    kl_art_go(e, none);
    LL.BuildUnreachable(e->b);
    kl_art_go(e, out);
    return kl_art_load(e, e->i32, result);
}
