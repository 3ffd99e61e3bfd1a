/* llvm_lane.c: lane loops as vector loops.
 *
 * A step of a lane loop is n vectors ("chunks") of vec lanes. Where lanes' registers live
 * on from step to step the step is the loop's own width, since lane l must see elements
 * l, l + W,
 * ..; else its lanes are independent and the step is what suits the machine: the target's
 * vectors, two or four of them when the body is short.
 *
 *   for c: N lane 32 { y[c] = f(x[c]) }  ->  steps of 32 up to N / 32 * 32, then the
 * rest: masked vectors where the target has them, else a lane at a time
 *
 * Where masks cost nothing a long body is built once, all its steps masked; so is one
 * with loops inside, for which a step's mask is cheap beside them. */
#include "codegen/llvm_emit.h"

enum { HEAVY = 256, LIGHT = 40, MANY = 8, REGISTER_BITS_LEAST = 128 };

/* What one lane loop's body is like. */
typedef struct body {
    int size;     /* bytes of its widest element */
    int weight;   /* arithmetic rows */
    int accesses; /* of operands */
    bool carried; /* registers or tiles of its lanes live on from step to step */
    bool nested;  /* has loops of its own */
    bool masks;   /* every access of it can be masked */
} body;

/* ---- looking at bodies ---- */

static void see_access(kl_ll *e, body *b, uint32_t operand)
{
    bool x86 = strncmp(e->t->triple, "x86", 3) == 0;
    const kl_operand *o = &e->k->operands[operand];
    kl_dtype dt = o->dtype;
    if (o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE)
        b->carried = true;
    b->size = KL_MAX(b->size, kl_dtypes[dt].size);
    b->accesses++;
    b->masks = b->masks && (e->t->masked ||
                            (x86 && e->t->isa_bits >= 256 && kl_dtypes[dt].size >= 4));
}

/* A register that the body did not declare itself is one of those that live on. */
static void see_reg(const kl_ll *e, body *b, uint32_t r)
{
    b->size = KL_MAX(b->size, kl_dtypes[e->k->regs[r].dtype].size);
    if (e->k->regs[r].lanes > 1 && !e->local[r])
        b->carried = true;
}

static void see_nodes(kl_ll *e, body *b, const kl_xlist *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        const kl_xnode *n = &e->x->nodes[list->items[i]];
        if (n->op == KL_X_LOAD)
            see_access(e, b, (uint32_t)n->imm);
        else if (n->op == KL_X_REG)
            see_reg(e, b, (uint32_t)n->imm);
        else if (n->op < KL_OP_COUNT && n->dtype != KL_I64) {
            b->size = KL_MAX(b->size, kl_dtypes[n->dtype].size);
            b->weight++;
        }
    }
}

static void see_exprs(kl_ll *e, body *b, const kl_stmt *s, uint32_t *epoch)
{
    kl_xlist list = {0};
    kl_x x[6];
    int n = kl_stmt_exprs(s, x);
    for (int i = 0; i < n; i++)
        if (kl_x_order_more(e->x, kl_ll_lower(e, x[i]), epoch, &list) != KL_OK)
            kl_ll_fail(e, KL_ERR_OOM, "no memory for a body");
    see_nodes(e, b, &list);
    kl_xlist_free(&list);
}

static void see(kl_ll *e, body *b, const kl_stmt *s, uint32_t *epoch)
{
    for (; s && e->status == KL_OK; s = s->next) {
        see_exprs(e, b, s, epoch);
        if (s->kind == KL_S_REG)
            e->local[s->reg] = true;
        if (s->kind == KL_S_STORE)
            see_access(e, b, s->operand);
        if (s->kind == KL_S_SET || s->kind == KL_S_FOLD || s->kind == KL_S_TURN)
            see_reg(e, b, s->reg);
        if (s->kind == KL_S_FOLD || (s->kind == KL_S_SET && !e->local[s->reg]))
            b->carried = true;
        b->nested = b->nested || (s->kind == KL_S_FOR && s->bind != KL_BIND_UNROLL);
        see(e, b, s->body, epoch);
        see(e, b, s->other, epoch);
    }
}

static body look(kl_ll *e, const kl_stmt *s)
{
    body b = {.size = 1, .masks = true};
    uint32_t epoch = 0;
    memset(e->local, 0, e->k->nregs);
    see(e, &b, s, &epoch);
    return b;
}

/* The widest element where registers of that many lanes are at work: in lane loops that
 * carry them. What stands beside (an epilogue's wider output) does not narrow their
 * vectors. */
