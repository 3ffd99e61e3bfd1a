/* math.c: the elementwise functions of kiln/math.h, from one table each for one and two
 * operands: how dtypes promote, and the primitive or the composition (math_compose.c).
 *
 *   kl_div(i64[3], 2)  ->  promote to the default dtype, expand 2, div
 *
 * The in-place form computes the same, casts it to the tensor's dtype if that loses no
 * kind, and writes it. */
#include "math_compose.h"

/* SAME: the promoted dtype. REAL: integers become the default dtype. WIDE: as REAL, f16
 * and bf16 computed in f32. INT: integers only. KEEP: as SAME; integers are their own
 * result. DOUBLE: f64, or c128. */
typedef enum how { SAME, REAL, WIDE, INT, KEEP, DOUBLE } how;
typedef struct unary {
    const char *name;
    how how;
    kl_op op;
    kl_lazy *(*fn)(kl_lazy *a);
} unary;
typedef struct binary {
    const char *name;
    how how;
    kl_op op;
    kl_lazy *(*fn)(kl_lazy *a, kl_lazy *b);
} binary;

/* clang-format off */
enum {
#define NUMBER(n) U_##n,
    KL_UNARY_FUNCTIONS(NUMBER) U_COUNT,
#undef NUMBER
#define NUMBER(n) B_##n,
    B_FIRST = -1, KL_BINARY_FUNCTIONS(NUMBER) B_COUNT
#undef NUMBER
};
#define ROW(n, h) [U_##n] = {#n, h, KL_OP_##n, NULL}
#define FN(n, h) [U_##n] = {#n, h, KL_OP_COUNT, kl_f_##n}
static const unary unaries[U_COUNT] = {
    ROW(neg, SAME), ROW(abs, SAME), ROW(sqrt, REAL), ROW(floor, KEEP), ROW(ceil, KEEP),
    ROW(trunc, KEEP), ROW(round, KEEP), ROW(not, INT), ROW(exp, REAL), ROW(exp2, REAL),
    ROW(expm1, REAL), ROW(log, REAL), ROW(log2, REAL), ROW(log10, REAL), ROW(log1p, REAL),
    ROW(sin, REAL), ROW(cos, REAL), ROW(tan, REAL), ROW(asin, REAL), ROW(acos, REAL),
    ROW(atan, REAL), ROW(sinh, REAL), ROW(cosh, REAL), ROW(tanh, REAL), ROW(erf, REAL),
    ROW(erfc, REAL), FN(real, SAME), FN(imag, SAME), FN(logical_not, SAME),
    FN(square, SAME), FN(reciprocal, REAL),
    FN(rsqrt, REAL), FN(sign, SAME), FN(relu, SAME), FN(sigmoid, WIDE), FN(silu, WIDE),
    FN(softplus, WIDE), FN(gelu, WIDE), FN(gelu_tanh, WIDE), FN(relu6, SAME), FN(elu, WIDE),
    FN(selu, WIDE), FN(mish, WIDE), FN(hardswish, WIDE), FN(hardsigmoid, WIDE),
    FN(softsign, WIDE), FN(logsigmoid, WIDE), FN(isnan, SAME), FN(isinf, SAME),
    FN(isfinite, SAME), FN(signbit, SAME), FN(frac, REAL), FN(asinh, WIDE), FN(acosh, WIDE),
    FN(atanh, WIDE), FN(deg2rad, REAL), FN(rad2deg, REAL), FN(nan_to_num, SAME),
    FN(sinc, REAL), FN(logit, WIDE), FN(entr, REAL), FN(lgamma, REAL), FN(digamma, REAL),
    FN(erfinv, REAL), FN(ndtri, REAL), FN(ndtr, REAL), FN(log_ndtr, REAL), FN(erfcx, REAL),
    FN(i0, REAL), FN(i0e, REAL), FN(i1, REAL), FN(i1e, REAL), FN(angle, REAL), FN(sgn, SAME),
    FN(isposinf, SAME), FN(isneginf, SAME), FN(isreal, SAME),
    FN(bessel_j0, REAL), FN(bessel_j1, REAL), FN(bessel_y0, REAL), FN(bessel_y1, REAL),
    FN(modified_bessel_k0, REAL), FN(modified_bessel_k1, REAL),
    FN(scaled_modified_bessel_k0, REAL), FN(scaled_modified_bessel_k1, REAL),
    FN(spherical_bessel_j0, REAL), FN(airy_ai, REAL),
};
#undef ROW
#undef FN
#define ROW(n, h) [B_##n] = {#n, h, KL_OP_##n, NULL}
#define FN(n, h) [B_##n] = {#n, h, KL_OP_COUNT, kl_f_##n}
static const binary binaries[B_COUNT] = {
    ROW(add, SAME), ROW(sub, SAME), ROW(mul, SAME), ROW(div, REAL), ROW(floordiv, SAME),
    ROW(mod, SAME), ROW(rem, SAME), ROW(min, SAME), ROW(max, SAME), FN(pow, SAME),
    ROW(atan2, REAL), ROW(and, INT), ROW(or, INT), ROW(xor, INT), ROW(shl, INT), ROW(shr, INT),
    ROW(lt, SAME), ROW(le, SAME), ROW(eq, SAME), ROW(ne, SAME), FN(gt, SAME), FN(ge, SAME),
    FN(logical_and, SAME), FN(logical_or, SAME), FN(logical_xor, SAME), FN(hypot, WIDE),
    FN(copysign, REAL), FN(logaddexp, WIDE), FN(squared_difference, SAME), FN(heaviside, SAME),
    FN(fmin, SAME), FN(fmax, SAME), FN(xlogy, REAL), FN(trunc_div, SAME),
    FN(xlog1py, REAL), FN(gcd, INT), FN(lcm, INT), FN(nextafter, REAL), FN(logaddexp2, WIDE),
    FN(ldexp, REAL), FN(float_power, DOUBLE), FN(polar, REAL),
};
#undef ROW
#undef FN
/* Of complex numbers: functions of their own, and compositions that serve both. */
typedef kl_lazy *(*function_1)(kl_lazy *a);
static const function_1 complex_1[U_COUNT] = {
#define C(n) [U_##n] = kl_c_##n,
    KL_COMPLEX_FUNCTIONS(C)
#undef C
    [U_real] = kl_f_real, [U_imag] = kl_f_imag, [U_logical_not] = kl_f_logical_not,
    [U_square] = kl_f_square, [U_reciprocal] = kl_f_reciprocal, [U_isnan] = kl_f_isnan,
};
static const bool complex_2[B_COUNT] = {
    [B_pow] = true, [B_logical_and] = true, [B_logical_or] = true, [B_logical_xor] = true,
    [B_logaddexp] = true, [B_squared_difference] = true, [B_float_power] = true,
    [B_ldexp] = true,
};
/* clang-format on */

