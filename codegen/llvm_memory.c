/* llvm_memory.c: loads and stores.
 *
 * In a lane loop the index tells the shape of the access: base + 1 * lane is one vector,
 * base alone one scalar for all lanes, base - lane a vector reversed; rows of a wider
 * array are two vectors, the end of one row and the beginning of the next; base + s *
 * lane and anything else go a lane at a time (or by a gather where the target likes
 * them).
 *
 *   load x[r*64+c]   c the lane variable   ->   p = x + r*64 (r's frame);  load <16 x
 * f32>, p + c
 *
 * A lane that is masked off or whose predicate is false touches no memory: masked
 * accesses where the target has them for that size, else its address becomes that of a
 * slot on the stack, which needs no branch. No alignment is taken for granted but the
 * element's. An input is never changed by its kernel, so its loads move out as far as
 * their index and the conditions around them allow; what the kernel itself writes is read
 * where it stands. */
#include "codegen/llvm_emit.h"

enum { MOST_CHUNK = 256 }; /* bytes */

typedef enum shape { ONE, VECTOR, REVERSED, STRIDED, RUNS, SCATTERED } shape;

/* One access, worked out. */
typedef struct access {
    uint32_t operand;
    kl_dtype dt;
    shape shape;
    int64_t coef;
    int level;        /* of the address */
    kl_ll_val *index; /* ONE, SCATTERED: the index; else its part without the lane */
    int64_t further;  /* and so many elements */
    kl_x at;          /* the whole index */
    int64_t run;      /* RUNS: elements of a row */
    kl_ll_val *pred;  /* NULL: always */
    bool own; /* a tile with a copy for each lane: element i of lane l at i * L + l */
    LLVMValueRef start; /* the address of index + coef * the lane loop's base */
    uint64_t regs, mem;
} access;

/* ---- masks ---- */

LLVMValueRef kl_ll_and(kl_ll *e, LLVMValueRef a, LLVMValueRef b)
{
    return !a ? b : !b ? a : LL.BuildAnd(e->b, a, b, "");
}

LLVMValueRef kl_ll_any(kl_ll *e, LLVMValueRef mask)
{
    int lanes = kl_ll_lanes_of(mask);
    if (lanes == 1)
        return mask;
    LLVMTypeRef t = kl_ll_int(e, lanes, 1);
    LLVMValueRef bits = LL.BuildBitCast(e->b, mask, t, "");
    return LL.BuildICmp(e->b, LLVMIntNE, bits, LL.ConstNull(t), "");
}

/* Whether a masked access of that dtype is an instruction. */
static bool has_masked(const kl_ll *e, kl_dtype dt)
{
    bool x86 = strncmp(e->t->triple, "x86", 3) == 0;
    return e->t->masked || (x86 && e->t->isa_bits >= 256 && kl_dtypes[dt].size >= 4);
}

/* A lane of a mask: NULL when it is known to be on; *off when known to be off. */
static LLVMValueRef lane_of(kl_ll *e, LLVMValueRef mask, int lane, bool *off)
{
    *off = false;
    if (!mask)
        return NULL;
    if (kl_ll_lanes_of(mask) > 1)
        mask = LL.BuildExtractElement(e->b, mask,
                                      kl_ll_const_int(e, 32, (uint64_t)lane, 1), "");
    if (!LL.IsAConstantInt(mask))
        return mask;
    *off = LL.ConstIntGetSExtValue(mask) == 0;
    return NULL;
}

/* Bytes on the stack that may be read (zero) and written instead of the operand's. */
static LLVMValueRef dummy(kl_ll *e)
{
    if (!e->dummy) {
        LLVMBasicBlockRef was = LL.GetInsertBlock(e->b);
        LL.PositionBuilderBefore(e->b, e->frames[1].enter);
        /* checks of bounds let a whole chunk go there */
        LLVMTypeRef t = kl_ll_int(e, 64, e->bounds ? MOST_CHUNK / 8 : 1);
        e->dummy = LL.BuildAlloca(e->b, t, "nowhere");
        LL.SetAlignment(LL.BuildStore(e->b, LL.ConstNull(t), e->dummy), 8);
        LL.SetAlignment(e->dummy, 8);
        LL.PositionBuilderAtEnd(e->b, was);
        kl_llvm_lines_again(e->u);
    }
    return e->dummy;
}

static LLVMValueRef guard(kl_ll *e, LLVMValueRef p, LLVMValueRef on)
{
    return on ? LL.BuildSelect(e->b, on, p, e->dummy, "") : p;
}

/* ---- where ---- */

