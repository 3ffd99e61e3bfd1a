/* eval_cast.h: casts from one dtype to every real one. A template: eval_cast.c includes
 * it once a source dtype with NAME (of the function), S (an element in memory), K (i, u
 * or d: which of the three exact carriers int64_t, uint64_t, double it is read into) and
 * LOAD. */

#define KL_CAST_TO(dt, D, short_name)                                                    \
    case dt: {                                                                           \
        D *yv = y;                                                                       \
        for (int64_t i = 0; i < n; i++)                                                  \
            yv[i] = CARRY(short_name, K)(LOAD(av[i]));                                   \
        return;                                                                          \
    }

static void NAME(kl_dtype to, int64_t n, void *y, const void *a)
{
    const S *av = a;
    switch (to) {
        KL_CAST_TO(KL_BOOL, uint8_t, truth)
        KL_CAST_TO(KL_U8, uint8_t, u8)
        KL_CAST_TO(KL_I8, int8_t, i8)
        KL_CAST_TO(KL_U16, uint16_t, u16)
        KL_CAST_TO(KL_I16, int16_t, i16)
        KL_CAST_TO(KL_U32, uint32_t, u32)
        KL_CAST_TO(KL_I32, int32_t, i32)
        KL_CAST_TO(KL_U64, uint64_t, u64)
        KL_CAST_TO(KL_I64, int64_t, i64)
        KL_CAST_TO(KL_F16, uint16_t, f16)
        KL_CAST_TO(KL_BF16, uint16_t, bf16)
        KL_CAST_TO(KL_F32, float, f32)
        KL_CAST_TO(KL_F64, double, f64)
    default:
        KL_ASSERT(!"a real dtype");
    }
}
#undef NAME
#undef S
#undef K
#undef LOAD
#undef KL_CAST_TO
