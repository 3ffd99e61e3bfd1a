/* simplify.c: algebra that never changes a bit, folding of small constants, dead code.
 *
 * Requires  a verified graph.
 * Ensures   no rule of rules.def and no movement rule below applies; constants of all
 * alike elements are folded through elementwise rows; every node is reachable.
 *
 *   %1 = neg %0                      out %0'            %2 = reshape (reshape %0)  ->
 * reshape %0 %2 = neg %1              -> out add(%2, -0.0)
 *
 * Rules are data: text before, text after, a class. They are parsed once; a node tries
 * those whose outermost row is its own. Folding makes 0-d constants only, so it can never
 * become large. */
#include "passes/derive.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- rules ---- */

enum { RULE_ANY, RULE_INT, RULE_FLOAT, RULE_BOOL, RULE_SINT };
static const kl_rule_row rows[] = {
#define KL_RULE(name, cls, before, after) {#name, RULE_##cls, before, after},
#include "passes/rules.def"
#undef KL_RULE
};
enum { NROWS = KL_COUNT(rows), TERM_OP, TERM_VAR, TERM_NUM, TERM_TRUTH, TERMS = 8 };

typedef struct term {
    uint8_t kind, op, var, arity;
    int8_t arg[3];
    double num;
} term;
typedef struct rule {
    term before[TERMS], after[TERMS];
} rule;
static rule rules[NROWS];
static int first_rule[KL_OP_COUNT +
                      1]; /* rows stand in table order; this only says "any at all" */
static pthread_once_t once = PTHREAD_ONCE_INIT;

const kl_rule_row *kl_rule_rows(int *count)
{
    *count = NROWS;
    return rows;
}

/* Terms in prefix order; returns this term's index. */
static int parse_term(const char **s, term *t, int *n)
{
    int me = (*n)++;
    size_t len = strcspn(*s, "(),");
    t[me] = (term){.kind = TERM_VAR, .arg = {-1, -1, -1}};
    if (len == 1 && **s >= 'a' && **s <= 'c') {
        t[me].var = (uint8_t)(**s - 'a');
    } else if (strncmp(*s, "true", len) == 0 || strncmp(*s, "false", len) == 0) {
        t[me].kind = TERM_TRUTH;
        t[me].num = **s == 't';
    } else if ((**s >= '0' && **s <= '9') || **s == '-') {
        t[me].kind = TERM_NUM;
        kl_scan_float(*s, &t[me].num);
    } else {
        t[me].kind = TERM_OP;
        t[me].op = (uint8_t)kl_op_find(*s, len);
    }
    *s += len;
    if (**s != '(')
        return me;
    do {
        (*s)++;
        t[me].arg[t[me].arity++] = (int8_t)parse_term(s, t, n);
    } while (**s == ',');
    (*s)++;
    return me;
}

static void parse_rules(void)
{
    for (int i = 0; i < (int)NROWS; i++) {
        const char *b = rows[i].before, *a = KL_PLANT_TEXT(rule, i, rows[i].after);
        int n = 0, m = 0;
        parse_term(&b, rules[i].before, &n);
        parse_term(&a, rules[i].after, &m);
        first_rule[rules[i].before[0].op] = 1;
    }
}

static bool same_bits(kl_graph *g, kl_ref r, double want)
{
    double v;
    int64_t iv;
    if (!kl_graph_const_value(g, r, &v, &iv))
        return false;
    return kl_is_float((kl_dtype)kl_graph_at(g, r)->dtype)
               ? memcmp(&v, &want, sizeof v) == 0
               : iv == (int64_t)want;
}

static bool match(kl_graph *g, const term *t, int at, kl_ref r, kl_ref var[3])
{
    const term *me = &t[at];
    if (me->kind == TERM_VAR) {
        if (var[me->var] == KL_NONE)
            var[me->var] = r;
        return var[me->var] == r;
    }
    if (me->kind == TERM_NUM)
        return same_bits(g, r, me->num);
    if (kl_graph_at(g, r)->op != me->op)
        return false;
    for (int i = 0; i < me->arity; i++)
        if (!match(g, t, me->arg[i], kl_graph_src(g, r, (uint32_t)i), var))
            return false;
    return true;
}