/* The frame a load of operand o cannot leave: it may not run, or it writes o. */
static int load_level(const kl_ll *e, uint32_t o)
{
    for (int i = kl_ll_top(e); i > 0; i--)
        if (e->frames[i].cond || e->frames[i].sets[e->k->nregs + o])
            return i;
    return 0;
}

/* x less its constant terms, which unrolled variables are too: what is read beside each
 * other has one address, and the distance is part of the instruction. KL_NONE: x is
 * nothing else. */
static kl_x split_constant(kl_ll *e, access *m, kl_x x)
{
    const kl_xnode n = e->x->nodes[x];
    int64_t v;
    if (n.op == KL_OP_add && n.dtype == KL_I64) {
        kl_x a = split_constant(e, m, n.src[0]), b = split_constant(e, m, n.src[1]);
        bool whole = a == n.src[0] && b == n.src[1];
        return a == KL_NONE ? b : b == KL_NONE ? a : whole ? x : kl_x_add(e->x, a, b);
    }
    if (!kl_ll_static(e, x, &v))
        return x;
    m->further = (int64_t)((uint64_t)m->further + (uint64_t)v);
    const kl_ll_val *known = kl_ll_eval(e, x);
    m->level = KL_MAX(m->level, known ? known->level : 0); /* another in another turn */
    return KL_NONE;
}

/* The index of an access that all lanes have in common. */
static void common_index(kl_ll *e, access *m, kl_x x)
{
    if (x == KL_NONE) { /* no memory */
        m->index = NULL;
        return;
    }
    kl_x rest = e->bounds ? x : split_constant(e, m, x);
    m->index = kl_ll_eval(e, rest == KL_NONE ? kl_x_int(e->x, 0) : rest);
}

/* The index as a part without the lane and a constant times the lane. */
static bool by_lane(kl_ll *e, access *m, kl_x index)
{
    kl_x base;
    int64_t coef;
    if (!e->lane.on || !kl_x_affine(e->x, index, e->lane.var, &base, &coef))
        return false;
    common_index(e, m, base);
    if (!m->index || m->index->vary)
        return false;
    m->coef = coef;
    m->shape = coef == 0 ? ONE : coef == 1 ? VECTOR : coef == -1 ? REVERSED : STRIDED;
    return true;
}

/* Rows of a wider array, of a vector at least each; m->index: where the first lane is. */
static bool by_runs(kl_ll *e, access *m, kl_x index)
{
    if (!e->lane.on || e->bounds || m->own || !has_masked(e, m->dt))
        return false;
    m->run = kl_x_run(e->x, index, e->lane.var);
    if (e->lane.vec < 4 || m->run < e->lane.vec)
        return false;
    m->index = kl_ll_at_end(e, index, 0, false);
    m->shape = RUNS;
    return m->index && !m->index->vary;
}

/* A tile of each lane's own: lanes beside each other. */
static bool by_own_lane(kl_ll *e, access *m, kl_x index)
{
    const kl_operand *o = &e->k->operands[m->operand];
    m->own = o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE;
    if (!m->own)
        return false;
    m->index =
        kl_ll_eval(e, kl_x_mul(e->x, index, kl_x_int(e->x, kl_kernel_lanes(e->k))));
    m->shape = VECTOR;
    m->coef = 1;
    if (m->index && (m->index->vary || !e->lane.on))
        kl_ll_fail(e, KL_ERR_UNSUPPORTED,
                   "a lane's own tile read at an index of its own");
    return true;
}

static bool locate(kl_ll *e, access *m, uint32_t operand, kl_x index, kl_x pred,
                   bool load)
{
    m->operand = operand;
    m->at = index;
    m->dt = e->k->operands[operand].dtype;
    if (!by_own_lane(e, m, index) && !by_lane(e, m, index) &&
        !(load && by_runs(e, m, index))) {
        m->further = 0, m->level = 0; /* of the try before */
        if (e->lane.on)
            m->index = kl_ll_eval(e, index);
        else
            common_index(e, m, index);
        m->shape = m->index && m->index->vary ? SCATTERED : ONE;
    }
    if (pred != KL_NONE && !(m->pred = kl_ll_eval(e, pred)))
        return false;
    if (!m->index)
        return false;
    bool moves = m->shape != ONE;
    m->level = KL_MAX(m->level, m->index->level);
    m->level = KL_MAX(m->level, moves ? e->lane.level : 0);
    m->regs = m->index->regs | (m->pred ? m->pred->regs : 0);
    m->mem = m->index->mem | (m->pred ? m->pred->mem : 0);
    if (m->pred)
        dummy(e);
    return e->status == KL_OK;
}

