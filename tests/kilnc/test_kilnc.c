/* test_kilnc.c: the command from outside. Every model of tests/kilnc is compiled to an
 * object, a static and a shared library; its header compiles as C99 and C++ with every
 * warning an error; a C program that includes nothing else calls it; what comes out is
 * what the interpreter says, to the bit; and no symbol is undefined but libc's and the
 * user's. Wrong calls of the command and damaged models: one line, result 1, nothing
 * written.
 *
 *   test_kilnc KILNC SOURCE-FOLDER [--bless] */
#include "models.h"
#include "../unit/onnx_bytes.h"

static bool bless;

/* ---- tests ---- */

#define LEVELS "--cpu=x86-64-v2,x86-64-v3,x86-64-v4"

START_TEST(numbers_are_the_interpreters)
{
    static const char *const ends[] = {"o",         "a",         "so",
                                       "o " LEVELS, "a " LEVELS, "so " LEVELS};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    write_main(m, &l);
    for (size_t i = 0; i < KL_COUNT(ends); i++) {
        expect_ok(sh("%s %s.kl --header %s.h -o %s.%s 2>err", kilnc, m->name, m->name,
                     m->name, ends[i]),
                  ends[i]);
        expect_ok(sh("cc -I. -o main main.c %s ./%s.%.*s 2>err", user_source(m), m->name,
                     (int)strcspn(ends[i], " "), ends[i]),
                  "cc");
        ck_assert_int_eq(sh("rm -f res; LD_LIBRARY_PATH=. ./main"), 0);
        compare(m, &l, ends[i]);
    }
    unload(&l);
}
END_TEST

/* Options of where weights and scratch are do not change what is computed. */
START_TEST(header_compiles_everywhere)
{
    static const char *const options[] = {"",
                                          "--weights=args",
                                          "--weights=wfile",
                                          "--scratch=caller",
                                          "--weights=wfile --scratch=caller",
                                          "--scratch=heap",
                                          LEVELS};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(options); i++) {
        expect_ok(sh("%s %s.kl -o h.o --header h.h %s 2>err", kilnc, m->name, options[i]),
                  options[i]);
        sh("printf '#include \"h.h\"\\n#include \"h.h\"\\n' >h.c; cp h.c h.cc");
        expect_ok(sh("cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c h.c -o x.o 2>err"),
                  "C99");
        expect_ok(sh("c++ -std=c++98 -Wall -Wextra -Werror -c h.cc -o x.o 2>err"),
                  "C++98");
        expect_ok(sh("c++ -std=c++20 -Wall -Wextra -Werror -c h.cc -o x.o 2>err"),
                  "C++20");
    }
}
END_TEST

START_TEST(only_libc_is_undefined)
{
    static const char *const options[] = {"--weights=wfile --scratch=caller",
                                          "--scratch=heap"};
    static const char known[] =
        " aligned_alloc free memmove memcpy memset memcmp open close lseek mmap "
        "munmap _GLOBAL_OFFSET_TABLE_ user_twice ";
    const model *m = &models[_i];
    char line[256], name[200], word[204];
    loaded l;
    load(m, &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(options); i++) {
        expect_ok(sh("%s %s.kl -o u.o %s " LEVELS " 2>err", kilnc, m->name, options[i]),
                  options[i]);
        ck_assert_int_eq(sh("nm -u u.o >undefined"), 0);
        FILE *f = fopen("undefined", "r");
        while (fgets(line, sizeof line, f)) {
            if (sscanf(line, " U %199s", name) != 1)
                continue;
            snprintf(word, sizeof word, " %s ", name);
            ck_assert_msg(strstr(known, word) != NULL, "%s needs %s", m->name, name);
            ck_assert(m->user || strcmp(name, "user_twice") != 0);
        }
        fclose(f);
        ck_assert_msg(
            sh("nm -g --defined-only u.o | grep -v ' [A-Z] %s' >err", m->name) == 1,
            "%s %s exports more", m->name, options[i]);
    }
}
END_TEST

START_TEST(codes_come_back)
{
    build_for_codes("o");
    run_codes();
}
END_TEST

