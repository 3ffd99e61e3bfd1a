/* derive_text.c: the derivative columns of ops.def, read as graphs. A text like
 * "where(lt(b,a),1,0)" over operands a b c and result y is walked once, building nodes;
 * numbers take the result's dtype and shape.
 *
 * Times u is pushed inwards as far as it stays the same number, so that a branch not
 * taken cannot leak (0 * inf is NaN) and a quotient is divided once:
 *
 *   u * where(c, 1, 0)  ->  where(c, u, 0)        u * div(1, a)  ->  div(u, a)
 *   u * neg(e)          ->  neg(u * e)            u * 0          ->  KL_ZERO, no node */
#include "passes/derive.h"

typedef struct reader {
    kl_graph *g;
    kl_ref operand[3], y;
    const char *p;
    bool conj;
} reader;

static kl_ref value(reader *rd);

static kl_ref conjugate(reader *rd, kl_ref a)
{
    kl_graph *g = rd->g;
    if (!rd->conj || a == KL_NONE || !kl_is_complex((kl_dtype)g->nodes[a].dtype))
        return a;
    kl_ref re = kl_g_elt(g, KL_OP_real, a, KL_NONE, KL_NONE);
    kl_ref im = kl_g_elt(g, KL_OP_imag, a, KL_NONE, KL_NONE);
    return kl_g_elt(g, KL_OP_complex, re, kl_g_elt(g, KL_OP_neg, im, KL_NONE, KL_NONE),
                    KL_NONE);
}

/* The row whose name stands here, its '(' stepped over. */
static kl_op read_row(reader *rd)
{
    size_t n = strcspn(rd->p, "(");
    int op = kl_op_find(rd->p, n);
    KL_ASSERT(op >= 0);
    rd->p += n + 1;
    return (kl_op)op;
}

static void step(reader *rd, char c)
{
    KL_ASSERT(*rd->p == c);
    rd->p += *rd->p == c;
}

static bool letter(const reader *rd)
{
    return rd->p[0] >= 'a' && rd->p[0] <= 'z';
}

static bool variable(const reader *rd)
{
    return letter(rd) && !(rd->p[1] >= '0' && rd->p[1] <= 'z');
}

static kl_ref read_variable(reader *rd)
{
    char c = *rd->p++;
    return c == 'y' ? rd->y : rd->operand[c - 'a'];
}

static kl_ref value(reader *rd)
{
    kl_ref src[3] = {KL_NONE, KL_NONE, KL_NONE};
    double v;
    if (!letter(rd)) {
        rd->p = kl_scan_float(rd->p, &v);
        return kl_g_const_like(rd->g, rd->y, v);
    }
    if (variable(rd))
        return read_variable(rd);
    kl_op op = read_row(rd);
    for (int i = 0; i < kl_ops[op].arity; i++) {
        src[i] = value(rd);
        step(rd, i + 1 < kl_ops[op].arity ? ',' : ')');
    }
    return kl_g_elt(rd->g, op, src[0], src[1], src[2]);
}

static kl_ref scaled(reader *rd, kl_ref u, double v)
{
    if (v == 0.0)
        return KL_ZERO;
    if (v == 1.0)
        return u;
    if (v == -1.0)
        return kl_g_elt(rd->g, KL_OP_neg, u, KL_NONE, KL_NONE);
    return kl_g_elt(rd->g, KL_OP_mul, u, kl_g_const_like(rd->g, u, v), KL_NONE);
}

static kl_ref solid(reader *rd, kl_ref u)
{
    return u == KL_ZERO ? kl_g_const_like(rd->g, rd->y, 0.0) : u;
}

static kl_ref times(reader *rd, kl_ref u)
{
    double v;
    if (!letter(rd)) {
        rd->p = kl_scan_float(rd->p, &v);
        return scaled(rd, u, v);
    }
    const char *here = rd->p;
    kl_op op = variable(rd) ? KL_OP_mul : read_row(rd);
    if (op == KL_OP_where) {
        kl_ref c = value(rd), p, q;
        step(rd, ',');
        p = solid(rd, times(rd, u));
        step(rd, ',');
        q = solid(rd, times(rd, u));
        step(rd, ')');
        return kl_g_elt(rd->g, KL_OP_where, c, p, q);
    }
    if (op == KL_OP_neg) {
        kl_ref x = solid(rd, times(rd, u));
        step(rd, ')');
        return kl_g_elt(rd->g, KL_OP_neg, x, KL_NONE, KL_NONE);
    }
    if (op == KL_OP_div) {
        kl_ref p = solid(rd, times(rd, u)), q;
        step(rd, ',');
        q = conjugate(rd, value(rd));
        step(rd, ')');
        return kl_g_elt(rd->g, KL_OP_div, p, q, KL_NONE);
    }
    rd->p = here;
    return kl_g_elt(rd->g, KL_OP_mul, u, conjugate(rd, value(rd)), KL_NONE);
}

kl_ref kl_derive_times(kl_graph *g, kl_ref node, const char *text, kl_ref u, bool conj)
{
    text = KL_PLANT_TEXT(derivative, g->nodes[node].op, text);
    reader rd = {.g = g, .y = node, .p = text, .conj = conj};
    if (!*text)
        return KL_ZERO;
    for (uint32_t i = 0; i < g->nodes[node].nsrc && i < 3; i++)
        rd.operand[i] = kl_graph_src(g, node, i);
    kl_ref y = times(&rd, u);
    KL_ASSERT(!*rd.p);
    return y;
}