/* What the row behind a function cannot take, said in the user's terms. */
static kl_status check(const char *name, how how, kl_op op, kl_dtype dt, bool complex)
{
    const char *scalar = dt < KL_DTYPE_COUNT ? kl_dtypes[dt].scalar : "";
    unsigned flags = op < KL_OP_COUNT ? kl_ops[op].flags : 0;
    if (dt == KL_DTYPE_NONE)
        return kl_error_status() ? kl_error_status() : KL_ERR_ARG;
    if (how == INT && (kl_is_float(dt) || kl_is_complex(dt)))
        return kl_fail(KL_ERR_DTYPE,
                       "%s: not implemented for '%s'; integers and bool only", name,
                       scalar);
    if (dt == KL_BOOL && flags & KL_F_NOBOOL)
        return kl_fail(KL_ERR_DTYPE, "%s: not supported on bool tensors", name);
    if (kl_is_complex(dt) && !(flags & KL_F_CPLX) && !complex)
        return kl_fail(KL_ERR_DTYPE, "%s: not implemented for '%s'", name, scalar);
    return KL_OK;
}

static kl_dtype computed_in(how how, kl_dtype dt)
{
    return how == WIDE && (dt == KL_F16 || dt == KL_BF16) ? KL_F32 : dt;
}

static kl_dtype promoted(how how, int n, const kl_arg *a)
{
    kl_dtype dt =
        how == REAL || how == WIDE ? kl_arg_promote_float(n, a) : kl_arg_promote(n, a);
    return how != DOUBLE || dt == KL_DTYPE_NONE ? dt
           : kl_is_complex(dt)                  ? KL_C128
                                                : KL_F64;
}