START_TEST(machines_of_the_table)
{
    static const struct {
        const char *cpu;
        int machine;
    } rows[] = {{"x86-64-v2", 62},
                {"x86-64-v4", 62},
                {"zen5", 62},
                {"aarch64-neon", 183},
                {"neoverse-v1", 183}};
    loaded l;
    load(&models[1], &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(rows); i++) {
        kl_text o = {0};
        expect_ok(sh("%s mlp.kl --cpu=%s -o t.o --header t.h 2>err", kilnc, rows[i].cpu),
                  rows[i].cpu);
        slurp("t.o", &o);
        ck_assert_int_eq((uint8_t)o.s[18], rows[i].machine);
        kl_text_free(&o);
    }
    expect_ok(sh("%s mlp.kl --target=aarch64-linux-gnu -o t.a 2>err", kilnc), "--target");
    expect_ok(sh("%s mlp.kl --target=x86_64-unknown-linux-gnu --cpu=zen4 --emit=asm -o "
                 "t.s 2>err",
                 kilnc),
              "asm");
    ck_assert_int_eq(sh("grep -q contract.0: t.s"), 0);
}
END_TEST

static const struct {
    const char *args, *why;
} refusals[] = {
    {"", "no model"},
    {"../scale.kl", "nothing to do"},
    {"../scale.kl --check=1", "--check takes no value"},
    {"../scale.kl --frob", "no option --frob; kilnc --help lists them"},
    {"../scale.kl -o", "-o needs a value"},
    {"../scale.kl -o a.o -o b.o", "-o is given twice"},
    {"../scale.kl ../pick.kl -o a.o", "one model at a time"},
    {"../scale.kl -o a.exe", "told by .o, .a, .so"},
    {"../scale.kl --report r.html --arch=sm_1", "sm_1"},
    {"../scale.kl --emit=soup", "no stage 'soup'; there are graph, kernel, loops, plan"},
    {"../scale.kl -o a.o --name=int", "no C identifier"},
    {"../scale.kl -o a.o --scratch=mine", "static, heap or caller"},
    {"../scale.kl -o a.o --cpu=zen9", "known are host, x86-64-v2"},
    {"../scale.kl -o a.o --target=riscv64-linux-gnu",
     "known are x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu"},
    {"../scale.kl -o a.o --target=aarch64-linux-gnu --cpu=zen4", "CPU zen4 is x86_64"},
    {"../scale.kl -o a.o --cpu=x86-64-v2,zen4",
     "several are x86-64-v2, x86-64-v3 and x86-64-v4, not 'zen4'"},
    {"../scale.kl -o a.o --cpu=x86-64-v3,x86-64-v2,x86-64-v3",
     "x86-64-v3 is given twice"},
    {"../scale.kl --emit=asm --cpu=x86-64-v3,x86-64-v2", "stages and reports are of one"},
    {"../scale.kl -o a.o --cpu=x86-64-v2,x86-64-v3 --target=aarch64-linux-gnu",
     "CPU x86-64-v2 is x86_64"},
    {"../scale.kl --emit=cuda --arch=sm_17", "known are sm_80, sm_90a, sm_100"},
    {"../scale.kl -o no/such/folder/a.o --header h.h", "no/such/folder"},
    {"../scale.kl -o a.o --header no/such/folder/h.h", "no/such/folder"},
    {"../missing.kl --check", "missing.kl"},
    {"../net.onnx --check", "net.onnx: a model without a graph"},
    {"../scale.kl --check --dims=n=3", "--dims is for ONNX models"},
    {"../scale.txt --check", "a model is a .kl or .onnx file"},
    {"../orphan.kl -o a.o", "none.safetensors"},
    {"../misfit.kl -o a.o", "w_ is f32[3,3] in the graph and f32[10,64] in the file"},
    {"../sorted.kl -o a.o --scratch=static", "give --scratch=caller or heap"},
    {"../strided.kl -o a.o", "input 0 has strides; an artefact's are dense"},
    {"../wild.kl -o a.o", "no name of a C function"},
    {"cache", "cache: list, trim BYTES or why KEY"},
    {"cache trim lots", "no number of bytes"},
    {"bisect", "bisect: no model"},
    {"bisect ../scale.kl --seed=x", "bisect: 'x' is no number"},
    {"bisect ../scale.kl ../pick.kl", "bisect: MODEL.kl and perhaps --seed=N"},
    {"../scale.kl --check --arch=sm_80 -o a.ptx",
     "--header and --check are for a CPU, not for sm_80"},
    {"../zero.kl --check", "zero.kl: not a text: it has a zero byte"},
    {"bisect ../missing.kl", "missing.kl"},
};

