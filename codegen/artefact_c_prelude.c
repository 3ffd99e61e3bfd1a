/* artefact_c_prelude.c: the functions that plain C is written with, one by one: a text
 * has those that it names, each after those that it names itself.
 *
 *   kl_max_f32  ->  KL_FN f32 kl_max_f32(f32 a, f32 b) { .. }, after kl_bits_f32
 *
 * They mean what ops.def says, as ir/eval_*.h do it: nothing of libm. In a row's text $T
 * is the dtype, $U the unsigned integer of its width (at least 32 bits), $B its bits, $M
 * and $X a float's explicit mantissa bits and largest exponent field. */
#include "codegen/codegen.h"

#include <ctype.h>

#define IS(dt) (1u << KL_##dt)
enum {
    BOOLS = IS(BOOL),
    SIGNED = IS(I8) | IS(I16) | IS(I32) | IS(I64),
    UNSIGNED = IS(U8) | IS(U16) | IS(U32) | IS(U64),
    INTS = SIGNED | UNSIGNED,
    FLOATS = IS(F32) | IS(F64)
};

typedef struct row {
    const char *name;
    unsigned dtypes;
    const char *text;
} row;

#define FN1(body) "KL_FN $T kl_$N_$T($T a)\n{\n" body "}\n\n"
#define FN2(body) "KL_FN $T kl_$N_$T($T a, $T b)\n{\n" body "}\n\n"

/* Float to integer: towards zero, saturating, NaN gives 0; both bounds powers of two. */
#define TO_INT(to, below, above, least, most)                                            \
    {                                                                                    \
        "to_" #to, FLOATS,                                                               \
            "KL_FN " #to " kl_to_" #to                                                   \
            "_$T($T a)\n{\n    return a != a ? 0 : a <= ($T)" below " ? " least          \
            " : a >= ($T)" above " ? " most " : (" #to ")a;\n}\n\n"                      \
    }

static const char fma_f32[] =
    "/* a * b + c with one rounding: the product is exact in f64, the sum rounded to odd "
    "there. */\n"
    "KL_FN f32 kl_fma_f32(f32 a, f32 b, f32 c)\n"
    "{\n"
    "#if defined __FMA__ || defined __aarch64__\n"
    "    return __builtin_fmaf(a, b, c);\n"
    "#else\n"
    "    f64 p = (f64)a * (f64)b, s = p + c, t = s - p;\n"
    "    f64 lost = (p - (s - t)) + (c - t);\n"
    "    u64 bits = kl_bits_f64(s);\n"
    "    if ((lost < 0 || lost > 0) && !(bits & 1))\n"
    "        bits += (lost > 0) == (s > 0) ? 1 : (u64)-1;\n"
    "    return (f32)kl_from_bits_f64(bits);\n"
    "#endif\n"
    "}\n\n";

