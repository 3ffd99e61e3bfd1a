/* test_program_text.c: plans as text and as bytes. Both come back as they were; what is
 * damaged is refused, whatever it is, and never read past its end. */
#include "runtime/runtime.h"

#include "same_text.h"

#include <check.h>
#include <stdlib.h>

static const char whole[] =
    "program head for cuda:1 {\n"
    "  dim B 1..4096 % 8\n"
    "  dim n -3..1099511627776 % 1\n"
    "  in x: f32[B,64]\n"
    "  in %1: c64[]\n"
    "  in \"layer.0/w 1\": i64[3*B+1,floor((B+13)/14)]\n"
    "  out y: f32[B,10]\n"
    "  arena 40*B\n"
    "  constants \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n"
    "  constants \"ff00\"\n"
    "  slot 0: in 0 f32[B,64] bytes 256*B name x\n"
    "  slot 1: out 0 f32[B,10] bytes 40*B donates 2 name \"y 1\"\n"
    "  slot 2: arena f16[] offset 0 bytes max(0,B-n)\n"
    "  slot 3: arena bool[B] offset 40*B bytes mod(B,7)*min(n,-B)\n"
    "  slot 4: const 32 u8[2] bytes 2\n"
    "  slot 5: in 2 i64[3*B+1,floor((B+13)/14)] bytes 8\n"
    "  slot 6: arena bool[B] offset 0 bytes B\n"
    "  slot 7: arena bool[] offset 64 bytes 1\n"
    "  kernel 0: head.0\n"
    "  kernel 1: \"0 odd\" key \"0123456789abcdeffedcba9876543210\"\n"
    "  launch head.0 kernel 0 (0, 2) dims (B,n+2) workers (floor((B+13)/14)) grain 1 "
    "workers "
    "(1) grain 1024 block 32 4 shared (49152) scratch (64*n) flops 1280.5 bytes 2600.0 "
    "at "
    "\"net.c:41\"\n"
    "  launch odd kernel 1 ()\n"
    "  copy copy (1, 2)\n"
    "  fill zero (3) byte 255\n"
    "  call f \"lapack_f\" (0, 5, 1) inputs 2\n"
    "  loop again (2, 3, 0, 2, 6, 6) carries 2 trips (B-n)\n"
    "    program again.body for cpu {\n"
    "      dim B 1..4096 % 8\n"
    "      dim n 0..5 % 1\n"
    "      in %0: f16[]\n"
    "      in %1: bool[B]\n"
    "      in x: f32[64]\n"
    "      out %0: f16[]\n"
    "      out %1: bool[B]\n"
    "      arena 0\n"
    "    }\n"
    "  loop until (2, 2, 7, 6) carries 1 at \"net.c:42 (backward)\"\n"
    "    program until.body for cpu {\n"
    "      dim B 1..4096 % 8\n"
    "      dim n 0..5 % 1\n"
    "      in %0: f16[]\n"
    "      out %0: f16[]\n"
    "      arena 0\n"
    "    }\n"
    "  while\n"
    "    program until.test for cpu {\n"
    "      dim B 1..4096 % 8\n"
    "      dim n 0..5 % 1\n"
    "      in %0: f16[]\n"
    "      out %0: bool[]\n"
    "      arena 0\n"
    "    }\n"
    "  branch either (7, 2, 6)\n"
    "    program one for cpu {\n"
    "      dim B 1..4096 % 8\n"
    "      dim n 0..5 % 1\n"
    "      out %0: f16[]\n"
    "      arena 0\n"
    "    }\n"
    "  else\n"
    "    program two for cpu {\n"
    "      dim B 1..4096 % 8\n"
    "      dim n 0..5 % 1\n"
    "      out %0: f16[]\n"
    "      arena 0\n"
    "    }\n"
    "}\n";

static kl_program *parse(const char *text)
{
    kl_program *p = NULL;
    kl_error_clear();
    ck_assert_msg(kl_program_parse("t.kl", text, &p) == KL_OK, "%s", kl_error());
    return p;
}

static void expect_text(const kl_program *p, const char *text)
{
    kl_text t = {0};
    char *want = strdup(text);
    kl_program_print(p, &t);
    for (const char *s = t.s; *s; s += strcspn(s, "\n"), s += *s == '\n')
        ck_assert_uint_le(strcspn(s, "\n"), 100);
    words_only(t.s);
    words_only(want);
    text = want;
    t.len = strlen(t.s);
    for (size_t i = 0; text[i] || (i < t.len && t.s[i]); i++)
        ck_assert_msg(t.s[i] == text[i], "from here: %.200s", t.s + i);
    kl_text_free(&t);
    free(want);
}

