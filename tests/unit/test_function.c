/* test_function.c: compiled functions: what a call computes, what is captured, saving and
 * loading, and what tracing refuses. */
#include "tests/unit/front_test.h"

#include <unistd.h>

typedef struct model {
    kl_tensor *w, *b;
} model;

static void layer(kl_tensor *const *in, kl_tensor **out, void *user)
{
    model *m = user;
    out[0] = kl_relu(kl_linear(in[0], m->w, m->b));
    out[1] = kl_sum(out[0]);
}

static const float x[4] = {1, 2, -3, 4};

static kl_function *compiled(model *m)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(2, 2)}};
    m->w = kl_named(kl_of(KL_F32, kl_shape(3, 2), 1, 0, 0, 1, 1, 1), "weight");
    m->b = kl_add(kl_zeros(kl_shape(3), KL_F32), 0.5); /* pending: computed once, here */
    return kl_compile(layer, m, in, 1, 2);
}

static void check_call(const kl_function *f)
{
    float y[6] = {0}, s[1] = {0};
    static const float want[6] = {1.5f, 2.5f, 3.5f, 0, 4.5f, 1.5f};
    ck_assert_int_eq(kl_function_call(f, (const void *[]){x}, (void *[]){y, s}), KL_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_msg(y[i] == want[i], "%d: %g", i, (double)y[i]);
    ck_assert(s[0] == 13.5f);
}

START_TEST(calls)
{
    model m;
    kl_function *f = compiled(&m);
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_inputs(f), 1);
    ck_assert_int_eq(kl_function_outputs(f), 2);
    ck_assert_str_eq(kl_function_name(f, 0), "x");
    kl_ints s;
    ck_assert_int_eq(kl_function_out(f, 0, &s), KL_F32);
    ck_assert(s.n == 2 && s.v[0] == 2 && s.v[1] == 3);
    check_call(f);
    kl_zero_(m.w); /* captured with its value */
    check_call(f);
    kl_function_free(f);
}
END_TEST

static void many(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = in[0];
    for (int i = 0; i < 6000; i++)
        out[0] = i % 2 ? kl_abs(out[0]) : kl_neg(out[0]);
}

START_TEST(as_long_as_it_is)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(4)}};
    float y[4] = {0};
    kl_function *f = kl_compile(many, NULL, in, 1, 1);
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_call(f, (const void *[]){x}, (void *[]){y}), KL_OK);
    for (int i = 0; i < 4; i++)
        ck_assert(y[i] == fabsf(x[i]));
    kl_function_free(f);
}
END_TEST

START_TEST(saved_and_loaded)
{
    char path[64], weights[80];
    model m;
    kl_function *f = compiled(&m);
    snprintf(path, sizeof path, "test_function_%d.kl", (int)getpid());
    snprintf(weights, sizeof weights, "test_function_%d.safetensors", (int)getpid());
    ck_assert_msg(f && kl_program_save(f, path) == KL_OK, "%s", kl_error());
    kl_function *g = kl_program_load(path);
    ck_assert_msg(g != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_inputs(g), 1);
    check_call(g);
    ck_assert_int_eq(kl_program_save(g, path), KL_OK); /* and once more the same */
    kl_function_free(g);
    kl_function_free(f);
    unlink(path);
    unlink(weights);
}
END_TEST

static void gradient(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_tensor *leaf = kl_requires_grad_(kl_detach(in[0]));
    kl_grad(kl_sum(kl_mul(kl_mul(leaf, leaf), leaf)), &leaf, 1, &out[0]);
    out[1] = in[0];
}

START_TEST(gradients_inside)
{
    kl_input in[] = {{NULL, KL_F32, kl_shape(4)}};
    kl_function *f = kl_compile(gradient, NULL, in, 1, 2);
    float g[4], same[4];
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_call(f, (const void *[]){x}, (void *[]){g, same}),
                     KL_OK);
    for (int i = 0; i < 4; i++)
        ck_assert(g[i] == 3 * x[i] * x[i] && same[i] == x[i]);
    kl_function_free(f);
}
END_TEST

