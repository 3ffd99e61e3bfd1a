/* test_onnx_padded.c: ONNX models whose elements decide sizes, as one program: what it
 * hands out, cut to the counts behind the outputs, is what the model gives when it is
 * walked; what would take the padding for elements is refused by name. */
#include "front_test.h"
#include "frontend/function.h"
#include "kiln/onnx.h"
#include "onnx_bytes.h"

enum { BOOL = 9, PORTS = 12, ROOM = 8192 };

static uint32_t seed = 5;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * n) >> 32);
}

static void outputs(pb *g, const char *outs)
{
    while (*outs) {
        char name[16] = {0};
        size_t len = strcspn(outs, " ");
        memcpy(name, outs, len);
        pb y = onnx_value(name, ONNX_FLOAT, "");
        pb_part(g, 12, &y);
        outs += len + (outs[len] == ' ');
    }
}

/* A model of nodes over in (name type dims) to outputs of any shape. */
static pb model(const pb *node, int n, const pb *in, int nin, const char *outs)
{
    pb g = {0};
    for (int i = 0; i < n; i++)
        pb_part(&g, 1, &node[i]);
    for (int i = 0; i < nin; i++)
        pb_part(&g, 11, &in[i]);
    outputs(&g, outs);
    return onnx_model(&g, 17);
}

static pb constant(const char *name, int type, int64_t n, const void *v, size_t size)
{
    pb c = onnx_node("Constant", "", name), t = onnx_tensor("", type, &n, 1, v, size);
    onnx_attr_part(&c, "value", 5, 4, &t);
    return c;
}

/* ---- models ---- */

static pb rows_of_nonzero(void)
{
    pb node[] = {onnx_node("NonZero", "x", "i"), onnx_node("Transpose", "i", "t"),
                 onnx_node("Cast", "t", "y")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "n 3")};
    onnx_attr_int(&node[2], "to", ONNX_FLOAT);
    return model(node, 3, in, 1, "y");
}

static pb columns_where(void)
{
    int64_t axis = 0;
    pb node[] = {constant("a", ONNX_INT64, 1, &axis, 8),
                 onnx_node("NonZero", "m", "i"),
                 onnx_node("Squeeze", "i a", "j"),
                 onnx_node("Gather", "x j", "g"),
                 onnx_node("Relu", "g", "r"),
                 onnx_node("Identity", "r", "y")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "4 n"), onnx_value("m", BOOL, "n")};
    onnx_attr_int(&node[3], "axis", 1);
    return model(node, 6, in, 2, "y");
}

static pb elements_where(void)
{
    pb node[] = {onnx_node("NonZero", "x", "i"), onnx_node("Transpose", "i", "t"),
                 onnx_node("GatherND", "x t", "y")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "n 3")};
    return model(node, 3, in, 1, "y");
}

static pb rows_kept(void)
{
    pb node[] = {onnx_node("Compress", "x m", "y"), onnx_node("Compress", "x m", "z")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "n 2"), onnx_value("m", BOOL, "n")};
    onnx_attr_int(&node[0], "axis", 0);
    return model(node, 2, in, 2, "y z");
}

static pb distinct(int sorted)
{
    pb node[] = {onnx_node("Unique", "x", "y f i c")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "n 2")};
    onnx_attr_int(&node[0], "sorted", sorted);
    return model(node, 1, in, 1, "y f i c");
}

static pb distinct_sorted(void)
{
    return distinct(1);
}

static pb distinct_in_order(void)
{
    return distinct(0);
}

static pb boxes(int centred, int64_t most)
{
    float iou = 0.3f, least = 0.2f;
    int64_t column = 2;
    pb node[] = {constant("m", ONNX_INT64, 1, &most, 8),
                 constant("o", ONNX_FLOAT, 1, &iou, 4),
                 constant("l", ONNX_FLOAT, 1, &least, 4),
                 constant("two", ONNX_INT64, 1, &column, 8),
                 onnx_node("NonMaxSuppression", "b s m o l", "y"),
                 onnx_node("Gather", "y two", "z")};
    pb in[] = {onnx_value("b", ONNX_FLOAT, "2 7 4"),
               onnx_value("s", ONNX_FLOAT, "2 3 7")};
    onnx_attr_int(&node[4], "center_point_box", centred);
    onnx_attr_int(&node[5], "axis", 1);
    return model(node, 6, in, 2, "y z");
}

static pb boxes_by_corners(void)
{
    return boxes(0, 3);
}

static pb boxes_by_centres(void)
{
    return boxes(1, 100);
}

/* ---- chains, as text ---- */