static void widest(kl_ll *e, const kl_stmt *s, int lanes, int *size)
{
    for (; s; s = s->next) {
        if (s->kind == KL_S_FOR && s->bind == KL_BIND_LANE) {
            body b = {0};
            if (s->lanes == lanes)
                b = look(e, s->body);
            if (b.carried)
                *size = KL_MAX(*size, b.size);
            continue;
        }
        if (s->kind == KL_S_REG && e->k->regs[s->reg].lanes == lanes)
            *size = KL_MAX(*size, kl_dtypes[e->k->regs[s->reg].dtype].size);
        widest(e, s->body, lanes, size);
        widest(e, s->other, lanes, size);
    }
}

static int natural(const kl_ll *e, int size)
{
    return KL_MAX(KL_MAX(e->t->vector_bits, REGISTER_BITS_LEAST) / (8 * size), 1);
}

int kl_ll_vec_of(kl_ll *e, int lanes)
{
    int size = 1, i = 0;
    while (i < (int)KL_COUNT(e->vecs) - 1 && e->vecs[i].lanes &&
           e->vecs[i].lanes != lanes)
        i++;
    if (e->vecs[i].lanes == lanes)
        return e->vecs[i].vec;
    widest(e, e->phase->body, lanes, &size);
    int vec = natural(e, size);
    while (lanes % vec)
        vec /= 2;
    while (lanes / vec > KL_LL_CHUNKS && lanes % (vec * 2) == 0)
        vec *= 2;
    if (lanes / vec > KL_LL_CHUNKS)
        kl_ll_fail(e, KL_ERR_UNSUPPORTED, "a lane loop of so odd a width");
    e->vecs[i].lanes = lanes;
    e->vecs[i].vec = vec;
    return vec;
}

/* ---- steps ---- */

/* One step, in the innermost frame: lanes base .. base + vec * n. */
static void step(kl_ll *e, const kl_stmt *s, int vec, int n, LLVMValueRef base)
{
    e->lane = (kl_ll_lane){.on = true,
                           .var = s->var,
                           .vec = vec,
                           .n = n,
                           .base = base,
                           .level = kl_ll_top(e)};
    kl_ll_ends_forget(e);
    if (e->stream)
        kl_ll_loads_first(e, s->body);
    kl_ll_body(e, s->body);
    e->lane.on = false;
    memset(e->mask, 0, sizeof e->mask);
}

/* lane c * vec + l < count, for chunk c; count in [0, lanes of a step]. */
static LLVMValueRef mask_of(kl_ll *e, LLVMValueRef count, int bits, int vec, int c)
{
    LLVMValueRef lanes[256];
    for (int l = 0; l < vec; l++)
        lanes[l] = kl_ll_const_int(e, bits, (uint64_t)(c * vec + l), 1);
    LLVMValueRef iota = vec > 1 ? LL.ConstVector(lanes, (unsigned)vec) : lanes[0];
    return LL.BuildICmp(e->b, bits == 8 ? LLVMIntULT : LLVMIntSLT, iota, count, "");
}

/* Mask the lanes from `left` (an i64, at least 1) on. */
static void set_masks(kl_ll *e, LLVMValueRef left, int vec, int n)
{
    int bits = KL_MIN(KL_MAX(e->t->vector_bits / vec, 8), 64);
    LLVMValueRef all = kl_ll_i64(e, (int64_t)vec * n);
    kl_ll_here(e);
    LLVMValueRef more = LL.BuildICmp(e->b, LLVMIntSLT, left, all, "");
    LLVMValueRef count = LL.BuildSelect(e->b, more, left, all, "");
    if (bits < 64)
        count = LL.BuildTrunc(e->b, count, kl_ll_int(e, bits, 1), "");
    count = kl_ll_broadcast(e, count, vec);
    for (int c = 0; c < n && !KL_PLANTED(lane_mask); c++)
        e->mask[c] = mask_of(e, count, bits, vec, c);
}

/* Steps from begin to end; masked: the last may go past the end. */
static void loop_of_steps(kl_ll *e, const kl_stmt *s, int vec, int n, LLVMValueRef begin,
                          LLVMValueRef end, bool runs, bool masked)
{
    kl_ll_loop l;
    kl_ll_loop_begin(e, &l, begin, end, (int64_t)vec * n, runs, s->body,
                     e->x->var_name[s->var]);
    if (e->status != KL_OK)
        return;
    if (masked) {
        kl_ll_here(e);
        set_masks(e, LL.BuildSub(e->b, end, l.iv, ""), vec, n);
    }
    step(e, s, vec, n, l.iv);
    kl_ll_loop_end(e, &l);
}

