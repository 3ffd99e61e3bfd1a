/* test_cut.c: derivatives of one's own and hooks: values, order, sums of several ways,
 * second derivatives, errors. */
#include "tests/unit/front_test.h"

typedef struct note {
    int calls, drops;
    double scale;
} note;

/* y = x * x by hand: dx = 2 x dy, x kept by the caller. */
typedef struct square {
    kl_tensor *x;
    note *n;
} square;

static kl_status square_back(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                             int nin)
{
    square *s = user;
    s->n->calls++;
    if (nout != 1 || nin != 1)
        return kl_fail(KL_ERR_ARG, "square has one operand and one result");
    dx[0] = dy[0] ? kl_mul(kl_mul(s->x, 2), dy[0]) : NULL;
    return KL_OK;
}

static void square_drop(void *user)
{
    square *s = user;
    s->n->drops++;
    kl_tensor_unref(s->x);
    free(s);
}

static kl_tensor *squared(kl_tensor *x, note *n)
{
    square *s = malloc(sizeof *s);
    *s = (square){kl_tensor_ref(x), n};
    kl_no_grad_begin();
    kl_tensor *y = kl_mul(x, x);
    kl_no_grad_end();
    return kl_custom(&x, 1, &y, 1, square_back, s, square_drop) == KL_OK ? y : NULL;
}

static kl_status scale(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                       int nin)
{
    note *n = user;
    (void)nout;
    (void)nin;
    n->calls++;
    dx[0] = kl_mul(dy[0], n->scale);
    return KL_OK;
}

static kl_status fails(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                       int nin)
{
    (void)user, (void)dy, (void)nout, (void)dx, (void)nin;
    return kl_fail(KL_ERR_STATE, "the hook refuses");
}

static kl_status misfits(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                         int nin)
{
    (void)user, (void)dy, (void)nout, (void)nin;
    dx[0] = kl_zeros(kl_shape(3), KL_F64);
    return KL_OK;
}

static kl_tensor *leaf(double v)
{
    return kl_requires_grad_(kl_of(KL_F64, kl_shape(1), v));
}

START_TEST(functions)
{
    static note n; /* as in second_order */
    n = (note){0};
    kl_tensor *x = leaf(3);
    kl_tensor *y = squared(kl_mul(x, 2), &n), *z = squared(y, &n);
    /* z = 16 x^4, y = 4 x^2; y is read three times, and called back once */
    ck_assert(kl_backward(kl_sum(kl_add(kl_add(z, y), kl_mul(y, y)))) == KL_OK);
    SHOWS(kl_grad_of(x), "tensor([3480.], dtype=torch.float64)");
    ck_assert_int_eq(n.calls, 2);
}
END_TEST

START_TEST(hooks)
{
    note n = {.scale = 10};
    kl_tensor *w = leaf(3), *h = kl_mul(w, 2);
    /* built before the hook, and another way to w beside it */
    kl_tensor *loss = kl_add(kl_sum(kl_mul(h, h)), kl_sum(w));
    ck_assert(kl_hook(h, scale, &n, NULL) == KL_OK);
    ck_assert(kl_backward(loss) == KL_OK);
    SHOWS(kl_grad_of(w), "tensor([241.], dtype=torch.float64)");
    ck_assert_int_eq(n.calls, 1);
    note m = {.scale = 2};
    kl_tensor *v = leaf(5), *dv;
    ck_assert(kl_hook(v, scale, &m, NULL) == KL_OK);
    ck_assert(kl_backward(kl_sum(kl_add(v, kl_mul(v, v)))) == KL_OK);
    SHOWS(kl_grad_of(v), "tensor([22.], dtype=torch.float64)");
    kl_tensor *y = kl_mul(v, v);
    ck_assert(kl_hook(y, scale, &n, NULL) == KL_OK);
    ck_assert(kl_grad(kl_sum(y), &v, 1, &dv) == KL_OK);
    SHOWS(dv, "tensor([200.], dtype=torch.float64)");
}
END_TEST

START_TEST(second_order)
{
    static note n; /* written when what is left of the test is dropped, after it */
    kl_tensor *x = leaf(3), *y = squared(x, &n), *g, *gg;
    ck_assert(kl_grad_with(kl_sum(y), &x, 1, NULL, true, true, &g) == KL_OK);
    SHOWS(kl_detach(g), "tensor([6.], dtype=torch.float64)");
    ck_assert(kl_grad(kl_sum(g), &x, 1, &gg) == KL_OK);
    SHOWS(gg, "tensor([2.], dtype=torch.float64)");
}
END_TEST

START_TEST(refused)
{
    kl_tensor *x = leaf(3), *y = kl_mul(x, x);
    FAILS(kl_hook(kl_of(KL_F32, kl_shape(1), 1), scale, NULL, NULL) == KL_OK,
          "cannot register a hook on a tensor that doesn't require gradient");
    ck_assert(kl_hook(y, fails, NULL, NULL) == KL_OK);
    FAILS(kl_backward(kl_sum(y)) == KL_OK, "the hook refuses");
    ck_assert(kl_grad_of(x) == NULL);
    kl_tensor *z = kl_mul(x, x);
    ck_assert(kl_hook(z, misfits, NULL, NULL) == KL_OK);
    FAILS(kl_backward(kl_sum(z)) == KL_OK,
          "Function returned an invalid gradient - got [3] but expected shape");
}
END_TEST

START_TEST(let_go)
{
    note n = {0};
    kl_scope_begin();
    squared(leaf(2), &n);
    kl_scope_end();
    ck_assert_int_eq(n.drops, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cut");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, functions);
    tcase_add_test(tc, hooks);
    tcase_add_test(tc, second_order);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, let_go);
    return front_run(s);
}
