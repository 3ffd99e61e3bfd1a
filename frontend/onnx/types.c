/* types.c: ONNX's element types, a row each: their names and what carries them here. */
#include "onnx.h"

typedef struct type_row {
    const char *name;
    kl_dtype dt;
    bool carried;
} type_row;

static const type_row types[KL_ONNX_TYPES] = {
    [1] = {"float", KL_F32, false},        [2] = {"uint8", KL_U8, false},
    [3] = {"int8", KL_I8, false},          [4] = {"uint16", KL_U16, false},
    [5] = {"int16", KL_I16, false},        [6] = {"int32", KL_I32, false},
    [7] = {"int64", KL_I64, false},        [8] = {"string", KL_DTYPE_NONE, false},
    [9] = {"bool", KL_BOOL, false},        [10] = {"float16", KL_F16, false},
    [11] = {"double", KL_F64, false},      [12] = {"uint32", KL_U32, false},
    [13] = {"uint64", KL_U64, false},      [14] = {"complex64", KL_C64, false},
    [15] = {"complex128", KL_C128, false}, [16] = {"bfloat16", KL_BF16, false},
    [17] = {"float8e4m3fn", KL_U8, true},  [18] = {"float8e4m3fnuz", KL_U8, true},
    [19] = {"float8e5m2", KL_U8, true},    [20] = {"float8e5m2fnuz", KL_U8, true},
    [21] = {"uint4", KL_U8, true},         [22] = {"int4", KL_I8, true},
    [23] = {"float4e2m1", KL_U8, true},    [24] = {"float8e8m0", KL_U8, true},
    [25] = {"uint2", KL_U8, true},         [26] = {"int2", KL_I8, true},
};

kl_dtype kl_onnx_dtype(int type)
{
    return type > 0 && type < KL_ONNX_TYPES ? types[type].dt : KL_DTYPE_NONE;
}

int kl_onnx_type(kl_dtype dt)
{
    for (int i = 1; i < KL_ONNX_TYPES; i++)
        if (types[i].dt == dt && !types[i].carried)
            return i;
    return 0;
}

const char *kl_onnx_type_name(int type)
{
    return type > 0 && type < KL_ONNX_TYPES ? types[type].name : "no type";
}

bool kl_onnx_carried(int type)
{
    return type > 0 && type < KL_ONNX_TYPES && types[type].carried;
}