/* Unmasked steps, in two versions if the stores may be worth sending past the caches. */
static void main_loop(kl_ll *e, const kl_stmt *s, const body *b, int vec, int n,
                      LLVMValueRef end, bool runs)
{
    LLVMValueRef zero = kl_ll_i64(e, 0);
    bool simple = !b->carried && !b->nested && b->weight <= LIGHT;
    LLVMValueRef stream = simple ? kl_ll_may_stream(e, s, vec) : NULL;
    if (!stream || e->status != KL_OK) {
        loop_of_steps(e, s, vec, n, zero, end, runs, false);
        return;
    }
    kl_ll_branch br;
    kl_ll_branch_begin(e, &br, stream, kl_ll_sets(e, s->body));
    e->stream = true;
    loop_of_steps(e, s, vec, n, zero, end, runs, false);
    e->stream = false;
    kl_ll_branch_else(e, &br);
    loop_of_steps(e, s, vec, n, zero, end, runs, false);
    kl_ll_branch_end(e, &br);
}

/* A lane at a time: the variable is a number like any other. */
static void loop_of_lanes(kl_ll *e, const kl_stmt *s, LLVMValueRef begin,
                          LLVMValueRef end, bool runs)
{
    kl_ll_loop l;
    kl_ll_loop_begin(e, &l, begin, end, 1, runs, s->body, e->x->var_name[s->var]);
    if (e->status != KL_OK)
        return;
    e->scalar_lanes = s->lanes;
    e->var[s->var] = l.iv;
    e->var_level[s->var] = kl_ll_top(e);
    kl_ll_body(e, s->body);
    kl_ll_loop_end(e, &l);
    e->var[s->var] = NULL;
    e->scalar_lanes = 0;
}

/* One masked step where `left` lanes are known: vectors all off are left out. */
static void known_rest(kl_ll *e, const kl_stmt *s, int vec, int64_t begin, int64_t left)
{
    int n = (int)((left + vec - 1) / vec);
    kl_ll_push(e, NULL, false, kl_ll_sets(e, s->body));
    if (left % vec && !KL_PLANTED(known_mask)) {
        LLVMValueRef on[256];
        for (int l = 0; l < vec; l++)
            on[l] = kl_ll_const(e, KL_BOOL, l < left % vec, 1);
        e->mask[n - 1] = LL.ConstVector(on, (unsigned)vec);
    }
    step(e, s, vec, n, kl_ll_i64(e, begin));
    kl_ll_pop(e);
}

static void one_step(kl_ll *e, const kl_stmt *s, int vec, int n, LLVMValueRef base)
{
    kl_ll_push(e, NULL, false, kl_ll_sets(e, s->body));
    step(e, s, vec, n, base);
    kl_ll_pop(e);
}

/* ---- loops ---- */

static void of_known_extent(kl_ll *e, const kl_stmt *s, const body *b, int vec, int n,
                            int64_t extent)
{
    int64_t step_lanes = (int64_t)vec * n, full = extent / step_lanes * step_lanes;
    if (full == step_lanes)
        one_step(e, s, vec, n, kl_ll_i64(e, 0));
    else if (full > 0)
        main_loop(e, s, b, vec, n, kl_ll_i64(e, full), true);
    if (full == extent || e->status != KL_OK || KL_PLANTED(lane_tail))
        return;
    if (b->carried || b->masks)
        known_rest(e, s, vec, full, extent - full);
    else
        loop_of_lanes(e, s, kl_ll_i64(e, full), kl_ll_i64(e, extent), true);
}

/* The rest of a loop whose lanes live on: one masked step, if there is one. */
static void carried_rest(kl_ll *e, const kl_stmt *s, int vec, int n, LLVMValueRef full,
                         LLVMValueRef end)
{
    const uint8_t *sets = kl_ll_sets(e, s->body);
    kl_ll_branch br;
    kl_ll_here(e);
    kl_ll_branch_begin(e, &br, LL.BuildICmp(e->b, LLVMIntSLT, full, end, ""), sets);
    if (e->status != KL_OK)
        return;
    kl_ll_here(e);
    set_masks(e, LL.BuildSub(e->b, end, full, ""), vec, n);
    step(e, s, vec, n, full);
    kl_ll_branch_else(e, &br);
    kl_ll_branch_end(e, &br);
}

