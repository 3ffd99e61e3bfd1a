/* table.h: every row of ops.def on every dtype that its rule allows, as a small graph
 * over special values: what test_table.c (LLVM) and cuda/test_table.c walk. A row is made
 * in variants: by combining row, by the dtype it casts to. What inference refuses is not
 * in the walk; how much is in it is a number in the tests, so that nothing leaves unseen.
 */
#ifndef KL_TEST_TABLE_H
#define KL_TEST_TABLE_H

#include "front.h"
#include "harness.h"

enum { SIDE = 12, TABLE_INPUTS = 5, TABLE_OUTPUTS = 8, TABLE_VARIANTS = KL_SET + 1 };

/* x, y, z of the dtype: [12,12]; p: bool[12,12]; i: i64[5]. */
typedef struct table_case {
    kl_graph *g;
    kl_op op;
    int variant;
    kl_dtype dt;
    kl_ref x, y, z, p, i;
    kl_ref out[TABLE_OUTPUTS];
    int nout;
} table_case;

static const kl_dim square[] = {SIDE, SIDE};

/* ---- special values ---- */

static inline kl_scalar table_value(kl_dtype dt, int k)
{
    static const double odd[SIDE] = {0.0,      -0.0, 1,     -1,     0.5, -2.5,
                                     INFINITY, 7,    1e-40, -1e-40, NAN, -3e38};
    static const int64_t whole[SIDE] = {0,  1,    -1,  2,         3,         7,
                                        -7, -100, 100, INT64_MAX, INT64_MIN, 65};
    if (dt == KL_BOOL)
        return (kl_scalar){.bits = (uint64_t)k & 1};
    return kl_is_float(dt) ? kl_scalar_from(dt, odd[k % SIDE])
                           : kl_scalar_from_int(dt, whole[k % SIDE]);
}

/* Input n of [12,12]: x runs down, y along, z across. */
static inline void table_fill(kl_dtype dt, int n, char *to)
{
    kl_dtype part = kl_dtypes[dt].real;
    size_t size = kl_dtypes[part].size;
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int k = 0; k < 1 + kl_is_complex(dt); k++, to += size) {
            int at = n == 0 ? i / SIDE : n == 1 ? i % SIDE : i / SIDE + i % SIDE;
            kl_scalar s = table_value(part, (at + 5 * k) % SIDE);
            memcpy(to, &s, size);
        }
}

static inline kl_status table_input(const table_case *c, uint32_t n, kl_buffer *b)
{
    kl_type t;
    kl_graph_type(c->g, c->g->inputs[n], &t);
    KL_TRY(new_dense(t.dtype, t.rank, t.shape, b));
    if (n < 3)
        table_fill(c->dt, (int)n, b->mem->base);
    else if (n == 3)
        table_fill(KL_BOOL, 2, b->mem->base);
    for (int64_t k = 0; n == 4 && k < t.shape[0]; k++)
        ((int64_t *)b->mem->base)[k] = k * k % SIDE;
    return KL_OK;
}

/* ---- the rows ---- */

static inline kl_ref table_node(table_case *c, const kl_type *want, const kl_ref *src,
                                uint32_t nsrc, const int64_t *attr, uint32_t nattr)
{
    kl_spec s = {.op = c->op, .src = src, .nsrc = nsrc, .attr = attr, .nattr = nattr};
    s.want = want ? *want : (kl_type){.dtype = c->dt, .rank = 2, .shape = {SIDE, SIDE}};
    return kl_graph_node(c->g, &s);
}

static inline kl_ref table_part(table_case *c, kl_ref a, kl_dim rows, kl_dim cols)
{
    return kl_g_slice(c->g, a, (kl_dim[]){1, 0}, (kl_dim[]){rows, cols},
                      (kl_dim[]){1, 1});
}

static inline kl_ref table_one(table_case *c, kl_ref a)
{
    return kl_g_reshape(c->g, table_part(c, a, 1, 1), 0, NULL);
}

