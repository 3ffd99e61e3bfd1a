/* test_onnx_padded.c: ONNX models whose elements decide sizes, as one program: what it
 * hands out, cut to the counts behind the outputs, is what the model gives when it is
 * walked; what would take the padding for elements is refused by name. */
#include "front_test.h"
#include "frontend/function.h"
#include "kiln/onnx.h"
#include "onnx_bytes.h"

enum { BOOL = 9, PORTS = 8, ROOM = 4096 };

static uint32_t seed = 5;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* A model of nodes over in (name type dims) to outputs of any shape. */
static pb model(const pb *node, int n, const pb *in, int nin, const char *outs)
{
    pb g = {0};
    for (int i = 0; i < n; i++)
        pb_part(&g, 1, &node[i]);
    for (int i = 0; i < nin; i++)
        pb_part(&g, 11, &in[i]);
    while (*outs) {
        char name[16] = {0};
        size_t len = strcspn(outs, " ");
        memcpy(name, outs, len);
        pb y = onnx_value(name, ONNX_FLOAT, "");
        pb_part(&g, 12, &y);
        outs += len + (outs[len] == ' ');
    }
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

static pb (*const models[])(void) = {rows_of_nonzero,  columns_where,   elements_where,
                                     rows_kept,        distinct_sorted, distinct_in_order,
                                     boxes_by_corners, boxes_by_centres};

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
    kl_tensor *in[2], *want[4];
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
    pb bytes = models[_i]();
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
    int axis; /* of a Gather or Squeeze; -1: none */
} refused[] = {{"ReduceSum", "i", -1},  {"Add", "i i", -1},  {"Shape", "i", -1},
               {"Gather", "i zero", 1}, {"Unique", "i", -1}, {"NonZero", "i", -1},
               {"Concat", "i i", 0}};

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
    tcase_add_loop_test(tc, programs_give_what_models_give, 0, (int)KL_COUNT(models));
    tcase_add_loop_test(tc, padding_is_never_taken_for_elements, 0,
                        (int)KL_COUNT(refused));
    return front_run(s);
}
