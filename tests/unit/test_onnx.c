/* test_onnx.c: the ONNX front door from C: a model's values, compiled and not, with open
 * dimensions; functions, branches and loops in models; external data; and what bad models
 * get: one line with file, node and reason. */
#include "front_test.h"
#include "kiln/onnx.h"
#include "onnx_bytes.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static kl_onnx *read_model(const pb *m)
{
    return kl_onnx_read("m.onnx", m->s, m->n, NULL);
}

static void says(const char *text)
{
    ck_assert_msg(strstr(kl_error(), text) != NULL, "'%s' is not in '%s'", text,
                  kl_error());
    ck_assert_msg(strchr(kl_error(), '\n') == NULL, "%s", kl_error());
    kl_error_clear();
}

/* A model of these nodes: x [3] and maybe more in, y out. */
static pb small_model(const pb *node, int n, int opset)
{
    pb g = {0}, x = onnx_value("x", ONNX_FLOAT, "3"), y = onnx_value("y", ONNX_FLOAT, "");
    for (int i = 0; i < n; i++)
        pb_part(&g, 1, &node[i]);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    return onnx_model(&g, opset);
}

static kl_tensor *call(const pb *model)
{
    kl_onnx *m = read_model(model);
    kl_tensor *x = kl_of(KL_F32, kl_shape(3), 1, -2, 3), *y = NULL;
    if (m)
        kl_onnx_call(m, &x, &y, NULL);
    kl_onnx_free(m);
    return y;
}

/* ---- values ---- */

static void expect_head(const float *x, const float *y, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++) {
        double e[4], sum = 0;
        for (int j = 0; j < 4; j++) {
            double h = 0;
            for (int k = 0; k < 3; k++)
                h += x[3 * r + k] * (4 * k + j) / 10.0;
            sum += e[j] = exp(h > 0 ? h : 0);
        }
        for (int j = 0; j < 4; j++)
            ck_assert_double_eq_tol(y[4 * r + j], e[j] / sum, 1e-6);
    }
}

START_TEST(a_model_is_called_and_compiled)
{
    pb bytes = onnx_head();
    kl_onnx *m = read_model(&bytes);
    ck_assert_msg(m != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_onnx_inputs(m), 1);
    kl_onnx_port p = kl_onnx_input(m, 0);
    ck_assert_str_eq(p.name, "x");
    ck_assert_str_eq(p.dims[0], "batch");
    ck_assert(p.shape.n == 2 && p.shape.v[0] == -1 && p.shape.v[1] == 3);
    float x[15], y[20];
    for (int i = 0; i < 15; i++)
        x[i] = (float)(i * 7 % 11) / 4 - 1;
    kl_tensor *in = kl_tensor_copy(x, KL_F32, kl_shape(5, 3)), *out;
    ck_assert_int_eq(kl_onnx_call(m, &in, &out, NULL), KL_OK);
    ck_assert_int_eq(kl_copy_out(out, y, sizeof y), KL_OK);
    expect_head(x, y, 5);
    kl_function *f = kl_onnx_compile(m, NULL);
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_dims(f), 1);
    ck_assert_str_eq(kl_function_dim(f, 0, NULL, NULL, NULL), "batch");
    for (int64_t rows = 1; rows <= 5; rows += 2) {
        memset(y, 0, sizeof y);
        ck_assert_int_eq(
            kl_function_call_sized(f, &rows, (const void *[]){x}, (void *[]){y}), KL_OK);
        expect_head(x, y, rows);
    }
    kl_function_free(f);
    kl_onnx_free(m);
}
END_TEST

