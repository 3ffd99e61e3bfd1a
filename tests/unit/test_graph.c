/* Building graphs: one node a value, types inferred, errors that say what does not fit.
 */
#include "ir/ir.h"

#include <check.h>

static kl_arena *a;
static kl_graph *g;
static kl_dim B;

static void setup(void)
{
    a = kl_arena_new();
    g = kl_graph_new(a, NULL, "t");
    B = kl_dim_sym(g->dims, "B");
    kl_dim_sym_bound(g->dims, B, 1, 4096, 1);
    kl_error_clear();
}

static void teardown(void)
{
    kl_arena_free(a);
}

/* A type from "f32[2,3]"; an input of that type. */
static kl_type type_of(const char *text)
{
    kl_lex l;
    char name[16];
    kl_type t = {0};
    kl_lex_init(&l, "t", text);
    ck_assert_int_eq(kl_lex_name(&l, name, sizeof name), KL_OK);
    t.dtype = kl_dtype_parse(name);
    ck_assert_int_eq(kl_lex_want(&l, "["), KL_OK);
    while (!kl_lex_take(&l, "]")) {
        ck_assert_int_eq(kl_dim_parse(g->dims, &l, &t.shape[t.rank++]), KL_OK);
        kl_lex_take(&l, ",");
    }
    return t;
}

static kl_ref in(const char *text)
{
    kl_type t = type_of(text);
    return kl_graph_input(g, NULL, t.dtype, t.rank, t.shape);
}

static void expect_type(kl_ref r, const char *text)
{
    kl_type t;
    kl_text out = {0};
    ck_assert_msg(r != KL_NONE, "%s", kl_error());
    kl_graph_type(g, r, &t);
    kl_type_print(g->dims, &t, &out);
    ck_assert_str_eq(out.s, text);
    kl_text_free(&out);
}

START_TEST(equal_values_are_one_node)
{
    kl_ref x = in("f32[2,3]"), y = in("f32[2,3]");
    kl_ref s = kl_g_elt(g, KL_OP_add, x, y, KL_NONE);
    uint32_t n = g->count;
    ck_assert_uint_eq(kl_g_elt(g, KL_OP_add, y, x, KL_NONE), s);
    ck_assert_uint_eq(g->count, n);
    ck_assert_uint_ne(kl_g_elt(g, KL_OP_sub, x, y, KL_NONE),
                      kl_g_elt(g, KL_OP_sub, y, x, KL_NONE));
    kl_ref c = kl_g_const_like(g, x, 2.0);
    kl_ref m = kl_g_elt(g, KL_OP_mul, c, s, KL_NONE);
    ck_assert_uint_eq(kl_graph_src(g, m, 0), s); /* constants last */
    ck_assert_uint_eq(kl_graph_src(g, m, 1), c);
    ck_assert_uint_eq(kl_g_const(g, KL_F32, 0.5), kl_g_const(g, KL_F32, 0.5));
    ck_assert_uint_ne(kl_g_const(g, KL_F32, 0.0), kl_g_const(g, KL_F32, -0.0));
    ck_assert_uint_eq(kl_g_const(g, KL_F32, 0.0 / 0.0),
                      kl_g_const(g, KL_F32, -(0.0 / 0.0)));
    kl_ref late = in("f32[2,3]"); /* inputs before nodes, whenever made */
    kl_ref z = kl_g_elt(g, KL_OP_add, s, late, KL_NONE);
    ck_assert_uint_eq(kl_graph_src(g, z, 0), late);
}
END_TEST