static const char fma_f64[] =
    "#if !defined __FMA__ && !defined __aarch64__\n"
    "__extension__ typedef unsigned __int128 kl_u128;\n"
    "/* |x| = m * 2^e with 2^52 <= m < 2^53, x finite and not zero. */\n"
    "KL_FN u64 kl_split_normal(f64 x, int *e)\n"
    "{\n"
    "    u64 m = kl_split_f64(x, e);\n"
    "    int up = __builtin_clzll(m) - 11;\n"
    "    *e -= up + 1075;\n"
    "    return m << up;\n"
    "}\n\n"
    "/* a >> n, with the bits that fall out gathered in bit 0. */\n"
    "KL_FN kl_u128 kl_shift_sticky(kl_u128 a, int n)\n"
    "{\n"
    "    if (n <= 0)\n"
    "        return a;\n"
    "    if (n > 127)\n"
    "        return a != 0;\n"
    "    return a >> n | ((a & (((kl_u128)1 << n) - 1)) != 0);\n"
    "}\n\n"
    "/* m * 2^e rounded to nearest even. */\n"
    "KL_FN f64 kl_round_u128(kl_u128 m, int e)\n"
    "{\n"
    "    u64 high = (u64)(m >> 64);\n"
    "    int len = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((u64)m);\n"
    "    int drop = len - 55 > -1076 - e ? len - 55 : -1076 - e;\n"
    "    u64 k = drop > 0 ? (u64)kl_shift_sticky(m, drop) : (u64)m << -drop;\n"
    "    e += drop;\n"
    "    u64 q = k >> 2;\n"
    "    q += (k & 3) > 2 || ((k & 3) == 2 && (q & 1));\n"
    "    if (e + 2 > 971)\n"
    "        return __builtin_inf();\n"
    "    return kl_from_bits_f64(((u64)(e + 2 + 1074) << 52) + q);\n"
    "}\n\n"
    "/* None zero, infinite or NaN: the addends aligned as integers of 128 bits. */\n"
    "KL_FN f64 kl_fma_wide(f64 a, f64 b, f64 c)\n"
    "{\n"
    "    int ea, eb, ec;\n"
    "    kl_u128 p = (kl_u128)kl_split_normal(a, &ea) * kl_split_normal(b, &eb);\n"
    "    kl_u128 m = kl_split_normal(c, &ec);\n"
    "    int e = ea + eb, up = ec - e;\n"
    "    if (up >= 0) {\n"
    "        int by = up < 73 ? up : 73;\n"
    "        m <<= by;\n"
    "        p = kl_shift_sticky(p, up - by);\n"
    "        e = ec - by;\n"
    "    } else {\n"
    "        int by = -up < 20 ? -up : 20;\n"
    "        p <<= by;\n"
    "        m = kl_shift_sticky(m, -up - by);\n"
    "        e -= by;\n"
    "    }\n"
    "    f64 sp = (a < 0) != (b < 0) ? -1.0 : 1.0, sc = c < 0 ? -1.0 : 1.0;\n"
    "    if (sp == sc)\n"
    "        return sp * kl_round_u128(p + m, e);\n"
    "    if (p == m)\n"
    "        return 0;\n"
    "    return p > m ? sp * kl_round_u128(p - m, e) : sc * kl_round_u128(m - p, e);\n"
    "}\n"
    "#endif\n\n"
    "/* a * b + c with one rounding. */\n"
    "KL_FN f64 kl_fma_f64(f64 a, f64 b, f64 c)\n"
    "{\n"
    "#if defined __FMA__ || defined __aarch64__\n"
    "    return __builtin_fma(a, b, c);\n"
    "#else\n"
    "    f64 most = __builtin_inf();\n"
    "    if (!(kl_abs_f64(a) < most) || !(kl_abs_f64(b) < most) || a == 0 || b == 0)\n"
    "        return a * b + c;\n"
    "    if (!(kl_abs_f64(c) < most))\n"
    "        return c + 0.0;\n"
    "    return c == 0 ? a * b : kl_fma_wide(a, b, c);\n"
    "#endif\n"
    "}\n\n";

static const char sqrt_f32[] =
    FN1("#if defined __SSE2__\n"
        "    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a)));\n"
        "#elif defined __aarch64__\n"
        "    f32 y;\n"
        "    __asm__(\"fsqrt %s0, %s1\" : \"=w\"(y) : \"w\"(a));\n"
        "    return y;\n"
        "#else\n"
        "    return __builtin_sqrtf(a);\n"
        "#endif\n");
static const char sqrt_f64[] =
    FN1("#if defined __SSE2__\n"
        "    return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set_sd(a)));\n"
        "#elif defined __aarch64__\n"
        "    f64 y;\n"
        "    __asm__(\"fsqrt %d0, %d1\" : \"=w\"(y) : \"w\"(a));\n"
        "    return y;\n"
        "#else\n"
        "    return __builtin_sqrt(a);\n"
        "#endif\n");