/* A function of the model, whose attribute stands for the call's. */
START_TEST(functions_are_expanded)
{
    pb body = onnx_node("LeakyRelu", "a", "b"), a = {0}, f = {0}, o = onnx_opset("", 16);
    pb_text(&a, 1, "alpha");
    pb_text(&a, 21, "slope");
    pb_int(&a, 20, 1);
    pb_part(&body, 5, &a);
    pb_text(&f, 1, "Leak");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "b");
    pb_text(&f, 6, "slope");
    pb_part(&f, 7, &body);
    pb_part(&f, 9, &o);
    pb_text(&f, 10, "mine");
    pb node = onnx_node("Leak", "x", "y"), v = {0};
    pb_text(&node, 7, "mine");
    pb_text(&v, 1, "slope");
    pb_varint(&v, 2 << 3 | 5);
    pb_raw(&v, &(float){0.5f}, 4);
    pb_int(&v, 20, 1);
    pb_part(&node, 5, &v);
    pb m = small_model(&node, 1, 16), mine = onnx_opset("mine", 1);
    pb_part(&m, 8, &mine);
    pb_part(&m, 25, &f);
    SHOWS(call(&m), "tensor([ 1., -1.,  3.])");
}
END_TEST

/* if sum(x) > 0: -x else x + x, of the outer graph's x. */
static pb branching(void)
{
    pb yes = {0}, no = {0}, neg = onnx_node("Neg", "x", "p"),
       two = onnx_node("Add", "x x", "q");
    pb p = onnx_value("p", ONNX_FLOAT, "3"), q = onnx_value("q", ONNX_FLOAT, "3");
    pb_part(&yes, 1, &neg);
    pb_part(&yes, 12, &p);
    pb_part(&no, 1, &two);
    pb_part(&no, 12, &q);
    pb node[4] = {onnx_node("ReduceSum", "x", "s"), onnx_node("Sub", "s s", "zero"),
                  onnx_node("Greater", "s zero", "c"), onnx_node("If", "c", "y")};
    onnx_attr_int(&node[0], "keepdims", 0);
    onnx_attr_part(&node[3], "then_branch", 6, 5, &yes);
    onnx_attr_part(&node[3], "else_branch", 6, 5, &no);
    return small_model(node, 4, 13);
}

START_TEST(a_branch_is_one_program)
{
    pb bytes = branching();
    kl_onnx *m = read_model(&bytes);
    ck_assert_msg(m != NULL, "%s", kl_error());
    kl_function *f = kl_onnx_compile(m, NULL);
    ck_assert_msg(f != NULL, "%s", kl_error());
    float x[2][3] = {{1, -2, 3}, {1, -2, -3}}, y[3];
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(kl_function_call(f, (const void *[]){x[i]}, (void *[]){y}),
                         KL_OK);
        for (int k = 0; k < 3; k++)
            ck_assert(y[k] == (i ? 2 : -1) * x[i][k]);
    }
    kl_function_free(f);
    kl_onnx_free(m);
    SHOWS(call(&bytes), "tensor([-1.,  2., -3.])");
}
END_TEST

/* v = v + x, so many times; every v. */
static pb looping(int64_t trips)
{
    pb body = {0}, add = onnx_node("Add", "v x", "w"),
       go = onnx_node("Identity", "c", "d");
    pb copy = onnx_node("Identity", "w", "each");
    pb i = onnx_value("i", ONNX_INT64, ""), c = onnx_value("c", 9, ""),
       v = onnx_value("v", ONNX_FLOAT, "3"), d = onnx_value("d", 9, ""),
       w = onnx_value("w", ONNX_FLOAT, "3"), each = onnx_value("each", ONNX_FLOAT, "3");
    pb_part(&body, 1, &add);
    pb_part(&body, 1, &go);
    pb_part(&body, 1, &copy);
    pb_part(&body, 11, &i);
    pb_part(&body, 11, &c);
    pb_part(&body, 11, &v);
    pb_part(&body, 12, &d);
    pb_part(&body, 12, &w);
    pb_part(&body, 12, &each);
    pb node[2] = {onnx_node("Constant", "", "n"), onnx_node("Loop", "n", "last y")};
    pb n = onnx_tensor("n", ONNX_INT64, NULL, 0, &trips, 8);
    onnx_attr_part(&node[0], "value", 5, 4, &n);
    pb_text(&node[1], 1, ""); /* no condition */
    pb_text(&node[1], 1, "x");
    onnx_attr_part(&node[1], "body", 6, 5, &body);
    return small_model(node, 2, 13);
}