/* The same at the lane loop's base. */
static LLVMValueRef base_address(kl_ll *e, access *m, LLVMValueRef p)
{
    LLVMValueRef at = e->lane.base;
    if (LL.IsAConstantInt(at)) { /* many loops' */
        m->further += m->coef * LL.ConstIntGetSExtValue(at);
        return p;
    }
    kl_ll_address *a = kl_ll_address_of(e, m->operand, m->index, m->coef, at);
    if (!a)
        return p;
    if (!a->at) {
        kl_ll_place(e, KL_MAX(m->index->level, e->lane.level));
        if (m->coef != 1)
            at = LL.BuildMul(e->b, at, kl_ll_i64(e, m->coef), "");
        a->at = kl_ll_gep(e, kl_ll_mem_type(e, m->dt, 1), p, at);
    }
    return a->at;
}

/* Element i of the access, counted from where it begins. */
static LLVMValueRef element(kl_ll *e, const access *m, int64_t i)
{
    i += m->further;
    return i ? kl_ll_gep(e, kl_ll_mem_type(e, m->dt, 1), m->start, kl_ll_i64(e, i))
             : m->start;
}

/* The base pointer of the access, its parts built where they are known. */
static void address(kl_ll *e, access *m)
{
    if (m->shape == SCATTERED || m->shape == RUNS) {
        m->start = kl_ll_operand(e, m->operand);
        return;
    }
    m->start = kl_ll_uniform_address(e, m->operand, m->index);
    if (m->shape != ONE && !m->own)
        m->start = base_address(e, m, m->start);
    if (m->shape == ONE) {
        kl_ll_place(e, m->index->level);
        m->start = element(e, m, 0);
    }
}

/* Element `lane` of chunk c, for a shape that is not ONE. */
static LLVMValueRef lane_address(kl_ll *e, const access *m, int c, int lane)
{
    LLVMTypeRef t = kl_ll_mem_type(e, m->dt, 1);
    if (m->shape != SCATTERED)
        return element(e, m, (c * e->lane.vec + lane) * m->coef);
    LLVMValueRef i = m->index->v[c];
    if (e->lane.vec > 1)
        i = LL.BuildExtractElement(e->b, i, kl_ll_const_int(e, 32, (uint64_t)lane, 1),
                                   "");
    return kl_ll_gep(e, t, m->start, i);
}

/* The lowest address of chunk c of a VECTOR or REVERSED access. */
static LLVMValueRef chunk_address(kl_ll *e, const access *m, int c)
{
    int vec = e->lane.vec;
    int64_t at = m->shape == VECTOR ? (int64_t)c * vec : -(int64_t)c * vec - (vec - 1);
    return element(e, m, at);
}

static LLVMValueRef reverse(kl_ll *e, LLVMValueRef v)
{
    LLVMValueRef order[256];
    int n = v ? kl_ll_lanes_of(v) : 1;
    if (n == 1)
        return v;
    for (int i = 0; i < n; i++)
        order[i] = kl_ll_const_int(e, 32, (uint64_t)(n - 1 - i), 1);
    return LL.BuildShuffleVector(e->b, v, LL.GetPoison(LL.TypeOf(v)),
                                 LL.ConstVector(order, (unsigned)n), "");
}

/* ---- values in memory and in registers ---- */

static LLVMValueRef from_memory(kl_ll *e, kl_dtype dt, LLVMValueRef v)
{
    if (dt != KL_BOOL)
        return v;
    /* any byte but 0 is true, as the interpreter has it: others' memory may hold such */
    return LL.BuildICmp(e->b, LLVMIntNE, v, LL.ConstNull(LL.TypeOf(v)), "");
}

static LLVMValueRef to_memory(kl_ll *e, kl_dtype dt, LLVMValueRef v)
{
    if (dt != KL_BOOL)
        return v;
    return LL.BuildZExt(e->b, v, kl_ll_mem_type(e, dt, kl_ll_lanes_of(v)), "");
}

static LLVMValueRef plain_load(kl_ll *e, kl_dtype dt, int lanes, LLVMValueRef p)
{
    LLVMValueRef v = LL.BuildLoad2(e->b, kl_ll_mem_type(e, dt, lanes), p, "");
    LL.SetAlignment(v, kl_dtypes[dt].size);
    return v;
}

static LLVMValueRef plain_store(kl_ll *e, kl_dtype dt, LLVMValueRef v, LLVMValueRef p)
{
    LLVMValueRef store = LL.BuildStore(e->b, v, p);
    LL.SetAlignment(store, kl_dtypes[dt].size);
    return store;
}

