/* artefact_ll.c: the small functions of an artefact's module, built through LLVM.
 *
 *   launch(task, workers, grain)      one phase, here or through the caller's
 * parallel_for work(task, begin, end, worker)    what a worker runs: the phase, in the
 * default floating-point environment overlap(bases, sizes, donated)    whether an output
 * lies over something it must not NAME_load(path)                   map a weights file
 *   NAME_scratch_bytes(dims..)        bytes of the caller's scratch, or of a call's own
 *
 * Locals live on the stack; LLVM's first pass makes registers of them. */
#include "codegen/artefact.h"

/* ---- words ---- */

LLVMValueRef kl_art_i64(kl_art *e, int64_t v)
{
    return LL.ConstInt(e->i64, (unsigned long long)v, 1);
}

LLVMValueRef kl_art_i32(kl_art *e, int64_t v)
{
    return LL.ConstInt(e->i32, (unsigned long long)v, 1);
}

LLVMValueRef kl_art_at(kl_art *e, LLVMValueRef p, LLVMValueRef bytes)
{
    return LL.BuildGEP2(e->b, e->i8, p, &bytes, 1, "");
}

LLVMValueRef kl_art_field(kl_art *e, LLVMValueRef p, size_t bytes)
{
    return kl_art_at(e, p, kl_art_i64(e, (int64_t)bytes));
}

LLVMValueRef kl_art_load(kl_art *e, LLVMTypeRef t, LLVMValueRef p)
{
    return LL.BuildLoad2(e->b, t, p, "");
}

/* In the entry block, wherever the builder stands: a loop takes no more stack each trip.
 */
LLVMValueRef kl_art_array(kl_art *e, LLVMTypeRef t, int n)
{
    LLVMBasicBlockRef here = LL.GetInsertBlock(e->b),
                      entry = LL.GetEntryBasicBlock(e->fn);
    LLVMValueRef first = LL.GetFirstInstruction(entry);
    if (first)
        LL.PositionBuilderBefore(e->b, first);
    LLVMValueRef y = LL.BuildAlloca(e->b, LL.ArrayType2(t, (uint64_t)KL_MAX(n, 1)), "");
    LL.PositionBuilderAtEnd(e->b, here);
    return y;
}

LLVMBasicBlockRef kl_art_block(kl_art *e, const char *name)
{
    return LL.AppendBasicBlockInContext(e->u.ctx, e->fn, name);
}

void kl_art_go(kl_art *e, LLVMBasicBlockRef b)
{
    LL.PositionBuilderAtEnd(e->b, b);
}

LLVMValueRef kl_art_name(kl_art *e, const char *suffix, LLVMTypeRef t, bool visible)
{
    char name[300];
    snprintf(name, sizeof name, "%s%s", e->a->name, suffix);
    LLVMValueRef v = LL.AddGlobal(e->u.mod, t, name);
    LL.SetInitializer(v, LL.ConstNull(t));
    if (!visible)
        LL.SetLinkage(v, LLVMInternalLinkage);
    return v;
}

void kl_art_put(kl_art *e, LLVMValueRef array, int i, LLVMValueRef v)
{
    LL.BuildStore(e->b, v, kl_art_field(e, array, 8 * (size_t)i));
}

LLVMValueRef kl_art_bytes(kl_art *e, const char *suffix, const void *p, size_t n)
{
    LLVMValueRef v = LL.ConstStringInContext(e->u.ctx, p, (unsigned)n, 1);
    LLVMValueRef g = kl_art_name(e, suffix, LL.TypeOf(v), false);
    LL.SetInitializer(g, v);
    LL.SetGlobalConstant(g, 1);
    LL.SetAlignment(g, KL_ARTEFACT_ALIGN);
    return g;
}

LLVMValueRef kl_art_call(kl_art *e, LLVMValueRef fn, LLVMValueRef *args, int n)
{
    return LL.BuildCall2(e->b, LL.GlobalGetValueType(fn), fn, args, (unsigned)n, "");
}