START_TEST(a_loop_gives_a_result_a_trip)
{
    const int64_t trips[] = {2, 20};
    pb m = looping(trips[_i]);
    kl_tensor *y = call(&m);
    ck_assert_msg(y != NULL, "%s", kl_error());
    ck_assert(kl_extent(y, 0) == trips[_i] && kl_extent(y, 1) == 3);
    ck_assert(kl_item(kl_select(kl_select(y, 0, -1), 0, 2)) ==
              3.0 * (double)(trips[_i] + 1));
    kl_onnx *o = read_model(&m);
    kl_function *f = kl_onnx_compile(o, NULL);
    ck_assert_msg(f != NULL, "%s", kl_error());
    float x[3] = {1, -2, 3}, out[60];
    ck_assert_int_eq(kl_function_call(f, (const void *[]){x}, (void *[]){out}), KL_OK);
    ck_assert(out[3 * trips[_i] - 2] == -2 * (float)(trips[_i] + 1));
    kl_function_free(f);
    kl_onnx_free(o);
}
END_TEST

START_TEST(operators_are_listed)
{
    pb node[] = {onnx_node("Relu", "x", "a"), onnx_node("Reluu", "a", "b"),
                 onnx_node("Relu", "b", "y")};
    pb bytes = small_model(node, 3, 13);
    kl_onnx *m = read_model(&bytes);
    char *there = kl_onnx_operators(m, false), *missing = kl_onnx_operators(m, true);
    ck_assert_str_eq(there, "Relu opset 13: 2 nodes\n");
    ck_assert_str_eq(missing, "Reluu opset 13: 1 node (nearest: Relu)\n");
    free(there);
    free(missing);
    kl_onnx_free(m);
}
END_TEST

/* ---- what is refused ---- */