static void draws(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_draw_from(in[0]);
    out[0] = kl_rand(kl_shape(8), KL_F32);
    out[1] = kl_rand(kl_shape(8), KL_F32);
    kl_draw_from(NULL);
}

START_TEST(draws_by_a_seed)
{
    kl_input in[] = {{"seed", KL_U32, kl_shape(2)}};
    uint32_t one[2] = {1, 0}, two[2] = {2, 0};
    float y[4][8];
    kl_function *f = kl_compile(draws, NULL, in, 1, 2);
    ck_assert_msg(f != NULL, "%s", kl_error());
    kl_function_call(f, (const void *[]){one}, (void *[]){y[0], y[1]});
    kl_function_call(f, (const void *[]){two}, (void *[]){y[2], y[3]});
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            ck_assert(memcmp(y[i], y[k], sizeof y[i]) != 0);
    kl_function_call(f, (const void *[]){one}, (void *[]){y[2], y[3]});
    ck_assert(memcmp(y[0], y[2], sizeof y[0]) == 0 &&
              memcmp(y[1], y[3], sizeof y[1]) == 0);
    kl_function_free(f);
    ck_assert_int_eq(kl_draw_from(kl_zeros(kl_shape(3), KL_U32)), KL_ERR_ARG);
    ck_assert(strstr(kl_error(), "a seed is two numbers of uint32"));
    kl_error_clear();
}
END_TEST

static void scaled_sum(kl_tensor *const *in, kl_tensor **out, void *user)
{
    for (double k = 2; k < 4; k++) /* numbers are the function's constants */
        out[0] = kl_mul(kl_sum(in[0]), k);
    (void)user;
}

static void twice(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], 2.0);
}

/* As C sees them: the result returned, or written through the last argument. */
START_TEST(function_pointers)
{
    kl_input array[] = {{"x", KL_F32, kl_shape(4)}}, one[] = {{"x", KL_F64, kl_shape()}};
    kl_function *f = kl_compile(scaled_sum, NULL, array, 1, 1);
    kl_function *g = kl_compile(twice, NULL, one, 1, 1);
    kl_pointer *value = kl_function_pointer(f, "f:p"),
               *into = kl_function_pointer(f, "vpp");
    kl_pointer *real = kl_function_pointer(g, "dd");
    float y = 0;
    ck_assert_msg(value && into && real, "%s", kl_error());
    ck_assert(((float (*)(const float *))kl_pointer_code(value))(x) == 12.0f);
    ((void (*)(const float *, float *))kl_pointer_code(into))(x, &y);
    ck_assert(y == 12.0f);
    ck_assert(((double (*)(double))kl_pointer_code(real))(1.25) == 2.5);
    static const char *const bad[] = {"f:f", "d:p", "f:pp", "v:p", "", "i:p", "p:p"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(kl_function_pointer(f, bad[i]));
        ck_assert_int_eq(kl_error_status(), KL_ERR_ARG);
        kl_error_clear();
    }
    kl_pointer_free(value);
    kl_pointer_free(into);
    kl_pointer_free(real);
    kl_function_free(f);
    kl_function_free(g);
}
END_TEST

static void looks(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], kl_item(in[0]));
}

static void writes(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_add_((kl_tensor *)user, in[0]);
}

static void writes_its_own(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_zeros(kl_shape(2), KL_F32);
    kl_add_(kl_slice(out[0], 0, 0, 1), in[0]);
}

