/* test_launcher.c: a GPU's program as a module and a C file around it, under the
 * stand-ins of tests/cuda: the C compiles without a warning, needs libc alone, and gives
 * the interpreter's bits; wrong calls get their codes; where there is no driver, DEVICE;
 * what a launcher cannot run is refused.
 *
 *   test_launcher KILNC SOURCE-FOLDER */
#include "models.h"

#define WARNINGS "-std=c11 -Wall -Wextra -Wpedantic -Werror"

static bool has_control(const model *m)
{
    return m->user || strcmp(m->name, "walk") == 0;
}

START_TEST(numbers_are_the_interpreters)
{
    static const char *const ends[] = {"ptx", "cubin"};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    write_main(m, &l);
    sh("mkdir -p fresh");
    for (size_t i = 0; i < KL_COUNT(ends) && !has_control(m); i++) {
        expect_ok(
            sh("%s %s.kl --arch=sm_90 -o m.%s --launcher launcher.c --header %s.h 2>err",
               kilnc, m->name, ends[i], m->name),
            ends[i]);
        expect_ok(
            sh("cc " WARNINGS " -I. -o main main.c launcher.c -ldl -lpthread 2>err"),
            "cc");
        ck_assert_int_eq(sh("rm -f res; ./main"), 0);
        compare(m, &l, ends[i]);
        ck_assert_int_eq(sh("grep -q parallel_for %s.h", m->name), 1);
    }
    unload(&l);
}
END_TEST

START_TEST(only_libc_is_undefined)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl -o m.ptx --launcher launcher.c 2>err", kilnc), "kilnc");
    expect_ok(sh("cc " WARNINGS " -c launcher.c -o launcher.o 2>err"), "cc");
    ck_assert_int_eq(
        sh("nm -u launcher.o | grep -vE ' (dlopen|dlsym|pthread_once|mem[a-z]*|"
           "_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)$' >err"),
        1);
    ck_assert_int_eq(sh("test $(nm -g --defined-only launcher.o | wc -l) = 1"), 0);
}
END_TEST

static const char wrong_calls[] =
    "#include \"scale.h\"\n#include \"pick.h\"\n"
    "int main(int argc, char **argv) {\n"
    "  float a = 2, u[5] = {1, 2, 3, 4, 5}, v[6] = {1, 1, 1, 1, 1};\n"
    "  (void)argv;\n"
    "  if (argc > 1) return scale(5, u, v, &a, v) - SCALE_DEVICE;\n"
    "  if (scale(0, u, v, &a, v) != SCALE_DIM || scale(5, u, v, &a, 0) != SCALE_POINTER) "
    "return 1;\n"
    "  if (scale(4, u, v, &a, v + 1) != SCALE_OVERLAP || scale(5, u, v, &a, u) != "
    "SCALE_OVERLAP) return 2;\n"
    "  if (v[0] != 1 || scale(5, u, v, &a, v) || v[0] != 3 || v[4] != 11) return 3;\n"
    "  float table[40] = {0}, out[8]; int64_t good[2] = {9, 0}, bad[2] = {3, 10};\n"
    "  table[36] = 7;\n"
    "  if (pick(2, table, bad, out) != PICK_INDEX || pick(2, table, good, out)) return "
    "4;\n"
    "  return out[0] != 7; }\n";

START_TEST(codes_come_back)
{
    ck_assert(kl_file_write("calls.c", wrong_calls, strlen(wrong_calls)) == KL_OK);
    for (const char *const *m = (const char *const[]){"scale", "pick", NULL}; *m; m++)
        expect_ok(
            sh("cp %s/%s.kl . && %s %s.kl -o %s.ptx --launcher %s.c --header %s.h 2>err",
               source, *m, kilnc, *m, *m, *m, *m),
            *m);
    expect_ok(
        sh("cc " WARNINGS " -I. -o calls calls.c scale.c pick.c -ldl -lpthread 2>err"),
        "cc");
    ck_assert_int_eq(sh("./calls"), 0);
    if (sh("ldconfig -p 2>/dev/null | grep -q libcuda.so.1") != 0)
        ck_assert_int_eq(sh("LD_LIBRARY_PATH= ./calls none"), 0);
}
END_TEST

static const struct {
    const char *args, *why;
} refusals[] = {
    {"../walk.kl -o m.ptx --launcher l.c",
     "walk: a launcher runs kernels one after the other; this program has a loop"},
    {"../twice.kl -o m.ptx --launcher l.c", "this program has a call of a C function"},
    {"../branch.kl -o m.ptx --launcher l.c", "this program has a branch"},
    {"../scale.kl -o m.o --launcher l.c", "--launcher goes with -o OUT.ptx or OUT.cubin"},
    {"../scale.kl --launcher l.c", "--launcher goes with -o OUT.ptx or OUT.cubin"},
    {"../scale.kl -o m.ptx --launcher l.c --scratch=caller", "--launcher: no --scratch"},
    {"../scale.kl -o m.ptx --launcher no/such/l.c", "no/such/l.c"},
    {"../heavy.kl -o m.ptx --launcher l.c",
     "bytes of weights are too many for a C file: give --weights=args"},
};

static const char branch[] =
    "graph yes(%x: f32[4]) {\n  %1: f32[4] = neg %x\n  out %1\n}\n"
    "graph no(%x: f32[4]) {\n  %1: f32[4] = abs %x\n  out %1\n}\n"
    "graph branch(%c: bool[], %x: f32[4]) {\n"
    "  %2: f32[4] = cond %c, %x then @yes else @no\n"
    "  %3: f32[4] = pick %2 result 0\n  out %3\n}\n";

START_TEST(what_it_cannot_do_is_refused)
{
    sh("cp %s/*.kl .; mkdir -p fresh", source);
    ck_assert(kl_file_write("branch.kl", branch, strlen(branch)) == KL_OK);
    if (strstr(refusals[_i].args, "heavy"))
        write_heavy();
    expect_refusal(refusals[_i].args, refusals[_i].why);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("launcher");
    TCase *tc = tcase_create("launcher");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, numbers_are_the_interpreters, 0, (int)KL_COUNT(models));
    tcase_add_test(tc, only_libc_is_undefined);
    tcase_add_test(tc, codes_come_back);
    tcase_add_loop_test(tc, what_it_cannot_do_is_refused, 0, (int)KL_COUNT(refusals));
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv)
{
    return run_in_folder(suite, argc, argv);
}