static pb bad_operand(void)
{
    pb n = onnx_node("Relu", "nothing", "y");
    return small_model(&n, 1, 13);
}
static pb bad_shapes(void)
{
    pb n[] = {onnx_node("Constant", "", "c"), onnx_node("Add", "x c", "y")};
    pb t = onnx_tensor("c", ONNX_FLOAT, (const int64_t[]){2}, 1, (float[]){1, 2}, 8);
    onnx_attr_part(&n[0], "value", 5, 4, &t);
    return small_model(n, 2, 13);
}
static pb bad_operator(void)
{
    pb n = onnx_node("Convv", "x", "y");
    return small_model(&n, 1, 13);
}
static pb bad_opset(void)
{
    pb n = onnx_node("Gelu", "x", "y");
    return small_model(&n, 1, 13);
}
static pb bad_axis(void)
{
    pb n = onnx_node("Softmax", "x", "y");
    onnx_attr_int(&n, "axis", 3);
    return small_model(&n, 1, 13);
}
static pb bad_attribute(void)
{
    pb n = onnx_node("LeakyRelu", "x", "y");
    onnx_attr_int(&n, "alpha", 3);
    return small_model(&n, 1, 13);
}
static pb bad_domain(void)
{
    pb n = onnx_node("Relu", "x", "y");
    pb_text(&n, 7, "elsewhere");
    return small_model(&n, 1, 13);
}
static pb bad_output(void)
{
    pb n = onnx_node("Relu", "x", "z");
    return small_model(&n, 1, 13);
}
static pb bad_size(void)
{
    pb n[] = {onnx_node("Constant", "", "y")};
    pb t = onnx_tensor("c", ONNX_FLOAT, (const int64_t[]){5}, 1, (float[]){1, 2}, 8);
    onnx_attr_part(&n[0], "value", 5, 4, &t);
    return small_model(n, 1, 13);
}
static pb bad_dims(void)
{
    pb n[] = {onnx_node("Constant", "", "y")};
    pb t =
        onnx_tensor("c", ONNX_FLOAT, (const int64_t[]){INT64_MAX, INT64_MAX}, 2, "", 0);
    onnx_attr_part(&n[0], "value", 5, 4, &t);
    return small_model(n, 1, 13);
}
static pb no_graph(void)
{
    pb m = {0};
    pb_int(&m, 1, 8);
    return m;
}
static pb no_opset(void)
{
    pb m = {0}, g = {0};
    pb_part(&m, 7, &g);
    return m;
}
static pb no_protobuf(void)
{
    pb m = {0};
    pb_raw(&m, "PK\3\4 this is no model", 21);
    return m;
}
/* graph of a node of an attribute of a graph .. */
static pb too_deep(void)
{
    pb g = {0}, n, a;
    for (int i = 0; i < 60; i++) {
        n = (pb){0}, a = (pb){0};
        pb_part(&a, 6, &g);
        pb_part(&n, 5, &a);
        g = (pb){0};
        pb_part(&g, 1, &n);
    }
    return onnx_model(&g, 13);
}
/* A function that calls itself. */
static pb endless(void)
{
    pb f = {0}, body = onnx_node("Self", "a", "b"), o = onnx_opset("mine", 1);
    pb_text(&body, 7, "mine");
    pb_text(&f, 1, "Self");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "b");
    pb_part(&f, 7, &body);
    pb_part(&f, 9, &o);
    pb_text(&f, 10, "mine");
    pb n = onnx_node("Self", "x", "y");
    pb_text(&n, 7, "mine");
    pb m = small_model(&n, 1, 13);
    pb_part(&m, 8, &o);
    pb_part(&m, 25, &f);
    return m;
}
static pb outside_without_folder(void)
{
    pb n[] = {onnx_node("Constant", "", "y")}, t = {0}, e = {0};
    pb_int(&t, 1, 2);
    pb_int(&t, 2, ONNX_FLOAT);
    pb_text(&e, 1, "location");
    pb_text(&e, 2, "w.bin");
    pb_part(&t, 13, &e);
    pb_int(&t, 14, 1);
    onnx_attr_part(&n[0], "value", 5, 4, &t);
    return small_model(n, 1, 13);
}

static const struct {
    pb (*make)(void);
    const char *why;
} refused[] = {
    {bad_operand,
     "m.onnx: node 'y' (Relu, opset 13): nothing gives its operand 'nothing'"},
    {bad_shapes, "(at m.onnx: node 'y' (Add, opset 13))"},
    {bad_operator,
     "(Convv, opset 13): no such operator is supported; the nearest is Conv"},
    {bad_opset,
     "(Gelu, opset 13): not supported in this opset; it is there from opset 20"},
    {bad_axis, "(Softmax, opset 13): axis 3 of 1 dimensions"},
    {bad_attribute, "attribute alpha is no number"},
    {bad_domain, "the model imports no opset of its domain 'elsewhere'"},
    {bad_output, "m.onnx: nothing gives output 'y'"},
    {bad_size, "tensor 'c': its data has not the size that its dimensions say"},
    {bad_dims, "tensor 'c': negative or too large dimensions"},
    {no_graph, "m.onnx: a model without a graph"},
    {no_opset, "m.onnx: a model that imports no opset"},
    {no_protobuf, "m.onnx: cut short, or no protobuf"},
    {too_deep, "m.onnx: messages nest too deep"},
    {endless, "functions call each other too deep"},
    {outside_without_folder, "external data, and the model has no folder"},
};

START_TEST(bad_models_get_a_line)
{
    pb m = refused[_i].make();
    ck_assert_ptr_null(call(&m));
    says(refused[_i].why);
}
END_TEST