static const char f32_f16[] =
    "KL_FN f32 kl_f32_f16(f16 h)\n"
    "{\n"
    "    u32 sign = (u32)(h.bits & 0x8000) << 16, mag = h.bits & 0x7fff;\n"
    "    if (mag >= 0x7c00)\n"
    "        return kl_from_bits_f32(sign | 0x7f800000u | (mag & 0x3ff) << 13);\n"
    "    if (mag >= 0x0400)\n"
    "        return kl_from_bits_f32(sign | ((mag << 13) + (112u << 23)));\n"
    "    return kl_from_bits_f32(sign | kl_bits_f32((f32)mag * 0x1p-24f));\n"
    "}\n\n";
static const char f16_f32[] =
    "/* To nearest even. */\n"
    "KL_FN f16 kl_f16_f32(f32 x)\n"
    "{\n"
    "    u32 b = kl_bits_f32(x), sign = b >> 16 & 0x8000, mag = b & 0x7fffffffu, y;\n"
    "    if (mag > 0x7f800000u)\n"
    "        y = 0x7e00;\n"
    "    else if (mag >= 0x477ff000u) /* 65520 and more round to infinity */\n"
    "        y = 0x7c00;\n"
    "    else if (mag >= 0x38800000u) /* normal: rebias, then round off 13 bits */\n"
    "        y = (mag - (112u << 23) + 0xfffu + (mag >> 13 & 1)) >> 13;\n"
    "    else /* denormal: the adder rounds, because 0.5f's last place is 2^-24 */\n"
    "        y = kl_bits_f32(kl_from_bits_f32(mag) + 0.5f) - 0x3f000000u;\n"
    "    return (f16){(u16)(sign | y)};\n"
    "}\n\n";
static const char bf16_f32[] =
    "/* To nearest even. */\n"
    "KL_FN bf16 kl_bf16_f32(f32 x)\n"
    "{\n"
    "    u32 b = kl_bits_f32(x);\n"
    "    return (bf16){(u16)((b & 0x7fffffffu) > 0x7f800000u\n"
    "                            ? b >> 16 | 0x40\n"
    "                            : (b + 0x7fffu + (b >> 16 & 1)) >> 16)};\n"
    "}\n\n";
static const char f32_odd[] =
    "/* To f32 with the last bit odd when inexact: a second rounding cannot err. */\n"
    "KL_FN f32 kl_f32_odd_f64(f64 x)\n"
    "{\n"
    "    f32 y = (f32)x;\n"
    "    u32 b = kl_bits_f32(y);\n"
    "    if ((f64)y == x || x != x || (b & 1))\n"
    "        return y;\n"
    "    return kl_from_bits_f32(kl_abs_f64((f64)y) > kl_abs_f64(x) ? b - 1 : b + 1);\n"
    "}\n\n";