/* An operand's name: #3 is [3], integers, %0.5 a number. */
static void add_constant(pb *g, const char *name)
{
    static const int64_t one = 1;
    int64_t whole = atoll(name + 1);
    float part = (float)atof(name + 1);
    pb t = name[0] == '#' ? onnx_tensor(name, ONNX_INT64, &one, 1, &whole, 8)
                          : onnx_tensor(name, ONNX_FLOAT, &one, 0, &part, 4);
    pb_part(g, 5, &t);
}

/* "op in.. > out.. name=1" */
static pb text_node(pb *g, const char *line, size_t len)
{
    char text[120], op[40] = "", names[2][80] = {"", ""}, *rest, *w;
    const char *attr[3];
    int side = 0, nattr = 0;
    snprintf(text, sizeof text, "%.*s", (int)len, line);
    for (w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        char *to = names[side];
        if (!*op)
            snprintf(op, sizeof op, "%s", w);
        else if (*w == '>')
            side = 1;
        else if (strchr(w, '='))
            attr[nattr++] = w;
        else
            snprintf(to + strlen(to), 40, "%s%s", *to ? " " : "", w);
        if (*w == '#' || *w == '%')
            add_constant(g, w);
    }
    pb n = onnx_node(op, names[0], names[1]);
    for (int i = 0; i < nattr; i++) {
        char name[40];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(attr[i], "="), attr[i]);
        onnx_attr_int(&n, name, atoll(strchr(attr[i], '=') + 1));
    }
    return n;
}

static void text_nodes(pb *g, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ";");
        pb n = text_node(g, text, len);
        pb_part(g, 1, &n);
        text += len + (text[len] == ';');
    }
}

static const struct {
    const char *outs, *text;
} chains[] = {
    {"y z w v",
     "NonZero x > i;Transpose i > t;Slice t #0 #2 #0 > y;Slice t #-2 #9 #0 > z;"
     "Slice t #1 #-1 #0 #2 > w;Slice t #1 #2 #1 > v"},
    {"y z",
     "NonZero x > i;Transpose i > t;GatherND x t > a;NonZero x > j;Transpose j > u;"
     "GatherND x u > b;Add a b > y;Mul y %2 > z"},
    {"y z", "NonZero x > i;Transpose i > t;GatherND x t > a;Concat a a axis=0 > y;"
            "Unsqueeze a #1 > c;Concat c c axis=1 > z"},
    {"s m a f", "NonZero x > i;Transpose i > t;GatherND x t > v;ReduceSum v #0 > s;"
                "Unsqueeze v #1 > c;ReduceMean c > m;ReduceMax c > a;ReduceSum c #1 > f"},
    {"y z", "NonZero x > i;Transpose i > t;GatherND x t > v;Reshape v #-1 > y;"
            "Flatten t axis=1 > z"},
    {"y z", "NonZero x > i;Transpose i > t;Cast t to=1 > f;Softmax f axis=1 > y;"
            "Transpose f > z"},
    {"y z",
     "Slice x #0 #1 #1 > c;Squeeze c #1 > d;Greater d %0.3 > m;Compress x m axis=0 > r;"
     "NonZero r > y;Compress d m axis=0 > e;Greater e %0.6 > q;Compress r q axis=0 > z"},
    {"y", "NonZero x > i;Split i axis=0 > a b;Squeeze a #0 > c;Gather x c axis=0 > y"},
    {"y z",
     "NonZero x > i;Transpose i > t;Slice t #0 #1 #1 > c;Shape c > s;Expand c s > e;"
     "Reshape e s > r;GatherND x r > y;"
     "NonZero y > u;Transpose u > w;GatherND y w > z"},
    {"r m", "NonZero x > i;Shape i > s;Gather s #1 > n;Range #0 n #1 > r;Size i > q;"
            "Mul q #3 > m"}};

static pb chain(int i)
{
    pb g = {0}, x = onnx_value("x", ONNX_FLOAT, "n 2");
    text_nodes(&g, chains[i].text);
    pb_part(&g, 11, &x);
    outputs(&g, chains[i].outs);
    return onnx_model(&g, 17);
}

static pb boxes_by_row(void)
{
    pb g = {0}, b = onnx_value("b", ONNX_FLOAT, "1 n 4"),
       s = onnx_value("s", ONNX_FLOAT, "1 2 n");
    text_nodes(&g, "NonMaxSuppression b s #3 %0.3 %0.2 > k;Slice k #0 #4 #0 > f;"
                   "Slice f #2 #3 #1 > c;Reshape c #-1 > i;Squeeze b #0 > r;"
                   "Gather r i axis=0 > y;ReduceMax y > m");
    pb_part(&g, 11, &b);
    pb_part(&g, 11, &s);
    outputs(&g, "y m");
    return onnx_model(&g, 17);
}