/* Cut anywhere, bent anywhere: a line or fine, never a crash. */
START_TEST(damaged_models_get_a_line)
{
    pb whole = _i ? branching() : onnx_head();
    for (size_t n = 0; n < whole.n; n++) {
        pb cut = whole, bent = whole;
        cut.n = n;
        bent.s[n] ^= (char)(1 << n % 8);
        kl_scope_begin();
        const pb *both[] = {&cut, &bent};
        for (int k = 0; k < 2; k++) {
            kl_onnx *m = read_model(both[k]);
            ck_assert_msg(m || *kl_error(), "refused without a word");
            ck_assert(strchr(kl_error(), '\n') == NULL);
            kl_onnx_free(m);
            kl_error_clear();
        }
        kl_scope_drop();
    }
}
END_TEST

/* ---- external data ---- */

static const struct {
    const char *location, *offset, *length, *why;
} outside[] = {
    {"w.bin", "4", "8", NULL},
    {"w.bin", NULL, NULL, NULL},
    {"w.bin", "12", "8", "too short"},
    {"w.bin", "x", "8", "an offset or length that is no number"},
    {"w.bin", "18446744073709551615", "8", "too short"},
    {"../w.bin", NULL, NULL, "is not in the model's folder"},
    {"/etc/hostname", NULL, NULL, "is not in the model's folder"},
    {"link.bin", NULL, NULL, "is not in the model's folder"},
    {"none.bin", NULL, NULL, "is not in the model's folder"},
    {".", NULL, NULL, "is not in the model's folder"},
};

static void entry(pb *t, const char *key, const char *value)
{
    pb e = {0};
    pb_text(&e, 1, key);
    pb_text(&e, 2, value);
    pb_part(t, 13, &e);
}

START_TEST(external_data_stays_in_its_folder)
{
    char base[] = "/tmp/kiln-onnx-XXXXXX", dir[64], path[96];
    ck_assert(mkdtemp(base) != NULL);
    snprintf(dir, sizeof dir, "%s/m", base);
    ck_assert(mkdir(dir, 0700) == 0);
    snprintf(path, sizeof path, "%s/w.bin", base);
    ck_assert(kl_file_write(path, (float[]){7, 8, 9, 10}, 16) == KL_OK);
    snprintf(path, sizeof path, "%s/link.bin", dir);
    ck_assert(symlink("../w.bin", path) == 0);
    snprintf(path, sizeof path, "%s/w.bin", dir);
    ck_assert(kl_file_write(path, (float[]){1, 2, 3, 4}, 16) == KL_OK);
    pb t = {0}, n = onnx_node("Constant", "", "y");
    pb_int(&t, 1, outside[_i].offset ? 2 : 4);
    pb_int(&t, 2, ONNX_FLOAT);
    entry(&t, "location", outside[_i].location);
    if (outside[_i].offset)
        entry(&t, "offset", outside[_i].offset);
    if (outside[_i].length)
        entry(&t, "length", outside[_i].length);
    pb_int(&t, 14, 1);
    onnx_attr_part(&n, "value", 5, 4, &t);
    pb bytes = small_model(&n, 1, 13);
    kl_onnx *m = kl_onnx_read("m.onnx", bytes.s, bytes.n, dir);
    kl_tensor *x = kl_zeros(kl_shape(3), KL_F32), *y = NULL;
    if (outside[_i].why) {
        ck_assert_ptr_null(m);
        says(outside[_i].why);
    } else {
        ck_assert_msg(m && kl_onnx_call(m, &x, &y, NULL) == KL_OK, "%s", kl_error());
        SHOWS(y, outside[_i].offset ? "tensor([2., 3.])" : "tensor([1., 2., 3., 4.])");
    }
    kl_onnx_free(m);
    snprintf(path, sizeof path, "rm -r %s", base);
    ck_assert(system(path) == 0);
}
END_TEST

/* ---- numbers that no shape bears ---- */

