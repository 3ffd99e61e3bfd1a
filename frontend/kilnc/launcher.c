/* launcher.c: a program for a GPU as a C file: the module's bytes, the plan's steps as
 * calls of the driver, and an entry as other artefacts have it, on the host's memory. The
 * driver is opened at the first call, by dlopen: the file needs libc alone, and on a
 * machine without a GPU its entry returns DEVICE.
 *
 *   launch head kernel 0 (0, 3) dims (B) workers (B) block 64 1
 *   ->  gpu_address p[] = {c->at[0], c->at[2]};  int64_t n[] = {c->d[0]};
 *       gpu_launch(c, 0, c->d[0], 64, 1, 0, p, 2, n, 1)
 *
 * What does not depend on the program stands in launcher.text, two parts of C. */
#include "kilnc.h"

static const char *const text[] = {
#include "launcher.inc"
    NULL};

typedef struct launcher {
    const kl_artefact *a;
    const kl_program *p;
    kl_arena *arena;
    kl_text *out;
} launcher;

static const char *size_text(const launcher *l, kl_size s)
{
    return kl_c_size(l->arena, s);
}

/* ---- tables ---- */

static int most_operands(const kl_program *p)
{
    int n = 0;
    for (int i = 0; i < p->nsteps; i++)
        n = KL_MAX(n, p->steps[i].nslots + p->steps[i].ndims);
    return n + 1;
}

static void put_functions(const launcher *l, int *n)
{
    kl_text_put(l->out, "static const char *const gpu_names[] = {");
    for (int i = 0; i < l->p->nsteps; i++) {
        const kl_step *s = &l->p->steps[i];
        char symbol[128];
        if (s->kind != KL_STEP_LAUNCH)
            continue;
        kl_cuda_symbol(l->p->kernels[s->kernel].name, symbol, sizeof symbol);
        for (int k = 0; k < s->nphases; k++, ++*n)
            kl_text_printf(l->out, "\n    \"%s_%d\",", symbol, k);
    }
    kl_text_put(l->out, " 0};\n");
}

static void put_tables(const launcher *l)
{
    const kl_program *p = l->p;
    int n = 0;
    put_functions(l, &n);
    kl_text_printf(l->out,
                   "enum {\n    GPU_PORTS = %d,\n    GPU_FUNCTIONS = %d,\n"
                   "    GPU_OPERANDS = %d\n};\n",
                   p->nin + p->nout + 1, n, most_operands(p));
}

/* ---- steps ---- */

static const char *address(const launcher *l, int slot)
{
    const kl_slot *s = &l->p->slots[slot];
    const kl_artefact *a = l->a;
    switch (s->kind) {
    case KL_SLOT_IN:
        return a->weight[s->index] >= 0
                   ? kl_arena_printf(l->arena, "gpu_constant + %lld",
                                     (long long)a->weight[s->index])
                   : kl_arena_printf(l->arena, "c->at[%d]", s->index);
    case KL_SLOT_OUT:
        return kl_arena_printf(l->arena, "c->at[%d]", l->p->nin + s->index);
    case KL_SLOT_ARENA:
        return kl_arena_printf(l->arena, "c->at[GPU_PORTS - 1] + (gpu_address)(%s)",
                               size_text(l, s->offset));
    default:
        return kl_arena_printf(l->arena, "gpu_constant + %zu",
                               a->nweights + (size_t)s->index);
    }
}

static void put_launch(const launcher *l, const kl_step *s, int *function)
{
    kl_text_printf(l->out, "    { /* %s */\n        gpu_address p[] = {", s->name);
    for (int i = 0; i < s->nslots; i++)
        kl_text_printf(l->out, "%s%s", i ? ", " : "", address(l, s->slots[i]));
    kl_text_put(l->out, "};\n        int64_t n[] = {");
    for (int i = 0; i < s->ndims; i++)
        kl_text_printf(l->out, "%s, ", size_text(l, s->dims[i]));
    kl_text_put(l->out, "0};\n");
    for (int i = 0; i < s->nphases; i++)
        kl_text_printf(l->out,
                       "        if (!gpu_launch(c, %d, %s, %d, %d, %s, p, %d, n, %d))\n"
                       "            return 0;\n",
                       (*function)++, size_text(l, s->phases[i].workers),
                       s->phases[i].lane, s->phases[i].group,
                       size_text(l, s->phases[i].shared), s->nslots, s->ndims);
    kl_text_put(l->out, "    }\n");
}