/* ---- bounds ---- */

/* Remember the first access out of range, for the phase's end to report. Without a branch
 * an access: LLVM's time is more than linear in blocks. */
static void remember(kl_ll *e, LLVMValueRef bad, uint32_t node, LLVMValueRef at)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    if (!e->astray) {
        LLVMBasicBlockRef was = LL.GetInsertBlock(e->b);
        LL.PositionBuilderBefore(e->b, e->frames[1].enter);
        e->astray = LL.BuildAlloca(e->b, i64, "astray");
        e->astray_at = LL.BuildAlloca(e->b, i64, "astray.at");
        LL.BuildStore(e->b, kl_ll_i64(e, 0), e->astray);
        LL.BuildStore(e->b, kl_ll_i64(e, 0), e->astray_at);
        LL.PositionBuilderAtEnd(e->b, was);
        kl_llvm_lines_again(e->u);
    }
    LLVMValueRef known = LL.BuildLoad2(e->b, i64, e->astray, "");
    LLVMValueRef known_at = LL.BuildLoad2(e->b, i64, e->astray_at, "");
    LLVMValueRef none = LL.BuildICmp(e->b, LLVMIntEQ, known, kl_ll_i64(e, 0), "");
    LLVMValueRef now = LL.BuildAnd(e->b, bad, none, "");
    LLVMValueRef mine = kl_ll_i64(e, (int64_t)node + 1);
    LL.BuildStore(e->b, LL.BuildSelect(e->b, now, mine, known, ""), e->astray);
    LL.BuildStore(e->b, LL.BuildSelect(e->b, now, at, known_at, ""), e->astray_at);
}

void kl_ll_bounds_end(kl_ll *e)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    if (!e->astray)
        return;
    LLVMValueRef node = LL.BuildLoad2(e->b, i64, e->astray, "");
    LLVMValueRef at = LL.BuildLoad2(e->b, i64, e->astray_at, "");
    LLVMValueRef bad = LL.BuildICmp(e->b, LLVMIntNE, node, kl_ll_i64(e, 0), "");
    node = LL.BuildSub(e->b, node, kl_ll_i64(e, 1), "");
    kl_ll_fault(e, bad, KL_FAULT_BOUNDS, node, at);
    kl_ll_here(e);
}

/* i in [low, low + count) of the operand. */
static LLVMValueRef in_range(kl_ll *e, const kl_operand *o, LLVMValueRef i)
{
    int lanes = kl_ll_lanes_of(i);
    LLVMValueRef low = kl_ll_extent(e, o->low), count = kl_ll_extent(e, o->count);
    kl_ll_here(e);
    LLVMValueRef lows = kl_ll_broadcast(e, low, lanes);
    LLVMValueRef size = kl_ll_broadcast(e, count, lanes);
    return LL.BuildICmp(e->b, LLVMIntULT, LL.BuildSub(e->b, i, lows, ""), size, "");
}

/* Note lanes of chunk c that are on and out of range; on is narrowed to the others. */
static LLVMValueRef check_bounds(kl_ll *e, const access *m, int c, bool one,
                                 LLVMValueRef on)
{
    const kl_operand *o = &e->k->operands[m->operand];
    kl_ll_val *full = e->bounds ? kl_ll_eval(e, m->at) : NULL;
    if (!full)
        return on;
    kl_ll_here(e);
    LLVMValueRef i = one ? full->v[0] : kl_ll_chunk(e, full, c);
    LLVMValueRef in = in_range(e, o, i);
    LLVMValueRef bad = kl_ll_and(e, on, LL.BuildNot(e->b, in, ""));
    LLVMValueRef first = kl_ll_lanes_of(i) == 1 ? i : kl_ll_first(e, i, bad);
    remember(e, kl_ll_any(e, bad), o->node, first);
    return kl_ll_and(e, on, in);
}

/* Lanes side by side that are all on are checked at their two ends, and stay one vector.
 */
static bool checks_ends(const kl_ll *e, const access *m, LLVMValueRef on)
{
    return e->bounds && !on && e->lane.vec > 1 && !m->own &&
           (m->shape == VECTOR || m->shape == REVERSED) &&
           e->lane.vec * (int)kl_dtypes[m->dt].size <= MOST_CHUNK;
}