START_TEST(effects_are_never_merged)
{
    kl_ref x = in("f32[2]");
    int64_t attr[] = {kl_graph_string(g, "f"), 1, 0, KL_F32, 1, 2};
    kl_spec s = {.op = KL_OP_call, .src = &x, .nsrc = 1, .attr = attr, .nattr = 6};
    ck_assert_uint_eq(kl_graph_node(g, &s), kl_graph_node(g, &s));
    attr[2] = 1;
    ck_assert_uint_ne(kl_graph_node(g, &s), kl_graph_node(g, &s));
    ck_assert_int_eq(kl_graph_compact(g, NULL), KL_OK);
    ck_assert_uint_eq(g->count, 3); /* the input and both calls with effects */
    ck_assert_int_eq(kl_graph_verify(g), KL_OK);
}
END_TEST

START_TEST(constants_are_small)
{
    kl_dim n = 17, m = 16;
    float v[17] = {1, 2, 3};
    expect_type(kl_g_const_data(g, KL_F32, 1, &m, v), "f32[16]");
    ck_assert_uint_eq(kl_g_const_data(g, KL_F32, 1, &n, v), KL_NONE);
    ck_assert_str_eq(kl_error(), "const: holds at most 64 bytes, less than f32[17]");
}
END_TEST

START_TEST(const_values_are_seen_through_movement)
{
    double v;
    int64_t iv;
    kl_dim s[] = {4, B};
    for (int dt = 0; dt < KL_C64; dt++) {
        kl_ref c = kl_g_expand(g, kl_g_const(g, (kl_dtype)dt, 1.0), 2, s);
        ck_assert(kl_graph_const_value(g, kl_g_flip(g, c, 1), &v, &iv));
        ck_assert(v == 1.0 && iv == 1);
    }
    ck_assert(kl_graph_const_value(g, kl_g_const_int(g, KL_I8, -3), &v, &iv));
    ck_assert(v == -3.0 && iv == -3);
    ck_assert(kl_graph_const_value(g, kl_g_const_int(g, KL_U64, -1), &v, &iv));
    ck_assert(v == 18446744073709551615.0);
    ck_assert(kl_graph_const_value(g, kl_g_const(g, KL_I32, 3e9), &v, &iv));
    ck_assert_int_eq(iv, INT32_MAX);
    ck_assert(!kl_graph_const_value(g, in("f32[]"), &v, &iv));
}
END_TEST

/* ---- inference: a row and operands, then the result's type or the sentence ---- */

typedef struct row {
    const char *op, *src[4];
    int64_t attr[12];
    int nattr;
    const char *want, *gives;
} row;

#define E(name, x, y, z, g)                                                              \
    {                                                                                    \
        name, {x, y, z}, {0}, 0, NULL, g                                                 \
    }