static void write_text(const char *path, const char *text)
{
    ck_assert(kl_file_write(path, text, strlen(text)) == KL_OK);
}

START_TEST(wrong_calls_are_refused)
{
    loaded l;
    load(&models[0], &l); /* head.safetensors */
    unload(&l);
    sh("cp %s/*.kl .; mkdir -p fresh", source);
    write_text("net.onnx", "");
    write_text("scale.txt", "");
    ck_assert(kl_file_write("zero.kl", "graph\0g", 7) == KL_OK);
    write_text("orphan.kl",
               "weights \"none.safetensors\"\ngraph g(%w: f32[3]) { out %w }");
    write_text("misfit.kl",
               "weights \"head.safetensors\"\ngraph g(%w_: f32[3,3]) { out %w_ }");
    write_sorted();
    write_text("strided.kl",
               "graph g(%x: f32[4,4] strides [1, 4]) { %y: f32[4,4] = neg %x\n out %y }");
    write_text("wild.kl",
               "graph g(%x: f32[4]) { %y: f32[4] = call %x \"a b\" results (f32[4])\n"
               "%z: f32[4] = pick %y result 0\n out %z }");
    expect_refusal(refusals[_i].args, refusals[_i].why);
}
END_TEST

/* Cut anywhere and bent anywhere: one line or fine, never a crash. */
START_TEST(damaged_models_are_refused)
{
    kl_text t = {0};
    char path[600];
    model_path(&models[_i], path, sizeof path, ".kl");
    slurp(path, &t);
    uint64_t seed = 3 + (uint64_t)_i;
    sh("mkdir -p fresh");
    for (int n = 0; n < 24; n++) {
        char *s = malloc(t.len + 1);
        memcpy(s, t.s, t.len + 1);
        if (n < 12)
            s[draw(&seed) % t.len] = 0;
        else
            s[draw(&seed) % t.len] = t.s[draw(&seed) % t.len];
        write_text("bent.kl", s);
        free(s);
        int rc = sh("cd fresh && %s ../bent.kl --emit=plan >../out 2>../err", kilnc);
        kl_text err = {0};
        slurp("err", &err);
        ck_assert_msg(rc == 0 || (rc == 1 && strchr(err.s, '\n') == err.s + err.len - 1),
                      "%d: %s", rc, err.s ? err.s : "");
        kl_text_free(&err);
    }
    kl_text_free(&t);
}
END_TEST

START_TEST(stages_print)
{
    static const char *const stages[] = {"graph", "kernel", "loops", "plan", "dot"};
    kl_text got = {0}, want = {0};
    char path[600];
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=%s >out 2>err", kilnc, stages[_i]),
              stages[_i]);
    slurp("out", &got);
    snprintf(path, sizeof path, "%s/golden/scale.%s", source, stages[_i]);
    if (bless)
        ck_assert(kl_file_write(path, got.s, got.len) == KL_OK);
    slurp(path, &want);
    ck_assert_str_eq(got.s, want.s);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=%s -o same 2>err && cmp same out",
                 kilnc, stages[_i]),
              "-o");
    kl_text_free(&got);
    kl_text_free(&want);
}
END_TEST

/* -g: an instruction belongs to a line of the loops' text, and that to the user's line.
 */
START_TEST(line_table)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl -g -o g.o 2>err", kilnc), "-g");
    expect_ok(sh("%s scale.kl -o plain.o 2>err", kilnc), "without");
    ck_assert_int_eq(sh("grep -q '^loops add' g.o.loops"), 0);
    ck_assert_int_eq(sh("n=$(grep -n 'phase w' g.o.loops | cut -d: -f1) && "
                        "objdump -d -l g.o | grep -q \"g.o.loops:$n\""),
                     0);
    ck_assert_int_eq(sh("objdump -d -l g.o | grep -q 'scale.kl:5'"), 0);
    expect_ok(sh("%s scale.kl -g " LEVELS " -o levels.o 2>err", kilnc), "levels");
    ck_assert_int_eq(sh("test $(grep -c '^loops add' levels.o.loops) = 3"), 0);
    ck_assert_int_ne(sh("objdump -d -l plain.o | grep -q 'loops:'"), 0);
    ck_assert_int_ne(sh("test -e plain.o.loops"), 0);
}
END_TEST