START_TEST(tracing_rules)
{
    kl_input in[] = {{NULL, KL_F32, kl_shape(1)}};
    FAILS(kl_compile(looks, NULL, in, 1, 1),
          "a parameter of a function being traced has no value");
    FAILS(kl_compile(writes, kl_ones(kl_shape(1), KL_F32), in, 1, 1),
          "wrote in place to a tensor from outside");
    kl_function *f = kl_compile(writes_its_own, NULL, in, 1, 1);
    float y[2];
    ck_assert_msg(f && kl_function_call(f, (const void *[]){x + 1}, (void *[]){y}) ==
                           KL_OK,
                  "%s", kl_error());
    ck_assert(y[0] == 2 && y[1] == 0);
    kl_function_free(f);
    FAILS(kl_program_load("nowhere.kl"), "nowhere.kl");
}
END_TEST

/* out 0: x + reversed y; out 1: y and x crossed, which reads x at other elements. */
static void crossed(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_add(in[0], kl_flip(in[1], kl_axes(0)));
    out[1] = kl_sub(in[1], kl_flip(in[0], kl_axes(0)));
}

START_TEST(memory_is_checked)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(4)}, {"y", KL_F32, kl_shape(4)}};
    kl_function *f = kl_compile(crossed, NULL, in, 2, 2);
    kl_function *g = kl_compile_donating(crossed, NULL, in, 2, 2, ((const int[]){1, 2}));
    ck_assert_msg(f && g, "%s", kl_error());
    float a[10] = {1, 2, 3, 4, 0, 0, 10, 20, 30, 40}, p[4], q[4];
    const void *x[] = {a, a + 6};
    void *wrong[][2] = {{a, q},     {p, a + 3}, {p, p + 1},
                        {a + 6, q}, {p, NULL},  {p, a + 9}};
    for (size_t i = 0; i < KL_COUNT(wrong); i++) {
        ck_assert_int_eq(kl_function_call(f, x, wrong[i]), KL_ERR_ARG);
        kl_error_clear();
        ck_assert(a[0] == 1 && a[3] == 4 && a[6] == 10 && a[9] == 40);
    }
    ck_assert_int_eq(kl_function_call(f, x, (void *[]){p, q}), KL_OK);
    ck_assert(p[0] == 41 && p[3] == 14 && q[0] == 6 && q[3] == 39);
    ck_assert_int_eq(kl_function_call(g, x, (void *[]){a + 6, q}), KL_ERR_ARG);
    kl_error_clear();
    ck_assert_int_eq(kl_function_call(g, x, (void *[]){a, a + 6}), KL_OK); /* over both */
    ck_assert(memcmp(a, p, sizeof p) == 0 && memcmp(a + 6, q, sizeof q) == 0);
    kl_function_free(f);
    kl_function_free(g);
    FAILS(kl_compile_donating(crossed, NULL, in, 2, 2, ((const int[]){3, 0})),
          "there is no input number 2");
    in[1].shape = kl_shape(1);
    FAILS(kl_compile_donating(crossed, NULL, in, 2, 2, ((const int[]){2, 0})), "");
}
END_TEST

static const char open_text[] = "graph rows(%x: f32[B,3], %w: f32[3]) {\n"
                                "  dim B 1..1000\n"
                                "  %2: f32[B,3] = expand %w\n"
                                "  %3: f32[B,3] = mul %x, %2\n"
                                "  %4: f32[B,3] = exp %3\n"
                                "  %5: f32[B] = reduce.add %4 axes (1)\n"
                                "  out %5 as y\n"
                                "}\n";

static kl_function *read_text(const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "test_function_open_%d.kl", (int)getpid());
    ck_assert_int_eq(kl_file_write(path, text, strlen(text)), KL_OK);
    kl_function *f = kl_program_load(path);
    unlink(path);
    return f;
}