static kl_ref replace(kl_graph *g, const term *t, int at, kl_ref like,
                      const kl_ref var[3])
{
    const term *me = &t[at];
    if (me->kind == TERM_VAR)
        return var[me->var];
    if (me->kind == TERM_NUM || me->kind == TERM_TRUTH)
        return kl_g_const_like(g, like, me->num);
    kl_ref s[3] = {KL_NONE, KL_NONE, KL_NONE};
    for (int i = 0; i < me->arity; i++)
        s[i] = replace(g, t, me->arg[i], like, var);
    return kl_g_elt(g, (kl_op)me->op, s[0], s[1], s[2]);
}

static bool class_is(const kl_graph *g, kl_ref operand, int cls)
{
    kl_class c = (kl_class)kl_dtypes[kl_graph_at(g, operand)->dtype].cls;
    return cls == RULE_ANY || (cls == RULE_BOOL && c == KL_CLS_BOOL) ||
           (cls == RULE_FLOAT && c == KL_CLS_FLOAT) ||
           (cls == RULE_SINT && c == KL_CLS_SINT) ||
           (cls == RULE_INT && (c == KL_CLS_UINT || c == KL_CLS_SINT));
}

/* One rule applied at r, or r itself. */
static kl_ref apply_rules(kl_graph *g, kl_ref r, int only)
{
    const kl_node *n = kl_graph_at(g, r);
    if (!first_rule[n->op] || kl_dtypes[n->dtype].cls == KL_CLS_COMPLEX)
        return r;
    for (int i = 0; i < (int)NROWS; i++) {
        kl_ref var[3] = {KL_NONE, KL_NONE, KL_NONE};
        if (rules[i].before[0].op != n->op || (only >= 0 && i != only))
            continue;
        kl_ref operand = kl_graph_src(g, r, n->op == KL_OP_where ? 1 : 0);
        if (class_is(g, operand, rows[i].cls) && match(g, rules[i].before, 0, r, var))
            return replace(g, rules[i].after, 0, r, var);
    }
    return r;
}

/* ---- constants ---- */

/* An elementwise row of constants with all elements alike is such a constant. */
static kl_ref fold(kl_graph *g, kl_ref r)
{
    const kl_node *n = kl_graph_at(g, r);
    kl_kind kind = kl_ops[n->op].kind;
    if ((kind != KL_KIND_ELT && n->op != KL_OP_cast) || kl_ops[n->op].flags & KL_F_GRAPH)
        return r;
    kl_scalar s[3] = {{.bits = 0}, {.bits = 0}, {.bits = 0}};
    kl_dtype dt[3] = {KL_F32, KL_F32, KL_F32};
    for (uint32_t i = 0; i < n->nsrc; i++) {
        double v;
        int64_t iv;
        kl_ref src = kl_graph_src(g, r, i);
        dt[i] = (kl_dtype)kl_graph_at(g, src)->dtype;
        if (kl_is_complex(dt[i]) || kl_is_complex((kl_dtype)n->dtype) ||
            !kl_graph_const_value(g, src, &v, &iv))
            return r;
        s[i] =
            kl_is_float(dt[i]) ? kl_scalar_from(dt[i], v) : kl_scalar_from_int(dt[i], iv);
    }
    kl_scalar y =
        n->op == KL_OP_cast
            ? kl_eval_cast((kl_dtype)n->dtype, dt[0], s[0])
            : kl_eval((kl_op)n->op, dt[n->op == KL_OP_where ? 1 : 0], s[0], s[1], s[2]);
    int64_t word = (int64_t)y.bits;
    if (kl_dtypes[n->dtype].size < 8)
        word &= (int64_t)((1ull << (8 * kl_dtypes[n->dtype].size)) - 1);
    kl_spec c = {.op = KL_OP_const,
                 .want = {.dtype = (kl_dtype)n->dtype},
                 .attr = &word,
                 .nattr = 1};
    kl_ref scalar = kl_graph_node(g, &c);
    return n->rank ? kl_g_expand(g, scalar, n->rank, kl_graph_shape(g, r)) : scalar;
}