/* i1: chunk c lies in range. */
static LLVMValueRef check_ends(kl_ll *e, const access *m, int c)
{
    const kl_operand *o = &e->k->operands[m->operand];
    dummy(e);
    kl_ll_here(e);
    LLVMValueRef at = LL.BuildAdd(e->b, e->lane.base, kl_ll_i64(e, c * e->lane.vec), "");
    at = LL.BuildMul(e->b, at, kl_ll_i64(e, m->coef), "");
    LLVMValueRef first = LL.BuildAdd(e->b, m->index->v[0], at, "");
    LLVMValueRef last =
        LL.BuildAdd(e->b, first, kl_ll_i64(e, m->coef * (e->lane.vec - 1)), "");
    LLVMValueRef begins = in_range(e, o, first);
    LLVMValueRef in = LL.BuildAnd(e->b, begins, in_range(e, o, last), "");
    remember(e, LL.BuildNot(e->b, in, ""), o->node,
             LL.BuildSelect(e->b, begins, last, first, ""));
    return in;
}

/* ---- loads ---- */

/* Lanes of chunk c that load: those that are on and whose predicate holds. in: i1 or
 * NULL, whether any may. */
static LLVMValueRef load_mask(kl_ll *e, const access *m, int c, LLVMValueRef *in)
{
    LLVMValueRef p =
        m->pred && !KL_PLANTED(load_mask) ? kl_ll_chunk(e, m->pred, c) : NULL;
    kl_ll_place(e, m->level);
    LLVMValueRef on = kl_ll_and(e, e->mask[c], p);
    *in = checks_ends(e, m, on) ? check_ends(e, m, c) : NULL;
    return *in ? NULL : check_bounds(e, m, c, false, on);
}

static LLVMValueRef by_lanes(kl_ll *e, const access *m, int c, LLVMValueRef mask,
                             LLVMValueRef other)
{
    int vec = e->lane.vec;
    LLVMTypeRef t = kl_ll_mem_type(e, m->dt, vec);
    bool whole = true, off;
    LLVMValueRef y = LL.GetPoison(t);
    for (int l = 0; l < vec; l++) {
        LLVMValueRef on = lane_of(e, mask, l, &off);
        whole = whole && !on && !off;
        if (off)
            continue;
        LLVMValueRef p = guard(e, lane_address(e, m, c, l), on);
        LLVMValueRef v = plain_load(e, m->dt, 1, p);
        y = vec == 1 ? v
                     : LL.BuildInsertElement(e->b, y, v,
                                             kl_ll_const_int(e, 32, (uint64_t)l, 1), "");
    }
    y = from_memory(e, m->dt, y);
    return whole ? y : LL.BuildSelect(e->b, mask, y, other, "");
}

/* As it is in memory. */
static LLVMValueRef masked_bytes(kl_ll *e, const access *m, LLVMValueRef p,
                                 LLVMValueRef mask, LLVMValueRef other)
{
    LLVMTypeRef over[] = {kl_ll_mem_type(e, m->dt, e->lane.vec),
                          LL.PointerTypeInContext(e->c, 0)};
    LLVMValueRef args[] = {p, kl_ll_const_int(e, 32, kl_dtypes[m->dt].size, 1), mask,
                           to_memory(e, m->dt, other)};
    return kl_ll_call(e, "llvm.masked.load", over, 2, args, 4);
}

static LLVMValueRef masked_load(kl_ll *e, const access *m, LLVMValueRef p,
                                LLVMValueRef mask, LLVMValueRef other)
{
    return from_memory(e, m->dt, masked_bytes(e, m, p, mask, other));
}

static LLVMValueRef gather(kl_ll *e, const access *m, int c, LLVMValueRef mask,
                           LLVMValueRef other)
{
    int vec = e->lane.vec;
    LLVMTypeRef ptr = LL.PointerTypeInContext(e->c, 0);
    LLVMTypeRef over[] = {kl_ll_mem_type(e, m->dt, vec),
                          LL.VectorType(ptr, (unsigned)vec)};
    LLVMValueRef ps = kl_ll_gep(e, kl_ll_mem_type(e, m->dt, 1), m->start, m->index->v[c]);
    if (!mask)
        mask = kl_ll_const(e, KL_BOOL, 1, vec);
    LLVMValueRef args[] = {ps, kl_ll_const_int(e, 32, kl_dtypes[m->dt].size, 1), mask,
                           other};
    return kl_ll_call(e, "llvm.masked.gather", over, 2, args, 4);
}