/* One program, however many sizes; the bits of one with its size fixed. */
START_TEST(symbolic_sizes)
{
    static float a[3000], y[1000], z[1000], w[3] = {0.5f, -1, 2};
    char fixed[sizeof open_text + 8];
    int64_t made = kl_stats().kernels_compiled, min, max, by;
    for (int i = 0; i < 3000; i++)
        a[i] = (float)(i % 101) / 50 - 1;
    kl_function *f = read_text(open_text);
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_dims(f), 1);
    ck_assert_str_eq(kl_function_dim(f, 0, &min, &max, &by), "B");
    ck_assert(min == 1 && max == 1000 && by == 1);
    kl_ints s;
    kl_function_in(f, 0, &s);
    ck_assert(s.v[0] == -1 && s.v[1] == 3);
    int64_t once = kl_stats().kernels_compiled - made;
    const void *in[] = {a, w};
    for (int64_t n = 1; n <= 1000; n++)
        ck_assert_int_eq(kl_function_call_sized(f, &n, in, (void *[]){y}), KL_OK);
    ck_assert_int_eq(kl_stats().kernels_compiled - made, once);
    snprintf(fixed, sizeof fixed, "%s", open_text);
    for (char *p; (p = strstr(fixed, "[B"));)
        p[1] = '9'; /* nine rows */
    char *dim = strstr(fixed, "  dim B");
    memmove(dim, strchr(dim, '\n') + 1, strlen(strchr(dim, '\n') + 1) + 1);
    kl_function *g = read_text(fixed);
    ck_assert_msg(g && kl_function_call(g, in, (void *[]){z}) == KL_OK, "%s", kl_error());
    ck_assert(memcmp(y, z, 9 * sizeof *z) == 0);
    y[0] = 7;
    int64_t bad[] = {0, 1001, -5};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(kl_function_call_sized(f, &bad[i], in, (void *[]){y}),
                         KL_ERR_SHAPE);
        ck_assert(strstr(kl_error(), "is outside 1..1000, multiple of 1") && y[0] == 7);
        kl_error_clear();
    }
    ck_assert_int_eq(kl_function_call(f, in, (void *[]){y}), KL_ERR_ARG);
    kl_error_clear();
    int64_t n = 1000;
    ck_assert_int_eq(kl_function_call_sized(f, &n, in, (void *[]){a + 2998}), KL_ERR_ARG);
    kl_error_clear();
    kl_cost cost;
    ck_assert_int_eq(kl_function_plan(f, &cost), KL_ERR_UNSUPPORTED);
    ck_assert(kl_interp_on() ||
              strstr(kl_error(), "the plan of a function with symbolic dimensions"));
    kl_error_clear();
    kl_function_free(f);
    kl_function_free(g);
}
END_TEST

static const char bound_text[] = "graph both(%x: f32[B,T], %y: f32[2*B]) {\n"
                                 "  %2: f32[B] = reduce.add %x axes (1)\n"
                                 "  %3: f32[3*B] = concat %2, %y axis 0\n"
                                 "  out %3\n"
                                 "}\n";
static const char lone_text[] = "graph half(%y: f32[2*B]) {\n"
                                "  %1: f32[2*B] = exp %y\n"
                                "  out %1\n"
                                "}\n";

START_TEST(shapes_give_dimensions)
{
    kl_function *f = read_text(bound_text), *g = read_text(lone_text);
    ck_assert_msg(f && g, "%s", kl_error());
    int64_t dims[2];
    kl_ints shape, good[] = {kl_shape(3, 5), kl_shape(6)},
                   bad[] = {kl_shape(3, 5), kl_shape(7)};
    ck_assert_int_eq(kl_function_bind(f, good, dims), KL_OK);
    ck_assert(dims[0] == 3 && dims[1] == 5);
    ck_assert_int_eq(kl_function_out_at(f, 0, dims, &shape), KL_F32);
    ck_assert(shape.n == 1 && shape.v[0] == 9);
    ck_assert_int_eq(kl_function_out_at(f, 1, dims, &shape), KL_DTYPE_NONE);
    ck_assert_int_eq(kl_function_bind(f, bad, dims), KL_ERR_SHAPE);
    ck_assert(strstr(kl_error(), "input y of shape [7] does not fit the others"));
    kl_error_clear();
    ck_assert_int_eq(kl_function_bind(g, good + 1, dims), KL_ERR_SHAPE);
    ck_assert(strstr(kl_error(), "no input's extent is dimension B alone"));
    kl_error_clear();
    ck_assert_int_eq(kl_function_bind(f, NULL, dims), KL_ERR_ARG);
    ck_assert(strstr(kl_error(), "the shapes are NULL"));
    kl_error_clear();
    kl_function_free(f);
    kl_function_free(g);
}
END_TEST

