/* test_onnx_sizes.c: ONNX models with open dimensions as one program each: strided
 * windows, recurrent layers and loops of a length that is open, held against the model's
 * nodes run one by one at several sizes.
 *
 *   Conv x f32[n,2,h,w] stride 2  ->  f32[n,3,floor((h+1)/2),floor((w+1)/2)] */
#include "front_test.h"
#include "kiln/onnx.h"
#include "onnx_bytes.h"

enum { INTS = 8, MOST = 2 * 2 * 21 * 23 };

static void ints(pb *node, const char *name, const char *numbers)
{
    pb a = {0};
    pb_text(&a, 1, name);
    for (char *end; *numbers; numbers = end)
        pb_int(&a, INTS, strtoll(numbers, &end, 10));
    pb_int(&a, 20, 7);
    pb_part(node, 5, &a);
}

static void weights(pb *graph, const char *name, int rank, const int64_t *dims)
{
    static float v[512];
    size_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(i * 5 % 17) / 12 - 0.6f;
    pb t = onnx_tensor(name, ONNX_FLOAT, dims, rank, v, n * sizeof *v);
    pb_part(graph, 5, &t);
}

static pb finish(pb *g, const char *dims)
{
    pb x = onnx_value("x", ONNX_FLOAT, dims), y = onnx_value("y", ONNX_FLOAT, "");
    pb_part(g, 11, &x);
    pb_part(g, 12, &y);
    return onnx_model(g, 19);
}

static pb windows(void)
{
    pb g = {0}, node[] = {onnx_node("Conv", "x w", "a"), onnx_node("MaxPool", "a", "b"),
                          onnx_node("AveragePool", "b", "y")};
    ints(&node[0], "strides", "2 2");
    ints(&node[0], "pads", "1 1 1 1");
    ints(&node[1], "kernel_shape", "3 3");
    ints(&node[1], "strides", "2 1");
    ints(&node[2], "kernel_shape", "2 2");
    ints(&node[2], "strides", "2 2");
    onnx_attr_int(&node[2], "ceil_mode", 1);
    for (int i = 0; i < 3; i++)
        pb_part(&g, 1, &node[i]);
    weights(&g, "w", 4, (const int64_t[]){3, 2, 3, 3});
    return finish(&g, "n 2 h w");
}

static pb recurrent(void)
{
    pb g = {0}, node = onnx_node("GRU", "x w r", "y");
    onnx_attr_int(&node, "hidden_size", 3);
    pb_part(&g, 1, &node);
    weights(&g, "w", 3, (const int64_t[]){1, 9, 2});
    weights(&g, "r", 3, (const int64_t[]){1, 9, 3});
    return finish(&g, "t n 2");
}

/* An image, strided twice and laid flat: beside a number its size stands first. */
static pb laid_flat(void)
{
    pb g = {0};
    pb nodes[] = {onnx_node("Conv", "x v", "a"), onnx_node("Conv", "a w", "b"),
                  onnx_node("Reshape", "b s", "c"), onnx_node("Split", "c", "d e"),
                  onnx_node("Sigmoid", "e", "y")};
    for (int i = 0; i < 2; i++) {
        ints(&nodes[i], "strides", "2 2");
        ints(&nodes[i], "pads", "1 1 1 1");
    }
    onnx_attr_int(&nodes[3], "axis", 1);
    onnx_attr_int(&nodes[3], "num_outputs", 2);
    for (int i = 0; i < 5; i++)
        pb_part(&g, 1, &nodes[i]);
    weights(&g, "v", 4, (const int64_t[]){3, 2, 3, 3});
    weights(&g, "w", 4, (const int64_t[]){2, 3, 3, 3});
    pb t =
        onnx_tensor("s", ONNX_INT64, (const int64_t[]){3}, 1, (int64_t[]){0, 0, -1}, 24);
    pb_part(&g, 5, &t);
    return finish(&g, "n 2 h w");
}

/* v = v + x[i], as often as x has rows; every v. */
static pb looping(void)
{
    pb body = {0}, g = {0};
    pb nodes[] = {onnx_node("Gather", "x i", "xi"), onnx_node("Add", "v xi", "s"),
                  onnx_node("Identity", "c", "d"), onnx_node("Identity", "s", "each")};
    pb in[] = {onnx_value("i", ONNX_INT64, ""), onnx_value("c", 9, ""),
               onnx_value("v", ONNX_FLOAT, "2")};
    pb out[] = {onnx_value("d", 9, ""), onnx_value("s", ONNX_FLOAT, "2"),
                onnx_value("each", ONNX_FLOAT, "2")};
    for (int i = 0; i < 4; i++)
        pb_part(&body, 1, &nodes[i]);
    for (int i = 0; i < 3; i++) {
        pb_part(&body, 11, &in[i]);
        pb_part(&body, 12, &out[i]);
    }
    int64_t zero = 0;
    pb z = onnx_tensor("zero", ONNX_INT64, NULL, 0, &zero, 8);
    pb shape = onnx_node("Shape", "x", "all"), n = onnx_node("Gather", "all zero", "n"),
       loop = onnx_node("Loop", "n", "last y");
    pb_text(&loop, 1, ""); /* no condition */
    pb_text(&loop, 1, "w");
    onnx_attr_part(&loop, "body", 6, 5, &body);
    pb_part(&g, 1, &shape);
    pb_part(&g, 1, &n);
    pb_part(&g, 1, &loop);
    pb_part(&g, 5, &z);
    weights(&g, "w", 1, (const int64_t[]){2});
    return finish(&g, "t 2");
}

