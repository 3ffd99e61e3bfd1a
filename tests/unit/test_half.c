/* test_half.c: narrowing against a search among all values of the narrow format. */
#include "runtime/runtime.h"

#include "many.h"

static const struct {
    float (*widen)(uint16_t h);
    uint16_t (*narrow)(float f);
    uint16_t (*narrow64)(double d);
    uint16_t inf;
} formats[] = {{kl_f16_to_f32, kl_f32_to_f16, kl_f64_to_f16, 0x7C00},
               {kl_bf16_to_f32, kl_f32_to_bf16, kl_f64_to_bf16, 0x7F80}};

/* The nearest value to d >= 0, ties to the even pattern; beyond the largest, infinity
 * takes the place of the next power of two. */
static uint16_t oracle(int f, double d)
{
    uint16_t lo = 0, hi = formats[f].inf;
    while (hi - lo > 1) {
        uint16_t mid = (uint16_t)((lo + hi) / 2);
        if (formats[f].widen(mid) <= d)
            lo = mid;
        else
            hi = mid;
    }
    double a = formats[f].widen(lo), b = formats[f].widen(hi);
    if (hi == formats[f].inf)
        b = f ? 0x1p128 : 0x1p16;
    double middle = a + (b - a) / 2;
    return d < middle || (d == middle && !(lo & 1)) ? lo : hi;
}

START_TEST(test_round_trip)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float v = formats[_i].widen((uint16_t)h);
        bool nan = (h & 0x7FFF) > formats[_i].inf;
        check_msg((v != v) == nan, "0x%x", h);
        uint16_t back = formats[_i].narrow(v), back64 = formats[_i].narrow64(v);
        if (nan) {
            check_msg((back & 0x7FFF) > formats[_i].inf, "0x%x", h);
            check_msg((back64 & 0x7FFF) > formats[_i].inf, "0x%x", h);
        } else {
            check_msg(back == h && back64 == h, "0x%x", h);
        }
    }
    ck_assert(kl_f16_to_f32(0x3C00) == 1.0f && kl_f16_to_f32(0x0001) == 0x1p-24f);
    ck_assert(kl_f16_to_f32(0x7BFF) == 65504.0f && kl_bf16_to_f32(0x3F80) == 1.0f);
}
END_TEST

START_TEST(test_narrow_f32)
{
    for (uint64_t u = 0; u < 0x7F800000; u += 997) {
        uint32_t w = (uint32_t)u;
        float v;
        memcpy(&v, &w, sizeof v);
        uint16_t want = oracle(_i, v);
        check_msg(formats[_i].narrow(v) == want, "%a", v);
        check_msg(formats[_i].narrow(-v) == (want | 0x8000), "%a", -v);
        check_msg(formats[_i].narrow64(v) == want, "%a", v);
    }
}
END_TEST

/* Middles, and one f64 step to either side: rounding through f32 would call all three a
 * tie. */
START_TEST(test_middles)
{
    for (uint16_t h = 0; h + 1 < formats[_i].inf; h++) {
        double a = formats[_i].widen(h),
               m = a + (formats[_i].widen((uint16_t)(h + 1)) - a) / 2;
        check_msg(formats[_i].narrow64(m) == (h & 1 ? h + 1 : h), "%a", m);
        check_msg(formats[_i].narrow64(m * (1 + 0x1p-52)) == h + 1, "above %a", m);
        check_msg(formats[_i].narrow64(m * (1 - 0x1p-53)) == h, "below %a", m);
    }
    ck_assert_uint_eq(formats[_i].narrow64(1e300), formats[_i].inf);
    ck_assert_uint_eq(formats[_i].narrow64(5e-324), 0);
    ck_assert_uint_eq(formats[_i].narrow64(-5e-324), 0x8000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("half");
    TCase *tc = tcase_create("half");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_round_trip, 0, 2);
    tcase_add_loop_test(tc, test_narrow_f32, 0, 2);
    tcase_add_loop_test(tc, test_middles, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