static inline void table_give(table_case *c, kl_ref y)
{
    int n = 1;
    if (y != KL_NONE && kl_ops[c->g->nodes[y].op].flags & KL_F_MULTI)
        n = (int)kl_graph_results(c->g, y);
    for (int k = 0; k < n && y != KL_NONE; k++)
        c->out[c->nout++] =
            kl_ops[c->g->nodes[y].op].flags & KL_F_MULTI ? kl_g_pick(c->g, y, k) : y;
}

static inline kl_ref table_elt(table_case *c)
{
    kl_ref src[] = {c->x, c->y, c->z};
    if (kl_ops[c->op].rule == KL_RULE_COND)
        src[0] = c->p;
    return table_node(c, NULL, src, (uint32_t)kl_ops[c->op].arity, NULL, 0);
}

static inline kl_ref table_move(table_case *c)
{
    kl_graph *g = c->g;
    kl_type t = {.dtype = c->dt, .rank = 2, .shape = {3, 4}};
    int64_t axis = 1, window[] = {1, 1, 3, 2, 1};
    kl_spec s = {.op = KL_OP_window, .src = &c->x, .nsrc = 1, .attr = window, .nattr = 5};
    kl_ref two[] = {c->x, c->y}, w;
    switch ((int)c->op) {
    case KL_OP_reshape:
        return kl_g_reshape(g, c->x, 1, (kl_dim[]){SIDE * SIDE});
    case KL_OP_permute:
        return kl_g_permute(g, c->x, (int[]){1, 0});
    case KL_OP_expand:
        return kl_g_expand(g, c->x, 3, (kl_dim[]){2, SIDE, SIDE});
    case KL_OP_pad:
        return kl_g_pad(g, c->x, table_one(c, c->y), (kl_dim[]){1, 0}, (kl_dim[]){0, 2},
                        (kl_dim[]){1, 0});
    case KL_OP_slice:
        return table_part(c, c->x, 5, 7);
    case KL_OP_flip:
        return kl_g_flip(g, c->x, 3);
    case KL_OP_concat:
        return table_node(c, NULL, two, 2, &axis, 1);
    case KL_OP_window:
        return kl_graph_node(g, &s);
    case KL_OP_fold:
        w = kl_graph_node(g, &s);
        return table_node(c, NULL, &w, 1, window, 5);
    case KL_OP_strided:
        return table_node(c, &t, &c->x, 1, (int64_t[]){5, 12, 2}, 3);
    default: /* update */
        two[1] = table_part(c, c->y, 3, 2);
        return table_node(c, NULL, two, 2, (int64_t[]){1, 24, 3}, 3);
    }
}

/* A body that takes types like these and gives them in another order, flipped. */
static inline kl_graph *table_body(table_case *c, const kl_type *t, int n, int first,
                                   int nout)
{
    kl_graph *h = kl_graph_new(c->g->arena, c->g->dims, "body");
    kl_ref in[4];
    for (int i = 0; i < n; i++)
        in[i] = kl_graph_input(h, NULL, t[i].dtype, t[i].rank, t[i].shape);
    for (int i = 0; i < nout; i++)
        kl_graph_output(h, kl_g_flip(h, in[(first + i) % n], t[0].rank ? 1 : 0), NULL);
    return h;
}

static inline kl_graph *table_counter(table_case *c, const kl_type *t, bool test)
{
    kl_graph *h = kl_graph_new(c->g->arena, c->g->dims, test ? "test" : "step");
    kl_ref i = kl_graph_input(h, NULL, KL_I64, 0, NULL);
    kl_ref x = kl_graph_input(h, NULL, t->dtype, t->rank, t->shape);
    kl_ref n = kl_g_const_int(h, KL_I64, !test);
    kl_graph_output(
        h, kl_g_elt(h, test ? KL_OP_lt : KL_OP_sub, test ? n : i, test ? i : n, KL_NONE),
        NULL);
    if (!test)
        kl_graph_output(h, kl_g_flip(h, x, 2), NULL);
    return h;
}

