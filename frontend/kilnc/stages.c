/* stages.c: what stands at each stage, as text.
 *
 *   graph --simplify--> kernel --lower--> loops --plan--> plan        the passes
 *                                            +--> llvm, asm           code of a CPU
 *                                            +--> cuda, ptx, cubin    code of a GPU */
#include "kilnc.h"

typedef struct stage {
    const char *name, *last; /* the last pass that it needs; NULL: all */
    kl_level level;
    bool cuda;
} stage;

static const stage stages[] = {{"graph", "simplify", KL_LEVEL_GRAPH, false},
                               {"kernel", "schedule", KL_LEVEL_KERNEL, false},
                               {"loops", "lower", KL_LEVEL_LOOPS, false},
                               {"plan", NULL, KL_LEVEL_PLAN, false},
                               {"llvm", NULL, KL_LEVEL_PLAN, false},
                               {"asm", NULL, KL_LEVEL_PLAN, false},
                               {"cuda", NULL, KL_LEVEL_PLAN, true},
                               {"ptx", NULL, KL_LEVEL_PLAN, true},
                               {"cubin", NULL, KL_LEVEL_PLAN, true},
                               {"dot", "simplify", KL_LEVEL_GRAPH, false}};
const char kl_emit_names[] =
    "graph, kernel, loops, plan, llvm, asm, cuda, ptx, cubin, dot";

static const stage *find(const char *name)
{
    for (size_t i = 0; i < KL_COUNT(stages); i++)
        if (strcmp(stages[i].name, name) == 0)
            return &stages[i];
    return NULL;
}

bool kl_emit_known(const char *name)
{
    return find(name) != NULL;
}

bool kl_emit_is_cuda(const char *name)
{
    return find(name) && find(name)->cuda;
}

static kl_status emit_cpu(const kl_kernel *const *kernels, int n, const kl_target *t,
                          bool ir, kl_text *out)
{
    size_t start = out->len;
    KL_TRY(kl_codegen_cpu(kernels, n, t, ir ? KL_LLVM_IR : KL_LLVM_ASM, out));
    if (ir)
        kl_text_wrap(out, start, ';');
    return KL_OK;
}

static kl_status emit_code(kl_model *m, const stage *st, const kl_target *t, kl_text *out)
{
    int n;
    const kl_kernel *const *kernels =
        (const kl_kernel *const *)kl_unit_kernels(&m->unit, &n);
    if (!kernels)
        return kl_error_status();
    if (!st->cuda)
        return emit_cpu(kernels, n, t, *st->name == 'l', out);
    return kl_codegen_cuda(kernels, n, t,
                           strcmp(st->name, "cuda") == 0  ? KL_CUDA_TEXT
                           : strcmp(st->name, "ptx") == 0 ? KL_CUDA_PTX
                                                          : KL_CUDA_CUBIN,
                           out);
}

kl_status kl_emit_stage(kl_model *m, const char *name, const kl_target *t, kl_text *out)
{
    const stage *st = find(name);
    KL_TRY(kl_model_compile(m, t, st->last));
    if (strcmp(name, "dot") == 0)
        kl_graph_dot(m->unit.graph, out);
    else if (strcmp(name, "llvm") == 0 || strcmp(name, "asm") == 0 || st->cuda)
        return emit_code(m, st, t, out);
    else
        kl_unit_print(&m->unit, st->level, out);
    return out->failed ? kl_fail(KL_ERR_OOM, "out of memory: %s", name) : KL_OK;
}

/* ---- the table of operations ---- */

void kl_ops_list(kl_text *out)
{
    static const char *const kinds[] = {
        [KL_KIND_LEAF] = "leaf",         [KL_KIND_ELT] = "map",
        [KL_KIND_CAST] = "cast",         [KL_KIND_MOVE] = "move",
        [KL_KIND_REDUCE] = "reduce",     [KL_KIND_PREFIX] = "prefix",
        [KL_KIND_CONTRACT] = "contract", [KL_KIND_INDEX] = "index",
        [KL_KIND_CONTROL] = "control",   [KL_KIND_CALL] = "call",
        [KL_KIND_FUNC] = "function",     [KL_KIND_TRANSFORM] = "transform"};
    for (int i = 0; i < KL_OP_COUNT; i++) {
        const kl_op_info *op = &kl_ops[i];
        char arity[16] = "any";
        if (op->arity >= 0)
            snprintf(arity, sizeof arity, "%d", op->arity);
        kl_text_printf(out, "%-10s %-9s %-3s  %s\n", op->name, kinds[op->kind], arity,
                       op->doc ? op->doc : "");
    }
}