/* One element for all lanes that are on. */
static LLVMValueRef load_for_all(kl_ll *e, const access *m, LLVMValueRef mask,
                                 LLVMValueRef other)
{
    LLVMValueRef on = mask ? kl_ll_any(e, mask) : NULL;
    LLVMValueRef v = plain_load(e, m->dt, 1, guard(e, m->start, on));
    v = kl_ll_broadcast(e, from_memory(e, m->dt, v), e->lane.vec);
    return mask ? LL.BuildSelect(e->b, mask, v, other, "") : v;
}

/* A vector of which every other element is wanted, from the one at odd on: those that are
 * masked off stay untouched. */
static LLVMValueRef half_of(kl_ll *e, const access *m, LLVMValueRef p, int odd,
                            LLVMValueRef mask, LLVMValueRef other)
{
    LLVMValueRef order[256];
    int vec = e->lane.vec;
    if (!mask)
        return plain_load(e, m->dt, vec, p);
    for (int l = 0; l < vec; l++)
        order[l] = kl_ll_const_int(
            e, 32, (uint64_t)(l % 2 == odd ? (l + odd * (vec - 1)) / 2 : vec), 1);
    mask = LL.BuildShuffleVector(e->b, mask, LL.ConstNull(kl_ll_type(e, KL_BOOL, vec)),
                                 LL.ConstVector(order, (unsigned)vec), "");
    return masked_bytes(e, m, p, mask, other);
}

/* Every other element: of two vectors, the second one back by one so that it ends with
 * the last element asked for. */
static LLVMValueRef every_other(kl_ll *e, const access *m, int c, LLVMValueRef mask,
                                LLVMValueRef other)
{
    LLVMValueRef order[256];
    int vec = e->lane.vec;
    LLVMValueRef p = lane_address(e, m, c, 0);
    LLVMValueRef q = kl_ll_gep(e, kl_ll_mem_type(e, m->dt, 1), p, kl_ll_i64(e, vec - 1));
    for (int l = 0; l < vec; l++)
        order[l] = kl_ll_const_int(e, 32, (uint64_t)(2 * l < vec ? 2 * l : 2 * l + 1), 1);
    LLVMValueRef a = half_of(e, m, p, 0, mask, other),
                 b = half_of(e, m, q, 1, mask, other);
    LLVMValueRef v =
        LL.BuildShuffleVector(e->b, a, b, LL.ConstVector(order, (unsigned)vec), "");
    v = from_memory(e, m->dt, v);
    return mask ? LL.BuildSelect(e->b, mask, v, other, "") : v;
}

/* The lanes of the row that the first one is in, then those of the next. */
static LLVMValueRef two_rows(kl_ll *e, const access *m, int c, LLVMValueRef in,
                             LLVMValueRef mask, LLVMValueRef other)
{
    int vec = e->lane.vec;
    LLVMTypeRef t = kl_ll_mem_type(e, m->dt, 1);
    const kl_ll_val *i = kl_ll_at_end(e, m->at, c, false), *j = NULL;
    LLVMValueRef here = m->run % vec ? kl_ll_of_row(e, m->run, c) : NULL;
    if (!i || (here && !(j = kl_ll_at_end(e, m->at, c, true))))
        return other;
    kl_ll_place(e, m->level);
    LLVMValueRef p = guard(e, kl_ll_gep(e, t, m->start, i->v[0]), in);
    if (!here)
        return mask ? masked_load(e, m, p, mask, other)
                    : from_memory(e, m->dt, plain_load(e, m->dt, vec, p));
    LLVMValueRef q = kl_ll_gep(e, t, m->start, j->v[0]);
    q = guard(e, kl_ll_gep(e, t, q, kl_ll_i64(e, 1 - vec)), in);
    LLVMValueRef next = kl_ll_and(e, LL.BuildNot(e->b, here, ""), mask);
    other = masked_load(e, m, p, kl_ll_and(e, here, mask), other);
    return masked_load(e, m, q, next, other);
}

static LLVMValueRef load_chunk(kl_ll *e, const access *m, int c, LLVMValueRef in,
                               LLVMValueRef mask, LLVMValueRef other)
{
    int vec = e->lane.vec;
    if (m->shape == ONE)
        return load_for_all(e, m, mask, other);
    if (m->shape == RUNS)
        return two_rows(e, m, c, in, mask, other);
    if (m->shape == SCATTERED && e->t->gather && vec > 1 && kl_dtypes[m->dt].size >= 4)
        return gather(e, m, c, mask, other);
    if (m->shape == STRIDED && m->coef == 2 && vec >= 4 &&
        (mask ? has_masked(e, m->dt) : !in))
        return every_other(e, m, c, mask, other);
    bool vector = m->shape == VECTOR || (m->shape == REVERSED && vec > 1);
    if (!vector || vec == 1 || (mask && !has_masked(e, m->dt)))
        return by_lanes(e, m, c, mask, other);
    LLVMValueRef p = guard(e, chunk_address(e, m, c), in);
    if (m->shape == VECTOR)
        return mask ? masked_load(e, m, p, mask, other)
                    : from_memory(e, m->dt, plain_load(e, m->dt, vec, p));
    if (mask) {
        other = reverse(e, other);
        mask = reverse(e, mask);
        return reverse(e, masked_load(e, m, p, mask, other));
    }
    return reverse(e, from_memory(e, m->dt, plain_load(e, m->dt, vec, p)));
}

