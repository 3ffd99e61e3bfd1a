/* llvm_emit.c: a lowered kernel as functions of an LLVM module.
 *
 * One function a phase, of the shape that runtime.h calls kl_phase_fn: it reads its
 * argument block, then runs the body for its share of the worker axis, and needs nothing
 * else.
 *
 *   phase r: B { .. }   ->   define void @softmax.0(ptr args, i64 begin, i64 end, i64
 * worker) for (r = begin; r < end; r++) { .. }
 *
 * Here also: frames, positions, types and constants, which all the other llvm_*.c build
 * on. */
#include "codegen/llvm_emit.h"

#include "ir/math.h"

/* struct kl_args, seen from the code. */
enum { ARG_BUFS = 0, ARG_DIMS = 8, ARG_SCRATCH = 16, ARG_STRIDE = 24 };
_Static_assert(offsetof(kl_args, dims) == ARG_DIMS, "kernels read this layout");
_Static_assert(offsetof(kl_args, scratch) == ARG_SCRATCH, "kernels read this layout");
_Static_assert(offsetof(kl_args, scratch_stride) == ARG_STRIDE,
               "kernels read this layout");

void kl_ll_fail(kl_ll *e, kl_status s, const char *what)
{
    bool oom = kl_arena_failed(e->a) || kl_arena_failed(e->k->arena);
    if (e->status == KL_OK) /* what looks impossible may be what found no memory */
        e->status =
            kl_fail(oom ? KL_ERR_OOM : s, "llvm: kernel %s: %s", e->k->name, what);
}

/* ---- frames and positions ---- */

void kl_ll_push(kl_ll *e, LLVMValueRef enter, bool cond, const uint8_t *sets)
{
    if (e->depth == KL_LL_FRAMES) {
        kl_ll_fail(e, KL_ERR_UNSUPPORTED, "statements nested too deep");
        e->depth--; /* nothing will be emitted from here on */
    }
    e->frames[e->depth++] = (kl_ll_frame){.enter = enter, .cond = cond, .sets = sets};
}

void kl_ll_pop(kl_ll *e)
{
    for (kl_ll_val *v = e->frames[--e->depth].vals; v; v = v->next)
        if (e->head[v->x] == v)
            e->head[v->x] = v->prev;
}

void kl_ll_here(kl_ll *e)
{
    LL.PositionBuilderAtEnd(e->b, e->block);
    kl_llvm_lines_again(e->u);
}

void kl_ll_place(kl_ll *e, int level)
{
    for (int i = level + 1; i < e->depth; i++)
        if (e->frames[i].enter) {
            LL.PositionBuilderBefore(e->b, e->frames[i].enter);
            kl_llvm_lines_again(e->u);
            return;
        }
    kl_ll_here(e);
}

LLVMBasicBlockRef kl_ll_block(kl_ll *e, const char *name)
{
    return LL.AppendBasicBlockInContext(e->c, e->fn, name);
}

void kl_ll_set_block(kl_ll *e, LLVMBasicBlockRef b)
{
    e->block = b;
    kl_ll_here(e);
}

/* ---- types, constants, calls ---- */

LLVMTypeRef kl_ll_int(kl_ll *e, int bits, int lanes)
{
    LLVMTypeRef t = LL.IntTypeInContext(e->c, (unsigned)bits);
    return lanes > 1 ? LL.VectorType(t, (unsigned)lanes) : t;
}

/* f16 and bf16 travel as their bits: arithmetic on them has been widened away. */
LLVMTypeRef kl_ll_type(kl_ll *e, kl_dtype dt, int lanes)
{
    if (dt != KL_F32 && dt != KL_F64)
        return kl_ll_int(e, dt == KL_BOOL ? 1 : kl_dtypes[dt].size * 8, lanes);
    LLVMTypeRef t =
        dt == KL_F32 ? LL.FloatTypeInContext(e->c) : LL.DoubleTypeInContext(e->c);
    return lanes > 1 ? LL.VectorType(t, (unsigned)lanes) : t;
}

LLVMTypeRef kl_ll_mem_type(kl_ll *e, kl_dtype dt, int lanes)
{
    return dt == KL_BOOL ? kl_ll_int(e, 8, lanes) : kl_ll_type(e, dt, lanes);
}