START_TEST(text_comes_back)
{
    kl_program *p = parse(whole);
    ck_assert_int_eq(p->device, 2);
    ck_assert_int_eq(p->nsyms, 2);
    ck_assert_int_eq(p->nsteps, 8);
    ck_assert_uint_eq(p->nconstants, 34);
    ck_assert_int_eq(((const uint8_t *)p->constants)[32], 255);
    ck_assert(p->kernels[1].key.hi == 0x0123456789abcdef);
    ck_assert_int_eq(p->steps[0].phases[1].group, 4);
    ck_assert_int_eq(p->steps[5].body->nout, 2);
    ck_assert_ptr_null(p->steps[5].other);
    ck_assert_int_eq(p->steps[6].other->nout, 1);
    ck_assert_str_eq(p->steps[7].other->name, "two");
    int64_t syms[] = {16, 5};
    ck_assert_int_eq(kl_size_eval(p->slots[2].bytes, syms), 11);
    ck_assert_int_eq(kl_size_eval(p->slots[3].bytes, syms), -32);
    expect_text(p, whole);
    kl_program_unref(p);
}
END_TEST

/* Each prints as it is written: no parentheses go or come. */
static const char *const sizes[] = {"0",
                                    "9223372036854775807",
                                    "B",
                                    "-B",
                                    "-3",
                                    "B+n",
                                    "B-n",
                                    "-B-n",
                                    "B-3*n*B",
                                    "B+(n+B)",
                                    "B*(n*B)",
                                    "(B+n)*(B-1)",
                                    "-(B+n)",
                                    "-(-B)",
                                    "(-B)*n",
                                    "B*(-n)",
                                    "floor(B/n)",
                                    "floor((B+1)/(2*n))",
                                    "mod(B+1,n-2)",
                                    "max(B,min(n,1))",
                                    "B-(n-1)",
                                    "B-(-n)",
                                    "floor((-B)/2)*4-1",
                                    "max(-B,n)+mod(B,2)*n"};

START_TEST(size_comes_back)
{
    char text[512];
    snprintf(text, sizeof text,
             "program p for cpu {\n  dim B 0..9 %% 1\n  dim n 0..9 %% 1\n  arena %s\n}\n",
             sizes[_i]);
    kl_program *p = parse(text);
    expect_text(p, text);
    kl_program_unref(p);
}
END_TEST

static void pack(const kl_program *p, kl_text *out)
{
    ck_assert_msg(kl_program_pack(p, out) == KL_OK, "%s", kl_error());
}

START_TEST(bytes_come_back)
{
    kl_program *p = parse(whole), *q = NULL;
    kl_text a = {0}, b = {0};
    pack(p, &a);
    ck_assert_msg(kl_program_unpack(a.s, a.len, &q) == KL_OK, "%s", kl_error());
    expect_text(q, whole);
    pack(q, &b);
    ck_assert_uint_eq(a.len, b.len);
    ck_assert(memcmp(a.s, b.s, a.len) == 0);
    kl_text_free(&a);
    kl_text_free(&b);
    kl_program_unref(p);
    kl_program_unref(q);
}
END_TEST

/* The bytes in an allocation of exactly their size, so that a sanitizer sees each
 * overrun. */
static kl_status unpack_exact(const void *bytes, size_t n)
{
    kl_program *p = NULL;
    void *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    kl_error_clear();
    kl_status s = kl_program_unpack(copy, n, &p);
    free(copy);
    ck_assert_msg((s == KL_OK) == (p != NULL), "%s", kl_error());
    if (p) { /* what was accepted can be used */
        kl_text t = {0};
        kl_program_print(p, &t);
        kl_text_free(&t);
        kl_program_unref(p);
    }
    return s;
}

/* Make the head fit the rest again. */
static void reseal(char *b, size_t n)
{
    kl_hash h = kl_hash_bytes(b + 40, n - 40);
    uint64_t words[] = {n - 40, h.lo, h.hi};
    memcpy(b + 16, words, sizeof words);
}

START_TEST(damaged_bytes_are_refused)
{
    kl_program *p = parse(whole);
    kl_text t = {0};
    pack(p, &t);
    for (size_t n = 0; n < t.len; n++) {
        ck_assert_int_eq(unpack_exact(t.s, n), KL_ERR_PARSE);
        char *cut = malloc(n + 40);
        memcpy(cut, t.s, n);
        if (n >= 40) {
            reseal(cut, n);
            ck_assert_int_eq(unpack_exact(cut, n), KL_ERR_PARSE);
        }
        free(cut);
    }
    for (size_t i = 0; i < t.len; i++) {
        t.s[i] ^= 4;
        ck_assert_int_eq(unpack_exact(t.s, t.len), KL_ERR_PARSE);
        t.s[i] ^= 4;
    }
    kl_text_free(&t);
    kl_program_unref(p);
}
END_TEST