/* ---- sizes left open ---- */

static void open_layers(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *w = user, *h = kl_relu(kl_matmul(in[0], w));
    out[0] = kl_softmax(h, 1);
    out[1] = kl_mean(kl_mul(h, kl_unsqueeze(in[1], 1)));
    out[2] = kl_var(h, kl_shape(0), true, false);
    out[3] = kl_reshape(kl_cat(((kl_tensor *[]){h, h}), 2, 0), kl_shape(-1));
}

static void copy_inputs(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], pow(2, -(double)kl_extent(in[0], 0)));
}

static void other_at_other_sizes(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_extent(in[0], 0) > 10 ? kl_exp(in[0]) : kl_sin(kl_exp(in[0]));
}

START_TEST(open_sizes)
{
    static float x[40 * 3], v[40], y[4][40 * 10], z[4][40 * 10];
    for (int i = 0; i < 120; i++)
        x[i] = (float)(i % 17) / 5 - 1, v[i % 40] = (float)(i % 7);
    kl_tensor *w = kl_reshape(kl_div(kl_arange(0, 15, 1, KL_F32), 9), kl_shape(3, 5));
    kl_input in[] = {{"x", KL_F32, kl_shape(KL_ANY(0), 3)},
                     {"v", KL_F32, kl_shape(KL_ANY(0))}};
    kl_dimension rows[] = {{.name = "rows", .min = 1, .max = 40}};
    kl_function *f = kl_compile_sized(open_layers, w, in, 2, 4, rows, 1);
    ck_assert_msg(f != NULL, "%s", kl_error());
    const void *data[] = {x, v};
    int64_t sizes[] = {1, 2, 3, 4, 5, 17, 31, 40};
    for (size_t s = 0; s < KL_COUNT(sizes); s++) {
        int64_t n = sizes[s], dims;
        kl_ints shapes[] = {kl_shape(n, 3), kl_shape(n)};
        void *got[] = {y[0], y[1], y[2], y[3]}, *want[] = {z[0], z[1], z[2], z[3]};
        kl_input fixed[] = {{"x", KL_F32, shapes[0]}, {"v", KL_F32, shapes[1]}};
        kl_function *g = kl_compile(open_layers, w, fixed, 2, 4);
        ck_assert_int_eq(kl_function_bind(f, shapes, &dims), KL_OK);
        ck_assert_int_eq(kl_function_call_sized(f, &dims, data, got), KL_OK);
        ck_assert_int_eq(kl_function_call(g, data, want), KL_OK);
        ck_assert(memcmp(y[0], z[0], (size_t)n * 20) == 0);
        ck_assert(memcmp(y[1], z[1], 4) == 0);
        ck_assert(n == 1 || memcmp(y[2], z[2], 20) == 0); /* one row: NaNs */
        ck_assert(memcmp(y[3], z[3], (size_t)n * 40) == 0);
        kl_function_free(g);
    }
    kl_function_free(f);
}
END_TEST

static void table_of_a_size(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_tensor *t = kl_arange(0, kl_extent(in[0], 0), 1, KL_F32);
    out[0] = kl_add(kl_sum(kl_realize(t)), in[0]);
}

