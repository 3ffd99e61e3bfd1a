/* inline.c: a named function becomes its body.
 *
 *   %3 = function %0, %1 @gelu           %3.. = the nodes of @gelu on %0, %1
 *   %4 = pick %3 result 0         ->
 *
 * No target schedules a function whole yet, so all go. Bodies that name further functions
 * are inlined in their turn, innermost last, until none is left. */
#include "passes/passes.h"

typedef struct inliner {
    kl_ref **results;
    bool any;
    kl_status status;
} inliner;

static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    inliner *in = ctx;
    const kl_node *n = kl_graph_at(from, r);
    if (n->op == KL_OP_pick && in->results[kl_graph_src(from, r, 0)])
        return in->results[kl_graph_src(from, r, 0)][kl_graph_attr(from, r)[0]];
    if (n->op != KL_OP_function)
        return kl_graph_copy_node(to, from, r, src);
    kl_graph *body = from->bodies[kl_graph_attr(from, r)[0]];
    kl_ref *out = kl_arena_alloc(to->arena, ((size_t)body->noutputs + 1) * sizeof *out);
    if (!out || (in->status = kl_graph_inline(to, body, src, out)) != KL_OK)
        return KL_NONE;
    in->results[r] = out;
    in->any = true;
    return out[0];
}

static kl_status inline_all(kl_unit *u, kl_graph **g)
{
    for (inliner in = {.any = true}; in.any;) {
        in.any = false;
        bool named = false;
        for (kl_ref r = 0; r < (*g)->count; r++)
            named = named || kl_graph_at(*g, r)->op == KL_OP_function;
        if (!named)
            break;
        in.results =
            kl_arena_zeroed(u->arena, (size_t)(*g)->count + 1, sizeof *in.results);
        if (!in.results)
            return kl_fail(KL_ERR_OOM, "inline: no memory");
        KL_TRY(kl_graph_rewrite(g, visit, &in));
    }
    return KL_OK;
}

kl_status kl_pass_inline(kl_unit *u)
{
    return kl_each_graph(u, inline_all);
}