/* ---- movement ---- */

static bool same_shape(const kl_graph *g, kl_ref a, kl_ref b)
{
    int n = kl_graph_at(g, a)->rank;
    return n == kl_graph_at(g, b)->rank &&
           memcmp(kl_graph_shape(g, a), kl_graph_shape(g, b),
                  (size_t)n * sizeof(kl_dim)) == 0;
}

static bool identity_perm(const int64_t *perm, int n)
{
    for (int i = 0; i < n; i++)
        if (perm[i] != i)
            return false;
    return true;
}

static kl_ref permute_permute(kl_graph *g, kl_ref r, kl_ref s)
{
    int perm[KL_MAX_RANK];
    for (int i = 0; i < kl_graph_at(g, r)->rank; i++)
        perm[i] = (int)kl_graph_attr(g, s)[kl_graph_attr(g, r)[i]];
    return kl_g_permute(g, kl_graph_src(g, s, 0), perm);
}

static bool whole_slice(const kl_graph *g, kl_ref r, kl_ref s)
{
    const int64_t *at = kl_graph_attr(g, r);
    int n = kl_graph_at(g, r)->rank;
    for (int i = 0; i < n; i++)
        if (at[i] != 0 || at[n + i] != 1)
            return false;
    return same_shape(g, r, s);
}

/* Non-adjacent reduced axes go one group after the other, innermost first (DESIGN.md,
 * "Sums"). */
static kl_ref reduce_groups(kl_graph *g, kl_op combine, kl_ref s, uint64_t mask)
{
    for (int i = KL_MAX_RANK - 1; i >= 0 && s != KL_NONE; i--) {
        uint64_t group = 0;
        for (; i >= 0 && mask >> i & 1; i--)
            group |= 1ull << i;
        if (group)
            s = kl_g_reduce(g, combine, s, group, false);
    }
    return s;
}

static bool one_group(uint64_t mask)
{
    uint64_t above =
        mask + (mask & (~mask + 1)); /* a run of bits carries out of itself */
    return (above & mask) == 0;
}

/* A reduction without the axes of one element: that is what it is. One between two others
 * that are reduced makes them one sum, and stays. */
static kl_ref reduction(kl_graph *g, kl_ref r, kl_ref s)
{
    const kl_node *n = kl_graph_at(g, r);
    kl_op combine = (kl_op)kl_graph_attr(g, r)[0];
    uint64_t mask = (uint64_t)kl_graph_attr(g, r)[1], rest = mask;
    for (int turn = 0; turn < kl_graph_at(g, s)->rank; turn++)
        for (int i = 0; i < kl_graph_at(g, s)->rank; i++) {
            bool between = i && rest >> (i - 1) & 1 && rest >> (i + 1) & 1;
            if (rest >> i & 1 && !between && kl_graph_shape(g, s)[i] == 1)
                rest &= ~(1ull << i);
        }
    if (rest == mask)
        return !mask ? s : one_group(mask) ? r : reduce_groups(g, combine, s, mask);
    s = reduce_groups(g, combine, s, rest);
    return s == KL_NONE ? s : kl_g_reshape(g, s, n->rank, kl_graph_shape(g, r));
}

/* How much of axis w[0] of the windows' source no window reaches; 0: not known. */
static int64_t unreached(const kl_graph *g, kl_ref r, kl_ref s, const int64_t *w)
{
    int64_t all, out, size, stride, dilation, end;
    const kl_dims *d = g->dims;
    bool known = kl_dim_is_const(d, kl_graph_shape(g, s)[w[0]], &all) &&
                 kl_dim_is_const(d, kl_graph_shape(g, r)[w[0]], &out) &&
                 kl_dim_is_const(d, w[1], &size) && kl_dim_is_const(d, w[2], &stride) &&
                 kl_dim_is_const(d, w[3], &dilation);
    if (!known || out < 1 || kl_mul_overflow(out - 1, stride, &end) ||
        kl_mul_overflow(size - 1, dilation, &size) || kl_add_overflow(end, size, &end) ||
        end >= all)
        return 0;
    return all - end - 1;
}