static inline kl_ref table_control(table_case *c)
{
    kl_type t = {.dtype = c->dt, .rank = 2, .shape = {SIDE, SIDE}},
            row = {.dtype = c->dt, .rank = 1, .shape = {SIDE}}, rows[] = {row, row};
    kl_graph *g = c->g;
    kl_ref src[] = {kl_g_const_int(g, KL_I64, 3), c->x};
    int64_t attr[2];
    if (c->op == KL_OP_while) {
        attr[0] = kl_graph_body(g, table_counter(c, &t, true));
        attr[1] = kl_graph_body(g, table_counter(c, &t, false));
        return table_node(c, NULL, src, 2, attr, 2);
    }
    if (c->op == KL_OP_cond) {
        kl_type both[] = {t, t};
        src[0] = table_one(c, c->p);
        attr[0] = kl_graph_body(g, table_body(c, both, 1, 0, 1));
        attr[1] = kl_graph_body(g, table_body(c, both, 1, 0, 1));
        return table_node(c, NULL, src, 2, attr, 2);
    }
    src[0] = kl_g_reshape(g, table_part(c, c->y, 1, SIDE), 1, (kl_dim[]){SIDE});
    attr[0] = 1;
    attr[1] = kl_graph_body(g, table_body(c, rows, 2, 1, 2));
    return table_node(c, NULL, src, 2, attr, 2);
}

static inline int table_copy(void *user, int nin, const kl_buffer *in, int nout,
                             const kl_buffer *out)
{
    (void)user, (void)nin, (void)nout;
    memcpy(out[0].mem->base, in[0].mem->base, kl_buffer_bytes(&in[0]));
    return 0;
}

static inline kl_ref table_index(table_case *c)
{
    kl_ref src[] = {c->x, c->i, table_part(c, c->y, 5, SIDE)};
    int64_t set[] = {c->variant, 0, 0}, sort[] = {1, c->variant};
    if (c->op == KL_OP_sort)
        return table_node(c, NULL, src, 1, sort, 2);
    if (c->op == KL_OP_gather)
        return table_node(c, NULL, src, 2, set + 1, 2);
    return table_node(c, NULL, src, 3, set, 3);
}

static inline kl_ref table_other(table_case *c)
{
    kl_graph *g = c->g;
    kl_type t = {.dtype = c->dt, .rank = 2, .shape = {SIDE, SIDE}};
    char few[64];
    int64_t zero = 0, attr[5] = {0, 1, 0};
    kl_ref src[] = {c->x, c->x, c->y};
    switch ((int)c->op) {
    case KL_OP_input:
        return c->x;
    case KL_OP_const:
        for (int k = 0; k < 4; k++) {
            char all[SIDE * SIDE * 16];
            table_fill(c->dt, 0, all);
            memcpy(few + k * kl_dtypes[c->dt].size, all + 36 * k * kl_dtypes[c->dt].size,
                   kl_dtypes[c->dt].size);
        }
        return kl_g_const_data(g, c->dt, 1, (kl_dim[]){4}, few);
    case KL_OP_iota:
        return kl_g_iota(g, c->dt, 2, square, 1);
    case KL_OP_function:
        attr[0] = kl_graph_body(g, table_body(c, &t, 1, 0, 1));
        return table_node(c, NULL, src, 1, attr, 3);
    case KL_OP_call: {
        int64_t call[] = {kl_graph_string(g, "table_copy"), 1, 0, c->dt, 2, SIDE, SIDE};
        return table_node(c, NULL, src, 1, call, 7);
    }
    case KL_OP_detach:
        return table_node(c, NULL, src, 1, &zero, 1);
    case KL_OP_grad:
        src[2] = c->x, src[1] = c->y,
        src[0] = kl_g_elt(g, KL_OP_neg, c->x, KL_NONE, KL_NONE);
        return table_node(c, NULL, src, 3, NULL, 0);
    case KL_OP_jvp:
        src[0] = kl_g_elt(g, KL_OP_neg, c->x, KL_NONE, KL_NONE);
        return table_node(c, NULL, src, 3, NULL, 0);
    default:
        return KL_NONE;
    }
}

