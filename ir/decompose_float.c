/* decompose_float.c: rules that work on the bits of floats: sign, rounding to an integer,
 * the conversions of f16 and bf16, fma and rem where the machine has none. Each mirrors,
 * operation for operation, what eval_float.h, eval_fma.h and half.c do; comments there
 * say why it is right.
 *
 *   round(a)  ->  s(m < 2^23 ? (m + 2^23) - 2^23 : m), m = |a|, s: with a's sign
 *   bf16(f)   ->  (bits + 0x7fff + lowest kept bit) >> 16, NaN aside */
#include "ir/decompose.h"

kl_dtype kl_bits_dtype(kl_dtype dt)
{
    return kl_dtypes[dt].size == 2 ? KL_U16 : kl_dtypes[dt].size == 4 ? KL_U32 : KL_U64;
}

static uint64_t sign_bit(kl_dtype dt)
{
    return UINT64_C(1) << (kl_dtypes[dt].size * 8u - 1);
}

/* ---- sign and rounding ---- */

kl_x kl_float_abs(kl_exprs *x, kl_dtype dt, kl_x a)
{
    kl_dtype u = kl_bits_dtype(dt);
    return BITS(OP2(and, BITS(a, u), INT(u, sign_bit(dt) - 1)), dt);
}

kl_x kl_float_neg(kl_exprs *x, kl_dtype dt, kl_x a)
{
    kl_dtype u = kl_bits_dtype(dt);
    return BITS(OP2(xor, BITS(a, u), INT(u, sign_bit(dt))), dt);
}

kl_x kl_float_signed(kl_exprs *x, kl_dtype dt, kl_x a, kl_x sign)
{
    kl_dtype u = kl_bits_dtype(dt);
    kl_x m = OP2(and, BITS(a, u), INT(u, sign_bit(dt) - 1));
    return BITS(OP2(or, m, OP2(and, BITS(sign, u), INT(u, sign_bit(dt)))), dt);
}

kl_x kl_float_round(kl_exprs *x, kl_dtype dt, kl_x a)
{
    kl_x big = FLT(dt, dt == KL_F64 ? 0x1p52 : 0x1p23), m = kl_float_abs(x, dt, a);
    kl_x r = OP2(sub, OP2(add, m, big), big);
    return kl_float_signed(x, dt, WHERE(OP2(lt, m, big), r, m), a);
}

/* ---- f16 and bf16 ---- */

static kl_x widen_half(kl_exprs *x, kl_x a, kl_dtype from)
{
    kl_x u = CAST(BITS(a, KL_U16), KL_U32);
    if (from == KL_BF16)
        return BITS(OP2(shl, u, INT(KL_U32, 16)), KL_F32);
    kl_x m = OP2(and, u, INT(KL_U32, 0x7fff)), sign = OP2(and, u, INT(KL_U32, 0x8000));
    kl_x f = OP2(mul, BITS(OP2(shl, m, INT(KL_U32, 13)), KL_F32), FLT(KL_F32, 0x1p112));
    kl_x bits = BITS(f, KL_U32), special = OP2(or, bits, INT(KL_U32, 0x7f800000));
    bits = WHERE(OP2(lt, m, INT(KL_U32, 0x7c00)), bits, special);
    return BITS(OP2(or, bits, OP2(shl, sign, INT(KL_U32, 16))), KL_F32);
}

/* u + half + (the lowest bit kept): what falls below `drop` bits rounds to nearest even.
 */
static kl_x round_bits(kl_exprs *x, kl_x u, int drop)
{
    kl_x odd = OP2(and, OP2(shr, u, INT(KL_U32, drop)), INT(KL_U32, 1));
    return OP2(add, u, OP2(add, odd, INT(KL_U32, (1 << (drop - 1)) - 1)));
}

