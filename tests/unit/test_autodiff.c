/* Derivatives against central differences in f64: both modes, first and second order,
 * every row that has a derivative. A case is a graph in f64; the test appends grad and
 * jvp nodes, expands them, and compares along random directions v1, v2 with weights w on
 * the result:
 *
 *   s(x) = sum w * y(x)      s1 = ds/dx . v1      s2 = ds1/dx . v2
 *
 *   reverse: sum grad * v1   forward: sum w * jvp   second: grad and jvp of s1 */
#include "only.h"
#include "passes/passes.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#define MAX_IN 4

typedef struct fcase {
    const char *name, *text;
    double lo, hi;   /* of inputs */
    bool no_reverse; /* forward mode alone */
    double data[8];  /* of input 0, when not all 0 */
} fcase;

#define ONE(type, ytype, body) "graph g(%x: f64" type ") {\n" body "\n out %y }"
#define TWO(t1, t2, body) "graph g(%x: f64" t1 ", %z: f64" t2 ") {\n" body "\n out %y }"
static const fcase cases[] = {
    {"reshape", ONE("[2,3]", , "%y: f64[6] = reshape %x"), .5, 1.5, 0, {0}},
    {"permute",
     ONE("[2,3,2]", , "%y: f64[2,2,3] = permute %x axes (2, 0, 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"expand", ONE("[1,3]", , "%y: f64[2,4,3] = expand %x"), .5, 1.5, 0, {0}},
    {"pad",
     TWO("[2,3]", "[]", "%y: f64[5,6] = pad %x, %z lo (1, 0) hi (1, 1) interior (1, 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"slice",
     ONE("[5,7]", , "%y: f64[3,2] = slice %x start (1, 2) step (1, 3)"),
     .5,
     1.5,
     0,
     {0}},
    {"slice empty",
     ONE("[5]", , "%y: f64[0] = slice %x start (2) step (3)"),
     .5,
     1.5,
     0,
     {0}},
    {"flip", ONE("[3,2]", , "%y: f64[3,2] = flip %x axes (0, 1)"), .5, 1.5, 0, {0}},
    {"concat",
     TWO("[2,3]", "[2,1]", "%y: f64[2,7] = concat %x, %z, %x axis 1"),
     .5,
     1.5,
     0,
     {0}},
    {"window",
     ONE("[2,9]", , "%y: f64[2,4,3] = window %x (axis 1 size 3 stride 2 dilation 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"conv",
     TWO("[1,2,9,5]", "[3,2,3,2]",
         "%w: f64[1,2,3,4,3,2] = window %x (axis 2 size 3 stride 2 dilation 2) "
         "(axis 3 size 2 stride 1 dilation 1)\n"
         "%y: f64[1,3,3,4] = contract %w, %z \"ncpqxy,ocxy->nopq\""),
     .5,
     1.5,
     0,
     {0}},
    {"pool",
     ONE("[2,7,4]", ,
         "%y: f64[2,3,2,2,2] = window %x (axis 1 size 2 stride 2 dilation 1) "
         "(axis 2 size 2 stride 2 dilation 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"fold",
     ONE("[4,3]", , "%y: f64[9] = fold %x (axis 0 size 3 stride 2 dilation 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"strided",
     ONE("[4,3]", , "%y: f64[2,3] = strided %x offset 6 strides (3, -1)"),
     .5,
     1.5,
     0,
     {0}},
    {"strided overlapping",
     ONE("[6]", , "%y: f64[3,2,4] = strided %x offset 0 strides (1, 0, 1)"),
     .5,
     1.5,
     0,
     {0}},
    {"update",
     TWO("[4,3]", "[3]", "%y: f64[4,3] = update %x, %z offset 1 strides (4)"),
     .5,
     1.5,
     0,
     {0}},
    {"reduce.add",
     ONE("[2,3,4]", , "%y: f64[3] = reduce.add %x axes (0, 2)"),
     .5,
     1.5,
     0,
     {0}},
    {"reduce.mul",
     ONE("[2,3,2]", , "%y: f64[3] = reduce.mul %x axes (0, 2)"),
     .5,
     1.5,
     0,
     {0}},
    {"reduce.mul of a zero",
     ONE("[4]", , "%y: f64[] = reduce.mul %x axes (0)"),
     .5,
     1.5,
     0,
     {1.5, 0, 2, -1}},
    {"reduce.mul of zeros",
     ONE("[4]", , "%y: f64[] = reduce.mul %x axes (0)"),
     .5,
     1.5,
     0,
     {1.5, 0, 2, 0}},
    {"reduce.max",
     ONE("[3,4]", , "%y: f64[3] = reduce.max %x axes (1)"),
     .5,
     1.5,
     0,
     {0}},
    {"reduce.min",
     ONE("[3,4]", , "%y: f64[4] = reduce.min %x axes (0)"),
     .5,
     1.5,
     0,
     {0}},
    {"prefix.add",
     ONE("[3,4]", , "%y: f64[3,4] = prefix.add %x axis 1"),
     .5,
     1.5,
     0,
     {0}},
    {"prefix.mul",
     ONE("[3,4]", , "%y: f64[3,4] = prefix.mul %x axis 0"),
     .5,
     1.5,
     0,
     {0}},
    {"prefix.mul of a zero",
     ONE("[4]", , "%y: f64[4] = prefix.mul %x axis 0"),
     .5,
     1.5,
     0,
     {1.5, 0, 2, -1}},
    {"prefix.max",
     ONE("[3,5]", , "%y: f64[3,5] = prefix.max %x axis 1"),
     .5,
     1.5,
     0,
     {0}},
    {"prefix.min",
     ONE("[5,2]", , "%y: f64[5,2] = prefix.min %x axis 0"),
     .5,
     1.5,
     0,
     {0}},
    {"contract",
     TWO("[2,3,4]", "[2,5,4]", "%y: f64[5,2,3] = contract %x, %z \"bmk,bnk->nbm\""),
     .5,
     1.5,
     0,
     {0}},
    {"contract outer",
     TWO("[2]", "[3]", "%y: f64[3,2] = contract %x, %z \"a,b->ba\""),
     .5,
     1.5,
     0,
     {0}},
    {"gather",
     ONE("[2,4,3]", ,
         "%i: i64[2,3] = const {0, 3, 3, 1, 2, 1}\n"
         "%y: f64[2,3,3] = gather %x, %i axis 1 batch 1"),
     .5,
     1.5,
     0,
     {0}},
    {"gather behind",
     ONE("[2,4]", ,
         "%i: i64[2,2] = const {0, 3, 3, 1}\n%y: f64[2,2,2] = gather %x, %i axis 1 batch "
         "0"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.set",
     TWO("[4,2]", "[3,2]",
         "%i: i64[3] = const {2, 0, 2}\n%y: f64[4,2] = scatter.set %x, %i, %z axis 0 "
         "batch 0"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.set batch",
     TWO("[2,3,4]", "[2,3,2]",
         "%i: i64[2,2] = const {1, 1, 3, 0}\n%y: f64[2,3,4] = scatter.set %x, %i, %z "
         "axis 2 batch 1"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.add",
     TWO("[4,2]", "[3,2]",
         "%i: i64[3] = const {2, 0, 2}\n%y: f64[4,2] = scatter.add %x, %i, %z axis 0 "
         "batch 0"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.mul",
     TWO("[4]", "[3]",
         "%i: i64[3] = const {2, 0, 2}\n%y: f64[4] = scatter.mul %x, %i, %z axis 0 batch "
         "0"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.max",
     TWO("[4]", "[3]",
         "%i: i64[3] = const {2, 0, 2}\n%y: f64[4] = scatter.max %x, %i, %z axis 0 batch "
         "0"),
     .5,
     1.5,
     0,
     {0}},
    {"scatter.min",
     TWO("[4]", "[3]",
         "%i: i64[3] = const {2, 0, 2}\n%y: f64[4] = scatter.min %x, %i, %z axis 0 batch "
         "0"),
     .5,
     1.5,
     0,
     {0}},
    {"sort",
     ONE("[2,5]", ,
         "%s: f64[2,5] = sort %x axis 1 descending\n%y: f64[2,5] = pick %s result 0"),
     .5,
     1.5,
     0,
     {0}},
    {"sort, some of it",
     ONE("[2,5]", ,
         "%s: f64[2,3] = sort %x axis 1 descending first 3\n%y: f64[2,3] = pick %s "
         "result 0"),
     .5,
     1.5,
     0,
     {0}},
    {"sort first axis",
     ONE("[5,2]", , "%s: f64[5,2] = sort %x axis 0\n%y: f64[5,2] = pick %s result 0"),
     .5,
     1.5,
     0,
     {0}},
    {"cast",
     ONE("[3]", , "%f: f32[3] = cast %x\n%g: f64[3] = cast %f\n%y: f64[3] = mul %x, %x"),
     .5,
     1.5,
     0,
     {0}},
    {"complex",
     TWO("[3]", "[3]",
         "%c: c128[3] = complex %x, %z\n%m: c128[3] = mul %c, %c\n%q: c128[3] = div %m, "
         "%c\n"
         "%n: c128[3] = mul %q, %m\n"
         "%r: f64[3] = real %n\n%i: f64[3] = imag %n\n%y: f64[3] = mul %r, %i"),
     .5,
     1.5,
     0,
     {0}},
    {"cast to complex and back",
     TWO("[3]", "[3]",
         "%c: c128[3] = cast %x\n%e: c128[3] = complex %z, %x\n%m: c128[3] = mul %c, %e\n"
         "%y: f64[3] = cast %m"),
     .5,
     1.5,
     0,
     {0}},
    {"complex contraction",
     TWO("[2,3]", "[2,3]",
         "%c: c128[2,3] = complex %x, %z\n%e: c128[2,3] = complex %z, %z\n"
         "%m: c128[2,2] = contract %c, %e \"ik,jk->ij\"\n"
         "%r: f64[2,2] = real %m\n%i: f64[2,2] = imag %m\n%y: f64[2,2] = sub %r, %i"),
     .5,
     1.5,
     0,
     {0}},
    {"function",
     "graph f(%a: f64[3], %b: f64[3]) { %c: f64[3] = mul %a, %b  %d: f64[3] = mul %c, "
     "%a\n"
     " out %c, %d }\n" TWO(
         "[3]", "[3]",
         "%f: f64[3] = function %x, %z @f\n%p: f64[3] = pick %f result 0\n"
         "%q: f64[3] = pick %f result 1\n%y: f64[3] = mul %p, %q"),
     .5,
     1.5,
     0,
     {0}},
    {"function with a derivative",
     "graph f(%a: f64[3]) { %c: f64[3] = mul %a, %a  %d: f64[3] = mul %c, %a  out %d, %c "
     "}\n"
     "graph df(%a: f64[3], %d: f64[3], %c: f64[3], %u: f64[3]) {\n"
     " %t: f64[] = const {3.0} %e: f64[3] = expand %t %v: f64[3] = mul %u, %e\n"
     " %w: f64[3] = mul %v, %c out %w }\n" ONE(
         "[3]", ,
         "%f: f64[3] = function %x @f derivative @df results 1\n%p: f64[3] = pick %f "
         "result 0\n"
         "%y: f64[3] = mul %p, %x"),
     .5,
     1.5,
     0,
     {0}},
    {"cond",
     "graph a(%a: f64[3], %b: f64[]) { %c: f64[3] = mul %a, %a  out %c, %b }\n"
     "graph b(%a: f64[3], %b: f64[]) { %e: f64[3] = expand %b  %c: f64[3] = div %a, %e  "
     "out %c, %b }\n" TWO(
         "[3]", "[]",
         "%1: f64[] = const {2.0}\n%l: bool[] = lt %1, %z\n"
         "%f: f64[3] = cond %l, %x, %z then @a else @b\n%p: f64[3] = pick %f result 0\n"
         "%q: f64[] = pick %f result 1\n%e: f64[3] = expand %q\n%y: f64[3] = mul %p, %e"),
     .5,
     1.5,
     0,
     {0}},
    {"scan",
     "graph s(%n: i64[], %c: f64[2], %a: f64[2], %b: f64[]) {\n"
     " %1: i64[] = const {1} %m: i64[] = add %n, %1\n"
     " %e: f64[2] = expand %b %k: f64[2] = mul %c, %a %d: f64[2] = add %k, %e\n"
     " %q: f64[2] = mul %d, %a out %m, %d, %q }\n"
     "graph g(%c: f64[2], %x: f64[4,2], %z: f64[4]) {\n"
     " %0: i64[] = const {0} %s: i64[] = scan %0, %c, %x, %z carries 2 body @s\n"
     " %p: f64[2] = pick %s result 1 %q: f64[4,2] = pick %s result 2\n"
     " %r: f64[2] = reduce.add %q axes (0) %y: f64[2] = mul %p, %r out %y }",
     .5,
     1.5,
     0,
     {0}},
    {"while",
     "graph t(%n: i64[], %c: f64[2], %a: f64[2]) {\n"
     " %3: i64[] = const {3} %l: bool[] = lt %n, %3 out %l }\n"
     "graph s(%n: i64[], %c: f64[2], %a: f64[2]) {\n"
     " %1: i64[] = const {1} %m: i64[] = add %n, %1 %k: f64[2] = mul %c, %a out %m, %k, "
     "%a }\n" TWO("[2]", "[2]",
                  "%0: i64[] = const {0} %s: i64[] = while %0, %x, %z cond @t body @s\n"
                  "%y: f64[2] = pick %s result 1"),
     .5,
     1.5,
     true,
     {0}},
    {"a chain",
     TWO("[2,3]", "[4,3]",
         "%m: f64[2,4] = contract %x, %z \"ik,jk->ij\" %r: f64[2] = reduce.max %m axes "
         "(1)\n"
         "%s: f64[2,1] = reshape %r %e: f64[2,4] = expand %s %d: f64[2,4] = sub %m, %e\n"
         "%q: f64[2,4] = mul %d, %d %t: f64[2] = reduce.add %q axes (1)\n"
         "%u: f64[2] = sqrt %t %y: f64[2] = div %r, %u"),
     .5,
     1.5,
     0,
     {0}},
};

static uint64_t seed;
static double uniform(double lo, double hi)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return lo + (hi - lo) * ((double)(seed >> 11) / 9007199254740992.0);
}

/* A problem: inputs x, then v1, v2 like each, then w like y. Outputs, in order. */
enum { Y_DOT_W, FORWARD, REVERSE, SECOND_REVERSE, SECOND_FORWARD, NOUT };

typedef struct problem {
    kl_arena *arena;
    kl_unit unit;
    uint32_t nx;
    kl_buffer in[3 * MAX_IN + 1];
    int nin, nout;
} problem;

static kl_ref dot(kl_graph *g, kl_ref a, kl_ref b)
{
    kl_ref m = kl_g_elt(g, KL_OP_mul, a, b, KL_NONE);
    if (m == KL_NONE)
        return m;
    return kl_g_reduce(g, KL_OP_add, m, (UINT64_C(1) << g->nodes[m].rank) - 1, false);
}

static kl_ref another(kl_graph *g, kl_ref like)
{
    kl_type t;
    kl_graph_type(g, like, &t);
    return kl_graph_input(g, NULL, t.dtype, t.rank, t.shape);
}

static kl_ref grad_dot(kl_graph *g, kl_ref y, kl_ref w, const kl_ref *x, const kl_ref *v,
                       uint32_t n)
{
    kl_ref src[2 + MAX_IN] = {y, w}, sum = KL_NONE;
    memcpy(src + 2, x, n * sizeof *x);
    kl_spec s = {.op = KL_OP_grad, .src = src, .nsrc = 2 + n};
    kl_ref gr = kl_graph_node(g, &s);
    for (uint32_t i = 0; i < n; i++) {
        kl_ref d = dot(g, kl_g_pick(g, gr, (int)i), v[i]);
        sum = i ? kl_g_elt(g, KL_OP_add, sum, d, KL_NONE) : d;
    }
    return sum;
}

static kl_ref jvp(kl_graph *g, kl_ref y, const kl_ref *x, const kl_ref *v, uint32_t n)
{
    kl_ref src[1 + 2 * MAX_IN] = {y};
    for (uint32_t i = 0; i < n; i++) {
        src[1 + 2 * i] = x[i];
        src[2 + 2 * i] = v[i];
    }
    kl_spec s = {.op = KL_OP_jvp, .src = src, .nsrc = 1 + 2 * n};
    return kl_graph_node(g, &s);
}

/* Appends what is asked about y to a graph whose inputs are x alone. */
static void ask(problem *p, bool reverse)
{
    kl_graph *g = p->unit.graph;
    kl_ref x[MAX_IN], v1[MAX_IN], v2[MAX_IN], y = g->outputs[0], out[NOUT];
    p->nx = g->ninputs;
    memcpy(x, g->inputs, p->nx * sizeof *x);
    for (uint32_t i = 0; i < p->nx; i++)
        v1[i] = another(g, x[i]);
    for (uint32_t i = 0; i < p->nx; i++)
        v2[i] = another(g, x[i]);
    kl_ref w = another(g, y), one = kl_g_const(g, KL_F64, 1.0);
    out[Y_DOT_W] = dot(g, y, w);
    out[FORWARD] = dot(g, jvp(g, y, x, v1, p->nx), w);
    out[REVERSE] = reverse ? grad_dot(g, y, w, x, v1, p->nx) : out[FORWARD];
    kl_ref s1 = out[REVERSE];
    out[SECOND_REVERSE] = reverse ? grad_dot(g, s1, one, x, v2, p->nx) : KL_NONE;
    out[SECOND_FORWARD] = jvp(g, s1, x, v2, p->nx);
    if (!reverse)
        out[SECOND_REVERSE] = out[SECOND_FORWARD];
    g->noutputs = 0;
    for (int i = 0; i < NOUT; i++)
        ck_assert_msg(kl_graph_output(g, out[i], NULL) == KL_OK, "%s", kl_error());
}

static void fill(problem *p, double lo, double hi, const double *data)
{
    const kl_graph *g = p->unit.graph;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_type t;
        kl_graph_type(g, g->inputs[i], &t);
        kl_buffer b = {.dtype = t.dtype, .rank = t.rank};
        size_t n = 1;
        for (int k = 0; k < t.rank; k++)
            n *= (size_t)(b.shape[k] = t.shape[k]);
        kl_buffer_dense_strides(&b);
        b.mem = kl_memory_new(0, n * 8 + 8);
        double *e = b.mem->base;
        for (size_t k = 0; k < n; k++)
            e[k] = i < p->nx ? uniform(lo, hi) : uniform(-1, 1);
        bool given = false;
        for (int k = 0; i == 0 && data && k < 8; k++)
            given |= data[k] != 0;
        for (size_t k = 0; given && k < n; k++)
            e[k] = data[k];
        p->in[p->nin++] = b;
    }
}

/* x + h * v, v number 1 or 2. */
static void move(problem *p, int v, double h)
{
    for (uint32_t i = 0; i < p->nx; i++) {
        double *x = p->in[i].mem->base, *d = p->in[i + (uint32_t)v * p->nx].mem->base;
        for (size_t k = 0; k < p->in[i].mem->size / 8; k++)
            x[k] += h * d[k];
    }
}

static void run(problem *p, double out[NOUT])
{
    kl_buffer b[NOUT];
    ck_assert_msg(kl_graph_interp(p->unit.graph, p->in, NULL, b) == KL_OK, "%s",
                  kl_error());
    for (int i = 0; i < NOUT; i++) {
        out[i] = *(double *)b[i].mem->base;
        kl_memory_unref(b[i].mem);
    }
}

static double difference(problem *p, int v, int of)
{
    const double h = 1e-5;
    double a[NOUT], b[NOUT];
    move(p, v, h);
    run(p, a);
    move(p, v, -2 * h);
    run(p, b);
    move(p, v, h);
    return (a[of] - b[of]) / (2 * h);
}

static void near(const char *name, const char *what, double is, double want)
{
    ck_assert_msg(fabs(is - want) <= 2e-7 * (1 + fabs(want)),
                  "%s, %s: %.10g, by differences %.10g", name, what, is, want);
}

static void print_graph(const kl_graph *g)
{
    kl_text t = {0};
    kl_graph_print(g, &t);
    fprintf(stderr, "%s\n", t.s ? t.s : "");
    kl_text_free(&t);
}

static void compare(problem *p, const char *name, const fcase *c)
{
    double y[NOUT];
    ask(p, !c->no_reverse);
    ck_assert_msg(kl_pass_autodiff(&p->unit) == KL_OK, "%s: %s", name, kl_error());
    ck_assert_msg(kl_graph_verify(p->unit.graph) == KL_OK, "%s: %s", name, kl_error());
    if (getenv("PRINT"))
        print_graph(p->unit.graph);
    for (kl_ref r = 0; r < p->unit.graph->count; r++)
        ck_assert(kl_ops[p->unit.graph->nodes[r].op].kind != KL_KIND_TRANSFORM);
    fill(p, c->lo, c->hi, c->data);
    run(p, y);
    double first = difference(p, 1, Y_DOT_W), second = difference(p, 2, REVERSE);
    near(name, "forward", y[FORWARD], first);
    near(name, "reverse", y[REVERSE], first);
    near(name, "second, reverse over reverse", y[SECOND_REVERSE], second);
    near(name, "second, forward over reverse", y[SECOND_FORWARD], second);
    for (int i = 0; i < p->nin; i++)
        kl_memory_unref(p->in[i].mem);
    kl_arena_free(p->arena);
}

static problem new_problem(int i)
{
    problem p = {.arena = kl_arena_new()};
    seed = (uint64_t)i * 77 + 5;
    p.unit.arena = p.arena;
    kl_error_clear();
    return p;
}

START_TEST(differences)
{
    problem p = new_problem(_i);
    const fcase *c = &cases[_i];
    ck_assert_msg(kl_graph_parse(p.arena, c->name, c->text, &p.unit.graph) == KL_OK, "%s",
                  kl_error());
    compare(&p, c->name, c);
}
END_TEST

/* Elementwise rows with a derivative, at points away from every kink, the first operand
 * being the smaller and the larger. */
START_TEST(elementwise)
{
    static const double points[][3] = {{0.55, 0.7, 0.2}, {0.9, 0.4, 0.2}};
    const double *lo = points[_i % 2];
    int op = _i / 2;
    const kl_op_info *o = &kl_ops[op];
    problem p = new_problem(_i);
    fcase c = {.lo = -0.02, .hi = 0.02};
    kl_dim n = 3;
    if (o->kind != KL_KIND_ELT || !o->d[0] || !only_row(o->name)) {
        kl_arena_free(p.arena);
        return;
    }
    kl_graph *g = p.unit.graph = kl_graph_new(p.arena, NULL, o->name);
    kl_ref x[3], y;
    for (int i = 0; i < 3; i++)
        if (i < o->arity) {
            x[i] = kl_graph_input(g, NULL, KL_F64, 1, &n);
            x[i] = kl_g_elt(g, KL_OP_add, x[i], kl_g_const_like(g, x[i], lo[i]), KL_NONE);
        }
    if (o->rule == KL_RULE_COND)
        x[0] = kl_g_elt(g, KL_OP_lt, x[0], kl_g_const_like(g, x[0], lo[0]), KL_NONE);
    y = kl_g_elt(g, (kl_op)op, x[0], x[1], x[2]);
    ck_assert_int_eq(kl_graph_output(g, y, NULL), KL_OK);
    compare(&p, o->name, &c);
}
END_TEST

/* Every row that says it has a rule is met in a case. */
START_TEST(every_rule_is_tested)
{
    bool met[KL_OP_COUNT] = {
        [KL_OP_call] = true, [KL_OP_grad] = true, [KL_OP_jvp] = true};
    for (size_t i = 0; i < KL_COUNT(cases); i++) {
        kl_arena *a = kl_arena_new();
        kl_graph *g;
        uint32_t n;
        ck_assert_msg(kl_graph_parse(a, cases[i].name, cases[i].text, &g) == KL_OK, "%s",
                      kl_error());
        kl_graph **all = kl_graph_all(g, &n);
        for (uint32_t k = 0; k < n; k++)
            for (kl_ref r = 0; r < all[k]->count; r++)
                met[all[k]->nodes[r].op] = true;
        kl_arena_free(a);
    }
    for (int op = 0; op < KL_OP_COUNT; op++)
        ck_assert_msg(met[op] || kl_ops[op].d[0] || kl_ops[op].nod, "%s",
                      kl_ops[op].name);
}
END_TEST

/* ---- what differences cannot show ---- */

static kl_graph *expanded(kl_arena *a, const char *text)
{
    kl_unit u = {.arena = a};
    kl_error_clear();
    ck_assert_msg(kl_graph_parse(a, "t.kl", text, &u.graph) == KL_OK, "%s", kl_error());
    if (kl_pass_autodiff(&u) != KL_OK)
        return NULL;
    ck_assert_msg(kl_graph_verify(u.graph) == KL_OK, "%s", kl_error());
    return u.graph;
}

static void expect(const char *text, const char *becomes)
{
    kl_arena *a = kl_arena_new();
    kl_text t = {0};
    kl_graph *g = expanded(a, text);
    ck_assert_msg(g != NULL, "%s", kl_error());
    kl_graph_print(g, &t);
    ck_assert_str_eq(t.s, becomes);
    kl_text_free(&t);
    kl_arena_free(a);
}

START_TEST(detach_stops)
{
    expect("graph g(%x: f32[], %u: f32[]) {\n"
           " %d: f32[] = detach %x number 1 %m: f32[] = mul %x, %d\n"
           " %g: f32[] = grad %m, %u, %x, %d %a: f32[] = pick %g result 0\n"
           " %b: f32[] = pick %g result 1 out %a, %b, %m }",
           "graph g(%x: f32[], %u: f32[]) {\n"
           "  %2: f32[] = mul %x, %x  # \"m\"\n"
           "  %3: f32[] = mul %x, %u  # \"a\"\n"
           "  out %3, %3, %2\n"
           "}\n");
}
END_TEST

START_TEST(no_way_gives_zero)
{
    expect("graph g(%x: f32[2], %z: f32[2], %u: f32[2]) {\n"
           " %y: f32[2] = exp %x %g: f32[2] = grad %y, %u, %z %a: f32[2] = pick %g "
           "result 0\n"
           " %t: f32[2] = jvp %z, %x, %u out %a, %t }",
           "graph g(%x: f32[2], %z: f32[2], %u: f32[2]) {\n"
           "  %3: f32[] = const {0.0}\n"
           "  %4: f32[2] = expand %3  # \"a\"\n"
           "  out %4, %4\n"
           "}\n");
}
END_TEST

START_TEST(symbols)
{
    expect("graph g(%x: f32[B,4], %u: f32[4]) {\n"
           " %s: f32[4] = reduce.add %x axes (0)\n"
           " %g: f32[B,4] = grad %s, %u, %x %a: f32[B,4] = pick %g result 0 out %a }",
           "graph g(%x: f32[B,4], %u: f32[4]) {\n"
           "  %2: f32[1,4] = reshape %u\n"
           "  %3: f32[B,4] = expand %2  # \"a\"\n"
           "  out %3\n"
           "}\n");
}
END_TEST

static const struct {
    const char *text, *error;
} bad[] = {
    {"graph g(%x: f32[], %u: f32[]) { %c: f32[] = call %x \"f\" results (f32[])\n"
     "%y: f32[] = pick %c result 0 %g: f32[] = grad %y, %u, %x %a: f32[] = pick %g "
     "result 0 out %a }",
     "call of \"f\" has no derivative: wrap it in a function that has one"},
    {"graph g(%x: f32[], %u: f32[]) { %c: f32[] = call %x \"f\" results (f32[])\n"
     "%y: f32[] = pick %c result 0 %t: f32[] = jvp %y, %x, %u out %t }",
     "call of \"f\" has no derivative: wrap it in a function that has one"},
    {"graph t(%x: f32[]) { %1: f32[] = const {1.0} %l: bool[] = lt %x, %1 out %l }\n"
     "graph s(%x: f32[]) { %m: f32[] = add %x, %x out %m }\n"
     "graph g(%x: f32[], %u: f32[]) { %c: f32[] = while %x cond @t body @s\n"
     "%y: f32[] = pick %c result 0 %g: f32[] = grad %y, %u, %x %a: f32[] = pick %g "
     "result 0 out %a }",
     "while has no reverse derivative: its number of steps is unknown; use scan, or "
     "forward mode"},
    {"graph g(%x: f32[], %u: f32[]) { %i: i32[] = bitcast %x %y: f32[] = bitcast %x\n"
     "%g: f32[] = grad %y, %u, %x %a: f32[] = pick %g result 0 out %a }",
     "bitcast has no derivative: bits are not numbers"},
};

START_TEST(refused)
{
    kl_arena *a = kl_arena_new();
    ck_assert_ptr_null(expanded(a, bad[_i].text));
    ck_assert_str_eq(kl_error(), bad[_i].error);
    kl_arena_free(a);
}
END_TEST

START_TEST(deep_chain)
{
    enum { N = 200000 };
    kl_unit u = {.arena = kl_arena_new()};
    kl_graph *g = u.graph = kl_graph_new(u.arena, NULL, "deep");
    kl_ref x = kl_graph_input(g, "x", KL_F64, 0, NULL), y = x;
    for (int i = 0; i < N; i++)
        y = kl_g_elt(g, KL_OP_neg, y, KL_NONE, KL_NONE);
    kl_ref src[] = {y, kl_g_const(g, KL_F64, 1.0), x};
    kl_spec s = {.op = KL_OP_grad, .src = src, .nsrc = 3};
    kl_graph_output(g, kl_g_pick(g, kl_graph_node(g, &s), 0), NULL);
    ck_assert_msg(kl_pass_autodiff(&u) == KL_OK, "%s", kl_error());
    kl_arena_free(u.arena);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("autodiff");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, differences, 0, (int)KL_COUNT(cases));
    tcase_add_loop_test(tc, elementwise, 0, 2 * KL_OP_COUNT);
    tcase_add_test(tc, every_rule_is_tested);
    tcase_add_test(tc, detach_stops);
    tcase_add_test(tc, no_way_gives_zero);
    tcase_add_test(tc, symbols);
    tcase_add_loop_test(tc, refused, 0, (int)KL_COUNT(bad));
    tcase_add_test(tc, deep_chain);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