/* Grows x until its largest passes 20, at most 9 times; trips' results as a stack, and as
 * a sequence that is joined, asked its length and for its last. */
static pb loop_that_stops(void)
{
    pb body = {0}, g = {0}, x = onnx_value("x", ONNX_FLOAT, "n"), loop;
    text_nodes(&body,
               "Mul v %1.5 > a;Add a %1 > w;ReduceMax w keepdims=0 > h;Less h %20 > d;"
               "Identity w > r;SequenceInsert q w > p");
    for (const char *name = "icvq"; *name; name++) {
        pb v = {0};
        pb_text(&v, 1, (char[]){*name, 0});
        pb_part(&body, 11, &v);
    }
    outputs(&body, "d w p r");
    text_nodes(&g, "SequenceEmpty > s");
    loop = onnx_node("Loop", "#9 on x s", "y l r");
    onnx_attr_part(&loop, "body", 6, 5, &body);
    add_constant(&g, "#9");
    pb on = onnx_tensor("on", BOOL, NULL, 0, "\1", 1);
    pb_part(&g, 5, &on);
    pb_part(&g, 1, &loop);
    text_nodes(&g, "ConcatFromSequence l axis=0 > z;SequenceLength l > n_;"
                   "ConcatFromSequence l axis=1 new_axis=1 > w;SequenceAt l #-1 > t");
    pb_part(&g, 11, &x);
    outputs(&g, "y r z n_ w t");
    return onnx_model(&g, 17);
}

/* A trip for each element that is not zero. */
static pb loop_over_what_is_found(void)
{
    pb body = {0}, g = {0}, x = onnx_value("x", ONNX_FLOAT, "n 2"), loop;
    text_nodes(&body, "Gather j i > e;Cast e to=1 > f;Add v f > w;Identity c > d;"
                      "Mul f %2 > r");
    for (const char *name = "icv"; *name; name++) {
        pb v = {0};
        pb_text(&v, 1, (char[]){*name, 0});
        pb_part(&body, 11, &v);
    }
    outputs(&body, "d w r");
    text_nodes(&g, "NonZero x > k;Shape k > s;Gather s #1 > n_;Split k axis=0 > a b;"
                   "Squeeze a #0 > j;Identity %0 > o");
    loop = onnx_node("Loop", "n_  o", "y r");
    onnx_attr_part(&loop, "body", 6, 5, &body);
    pb_part(&g, 1, &loop);
    pb_part(&g, 11, &x);
    outputs(&g, "y r");
    return onnx_model(&g, 17);
}

static pb (*const models[])(void) = {
    rows_of_nonzero, columns_where,     elements_where,         rows_kept,
    distinct_sorted, distinct_in_order, boxes_by_corners,       boxes_by_centres,
    boxes_by_row,    loop_that_stops,   loop_over_what_is_found};

/* ---- both ways ---- */

/* Elements of few values, so that some are equal, zero or overlap. */
static kl_tensor *input(const kl_onnx_port *port, int64_t n)
{
    kl_ints s = port->shape;
    for (int i = 0; i < s.n; i++)
        s.v[i] = s.v[i] < 0 ? n : s.v[i];
    kl_tensor *t = kl_zeros(s, KL_F32);
    float *v = kl_data(t);
    for (int64_t i = 0; i < kl_numel(t); i++)
        v[i] = port->dtype == KL_BOOL ? (float)draw(2) : (float)draw(5) / 4;
    return kl_realize(kl_to(t, port->dtype));
}

/* got is padded along axis; want is that many of it. */
static void compare(kl_dtype dt, kl_ints room, const char *got, kl_tensor *want,
                    const int64_t *count, int axis)
{
    kl_tensor *all = kl_tensor_copy(got, dt, room);
    if (axis >= 0)
        all = kl_contiguous_at(KL_HERE, kl_slice(all, axis, 0, *count));
    ck_assert_int_eq(kl_dtype_of(want), dt);
    want = kl_contiguous_at(KL_HERE, want);
    ck_assert_int_eq(kl_nbytes(all), kl_nbytes(want));
    ck_assert_msg(memcmp(kl_data(all), kl_data(want), (size_t)kl_nbytes(all)) == 0,
                  "%s is not %s", kl_repr(all), kl_repr(want));
}