LLVMValueRef kl_art_extern(kl_art *e, const char *name, LLVMTypeRef result,
                           LLVMTypeRef *params, int n, bool variadic)
{
    LLVMValueRef fn = LL.GetNamedFunction(e->u.mod, name);
    LLVMTypeRef t = LL.FunctionType(result, params, (unsigned)n, variadic);
    return fn ? fn : LL.AddFunction(e->u.mod, name, t);
}

LLVMValueRef kl_art_function(kl_art *e, const char *name, LLVMTypeRef result,
                             LLVMTypeRef *params, int n, bool visible)
{
    e->fn =
        LL.AddFunction(e->u.mod, name, LL.FunctionType(result, params, (unsigned)n, 0));
    if (!visible)
        LL.SetLinkage(e->fn, LLVMInternalLinkage);
    kl_art_for_cpu(e, e->fn, NULL);
    kl_art_go(e, kl_art_block(e, "entry"));
    return e->fn;
}

static LLVMValueRef is(kl_art *e, int predicate, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildICmp(e->b, predicate, a, b, "");
}

static LLVMValueRef both(kl_art *e, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildAnd(e->b, a, b, "");
}

void kl_art_fail_if(kl_art *e, LLVMValueRef cond, kl_artefact_code code)
{
    LLVMBasicBlockRef bad = kl_art_block(e, ""), good = kl_art_block(e, "");
    LL.BuildCondBr(e->b, cond, bad, good);
    kl_art_go(e, bad);
    LL.BuildRet(e->b, kl_art_i32(e, code));
    kl_art_go(e, good);
}

/* ---- sizes ---- */

/* Rounding down; a / 0 is 0 and a mod 0 is a, as kl_size_eval has it. */
static LLVMValueRef divide(kl_art *e, bool mod, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef zero = kl_art_i64(e, 0), none = is(e, LLVMIntEQ, b, zero);
    LLVMValueRef by = LL.BuildSelect(e->b, none, kl_art_i64(e, 1), b, "");
    LLVMValueRef q = LL.BuildSDiv(e->b, a, by, ""), r = LL.BuildSRem(e->b, a, by, "");
    LLVMValueRef differ = is(e, LLVMIntSLT, LL.BuildXor(e->b, r, by, ""), zero);
    LLVMValueRef adjust = both(e, differ, is(e, LLVMIntNE, r, zero));
    LLVMValueRef down = LL.BuildSub(e->b, q, LL.BuildZExt(e->b, adjust, e->i64, ""), "");
    LLVMValueRef up = LL.BuildSelect(e->b, adjust, LL.BuildAdd(e->b, r, by, ""), r, "");
    return mod ? LL.BuildSelect(e->b, none, a, up, "")
               : LL.BuildSelect(e->b, none, zero, down, "");
}

static LLVMValueRef operate(kl_art *e, int64_t op, LLVMValueRef a, LLVMValueRef b)
{
    switch (op) {
    case KL_SIZE_ADD:
        return LL.BuildAdd(e->b, a, b, "");
    case KL_SIZE_MUL:
        return LL.BuildMul(e->b, a, b, "");
    case KL_SIZE_MAX:
        return LL.BuildSelect(e->b, is(e, LLVMIntSGT, a, b), a, b, "");
    case KL_SIZE_MIN:
        return LL.BuildSelect(e->b, is(e, LLVMIntSLT, a, b), a, b, "");
    default:
        return divide(e, op == KL_SIZE_MOD, a, b);
    }
}

LLVMValueRef kl_art_size(kl_art *e, kl_size s)
{
    LLVMValueRef st[KL_SIZE_DEPTH];
    int n = 0;
    if (!kl_size_valid(s, e->a->program->nsyms)) {
        e->status =
            kl_fail(KL_ERR_UNSUPPORTED, "artefact: a size is too deep an expression");
        return kl_art_i64(e, 0);
    }
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        if (c >= 0) {
            st[n++] = kl_art_i64(e, c);
        } else if (c < KL_SIZE_NEG) {
            st[n++] = e->dims[c - KL_SIZE_SYM];
        } else if (c == KL_SIZE_NEG) {
            st[n - 1] = LL.BuildNeg(e->b, st[n - 1], "");
        } else {
            n--;
            st[n - 1] = operate(e, c, st[n - 1], st[n]);
        }
    }
    return st[0];
}