static LLVMValueRef repeat(LLVMValueRef v, int lanes)
{
    LLVMValueRef all[256];
    if (lanes <= 1)
        return v;
    for (int i = 0; i < lanes; i++)
        all[i] = v;
    return LL.ConstVector(all, (unsigned)lanes);
}

LLVMValueRef kl_ll_const_int(kl_ll *e, int bits, uint64_t v, int lanes)
{
    return repeat(LL.ConstInt(kl_ll_int(e, bits, 1), v, 0), lanes);
}

LLVMValueRef kl_ll_const(kl_ll *e, kl_dtype dt, uint64_t bits, int lanes)
{
    int width = dt == KL_BOOL ? 1 : kl_dtypes[dt].size * 8;
    if (width < 64)
        bits &= ((uint64_t)1 << width) - 1;
    LLVMValueRef v = LL.ConstInt(kl_ll_int(e, width, 1), bits, 0);
    return repeat(LL.ConstBitCast(v, kl_ll_type(e, dt, 1)), lanes);
}

LLVMValueRef kl_ll_i64(kl_ll *e, int64_t v)
{
    return LL.ConstInt(kl_ll_int(e, 64, 1), (unsigned long long)v, 1);
}

LLVMValueRef kl_ll_call(kl_ll *e, const char *intrinsic, LLVMTypeRef *over, int nover,
                        LLVMValueRef *args, int n)
{
    unsigned id = LL.LookupIntrinsicID(intrinsic, strlen(intrinsic));
    LLVMValueRef fn = LL.GetIntrinsicDeclaration(e->u->mod, id, over, (size_t)nover);
    LLVMTypeRef t = LL.IntrinsicGetType(e->c, id, over, (size_t)nover);
    return LL.BuildCall2(e->b, t, fn, args, (unsigned)n, "");
}

LLVMValueRef kl_ll_gep(kl_ll *e, LLVMTypeRef t, LLVMValueRef p, LLVMValueRef index)
{
    return LL.BuildGEP2(e->b, t, p, &index, 1, "");
}

LLVMValueRef kl_ll_name(LLVMValueRef v, const char *name)
{
    if (name)
        LL.SetValueName2(v, name, strlen(name));
    return v;
}

/* ---- the argument block ---- */

LLVMValueRef kl_ll_arg(kl_ll *e, int64_t byte, LLVMTypeRef t)
{
    LLVMValueRef p = kl_ll_gep(e, kl_ll_int(e, 8, 1), e->args, kl_ll_i64(e, byte));
    return LL.BuildLoad2(e->b, t, p, "");
}

/* The launch's i-th extent, read once. */
static LLVMValueRef given_extent(kl_ll *e, int i)
{
    if (!e->dim_values[i]) {
        LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
        LLVMValueRef dims = kl_ll_arg(e, ARG_DIMS, LL.PointerTypeInContext(e->c, 0));
        LLVMValueRef p = kl_ll_gep(e, i64, dims, kl_ll_i64(e, i));
        e->dim_values[i] = LL.BuildLoad2(e->b, i64, p, "");
    }
    return e->dim_values[i];
}

static LLVMValueRef symbol(kl_ll *e, int sym)
{
    for (int i = 0; i < e->ndims; i++)
        if (kl_dim_sym_index(e->x->dims, e->dims[i]) == sym)
            return given_extent(e, i);
    kl_ll_fail(e, KL_ERR_INTERNAL,
               "an extent rests on a symbol that the launch does not give");
    return kl_ll_i64(e, 0);
}

/* An expression of the launch's symbols: its postfix code, built. */
static LLVMValueRef computed_extent(kl_ll *e, kl_dim d)
{
    static const kl_op ops[] = {
        [-KL_SIZE_ADD] = KL_OP_add,      [-KL_SIZE_MUL] = KL_OP_mul,
        [-KL_SIZE_DIV] = KL_OP_floordiv, [-KL_SIZE_MOD] = KL_OP_mod,
        [-KL_SIZE_MAX] = KL_OP_max,      [-KL_SIZE_MIN] = KL_OP_min};
    LLVMValueRef st[64];
    int n = 0;
    kl_size s = kl_dim_size(e->x->dims, d, e->a);
    for (int i = 0; i < s.len && n < 64; i++) {
        int64_t c = s.code[i];
        if (c >= 0) {
            st[n++] = kl_ll_i64(e, c);
        } else if (c <= KL_SIZE_NEG) {
            if (c == KL_SIZE_NEG)
                st[n - 1] = LL.BuildNeg(e->b, st[n - 1], "");
            else
                st[n++] = symbol(e, (int)(c - KL_SIZE_SYM));
        } else {
            n--;
            st[n - 1] = kl_ll_op(e, ops[-c], KL_I64, st[n - 1], st[n], NULL);
        }
    }
    if (n != 1)
        kl_ll_fail(e, KL_ERR_UNSUPPORTED, "an extent is too deep an expression");
    return n == 1 ? st[0] : NULL;
}