static const row rows[] = {
    E("add", "f32[2,3]", "f32[2,3]", NULL, "f32[2,3]"),
    E("add", "f32[2,3]", "f32[2]", NULL, "add: f32[2,3] and f32[2] do not match"),
    E("add", "f32[2]", "f64[2]", NULL, "add: f32[2] and f64[2] do not match"),
    E("add", "f32[B]", "f32[4]", NULL, "add: f32[B] and f32[4] do not match"),
    E("add", "f32[2]", NULL, NULL, "add: 1 operands instead of 2"),
    E("lt", "i8[B]", "i8[B]", NULL, "bool[B]"),
    E("lt", "c64[2]", "c64[2]", NULL, "lt: c64[2] and c64[2] has no meaning on c64"),
    E("exp", "i32[2]", NULL, NULL, "exp: i32[2] needs a floating-point dtype, not i32"),
    E("xor", "f32[2]", "f32[2]", NULL,
      "xor: f32[2] and f32[2] needs an integer dtype, not f32"),
    E("neg", "bool[2]", NULL, NULL, "neg: bool[2] has no meaning on bool"),
    E("where", "bool[2]", "f32[2]", "f32[2]", "f32[2]"),
    E("where", "i8[2]", "f32[2]", "f32[2]",
      "where: i8[2], f32[2] and f32[2] must begin with a bool"),
    E("complex", "f32[2]", "f32[2]", NULL, "c64[2]"),
    E("complex", "f16[2]", "f16[2]", NULL,
      "complex: f16[2] and f16[2] are no complex number's parts: f32 or f64"),
    E("imag", "c128[2]", NULL, NULL, "f64[2]"),
    E("real", "f64[2]", NULL, NULL, "real: f64[2] is not complex"),
    {"cast", {"f32[2]"}, {0}, 0, "i8[]", "i8[2]"},
    {"bitcast", {"f32[2]"}, {0}, 0, "i32[]", "i32[2]"},
    {"bitcast", {"f32[2]"}, {0}, 0, "i64[]", "bitcast: f32[2] has other bits than i64"},
    {"const", {NULL}, {0}, 1, "f32[B]", "const: must have a constant shape, not f32[B]"},
    {"iota", {NULL}, {1}, 1, "i64[4,B]", "i64[4,B]"},
    {"iota", {NULL}, {2}, 1, "i64[4,B]", "iota: has no axis 2"},
    {"iota", {NULL}, {0}, 1, "bool[4]", "iota: does not count in bool[4]"},
    {"reshape", {"f32[B,6]"}, {0}, 0, "f32[2*B,3]", "f32[2*B,3]"},
    {"reshape",
     {"f32[B,6]"},
     {0},
     0,
     "f32[B,5]",
     "reshape: f32[B,6] does not have the elements of f32[B,5]"},
    {"permute", {"f32[2,3,4]"}, {2, 0, 1}, 3, NULL, "f32[4,2,3]"},
    {"permute", {"f32[2,3]"}, {0, 0}, 2, NULL, "permute: f32[2,3] has axis 0 twice"},
    {"permute",
     {"f32[2,3]"},
     {0},
     1,
     NULL,
     "permute: f32[2,3] has 1 attribute words instead of 2"},
    {"expand", {"f32[1,3]"}, {0}, 0, "f32[B,5,3]", "f32[B,5,3]"},
    {"expand",
     {"f32[2,3]"},
     {0},
     0,
     "f32[4,3]",
     "expand: f32[2,3] does not expand to f32[4,3]"},
    {"pad", {"f32[2,B]", "f32[]"}, {1, 0, 1, 2, 1, 0}, 6, NULL, "f32[5,B+2]"},
    {"pad",
     {"f32[2]", "f32[1]"},
     {1, 1, 1},
     3,
     NULL,
     "pad: f32[2] and f32[1] need a scalar of one dtype to pad with"},
    {"slice", {"f32[B,9]"}, {0, 1, 1, 3}, 4, "f32[B,3]", "f32[B,3]"},
    {"slice",
     {"f32[B,9]"},
     {0, 3, 1, 3},
     4,
     "f32[B,3]",
     "slice: f32[B,9] is read past the end of axis 1"},
    {"slice",
     {"f32[9]"},
     {0, 0},
     2,
     "f32[3]",
     "slice: f32[9] needs start >= 0 and step > 0 for axis 0"},
    {"flip", {"f32[2,3]"}, {2}, 1, NULL, "f32[2,3]"},
    {"flip", {"f32[2,3]"}, {4}, 1, NULL, "flip: f32[2,3] has no such axes"},
    {"concat", {"f32[2,B]", "f32[2,3]"}, {1}, 1, NULL, "f32[2,B+3]"},
    {"concat",
     {"f32[2,B]", "f32[4,3]"},
     {1},
     1,
     NULL,
     "concat: f32[2,B] and f32[4,3] do not join along axis 1: operand 2"},
    {"window", {"f32[1,8,9]"}, {1, 2, 3, 2, 1}, 5, NULL, "f32[1,8,4,3]"},
    {"window", {"f32[B]"}, {1, 0, 3, 2, 1}, 5, NULL, "f32[floor((B+1)/2)-1,3]"},
    {"window",
     {"f32[4]"},
     {1, 0, 3, 0, 1},
     5,
     NULL,
     "window: f32[4] needs different axes, and size, stride, dilation > 0"},
    {"fold", {"f32[1,8,4,3]"}, {1, 2, 3, 2, 1}, 5, "f32[1,8,9]", "f32[1,8,9]"},
    {"fold",
     {"f32[4,2]"},
     {1, 0, 3, 1, 1},
     5,
     "f32[6]",
     "fold: f32[4,2] should be the windows f32[4,3]"},
    {"strided", {"f32[4,4]"}, {3, 4, -1}, 3, "f32[4,4]", "f32[4,4]"},
    {"strided",
     {"f32[4,4]"},
     {4, 4, -1},
     3,
     "f32[4,4]",
     "strided: f32[4,4] does not hold the strided f32[4,4]"},
    {"update", {"f32[4,4]", "f32[4]"}, {0, 5}, 2, NULL, "f32[4,4]"},
    {"update",
     {"f32[4,4]", "f32[4]"},
     {1, 5},
     2,
     NULL,
     "update: f32[4,4] and f32[4] do not fit: the second is written past the first"},
    {"reduce", {"f32[2,B,3]"}, {KL_OP_add, 5}, 2, NULL, "f32[B]"},
    {"reduce",
     {"f32[2]"},
     {KL_OP_sub, 1},
     2,
     NULL,
     "reduce: f32[2] has no such combining operation"},
    {"reduce",
     {"f32[2]"},
     {KL_OP_and, 1},
     2,
     NULL,
     "and: f32[2] needs an integer dtype, not f32"},
    {"reduce", {"f32[2]"}, {KL_OP_add, 2}, 2, NULL, "reduce: f32[2] has no such axes"},
    {"argmax", {"f32[2,3]"}, {1}, 1, NULL, "i64[2]"},
    {"argmax", {"f32[2,0]"}, {1}, 1, NULL, "argmax: f32[2,0] is empty along axis 1"},
    {"argmin", {"bool[2,3]"}, {0}, 1, NULL, "i64[3]"},
    {"prefix", {"f32[2,3]"}, {KL_OP_max, 1}, 2, NULL, "f32[2,3]"},
    {"contract",
     {"f32[B,64]", "f32[10,64]"},
     {2, 2, 2, 0, 1, 2, 1, 0, 2},
     9,
     "f32[]",
     "f32[B,10]"},
    {"contract",
     {"f16[B,64]", "f16[10,64]"},
     {2, 2, 2, 0, 1, 2, 1, 0, 2},
     9,
     "f32[]",
     "f32[B,10]"},
    {"contract",
     {"f32[4,64]", "f32[10,32]"},
     {2, 2, 2, 0, 1, 2, 1, 0, 2},
     9,
     "f32[]",
     "contract: f32[4,64] and f32[10,32] do not match in label b"},
    {"contract",
     {"f32[4]", "f32[4]"},
     {1, 1, 0, 0, 0},
     5,
     "i32[]",
     "contract: f32[4] and f32[4] cannot add up in i32"},
    {"contract",
     {"f32[4]", "f32[5]"},
     {1, 1, 0, 0, 1},
     5,
     "f32[]",
     "contract: f32[4] and f32[5] has a label of one operand only that the result lacks: "
     "reduce it first"},
    {"gather", {"f32[5,7,3]", "i64[5,2,2]"}, {1, 1}, 2, NULL, "f32[5,2,2,3]"},
    {"gather",
     {"f32[5]", "f32[2]"},
     {0, 0},
     2,
     NULL,
     "gather: f32[5] and f32[2] needs i64 or i32 indices"},
    {"gather",
     {"f32[5,7]", "i32[4]"},
     {1, 1},
     2,
     NULL,
     "gather: f32[5,7] and i32[4] do not match in batch axis 0"},
    {"scatter", {"f32[9]", "i64[4]", "f32[4]"}, {KL_SET, 0, 0}, 3, NULL, "f32[9]"},
    {"scatter",
     {"f32[9,2]", "i64[4]", "f32[4]"},
     {KL_OP_add, 0, 0},
     3,
     NULL,
     "scatter: f32[9,2], i64[4] and f32[4] do not match: the values should be f32[4,2]"},
    {"sort", {"f32[9]"}, {0, 1}, 2, NULL, "f32[9]"},
    {"sort", {"f32[9]"}, {0, 1, 2}, 3, NULL, "f32[2]"},
    {"sort", {"f32[9]"}, {0, 1, 10}, 3, NULL, "sort: f32[9] has no first 10"},
    {"sort", {"c64[9]"}, {0, 1}, 2, NULL, "sort: c64[9] has no order"},
    {"grad", {"f32[]", "f32[]", "f32[3]"}, {0}, 0, NULL, "f32[3]"},
    {"grad",
     {"f32[]", "f32[]"},
     {0},
     0,
     NULL,
     "grad: f32[] and f32[] needs a value, a seed and inputs"},
    {"grad",
     {"f32[]", "f32[]", "i32[3]"},
     {0},
     0,
     NULL,
     "grad: f32[], f32[] and i32[3] needs floating-point operands"},
    {"jvp", {"f32[2]", "f32[3]", "f32[3]"}, {0}, 0, NULL, "f32[2]"},
    {"jvp",
     {"f32[2]", "f32[3]", "f32[4]"},
     {0},
     0,
     NULL,
     "jvp: f32[2], f32[3] and f32[4] has a tangent unlike its input"},
    {"detach", {"f32[2]"}, {7}, 1, NULL, "f32[2]"},
    {"call", {"f32[2]"}, {0, 0, 0}, 3, NULL, "call: it has no name"},
};

