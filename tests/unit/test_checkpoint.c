/* test_checkpoint.c: pieces of a model that are computed again by backward: the same
 * bits, masks of dropout included, less memory, and an error where it cannot be done. */
#include "tests/unit/front_test.h"

enum { DEEP = 8, ROWS = 256, WIDE = 128 };

typedef struct layer {
    kl_tensor *w, *v;
    int runs; /* of the function */
} layer;

/* Wide inside, narrow at both ends: what is kept inside is what costs. */
static kl_tensor *piece(kl_tensor *const *x, int n, void *user)
{
    layer *l = user;
    (void)n;
    l->runs++;
    kl_tensor *h = kl_dropout(kl_gelu(kl_linear(x[0], l->w, NULL)), 0.25, true);
    return kl_tanh(kl_linear(kl_cumsum(h, 1), l->v, NULL));
}

static void make(layer *l, int64_t rows)
{
    for (int i = 0; i < DEEP; i++) {
        l[i].w = kl_requires_grad_(kl_realize(kl_kaiming(kl_shape(8 * WIDE, WIDE))));
        l[i].v = kl_requires_grad_(
            kl_realize(kl_mul(kl_kaiming(kl_shape(WIDE, 8 * WIDE)), 1.0 / (double)rows)));
        l[i].runs = 0;
    }
}

/* Gradients by x and by the first layer's weights; the most memory of the step. */
static size_t step(layer *l, int64_t rows, bool checkpoint, kl_tensor **gx,
                   kl_tensor **gw)
{
    kl_manual_seed(5);
    kl_tensor *x = kl_requires_grad_(kl_realize(kl_randn(kl_shape(rows, WIDE), KL_F32)));
    kl_program_pool_clear();
    kl_alloc_peak_reset();
    size_t before = kl_alloc_live();
    kl_tensor *h = x;
    for (int i = 0; i < DEEP; i++)
        h = checkpoint ? kl_checkpoint(piece, &l[i], &h, 1) : piece(&h, 1, &l[i]);
    ck_assert_msg(kl_backward(kl_sum(kl_mul(h, h))) == KL_OK, "%s", kl_error());
    *gx = kl_realize(kl_grad_of(x));
    *gw = kl_realize(kl_clone(kl_grad_of(l[0].w)));
    size_t peak = kl_alloc_peak() - before;
    for (int i = 0; i < DEEP; i++) {
        kl_set_grad(l[i].w, NULL);
        kl_set_grad(l[i].v, NULL);
    }
    return peak;
}

static void same(kl_tensor *a, kl_tensor *b)
{
    ck_assert(a && b && kl_numel(a) == kl_numel(b));
    ck_assert(kl_item(kl_all(kl_eq(a, b))) == 1);
}

START_TEST(bits_stay_and_memory_falls)
{
    layer l[DEEP];
    kl_tensor *gx[3], *gw[3];
    int64_t rows = front_interp ? 4 : ROWS;
    make(l, rows);
    size_t plain = step(l, rows, false, &gx[0], &gw[0]);
    size_t less = step(l, rows, true, &gx[1], &gw[1]);
    same(gx[0], gx[1]);
    same(gw[0], gw[1]);
    ck_assert_int_eq(l[0].runs, 3); /* once plain, once forward, once backward */
    ck_assert_msg(front_interp || less * 3 < plain * 2, "%zu bytes, %zu without", less,
                  plain);
    step(l, rows, true, &gx[2], &gw[2]); /* and once more the same */
    same(gx[0], gx[2]);
}
END_TEST

static kl_tensor *square(kl_tensor *const *x, int n, void *user)
{
    kl_tensor *y = kl_mul(x[0], x[n - 1]);
    return user ? kl_mul(y, (kl_tensor *)user) : y;
}

static double difference(kl_tensor *a, kl_tensor *b)
{
    kl_tensor *d = kl_abs(kl_sub(a, b));
    return kl_item(kl_amax(d));
}

/* A value read by two pieces and beside them; pieces within pieces; captured tensors. */
static kl_tensor *nested(kl_tensor *const *x, int n, void *user)
{
    return kl_sin(kl_checkpoint(square, user, x, n));
}

START_TEST(any_shape_of_graph)
{
    kl_tensor *x = kl_requires_grad_(kl_of(KL_F64, kl_shape(3), 0.5, -1, 2));
    kl_tensor *w = kl_requires_grad_(kl_of(KL_F64, kl_shape(3), 3, 4, 5)), *g[2][2];
    for (int i = 0; i < 2; i++) {
        kl_tensor *a, *b, *in[2];
        a = i ? kl_checkpoint(nested, w, &x, 1) : kl_sin(square(&x, 1, w));
        in[0] = a, in[1] = x;
        b = i ? kl_checkpoint(square, NULL, in, 2) : square(in, 2, NULL);
        kl_tensor *y = kl_add(kl_mul(a, b), kl_exp(a));
        { /* the handle of a piece's result may go before its turn comes */
            kl_scope_begin();
            y = kl_keep(
                kl_mul(y, i ? kl_checkpoint(square, NULL, &y, 1) : square(&y, 1, NULL)));
            kl_scope_end();
        }
        ck_assert_msg(kl_backward(kl_sum(y)) == KL_OK, "%s", kl_error());
        g[i][0] = kl_clone(kl_grad_of(x)), g[i][1] = kl_clone(kl_grad_of(w));
        kl_set_grad(x, NULL);
        kl_set_grad(w, NULL);
    }
    for (int k = 0; k < 2; k++) /* sums in another order: close, not equal */
        ck_assert(difference(g[0][k], g[1][k]) < 1e-9);
}
END_TEST

START_TEST(refused)
{
    kl_tensor *x = kl_requires_grad_(kl_of(KL_F32, kl_shape(2), 1, 2)), *g;
    kl_tensor *y = kl_sum(kl_checkpoint(square, NULL, &x, 1));
    FAILS(kl_grad(y, &x, 1, &g), "kl_grad does not pass the checkpoint made at");
    FAILS(kl_backward_with(y, NULL, true, true), "differentiated again does not pass");
    ck_assert_int_eq(kl_backward_with(y, NULL, true, false), KL_OK);
    ck_assert_int_eq(kl_backward(y), KL_OK);
    SHOWS(kl_grad_of(x), "tensor([4., 8.])");
    FAILS(kl_backward(y), "a second time");
    FAILS(kl_checkpoint(NULL, NULL, &x, 1), "no function");
    kl_no_grad_begin();
    kl_tensor *plain = kl_checkpoint(square, NULL, &x, 1);
    kl_no_grad_end();
    ck_assert(!kl_requires_grad(plain));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("checkpoint");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, bits_stay_and_memory_falls);
    tcase_add_test(tc, any_shape_of_graph);
    tcase_add_test(tc, refused);
    return front_run(s);
}