/* The value where the predicate is false; its own loads happen only there. */
static kl_ll_val *otherwise(kl_ll *e, const access *m, kl_x other)
{
    if (other == KL_NONE)
        return kl_ll_eval(e, kl_x_const(e->x, m->dt, (kl_scalar){.bits = 0}));
    return kl_ll_eval(e, other);
}

static kl_ll_val *load_varying(kl_ll *e, kl_x x, access *m, kl_x other)
{
    kl_ll_val *o = m->pred ? otherwise(e, m, other) : NULL;
    if (m->pred && !o)
        return NULL;
    m->level = KL_MAX(m->level, load_level(e, m->operand));
    m->level = KL_MAX(m->level, e->lane.level);
    if (m->pred) {
        m->level = KL_MAX(KL_MAX(m->level, m->pred->level), o->level);
        m->regs |= o->regs;
        m->mem |= o->mem;
    }
    if (e->bounds)
        m->level = kl_ll_top(e);
    kl_ll_val *v =
        kl_ll_new(e, x, m->level, true, m->regs, m->mem | (uint64_t)1 << m->operand % 64);
    if (!v)
        return NULL;
    address(e, m);
    for (int c = 0; c < v->n; c++) {
        LLVMValueRef in, mask = load_mask(e, m, c, &in);
        LLVMValueRef rest =
            o ? kl_ll_chunk(e, o, c) : LL.ConstNull(kl_ll_type(e, m->dt, e->lane.vec));
        if (mask)
            dummy(e);
        kl_ll_place(e, m->level);
        /* an address of no page takes hundreds of cycles even where all lanes are off */
        if (mask && m->pred)
            in = kl_ll_uniform_part(e, e->x->nodes[x].src[1], m->level);
        v->v[c] = load_chunk(e, m, c, in, mask, rest);
    }
    return v;
}

static kl_ll_val *load_uniform(kl_ll *e, kl_x x, access *m, kl_x other)
{
    kl_ll_val *o = m->pred ? otherwise(e, m, other) : NULL;
    if (m->pred && !o)
        return NULL;
    m->level = KL_MAX(m->level, load_level(e, m->operand));
    if (m->pred) {
        m->level = KL_MAX(KL_MAX(m->level, m->pred->level), o->level);
        m->regs |= o->regs;
        m->mem |= o->mem;
    }
    if (e->bounds)
        m->level = kl_ll_top(e);
    kl_ll_val *v = kl_ll_new(e, x, m->level, false, m->regs,
                             m->mem | (uint64_t)1 << m->operand % 64);
    if (!v)
        return NULL;
    LLVMValueRef on = check_bounds(e, m, 0, true, m->pred ? m->pred->v[0] : NULL);
    address(e, m);
    if (on)
        dummy(e);
    kl_ll_place(e, m->level);
    v->v[0] = from_memory(e, m->dt, plain_load(e, m->dt, 1, guard(e, m->start, on)));
    if (m->pred)
        v->v[0] = LL.BuildSelect(e->b, m->pred->v[0], v->v[0], o->v[0], "");
    return v;
}

/* x is worth what y is. */
static kl_ll_val *same_as(kl_ll *e, kl_x x, kl_x y)
{
    const kl_ll_val *v = kl_ll_eval(e, y);
    kl_ll_val *w = v ? kl_ll_new(e, x, v->level, v->vary, v->regs, v->mem) : NULL;
    if (w)
        w->narrow = v->narrow;
    for (int c = 0; w && c < v->n; c++)
        w->v[c] = v->v[c];
    return w;
}