START_TEST(inference)
{
    const row *w = &rows[_i];
    kl_ref src[4];
    kl_spec s = {.op = (kl_op)kl_op_find(w->op, strlen(w->op)),
                 .src = src,
                 .attr = w->attr,
                 .nattr = (uint32_t)w->nattr};
    for (; s.nsrc < 4 && w->src[s.nsrc]; s.nsrc++)
        src[s.nsrc] = in(w->src[s.nsrc]);
    int64_t attr[12]; /* extents below zero are expressions */
    for (int i = 0; i < w->nattr; i++)
        attr[i] = kl_dim_const(g->dims, w->attr[i]);
    s.attr = attr;
    if (w->want)
        s.want = type_of(w->want);
    kl_ref r = kl_graph_node(g, &s);
    if (strchr(w->gives, ':')) {
        ck_assert_msg(r == KL_NONE, "%s was built", w->op);
        ck_assert_str_eq(kl_error(), w->gives);
    } else {
        expect_type(r, w->gives);
        if (!(kl_ops[s.op].flags & KL_F_MULTI))
            ck_assert_int_eq(kl_graph_output(g, r, "y"), KL_OK);
        ck_assert_msg(kl_graph_verify(g) == KL_OK, "%s", kl_error());
    }
}
END_TEST

/* Every elementwise row on every dtype: built or refused with a sentence, and never else.
 */