/* Windows over pad s: what they do not reach is not put behind it. */
static kl_ref padded_windows(kl_graph *g, kl_ref r, kl_ref s)
{
    const int64_t *at = kl_graph_attr(g, r), *pad = kl_graph_attr(g, s);
    int rank = kl_graph_at(g, s)->rank;
    kl_dim hi[KL_MAX_RANK];
    int64_t behind, less = 0;
    memcpy(hi, pad + rank, (size_t)rank * sizeof *hi);
    for (int i = 0; i < at[0]; i++) {
        const int64_t *w = at + 1 + 4 * i;
        if (!kl_dim_is_const(g->dims, hi[w[0]], &behind) || !behind)
            continue;
        behind = KL_MIN(behind, unreached(g, r, s, w));
        hi[w[0]] -= behind, less += behind;
    }
    if (!less)
        return r;
    int64_t attr[1 + 4 * KL_MAX_RANK];
    memcpy(attr, at, kl_graph_at(g, r)->nattr * sizeof *attr);
    kl_ref x = kl_g_pad(g, kl_graph_src(g, s, 0), kl_graph_src(g, s, 1), pad, hi,
                        pad + 2 * rank);
    return kl_node_of(g, KL_OP_window, NULL, &x, 1, attr, kl_graph_at(g, r)->nattr);
}

/* A movement that moves nothing, or two that are one. */
static kl_ref movement(kl_graph *g, kl_ref r)
{
    const kl_node *n = kl_graph_at(g, r);
    kl_ref s = n->nsrc ? kl_graph_src(g, r, 0) : KL_NONE;
    int inner = s == KL_NONE ? -1 : kl_graph_at(g, s)->op;
    switch (n->op) {
    case KL_OP_reshape:
        if (same_shape(g, r, s))
            return s;
        return inner == KL_OP_reshape
                   ? kl_g_reshape(g, kl_graph_src(g, s, 0), n->rank, kl_graph_shape(g, r))
                   : r;
    case KL_OP_expand:
        if (same_shape(g, r, s))
            return s;
        return inner == KL_OP_expand
                   ? kl_g_expand(g, kl_graph_src(g, s, 0), n->rank, kl_graph_shape(g, r))
                   : r;
    case KL_OP_permute:
        if (identity_perm(kl_graph_attr(g, r), n->rank))
            return s;
        return inner == KL_OP_permute ? permute_permute(g, r, s) : r;
    case KL_OP_slice:
        return whole_slice(g, r, s) ? s : r;
    case KL_OP_flip:
        return kl_graph_attr(g, r)[0] == 0 ? s : r;
    case KL_OP_window:
        return inner == KL_OP_pad ? padded_windows(g, r, s) : r;
    case KL_OP_concat:
        return n->nsrc == 1 ? s : r;
    case KL_OP_cast:
        return kl_graph_at(g, s)->dtype == n->dtype ? s : r;
    case KL_OP_reduce:
        return reduction(g, r, s);
    default:
        return r;
    }
}

/* ---- what is cut off ---- */

/* Operand `side` of contraction c, cut as slice r cuts the result's axes of its labels.
 */