static void text(pb *node, const char *name, const char *value)
{
    pb a = {0};
    pb_text(&a, 1, name);
    pb_text(&a, 4, value);
    pb_int(&a, 20, 3);
    pb_part(node, 5, &a);
}

static pb resized(const char *mode, const char *where, float scale)
{
    pb g = {0}, node = onnx_node("Resize", "x", "y");
    pb_text(&node, 1, ""); /* no region */
    pb_text(&node, 1, "s");
    text(&node, "mode", mode);
    text(&node, "coordinate_transformation_mode", where);
    pb_part(&g, 1, &node);
    pb s = onnx_tensor("s", ONNX_FLOAT, (const int64_t[]){4}, 1,
                       (float[]){1, 1, scale, scale}, 16);
    pb_part(&g, 5, &s);
    return finish(&g, "n 2 h w");
}

static pb doubled(void)
{
    return resized("nearest", "asymmetric", 2);
}
static pb smoothed(void)
{
    return resized("linear", "half_pixel", 2);
}
static pb cornered(void)
{
    return resized("linear", "align_corners", 3);
}
static pb curved(void)
{
    return resized("cubic", "pytorch_half_pixel", 2);
}
static pb halved(void)
{
    return resized("nearest", "half_pixel", 0.5f);
}

static const struct {
    pb (*model)(void);
    int ndims;
    int64_t dims[5][3];
} models[] = {
    {windows, 3, {{1, 12, 14}, {2, 21, 23}, {2, 13, 16}, {1, 14, 15}, {2, 9, 8}}},
    {laid_flat, 3, {{1, 12, 14}, {2, 21, 23}, {2, 13, 16}, {1, 14, 15}, {2, 9, 8}}},
    {doubled, 3, {{1, 4, 5}, {2, 3, 7}, {1, 9, 2}, {1, 1, 3}, {2, 5, 5}}},
    {smoothed, 3, {{1, 4, 5}, {2, 3, 7}, {1, 9, 2}, {1, 8, 3}, {2, 5, 5}}},
    {cornered, 3, {{1, 4, 5}, {2, 3, 7}, {1, 9, 2}, {1, 8, 3}, {2, 5, 5}}},
    {curved, 3, {{1, 4, 5}, {2, 3, 7}, {1, 9, 2}, {1, 8, 3}, {2, 5, 5}}},
    {halved, 3, {{1, 4, 5}, {2, 6, 7}, {1, 9, 4}, {1, 8, 12}, {2, 5, 15}}},
    {recurrent, 2, {{1, 2}, {4, 1}, {9, 3}, {2, 2}, {7, 5}}},
    {looping, 1, {{1}, {2}, {3}, {11}, {20}}},
};

static kl_ints shape_at(const kl_function *f, const int64_t *dims)
{
    kl_ints s;
    kl_function_in(f, 0, &s);
    for (int i = 0, d = 0; i < s.n; i++)
        if (s.v[i] < 0)
            s.v[i] = dims[d++];
    return s;
}

START_TEST(a_program_for_all_sizes)
{
    static float x[MOST], y[MOST * 2], z[MOST * 2];
    for (int i = 0; i < MOST; i++)
        x[i] = (float)(i * 7 % 23) / 9 - 1;
    pb bytes = models[_i].model();
    kl_onnx *m = kl_onnx_read("m.onnx", bytes.s, bytes.n, NULL);
    kl_function *f = m ? kl_onnx_compile(m, NULL) : NULL;
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_dims(f), models[_i].ndims);
    for (int s = 0; s < 5; s++) {
        const int64_t *dims = models[_i].dims[s];
        kl_ints out;
        kl_tensor *in = kl_tensor_copy(x, KL_F32, shape_at(f, dims)), *want;
        ck_assert_int_eq(kl_onnx_call(m, &in, &want, NULL), KL_OK);
        ck_assert_int_eq(kl_function_out_at(f, 0, dims, &out), KL_F32);
        kl_ints as = kl_shape_of(want);
        ck_assert(as.n == out.n && memcmp(as.v, out.v, (size_t)as.n * 8) == 0);
        ck_assert_int_eq(
            kl_function_call_sized(f, dims, (const void *[]){x}, (void *[]){y}), KL_OK);
        size_t n = (size_t)kl_numel(want);
        ck_assert_int_eq(kl_copy_out(want, z, n * sizeof *z), KL_OK);
        for (size_t i = 0; i < n; i++)
            ck_assert_float_eq_tol(y[i], z[i], 1e-5f);
    }
    kl_function_free(f);
    kl_onnx_free(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("onnx_sizes");
    TCase *tc = front_case(s, "sizes");
    tcase_add_loop_test(tc, a_program_for_all_sizes, 0, (int)KL_COUNT(models));
    return front_run(s);
}
