/* eval.h: the meaning of ELT and CAST rows on numbers (eval.c, eval_cast.c,
 * eval_complex.c), as the interpreters, the constant folder and the tests use it. Part of
 * ir.h, which includes it when rows and dtypes are known. */
#ifndef KL_EVAL_H
#define KL_EVAL_H

typedef union kl_scalar { /* one element of any real dtype; f16 and bf16 as their bits */
    uint8_t u8;
    int8_t i8;
    uint16_t u16;
    int16_t i16;
    uint32_t u32;
    int32_t i32;
    uint64_t u64;
    int64_t i64;
    float f32;
    double f64;
    bool b;
    uint64_t bits;
} kl_scalar;
/* y = op(a, b, c) at dtype dt (the operands'; where: of b and c). Exact rows and MATH
 * rows. */
kl_scalar kl_eval(kl_op op, kl_dtype dt, kl_scalar a, kl_scalar b, kl_scalar c);
kl_scalar kl_eval_cast(kl_dtype to, kl_dtype from, kl_scalar a);
/* The same over n elements: one dispatch. */
void kl_eval_n(kl_op op, kl_dtype dt, int64_t n, void *y, const void *a, const void *b,
               const void *c);
void kl_eval_cast_n(kl_dtype to, kl_dtype from, int64_t n, void *y, const void *a);
kl_scalar kl_scalar_from(kl_dtype dt, double v);
kl_scalar kl_scalar_from_int(kl_dtype dt, int64_t v);
double kl_scalar_to_double(kl_dtype dt, kl_scalar s);
/* The neutral element of a combining op; empty: the value of a reduction of nothing. */
kl_scalar kl_identity(kl_op combine, kl_dtype dt);
kl_scalar kl_empty(kl_op combine, kl_dtype dt);
/* The CPLX rows over interleaved pairs; false: op is none of them. */
bool kl_eval_c64(kl_op op, int64_t n, void *y, const void *a, const void *b,
                 const void *c);
bool kl_eval_c128(kl_op op, int64_t n, void *y, const void *a, const void *b,
                  const void *c);
/* a * b + c with one rounding, without the instruction */
float kl_fmaf_soft(float a, float b, float c);
double kl_fma_soft(double a, double b, double c);

#endif