/* end rounded down to whole steps. */
static LLVMValueRef whole(kl_ll *e, kl_ll_val *end, int64_t step_lanes)
{
    kl_ll_place(e, end->level);
    LLVMValueRef by = kl_ll_i64(e, step_lanes);
    if ((step_lanes & (step_lanes - 1)) == 0)
        return LL.BuildAnd(e->b, end->v[0], kl_ll_i64(e, -step_lanes), "");
    LLVMValueRef rest = LL.BuildSRem(e->b, end->v[0], by, "");
    return LL.BuildSub(e->b, end->v[0], rest, "");
}

/* by divides x, provably. */
static bool divides(kl_ll *e, int64_t by, kl_x x)
{
    const kl_xnode *n = &e->x->nodes[x];
    int64_t v;
    if (kl_x_is_int(e->x, x, &v))
        return v % by == 0;
    if (n->op == KL_X_DIM)
        return kl_dim_divides(e->x->dims, by, (kl_dim)n->imm);
    if (n->op == KL_OP_mul)
        return divides(e, by, n->src[0]) || divides(e, by, n->src[1]);
    if (n->op == KL_OP_add || n->op == KL_OP_sub || n->op == KL_OP_min ||
        n->op == KL_OP_max)
        return divides(e, by, n->src[0]) && divides(e, by, n->src[1]);
    return false;
}

/* What whole steps leave: masked, or vector by vector and then lane by lane. */
static void rest(kl_ll *e, const kl_stmt *s, const body *b, int vec, int n,
                 LLVMValueRef full, kl_ll_val *end)
{
    LLVMValueRef last = end->v[0];
    if (b->carried) {
        carried_rest(e, s, vec, n, full, last);
    } else if (b->masks) {
        loop_of_steps(e, s, vec, 1, full, last, false, true);
    } else {
        if (n > 1 && !b->nested && e->status == KL_OK) {
            LLVMValueRef vectors = whole(e, end, vec);
            loop_of_steps(e, s, vec, 1, full, vectors, false, false);
            full = vectors;
        }
        loop_of_lanes(e, s, full, last, false);
    }
}

static void of_extent(kl_ll *e, const kl_stmt *s, const body *b, int vec, int n,
                      kl_x extent)
{
    int64_t step_lanes = (int64_t)vec * n, lo, hi;
    kl_ll_val *end = kl_ll_eval(e, extent);
    if (!end || end->vary) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a lane loop's extent differs from lane to lane");
        return;
    }
    LLVMValueRef zero = kl_ll_i64(e, 0), last = end->v[0];
    kl_x_range(e->x, extent, &lo, &hi);
    if (!b->carried && hi < step_lanes) { /* no step of lanes that there never are */
        n = (int)KL_MAX(hi / vec, 1);
        step_lanes = (int64_t)vec * n;
    }
    if (divides(e, step_lanes, extent)) {
        main_loop(e, s, b, vec, n, last, lo > 0);
        return;
    }
    if ((e->t->masked && b->weight > LIGHT) || (b->masks && b->nested && !b->carried)) {
        loop_of_steps(e, s, vec, n, zero, last, lo > 0, true);
        return;
    }
    LLVMValueRef full = whole(e, end, step_lanes);
    main_loop(e, s, b, vec, n, full, lo >= step_lanes);
    if (e->status == KL_OK && !KL_PLANTED(lane_tail))
        rest(e, s, b, vec, n, full, end);
}

/* Vectors of a step, for a body whose lanes are independent: four, so that while one
 * waits for its own results the others compute; two where each takes much that has to be
 * kept; one when the body is so long that building it twice costs more. */
static int unroll_of(const body *b, int vec, int lanes)
{
    if (b->nested) /* its own loops cost least when all lanes share them */
        return KL_MIN(KL_MAX(lanes / vec, 1), KL_LL_CHUNKS);
    return b->weight > HEAVY ? 1 : b->accesses > MANY ? 2 : 4;
}

void kl_ll_lanes(kl_ll *e, const kl_stmt *s)
{
    body b = look(e, s->body);
    kl_x x = kl_ll_lower(e, s->extent);
    int64_t extent;
    if (e->lane.on || e->scalar_lanes) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a lane loop inside another");
        return;
    }
    int vec = b.carried ? kl_ll_vec_of(e, s->lanes) : natural(e, b.size);
    int n = b.carried ? s->lanes / vec : unroll_of(&b, vec, s->lanes);
    if (e->status != KL_OK)
        return;
    if (!kl_ll_static(e, x, &extent)) {
        of_extent(e, s, &b, vec, n, x);
        return;
    }
    while (!b.carried && n > 1 && extent < (int64_t)vec * n)
        n /= 2;
    while (!b.carried && vec > 1 && extent < vec && !b.masks)
        vec /= 2;
    if (extent > 0)
        of_known_extent(e, s, &b, vec, n, extent);
}