static kl_status put_step(const launcher *l, const kl_step *s, int *function)
{
    switch (s->kind) {
    case KL_STEP_LAUNCH:
        put_launch(l, s, function);
        return KL_OK;
    case KL_STEP_COPY:
        kl_text_printf(l->out,
                       "    if (gpu_cu.copy(%s, %s, (size_t)(%s), c->stream))\n"
                       "        return 0;\n",
                       address(l, s->slots[0]), address(l, s->slots[1]),
                       size_text(l, l->p->slots[s->slots[0]].bytes));
        return KL_OK;
    case KL_STEP_FILL:
        kl_text_printf(l->out,
                       "    if (gpu_cu.fill(%s, %d, (size_t)(%s), c->stream))\n"
                       "        return 0;\n",
                       address(l, s->slots[0]), (int)(s->value & 255),
                       size_text(l, l->p->slots[s->slots[0]].bytes));
        return KL_OK;
    default:
        return kl_fail(
            KL_ERR_UNSUPPORTED,
            "%s: a launcher runs kernels one after the other; this program has "
            "%s",
            l->a->name,
            s->kind == KL_STEP_CALL   ? "a call of a C function"
            : s->kind == KL_STEP_LOOP ? "a loop"
                                      : "a branch");
    }
}

static kl_status put_program(const launcher *l)
{
    const kl_program *p = l->p;
    int function = 0;
    kl_text_put(l->out, "\n/* ---- the program ---- */\n\n");
    kl_c_sizes(l->a, l->arena, size_text(l, p->arena), l->out);
    kl_text_put(l->out, "\nstatic int gpu_steps(const gpu_call *c)\n{\n"
                        "    const int64_t *d = c->d;\n    (void)d;\n");
    for (int i = 0; i < p->nsteps; i++)
        KL_TRY(put_step(l, &p->steps[i], &function));
    kl_text_put(l->out, "    return 1;\n}\n\n");
    return KL_OK;
}

/* ---- the file ---- */

static kl_status put_constant(const launcher *l)
{
    kl_text all = {0};
    kl_text_putn(&all, l->a->weights, l->a->nweights);
    if (l->p->nconstants)
        kl_text_putn(&all, l->p->constants, l->p->nconstants);
    bool failed = all.failed;
    if (!failed)
        kl_c_bytes(l->out, "gpu_weights", all.s, all.len);
    kl_text_free(&all);
    return failed ? kl_fail(KL_ERR_OOM, "out of memory: a launcher's weights") : KL_OK;
}

kl_status kl_launcher(const kl_artefact *a, const kl_text *image, kl_text *out)
{
    launcher l = {a, a->program, kl_arena_new(), out};
    if (!l.arena)
        return kl_fail(KL_ERR_OOM, "out of memory: a launcher");
    if (a->nweights > KL_C_EMBED_MOST) {
        kl_arena_free(l.arena);
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: %zu bytes of weights are too many for a C file: give "
                       "--weights=args",
                       a->name, a->nweights);
    }
    kl_text_printf(out,
                   "/* %s: made by kilnc for %s. Compile it as C11 and link with "
                   "-ldl -lpthread. */\n"
                   "#include <dlfcn.h>\n#include <pthread.h>\n#include <stdint.h>\n"
                   "#include <string.h>\n\n",
                   a->name, a->level[0].target->name);
    kl_c_tables(a, out);
    put_tables(&l);
    kl_c_bytes(out, "gpu_image", image->s, image->len);
    kl_status s = put_constant(&l);
    kl_text_put(out, "\n");
    kl_c_text(out, kl_c_checks, 0);
    kl_c_text(out, text, 0);
    if (s == KL_OK)
        s = put_program(&l);
    kl_c_text(out, text, 1);
    if (s == KL_OK)
        s = kl_artefact_entry(a, out);
    if (s == KL_OK && (out->failed || kl_arena_failed(l.arena)))
        s = kl_fail(KL_ERR_OOM, "out of memory: a launcher");
    kl_arena_free(l.arena);
    return s;
}