/* y = the node over these initialisers. */
static void refuses(pb node, const pb *t, int n, const char *text)
{
    pb g = {0}, y = onnx_value("y", ONNX_FLOAT, "");
    pb_part(&g, 1, &node);
    for (int i = 0; i < n; i++)
        pb_part(&g, 5, &t[i]);
    pb_part(&g, 12, &y);
    pb model = onnx_model(&g, 18);
    kl_onnx *m = read_model(&model);
    kl_tensor *out = NULL;
    ck_assert_msg(m != NULL, "%s", kl_error());
    ck_assert(kl_onnx_call(m, NULL, &out, NULL) != KL_OK);
    says(text);
    kl_onnx_free(m);
}

START_TEST(sizes_that_no_shape_bears_are_refused)
{
    const float v[16] = {1, 2, 3, 4};
    const int64_t far = (INT64_C(1) << 61) - 5, wide[] = {0, UINT32_MAX},
                  most = INT64_MAX;
    pb image = onnx_tensor("w", ONNX_FLOAT, (int64_t[]){1, 1, 2, 2}, 4, v, 16);
    pb list = onnx_tensor("v", ONNX_FLOAT, (int64_t[]){4}, 1, v, 16);
    pb pads = onnx_tensor("p", ONNX_INT64, (int64_t[]){2}, 1, (int64_t[]){far, 0}, 16);
    pb none = onnx_tensor("i", ONNX_INT64, wide, 2, v, 0);
    pb one = onnx_tensor("n", ONNX_INT64, (int64_t[]){1}, 1, &most, 8);
    pb edge = {0};
    pb_text(&edge, 1, "mode");
    pb_text(&edge, 4, "edge");
    pb_int(&edge, 20, 3);
    pb pad = onnx_node("Pad", "v p", "y");
    pb_part(&pad, 5, &edge);
    refuses(pad, (pb[]){list, pads}, 2, "arange: too many elements");
    refuses(onnx_node("GatherND", "v i", "y"), (pb[]){list, none}, 2,
            "indices of 4294967295 dimensions into 1");
    refuses(onnx_node("Tile", "v n", "y"), (pb[]){list, one}, 2, "repeat");
    pb shape = {0}, turned = onnx_node("ConvTranspose", "w w", "y");
    pb_text(&shape, 1, "output_shape");
    pb_int(&shape, 8, 4);
    pb_int(&shape, 20, 7);
    pb_part(&turned, 5, &shape);
    refuses(turned, &image, 1, "output_shape of 1 axes for 2");
    int64_t ones[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    pb deep = onnx_tensor("d", ONNX_FLOAT, ones, 12, v, 4);
    refuses(onnx_node("CenterCropPad", "d n", "y"), (pb[]){deep, one}, 2,
            "more than 16 dimensions");
    pb strides = {0}, conv = onnx_node("Conv", "w w", "y");
    pb_text(&strides, 1, "pads");
    for (int i = 0; i < 4; i++)
        pb_int(&strides, 8, INT64_MAX);
    pb_int(&strides, 20, 7);
    pb_part(&conv, 5, &strides);
    refuses(conv, &image, 1, "pads of 9223372036854775807");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("onnx");
    TCase *tc = tcase_create("onnx");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, front_setup, front_teardown);
    tcase_add_test(tc, a_model_is_called_and_compiled);
    tcase_add_test(tc, functions_are_expanded);
    tcase_add_test(tc, a_branch_is_one_program);
    tcase_add_loop_test(tc, a_loop_gives_a_result_a_trip, 0, 2);
    tcase_add_test(tc, sizes_that_no_shape_bears_are_refused);
    tcase_add_test(tc, operators_are_listed);
    tcase_add_loop_test(tc, bad_models_get_a_line, 0, (int)KL_COUNT(refused));
    tcase_add_loop_test(tc, damaged_models_get_a_line, 0, 2);
    tcase_add_loop_test(tc, external_data_stays_in_its_folder, 0, (int)KL_COUNT(outside));
    suite_add_tcase(s, tc);
    return front_run(s);
}