static kl_lazy *apply_1(const unary *u, kl_arg a)
{
    kl_dtype dt = promoted(u->how, 1, &a);
    function_1 complex = complex_1[u - unaries];
    if (check(u->name, u->how, u->op, dt, complex != NULL))
        return NULL;
    kl_lazy *n = kl_arg_read(a, computed_in(u->how, dt));
    if (kl_is_complex(dt) && complex)
        return complex(n);
    if (u->how == KEEP && !kl_is_float(dt))
        return n;
    n = u->fn ? u->fn(n) : kl_n_un(u->op, n);
    return n && u->how == WIDE ? kl_n_cast(n, dt) : n;
}

static kl_lazy *apply_2(const binary *b, kl_arg x, kl_arg y)
{
    kl_arg a[2] = {x, y};
    kl_dtype dt = promoted(b->how, 2, a);
    if (check(b->name, b->how, b->op, dt, complex_2[b - binaries]))
        return NULL;
    if (b - binaries == B_pow && y.kind != KL_ARG_TENSOR && x.kind == KL_ARG_TENSOR)
        return kl_f_pow_number(kl_arg_read(x, dt), y);
    /* a number keeps its digits and range in a product with, or quotient of, half
     * precision */
    bool number = (x.kind != KL_ARG_TENSOR) != (y.kind != KL_ARG_TENSOR);
    bool scales = number && (b->op == KL_OP_mul || b->op == KL_OP_div);
    kl_dtype in = computed_in(scales ? WIDE : b->how, dt);
    kl_lazy *n[2] = {kl_arg_read(x, in), kl_arg_read(y, in)};
    if (!n[0] || !n[1] || kl_broadcast(b->name, 2, n))
        return NULL;
    kl_lazy *r = b->fn ? b->fn(n[0], n[1]) : kl_n_bin(b->op, n[0], n[1]);
    return r && (scales || b->how == WIDE) ? kl_n_cast(r, dt) : r;
}

/* ---- writing ---- */

/* Bool, integer, real, complex: a result of a higher kind does not fit. */
static int kind_of(kl_dtype dt)
{
    return kl_is_complex(dt) ? 3 : kl_is_float(dt) ? 2 : dt != KL_BOOL;
}

static kl_tensor *write(kl_call *c, kl_tensor *t, kl_lazy *v, bool any)
{
    char a[200], b[200];
    kl_status st = v ? KL_OK : KL_ERR_ARG;
    if (v && !any && kind_of((kl_dtype)v->dtype) > kind_of((kl_dtype)t->dtype))
        st = kl_fail(KL_ERR_DTYPE,
                     "result type %s can't be cast to the desired output type %s",
                     kl_dtypes[v->dtype].scalar, kl_dtypes[t->dtype].scalar);
    if (st == KL_OK && v->rank > t->rank)
        st = KL_ERR_SHAPE;
    for (int i = 0; st == KL_OK && i < v->rank; i++) {
        int64_t from = kl_lazy_shape(v)[i], to = kl_t_shape(t)[t->rank - v->rank + i];
        st = from == to || from == 1 ? KL_OK : KL_ERR_SHAPE;
    }
    if (st == KL_OK && kl_n_expand(v, t->rank, kl_t_shape(t)) == NULL)
        st = KL_ERR_SHAPE;
    if (st == KL_ERR_SHAPE && v)
        kl_fail(st, "output with shape %s doesn't match the broadcast shape %s",
                kl_ints_text(kl_shape_of(t), a, sizeof a),
                kl_ints_text(kl_ints_of(v->rank, kl_lazy_shape(v)), b, sizeof b));
    if (st == KL_OK)
        st = kl_tensor_write(
            t, kl_n_expand(kl_n_cast(v, (kl_dtype)t->dtype), t->rank, kl_t_shape(t)));
    if (st == KL_OK)
        t->fn = c->fn;
    kl_call_done(c, st);
    return st == KL_OK ? t : NULL;
}

/* A number to be written to t, with all the digits that t holds. */
static kl_lazy *digits(const kl_tensor *t, kl_arg v)
{
    kl_dtype dt = (kl_dtype)t->dtype;
    bool whole = !kl_is_float(dt) && !kl_is_complex(dt);
    if (v.kind == KL_ARG_FLOAT && (dt == KL_F64 || dt == KL_C128 || whole))
        return kl_arg_read(v, KL_F64);
    return v.kind == KL_ARG_COMPLEX && dt == KL_C128 ? kl_arg_read(v, dt)
                                                     : kl_arg_node(v);
}