START_TEST(every_elementwise_row)
{
    const kl_op_info *o = &kl_ops[_i];
    kl_dim shape[] = {2, B};
    if (o->kind != KL_KIND_ELT)
        return;
    for (int dt = 0; dt < KL_DTYPE_COUNT; dt++) {
        kl_ref r[3], y;
        kl_error_clear();
        for (int i = 0; i < 3; i++)
            r[i] = kl_graph_input(
                g, NULL, i || o->rule != KL_RULE_COND ? (kl_dtype)dt : KL_BOOL, 2, shape);
        y = kl_g_elt(g, (kl_op)_i, r[0], r[1], r[2]);
        bool cplx = kl_is_complex((kl_dtype)dt), flt = kl_is_float((kl_dtype)dt);
        bool ok = !(cplx && !(o->flags & KL_F_CPLX)) && !(flt && o->flags & KL_F_INT) &&
                  !(dt == KL_BOOL && o->flags & KL_F_NOBOOL) &&
                  !(!flt && !cplx && o->rule == KL_RULE_FLOAT) &&
                  !(dt != KL_U64 && o->rule == KL_RULE_U64);
        if (o->rule == KL_RULE_OWN)
            ok = _i == KL_OP_complex ? dt == KL_F32 || dt == KL_F64 : cplx;
        ck_assert_msg((y != KL_NONE) == ok, "%s on %s: %s", o->name, kl_dtypes[dt].name,
                      kl_error());
        ck_assert_msg(ok || strstr(kl_error(), o->name) == kl_error(), "%s", kl_error());
    }
}
END_TEST

