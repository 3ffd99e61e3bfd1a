/* test_text.c: floats print shortest and read back to the bit in every locale; scanners
 * stop where they should; the lexer names every token and every fault. */
#include "runtime/runtime.h"

#include <check.h>
#include <locale.h>
#include <stdlib.h>

static void *text_scenario(void)
{
    kl_text t = {0};
    for (int i = 0; i < 200; i++)
        kl_text_printf(&t, "%d,", i);
    kl_text_put(&t, "end");
    ck_assert(t.failed || (t.len == 693 && !strcmp(t.s + 690, "end")));
    bool failed = t.failed;
    kl_text_free(&t);
    return failed ? NULL : "";
}

START_TEST(test_text)
{
    size_t before = kl_alloc_live();
    for (int n = 0, ok = 0; !ok; n++) {
        kl_alloc_fail_at(n);
        ok = text_scenario() != NULL;
        kl_alloc_fail_at(-1);
        ck_assert_uint_eq(kl_alloc_live(), before);
    }
}
END_TEST

static const struct {
    kl_dtype dt;
    double v;
    const char *text;
} floats[] = {
    {KL_F64, 0.1, "0.1"},
    {KL_F32, 0.1f, "0.1"},
    {KL_F64, 0.1f, "0.10000000149011612"},
    {KL_F64, 0.0, "0.0"},
    {KL_F64, -0.0, "-0.0"},
    {KL_F64, 1.0, "1.0"},
    {KL_F64, -12345.0, "-12345.0"},
    {KL_F64, 1e15, "1000000000000000.0"},
    {KL_F64, 1e16, "1e+16"},
    {KL_F64, 123456789012345680.0, "1.2345678901234568e+17"},
    {KL_F64, 9007199254740993.0, "9007199254740992.0"},
    {KL_F64, 0.0001, "0.0001"},
    {KL_F64, 0.00001, "1e-05"},
    {KL_F64, 5e-324, "5e-324"},
    {KL_F64, 1.7976931348623157e308, "1.7976931348623157e+308"},
    {KL_F64, 0x1p-44, "5.684341886080802e-14"}, /* nearest 16 digits do not read back */
    {KL_F64, 2.2250738585072014e-308, "2.2250738585072014e-308"},
    {KL_F32, 0x1p-149, "1e-45"},
    {KL_F32, 3.4028234663852886e38, "3.4028235e+38"},
    {KL_F32, 16777216.0, "16777216.0"},
    {KL_F32, 1.0 / 3, "0.33333334"},
    {KL_F16, 65504, "65500.0"},
    {KL_F16, 0x1p-24, "6e-08"},
    {KL_F16, 1.0 / 3, "0.3333"},
    {KL_BF16, 1.0 / 3, "0.334"},
    {KL_BF16, 0x1p-133, "9e-41"},
    {KL_C64, 0.1f, "0.1"},
    {KL_F32, 1e39, "inf"},
    {KL_F64, -__builtin_inf(), "-inf"},
};

static char *print(kl_dtype dt, double v)
{
    static char line[64];
    kl_text t = {0};
    kl_text_put_float(&t, dt, v);
    ck_assert(!t.failed && t.len < sizeof line);
    strcpy(line, t.s);
    kl_text_free(&t);
    return line;
}

START_TEST(test_print_float)
{
    ck_assert_str_eq(print(floats[_i].dt, floats[_i].v), floats[_i].text);
}
END_TEST

START_TEST(test_print_nan)
{
    ck_assert_str_eq(print(KL_F32, __builtin_nan("")), "nan");
    ck_assert_str_eq(print(KL_F32, -__builtin_nan("")), "nan");
}
END_TEST

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

