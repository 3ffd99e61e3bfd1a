/* wide.c: values of very many operands. A kernel takes a pointer an operand, and CUDA has
 * 4096 bytes for all arguments of a launch: so fusion stops at OPERANDS (passes.h), and a
 * concatenation of more becomes one of concatenations, each of which gets memory.
 *
 *   %9 = concat %0, .., %299 axis 0   ->   %300 = concat %0, .., %127 axis 0   (and two
 * more) %303 = concat %300, %301, %302 axis 0
 */
#include "passes/passes.h"

static kl_ref concat(kl_graph *g, const kl_ref *src, uint32_t n, int64_t axis)
{
    kl_spec s = {.op = KL_OP_concat, .src = src, .nsrc = n, .attr = &axis, .nattr = 1};
    return n == 1 ? *src : kl_graph_node(g, &s);
}

static kl_ref split_concat(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                           const kl_ref *src)
{
    const kl_node *n = kl_graph_at(from, r);
    int64_t axis = n->nattr ? kl_graph_attr(from, r)[0] : 0;
    kl_ref *part = ctx;
    uint32_t count = n->nsrc;
    if (n->op != KL_OP_concat || count <= KL_MANY_SOURCES)
        return kl_graph_copy_node(to, from, r, src);
    memcpy(part, src, count * sizeof *part);
    while (count > KL_MANY_SOURCES) {
        uint32_t fewer = 0;
        for (uint32_t i = 0; i < count; i += KL_MANY_SOURCES) {
            kl_ref c = concat(to, part + i, KL_MIN(count - i, KL_MANY_SOURCES), axis);
            if (c == KL_NONE)
                return KL_NONE;
            part[fewer++] = c;
        }
        count = fewer;
    }
    return concat(to, part, count, axis);
}

kl_status kl_split_wide(kl_unit *u)
{
    uint32_t most = 0;
    for (kl_ref r = 0; r < u->graph->count; r++)
        if (kl_graph_at(u->graph, r)->op == KL_OP_concat)
            most = KL_MAX(most, kl_graph_at(u->graph, r)->nsrc);
    if (most <= KL_MANY_SOURCES)
        return KL_OK;
    kl_ref *part = kl_arena_alloc(u->arena, most * sizeof *part);
    if (!part)
        return kl_fail(KL_ERR_OOM, "fuse: a concatenation of %u", most);
    return kl_graph_rewrite(&u->graph, split_concat, part);
}
