/* eval_int.h: the helpers that ops.def's KL_SEM names, for one integer type, then its
 * rows. A template: eval.c includes it once a type with T (the type), FN(x) (x_i32, say),
 * BITS, SIGNED and NAME (of the rows' function) defined. Arithmetic goes through
 * uint64_t, where it wraps by definition, and is cut back to T. */

static inline bool FN(below_zero)(T a)
{
    return SIGNED && (int64_t)a >> 63;
}
static inline T FN(neg)(T a)
{
    return (T)(0 - (uint64_t)a);
}
static inline T FN(abs)(T a)
{
    return FN(below_zero)(a) ? FN(neg)(a) : a;
}
static inline T FN(not )(T a)
{
    return (T) ~(uint64_t)a;
}
static inline T FN(add)(T a, T b)
{
    return (T)((uint64_t)a + (uint64_t)b);
}
static inline T FN(sub)(T a, T b)
{
    return (T)((uint64_t)a - (uint64_t)b);
}
static inline T FN(mul)(T a, T b)
{
    return (T)((uint64_t)a * (uint64_t)b);
}
/* Division truncates; by -1 it is a negation, which wraps where C's would trap. */
static inline T FN(div)(T a, T b)
{
    if (b == 0)
        return 0;
    return SIGNED && b == (T)-1 ? FN(neg)(a) : (T)(a / b);
}
static inline T FN(rem)(T a, T b)
{
    if (b == 0)
        return a;
    return SIGNED && b == (T)-1 ? 0 : (T)(a % b);
}
static inline T FN(mod)(T a, T b)
{
    T r = FN(rem)(a, b);
    bool other_side = r != 0 && b != 0 && FN(below_zero)(r) != FN(below_zero)(b);
    return other_side ? FN(add)(r, b) : r;
}
static inline T FN(floordiv)(T a, T b)
{
    T q = FN(div)(a, b), r = FN(rem)(a, b);
    bool below = r != 0 && b != 0 && FN(below_zero)(r) != FN(below_zero)(b);
    return below ? FN(sub)(q, 1) : q;
}
static inline T FN(min)(T a, T b)
{
    return a < b ? a : b;
}
static inline T FN(max)(T a, T b)
{
    return a < b ? b : a;
}
static inline T FN (and)(T a, T b)
{
    return a & b;
}
static inline T FN(or)(T a, T b)
{
    return a | b;
}
static inline T FN (xor)(T a, T b)
{
    return a ^ b;
}
static inline T FN(shl)(T a, T b)
{
    return (uint64_t)b < BITS ? (T)((uint64_t)a << b) : 0;
}
static inline T FN(shr)(T a, T b)
{
    if ((uint64_t)b < BITS)
        return (T)(a >> b);
    return FN(below_zero)(a) ? (T)-1 : 0;
}

#define S T
#define LOAD(v) (v)
#define PUT(v) (v)
#define IS_BOOL 0
#define IS_INT 1
#define IS_FLOAT 0
#include "ir/eval_rows.h"
#undef BITS
#undef SIGNED