START_TEST(several_results_are_picked)
{
    kl_ref s;
    int64_t attr[] = {0, 0};
    kl_ref x = in("f32[4]");
    kl_spec spec = {.op = KL_OP_sort, .src = &x, .nsrc = 1, .attr = attr, .nattr = 2};
    s = kl_graph_node(g, &spec);
    expect_type(kl_g_pick(g, s, 0), "f32[4]");
    expect_type(kl_g_pick(g, s, 1), "i64[4]");
    ck_assert_uint_eq(kl_g_pick(g, s, 2), KL_NONE);
    ck_assert_str_eq(kl_error(), "sort: f32[4] has no result 2");
    kl_error_clear();
    ck_assert_uint_eq(kl_g_elt(g, KL_OP_neg, s, KL_NONE, KL_NONE), KL_NONE);
    ck_assert_str_eq(kl_error(), "neg: operand %1 (sort) has several results: pick one");
    kl_error_clear();
    ck_assert_int_eq(kl_graph_output(g, s, NULL), KL_ERR_ARG);
    ck_assert_uint_eq(kl_g_pick(g, x, 0), KL_NONE);
}
END_TEST

/* ---- rewriting ---- */

static kl_ref double_neg(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                         const kl_ref *src)
{
    (void)ctx;
    if (from->nodes[r].op != KL_OP_neg)
        return kl_graph_copy_node(to, from, r, src);
    return kl_g_elt(to, KL_OP_sub, kl_g_const_like(to, src[0], -0.0), src[0], KL_NONE);
}

START_TEST(rewriting_keeps_what_is_around)
{
    kl_ref x = in("f32[4]"), unused = in("f32[4]");
    kl_graph *body = kl_graph_new(a, g->dims, "body");
    (void)unused;
    kl_ref n = kl_g_elt(g, KL_OP_neg, x, KL_NONE, KL_NONE);
    kl_ref e = kl_g_elt(g, KL_OP_exp, n, KL_NONE, KL_NONE);
    g->nodes[n].name = kl_graph_string(g, "minus");
    g->nodes[n].place = kl_graph_string(g, "net.c:7");
    kl_graph_body(g, body);
    ck_assert_int_eq(kl_graph_output(g, e, "y"), KL_OK);
    ck_assert_int_eq(kl_graph_donate(g, 0, 1), KL_OK);
    ck_assert_int_eq(kl_graph_rewrite(&g, double_neg, NULL), KL_OK);
    ck_assert_int_eq(kl_graph_verify(g), KL_OK);
    ck_assert_uint_eq(g->ninputs, 2);
    ck_assert_str_eq(g->output_names[0], "y");
    ck_assert_int_eq(g->donated[0], 2);
    ck_assert_ptr_eq(g->bodies[0], body);
    kl_ref s = kl_graph_src(g, g->outputs[0], 0);
    ck_assert_uint_eq(g->nodes[s].op, KL_OP_sub);
    ck_assert_str_eq(g->strings[g->nodes[s].name], "minus");
    for (kl_ref r = 0; r < g->count; r++)
        if (g->nodes[r].op != KL_OP_input && g->nodes[r].op != KL_OP_exp)
            ck_assert_str_eq(g->strings[g->nodes[r].place], "net.c:7");
}
END_TEST

