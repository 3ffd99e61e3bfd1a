/* llvm_scale.c: math.def's m 2^n, built of two factors so that a denormal result rounds
 * once, as the one instruction that AVX-512 has for it.
 *
 *   (m * bits(shl(h, s) + 1.0)) * bits(shl(i - h, s) + 1.0)      h = shr(i, 1), i =
 * bits(t) t = x + magic, so that the integer nearest x lies in its low bits
 *     ->   scalef(m, t - magic)
 *
 * The first product is exact and the second rounds once, as scalef does: the bits are the
 * same. Bodies keep x within the range of exponents. */
#include "codegen/llvm_emit.h"

typedef struct layout {
    kl_dtype bits;
    int64_t shift;       /* of the exponent */
    uint64_t one, magic; /* 1.0 and 1.5 * 2^mantissa's bits */
} layout;

static const layout f32 = {KL_I32, 23, 0x3f800000, 0x4b400000};
static const layout f64 = {KL_I64, 52, 0x3ff0000000000000, 0x4338000000000000};

static bool is_bits(const kl_ll *e, kl_x x, uint64_t bits)
{
    return e->x->nodes[x].op == KL_X_CONST && (uint64_t)e->x->nodes[x].imm == bits;
}

/* x = op(a, c) for the constant c, on either side: a; KL_NONE: it is not. */
static kl_x beside(const kl_ll *e, kl_x x, kl_op op, uint64_t c)
{
    const kl_xnode *n = &e->x->nodes[x];
    if (n->op != op)
        return KL_NONE;
    return is_bits(e, n->src[1], c)                      ? n->src[0]
           : is_bits(e, n->src[0], c) && op == KL_OP_add ? n->src[1]
                                                         : KL_NONE;
}

/* x = 2^k: k. */
static kl_x exponent(const kl_ll *e, kl_x x, const layout *f)
{
    const kl_xnode *n = &e->x->nodes[x];
    kl_x sum = n->op == KL_OP_bitcast ? n->src[0] : KL_NONE;
    kl_x high = sum != KL_NONE ? beside(e, sum, KL_OP_add, f->one) : KL_NONE;
    return high != KL_NONE ? beside(e, high, KL_OP_shl, (uint64_t)f->shift) : KL_NONE;
}

/* x = a 2^k on either side: a and k. */
static bool scaled(const kl_ll *e, kl_x x, const layout *f, kl_x *a, kl_x *k)
{
    const kl_xnode *n = &e->x->nodes[x];
    for (int i = 0; n->op == KL_OP_mul && i < 2; i++) {
        *a = n->src[1 - i];
        if ((*k = exponent(e, n->src[i], f)) != KL_NONE)
            return true;
    }
    return false;
}

/* i is two parts, h and i - h: the t of which i is the bits; KL_NONE: they are not. */
static kl_x whole_of(const kl_ll *e, kl_x h, kl_x rest, const layout *f)
{
    const kl_xnode *r = &e->x->nodes[rest];
    if (r->op != KL_OP_sub || r->src[1] != h || beside(e, h, KL_OP_shr, 1) != r->src[0])
        return KL_NONE;
    const kl_xnode *i = &e->x->nodes[r->src[0]];
    kl_x t = i->op == KL_OP_bitcast ? i->src[0] : KL_NONE;
    if (t == KL_NONE)
        return KL_NONE;
    const kl_xnode *s = &e->x->nodes[t];
    bool added = s->op == KL_OP_fma ? is_bits(e, s->src[2], f->magic)
                                    : beside(e, t, KL_OP_add, f->magic) != KL_NONE;
    return added ? t : KL_NONE;
}

bool kl_ll_scale_of(kl_ll *e, kl_x x, kl_x *m, kl_x *n)
{
    kl_dtype dt = e->x->nodes[x].dtype;
    kl_x inner, high, low;
    bool avx512 = e->t->isa_bits == 512 && strncmp(e->t->triple, "x86_64", 6) == 0;
    if (!avx512 || (dt != KL_F32 && dt != KL_F64))
        return false;
    const layout *f = dt == KL_F32 ? &f32 : &f64;
    if (!scaled(e, x, f, &inner, &high) || !scaled(e, inner, f, m, &low))
        return false;
    kl_x t = whole_of(e, low, high, f);
    if (t == KL_NONE)
        t = whole_of(e, high, low, f);
    if (t == KL_NONE)
        return false;
    *n = kl_x_op(e->x, KL_OP_sub, t, kl_x_const(e->x, dt, (kl_scalar){.u64 = f->magic}),
                 KL_NONE);
    return *n != KL_NONE;
}

LLVMValueRef kl_ll_scale(kl_ll *e, kl_dtype dt, LLVMValueRef m, LLVMValueRef n)
{
    int lanes = kl_ll_lanes_of(m), bits = 8 * kl_dtypes[dt].size * lanes;
    char name[48];
    snprintf(name, sizeof name, "llvm.x86.avx512.mask.scalef.p%c.%d",
             dt == KL_F32 ? 's' : 'd', bits);
    LLVMValueRef all = kl_ll_const_int(e, KL_MAX(lanes, 8), ~(uint64_t)0, 1);
    LLVMValueRef current = kl_ll_const_int(e, 32, 4, 1); /* the rounding mode in force */
    LLVMValueRef args[] = {m, n, m, all, current};
    return kl_ll_call(e, name, NULL, 0, args, bits == 512 ? 5 : 4);
}