START_TEST(open_sizes_refused)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(KL_ANY(0), 3)}},
             two[] = {{"x", KL_F32, kl_shape(KL_ANY(1))}};
    kl_dimension rows[] = {{.name = "rows", .min = 1, .max = 40}},
                 few[] = {{.name = "few", .min = 2, .max = 3}};
    static const char names[17][2] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                      "j", "k", "l", "m", "n", "o", "p", "q"};
    static const char *const texts[] = {
        "it follows from the dimensions in no way that is known",
        "the function does something else",
        "dimension few of 2..3: an open one has three sizes above 1",
        "there is no dimension number 1",
        "a function of more than 16 dimensions",
        "elements that were computed while the function was traced depend on its sizes"};
    kl_dimension many[17];
    for (int i = 0; i < 17; i++)
        many[i] = rows[0], many[i].name = names[i];
    kl_function *f[] = {kl_compile_sized(copy_inputs, NULL, in, 1, 1, rows, 1),
                        NULL,
                        NULL,
                        NULL,
                        NULL,
                        NULL};
    for (int i = 0; i < 6; i++) {
        if (i == 1)
            f[i] = kl_compile_sized(other_at_other_sizes, NULL, in, 1, 1, rows, 1);
        if (i == 2)
            f[i] = kl_compile_sized(copy_inputs, NULL, in, 1, 1, few, 1);
        if (i == 3)
            f[i] = kl_compile_sized(copy_inputs, NULL, two, 1, 1, rows, 1);
        if (i == 4)
            f[i] = kl_compile_sized(copy_inputs, NULL, in, 1, 1, many, 17);
        if (i == 5)
            f[i] = kl_compile_sized(table_of_a_size, NULL, in, 1, 1, rows, 1);
        ck_assert(f[i] == NULL);
        ck_assert_msg(strstr(kl_error(), texts[i]), "%s", kl_error());
        kl_error_clear();
    }
}
END_TEST

/* More inputs than one can count, one of them with an extent that follows from a
 * dimension. */
static void halves(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = in[0];
    for (int i = 1; i < 100; i++)
        out[0] = kl_add(out[0], in[i]);
}

START_TEST(open_sizes_by_formula)
{
    float x[100][6], y[6];
    const void *data[100];
    kl_input in[101] = {[100] = {"whole", KL_F32, kl_shape(KL_ANY(0))}};
    kl_dimension dims[] = {{.name = "n", .min = 1, .max = 90},
                           {.name = "half", .is = "floor((n+1)/2)"},
                           {.name = "third", .is = "floor((m+1)/2)"}};
    for (int i = 0; i < 100; i++) {
        in[i] = (kl_input){NULL, KL_F32, kl_shape(KL_ANY(1))};
        data[i] = x[i];
        for (int k = 0; k < 6; k++)
            x[i][k] = (float)(i + k);
    }
    kl_function *f = kl_compile_sized(halves, NULL, in, 101, 1, dims, 2);
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_dims(f), 1);
    const void *all[101];
    memcpy(all, data, sizeof data), all[100] = x;
    ck_assert_int_eq(kl_function_call_sized(f, &(int64_t){11}, all, (void *[]){y}),
                     KL_OK);
    for (int k = 0; k < 6; k++)
        ck_assert(y[k] == (float)(4950 + 100 * k));
    kl_function_free(f);
    ck_assert(!kl_compile_sized(halves, NULL, in, 101, 1, dims, 3));
    ck_assert(strstr(kl_error(), "third: 'floor((m+1)/2)' is no formula of the others"));
    kl_error_clear();
    dims[1] = dims[0];
    ck_assert(!kl_compile_sized(halves, NULL, in, 101, 1, dims, 2));
    ck_assert(strstr(kl_error(), "two dimensions are called n"));
    kl_error_clear();
}
END_TEST

/* ---- sizes that are quotients ---- */