static LLVMValueRef operate_about(kl_art *e, int64_t op, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef zero = LL.ConstNull(LL.TypeOf(a)), y;
    switch (op) {
    case KL_SIZE_ADD:
        return LL.BuildFAdd(e->b, a, b, "");
    case KL_SIZE_MUL:
        return LL.BuildFMul(e->b, a, b, "");
    case KL_SIZE_MAX:
        return LL.BuildSelect(e->b, LL.BuildFCmp(e->b, LLVMRealOGT, a, b, ""), a, b, "");
    case KL_SIZE_MIN:
        return LL.BuildSelect(e->b, LL.BuildFCmp(e->b, LLVMRealOLT, a, b, ""), a, b, "");
    case KL_SIZE_DIV:
        y = LL.BuildFCmp(e->b, LLVMRealOEQ, b, zero, "");
        return LL.BuildSelect(e->b, y, zero, LL.BuildFDiv(e->b, a, b, ""), "");
    default: /* a remainder is below what divides */
        return b;
    }
}

/* About how much, where int64 may not hold it: as artefact_size.c estimates. */
static LLVMValueRef size_about(kl_art *e, kl_size s)
{
    LLVMTypeRef f64 = LL.DoubleTypeInContext(e->u.ctx);
    LLVMValueRef st[KL_SIZE_DEPTH];
    int n = 0;
    for (int i = 0; i < s.len && kl_size_valid(s, e->a->program->nsyms); i++) {
        int64_t c = s.code[i];
        if (c >= 0) {
            st[n++] = LL.ConstReal(f64, (double)c);
        } else if (c < KL_SIZE_NEG) {
            st[n++] = LL.BuildCast(e->b, LLVMSIToFP, e->dims[c - KL_SIZE_SYM], f64, "");
        } else if (c == KL_SIZE_NEG) {
            st[n - 1] = LL.BuildFNeg(e->b, st[n - 1], "");
        } else {
            n--;
            st[n - 1] = operate_about(e, c, st[n - 1], st[n]);
        }
    }
    return n ? st[0] : LL.ConstNull(f64);
}

kl_size kl_art_port_bytes(kl_art *e, const kl_port *port)
{
    kl_size n = kl_size_const(e->arena, kl_dtypes[port->dtype].size);
    for (int i = 0; i < port->rank; i++)
        n = kl_size_op(e->arena, KL_SIZE_MUL, n, port->shape[i]);
    return n;
}

/* ---- the floating-point environment ---- */

enum { MXCSR_DEFAULT = 0x1f80, FPCR_DEFAULT = 0 };

static LLVMValueRef intrinsic(kl_art *e, const char *name, LLVMValueRef *args, int n)
{
    unsigned id = LL.LookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LL.GetIntrinsicDeclaration(e->u.mod, id, NULL, 0);
    return kl_art_call(e, fn, args, n);
}

static bool is_x86(const kl_art *e)
{
    return strncmp(e->a->level[0].target->triple, "x86_64", 6) == 0;
}

LLVMValueRef kl_art_fp_enter(kl_art *e)
{
    if (!is_x86(e)) {
        LLVMValueRef old = intrinsic(e, "llvm.aarch64.get.fpcr", NULL, 0);
        LLVMValueRef now = kl_art_i64(e, FPCR_DEFAULT);
        intrinsic(e, "llvm.aarch64.set.fpcr", &now, 1);
        return old;
    }
    LLVMValueRef old = LL.BuildAlloca(e->b, e->i32, ""),
                 now = LL.BuildAlloca(e->b, e->i32, "");
    LL.BuildStore(e->b, kl_art_i32(e, MXCSR_DEFAULT), now);
    intrinsic(e, "llvm.x86.sse.stmxcsr", &old, 1);
    intrinsic(e, "llvm.x86.sse.ldmxcsr", &now, 1);
    return old;
}

void kl_art_fp_leave(kl_art *e, LLVMValueRef old)
{
    intrinsic(e, is_x86(e) ? "llvm.x86.sse.ldmxcsr" : "llvm.aarch64.set.fpcr", &old, 1);
}