START_TEST(test_read_back)
{
    uint64_t seed = 88172645463325252;
    for (int i = 0; i < 20000; i++) {
        uint64_t u = next_random(&seed);
        double v, back;
        memcpy(&v, &u, sizeof v);
        if (v != v || v == v * 2)
            continue;
        char *s = print(KL_F64, v);
        ck_assert_str_eq(kl_scan_float(s, &back), "");
        ck_assert_msg(!memcmp(&v, &back, 8), "%a prints as %s", v, s);
        uint32_t w = (uint32_t)u;
        float f;
        memcpy(&f, &w, sizeof f);
        if (f != f || f == f * 2)
            continue;
        s = print(KL_F32, f);
        ck_assert_str_eq(kl_scan_float(s, &back), "");
        ck_assert_msg((float)back == f && strlen(s) <= 16 + 8, "%a prints as %s", f, s);
    }
}
END_TEST

/* Every f16 and bf16, and no fewer digits would do. */
START_TEST(test_halves)
{
    kl_dtype dt = _i ? KL_BF16 : KL_F16;
    for (uint32_t u = 1; u < 0x7F80; u += dt == KL_F16 ? 1 : 3) {
        double v = _i ? kl_bf16_to_f32((uint16_t)u) : kl_f16_to_f32((uint16_t)u), back;
        if (v != v || v == __builtin_inf())
            continue;
        char *s = print(dt, v);
        ck_assert_str_eq(kl_scan_float(s, &back), "");
        ck_assert_uint_eq(_i ? kl_f64_to_bf16(back) : kl_f64_to_f16(back), u);
    }
}
END_TEST

static const struct {
    const char *s;
    double v;
    int left; /* characters not taken; -1: none is taken */
} scans[] = {
    {"1", 1, 0},
    {"-1.5", -1.5, 0},
    {"+.5", .5, 0},
    {"5.", 5, 0},
    {"1e3x", 1000, 1},
    {"1e", 1, 1},
    {"1e+", 1, 2},
    {"1.2.3", 1.2, 2},
    {"0x1.8p3", 12, 0},
    {"0x.8", .5, 0},
    {"0x", 0, 1},
    {"0xg", 0, 2},
    {"-0x1p-1074", -0x1p-1074, 0},
    {"0x1.00000000000008000000000000000001p0", 0x1.0000000000001p0, 0},
    {"inf", __builtin_inf(), 0},
    {"-Infinity", -__builtin_inf(), 0},
    {"INF1", __builtin_inf(), 1},
    {"1e400", __builtin_inf(), 0},
    {"1e-400", 0, 0},
    {"0e99999999999999999999", 0, 0},
    {"1e-99999999999999999999", 0, 0},
    {"9007199254740993", 9007199254740992, 0},
    {"9007199254740993.0000000000000000000000000000000000001", 9007199254740994, 0},
    {"123456789012345678901234567890", 123456789012345678901234567890., 0},
    {"0.000000000000000000000000000000000000001e39", 1, 0},
    {"8.5e-5", 8.5e-5, 0},
    {"", 0, -1},
    {" 1", 0, -1},
    {"-", 0, -1},
    {".", 0, -1},
    {"e5", 0, -1},
    {"--1", 0, -1},
    {"in", 0, -1},
    {"1,5", 1, 2},
};

START_TEST(test_scan_float)
{
    double v = -77;
    const char *s = scans[_i].s, *end = kl_scan_float(s, &v);
    if (scans[_i].left < 0) {
        ck_assert_ptr_eq(end, s);
        ck_assert(v == -77);
        return;
    }
    ck_assert_uint_eq(strlen(end), (size_t)scans[_i].left);
    ck_assert_msg(v == scans[_i].v, "%s gives %a", s, v);
}
END_TEST

START_TEST(test_scan_long)
{
    enum { N = 5000 };
    char *s = malloc(N + 8);
    double v;
    memset(s, '0', N); /* 1.000..., then a 1 far out: just above 1, still 1 */
    s[0] = '1', s[1] = '.', s[N - 1] = '1', s[N] = 0;
    ck_assert(kl_scan_float(s, &v) == s + N && v == 1);
    memset(s, '9', N);
    ck_assert(kl_scan_float(s, &v) == s + N && v == __builtin_inf());
    strcpy(s + N, "e-4999");
    ck_assert(!*kl_scan_float(s, &v) && v == 10);
    memcpy(s, "9007199254740993.", 17); /* a tie, but for the digit beyond DIGITS_MAX */
    memset(s + 17, '0', N - 17);
    strcpy(s + N - 1, "1");
    ck_assert(!*kl_scan_float(s, &v) && v == 9007199254740994);
    strcpy(s + N - 1, "0");
    ck_assert(!*kl_scan_float(s, &v) && v == 9007199254740992);
    ck_assert(kl_scan_float("nan", &v) && v != v);
    free(s);
}
END_TEST

