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

enum { EMBED_MOST = 16 << 20, LINE = 88 };

typedef struct launcher {
    const kl_artefact *a;
    const kl_program *p;
    kl_arena *arena;
    kl_text *out;
} launcher;

/* ---- sizes ---- */

static const char *operate(const launcher *l, int64_t op, const char *a, const char *b)
{
    const char *const names[] = {[-KL_SIZE_DIV] = "gpu_floor_div",
                                 [-KL_SIZE_MOD] = "gpu_floor_mod",
                                 [-KL_SIZE_MAX] = "gpu_most",
                                 [-KL_SIZE_MIN] = "gpu_least"};
    if (op == KL_SIZE_ADD)
        return kl_arena_printf(l->arena, "(%s + %s)", a, b);
    if (op == KL_SIZE_MUL)
        return kl_arena_printf(l->arena, "%s * %s", a, b);
    return kl_arena_printf(l->arena, "%s(%s, %s)", names[-op], a, b);
}

/* Postfix code as an expression of C over d[..]. */
static const char *size_text(const launcher *l, kl_size s)
{
    const char *st[KL_SIZE_DEPTH];
    int n = 0;
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        if (c >= 0) {
            st[n++] = kl_arena_printf(l->arena, "%lld", (long long)c);
        } else if (c < KL_SIZE_NEG) {
            st[n++] = kl_arena_printf(l->arena, "d[%d]", (int)(c - KL_SIZE_SYM));
        } else if (c == KL_SIZE_NEG) {
            st[n - 1] = kl_arena_printf(l->arena, "(-%s)", st[n - 1]);
        } else {
            n--;
            st[n - 1] = operate(l, c, st[n - 1], st[n]);
        }
        if (!st[n - 1])
            return "0";
    }
    return n == 1 ? st[0] : "0";
}

/* ---- data ---- */

static void put_bytes(kl_text *out, const char *name, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    kl_text_printf(
        out, "static const unsigned char %s[] __attribute__((aligned(64))) = {", name);
    size_t line = LINE;
    for (size_t i = 0; i < n; i++) {
        char number[8];
        size_t len = (size_t)snprintf(number, sizeof number, "%u,", p[i]);
        if (line + len > LINE) {
            kl_text_put(out, "\n    ");
            line = 4;
        }
        kl_text_putn(out, number, len);
        line += len;
    }
    kl_text_put(out, "\n    0};\n"); /* a text ends in zero */
}

static void put_codes(kl_text *out)
{
    kl_text_put(out, "enum {");
#define X(name, words)                                                                   \
    kl_text_printf(out, " GPU_%s = %d,", #name, (int)KL_ARTEFACT_##name);
    KL_ARTEFACT_CODES(X)
#undef X
    out->len--;
    kl_text_put(out, " };\n");
}

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
                   "enum {\n    GPU_DIMS = %d,\n    GPU_INS = %d,\n    GPU_OUTS = %d,\n  "
                   "  GPU_PORTS = %d,\n"
                   "    GPU_FUNCTIONS = %d,\n    GPU_OPERANDS = %d\n};\n",
                   p->nsyms, p->nin, p->nout, p->nin + p->nout + 1, n, most_operands(p));
    kl_text_put(l->out,
                "static const struct {\n    int64_t min, max, by;\n} gpu_dims[] = {");
    for (int i = 0; i < p->nsyms; i++)
        kl_text_printf(l->out, "{%lld, %lld, %lld}, ", (long long)p->sym_min[i],
                       (long long)p->sym_max[i], (long long)p->sym_div[i]);
    kl_text_put(l->out, "{0, 0, 1}};\nstatic const int gpu_donated[] = {");
    for (int i = 0; i < p->nout; i++)
        kl_text_printf(l->out, "%d, ", kl_program_donated(p, i));
    kl_text_put(l->out, "-1};\n");
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

static const char *port_bytes(const launcher *l, const kl_port *port)
{
    const char *y = kl_arena_printf(l->arena, "%d", (int)kl_dtypes[port->dtype].size);
    for (int i = 0; i < port->rank; i++)
        y = kl_arena_printf(l->arena, "%s * %s", y ? y : "",
                            size_text(l, port->shape[i]));
    return y ? y : "0";
}

static kl_status put_program(const launcher *l)
{
    const kl_program *p = l->p;
    int function = 0;
    kl_text_put(l->out, "\n/* ---- the program ---- */\n\n"
                        "static void gpu_sizes(const int64_t *d, int64_t *bytes)\n{\n"
                        "    (void)d;\n");
    for (int i = 0; i < p->nin; i++)
        kl_text_printf(l->out, "    bytes[%d] = %s;\n", i,
                       l->a->weight[i] >= 0 ? "0" : port_bytes(l, &p->in[i]));
    for (int i = 0; i < p->nout; i++)
        kl_text_printf(l->out, "    bytes[%d] = %s;\n", p->nin + i,
                       port_bytes(l, &p->out[i]));
    kl_text_printf(
        l->out,
        "    bytes[%d] = %s;\n}\n\nstatic int gpu_steps(const gpu_call *c)\n{\n"
        "    const int64_t *d = c->d;\n    (void)d;\n",
        p->nin + p->nout, size_text(l, p->arena));
    for (int i = 0; i < p->nsteps; i++)
        KL_TRY(put_step(l, &p->steps[i], &function));
    kl_text_put(l->out, "    return 1;\n}\n\n");
    return KL_OK;
}

/* ---- the file ---- */

/* The part of launcher.text before "@@", or what follows it. */
static void put_text(kl_text *out, int part)
{
    for (int i = 0, at = 0; text[i]; i++) {
        if (strcmp(text[i], "@@\n") == 0)
            at++;
        else if (at == part)
            kl_text_put(out, text[i]);
    }
}

static kl_status put_constant(const launcher *l)
{
    kl_text all = {0};
    kl_text_putn(&all, l->a->weights, l->a->nweights);
    if (l->p->nconstants)
        kl_text_putn(&all, l->p->constants, l->p->nconstants);
    bool failed = all.failed;
    if (!failed)
        put_bytes(l->out, "gpu_weights", all.s, all.len);
    kl_text_free(&all);
    return failed ? kl_fail(KL_ERR_OOM, "out of memory: a launcher's weights") : KL_OK;
}

kl_status kl_launcher(const kl_artefact *a, const kl_text *image, kl_text *out)
{
    launcher l = {a, a->program, kl_arena_new(), out};
    if (!l.arena)
        return kl_fail(KL_ERR_OOM, "out of memory: a launcher");
    if (a->nweights > EMBED_MOST) {
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
    put_codes(out);
    put_tables(&l);
    put_bytes(out, "gpu_image", image->s, image->len);
    kl_status s = put_constant(&l);
    kl_text_put(out, "\n");
    put_text(out, 0);
    if (s == KL_OK)
        s = put_program(&l);
    put_text(out, 1);
    if (s == KL_OK)
        s = kl_artefact_entry(a, out);
    if (s == KL_OK && (out->failed || kl_arena_failed(l.arena)))
        s = kl_fail(KL_ERR_OOM, "out of memory: a launcher");
    kl_arena_free(l.arena);
    return s;
}