kl_ll_val *kl_ll_load(kl_ll *e, kl_x x)
{
    const kl_xnode n = e->x->nodes[x];
    access m = {0};
    kl_x pred = n.nsrc > 1 ? n.src[1] : KL_NONE, other = n.nsrc > 2 ? n.src[2] : KL_NONE;
    kl_x plain = has_masked(e, n.dtype) ? kl_ll_unclamp(e, x) : KL_NONE;
    if (plain != KL_NONE)
        return same_as(e, x, plain);
    if (!locate(e, &m, (uint32_t)n.imm, n.src[0], pred, true))
        return NULL;
    bool one = m.shape == ONE && (!m.pred || !m.pred->vary);
    kl_ll_val *o = m.pred && one ? otherwise(e, &m, other) : NULL;
    if (one && !(o && o->vary))
        return load_uniform(e, x, &m, other);
    return load_varying(e, x, &m, other);
}

/* ---- stores ---- */

static void store_by_lanes(kl_ll *e, const access *m, int c, LLVMValueRef v,
                           LLVMValueRef mask)
{
    bool off;
    if (mask)
        dummy(e);
    kl_ll_here(e);
    for (int l = 0; l < e->lane.vec; l++) {
        LLVMValueRef on = lane_of(e, mask, l, &off), x = v;
        if (off)
            continue;
        if (e->lane.vec > 1)
            x = LL.BuildExtractElement(e->b, v, kl_ll_const_int(e, 32, (uint64_t)l, 1),
                                       "");
        plain_store(e, m->dt, x, guard(e, lane_address(e, m, c, l), on));
    }
}

static void store_chunk(kl_ll *e, const access *m, int c, LLVMValueRef in, LLVMValueRef v,
                        LLVMValueRef mask)
{
    int vec = e->lane.vec;
    v = to_memory(e, m->dt, v);
    if (vec == 1 || (m->shape != VECTOR && m->shape != REVERSED) ||
        (mask && !has_masked(e, m->dt))) {
        store_by_lanes(e, m, c, v, mask);
        return;
    }
    LLVMValueRef p = guard(e, chunk_address(e, m, c), in);
    if (m->shape == REVERSED) {
        v = reverse(e, v);
        mask = mask ? reverse(e, mask) : NULL;
    }
    if (!mask) {
        LLVMValueRef store = plain_store(e, m->dt, v, p);
        if (e->stream)
            kl_ll_streamed(e, store, vec * kl_dtypes[m->dt].size);
        return;
    }
    LLVMTypeRef over[] = {LL.TypeOf(v), LL.PointerTypeInContext(e->c, 0)};
    LLVMValueRef args[] = {v, p, kl_ll_const_int(e, 32, kl_dtypes[m->dt].size, 1), mask};
    kl_ll_call(e, "llvm.masked.store", over, 2, args, 4);
}

static void store_varying(kl_ll *e, access *m, kl_ll_val *value)
{
    LLVMValueRef v[KL_LL_CHUNKS], mask[KL_LL_CHUNKS], in[KL_LL_CHUNKS];
    int n = e->lane.n;
    for (int c = 0; c < n; c++) {
        v[c] = kl_ll_chunk(e, value, c);
        LLVMValueRef p =
            m->pred && !KL_PLANTED(store_mask) ? kl_ll_chunk(e, m->pred, c) : NULL;
        kl_ll_here(e);
        LLVMValueRef on = kl_ll_and(e, e->mask[c], p);
        in[c] = checks_ends(e, m, on) ? check_ends(e, m, c) : NULL;
        mask[c] = in[c] ? NULL : check_bounds(e, m, c, false, on);
    }
    address(e, m);
    for (int c = 0; c < n; c++) {
        kl_ll_here(e);
        store_chunk(e, m, c, in[c], v[c], mask[c]);
    }
}

static void store_uniform(kl_ll *e, access *m, kl_ll_val *value)
{
    kl_ll_here(e);
    LLVMValueRef on = check_bounds(e, m, 0, true, m->pred ? m->pred->v[0] : NULL);
    address(e, m);
    if (on)
        dummy(e);
    kl_ll_here(e);
    LLVMValueRef to = guard(e, m->start, on);
    plain_store(e, m->dt, to_memory(e, m->dt, value->v[0]), to);
}

void kl_ll_store(kl_ll *e, const kl_stmt *s)
{
    access m = {0};
    kl_ll_val *value = kl_ll_eval(e, kl_ll_lower(e, s->value));
    kl_x pred = value ? kl_ll_lower(e, s->pred) : KL_NONE;
    if (!value || !locate(e, &m, s->operand, kl_ll_lower(e, s->at), pred, false))
        return;
    bool one = m.shape == ONE && !value->vary && !(m.pred && m.pred->vary);
    if (one)
        store_uniform(e, &m, value);
    else
        store_varying(e, &m, value);
    kl_ll_touch_mem(e, s->operand);
}
