/* dot.c: a graph for Graphviz: kilnc net.kl --emit=dot | dot -Tsvg.
 *
 *   %3: f32[B,10] = add %1, %2    ->    n3 [label="add\nf32[B,10]"]; n1 -> n3; n2 -> n3;
 */
#include "kilnc.h"

/* Quotes and backslashes end a label early. */
static void put_quoted(kl_text *out, const char *s)
{
    for (; s && *s; s++) {
        if (*s == '"' || *s == '\\')
            kl_text_put(out, "\\");
        kl_text_putn(out, s, 1);
    }
}

static void put_node(const kl_graph *g, kl_ref r, kl_text *out)
{
    const kl_node *n = kl_graph_at(g, r);
    kl_type t;
    kl_graph_type(g, r, &t);
    kl_text_printf(out, "  n%u [label=\"", r);
    if (n->name != KL_NONE) {
        put_quoted(out, g->strings[n->name]);
        kl_text_put(out, " = ");
    }
    kl_text_printf(out, "%s\\n", kl_ops[n->op].name);
    kl_type_print(g->dims, &t, out);
    kl_text_printf(out, "\"%s];\n", n->op == KL_OP_input ? ", shape=box" : "");
    for (uint32_t i = 0; i < n->nsrc; i++)
        kl_text_printf(out, "  n%u -> n%u;\n", kl_graph_src(g, r, i), r);
}

void kl_graph_dot(const kl_graph *g, kl_text *out)
{
    kl_text_put(out, "digraph \"");
    put_quoted(out, g->name);
    kl_text_put(out, "\" {\n  node [shape=ellipse, fontname=\"monospace\"];\n");
    for (kl_ref r = 0; r < g->count; r++)
        put_node(g, r, out);
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_text_printf(out, "  out%u [shape=box, label=\"out", i);
        if (g->output_names && g->output_names[i]) {
            kl_text_put(out, " ");
            put_quoted(out, g->output_names[i]);
        }
        kl_text_printf(out, "\"];\n  n%u -> out%u;\n", g->outputs[i], i);
    }
    kl_text_put(out, "}\n");
}
