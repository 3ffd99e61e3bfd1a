/* test_table.c: every row of ops.def on every dtype that inference allows, on a device:
 * over special values, against the interpreter, to the bit. A native function's row is
 * the host's alone. All rows of one dtype are one text, compiled once. */
#include "kernels.h"
#include "tests/unit/only.h"
#include "tests/unit/table.h"

enum { MOST = 512 };

typedef struct made {
    table_case c;
    kl_unit unit;
    int first; /* its first kernel's number in the text */
} made;

/* Kernels of the unit and its bodies as text, numbered in that order. */
static void print_unit(const kl_unit *u, int *number, unsigned *parts, kl_text *out)
{
    for (uint32_t i = 0; i < u->nbodies; i++)
        print_unit(u->bodies[i], number, parts, out);
    for (int i = 0; i < u->nkernels; i++)
        if (!u->kernels[i]->call)
            OK(kl_cuda_kernel(u->kernels[i],
                              kl_arena_printf(u->arena, "r%d", (*number)++), u->arena,
                              parts, out));
}

static void link_unit(const kl_unit *u, int *number, kl_module *m)
{
    char name[64];
    u->program->device = 1;
    for (uint32_t i = 0; i < u->nbodies; i++)
        link_unit(u->bodies[i], number, m);
    for (int i = 0, n = 0; i < u->nkernels; i++) {
        if (u->kernels[i]->call)
            continue;
        for (int ph = 0; ph < u->kernels[i]->nphases; ph++) {
            snprintf(name, sizeof name, "r%d.%d", *number, ph);
            u->program->kernels[n].entry[ph] = CUDA->symbol(m, name);
            ck_assert_msg(u->program->kernels[n].entry[ph] != NULL, "%s", name);
        }
        ++*number, n++;
    }
}

/* Every case of a dtype, through the passes; how many. */
static int make_all(kl_arena *a, kl_dtype dt, made *all, kl_text *body, unsigned *parts)
{
    int n = 0, number = 0;
    char name[100];
    for (int op = 0; op < KL_OP_COUNT; op++)
        for (int v = 0; v < table_variants((kl_op)op) && op != KL_OP_call; v++) {
            made *m = &all[n];
            ck_assert_int_lt(n, MOST);
            if (!only_row(kl_ops[op].name) || !table_case_new(&m->c, a, (kl_op)op, v, dt))
                continue;
            m->unit = (kl_unit){
                .arena = a, .target = kl_target_find("sm_90a"), .graph = m->c.g};
            m->first = number;
            ck_assert_msg(kl_pipeline_run(&m->unit, NULL, NULL) == KL_OK, "%s: %s",
                          table_name(&m->c, name, sizeof name), kl_error());
            print_unit(&m->unit, &number, parts, body);
            n++;
        }
    return n;
}

static void run_case(made *m, kl_arena *a, kl_module *module)
{
    kl_buffer in[TABLE_INPUTS], want[TABLE_OUTPUTS], got;
    void *din[TABLE_INPUTS], *dout[TABLE_OUTPUTS];
    table_case same;
    char name[100];
    int number = m->first;
    table_name(&m->c, name, sizeof name);
    link_unit(&m->unit, &number, module);
    ck_assert(table_case_new(&same, a, m->c.op, m->c.variant, m->c.dt));
    for (uint32_t i = 0; i < TABLE_INPUTS; i++) {
        OK(table_input(&same, i, &in[i]));
        din[i] = to_device(in[i].mem->base, kl_buffer_bytes(&in[i]));
    }
    OK(kl_prepare_interp(a, &same.g));
    OK(kl_graph_interp(same.g, in, NULL, want));
    for (int i = 0; i < same.nout; i++)
        OK(CUDA->alloc(0, kl_buffer_bytes(&want[i]) + 1, &dout[i]));
    ck_assert_msg(kl_program_run(m->unit.program, din, dout, NULL) == KL_OK, "%s: %s",
                  name, kl_error());
    for (int i = 0; i < same.nout; i++) {
        OK(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got));
        from_device(got.mem->base, dout[i], kl_buffer_bytes(&got));
        ck_assert_msg(first_difference(&want[i], &got) < 0, "%s: output %d differs at %d",
                      name, i, (int)first_difference(&want[i], &got));
        CUDA->free(0, dout[i], kl_buffer_bytes(&got) + 1);
        kl_memory_unref(got.mem), kl_memory_unref(want[i].mem);
    }
    for (uint32_t i = 0; i < TABLE_INPUTS; i++) {
        CUDA->free(0, din[i], kl_buffer_bytes(&in[i]));
        kl_memory_unref(in[i].mem);
    }
}

START_TEST(a_dtype)
{
    static made all[MOST];
    unsigned parts = 0;
    kl_text body = {0}, text = {0};
    kl_nvrtc_code code;
    kl_module *module;
    kl_arena *a = kl_arena_new();
    int n = only_dtype((kl_dtype)_i) ? make_all(a, (kl_dtype)_i, all, &body, &parts) : 0;
    if (!n) {
        kl_arena_free(a);
        return;
    }
    kl_cuda_prelude(&text, parts);
    kl_text_put(&text, body.s);
    OK(kl_nvrtc_compile("table", text.s, "sm_90a", KL_NVRTC_CUBIN, &code));
    OK(CUDA->load(0, code.bytes, code.size, &module));
    for (int i = 0; i < n; i++) {
        run_case(&all[i], a, module);
        kl_program_unref(all[i].unit.program);
    }
    kl_nvrtc_free(&code);
    kl_text_free(&body), kl_text_free(&text);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("table");
    tcase_add_loop_test(tc, a_dtype, 0, KL_DTYPE_COUNT);
    return run_suite(tc);
}