START_TEST(inlining)
{
    kl_graph *body = kl_graph_new(a, g->dims, "body");
    kl_dim four = 4;
    kl_ref p = kl_graph_input(body, "p", KL_F32, 1, &four);
    kl_ref q = kl_graph_input(body, "q", KL_F32, 1, &four);
    kl_ref s = kl_g_elt(body, KL_OP_sub, p, q, KL_NONE);
    body->nodes[s].name = kl_graph_string(body, "diff");
    kl_graph_output(body, s, NULL);
    kl_graph_output(body, p, NULL);
    kl_ref args[] = {in("f32[4]"), in("f32[4]")}, out[2];
    kl_ref swapped[] = {args[1], args[0]};
    ck_assert_int_eq(kl_graph_inline(g, body, swapped, out), KL_OK);
    ck_assert_uint_eq(kl_graph_src(g, out[0], 0), args[1]);
    ck_assert_uint_eq(out[1], args[1]);
    ck_assert_str_eq(g->strings[g->nodes[out[0]].name], "diff");
}
END_TEST

START_TEST(compacting)
{
    kl_ref x = in("f32[4]"), y = x;
    kl_ref dead = kl_g_elt(g, KL_OP_exp, x, KL_NONE, KL_NONE);
    for (int i = 0; i < 5; i++) {
        y = kl_g_elt(g, KL_OP_neg, y, KL_NONE, KL_NONE);
        dead = kl_g_elt(g, KL_OP_add, dead, y, KL_NONE);
    }
    kl_graph_output(g, y, NULL);
    ck_assert_int_eq(kl_graph_compact(g, NULL), KL_OK);
    ck_assert_uint_eq(g->count, 6);
    ck_assert_int_eq(kl_graph_verify(g), KL_OK);
    ck_assert_uint_eq(kl_g_elt(g, KL_OP_neg, g->outputs[0] - 1, KL_NONE, KL_NONE),
                      g->outputs[0]);
}
END_TEST

START_TEST(out_of_memory)
{
    for (int64_t n = 0;; n++) {
        kl_error_clear();
        size_t before = kl_alloc_live();
        kl_alloc_fail_at(n);
        kl_arena *b = kl_arena_new();
        kl_graph *h = b ? kl_graph_new(b, NULL, "h") : NULL;
        kl_dim s = h ? kl_dim_sym(h->dims, "N") : 1;
        kl_ref x = h ? kl_graph_input(h, "x", KL_F32, 1, &s) : KL_NONE, y = x;
        for (int i = 0; h && i < 3000; i++)
            y = kl_g_elt(h, i % 2 ? KL_OP_exp : KL_OP_neg, y, KL_NONE, KL_NONE);
        kl_alloc_fail_at(-1);
        bool done = h && y != KL_NONE;
        kl_arena_free(b);
        ck_assert_uint_eq(kl_alloc_live(), before);
        if (done)
            break;
        ck_assert(!h || kl_error_status() == KL_ERR_OOM);
        ck_assert_int_lt(n, 1000);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, equal_values_are_one_node);
    tcase_add_test(tc, effects_are_never_merged);
    tcase_add_test(tc, constants_are_small);
    tcase_add_test(tc, const_values_are_seen_through_movement);
    tcase_add_loop_test(tc, inference, 0, (int)KL_COUNT(rows));
    tcase_add_loop_test(tc, every_elementwise_row, 0, KL_OP_COUNT);
    tcase_add_test(tc, several_results_are_picked);
    tcase_add_test(tc, rewriting_keeps_what_is_around);
    tcase_add_test(tc, inlining);
    tcase_add_test(tc, compacting);
    tcase_add_test(tc, out_of_memory);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