static void check_call(const kl_onnx *m, const kl_function *f, const int *axis, int64_t n)
{
    static char room[PORTS][ROOM];
    kl_tensor *in[2], *want[PORTS];
    const void *from[2];
    void *to[PORTS];
    int64_t dims[] = {n};
    for (int i = 0; i < kl_onnx_inputs(m); i++) {
        kl_onnx_port p = kl_onnx_input(m, i);
        in[i] = input(&p, n);
        from[i] = kl_data(in[i]);
    }
    for (int i = 0; i < PORTS; i++)
        to[i] = room[i];
    ck_assert_msg(kl_onnx_call(m, in, want, NULL) == KL_OK, "%s", kl_error());
    ck_assert_msg(
        kl_function_call_sized(f, kl_function_dims(f) ? dims : NULL, from, to) == KL_OK,
        "%s", kl_error());
    for (int i = 0, c = kl_onnx_outputs(m); i < kl_onnx_outputs(m); i++) {
        kl_ints shape;
        kl_dtype dt = kl_function_out_at(f, i, dims, &shape);
        compare(dt, shape, room[i], want[i], to[axis[i] >= 0 ? c++ : c], axis[i]);
    }
}

/* Which outputs are counted, by the graph. */
static int counted_axes(const kl_function *f, int nout, int *axis)
{
    const kl_graph *g = f->graph;
    int n = 0;
    for (int i = 0; i < nout; i++) {
        int by = kl_graph_counter(g, (uint32_t)i);
        axis[i] = by < 0 ? -1 : g->counts[by].axis;
        n += by >= 0;
    }
    return n;
}

START_TEST(programs_give_what_models_give)
{
    pb bytes =
        _i < (int)KL_COUNT(models) ? models[_i]() : chain(_i - (int)KL_COUNT(models));
    int axis[PORTS];
    kl_onnx *m = kl_onnx_read("m.onnx", bytes.s, bytes.n, NULL);
    ck_assert_msg(m != NULL, "%s", kl_error());
    kl_onnx_bound(m, "n", 1, 40);
    kl_error_clear(); /* not all have one */
    kl_function *f = kl_onnx_compile_padded(m, NULL);
    ck_assert_msg(f != NULL, "%s", kl_error());
    int counted = counted_axes(f, kl_onnx_outputs(m), axis);
    ck_assert_int_ge(counted, 1);
    ck_assert_int_eq(kl_function_outputs(f), kl_onnx_outputs(m) + counted);
    for (int64_t n = 1; n <= 25; n += n < 4 ? 1 : 7)
        check_call(m, f, axis, n);
    kl_function_free(f);
    ck_assert_ptr_null(kl_onnx_compile(m, NULL)); /* as before, and says why */
    ck_assert_msg(strstr(kl_error(), "m.onnx") != NULL, "%s", kl_error());
    kl_error_clear();
    kl_onnx_free(m);
}
END_TEST

/* ---- refusals ---- */

static const struct {
    const char *op, *in;
    int axis; /* of one that has it; -1: none */
} refused[] = {{"CumSum", "i zero", -1}, {"Add", "i x", -1},  {"Trilu", "i", -1},
               {"Tile", "i zero", -1},   {"Unique", "i", -1}, {"Softmax", "i", 1},
               {"Concat", "i x", 0},     {"Split", "i", 1},   {"MatMul", "i x", -1}};

START_TEST(padding_is_never_taken_for_elements)
{
    int64_t zero = 0;
    pb node[] = {constant("zero", ONNX_INT64, 1, &zero, 8),
                 onnx_node("NonZero", "x", "i"),
                 onnx_node(refused[_i].op, refused[_i].in, "y")};
    pb in[] = {onnx_value("x", ONNX_FLOAT, "3 3")};
    if (refused[_i].axis >= 0)
        onnx_attr_int(&node[2], "axis", refused[_i].axis);
    pb bytes = model(node, 3, in, 1, "y");
    kl_onnx *m = kl_onnx_read("m.onnx", bytes.s, bytes.n, NULL);
    ck_assert_msg(m != NULL, "%s", kl_error());
    ck_assert_ptr_null(kl_onnx_compile_padded(m, NULL));
    ck_assert_msg(strstr(kl_error(), refused[_i].op) &&
                      strstr(kl_error(), "operand 'i' has a size that elements decide"),
                  "%s", kl_error());
    kl_error_clear();
    kl_onnx_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("onnx_padded");
    TCase *tc = front_case(s, "padded");
    tcase_add_loop_test(tc, programs_give_what_models_give, 0,
                        (int)(KL_COUNT(models) + KL_COUNT(chains)));
    tcase_add_loop_test(tc, padding_is_never_taken_for_elements, 0,
                        (int)KL_COUNT(refused));
    return front_run(s);
}