/* Behind a checksum that fits: refused or harmless, byte by byte. */
START_TEST(forged_bytes_do_no_harm)
{
    kl_program *p = parse(whole);
    kl_text t = {0};
    pack(p, &t);
    char *b = malloc(t.len);
    for (size_t i = 40; i < t.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(b, t.s, t.len);
            b[i] = (char)(b[i] ^ 1 << bit);
            reseal(b, t.len);
            unpack_exact(b, t.len);
        }
    srand(1);
    for (int n = 0; n < 20000; n++) {
        memcpy(b, t.s, t.len);
        for (int k = rand() % 6; k >= 0; k--)
            b[40 + (size_t)rand() % (t.len - 40)] = (char)rand();
        reseal(b, t.len);
        unpack_exact(b, t.len);
    }
    free(b);
    kl_text_free(&t);
    kl_program_unref(p);
}
END_TEST

START_TEST(damaged_text_does_no_harm)
{
    size_t n = sizeof whole - 1;
    char *text = malloc(n + 1);
    srand(2);
    for (size_t i = 0; i < n + 20000; i++) {
        kl_program *p = NULL;
        memcpy(text, whole, n + 1);
        if (i < n)
            text[i] = 0;
        for (int k = i < n ? -1 : rand() % 4; k >= 0; k--)
            text[(size_t)rand() % n] = whole[(size_t)rand() % n];
        kl_error_clear();
        if (kl_program_parse("t.kl", text, &p) == KL_OK)
            kl_program_unref(p);
        else
            ck_assert_msg(strlen(kl_error()) > 0 && !strchr(kl_error(), '\n'), "%s",
                          kl_error());
    }
    free(text);
}
END_TEST

static const struct {
    const char *text, *error;
} wrong[] = {
    {"", "t.kl:1:1: expected 'program', found the end of the file"},
    {"program p for tpu {", "t.kl:1:15: expected 'cuda', found 'tpu'"},
    {"program p for cpu {\n arena B\n}", "t.kl:2:2: there is no dim called B"},
    {"program p for cpu {\n arena 1+\n}", "t.kl:3:1: expected a size, found '}'"},
    {"program p for cpu {\n in x: f99[]\n arena 0\n}", "t.kl:2:8: there is no dtype f99"},
    {"program p for cpu {\n arena 0\n slot 1: in 0 f32[] bytes 4\n}",
     "t.kl:3:8: expected number 0, found 1"},
    {"program p for cpu {\n arena 0\n slot 0: in 0 f32[] bytes 4\n}",
     "plan p, slot 0: out of range is 0"},
    {"program p for cpu {\n arena 0\n launch k kernel 0 ()\n}",
     "plan p, step 0, k: there is no kernel 0"},
    {"program p for cpu {\n arena 0\n kernel 0: k\n launch k kernel 0 (7)\n}",
     "plan p, step 0, k: there is no slot 7"},
    {"program p for cpu {\n arena 0\n jump k (7)\n}",
     "t.kl:3:2: expected a step or '}', found 'jump'"},
    {"program p for cpu {\n arena 0\n constants \"0g\"\n}",
     "t.kl:3:13: expected hexadecimal digits, found '0g'"},
    {"program p for cpu {\n arena 0\n constants \"00\"\n slot 0: const 0 f32[] bytes "
     "4\n}",
     "plan p, slot 0: constants end before 4"},
    {"program p for cpu {\n arena 0\n loop l () carries 0\n program b for cpu {\n arena "
     "0\n}\n}",
     "plan p, step 0, l: no arena for a body, and the slots are 0"},
    {"program p for cpu {\n arena 0\n slot 0: arena u8[] offset 0 bytes 1\n loop l (0) "
     "carries 1 trips (2)\n program b for cpu {\n arena 0\n}\n}",
     "plan p, step 0, l: a body does not fit, and the slots are 1"},
    {"program p for cpu {\n arena 0\n slot 0: arena u8[] offset 0 bytes 1\n loop l (0) "
     "carries 0\n program b for cpu {\n arena 0\n}\n}",
     "plan p, step 0, l: no valid expression is size 0"},
    {"program p for cpu {\n arena 0\n slot 0: arena u8[] offset 0 bytes 1\n loop l (0, "
     "0, 0) "
     "carries 1 trips (2)\n program b for cpu {\n in x: u8[]\n out y: bool[]\n arena "
     "0\n}\n}",
     "plan p, step 0, l: a body takes or gives something else than slot 0"},
    {"program p for cpu {\n arena 0\n slot 0: arena bool[] offset 0 bytes 1\n loop l (0, "
     "0) "
     "carries 0\n program b for cpu {\n arena 0\n}\nwhile\nprogram t for cpu {\n arena "
     "0\n}\n}",
     "plan p, step 0, l: a test does not fit, and the carried values are 0"},
    {"program p for cpu {\n arena 0\n slot 0: arena u8[] offset 0 bytes 1\n branch b (0, "
     "0)\n "
     "program b for cpu {\n arena 0\n}\nelse\nprogram c for cpu {\n arena 0\n}\n}",
     "plan p, step 0, b: no bool chooses, and the slots are 2"},
    {"program p for cpu {\n arena 0\n slot 0: arena bool[] offset 0 bytes 1\n branch b "
     "(0, "
     "0)\n program b for cpu {\n arena 0\n}\n}",
     "plan p, step 0, b: a body does not fit, and the slots are 2"},
    {"program p for cpu {\n arena 0\n}\nprogram q",
     "t.kl:4:1: expected the end of the file, found 'program'"},
    {"program p for cpu {\n arena 1",
     "t.kl:2:9: expected a step or '}', found the end of the file"},
};

