/* ctext.c: what the C files that kilnc writes have in common: sizes as expressions, bytes
 * and tables of constants, the checks of an entry's arguments (checks.text).
 *
 *   floor((B+15)/16)*64  ->  kl_floor_div((d[0] + 15), 16) * 64 */
#include "kilnc.h"

enum { LINE = 88 };

const char *const kl_c_checks[] = {
#include "checks.inc"
    NULL};

/* ---- sizes ---- */

/* about: in numbers that do not wrap. */
static const char *operate(kl_arena *into, int64_t op, const char *a, const char *b,
                           bool about)
{
    const char *const names[] = {[-KL_SIZE_DIV] = "floor_div",
                                 [-KL_SIZE_MOD] = "floor_mod",
                                 [-KL_SIZE_MAX] = "most",
                                 [-KL_SIZE_MIN] = "least"};
    if (op == KL_SIZE_ADD)
        return kl_arena_printf(into, "(%s + %s)", a, b);
    if (op == KL_SIZE_MUL)
        return kl_arena_printf(into, "%s * %s", a, b);
    return kl_arena_printf(into, "kl_%s%s(%s, %s)", about ? "about_" : "", names[-op], a,
                           b);
}

static const char *size(kl_arena *into, kl_size s, bool about)
{
    const char *type = about ? "(double)" : "";
    const char *st[KL_SIZE_DEPTH];
    int n = 0;
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        if (c >= 0) {
            st[n++] = kl_arena_printf(into, "%s%lld", type, (long long)c);
        } else if (c < KL_SIZE_NEG) {
            st[n++] = kl_arena_printf(into, "%sd[%d]", type, (int)(c - KL_SIZE_SYM));
        } else if (c == KL_SIZE_NEG) {
            st[n - 1] = kl_arena_printf(into, "(-%s)", st[n - 1]);
        } else {
            n--;
            st[n - 1] = operate(into, c, st[n - 1], st[n], about);
        }
        if (!st[n - 1])
            return "0";
    }
    return n == 1 ? st[0] : "0";
}

const char *kl_c_size(kl_arena *into, kl_size s)
{
    return size(into, s, false);
}

const char *kl_c_about(kl_arena *into, kl_size s)
{
    return size(into, s, true);
}

const char *kl_c_port_bytes(kl_arena *into, const kl_port *port)
{
    const char *y = kl_arena_printf(into, "%d", (int)kl_dtypes[port->dtype].size);
    for (int i = 0; i < port->rank; i++)
        y = kl_arena_printf(into, "%s * %s", y ? y : "", kl_c_size(into, port->shape[i]));
    return y ? y : "0";
}

void kl_c_sizes(const kl_artefact *a, kl_arena *into, const char *last, kl_text *out)
{
    const kl_program *p = a->program;
    kl_text_put(out, "static void kl_sizes(const int64_t *d, int64_t *bytes)\n{\n"
                     "    (void)d;\n");
    for (int i = 0; i < p->nin; i++)
        kl_text_printf(out, "    bytes[%d] = %s;\n", i,
                       a->weight[i] >= 0 ? "0" : kl_c_port_bytes(into, &p->in[i]));
    for (int i = 0; i < p->nout; i++)
        kl_text_printf(out, "    bytes[%d] = %s;\n", p->nin + i,
                       kl_c_port_bytes(into, &p->out[i]));
    kl_text_printf(out, "    bytes[%d] = %s;\n}\n", p->nin + p->nout, last);
}

/* ---- data ---- */

void kl_c_bytes(kl_text *out, const char *name, const void *bytes, size_t n)
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
    kl_text_put(out, "enum {\n");
#define X(name, words) kl_text_put(out, "    KL_" #name ", /* " words " */\n");
    KL_ARTEFACT_CODES(X)
#undef X
    kl_text_put(out, "};\n");
}

void kl_c_tables(const kl_artefact *a, kl_text *out)
{
    const kl_program *p = a->program;
    put_codes(out);
    kl_text_printf(out,
                   "enum {\n    KL_DIMS = %d,\n    KL_INS = %d,\n    KL_OUTS = %d\n};\n"
                   "static const struct {\n    int64_t min, max, by;\n} kl_dims[] = {",
                   p->nsyms, p->nin, p->nout + a->scratch_caller);
    for (int i = 0; i < p->nsyms; i++)
        kl_text_printf(out, "{%lld, %lld, %lld}, ", (long long)p->sym_min[i],
                       (long long)p->sym_max[i], (long long)p->sym_div[i]);
    kl_text_put(out, "{0, 0, 1}};\nstatic const int kl_donated[] = {");
    for (int i = 0; i < p->nout; i++)
        kl_text_printf(out, "%d, ", kl_program_donated(p, i));
    kl_text_put(out, "-1};\n");
}

void kl_c_text(kl_text *out, const char *const *text, int part)
{
    for (int i = 0, at = 0; text[i]; i++) {
        if (strcmp(text[i], "@@\n") == 0)
            at++;
        else if (at == part)
            kl_text_put(out, text[i]);
    }
}