static kl_ref cut_operand(kl_graph *g, kl_ref r, kl_ref c, int side)
{
    kl_labels l = kl_contract_labels(g, c);
    const int64_t *cut = kl_graph_attr(g, r);
    kl_ref a = kl_graph_src(g, c, (uint32_t)side);
    kl_dim start[KL_MAX_RANK], extent[KL_MAX_RANK], step[KL_MAX_RANK];
    for (int i = 0; i < l.n[side]; i++) {
        int k = kl_label_at(&l, 2, l.of[side][i]);
        start[i] = k < 0 ? 0 : cut[k];
        extent[i] = k < 0 ? kl_graph_shape(g, a)[i] : kl_graph_shape(g, r)[k];
        step[i] = k < 0 ? 1 : cut[l.n[2] + k];
    }
    return kl_g_slice(g, a, start, extent, step);
}

/* A slice of a contraction that nothing else reads: what is cut off is not computed. So
 * the input gradient of a padded convolution has no more columns than the input. */
static kl_ref cut_contraction(kl_graph *g, kl_ref r)
{
    kl_ref c = kl_graph_src(g, r, 0), src[2];
    int64_t attr[3 + 3 * KL_MAX_RANK];
    kl_spec spec = {.op = KL_OP_contract,
                    .want.dtype = (kl_dtype)kl_graph_at(g, c)->dtype,
                    .src = src,
                    .nsrc = 2,
                    .attr = attr,
                    .nattr = kl_graph_at(g, c)->nattr};
    memcpy(attr, kl_graph_attr(g, c), spec.nattr * sizeof *attr);
    for (int side = 0; side < 2; side++)
        if ((src[side] = cut_operand(g, r, c, side)) == KL_NONE)
            return KL_NONE;
    kl_ref y = kl_graph_node(g, &spec);
    /* of fewer rows the order of its sums is another ("One number") */
    return y == KL_NONE || kl_contract_in_order(g, y) == kl_contract_in_order(g, c) ? y
                                                                                    : r;
}

/* ---- the pass ---- */

typedef struct walk {
    int only;             /* this rule alone; < 0: all that is known */
    const uint32_t *uses; /* by node of the graph before */
} walk;

static kl_ref simplify_node(kl_graph *g, kl_ref r, int only)
{
    for (int turn = 0; r != KL_NONE && turn < 64; turn++) {
        kl_ref before = r;
        if (only < 0) {
            r = movement(g, r);
            if (r != KL_NONE)
                r = fold(g, r);
        }
        if (r != KL_NONE)
            r = apply_rules(g, r, only);
        if (r == before)
            break;
    }
    return r;
}

static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    const walk *w = ctx;
    const kl_node *n = kl_graph_at(from, r);
    kl_ref copy = kl_graph_copy_node(to, from, r, src);
    if (copy != KL_NONE && w->only < 0 && n->op == KL_OP_slice &&
        w->uses[kl_graph_src(from, r, 0)] == 1 &&
        kl_graph_at(to, src[0])->op == KL_OP_contract && !whole_slice(to, copy, src[0]))
        copy = cut_contraction(to, copy);
    return copy == KL_NONE ? copy : simplify_node(to, copy, w->only);
}

/* How many nodes and outputs read each. */
static const uint32_t *count_uses(const kl_graph *g)
{
    uint32_t *uses = kl_arena_zeroed(g->arena, (size_t)g->count + 1, sizeof *uses);
    for (kl_ref r = 0; uses && r < g->count; r++)
        for (uint32_t i = 0; i < kl_graph_at(g, r)->nsrc; i++)
            uses[kl_graph_src(g, r, i)]++;
    for (uint32_t i = 0; uses && i < g->noutputs; i++)
        uses[g->outputs[i]]++;
    return uses;
}

kl_status kl_simplify(kl_graph **g, int only)
{
    pthread_once(&once, parse_rules);
    walk w = {only, count_uses(*g)};
    if (!w.uses)
        return kl_fail(KL_ERR_OOM, "simplify: no memory");
    KL_TRY(kl_graph_rewrite(g, visit, &w));
    return kl_graph_compact(*g, NULL);
}

static kl_status simplify_graph(kl_unit *u, kl_graph **g)
{
    (void)u;
    return kl_simplify(g, -1);
}

kl_status kl_pass_simplify(kl_unit *u)
{
    return kl_each_graph(u, simplify_graph);
}