static kl_x narrow_f32(kl_exprs *x, kl_x a, kl_dtype to)
{
    kl_x u = BITS(a, KL_U32), m = OP2(and, u, INT(KL_U32, 0x7fffffff));
    kl_x sign = OP2(and, OP2(shr, u, INT(KL_U32, 16)), INT(KL_U32, 0x8000));
    kl_x nan = OP2(lt, INT(KL_U32, 0x7f800000), m), y;
    if (to == KL_BF16) {
        y = OP2(shr, round_bits(x, m, 16), INT(KL_U32, 16));
        y = WHERE(nan, INT(KL_U32, 0x7fc0), y);
    } else {
        /* 0.5's unit is f16's smallest: adding it rounds a denormal result in hardware */
        kl_x tiny = BITS(OP2(add, BITS(m, KL_F32), FLT(KL_F32, 0.5)), KL_U32);
        kl_x normal = OP2(sub, round_bits(x, m, 13), INT(KL_U32, 0x38000000));
        y = OP2(shr, normal, INT(KL_U32, 13));
        y = WHERE(OP2(lt, m, INT(KL_U32, 0x47800000)), y, INT(KL_U32, 0x7c00));
        y = WHERE(OP2(lt, m, INT(KL_U32, 0x38800000)),
                  OP2(sub, tiny, INT(KL_U32, 0x3f000000)), y);
        y = WHERE(nan, INT(KL_U32, 0x7e00), y);
    }
    return BITS(CAST(OP2(or, y, sign), KL_U16), to);
}

/* f64 as f32 rounded to odd: towards zero, and the last bit set when inexact. */
static kl_x odd_f32(kl_exprs *x, kl_x d)
{
    kl_x s = CAST(d, KL_F32), back = CAST(s, KL_F64), u = BITS(s, KL_U32);
    kl_x far = OP2(lt, kl_float_abs(x, KL_F64, d), kl_float_abs(x, KL_F64, back));
    kl_x inexact = CAST(OP2(ne, back, d), KL_U32);
    return BITS(OP2(or, OP2(sub, u, CAST(far, KL_U32)), inexact), KL_F32);
}

/* A 64-bit integer as f64 rounded to odd. */
static kl_x odd_f64(kl_exprs *x, kl_x a, kl_dtype from)
{
    bool minus = from == KL_I64;
    kl_x neg = minus ? OP2(lt, a, INT(KL_I64, 0)) : KL_NONE, m = CAST(a, KL_U64);
    if (minus)
        m = WHERE(neg, OP2(sub, INT(KL_U64, 0), m), m);
    kl_x lost = OP2(ne, OP2(and, m, INT(KL_U64, 2047)), INT(KL_U64, 0));
    kl_x cut = OP2(and, m, INT(KL_U64, ~UINT64_C(2047)));
    kl_x odd = OP2(or, cut, OP2(shl, CAST(lost, KL_U64), INT(KL_U64, 11)));
    kl_x large = OP2(ne, OP2(shr, m, INT(KL_U64, 53)), INT(KL_U64, 0));
    kl_x d = CAST(WHERE(large, odd, m), KL_F64);
    return minus ? WHERE(neg, kl_float_neg(x, KL_F64, d), d) : d;
}

kl_x kl_rule_cast(kl_exprs *x, kl_x a, kl_dtype to)
{
    kl_dtype from = x->nodes[a].dtype;
    if (from == KL_F16 || from == KL_BF16)
        return CAST(widen_half(x, a, from), to);
    if (from != KL_F32) {
        if (kl_dtypes[from].size == 8 && from != KL_F64)
            a = odd_f64(x, a, from);
        a = odd_f32(x, CAST(a, KL_F64));
    }
    return narrow_f32(x, a, to);
}

/* ---- fma ---- */

static kl_x fma_f32(kl_exprs *x, kl_x a, kl_x b, kl_x c)
{
    kl_x p = OP2(mul, CAST(a, KL_F64), CAST(b, KL_F64)), q = CAST(c, KL_F64);
    kl_x s = OP2(add, p, q), t = OP2(sub, s, p), zero = FLT(KL_F64, 0);
    kl_x lost = OP2(add, OP2(sub, p, OP2(sub, s, t)), OP2(sub, q, t));
    kl_x up = OP2(lt, zero, lost), inexact = OP2(or, up, OP2(lt, lost, zero));
    kl_x u = BITS(s, KL_U64), one = INT(KL_U64, 1);
    kl_x outwards = OP2(eq, up, OP2(lt, zero, s));
    kl_x even = OP2(eq, OP2(and, u, one), INT(KL_U64, 0));
    kl_x moved = OP2(add, u, WHERE(outwards, one, INT(KL_U64, -1)));
    return CAST(BITS(WHERE(OP2(and, inexact, even), moved, u), KL_F64), KL_F32);
}