static inline kl_ref table_make(table_case *c)
{
    int64_t attr[3 + 3 * KL_MAX_RANK] = {c->variant, 2};
    kl_type to = {.dtype = (kl_dtype)c->variant, .rank = 2, .shape = {SIDE, SIDE}};
    kl_ref two[] = {c->x, c->y};
    switch (kl_ops[c->op].kind) {
    case KL_KIND_ELT:
        return table_elt(c);
    case KL_KIND_CAST:
        return table_node(c, &to, &c->x, 1, NULL, 0);
    case KL_KIND_MOVE:
        return table_move(c);
    case KL_KIND_REDUCE:
        if (c->op != KL_OP_reduce)
            return table_node(c, NULL, &c->x, 1, (int64_t[]){c->variant}, 1);
        return table_node(c, NULL, &c->x, 1, attr, 2);
    case KL_KIND_PREFIX:
        attr[1] = 1;
        return table_node(c, NULL, &c->x, 1, attr, 2);
    case KL_KIND_CONTRACT:
        return table_node(c, &to, two, 2, attr, kl_contract_attrs("ij,jk->ik", attr));
    case KL_KIND_INDEX:
        return table_index(c);
    case KL_KIND_CONTROL:
        return table_control(c);
    default:
        return table_other(c);
    }
}

/* How many variants of a row there are to try. */
static inline int table_variants(kl_op op)
{
    switch (kl_ops[op].kind) {
    case KL_KIND_CAST:
    case KL_KIND_CONTRACT:
        return KL_DTYPE_COUNT;
    case KL_KIND_REDUCE:
        return op == KL_OP_reduce ? KL_OP_COUNT : 2;
    case KL_KIND_PREFIX:
        return KL_OP_COUNT;
    case KL_KIND_INDEX:
        return op == KL_OP_scatter ? KL_SET + 1 : op == KL_OP_sort ? 2 : 1;
    default:
        return op == KL_OP_pick ? 0 : 1; /* every row of several results is picked */
    }
}

/* Row op's variant on dt in a new graph, with its outputs; false: inference refuses. */
static inline bool table_case_new(table_case *c, kl_arena *a, kl_op op, int variant,
                                  kl_dtype dt)
{
    *c = (table_case){
        .g = kl_graph_new(a, NULL, "row"), .op = op, .variant = variant, .dt = dt};
    c->x = kl_graph_input(c->g, "x", dt, 2, square);
    c->y = kl_graph_input(c->g, "y", dt, 2, square);
    c->z = kl_graph_input(c->g, "z", dt, 2, square);
    c->p = kl_graph_input(c->g, "p", KL_BOOL, 2, square);
    c->i = kl_graph_input(c->g, "i", KL_I64, 1, (kl_dim[]){5});
    bool combines =
        kl_ops[op].kind == KL_KIND_PREFIX || op == KL_OP_reduce || op == KL_OP_scatter;
    if (combines && variant != KL_SET && !(kl_ops[variant].flags & KL_F_RED))
        return false;
    table_give(c, table_make(c));
    for (int i = 0; i < c->nout; i++)
        if (c->out[i] == KL_NONE || kl_graph_output(c->g, c->out[i], NULL) != KL_OK)
            c->nout = 0;
    kl_error_clear();
    return c->nout > 0;
}

static inline const char *table_name(const table_case *c, char *buf, size_t cap)
{
    snprintf(buf, cap, "%s (variant %d) of %s", kl_ops[c->op].name, c->variant,
             kl_dtypes[c->dt].name);
    return buf;
}

#endif
