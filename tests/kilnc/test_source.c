/* test_source.c: a program as one C file. gcc and clang take it without a warning, with
 * and without the machine's multiply-add; what it computes is what the interpreter says,
 * to the bit, for the models of this folder and for every program of unit/programs.h that
 * has no open dimension; it needs libc alone; wrong calls get the codes that an object
 * gives; each kernel tells its expression and the user's line.
 *
 *   test_source KILNC SOURCE-FOLDER */
#include "models.h"
#include "../unit/onnx_bytes.h"
#include "../unit/programs.h"

#define FLAGS "-std=c11 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off"

static const char *const compilers[] = {"gcc -O2", "gcc -O3 -march=native", "clang -O2",
                                        "clang -O1 -march=native"};

static bool is_there(const char *compiler)
{
    return sh("command -v %.*s >/dev/null", (int)strcspn(compiler, " "), compiler) == 0;
}

/* main.c, NAME.c and NAME.h are there: compiled, run, compared. */
static void run_and_compare(const model *m, const loaded *l, const char *cc)
{
    expect_ok(sh("%s " FLAGS " -c %s.c -o m.o 2>err", cc, m->name), cc);
    expect_ok(sh("cc -I. -o main main.c %s m.o 2>err", user_source(m)), "cc");
    ck_assert_msg(sh("rm -f res; ./main") == 0, "%s: %s", m->name, cc);
    compare(m, l, cc);
}

START_TEST(numbers_are_the_interpreters)
{
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    write_main(m, &l);
    expect_ok(
        sh("%s %s.kl -o %s.c --header %s.h 2>err", kilnc, m->name, m->name, m->name),
        m->name);
    for (size_t i = 0; i < KL_COUNT(compilers); i++)
        if (is_there(compilers[i]))
            run_and_compare(m, &l, compilers[i]);
    unload(&l);
}
END_TEST

/* Lanes are loops of other lengths where vectors are of others. */
START_TEST(numbers_do_not_depend_on_the_target)
{
    static const char *const cpus[] = {"x86-64-v2", "zen4", "aarch64-neon"};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    write_main(m, &l);
    for (size_t i = 0; i < KL_COUNT(cpus); i++) {
        expect_ok(sh("%s %s.kl --cpu=%s -o %s.c --header %s.h 2>err", kilnc, m->name,
                     cpus[i], m->name, m->name),
                  cpus[i]);
        run_and_compare(m, &l, "cc -O1");
    }
    unload(&l);
}
END_TEST

static void write_text(const char *path, const char *text)
{
    ck_assert(kl_file_write(path, text, strlen(text)) == KL_OK);
}

static bool is_closed(const char *text)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_error_clear();
    ck_assert(kl_graph_parse(a, "program", text, &g) == KL_OK);
    bool closed = kl_dim_sym_count(g->dims) == 0 && g->ninputs < 16 && g->noutputs < 16;
    kl_arena_free(a);
    return closed;
}

START_TEST(programs_too)
{
    static const model m = {"prog", {0, 0}, false};
    const char *folder = source;
    loaded l;
    if (!is_closed(programs[_i]))
        return;
    sh("mkdir -p programs");
    write_text("programs/prog.kl", programs[_i]);
    source = "programs";
    bool ok = try_load(&m, &l); /* not where an index is out of range */
    source = folder;
    if (ok) {
        write_main(&m, &l);
        expect_ok(sh("%s prog.kl -o prog.c --header prog.h 2>err", kilnc), programs[_i]);
        run_and_compare(&m, &l, "cc -O1");
        unload(&l);
    }
}
END_TEST

START_TEST(only_libc_is_undefined)
{
    static const char *const options[] = {"", "--weights=args", "--scratch=caller",
                                          "--weights=w.file --scratch=caller",
                                          "--scratch=heap"};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(options); i++) {
        expect_ok(sh("%s %s.kl -o u.c %s --name=u 2>err", kilnc, m->name, options[i]),
                  options[i]);
        expect_ok(sh("cc " FLAGS " -O2 -c u.c -o u.o 2>err"), "cc");
        ck_assert_msg(
            sh("nm -u u.o | grep -vE ' (mem(move|cpy|set|cmp)|open|close|lseek|"
               "mmap|munmap|aligned_alloc|free|user_twice|_GLOBAL_OFFSET_TABLE_|"
               "__stack_chk_fail)$' >undefined") == 1,
            "%s %s needs more than libc", m->name, options[i]);
        ck_assert(sh("nm -g --defined-only u.o | grep -qv ' [A-Z] u'") == 1);
    }
}
END_TEST

START_TEST(codes_come_back)
{
    build_for_codes("c");
    expect_ok(sh("for m in head own scale pick sorted; do cc " FLAGS
                 " -O2 -c $m.c -o $m.o || exit 1; done 2>err"),
              "C");
    run_codes();
}
END_TEST