/* ---- launching ---- */

static LLVMValueRef make_work(kl_art *e)
{
    LLVMTypeRef params[] = {e->ptr, e->i64, e->i64, e->i64};
    LLVMTypeRef phase = LL.FunctionType(e->none, params, 4, 0);
    LLVMValueRef fn = kl_art_function(e, ".work", e->none, params, 4, false), args[4];
    for (unsigned i = 0; i < 4; i++)
        args[i] = LL.GetParam(fn, i);
    LLVMValueRef old = kl_art_fp_enter(e);
    LLVMValueRef field = kl_art_field(e, args[0], offsetof(kl_artefact_task, fn));
    LL.BuildCall2(e->b, phase, kl_art_load(e, e->ptr, field), args, 4, "");
    kl_art_fp_leave(e, old);
    LL.BuildRetVoid(e->b);
    return fn;
}

void kl_art_make_launch(kl_art *e)
{
    LLVMValueRef work = make_work(e);
    LLVMTypeRef params[] = {e->ptr, e->i64, e->i64};
    LLVMTypeRef hook_params[] = {e->i64, e->i64, e->ptr, e->ptr};
    LLVMTypeRef hook_type = LL.FunctionType(e->none, hook_params, 4, 0);
    e->launch = kl_art_function(e, ".launch", e->none, params, 3, false);
    LLVMValueRef task = LL.GetParam(e->launch, 0), n = LL.GetParam(e->launch, 1);
    LLVMBasicBlockRef some = kl_art_block(e, "some"), spread = kl_art_block(e, "spread"),
                      alone = kl_art_block(e, "alone"), out = kl_art_block(e, "out");
    LL.BuildCondBr(e->b, is(e, LLVMIntSGT, n, kl_art_i64(e, 0)), some, out);
    kl_art_go(e, some);
    LLVMValueRef hook = kl_art_load(e, e->ptr, e->hook);
    LL.BuildCondBr(e->b, is(e, LLVMIntEQ, hook, LL.ConstNull(e->ptr)), alone, spread);
    kl_art_go(e, spread);
    LLVMValueRef args[] = {n, LL.GetParam(e->launch, 2), work, task};
    LL.BuildCall2(e->b, hook_type, hook, args, 4, "");
    LL.BuildBr(e->b, out);
    kl_art_go(e, alone);
    LLVMValueRef all[] = {task, kl_art_i64(e, 0), n, kl_art_i64(e, 0)};
    kl_art_call(e, work, all, 4);
    LL.BuildBr(e->b, out);
    kl_art_go(e, out);
    LL.BuildRetVoid(e->b);
}

/* ---- overlap ---- */

typedef struct counter { /* for (i = from; i < to; i++) */
    LLVMValueRef at, i;
    LLVMBasicBlockRef head, exit;
} counter;

static counter count_begin(kl_art *e, LLVMValueRef at, int64_t from, LLVMValueRef to)
{
    counter c = {
        .at = at, .head = kl_art_block(e, "head"), .exit = kl_art_block(e, "exit")};
    LLVMBasicBlockRef body = kl_art_block(e, "body");
    LL.BuildStore(e->b, kl_art_i64(e, from), at);
    LL.BuildBr(e->b, c.head);
    kl_art_go(e, c.head);
    c.i = kl_art_load(e, e->i64, at);
    LL.BuildCondBr(e->b, is(e, LLVMIntSLT, c.i, to), body, c.exit);
    kl_art_go(e, body);
    return c;
}

static void count_end(kl_art *e, counter *c)
{
    LL.BuildStore(e->b, LL.BuildAdd(e->b, c->i, kl_art_i64(e, 1), ""), c->at);
    LL.BuildBr(e->b, c->head);
    kl_art_go(e, c->exit);
}

static LLVMValueRef element(kl_art *e, LLVMValueRef array, LLVMValueRef i)
{
    LLVMValueRef p = LL.BuildGEP2(e->b, e->i64, array, &i, 1, "");
    return kl_art_load(e, e->i64, p);
}