/* LLVM's own text differs between its versions: that it is there is what we look at. */
START_TEST(code_prints)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=llvm >out 2>err", kilnc), "llvm");
    ck_assert_int_eq(sh("grep -q '^define void @' out"), 0);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=asm >out 2>err", kilnc), "asm");
    ck_assert_int_eq(sh("grep -q vmulps out"), 0);
    expect_ok(sh("%s scale.kl --arch=sm_90 --emit=cuda >out 2>err", kilnc), "cuda");
    ck_assert_int_eq(sh("grep -q __global__ out"), 0);
    expect_ok(sh("%s scale.kl --header h.h 2>err && cp h.h out", kilnc), "header");
    expect_ok(sh("%s --list-ops >out 2>err", kilnc), "--list-ops");
    ck_assert_int_eq(sh("grep -q '^contract ' out"), 0);
    expect_ok(sh("%s --help >out 2>err", kilnc), "--help");
}
END_TEST

START_TEST(check_says_ok)
{
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    expect_ok(sh("%s %s.kl --check >out 2>err", kilnc, m->name), m->name);
    ck_assert_int_eq(sh("grep -q '^%s.kl: ok' out", m->name), 0);
}
END_TEST

START_TEST(bisect_finds_nothing)
{
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    if (m->user) /* the command knows no function of the user's */
        return;
    expect_ok(sh("%s bisect %s.kl >out 2>err", kilnc, m->name), m->name);
    ck_assert_msg(sh("grep -q 'no pass changes a result' out") == 0, "%s", m->name);
}
END_TEST

/* y = softmax(relu(x w)) of an ONNX file: its operators, its stages by the nodes' names,
 * and a program that links the object alone. */
static const char onnx_user[] =
    "#include \"head.h\"\n#include <math.h>\n#include <stdio.h>\n"
    "int main(void) { float x[6] = {1, -2, 3, -1, -1, -1}, y[8];\n"
    "  if (head(2, x, y) != HEAD_OK || head(0, x, y) != HEAD_DIM) return 1;\n"
    "  double e[4], s = 0;\n"
    "  for (int j = 0; j < 4; j++) s += e[j] = exp((j - 2 * (4 + j) + 3 * (8 + j)) / "
    "10.);\n"
    "  for (int j = 0; j < 4; j++)\n"
    "    if (fabs(y[j] - e[j] / s) > 1e-6 || y[4 + j] != 0.25f) return 2;\n"
    "  return 0; }\n";

START_TEST(onnx_models_compile)
{
    pb m = onnx_head();
    kl_text got = {0};
    ck_assert(kl_file_write("head.onnx", m.s, m.n) == KL_OK);
    write_text("user.c", onnx_user);
    expect_ok(sh("%s head.onnx --check >out 2>err", kilnc), "--check");
    slurp("out", &got);
    ck_assert_msg(strncmp(got.s,
                          "MatMul opset 17: 1 node\nRelu opset 17: 1 node\n"
                          "Softmax opset 17: 1 node\nhead.onnx: ok: ",
                          84) == 0,
                  "%s", got.s);
    kl_text_free(&got);
    expect_ok(sh("%s head.onnx --emit=graph >out 2>err", kilnc), "--emit");
    ck_assert_int_eq(
        sh("grep -q \"contract %%x, %%w .*head.onnx: node 'h' (MatMul\" out"), 0);
    expect_ok(sh("%s head.onnx -o head.o --header head.h 2>err", kilnc), "-o");
    expect_ok(sh("cc -std=c99 -Wall -Wextra -Werror user.c head.o -o user -lm 2>err"),
              "cc");
    ck_assert_int_eq(sh("./user"), 0);
    expect_ok(sh("%s bisect head.onnx >out 2>err", kilnc), "bisect");
    expect_ok(sh("%s head.onnx --dims=batch=2 --emit=graph >out 2>err", kilnc), "--dims");
    ck_assert_int_eq(sh("grep -q 'x: f32.2,3.' out"), 0);
    expect_ok(sh("%s head.onnx --dims=batch=1..8 --emit=graph >out 2>err", kilnc),
              "--dims");
    ck_assert_int_eq(sh("grep -q 'dim batch 1..8' out"), 0);
    sh("mkdir -p fresh");
    expect_refusal("../head.onnx --check --dims=batch=x",
                   "is not NAME=SIZE or NAME=LOW..HIGH");
    expect_refusal("../head.onnx --check --dims=b=2", "head.onnx: no open dimension 'b'");
    expect_refusal("../head.onnx --check --dims=batch=9..2",
                   "bounds are 0 <= min <= max");
}
END_TEST