START_TEST(test_scan_int)
{
    int64_t v = 5;
    ck_assert_str_eq(kl_scan_int("-12]", &v), "]");
    ck_assert_int_eq(v, -12);
    ck_assert_str_eq(kl_scan_int("9223372036854775807", &v), "");
    ck_assert_int_eq(v, INT64_MAX);
    ck_assert_str_eq(kl_scan_int("-9223372036854775808", &v), "");
    ck_assert_int_eq(v, INT64_MIN);
    v = 5;
    static const char *const bad[] = {
        "9223372036854775808",    "-9223372036854775809", "", "-", "x",
        "99999999999999999999999"};
    for (size_t i = 0; i < KL_COUNT(bad); i++)
        ck_assert(kl_scan_int(bad[i], &v) == bad[i] && v == 5);
}
END_TEST

/* A locale whose decimal point is a comma, where the machine has one. */
START_TEST(test_locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8",
                                        "nl_NL.UTF-8"};
    for (size_t i = 0; i < KL_COUNT(names) && !setlocale(LC_ALL, names[i]); i++)
        ;
    double v;
    ck_assert_str_eq(print(KL_F64, 1234.5), "1234.5");
    ck_assert_str_eq(print(KL_F64, 1.5e300), "1.5e+300");
    ck_assert(!*kl_scan_float("1.2345678901234567", &v) && v == 1.2345678901234567);
    ck_assert_str_eq(kl_scan_float("1,5", &v), ",5");
    setlocale(LC_ALL, "C");
}
END_TEST

/* Tokens as "kind:text", kinds by their letter. */
static const struct {
    const char *text, *tokens;
} lexed[] = {
    {"%2: f32[B,10] = add %0, %x.w # net.c:41\nout",
     "R:%2 P:: N:f32 P:[ N:B P:, I:10 P:] P:= N:add R:%0 P:, R:%x.w N:out "},
    {"1..4096 % 8", "I:1 P:.. I:4096 P:% I:8 "},
    {"reduce.add a..b head.0", "N:reduce.add N:a P:.. N:b N:head.0 "},
    {"1_u8 0.5_f64 -inf nan info", "I:1 N:_u8 F:0.5 N:_f64 P:- F:inf F:nan N:info "},
    {"0x1.8p3 0xff 1e5 5. 07", "F:0x1.8p3 I:0xff F:1e5 F:5. I:07 "},
    {"a-1 -> <= << != == >= >>", "N:a P:- I:1 P:-> P:<= P:<< P:!= P:== P:>= P:>> "},
    {"18446744073709551615 18446744073709551616",
     "I:18446744073709551615 B:18446744073709551616 "},
    {"\"bk,nk->bn\" \"open\n", "S:bk,nk->bn B:\"open "},
    {"12abc 0x %12x \x01 \xc3", "B:12abc B:0x B:%12x B:\x01 B:\xc3 "},
    {"%99999999999999999999", "B:%99999999999999999999 "},
    {"# only a comment", ""},
    {"", ""},
};

START_TEST(test_lex)
{
    char line[256] = "";
    kl_lex l;
    for (kl_lex_init(&l, "t", lexed[_i].text); l.kind != KL_TOK_END; kl_lex_next(&l)) {
        char one[64];
        snprintf(one, sizeof one, "%c:%.*s ", "ENRIFSPB"[l.kind], (int)l.len, l.tok);
        strcat(line, one);
        ck_assert(l.p >= l.tok);
    }
    ck_assert_str_eq(line, lexed[_i].tokens);
    kl_lex_next(&l);
    ck_assert_int_eq(l.kind, KL_TOK_END);
}
END_TEST