LLVMValueRef kl_ll_extent(kl_ll *e, kl_dim d)
{
    int64_t v;
    if (kl_dim_is_const(e->x->dims, d, &v))
        return kl_ll_i64(e, v);
    kl_ll_place(e, 0);
    for (int i = 0; i < e->ndims; i++)
        if (e->dims[i] == d)
            return given_extent(e, i);
    return computed_extent(e, d);
}

/* Tiles lie in the worker's scratch; their offset may rest on extents that the launch
 * gives. */
static LLVMValueRef tile_base(kl_ll *e, uint32_t i)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1), i8 = kl_ll_int(e, 8, 1);
    LLVMValueRef p = kl_ll_arg(e, ARG_SCRATCH, LL.PointerTypeInContext(e->c, 0));
    LLVMValueRef stride = kl_ll_arg(e, ARG_STRIDE, i64);
    p = kl_ll_gep(e, i8, p, LL.BuildMul(e->b, e->worker, stride, ""));
    LLVMValueRef offset = kl_ll_extent(e, e->tile_offset[i]);
    return offset ? kl_ll_gep(e, i8, p, offset) : p;
}

static LLVMValueRef buffer_base(kl_ll *e, uint32_t i)
{
    LLVMTypeRef ptr = LL.PointerTypeInContext(e->c, 0);
    int64_t slot = 0;
    for (uint32_t j = 0; j < i; j++)
        slot += e->k->operands[j].role != KL_ROLE_TILE;
    LLVMValueRef bufs = kl_ll_arg(e, ARG_BUFS, ptr);
    return LL.BuildLoad2(e->b, ptr, kl_ll_gep(e, ptr, bufs, kl_ll_i64(e, slot)), "");
}

LLVMValueRef kl_ll_operand(kl_ll *e, uint32_t i)
{
    if (!e->ops[i]) {
        kl_ll_place(e, 0);
        const kl_operand *o = &e->k->operands[i];
        e->ops[i] = o->role == KL_ROLE_TILE ? tile_base(e, i) : buffer_base(e, i);
        kl_ll_name(e->ops[i], o->name);
    }
    return e->ops[i];
}

/* ---- phases ---- */

static LLVMTypeRef phase_type(kl_ll *e)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    LLVMTypeRef params[] = {LL.PointerTypeInContext(e->c, 0), i64, i64, i64};
    return LL.FunctionType(LL.VoidTypeInContext(e->c), params, 4, 0);
}

void kl_ll_forget(kl_ll *e)
{
    for (uint32_t i = 0; i < e->nhead; i++)
        e->head[i] = NULL;
    for (uint32_t i = 0; i < e->k->nregs; i++)
        e->regs[i] = (kl_ll_reg){.level = -1};
    for (uint32_t i = 0; i < e->k->noperands; i++)
        e->ops[i] = NULL;
    for (uint32_t i = 0; i < e->nvars; i++)
        e->var[i] = NULL;
    for (int i = 0; i < e->ndims; i++)
        e->dim_values[i] = NULL;
    e->depth = e->loops = 0;
    e->dummy = e->astray = NULL;
    e->lane = (kl_ll_lane){0};
    e->scalar_lanes = 0;
    memset(e->vecs, 0, sizeof e->vecs);
    memset(e->mask, 0, sizeof e->mask);
    memset(e->side, 0, sizeof e->side);
}