START_TEST(wrong_text_says_why)
{
    kl_program *p = NULL;
    kl_error_clear();
    ck_assert_int_eq(kl_program_parse("t.kl", wrong[_i].text, &p), KL_ERR_PARSE);
    ck_assert_str_eq(kl_error(), wrong[_i].error);
    ck_assert_ptr_null(p);
}
END_TEST

/* Every allocation fails once: an error, and nothing is lost. */
/* A program runs for sizes within its bounds, and says which one is not. */
START_TEST(sizes_are_checked)
{
    static const char text[] = "program p for cpu {\n"
                               "  dim B 8..4096 % 8\n"
                               "  in x: f32[B]\n"
                               "  out y: f32[B]\n"
                               "  arena 0\n"
                               "  slot 0: in 0 f32[B] bytes 4*B\n"
                               "  slot 1: out 0 f32[B] bytes 4*B\n"
                               "  copy copy (1, 0)\n"
                               "}\n";
    static const int64_t wrong[] = {0, -8, 12, 4104};
    kl_program *p;
    float x[16] = {1, 2, 3}, y[16] = {0};
    kl_error_clear();
    ck_assert_msg(kl_program_parse("test", text, &p) == KL_OK, "%s", kl_error());
    void *in[] = {x}, *out[] = {y};
    ck_assert(kl_program_run(p, in, out, (int64_t[]){16}) == KL_OK);
    ck_assert_mem_eq(x, y, sizeof x);
    for (size_t i = 0; i < KL_COUNT(wrong); i++) {
        ck_assert_int_eq(kl_program_run(p, in, out, &wrong[i]), KL_ERR_SHAPE);
        ck_assert_msg(strstr(kl_error(), "dimension B = ") != NULL, "%s", kl_error());
        kl_error_clear();
    }
    kl_program_unref(p);
}
END_TEST

START_TEST(memory_may_end)
{
    kl_program *p = parse(whole);
    kl_text t = {0};
    pack(p, &t);
    size_t live = kl_alloc_live();
    for (int64_t n = 0, done = 0; !done; n++) {
        kl_program *q = NULL;
        kl_error_clear();
        kl_alloc_fail_at(n);
        kl_status s = kl_program_unpack(t.s, t.len, &q);
        if (s == KL_OK) {
            kl_program_unref(q);
            s = kl_program_parse("t.kl", whole, &q);
        }
        kl_alloc_fail_at(-1);
        done = s == KL_OK;
        ck_assert_msg(done || s == KL_ERR_OOM, "%s", kl_error());
        if (done)
            kl_program_unref(q);
        ck_assert_uint_eq(kl_alloc_live(), live);
    }
    kl_text_free(&t);
    kl_program_unref(p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("program_text");
    TCase *tc = tcase_create("program_text");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, text_comes_back);
    tcase_add_loop_test(tc, size_comes_back, 0, (int)KL_COUNT(sizes));
    tcase_add_test(tc, bytes_come_back);
    tcase_add_test(tc, damaged_bytes_are_refused);
    tcase_add_test(tc, forged_bytes_do_no_harm);
    tcase_add_test(tc, damaged_text_does_no_harm);
    tcase_add_loop_test(tc, wrong_text_says_why, 0, (int)KL_COUNT(wrong));
    tcase_add_test(tc, sizes_are_checked);
    tcase_add_test(tc, memory_may_end);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