kl_tensor *kl_copy_in_at(const char *at, kl_tensor *t, kl_arg v)
{
    kl_call c = kl_call_begin(at);
    return write(&c, t, t ? digits(t, v) : kl_arg_tensor(t), true);
}

kl_tensor *kl_assign_at(const char *at, kl_tensor *t, kl_tensor *v)
{
    kl_call c = kl_call_enter(at, v && v->fn ? v->fn : __func__);
    return write(&c, t, t ? kl_arg_tensor(v) : kl_arg_tensor(t), false);
}

kl_tensor *kl_clamp_in_at(const char *at, kl_tensor *a, kl_arg low, kl_arg high)
{
    kl_call c = kl_call_begin(at);
    return write(&c, a, a ? kl_f_clamp(kl_arg_t(a), low, high) : kl_arg_tensor(a), false);
}

/* ---- the functions ---- */

static kl_tensor *call_1(const char *at, int f, kl_arg a)
{
    kl_call c = kl_call_enter(at, unaries[f].name);
    return kl_call_end_laid(&c, apply_1(&unaries[f], a), 1, &a);
}

static kl_tensor *call_2(const char *at, int f, kl_arg a, kl_arg b)
{
    kl_call c = kl_call_enter(at, binaries[f].name);
    return kl_call_end_laid(&c, apply_2(&binaries[f], a, b), 2, (kl_arg[]){a, b});
}

static kl_tensor *write_1(const char *at, int f, kl_tensor *a)
{
    kl_call c = kl_call_enter(at, unaries[f].name);
    return write(&c, a, apply_1(&unaries[f], kl_arg_t(a)), false);
}

static kl_tensor *write_2(const char *at, int f, kl_tensor *a, kl_arg b)
{
    kl_call c = kl_call_enter(at, binaries[f].name);
    return write(&c, a, apply_2(&binaries[f], kl_arg_t(a), b), false);
}