static const row rows[] = {
    {"bits", FLOATS,
     "KL_FN $U kl_bits_$T($T a)\n{\n    union {\n        $T f;\n        $U u;\n"
     "    } v = {.f = a};\n    return v.u;\n}\n\n"},
    {"from_bits", FLOATS,
     "KL_FN $T kl_from_bits_$T($U a)\n{\n    union {\n        $U u;\n"
     "        $T f;\n    } v = {.u = a};\n    return v.f;\n}\n\n"},
    {"neg", INTS, FN1("    return ($T)(0 - ($U)a);\n")},
    {"abs", SIGNED, FN1("    return a < 0 ? ($T)(0 - ($U)a) : a;\n")},
    {"abs", UNSIGNED, FN1("    return a;\n")},
    {"abs", FLOATS,
     FN1("    return kl_from_bits_$T(kl_bits_$T(a) & ~(($U)1 << ($B - 1)));\n")},
    {"not", INTS, FN1("    return ($T)~a;\n")},
    {"not", BOOLS, FN1("    return !a;\n")},
    {"add", INTS, FN2("    return ($T)(($U)a + ($U)b);\n")},
    {"add", BOOLS, FN2("    return a || b;\n")},
    {"sub", INTS, FN2("    return ($T)(($U)a - ($U)b);\n")},
    {"mul", INTS, FN2("    return ($T)(($U)a * ($U)b);\n")},
    {"mul", BOOLS, FN2("    return a && b;\n")},
    {"min", INTS, FN2("    return a < b ? a : b;\n")},
    {"min", BOOLS, FN2("    return a && b;\n")},
    {"min", FLOATS,
     "/* A NaN wins, and -0 < +0. */\n" FN2(
         "    return a < b    ? a\n           : b < a  ? b\n"
         "           : a == b ? kl_from_bits_$T(kl_bits_$T(a) | kl_bits_$T(b))\n"
         "                    : a + b;\n")},
    {"max", INTS, FN2("    return a > b ? a : b;\n")},
    {"max", BOOLS, FN2("    return a || b;\n")},
    {"max", FLOATS,
     "/* A NaN wins, and -0 < +0. */\n" FN2(
         "    return a > b    ? a\n           : b > a  ? b\n"
         "           : a == b ? kl_from_bits_$T(kl_bits_$T(a) & kl_bits_$T(b))\n"
         "                    : a + b;\n")},
    {"shl", SIGNED, FN2("    return b < 0 || b >= $B ? 0 : ($T)(($U)a << b);\n")},
    {"shl", UNSIGNED, FN2("    return b >= $B ? 0 : ($T)(($U)a << b);\n")},
    {"shr", SIGNED, FN2("    return ($T)(a >> (b < 0 || b >= $B ? $B - 1 : b));\n")},
    {"shr", UNSIGNED, FN2("    return b >= $B ? 0 : ($T)(a >> b);\n")},
    {"div", SIGNED,
     FN2("    return b == 0 ? 0 : b == -1 ? ($T)(0 - ($U)a) : ($T)(a / b);\n")},
    {"div", UNSIGNED, FN2("    return b == 0 ? 0 : ($T)(a / b);\n")},
    {"rem", SIGNED, FN2("    return b == 0 ? a : b == -1 ? 0 : ($T)(a % b);\n")},
    {"rem", UNSIGNED, FN2("    return b == 0 ? a : ($T)(a % b);\n")},
    {"mod", SIGNED,
     FN2("    $T r = kl_rem_$T(a, b);\n"
         "    return b != 0 && r != 0 && (r < 0) != (b < 0) ? ($T)(r + b) : r;\n")},
    {"mod", UNSIGNED, FN2("    return b == 0 ? a : ($T)(a % b);\n")},
    {"floordiv", SIGNED,
     FN2("    $T r = kl_rem_$T(a, b), q = kl_div_$T(a, b);\n"
         "    return b != 0 && r != 0 && (r < 0) != (b < 0) ? ($T)(q - 1) : q;\n")},
    {"floordiv", UNSIGNED, FN2("    return b == 0 ? 0 : ($T)(a / b);\n")},
    {"sqrt", IS(F32), sqrt_f32},
    {"sqrt", IS(F64), sqrt_f64},
    {"with_sign", FLOATS,
     "KL_FN $T kl_with_sign_$T($T a, $T sign)\n{\n"
     "    const $U bit = ($U)1 << ($B - 1);\n"
     "    return kl_from_bits_$T((kl_bits_$T(a) & ~bit) | (kl_bits_$T(sign) & bit));\n"
     "}\n\n"},
    {"round", FLOATS,
     "/* To the nearest integer, ties to even: adding 2^$M leaves no room for a "
     "fraction. "
     "*/\n" FN1("    const $T big = ($T)(($U)1 << $M);\n"
                "    $T m = kl_abs_$T(a);\n"
                "    return kl_with_sign_$T(m < big ? (m + big) - big : m, a);\n")},
    {"trunc", FLOATS,
     FN1("    $T r = kl_abs_$T(kl_round_$T(a));\n"
         "    return kl_with_sign_$T(r > kl_abs_$T(a) ? r - 1 : r, a);\n")},
    {"floor", FLOATS,
     FN1("    $T r = kl_round_$T(a);\n"
         "    return kl_with_sign_$T(r > a ? r - 1 : r, a);\n")},
    {"ceil", FLOATS,
     FN1("    $T r = kl_round_$T(a);\n"
         "    return kl_with_sign_$T(r < a ? r + 1 : r, a);\n")},
    {"div", FLOATS, FN2("    return a / b;\n")},
    {"fma", IS(F32), fma_f32},
    {"fma", IS(F64), fma_f64},
    {"split", FLOATS,
     "/* The mantissa as an integer, and the exponent of that integer's unit. */\n"
     "KL_FN u64 kl_split_$T($T a, int *e)\n{\n"
     "    $U b = kl_bits_$T(a) & ~(($U)1 << ($B - 1));\n"
     "    int field = (int)(b >> $M);\n"
     "    *e = field ? field : 1;\n"
     "    b &= (($U)1 << $M) - 1;\n"
     "    return field ? b | ($U)1 << $M : b;\n}\n\n"},
    {"join", FLOATS,
     "KL_FN $T kl_join_$T(u64 m, int e)\n{\n"
     "    for (; m && m < (u64)1 << $M && e > 1; e--)\n        m <<= 1;\n"
     "    $U field = m >= (u64)1 << $M ? ($U)e << $M : 0;\n"
     "    return kl_from_bits_$T(field | (($U)m & ((($U)1 << $M) - 1)));\n}\n\n"},
    {"rem", FLOATS,
     "/* Exact, by long division of the mantissas. */\n" FN2(
         "    $T x = kl_abs_$T(a), y = kl_abs_$T(b);\n"
         "    int ex, ey, step = 63 - $M;\n"
         "    if (!(x < ($T)__builtin_inf()) || !(y > 0))\n"
         "        return kl_from_bits_$T((($U)$X << $M) | ($U)1 << ($M - 1));\n"
         "    if (x < y)\n        return a;\n"
         "    u64 mx = kl_split_$T(x, &ex), my = kl_split_$T(y, &ey);\n"
         "    mx %= my;\n"
         "    for (int k = ex - ey; k > 0 && mx; k -= step)\n"
         "        mx = (mx << (k < step ? k : step)) % my;\n"
         "    return kl_with_sign_$T(kl_join_$T(mx, ey), a);\n")},
    {"mod", FLOATS,
     FN2("    $T r = kl_rem_$T(a, b);\n"
         "    return r != 0 && (b < 0) != (r < 0) ? r + b : r;\n")},
    {"floordiv", FLOATS,
     FN2("    $T r = kl_rem_$T(a, b), q = (a - r) / b;\n"
         "    if (b == 0)\n        return a / b;\n"
         "    if (r != 0 && (b < 0) != (r < 0))\n        q -= 1;\n"
         "    $T f = kl_floor_$T(q);\n"
         "    return q == 0 ? kl_with_sign_$T(0, a / b) : q - f > ($T)0.5 ? f + 1 : "
         "f;\n")},
    TO_INT(i8, "-128", "128", "-128", "127"),
    TO_INT(u8, "0", "256", "0", "255"),
    TO_INT(i16, "-32768", "32768", "-32768", "32767"),
    TO_INT(u16, "0", "65536", "0", "65535"),
    TO_INT(i32, "-0x1p31", "0x1p31", "INT32_MIN", "INT32_MAX"),
    TO_INT(u32, "0", "0x1p32", "0", "UINT32_MAX"),
    TO_INT(i64, "-0x1p63", "0x1p63", "INT64_MIN", "INT64_MAX"),
    TO_INT(u64, "0", "0x1p64", "0", "UINT64_MAX"),
    {"f32", IS(F16), f32_f16},
    {"f32", IS(BF16),
     "KL_FN f32 kl_f32_bf16(bf16 h)\n{\n"
     "    return kl_from_bits_f32((u32)h.bits << 16);\n}\n\n"},
    {"f16", IS(F32), f16_f32},
    {"bf16", IS(F32), bf16_f32},
    {"f32_odd", IS(F64), f32_odd},
    {"f16", IS(F64),
     "KL_FN f16 kl_f16_f64(f64 x)\n{\n"
     "    return kl_f16_f32(kl_f32_odd_f64(x));\n}\n\n"},
    {"bf16", IS(F64),
     "KL_FN bf16 kl_bf16_f64(f64 x)\n{\n"
     "    return kl_bf16_f32(kl_f32_odd_f64(x));\n}\n\n"},
    {"f64_odd", IS(U64),
     "/* To f64 with the last bit odd when inexact. */\n"
     "KL_FN f64 kl_f64_odd_u64(u64 x)\n{\n"
     "    return x >> 53 ? (f64)(x >> 11 | ((x & 2047) != 0)) * 2048.0 : (f64)x;\n}\n\n"},
    {"f64_odd", IS(I64),
     "KL_FN f64 kl_f64_odd_i64(i64 x)\n{\n"
     "    return x < 0 ? -kl_f64_odd_u64(0 - (u64)x) : kl_f64_odd_u64((u64)x);\n}\n\n"},
};