/* Ports are numbered inputs first; an output may lie exactly on the input donated to it.
 * Addresses are compared as unsigned numbers; an empty port overlaps nothing. */
void kl_art_make_overlap(kl_art *e)
{
    int nin = e->a->program->nin, all = nin + e->a->program->nout + e->a->scratch_caller;
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr};
    LLVMValueRef fn = kl_art_function(e, ".overlap", e->i32, params, 3, false);
    e->overlap = fn;
    LLVMValueRef base = LL.GetParam(fn, 0), size = LL.GetParam(fn, 1);
    LLVMValueRef pi = LL.BuildAlloca(e->b, e->i64, ""),
                 pj = LL.BuildAlloca(e->b, e->i64, "");
    counter o = count_begin(e, pi, nin, kl_art_i64(e, all));
    LLVMValueRef ob = element(e, base, o.i), os = element(e, size, o.i);
    LLVMValueRef donated = element(e, LL.GetParam(fn, 2), o.i);
    counter j = count_begin(e, pj, 0, o.i);
    LLVMValueRef jb = element(e, base, j.i), js = element(e, size, j.i),
                 zero = kl_art_i64(e, 0);
    LLVMValueRef after = is(e, LLVMIntULT, jb, LL.BuildAdd(e->b, ob, os, "")),
                 before = is(e, LLVMIntULT, ob, LL.BuildAdd(e->b, jb, js, "")),
                 over = both(e, before, after);
    LLVMValueRef some_j = is(e, LLVMIntNE, js, zero), some = is(e, LLVMIntNE, os, zero);
    over = both(e, over, both(e, some, some_j));
    LLVMValueRef same = is(e, LLVMIntEQ, ob, jb),
                 given = both(e, is(e, LLVMIntEQ, donated, j.i), same);
    kl_art_fail_if(e, both(e, over, LL.BuildNot(e->b, given, "")), KL_ARTEFACT_OVERLAP);
    count_end(e, &j);
    count_end(e, &o);
    LL.BuildRet(e->b, kl_art_i32(e, KL_ARTEFACT_OK));
}

/* ---- weights in a file ---- */

/* fd = open(path); base = mmap(whole file); the head must be the one that this object was
 * made with: it holds the size and the checksum of what follows. */