/* NonZero of an ONNX file: the count comes through a pointer, the header says of what. */
static const char found_user[] =
    "#include \"nz.h\"\n"
    "int main(void) { float x[6] = {1, 0, 3, 0, 0, -1}; int64_t y[12], n = -1;\n"
    "  if (nz(2, x, y, &n) != NZ_OK || n != 3) return 1;\n"
    "  return y[0] || y[1] || y[2] || y[3] != 2 || y[4] != 1 || y[5] != 2; }\n";

START_TEST(sizes_that_elements_decide_are_counted)
{
    pb g = {0},
       node[] = {onnx_node("NonZero", "x", "i"), onnx_node("Transpose", "i", "y")};
    pb x = onnx_value("x", ONNX_FLOAT, "batch 3"), y = onnx_value("y", ONNX_INT64, "k 2");
    pb_part(&g, 1, &node[0]);
    pb_part(&g, 1, &node[1]);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    pb m = onnx_model(&g, 17);
    ck_assert(kl_file_write("nz.onnx", m.s, m.n) == KL_OK);
    write_text("user.c", found_user);
    expect_ok(sh("%s nz.onnx --dims=batch=1..9 -o nz.o --header nz.h 2>err", kilnc),
              "-o");
    ck_assert_int_eq(
        sh("grep -q 'int64_t.3.batch..2.  (i64), room for the most: the first "
           ".y_count along axis 0 are meant' nz.h"),
        0);
    ck_assert_int_eq(sh("grep -q 'y_count .*how much of y is meant' nz.h"), 0);
    expect_ok(sh("cc -std=c99 -Wall -Wextra -Werror user.c nz.o -o user 2>err"), "cc");
    ck_assert_int_eq(sh("./user"), 0);
}
END_TEST

START_TEST(what_onnx_models_lack_is_told)
{
    pb g = {0}, a = onnx_node("Foo", "x", "h"), b = onnx_node("Relux", "h", "y");
    pb x = onnx_value("x", ONNX_FLOAT, "3"), y = onnx_value("y", ONNX_FLOAT, "3");
    pb_part(&g, 1, &a);
    pb_part(&g, 1, &b);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    pb m = onnx_model(&g, 17);
    ck_assert(kl_file_write("lacks.onnx", m.s, m.n) == KL_OK);
    sh("mkdir -p fresh");
    expect_refusal("../lacks.onnx --check",
                   "2 operators are missing: Foo opset 17: 1 node (nearest: Cos),Relux "
                   "opset 17: 1 node (nearest: Relu)");
}
END_TEST

START_TEST(cache_is_listed)
{
    sh("mkdir -m 700 -p cache");
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache list >out 2>err", kilnc), "list");
    ck_assert_int_eq(sh("grep -q '^0 entries, 0 bytes' out"), 0);
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache why 12ab >out 2>err", kilnc), "why");
    ck_assert_int_eq(sh("grep -q '12ab: a miss: no entry' out"), 0);
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache trim 0 >out 2>err", kilnc), "trim");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kilnc");
    TCase *tc = tcase_create("kilnc");
    int n = (int)KL_COUNT(models);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, numbers_are_the_interpreters, 0, n);
    tcase_add_loop_test(tc, header_compiles_everywhere, 0, n);
    tcase_add_loop_test(tc, only_libc_is_undefined, 0, n);
    tcase_add_test(tc, codes_come_back);
    tcase_add_test(tc, machines_of_the_table);
    tcase_add_loop_test(tc, wrong_calls_are_refused, 0, (int)KL_COUNT(refusals));
    tcase_add_loop_test(tc, damaged_models_are_refused, 0, n);
    tcase_add_loop_test(tc, stages_print, 0, 5);
    tcase_add_test(tc, line_table);
    tcase_add_test(tc, code_prints);
    tcase_add_loop_test(tc, check_says_ok, 0, n);
    tcase_add_loop_test(tc, bisect_finds_nothing, 0, n);
    tcase_add_test(tc, onnx_models_compile);
    tcase_add_test(tc, sizes_that_elements_decide_are_counted);
    tcase_add_test(tc, what_onnx_models_lack_is_told);
    tcase_add_test(tc, cache_is_listed);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv)
{
    bless = argc > 3 && strcmp(argv[3], "--bless") == 0;
    return run_in_folder(suite, argc, argv);
}