START_TEST(test_lex_values)
{
    kl_lex l;
    int64_t v;
    char name[8];
    kl_lex_init(&l, "f.kl",
                "%12 %x 18446744073709551615 0x1p-1 -9223372036854775808 abc \"abc\"");
    ck_assert_int_eq(l.ival, 12);
    kl_lex_next(&l);
    ck_assert_int_eq(l.ival, -1);
    kl_lex_next(&l);
    ck_assert_uint_eq((uint64_t)l.ival, UINT64_MAX);
    kl_lex_next(&l);
    ck_assert(l.fval == 0.5);
    kl_lex_next(&l);
    ck_assert_int_eq(kl_lex_int(&l, &v), KL_OK);
    ck_assert_int_eq(v, INT64_MIN);
    ck_assert_int_eq(kl_lex_name(&l, name, sizeof name), KL_OK);
    ck_assert_str_eq(name, "abc");
    ck_assert(!kl_lex_is(&l, "abc") && l.kind == KL_TOK_STRING);
}
END_TEST

static kl_status want_brace(kl_lex *l)
{
    return kl_lex_want(l, "{");
}
static kl_status want_name(kl_lex *l)
{
    char name[8];
    return kl_lex_name(l, name, sizeof name);
}
static kl_status want_int(kl_lex *l)
{
    int64_t v;
    return kl_lex_int(l, &v);
}

static const struct {
    kl_status (*want)(kl_lex *l);
    const char *text, *message;
} faults[] = {
    {want_brace, "\n\n a", "f.kl:3:2: expected '{', found 'a'"},
    {want_brace, " ", "f.kl:1:2: expected '{', found the end of the file"},
    {want_name, "a23456789012345678901234",
     "f.kl:1:1: 'a2345678901234567890..' is too long a name (at most 7 characters)"},
    {want_name, "12abc", "f.kl:1:1: expected a name, found '12abc', which is no token"},
    {want_int, "# c\n1.5", "f.kl:2:1: expected an integer, found '1.5'"},
    {want_int, "9223372036854775808",
     "f.kl:1:1: 9223372036854775808 does not fit in 64 bits"},
    {want_int, "- 9223372036854775809",
     "f.kl:1:3: 9223372036854775809 does not fit in 64 bits"},
};

START_TEST(test_lex_faults)
{
    kl_lex l;
    kl_error_clear();
    kl_lex_init(&l, "f.kl", faults[_i].text);
    ck_assert_int_eq(faults[_i].want(&l), KL_ERR_PARSE);
    ck_assert_str_eq(kl_error(), faults[_i].message);
    kl_error_clear();
}
END_TEST

/* Wherever a comment begins, what goes on in the next lines is behind a mark too. */
START_TEST(test_wrap_comment)
{
    for (int n = 30; n < 100; n++) {
        kl_text t = {0};
        kl_text_printf(&t, "  %%1: f32[4] = add %%0, %0*d  # a/%0*d/net.py:12 conv1\n", n,
                       0, _i, 0);
        kl_text_wrap(&t, 0, '#');
        ck_assert(!t.failed);
        const char *at = strstr(t.s, "conv1");
        while (at > t.s && *at != '\n' && *at != '#')
            at--;
        ck_assert_msg(*at == '#', "%s", t.s);
        kl_text_free(&t);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *tc = tcase_create("text");
    tcase_add_test(tc, test_text);
    tcase_add_loop_test(tc, test_wrap_comment, 60, 100);
    tcase_add_loop_test(tc, test_print_float, 0, KL_COUNT(floats));
    tcase_add_test(tc, test_print_nan);
    tcase_add_test(tc, test_read_back);
    tcase_add_loop_test(tc, test_halves, 0, 2);
    tcase_add_loop_test(tc, test_scan_float, 0, KL_COUNT(scans));
    tcase_add_test(tc, test_scan_long);
    tcase_add_test(tc, test_scan_int);
    tcase_add_test(tc, test_locale);
    tcase_add_loop_test(tc, test_lex, 0, KL_COUNT(lexed));
    tcase_add_test(tc, test_lex_values);
    tcase_add_loop_test(tc, test_lex_faults, 0, KL_COUNT(faults));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