/* 128-bit integers as pairs; shifts by 64 and more give 0 (ops.def), which joins the
 * halves. */
typedef struct pair {
    kl_x hi, lo;
} pair;

static kl_x u64(kl_exprs *x, uint64_t v)
{
    return INT(KL_U64, v);
}

static pair shl128(kl_exprs *x, pair a, kl_x n)
{
    kl_x rest = OP2(sub, u64(x, 64), n), over = OP2(sub, n, u64(x, 64));
    kl_x mid = OP2(or, OP2(shr, a.lo, rest), OP2(shl, a.lo, over));
    return (pair){OP2(or, OP2(shl, a.hi, n), mid), OP2(shl, a.lo, n)};
}

/* a >> n, with the bits that fall out gathered in bit 0. */
static pair shr_sticky(kl_exprs *x, pair a, kl_x n)
{
    kl_x rest = OP2(sub, u64(x, 64), n), over = OP2(sub, n, u64(x, 64));
    kl_x mid = OP2(or, OP2(shl, a.hi, rest), OP2(shr, a.hi, over));
    pair y = {OP2(shr, a.hi, n), OP2(or, OP2(shr, a.lo, n), mid)};
    pair back = shl128(x, y, n);
    kl_x lost = OP2(or, OP2(ne, back.hi, a.hi), OP2(ne, back.lo, a.lo));
    y.lo = OP2(or, y.lo, CAST(lost, KL_U64));
    return y;
}

static pair add128(kl_exprs *x, pair a, pair b)
{
    kl_x lo = OP2(add, a.lo, b.lo), carry = CAST(OP2(lt, lo, a.lo), KL_U64);
    return (pair){OP2(add, OP2(add, a.hi, b.hi), carry), lo};
}

static pair sub128(kl_exprs *x, pair a, pair b)
{
    kl_x borrow = CAST(OP2(lt, a.lo, b.lo), KL_U64);
    return (pair){OP2(sub, OP2(sub, a.hi, b.hi), borrow), OP2(sub, a.lo, b.lo)};
}

static pair mul128(kl_exprs *x, kl_x a, kl_x b)
{
    kl_x mask = u64(x, 0xffffffff), s = u64(x, 32);
    kl_x al = OP2(and, a, mask), ah = OP2(shr, a, s), bl = OP2(and, b, mask),
         bh = OP2(shr, b, s);
    kl_x ll = OP2(mul, al, bl), lh = OP2(mul, al, bh), hl = OP2(mul, ah, bl),
         hh = OP2(mul, ah, bh);
    kl_x mid =
        OP2(add, OP2(shr, ll, s), OP2(add, OP2(and, lh, mask), OP2(and, hl, mask)));
    kl_x hi = OP2(add, OP2(add, hh, OP2(shr, lh, s)),
                  OP2(add, OP2(shr, hl, s), OP2(shr, mid, s)));
    return (pair){hi, OP2(or, OP2(and, ll, mask), OP2(shl, mid, s))};
}

/* |f| = m * 2^e, 2^52 <= m < 2^53; denormals are scaled up first. */
static kl_x split(kl_exprs *x, kl_x f, kl_x *e)
{
    kl_x m = kl_float_abs(x, KL_F64, f), tiny = OP2(lt, m, FLT(KL_F64, 0x1p-1022));
    kl_x u = BITS(WHERE(tiny, OP2(mul, m, FLT(KL_F64, 0x1p54)), m), KL_U64);
    kl_x field = CAST(OP2(shr, u, u64(x, 52)), KL_I64);
    *e = OP2(sub, field, WHERE(tiny, kl_x_int(x, 1075 + 54), kl_x_int(x, 1075)));
    return OP2(or, OP2(and, u, u64(x, (UINT64_C(1) << 52) - 1)),
               u64(x, UINT64_C(1) << 52));
}

/* Bits of a number below 2^32: by the exponent of it as a float. */
static kl_x length32(kl_exprs *x, kl_x v)
{
    kl_x field = CAST(OP2(shr, BITS(CAST(v, KL_F64), KL_U64), u64(x, 52)), KL_I64);
    return WHERE(OP2(eq, v, u64(x, 0)), kl_x_int(x, 0),
                 OP2(sub, field, kl_x_int(x, 1022)));
}

