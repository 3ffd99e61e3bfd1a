/* kernel_head.c: the line that stands at the head of a kernel's text, for readers.
 *
 *   hidden = contract_where(x, w1, b1): class gemm, flops 1048576, bytes 98304, net.c:41
 *
 * Flops and bytes are the pass's that counted them (passes/cost.c); before it they are
 * not told. */
#include "ir/kernel_text.h"

enum { SHOWN = 8 /* operands named in a head line */ };

static void put_operands(const kl_kernel *k, kl_role role, kl_text *out)
{
    int n = 0;
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].role == role && n++ < SHOWN) {
            kl_text_put(out, n > 1 ? ", " : "");
            kl_print_name(out, k->operands[i].name);
        }
    if (n > SHOWN)
        kl_text_printf(out, " and %d more", n - SHOWN);
}

/* A kernel read from a text has none: neither nodes nor places to tell of. */
static bool has_head(const kl_kernel *k)
{
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].node != KL_NONE)
            return true;
    return k->place != NULL;
}

void kl_print_head(const kl_kernel *k, kl_text *out)
{
    size_t start = out->len;
    if (!has_head(k))
        return;
    kl_text_put(out, "# ");
    kl_kernel_head(k, out);
    kl_text_put(out, "\n");
    kl_text_wrap(out, start, '#');
}

/* Sizes that rest on symbols are counted at hints. */
static bool is_symbolic(const kl_kernel *k)
{
    int64_t v;
    for (uint32_t i = 0; i < k->noperands; i++)
        if (!kl_dim_is_const(k->x->dims, k->operands[i].count, &v))
            return true;
    return false;
}

void kl_kernel_head(const kl_kernel *k, kl_text *out)
{
    const char *cls = kl_kernel_class(k);
    put_operands(k, KL_ROLE_OUT, out);
    kl_text_printf(out, " = %s(", k->call ? k->call : k->name);
    put_operands(k, KL_ROLE_IN, out);
    kl_text_put(out, ")");
    if (cls)
        kl_text_printf(out, ": class %s", cls);
    if (k->bytes > 0) {
        kl_text_printf(out, "%s flops %lld, bytes %lld", cls ? "," : ":",
                       (long long)k->flops, (long long)k->bytes);
        kl_text_put(out, is_symbolic(k) ? " (symbols near 64)" : "");
    }
    if (k->place)
        kl_text_printf(out, ", %s", k->place);
}
