/* program_text.c: a plan as text (GRAMMAR.md, "Plan").
 *
 *   program head for cpu {
 *     dim B 1..4096
 *     in x: f32[B,64]
 *     ...
 *     launch head.0 (0, 2) dims (B) workers (floor((B+13)/14)) grain 1
 *   }
 *
 * Sizes print as the infix of their postfix code. */
#include "runtime/runtime.h"

enum { DEPTH = 64, PIECE = 512 };

static void put_binary(char (*stack)[PIECE], int *n, const char *fmt)
{
    char both[PIECE];
    if (*n < 2)
        return;
    snprintf(both, sizeof both, fmt, stack[*n - 2], stack[*n - 1]);
    snprintf(stack[*n - 2], PIECE, "%s", both);
    (*n)--;
}

static void print_size(const kl_program *p, kl_size s, kl_text *out)
{
    char stack[DEPTH][PIECE];
    int n = 0;
    for (int i = 0; i < s.len && n < DEPTH; i++) {
        int64_t c = s.code[i];
        if (c >= 0)
            snprintf(stack[n++], PIECE, "%lld", (long long)c);
        else if (c == KL_SIZE_ADD)
            put_binary(stack, &n, "(%.240s+%.240s)");
        else if (c == KL_SIZE_MUL)
            put_binary(stack, &n, "%.240s*%.240s");
        else if (c == KL_SIZE_DIV)
            put_binary(stack, &n, "floor(%.240s/%.240s)");
        else if (c == KL_SIZE_MOD)
            put_binary(stack, &n, "mod(%.240s,%.240s)");
        else if (c == KL_SIZE_MAX)
            put_binary(stack, &n, "max(%.240s,%.240s)");
        else if (c == KL_SIZE_MIN)
            put_binary(stack, &n, "min(%.240s,%.240s)");
        else if (c == KL_SIZE_NEG && n) {
            char neg[PIECE];
            snprintf(neg, sizeof neg, "(0-%.500s)", stack[n - 1]);
            memcpy(stack[n - 1], neg, PIECE);
        } else if (c >= KL_SIZE_SYM && c - KL_SIZE_SYM < p->nsyms) {
            snprintf(stack[n++], PIECE, "%s", p->sym_names[c - KL_SIZE_SYM]);
        }
    }
    kl_text_put(out, n ? stack[n - 1] : "0");
}

static void print_port(const kl_program *p, const char *what, int i, const kl_port *port, kl_text *out)
{
    kl_text_printf(out, "  %s ", what);
    if (port->name)
        kl_text_put(out, port->name);
    else
        kl_text_printf(out, "%s%d", what, i);
    kl_text_printf(out, ": %s[", kl_dtypes[port->dtype].name);
    for (int j = 0; j < port->rank; j++) {
        kl_text_put(out, j ? "," : "");
        print_size(p, port->shape[j], out);
    }
    kl_text_put(out, "]\n");
}

static void print_slot(const kl_program *p, int i, kl_text *out)
{
    static const char *const kinds[] = {"in", "out", "arena", "const"};
    const kl_slot *s = &p->slots[i];
    kl_text_printf(out, "  slot %d: %s", i, kinds[s->kind]);
    if (s->kind != KL_SLOT_ARENA)
        kl_text_printf(out, " %d", s->index);
    kl_text_printf(out, " %s", kl_dtypes[s->dtype].name);
    if (s->kind == KL_SLOT_ARENA) {
        kl_text_put(out, " offset ");
        print_size(p, s->offset, out);
    }
    kl_text_put(out, " bytes ");
    print_size(p, s->bytes, out);
    if (s->donated)
        kl_text_printf(out, " donates %d", s->donated - 1);
    kl_text_put(out, "\n");
}

static void print_sizes(const kl_program *p, const char *what, const kl_size *s, int n, kl_text *out)
{
    kl_text_printf(out, " %s (", what);
    for (int i = 0; i < n; i++) {
        kl_text_put(out, i ? ", " : "");
        print_size(p, s[i], out);
    }
    kl_text_put(out, ")");
}

static void print_step(const kl_program *p, const kl_step *s, kl_text *out)
{
    static const char *const kinds[] = {"launch", "copy", "fill", "call", "loop"};
    kl_text_printf(out, "  %s %s (", kinds[s->kind], s->symbol ? s->symbol : s->name);
    for (int i = 0; i < s->nslots; i++)
        kl_text_printf(out, "%s%d", i ? ", " : "", s->slots[i]);
    kl_text_put(out, ")");
    if (s->kind == KL_STEP_FILL)
        kl_text_printf(out, " byte %lld", (long long)s->value);
    if (s->kind == KL_STEP_CALL)
        kl_text_printf(out, " inputs %d", s->ncarry);
    if (s->ndims)
        print_sizes(p, "dims", s->dims, s->ndims, out);
    for (int i = 0; i < s->nphases; i++) {
        const kl_plan_phase *ph = &s->phases[i];
        print_sizes(p, "workers", &ph->workers, 1, out);
        kl_text_printf(out, " grain %lld", (long long)ph->grain);
        if (ph->group > 1 || ph->lane > 1)
            kl_text_printf(out, " block %d %d", ph->lane, ph->group);
    }
    kl_text_put(out, "\n");
}

void kl_program_print(const kl_program *p, kl_text *out)
{
    char device[32] = "cpu";
    if (p->device > 0)
        snprintf(device, sizeof device, "cuda:%d", p->device - 1);
    kl_text_printf(out, "program %s for %s {\n", p->name ? p->name : "main", device);
    for (int i = 0; i < p->nsyms; i++)
        kl_text_printf(out, "  dim %s %lld..%lld %% %lld\n", p->sym_names[i], (long long)p->sym_min[i],
                       (long long)p->sym_max[i], (long long)p->sym_div[i]);
    for (int i = 0; i < p->nin; i++)
        print_port(p, "in", i, &p->in[i], out);
    for (int i = 0; i < p->nout; i++)
        print_port(p, "out", i, &p->out[i], out);
    kl_text_put(out, "  arena ");
    print_size(p, p->arena, out);
    kl_text_put(out, "\n");
    for (int i = 0; i < p->nslots; i++)
        print_slot(p, i, out);
    for (int i = 0; i < p->nsteps; i++)
        print_step(p, &p->steps[i], out);
    kl_text_put(out, "}\n");
}