void kl_art_make_load(kl_art *e)
{
    enum { RDONLY_CLOEXEC = 02000000, SEEK_TO_END = 2, READ = 1, PRIVATE = 2 };
    char name[300];
    int64_t size = (int64_t)e->a->nweights;
    LLVMTypeRef open_t[] = {e->ptr, e->i32}, seek_t[] = {e->i32, e->i64, e->i32},
                map_t[] = {e->ptr, e->i64, e->i32, e->i32, e->i32, e->i64},
                cmp_t[] = {e->ptr, e->ptr, e->i64}, unmap_t[] = {e->ptr, e->i64};
    snprintf(name, sizeof name, "%s_load", e->a->name);
    LLVMValueRef head =
        LL.ConstStringInContext(e->u.ctx, e->a->weights, KL_WEIGHTS_HEAD, 1);
    LLVMValueRef want = kl_art_name(e, ".head", LL.TypeOf(head), false);
    LL.SetInitializer(want, head);
    LL.SetGlobalConstant(want, 1);
    LLVMValueRef fn = kl_art_function(e, name, e->i32, &e->ptr, 1, true);
    LLVMValueRef close = kl_art_extern(e, "close", e->i32, &e->i32, 1, false);
    LLVMValueRef open_args[] = {LL.GetParam(fn, 0), kl_art_i32(e, RDONLY_CLOEXEC)};
    LLVMValueRef fd =
        kl_art_call(e, kl_art_extern(e, "open", e->i32, open_t, 2, true), open_args, 2);
    kl_art_fail_if(e, is(e, LLVMIntSLT, fd, kl_art_i32(e, 0)), KL_ARTEFACT_WEIGHTS);
    LLVMValueRef seek_args[] = {fd, kl_art_i64(e, 0), kl_art_i32(e, SEEK_TO_END)};
    LLVMValueRef end =
        kl_art_call(e, kl_art_extern(e, "lseek", e->i64, seek_t, 3, false), seek_args, 3);
    LLVMValueRef map_args[] = {LL.ConstNull(e->ptr),
                               kl_art_i64(e, size),
                               kl_art_i32(e, READ),
                               kl_art_i32(e, PRIVATE),
                               fd,
                               kl_art_i64(e, 0)};
    LLVMValueRef base =
        kl_art_call(e, kl_art_extern(e, "mmap", e->ptr, map_t, 6, false), map_args, 6);
    kl_art_call(e, close, &fd, 1);
    LLVMValueRef none =
        is(e, LLVMIntEQ, LL.BuildCast(e->b, LLVMPtrToInt, base, e->i64, ""),
           kl_art_i64(e, -1));
    kl_art_fail_if(e, none, KL_ARTEFACT_WEIGHTS);
    LLVMBasicBlockRef bad = kl_art_block(e, "bad"), look = kl_art_block(e, "look"),
                      good = kl_art_block(e, "good");
    LL.BuildCondBr(e->b, is(e, LLVMIntEQ, end, kl_art_i64(e, size)), look, bad);
    kl_art_go(e, look);
    LLVMValueRef cmp_args[] = {base, want, kl_art_i64(e, KL_WEIGHTS_HEAD)};
    LLVMValueRef same =
        kl_art_call(e, kl_art_extern(e, "memcmp", e->i32, cmp_t, 3, false), cmp_args, 3);
    LL.BuildCondBr(e->b, is(e, LLVMIntEQ, same, kl_art_i32(e, 0)), good, bad);
    kl_art_go(e, bad);
    LLVMValueRef unmap_args[] = {base, kl_art_i64(e, size)};
    kl_art_call(e, kl_art_extern(e, "munmap", e->i32, unmap_t, 2, false), unmap_args, 2);
    LL.BuildRet(e->b, kl_art_i32(e, KL_ARTEFACT_WEIGHTS));
    kl_art_go(e, good);
    LL.BuildStore(e->b, base, e->weights);
    LL.BuildRet(e->b, kl_art_i32(e, KL_ARTEFACT_OK));
}

/* -1 instead of n, where that is more than can be counted. */
static LLVMValueRef or_none(kl_art *e, LLVMValueRef n)
{
    LLVMValueRef tiles = size_about(e, e->size.tile);
    LLVMValueRef workers = LL.ConstReal(LL.TypeOf(tiles), KL_ARTEFACT_WORKERS);
    LLVMValueRef about = LL.BuildFAdd(e->b, size_about(e, e->size.fixed),
                                      LL.BuildFMul(e->b, tiles, workers, ""), "");
    LLVMValueRef fits = LL.BuildFCmp(e->b, LLVMRealOLT, about,
                                     LL.ConstReal(LL.TypeOf(about), 0x1p60), "");
    return LL.BuildSelect(e->b, fits, n, kl_art_i64(e, -1), "");
}

void kl_art_make_scratch_bytes(kl_art *e, bool visible)
{
    char name[300];
    LLVMTypeRef params[64];
    int n = e->a->program->nsyms;
    for (int i = 0; i < n; i++)
        params[i] = e->i64;
    snprintf(name, sizeof name, "%s_scratch_bytes", e->a->name);
    LLVMValueRef fn = kl_art_function(e, name, e->i64, params, n, visible);
    for (int i = 0; i < n; i++)
        e->dims[e->a->syms[i]] = LL.GetParam(fn, (unsigned)i);
    LLVMValueRef hook = kl_art_load(e, e->ptr, e->hook);
    LLVMValueRef one = is(e, LLVMIntEQ, hook, LL.ConstNull(e->ptr));
    LLVMValueRef workers = LL.BuildSelect(e->b, one, kl_art_i64(e, 1),
                                          kl_art_i64(e, KL_ARTEFACT_WORKERS), "");
    LLVMValueRef tiles = LL.BuildMul(e->b, workers, kl_art_size(e, e->size.tile), "");
    LLVMValueRef all = LL.BuildAdd(e->b, kl_art_size(e, e->size.fixed), tiles, "");
    LL.BuildRet(e->b, visible ? all : or_none(e, all));
}
