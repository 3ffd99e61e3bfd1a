/* gen_control.c: loops and branches in random graphs: bodies of a few operations, made as
 * graphs are, without inputs of their own.
 *
 *   body0_0: (f32[5], f32[]) -> f32[5]      scan %3, %1 carries 1 body @body0_0 */
#include "gen.h"

/* A body with inputs of these types; KL_NONE as its number: it did not come out. */
static int64_t make_body(gen *n, const kl_type *in, int nin, const kl_type *out, int nout)
{
    gen b = *n;
    b.g =
        kl_graph_new(n->g->arena, n->g->dims,
                     kl_arena_printf(n->g->arena, "body%d_%u", n->depth, n->g->nbodies));
    b.count = 0, b.depth++, b.limit = n->limit / 4;
    for (int i = 0; b.g && i < nin; i++)
        gen_keep(&b, kl_graph_input(b.g, NULL, in[i].dtype, in[i].rank, in[i].shape),
                 false);
    if (!b.g || b.count != nin)
        return KL_NONE;
    for (int64_t i = 1 + below(&b.s, 4); i > 0; i--)
        gen_one_more(&b);
    n->s = b.s;
    for (int i = 0; i < nout; i++)
        if (kl_graph_output(b.g, gen_match(&b, &out[i]), NULL) != KL_OK)
            return KL_NONE;
    n->s = b.s;
    return kl_graph_body(n->g, b.g);
}

static kl_ref make_scan(gen *n)
{
    kl_ref c = gen_any(n), x = gen_any(n), src[2] = {c, x};
    kl_type t[2] = {gen_type_of(n, c), gen_type_of(n, x)}, y = t[0];
    if (t[1].rank < 1 || gen_extent(n, t[1].shape[0]) > 20 ||
        20 * gen_numel(n, &y) > n->limit)
        return KL_NONE;
    t[1].rank--;
    memmove(t[1].shape, t[1].shape + 1, (size_t)t[1].rank * sizeof *t[1].shape);
    kl_type out[2] = {t[0], gen_chance(n, 50) ? t[0] : t[1]};
    int64_t attr[2] = {1, make_body(n, t, 2, out, 2)};
    kl_ref s = gen_node(n, KL_OP_scan, NULL, src, 2, attr, 2);
    gen_keep(n, kl_g_pick(n->g, s, 0), false);
    return gen_keep(n, kl_g_pick(n->g, s, 1), false);
}

/* while 0 < i: i = i - 1, and the body's values. */
static kl_ref make_while(gen *n)
{
    kl_ref a = gen_any(n), src[2] = {a, kl_g_const_int(n->g, KL_I64, below(&n->s, 4))};
    kl_type t[2] = {gen_type_of(n, a), {.dtype = KL_I64}};
    int64_t attr[2] = {0, make_body(n, t, 2, t, 1)};
    kl_graph *test =
        kl_graph_new(n->g->arena, n->g->dims,
                     kl_arena_printf(n->g->arena, "test%d_%u", n->depth, n->g->nbodies));
    if (attr[1] == KL_NONE || !test)
        return KL_NONE;
    kl_graph *body = n->g->bodies[attr[1]];
    kl_graph_output(body,
                    kl_g_elt(body, KL_OP_sub, body->inputs[1],
                             kl_g_const_int(body, KL_I64, 1), KL_NONE),
                    NULL);
    kl_graph_input(test, NULL, t[0].dtype, t[0].rank, t[0].shape);
    kl_ref i = kl_graph_input(test, NULL, KL_I64, 0, NULL);
    kl_graph_output(test,
                    kl_g_elt(test, KL_OP_lt, kl_g_const_int(test, KL_I64, 0), i, KL_NONE),
                    NULL);
    attr[0] = kl_graph_body(n->g, test);
    return gen_keep(
        n, kl_g_pick(n->g, gen_node(n, KL_OP_while, NULL, src, 2, attr, 2), 0), false);
}

/* On whether a value is equal to itself everywhere: without NaN. */
static kl_ref make_cond(gen *n)
{
    kl_ref a = gen_any(n), b = gen_any(n), p = kl_g_elt(n->g, KL_OP_eq, b, b, KL_NONE);
    if (p == KL_NONE)
        return KL_NONE;
    int rank = kl_graph_at(n->g, p)->rank;
    if (rank)
        p = kl_g_reduce(n->g, KL_OP_and, p, ((uint64_t)1 << rank) - 1, false);
    kl_type in[2] = {gen_type_of(n, a), gen_type_of(n, b)},
            out[2] = {in[0], in[gen_chance(n, 50)]};
    int64_t attr[2] = {make_body(n, in, 2, out, 2), make_body(n, in, 2, out, 2)};
    kl_ref src[3] = {p, a, b}, y = gen_node(n, KL_OP_cond, NULL, src, 3, attr, 2);
    gen_keep(n, kl_g_pick(n->g, y, 0), false);
    return gen_keep(n, kl_g_pick(n->g, y, 1), false);
}

kl_ref gen_control(gen *n)
{
    static kl_ref (*const fn[])(gen * n) = {make_scan, make_while, make_cond};
    return n->depth > 1 ? KL_NONE : fn[below(&n->s, 3)](n);
}
