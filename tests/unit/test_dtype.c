/* test_dtype.c: the table is whole, promotion is PyTorch's, keys are stable. */
#include "runtime/runtime.h"

#include <check.h>

START_TEST(test_row)
{
    const kl_dtype_info *d = &kl_dtypes[_i];
    ck_assert(d->name && d->torch_name && d->scalar && d->size);
    ck_assert_int_eq(kl_dtype_parse(d->name), _i);
    ck_assert_int_eq(kl_dtype_parse(d->torch_name), _i);
    ck_assert_int_eq(d->bits, _i == KL_BOOL ? 1 : 8 * d->size);
    ck_assert_int_eq(kl_is_complex((kl_dtype)_i), d->real != (kl_dtype)_i);
    if (kl_is_complex((kl_dtype)_i))
        ck_assert_int_eq(kl_dtypes[d->real].size * 2, d->size);
    if (d->npy)
        ck_assert_int_eq(d->npy[2] - '0', d->size == 16 ? 1 : d->size);
}
END_TEST

START_TEST(test_names)
{
    ck_assert_int_eq(kl_dtype_parse("float"), KL_F32);
    ck_assert_int_eq(kl_dtype_parse("long"), KL_I64);
    ck_assert_int_eq(kl_dtype_parse("f33"), KL_DTYPE_NONE);
    ck_assert_int_eq(kl_dtype_parse(""), KL_DTYPE_NONE);
}
END_TEST

/* PyTorch's own table (c10/core/ScalarType.cpp, without complex32), and its rule for the
 * late unsigned dtypes. */
static const char *const order = "u8 i8 i16 i32 i64 f16 f32 f64 c64 c128 bool bf16";
static const char *const torch[] = {
    "u8 i16 i16 i32 i64 f16 f32 f64 c64 c128 u8 bf16",
    "i16 i8 i16 i32 i64 f16 f32 f64 c64 c128 i8 bf16",
    "i16 i16 i16 i32 i64 f16 f32 f64 c64 c128 i16 bf16",
    "i32 i32 i32 i32 i64 f16 f32 f64 c64 c128 i32 bf16",
    "i64 i64 i64 i64 i64 f16 f32 f64 c64 c128 i64 bf16",
    "f16 f16 f16 f16 f16 f16 f32 f64 c64 c128 f16 f32",
    "f32 f32 f32 f32 f32 f32 f32 f64 c64 c128 f32 f32",
    "f64 f64 f64 f64 f64 f64 f64 f64 c128 c128 f64 f64",
    "c64 c64 c64 c64 c64 c64 c64 c128 c64 c128 c64 c64",
    "c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128",
    "u8 i8 i16 i32 i64 f16 f32 f64 c64 c128 bool bf16",
    "bf16 bf16 bf16 bf16 bf16 f32 f32 f64 c64 c128 bf16 bf16",
};

static kl_dtype word(const char *line, int i)
{
    char name[8];
    for (; i > 0; i--)
        line += strcspn(line, " ") + 1;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, " "), line);
    return kl_dtype_parse(name);
}

START_TEST(test_promote)
{
    static const kl_dtype late[] = {KL_U16, KL_U32, KL_U64};
    kl_dtype a = word(order, _i);
    for (int j = 0; j < 12; j++)
        ck_assert_int_eq(kl_dtype_promote(a, word(order, j)), word(torch[_i], j));
    for (int j = 0; j < 3; j++) {
        kl_dtype want = kl_is_float(a) ? a : KL_DTYPE_NONE;
        ck_assert_int_eq(kl_dtype_promote(a, late[j]), want);
        ck_assert_int_eq(kl_dtype_promote(late[j], a), want);
        ck_assert_int_eq(kl_dtype_promote(late[j], late[j]), late[j]);
        ck_assert_int_eq(kl_dtype_promote(late[j], late[(j + 1) % 3]), KL_DTYPE_NONE);
    }
}
END_TEST

START_TEST(test_hash)
{
    char hex[33];
    kl_hash_hex(kl_hash_text(""), hex);
    ck_assert_str_eq(hex,
                     "99aa06d3014798d86001c324468d497f"); /* XXH3's published value */
    kl_hash a = kl_hash_text("kernel"), b = kl_hash_bytes("kernel", 6),
            c = kl_hash_text("kernem");
    ck_assert(a.lo == b.lo && a.hi == b.hi);
    ck_assert(a.lo != c.lo && a.hi != c.hi);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dtype");
    TCase *tc = tcase_create("dtype");
    tcase_add_loop_test(tc, test_row, 0, KL_DTYPE_COUNT);
    tcase_add_test(tc, test_names);
    tcase_add_loop_test(tc, test_promote, 0, 12);
    tcase_add_test(tc, test_hash);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
