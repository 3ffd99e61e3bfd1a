/* sources.c: random graphs as C files (kilnc -o case.c), compiled by cc, loaded and held
 * against the interpreter, to the bit, between pages that may not be touched.
 *
 *   sources KILNC [--count N] [--seed FIRST]
 *
 * A failing graph's text and C file stay in a folder that is named. Graphs with strided
 * inputs are no artefacts and are passed over. */
#include "fuzz.h"
#include "tests/shell.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static char here[64];
static int64_t tried;

static bool is_dense(const kl_graph *g)
{
    for (uint32_t i = 0; i < g->ninputs; i++)
        if (g->nodes[g->inputs[i]].nattr > 1)
            return false;
    return true;
}

/* The checks and steps behind the entry, whose arguments are arrays. */
static const char door[] = "int fuzz_run(const int64_t *d, const void *const *port);\n"
                           "int fuzz_run(const int64_t *d, const void *const *port)\n"
                           "{\n    return kl_run(d, port);\n}\n"
                           "int64_t fuzz_bytes(const int64_t *d);\n"
                           "int64_t fuzz_bytes(const int64_t *d)\n"
                           "{\n    return kl_scratch_bytes(d);\n}\n";

static const char *build(const testcase *c, const char *kilnc)
{
    if (kl_file_write("case.kl", c->text, strlen(c->text)) != KL_OK ||
        kl_file_write("door", door, sizeof door - 1) != KL_OK)
        return "cannot write";
    if (sh("%s case.kl -o case.c --scratch=caller 2>err", kilnc) != 0)
        return "kilnc";
    if (sh("cat door >>case.c && cc -std=c11 -Wall -Wextra -Werror -ffp-contract=off -O1 "
           "-fPIC -shared -o case.so case.c 2>err") != 0)
        return "cc";
    return NULL;
}

static const char *load_and_run(const testcase *c)
{
    char path[128];
    run_c_fn run;
    bytes_c_fn bytes;
    snprintf(path, sizeof path, "%s/case.so", here);
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!so)
        return "dlopen";
    void *at = dlsym(so, "fuzz_run"), *of = dlsym(so, "fuzz_bytes");
    memcpy(&run, &at, sizeof run), memcpy(&bytes, &of, sizeof bytes);
    const char *bad = run_on_c(c, run, bytes);
    dlclose(so);
    return bad;
}

static bool one(uint64_t seed, const char *kilnc)
{
    testcase c;
    kl_text text = {0};
    const char *bad = NULL;
    kl_arena *a = kl_arena_new();
    kl_graph *g = fuzz_graph(a, seed);
    if (g)
        case_print(g, &text);
    kl_arena_free(a);
    kl_error_clear();
    if (g && case_open(&c, text.s, seed)) {
        if (is_dense(c.g)) {
            tried++;
            bad = build(&c, kilnc);
            bad = bad ? bad : load_and_run(&c);
        }
        case_close(&c);
    }
    kl_text_free(&text);
    if (bad)
        printf("seed %llu: %s (%s)\n", (unsigned long long)seed, bad, here);
    return !bad;
}

int main(int argc, char **argv)
{
    int64_t count = 40, first = 1;
    for (int i = 2; i + 1 < argc; i += 2)
        *(strcmp(argv[i], "--seed") == 0 ? &first : &count) = atoll(argv[i + 1]);
    snprintf(here, sizeof here, "/tmp/sources-XXXXXX");
    if (argc < 2 || !mkdtemp(here) || chdir(here) != 0)
        return 2;
    for (int64_t i = 0; i < count; i++)
        if (!one((uint64_t)(first + i), argv[1]))
            return 1;
    printf("%lld graphs as C, all as the interpreter has them\n", (long long)tried);
    sh("rm -rf %s", here);
    return tried < count / 4;
}