static const row *find(const char *name, kl_dtype dt)
{
    for (size_t i = 0; i < KL_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0 && rows[i].dtypes >> dt & 1)
            return &rows[i];
    return NULL;
}

/* ---- a row's text for a dtype ---- */

static void expand(const row *r, kl_dtype dt, kl_text *out)
{
    bool wide = kl_dtypes[dt].size == 8;
    for (const char *p = r->text; *p; p++)
        if (*p != '$')
            kl_text_putn(out, p, 1);
        else if (*++p == 'T')
            kl_text_put(out, kl_dtypes[dt].name);
        else if (*p == 'N')
            kl_text_put(out, r->name);
        else if (*p == 'U')
            kl_text_put(out, wide ? "u64" : "u32");
        else if (*p == 'B')
            kl_text_printf(out, "%d", 8 * (int)kl_dtypes[dt].size);
        else if (*p == 'M')
            kl_text_put(out, wide ? "52" : "23");
        else
            kl_text_put(out, wide ? "2047" : "255");
}

static kl_dtype dtype_named(const char *name, size_t n)
{
    for (int i = 0; i < KL_DTYPE_COUNT; i++)
        if (strlen(kl_dtypes[i].name) == n && memcmp(kl_dtypes[i].name, name, n) == 0)
            return (kl_dtype)i;
    return KL_DTYPE_NONE;
}