static kl_x length(kl_exprs *x, pair a)
{
    kl_x zero = u64(x, 0), s = u64(x, 32), high = OP2(ne, a.hi, zero);
    kl_x v = WHERE(high, a.hi, a.lo), top = OP2(shr, v, s), large = OP2(ne, top, zero);
    kl_x n = length32(x, WHERE(large, top, v));
    n = OP2(add, n, WHERE(large, kl_x_int(x, 32), kl_x_int(x, 0)));
    return OP2(add, n, WHERE(high, kl_x_int(x, 64), kl_x_int(x, 0)));
}

static kl_x larger(kl_exprs *x, kl_x a, kl_x b)
{
    return WHERE(OP2(lt, a, b), b, a);
}

static kl_x smaller(kl_exprs *x, kl_x a, kl_x b)
{
    return WHERE(OP2(lt, a, b), a, b);
}

/* m * 2^e rounded to nearest even, as bits. */
static kl_x round128(kl_exprs *x, pair m, kl_x e)
{
    kl_x zero = kl_x_int(x, 0), len = length(x, m);
    kl_x beyond = OP2(sub, len, kl_x_int(x, 55)), tiny = OP2(sub, kl_x_int(x, -1076), e),
         drop = larger(x, beyond, tiny);
    kl_x down = OP2(lt, zero, drop);
    kl_x right = CAST(WHERE(down, drop, zero), KL_U64);
    kl_x left = CAST(WHERE(down, zero, OP2(sub, zero, drop)), KL_U64);
    kl_x k = WHERE(down, shr_sticky(x, m, right).lo, OP2(shl, m.lo, left));
    kl_x q = OP2(shr, k, u64(x, 2)), low = OP2(and, k, u64(x, 3));
    kl_x tie =
        OP2(and, OP2(eq, low, u64(x, 2)), OP2(eq, OP2(and, q, u64(x, 1)), u64(x, 1)));
    q = OP2(add, q, CAST(OP2(or, OP2(lt, u64(x, 2), low), tie), KL_U64));
    kl_x unit = OP2(add, OP2(add, e, drop), kl_x_int(x, 2));
    kl_x field = OP2(shl, CAST(OP2(add, unit, kl_x_int(x, 1074)), KL_U64), u64(x, 52));
    kl_x inf = u64(x, UINT64_C(0x7ff) << 52);
    return WHERE(OP2(lt, kl_x_int(x, 971), unit), inf, OP2(add, field, q));
}

/* The three addends aligned as 128-bit integers: p = a * b, m = c. */
static kl_x fma_wide(kl_exprs *x, kl_x a, kl_x b, kl_x c)
{
    kl_x ea, eb, ec, zero = kl_x_int(x, 0), ma = split(x, a, &ea), mb = split(x, b, &eb);
    pair m = {u64(x, 0), split(x, c, &ec)}, p = mul128(x, ma, mb);
    kl_x e = OP2(add, ea, eb), up = OP2(sub, ec, e), above = OP2(le, zero, up);
    kl_x rise = WHERE(above, up, zero), fall = WHERE(above, zero, OP2(sub, zero, up));
    kl_x m_left = smaller(x, rise, kl_x_int(x, 73)),
         p_left = smaller(x, fall, kl_x_int(x, 20));
    kl_x m_right = CAST(OP2(sub, fall, p_left), KL_U64),
         p_right = CAST(OP2(sub, rise, m_left), KL_U64);
    m = shr_sticky(x, shl128(x, m, CAST(m_left, KL_U64)), m_right);
    p = shr_sticky(x, shl128(x, p, CAST(p_left, KL_U64)), p_right);
    e = WHERE(above, OP2(sub, ec, m_left), OP2(sub, e, p_left));
    kl_x bits = u64(x, UINT64_C(1) << 63);
    kl_x sp = OP2(and, OP2(xor, BITS(a, KL_U64), BITS(b, KL_U64)), bits);
    kl_x sc = OP2(and, BITS(c, KL_U64), bits), same = OP2(eq, sp, sc);
    kl_x less =
        OP2(or, OP2(lt, p.hi, m.hi), OP2(and, OP2(eq, p.hi, m.hi), OP2(lt, p.lo, m.lo)));
    pair sum = add128(x, p, m), pm = sub128(x, p, m), mp = sub128(x, m, p);
    pair y = {WHERE(same, sum.hi, WHERE(less, mp.hi, pm.hi)),
              WHERE(same, sum.lo, WHERE(less, mp.lo, pm.lo))};
    kl_x nothing = OP2(eq, OP2(or, y.hi, y.lo), u64(x, 0));
    kl_x sign = WHERE(OP2(and, less, OP2(eq, same, kl_x_bool(x, false))), sc, sp);
    kl_x r = OP2(or, round128(x, y, e), sign);
    return BITS(WHERE(nothing, u64(x, 0), r), KL_F64);
}