static void emit_phase(kl_ll *e, int p, const char *name)
{
    const kl_phase *ph = &e->k->phases[p];
    kl_ll_forget(e);
    e->phase = ph;
    e->fn = LL.AddFunction(e->u->mod, name, phase_type(e));
    e->args = kl_ll_name(LL.GetParam(e->fn, 0), "args");
    e->worker = kl_ll_name(LL.GetParam(e->fn, 3), "worker");
    kl_ll_set_block(e, kl_ll_block(e, "entry"));
    kl_llvm_lines_phase(e->u, e->fn, name, ph->line);
    kl_ll_push(e, NULL, false, kl_ll_sets(e, NULL));
    kl_ll_loop l;
    kl_ll_loop_begin(e, &l, kl_ll_name(LL.GetParam(e->fn, 1), "begin"),
                     kl_ll_name(LL.GetParam(e->fn, 2), "end"), 1, false, ph->body,
                     e->x->var_name[ph->var]);
    e->var[ph->var] = l.iv;
    e->var_level[ph->var] = kl_ll_top(e);
    kl_ll_body(e, ph->body);
    kl_ll_loop_end(e, &l);
    kl_ll_here(e);
    kl_ll_stream_end(e);
    kl_ll_bounds_end(e);
    LL.BuildRetVoid(e->b);
    kl_ll_pop(e);
}

/* What this target does by itself; the rest is decomposed before it comes here. */
static void native_rows(kl_ll *e)
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        e->native[op] =
            (kl_ops[op].kind == KL_KIND_ELT || kl_ops[op].kind == KL_KIND_CAST) &&
            (!(kl_ops[op].flags & (KL_F_MATH | KL_F_GRAPH)) ||
             kl_math_has_usual((kl_op)op, KL_F32) ||
             kl_math_has_usual((kl_op)op, KL_F64));
}

static kl_status init(kl_ll *e, kl_llvm_unit *u, const kl_kernel *k, kl_arena *a)
{
    *e = (kl_ll){.u = u,
                 .c = u->ctx,
                 .b = u->b,
                 .k = k,
                 .t = u->target,
                 .x = k->x,
                 .a = a,
                 .bounds = kl_env_get()->bounds};
    if (!kl_ll_ends_init(e))
        return kl_fail(KL_ERR_OOM, "llvm: kernel %s", k->name);
    e->nvars = k->x->nvars;
    e->var = kl_arena_zeroed(a, e->nvars + 1, sizeof *e->var);
    e->var_level = kl_arena_zeroed(a, e->nvars + 1, sizeof *e->var_level);
    e->written_out = kl_arena_zeroed(a, e->nvars + 1, sizeof *e->written_out);
    e->regs = kl_arena_zeroed(a, k->nregs + 1, sizeof *e->regs);
    e->local = kl_arena_zeroed(a, k->nregs + 1, sizeof *e->local);
    e->ops = kl_arena_zeroed(a, k->noperands + 1, sizeof *e->ops);
    e->tile_offset = kl_arena_zeroed(a, k->noperands + 1, sizeof *e->tile_offset);
    int n = kl_kernel_dims(k, NULL, 0);
    e->dims = kl_arena_zeroed(a, (size_t)KL_MAX(n, 0) + 1, sizeof *e->dims);
    e->dim_values = kl_arena_zeroed(a, (size_t)KL_MAX(n, 0) + 1, sizeof *e->dim_values);
    if (n < 0 || kl_arena_failed(a))
        return kl_fail(KL_ERR_OOM, "llvm: kernel %s", k->name);
    e->ndims = kl_kernel_dims(k, e->dims, n);
    kl_kernel_scratch(k, e->tile_offset);
    native_rows(e);
    if (e->ndims < 0 || kl_arena_failed(a))
        return kl_fail(KL_ERR_OOM, "llvm: kernel %s", k->name);
    return KL_OK;
}

kl_status kl_llvm_kernel(kl_llvm_unit *u, const kl_kernel *k, const char *symbol,
                         kl_arena *a)
{
    kl_ll *e = kl_arena_alloc(a, sizeof *e);
    k = kl_kernel_own(k, a);
    if (!e || !k)
        return kl_fail(KL_ERR_OOM, "llvm: kernel %s", symbol);
    KL_TRY(init(e, u, k, a));
    for (int p = 0; p < k->nphases && e->status == KL_OK; p++) {
        char name[160];
        snprintf(name, sizeof name, "%s.%d", symbol, p);
        emit_phase(e, p, name);
    }
    if (e->status == KL_OK && (kl_arena_failed(a) || kl_arena_failed(k->arena)))
        e->status = kl_fail(KL_ERR_OOM, "llvm: kernel %s", k->name);
    return e->status;
}
