/* cost.c: what a kernel costs, counted on its algorithm: bytes that it must move at least
 * once, and floating-point operations. Nothing of the schedule enters, so the figures say
 * what the fused group asks of a machine, not what a loop nest makes of it.
 *
 *   y[i] = add(s0, load a2[i]),  s0 = contract 64 of a0 * a1, at 640 points
 *   flops 640 * (2 * 64 + 1)     bytes of a0, a1, a2 and y, each once
 *
 * An exact row is one operation, an fma two, a transcendental one as many as its body in
 * math.def has. What lies in memory between phases counts twice. Symbols stand for HINT.
 */
#include "passes/passes.h"

enum { HINT = 64, SYMS = 64 };

/* Operations of one element of a float row. */
static double ops_of(const kl_exprs *x, const kl_xnode *n)
{
    static int32_t bodies[KL_OP_COUNT][2]; /* of math.def, f32 and f64; 0: not counted */
    if (n->op >= KL_OP_COUNT || !kl_is_float((kl_dtype)n->dtype))
        return n->op < KL_OP_COUNT && kl_is_complex((kl_dtype)n->dtype) ? 4 : 0;
    if (n->op == KL_OP_cast || n->op == KL_OP_bitcast || n->op == KL_OP_where)
        return 0;
    if (!(kl_ops[n->op].flags & KL_F_MATH))
        return n->op == KL_OP_fma ? 2 : 1;
    bool wide = n->dtype == KL_F64;
    int32_t known = __atomic_load_n(&bodies[n->op][wide], __ATOMIC_RELAXED);
    kl_arena *a = known ? NULL : kl_arena_new();
    if (!a)
        return known ? known : 1;
    kl_exprs *own = kl_exprs_new(a, x->dims);
    kl_dtype dt = wide ? KL_F64 : KL_F32;
    kl_x arg = kl_x_load(own, 0, dt, kl_x_int(own, 0), KL_NONE, KL_NONE);
    kl_math_expand(own, (kl_op)n->op, arg, kl_ops[n->op].arity > 1 ? arg : KL_NONE,
                   KL_NONE);
    double sum = 1;
    for (uint32_t i = 0; i < own->count; i++)
        sum += ops_of(own, &own->nodes[i]);
    known = (int32_t)sum;
    __atomic_store_n(&bodies[n->op][wide], known, __ATOMIC_RELAXED);
    kl_arena_free(a);
    return known;
}

/* Operations of one point: each value that root needs, once. */
static double ops_below(const kl_kernel *k, kl_x root, uint32_t *epoch)
{
    kl_xlist l = {0};
    double n = 0;
    if (root != KL_NONE && kl_x_order_more(k->x, root, epoch, &l) == KL_OK)
        for (uint32_t i = 0; i < l.count; i++)
            n += ops_of(k->x, &k->x->nodes[l.items[i]]);
    kl_xlist_free(&l);
    return n;
}

static double at_hint(const kl_kernel *k, kl_dim d)
{
    int64_t syms[SYMS], lo, hi, div;
    int n = kl_dim_sym_count(k->x->dims);
    for (int i = 0; i < n && i < SYMS; i++) {
        kl_dim_sym_facts(k->x->dims, i, &lo, &hi, &div);
        syms[i] = KL_MIN(KL_MAX(HINT / div * div, lo), hi);
    }
    return n > SYMS ? 0 : (double)kl_dim_eval(k->x->dims, d, syms);
}

static double stage_flops(const kl_kernel *k, const kl_stage *s, double points)
{
    uint32_t epoch = 0;
    double own = points, inner;
    for (int i = 0; i < s->nfree; i++)
        own *= at_hint(k, k->axes[s->axes[i]].extent);
    inner = own;
    for (int i = s->nfree; i < s->nfree + s->nreduce; i++)
        inner *= at_hint(k, k->axes[s->axes[i]].extent);
    bool folds = s->kind == KL_STAGE_REDUCE || s->kind == KL_STAGE_PREFIX ||
                 s->kind == KL_STAGE_SCATTER;
    double each = s->kind == KL_STAGE_CONTRACT ? 2 : folds && kl_is_float(s->dtype);
    if (kl_is_complex(s->dtype))
        each *= 4;
    double n =
        inner * (each + ops_below(k, s->value, &epoch) + ops_below(k, s->rhs, &epoch));
    for (int i = 0; i < s->nstores; i++)
        n += own * ops_below(k, s->stores[i].value, &epoch);
    return n;
}

void kl_kernel_cost(kl_kernel *k)
{
    k->flops = k->bytes = 0;
    for (int p = 0; p < k->nparts; p++) {
        const kl_part *part = &k->parts[p];
        double points = 1;
        for (int i = 0; i < part->nouter; i++)
            points *= at_hint(k, k->axes[part->outer[i]].extent);
        for (int s = 0; s < part->nstages; s++)
            k->flops += stage_flops(k, &part->stages[s], points);
    }
    for (uint32_t i = 0; i < k->noperands; i++) {
        const kl_operand *o = &k->operands[i];
        int times = o->role == KL_ROLE_TILE ? 0 : o->role == KL_ROLE_TEMP ? 2 : 1;
        k->bytes += times * at_hint(k, o->count) * kl_dtypes[o->dtype].size;
    }
}