static kl_x fma_f64(kl_exprs *x, kl_x a, kl_x b, kl_x c)
{
    kl_x inf = FLT(KL_F64, __builtin_inf()), zero = FLT(KL_F64, 0);
    kl_x finite = OP2(and, OP2(lt, kl_float_abs(x, KL_F64, a), inf),
                      OP2(lt, kl_float_abs(x, KL_F64, b), inf));
    kl_x none = OP2(or, OP2(eq, a, zero), OP2(eq, b, zero)), p = OP2(mul, a, b);
    kl_x y = WHERE(OP2(eq, c, zero), p, fma_wide(x, a, b, c));
    y = WHERE(OP2(lt, kl_float_abs(x, KL_F64, c), inf), y, OP2(add, c, zero));
    return WHERE(OP2(and, finite, OP2(eq, none, kl_x_bool(x, false))), y, OP2(add, p, c));
}

kl_x kl_rule_fma(kl_exprs *x, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    return dt == KL_F64 ? fma_f64(x, a, b, c) : fma_f32(x, a, b, c);
}

/* ---- rem of f32 ---- */

/* The mantissa as an integer with its implicit bit, and the exponent field of its unit.
 */
static kl_x split_f32(kl_exprs *x, kl_x m, kl_x *e)
{
    kl_x u = CAST(BITS(m, KL_U32), KL_U64), field = OP2(shr, u, u64(x, 23));
    kl_x frac = OP2(and, u, u64(x, 0x7fffff)), tiny = OP2(eq, field, u64(x, 0));
    *e = CAST(WHERE(tiny, u64(x, 1), field), KL_I64);
    return WHERE(tiny, frac, OP2(or, frac, u64(x, 0x800000)));
}

/* r * 2^e with r < 2^24 and e a field >= 1: exact, by multiplying in f64. */
static kl_x join_f32(kl_exprs *x, kl_x r, kl_x e)
{
    kl_x field = CAST(OP2(add, e, kl_x_int(x, 1023 - 150)), KL_U64);
    kl_x unit = BITS(OP2(shl, field, u64(x, 52)), KL_F64);
    return CAST(OP2(mul, CAST(r, KL_F64), unit), KL_F32);
}

/* Long division, 40 bits of the quotient a time: exponents differ by at most 253. */
kl_x kl_rule_rem_f32(kl_exprs *x, kl_x a, kl_x b)
{
    kl_x p = kl_float_abs(x, KL_F32, a), q = kl_float_abs(x, KL_F32, b), ex, ey;
    kl_x mx = split_f32(x, p, &ex), my = split_f32(x, q, &ey), zero = kl_x_int(x, 0);
    kl_x k = OP2(sub, ex, ey), r = OP2(rem, mx, my), forty = kl_x_int(x, 40);
    for (int i = 0; i < 7; i++) {
        kl_x by = larger(x, zero, smaller(x, k, forty));
        r = OP2(rem, OP2(shl, r, CAST(by, KL_U64)), my);
        k = OP2(sub, k, forty);
    }
    kl_x y = kl_float_signed(x, KL_F32, join_f32(x, r, ey), a);
    kl_x finite =
        OP2(and, OP2(lt, p, FLT(KL_F32, __builtin_inf())), OP2(lt, FLT(KL_F32, 0), q));
    y = WHERE(OP2(lt, p, q), a, y);
    return WHERE(finite, y, FLT(KL_F32, __builtin_nan("")));
}