/* The same bits as the object's. */
static const char onnx_user[] =
    "#include \"head.h\"\n#include <stdio.h>\n"
    "int main(void) { float x[6] = {1, -2, 3, -1, -1, -1}, y[8] = {0};\n"
    "  if (head(2, x, y) != HEAD_OK || head(0, x, y) != HEAD_DIM) return 1;\n"
    "  return fwrite(y, sizeof y, 1, stdout) != 1; }\n";

START_TEST(onnx_models_too)
{
    pb m = onnx_head();
    ck_assert(kl_file_write("head.onnx", m.s, m.n) == KL_OK);
    write_text("user.c", onnx_user);
    expect_ok(sh("%s head.onnx -o head.c --header head.h 2>err", kilnc), "-o head.c");
    expect_ok(sh("cc -I. -o main user.c head.c 2>err && ./main >res"), "C");
    ck_assert_int_eq(sh("grep -q 'head.onnx: node' head.c"), 0);
    expect_ok(sh("%s head.onnx -o head.o 2>err", kilnc), "-o head.o");
    expect_ok(sh("cc -I. -o main user.c head.o 2>err && ./main | cmp - res"), "object");
}
END_TEST

/* Which kernel it is, of which shapes, from which line; and the same every time. */
START_TEST(text_is_readable)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl -o scale.c 2>err", kilnc), "kilnc");
    ck_assert_int_eq(sh("grep -q '^/[*] q = add(y, x, a).*scale.kl:5' scale.c"), 0);
    ck_assert_int_eq(sh("grep -q '^ [*]   in   x: f32\\[n\\]' scale.c"), 0);
    ck_assert_int_eq(sh("grep -q '^static void add_0(' scale.c"), 0);
    ck_assert_int_eq(sh("grep -q 'kl_launch(&call, add_0, ' scale.c"), 0);
    ck_assert_int_eq(sh("grep -qE '.{101}' scale.c"), 1);
    expect_ok(sh("%s scale.kl -o twice.c 2>err && cmp scale.c twice.c", kilnc), "again");
    expect_ok(sh("%s scale.kl -o scale.c --header scale.h 2>err", kilnc), "header");
    ck_assert_int_eq(sh("grep -q 'made by kilnc from scale.kl as C' scale.h"), 0);
}
END_TEST

static const struct {
    const char *args, *why;
} refusals[] = {
    {"../scale.kl -o a.c --cpu=x86-64-v2,x86-64-v3",
     "stages and reports are of one, and so is C"},
    {"../scale.kl -o a.c -g", "-g: a line table is an object's, and a.c is C"},
    {"../scale.kl -o a.c --arch=sm_17", "no GPU 'sm_17'"},
    {"../scale.kl -o a.c --name=add_0", "add_0: the C file has that name"},
    {"../scale.kl -o a.c --name=kl_run", "kl_run: the C file has that name"},
    {"../scale.kl -o no/such/a.c", "no/such/a.c"},
    {"../sorted.kl -o a.c --scratch=static", "or give --scratch=caller or heap"},
    {"../strided.kl -o a.c", "input 0 has strides; an artefact's are dense"},
    {"../wild.kl -o a.c", "no name of a C function"},
    {"../heavy.kl -o a.c",
     "too many for a C file: give --weights=FILE or --weights=args"},
};

START_TEST(what_it_cannot_do_is_refused)
{
    sh("cp %s/*.kl .; mkdir -p fresh", source);
    write_text("strided.kl",
               "graph g(%x: f32[4,4] strides [1, 4]) { %y: f32[4,4] = neg %x\n out %y }");
    write_text("wild.kl",
               "graph g(%x: f32[4]) { %y: f32[4] = call %x \"a b\" results (f32[4])\n"
               "%z: f32[4] = pick %y result 0\n out %z }");
    write_sorted();
    if (strstr(refusals[_i].args, "heavy"))
        write_heavy();
    expect_refusal(refusals[_i].args, refusals[_i].why);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("source");
    TCase *tc = tcase_create("source");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, numbers_are_the_interpreters, 0, (int)KL_COUNT(models));
    tcase_add_loop_test(tc, numbers_do_not_depend_on_the_target, 0,
                        (int)KL_COUNT(models));
    tcase_add_loop_test(tc, programs_too, 0, (int)KL_COUNT(programs));
    tcase_add_loop_test(tc, only_libc_is_undefined, 0, (int)KL_COUNT(models));
    tcase_add_test(tc, codes_come_back);
    tcase_add_test(tc, onnx_models_too);
    tcase_add_test(tc, text_is_readable);
    tcase_add_loop_test(tc, what_it_cannot_do_is_refused, 0, (int)KL_COUNT(refusals));
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv)
{
    return run_in_folder(suite, argc, argv);
}