static void strided(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *w = user;
    kl_tensor *h = kl_relu(kl_conv(in[0], w, NULL, .stride = 2, .padding = 1));
    kl_tensor *p = kl_max_pool2d(h, 3, .stride = 2, .padding = 1);
    out[0] = kl_mean_axes(p, kl_shape(2, 3), false);
    out[1] = kl_reshape(kl_avg_pool2d(h, 2), kl_shape(kl_extent(h, 0), -1));
    out[2] = kl_max_pool_axes_at(KL_HERE, h, 2,
                                 (kl_pool_axes){.size = kl_axes(3), .ceil = true}, NULL);
    kl_tensor *loss = kl_sum(kl_square(out[0]));
    kl_grad(loss, &w, 1, &out[3]);
}

START_TEST(open_sizes_of_windows)
{
    static float x[3 * 2 * 20 * 23], got[4][4000], want[4][4000];
    static const int64_t sizes[][3] = {{1, 12, 14}, {2, 13, 15}, {3, 20, 23}, {2, 17, 11},
                                       {1, 14, 21}, {3, 19, 16}, {1, 10, 10}};
    for (size_t i = 0; i < KL_COUNT(x); i++)
        x[i] = (float)(i * 7 % 31) / 9 - 1;
    kl_tensor *w =
        kl_div(kl_reshape(kl_arange(0, 72, 1, KL_F32), kl_shape(4, 2, 3, 3)), 50);
    kl_requires_grad_(w);
    kl_input in[] = {{"x", KL_F32, kl_shape(KL_ANY(0), 2, KL_ANY(1), KL_ANY(2))}};
    kl_dimension dims[] = {{.name = "n", .min = 1, .max = 9},
                           {.name = "h", .min = 2, .max = 99},
                           {.name = "w", .min = 2, .max = 99}};
    kl_function *f = kl_compile_sized(strided, w, in, 1, 4, dims, 3);
    ck_assert_msg(f != NULL, "%s", kl_error());
    for (size_t s = 0; s < KL_COUNT(sizes); s++) {
        kl_ints shape = kl_shape(sizes[s][0], 2, sizes[s][1], sizes[s][2]), out;
        kl_input fixed[] = {{"x", KL_F32, shape}};
        void *y[4] = {got[0], got[1], got[2], got[3]},
             *z[4] = {want[0], want[1], want[2], want[3]};
        const void *data[] = {x};
        kl_function *g = kl_compile(strided, w, fixed, 1, 4);
        ck_assert_msg(g != NULL, "%s", kl_error());
        ck_assert_int_eq(kl_function_call_sized(f, sizes[s], data, y), KL_OK);
        ck_assert_int_eq(kl_function_call(g, data, z), KL_OK);
        for (int i = 0; i < 4; i++) {
            kl_ints as;
            kl_function_out(g, i, &as);
            ck_assert_int_eq(kl_function_out_at(f, i, sizes[s], &out), KL_F32);
            ck_assert(as.n == out.n && memcmp(as.v, out.v, (size_t)as.n * 8) == 0);
            ck_assert(memcmp(got[i], want[i], (size_t)kl_count(as.n, as.v) * 4) == 0);
        }
        kl_function_free(g);
    }
    kl_function_free(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("function");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, open_sizes);
    tcase_add_test(tc, open_sizes_of_windows);
    tcase_add_test(tc, open_sizes_by_formula);
    tcase_add_test(tc, open_sizes_refused);
    tcase_add_test(tc, shapes_give_dimensions);
    tcase_add_test(tc, calls);
    tcase_add_test(tc, as_long_as_it_is);
    tcase_add_test(tc, saved_and_loaded);
    tcase_add_test(tc, gradients_inside);
    tcase_add_test(tc, draws_by_a_seed);
    tcase_add_test(tc, tracing_rules);
    tcase_add_test(tc, function_pointers);
    tcase_add_test(tc, memory_is_checked);
    tcase_add_test(tc, symbolic_sizes);
    return front_run(s);
}