#define DEFINE_1(n)                                                                      \
    kl_tensor *kl_##n##_at(const char *at, kl_arg a)                                     \
    {                                                                                    \
        return call_1(at, U_##n, a);                                                     \
    }                                                                                    \
    kl_tensor *kl_##n##_in_at(const char *at, kl_tensor *a)                              \
    {                                                                                    \
        return write_1(at, U_##n, a);                                                    \
    }
#define DEFINE_2(n)                                                                      \
    kl_tensor *kl_##n##_at(const char *at, kl_arg a, kl_arg b)                           \
    {                                                                                    \
        return call_2(at, B_##n, a, b);                                                  \
    }                                                                                    \
    kl_tensor *kl_##n##_in_at(const char *at, kl_tensor *a, kl_arg b)                    \
    {                                                                                    \
        return write_2(at, B_##n, a, b);                                                 \
    }
KL_UNARY_FUNCTIONS(DEFINE_1)
KL_BINARY_FUNCTIONS(DEFINE_2)

kl_tensor *kl_where_at(const char *at, kl_tensor *c, kl_arg a, kl_arg b)
{
    kl_call call = kl_call_begin(at);
    kl_arg ab[2] = {a, b};
    kl_dtype dt = kl_arg_promote(2, ab);
    kl_lazy *n[3] = {kl_arg_tensor(c), kl_arg_read(a, dt), kl_arg_read(b, dt)};
    if (n[0] && n[0]->dtype != KL_BOOL) {
        kl_fail(KL_ERR_DTYPE,
                "where expected condition to be a boolean tensor, but got a tensor "
                "with dtype %s",
                kl_dtypes[n[0]->dtype].scalar);
        n[0] = NULL;
    }
    if (!n[0] || !n[1] || !n[2] || kl_broadcast("where", 3, n))
        return kl_call_end(&call, NULL);
    return kl_call_end_laid(&call, kl_n_where(n[0], n[1], n[2]), 3,
                            (kl_arg[]){kl_arg_t(c), a, b});
}

kl_tensor *kl_fma_at(const char *at, kl_arg a, kl_arg b, kl_arg c)
{
    kl_call call = kl_call_begin(at);
    kl_arg x[3] = {a, b, c};
    kl_dtype dt = kl_arg_promote_float(3, x);
    kl_lazy *n[3] = {kl_arg_read(a, dt), kl_arg_read(b, dt), kl_arg_read(c, dt)};
    if (!n[0] || !n[1] || !n[2] || kl_broadcast("fma", 3, n))
        return kl_call_end(&call, NULL);
    return kl_call_end_laid(&call, kl_n_fma(n[0], n[1], n[2]), 3, x);
}

kl_tensor *kl_clamp_at(const char *at, kl_arg a, kl_arg low, kl_arg high)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end_laid(&c, kl_f_clamp(a, low, high), 3, (kl_arg[]){a, low, high});
}

kl_tensor *kl_leaky_relu_at(const char *at, kl_arg a, double slope)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_read(a, kl_arg_promote_float(1, &a));
    kl_lazy *low = kl_n_binc(KL_OP_mul, n, slope);
    return kl_call_end_laid(&c, kl_n_where(kl_n_cbin(KL_OP_lt, 0, n), n, low), 1, &a);
}

kl_tensor *kl_lerp_at(const char *at, kl_arg a, kl_arg b, kl_arg w)
{
    kl_call c = kl_call_begin(at);
    kl_arg x[3] = {a, b, w};
    kl_dtype dt = kl_arg_promote_float(3, x);
    kl_dtype in = computed_in(WIDE, dt);
    kl_lazy *n[3] = {kl_arg_read(a, in), kl_arg_read(b, in), kl_arg_read(w, in)};
    if (!n[0] || !n[1] || !n[2] || kl_broadcast("lerp", 3, n))
        return kl_call_end(&c, NULL);
    kl_lazy *d = kl_n_bin(KL_OP_mul, n[2], kl_n_bin(KL_OP_sub, n[1], n[0]));
    return kl_call_end_laid(&c, kl_n_cast(kl_n_bin(KL_OP_add, n[0], d), dt), 3, x);
}

kl_tensor *kl_complex_at(const char *at, kl_tensor *re, kl_tensor *im)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n[2] = {kl_arg_tensor(re), kl_arg_tensor(im)};
    if (!n[0] || !n[1] || kl_broadcast("complex", 2, n))
        return kl_call_end(&c, NULL);
    if (n[0]->dtype != n[1]->dtype || (n[0]->dtype != KL_F32 && n[0]->dtype != KL_F64)) {
        kl_fail(KL_ERR_DTYPE,
                "complex: Expected both inputs to be Float or Double tensors but got "
                "%s and %s",
                kl_dtypes[n[0]->dtype].scalar, kl_dtypes[n[1]->dtype].scalar);
        return kl_call_end(&c, NULL);
    }
    return kl_call_end_laid(&c, kl_n_bin(KL_OP_complex, n[0], n[1]), 2,
                            (kl_arg[]){kl_arg_t(re), kl_arg_t(im)});
}

/* a + alpha * (b op c) */
static kl_tensor *add_scaled(const char *at, kl_op op, kl_arg a, kl_arg b, kl_arg c,
                             kl_arg alpha)
{
    kl_call call = kl_call_begin(at);
    kl_arg x[4] = {a, b, c, alpha};
    kl_dtype dt = op == KL_OP_div ? kl_arg_promote_float(4, x) : kl_arg_promote(4, x);
    kl_lazy *n[4];
    for (int i = 0; i < 4; i++)
        n[i] = kl_arg_read(x[i], computed_in(WIDE, dt));
    if (!n[0] || !n[1] || !n[2] || !n[3] ||
        kl_broadcast(op == KL_OP_div ? "addcdiv" : "addcmul", 4, n))
        return kl_call_end(&call, NULL);
    kl_lazy *p = kl_n_bin(op, kl_n_bin(KL_OP_mul, n[3], n[1]), n[2]);
    return kl_call_end_laid(&call, kl_n_cast(kl_n_bin(KL_OP_add, n[0], p), dt), 3, x);
}

kl_tensor *kl_addcmul_at(const char *at, kl_arg a, kl_arg b, kl_arg c, kl_arg alpha)
{
    return add_scaled(at, KL_OP_mul, a, b, c, alpha);
}

kl_tensor *kl_addcdiv_at(const char *at, kl_arg a, kl_arg b, kl_arg c, kl_arg alpha)
{
    return add_scaled(at, KL_OP_div, a, b, c, alpha);
}