/* What that text names in turn: kl_NAME_DTYPE, where there is such a row. */
static kl_status add_sources(kl_c_prelude *p, const char *text)
{
    for (const char *at = strstr(text, "kl_"); at; at = strstr(at + 3, "kl_")) {
        char name[64];
        size_t n = 3;
        while (isalnum((unsigned char)at[n]) || at[n] == '_')
            n++;
        size_t cut = n;
        while (cut > 3 && at[cut - 1] != '_')
            cut--;
        kl_dtype dt = dtype_named(at + cut, n - cut);
        if (dt == KL_DTYPE_NONE || cut <= 4 || cut - 4 >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(cut - 4), at + 3);
        if (find(name, dt))
            KL_TRY(kl_c_prelude_add(p, name, dt));
    }
    return KL_OK;
}

kl_status kl_c_prelude_add(kl_c_prelude *p, const char *name, kl_dtype dt)
{
    char key[80];
    const row *r = find(name, dt);
    if (!r)
        return kl_fail(KL_ERR_UNSUPPORTED, "C: no function %s of %s", name,
                       kl_dtypes[dt].name);
    snprintf(key, sizeof key, " %s_%s ", name, kl_dtypes[dt].name);
    if (p->names.s && strstr(p->names.s, key))
        return KL_OK;
    kl_text_put(&p->names, key);
    kl_text one = {0};
    expand(r, dt, &one);
    kl_status s = one.failed || p->names.failed ? kl_fail(KL_ERR_OOM, "C: no memory")
                                                : add_sources(p, one.s);
    kl_text_putn(&p->text, one.s ? one.s : "", one.len);
    kl_text_free(&one);
    return s;
}
