/* test_recurrent.c: recurrent layers and attention of heads from C, and every rule of the
 * optimisers: a layer is its cells one after the other, sequences of several lengths do
 * not see each other, each rule goes downhill, and what is wrong is said. Values:
 * PyTorch's own, in python/test_sequence.py and python/test_optim.py. */
#include "front_test.h"

#include <math.h>

enum { T = 4, N = 2, I = 3, H = 2 };

static void close_to(kl_tensor *a, kl_tensor *b)
{
    float x[256], y[256];
    ck_assert_msg(a && b && kl_numel(a) == kl_numel(b), "%s", kl_error());
    ck_assert(kl_copy_out(a, x, (size_t)kl_nbytes(a)) == KL_OK);
    ck_assert(kl_copy_out(b, y, (size_t)kl_nbytes(b)) == KL_OK);
    for (int64_t i = 0; i < kl_numel(a); i++)
        ck_assert_msg(fabsf(x[i] - y[i]) < 1e-5f, "element %d is %g, not %g", (int)i,
                      x[i], y[i]);
}

typedef struct layer {
    kl_tensor *w[4], *x, *h, *c;
} layer;

static layer draw(int gates)
{
    kl_manual_seed(1);
    layer l = {.w = {kl_randn(kl_shape(gates * H, I), KL_F32),
                     kl_randn(kl_shape(gates * H, H), KL_F32),
                     kl_randn(kl_shape(gates * H), KL_F32),
                     kl_randn(kl_shape(gates * H), KL_F32)},
               .x = kl_randn(kl_shape(T, N, I), KL_F32)};
    l.h = kl_randn(kl_shape(1, N, H), KL_F32);
    l.c = kl_randn(kl_shape(1, N, H), KL_F32);
    return l;
}

START_TEST(a_layer_is_its_cells)
{
    static const int gates[] = {1, 1, 4, 3};
    for (int cell = 0; cell < 4; cell++) {
        bool lstm = cell == KL_CELL_LSTM;
        layer l = draw(gates[cell]);
        kl_tensor *last, *last_c, *each[T];
        kl_tensor *y = kl_rnn(l.x, l.h, lstm ? l.c : NULL, l.w, 4, &last, &last_c,
                              .cell = (kl_cell)cell);
        kl_tensor *h = kl_select(l.h, 0, 0), *c = lstm ? kl_select(l.c, 0, 0) : NULL;
        for (int t = 0; t < T; t++)
            each[t] = h = kl_rnn_cell((kl_cell)cell, kl_select(l.x, 0, t), h, c, l.w, &c);
        close_to(y, kl_stack(each, T, 0));
        close_to(last, h);
        ck_assert(lstm == (last_c != NULL));
        if (lstm)
            close_to(last_c, c);
    }
}
END_TEST

/* The LSTM's derivative by what it kept is the one that goes through its steps. */
START_TEST(what_is_kept_is_enough)
{
    layer l = draw(4);
    kl_tensor *last[2], *y, *by[7], *d[7], *got[7], *out[4];
    kl_tensor *h = kl_select(l.h, 0, 0), *c = kl_select(l.c, 0, 0);
    kl_tensor *du[] = {kl_randn(kl_shape(T, N, H), KL_F32),
                       kl_randn(kl_shape(N, H), KL_F32),
                       kl_randn(kl_shape(N, H), KL_F32)};
    kl_tensor *in[] = {l.x, l.w[0], l.w[1], l.w[2], l.w[3], l.h, l.c};
    for (int i = 0; i < 7; i++)
        by[i] = kl_requires_grad_(in[i]);
    y = kl_rnn(by[0], by[5], by[6], by + 1, 4, &last[0], &last[1], .cell = KL_CELL_LSTM);
    kl_tensor *sum =
        kl_add(kl_sum(kl_mul(y, du[0])),
               kl_add(kl_sum(kl_mul(last[0], du[1])), kl_sum(kl_mul(last[1], du[2]))));
    ck_assert_msg(kl_grad(sum, by, 7, d) == KL_OK, "%s", kl_error());
    kl_tensor *z = kl_lstm_kept(l.x, h, c, l.w, out);
    close_to(z, y);
    close_to(out[0], kl_select(last[0], 0, 0));
    close_to(out[1], kl_select(last[1], 0, 0));
    kl_tensor *kept[] = {z, out[2], out[3]};
    got[0] = kl_lstm_back(l.x, h, c, l.w, kept, du, got + 1);
    for (int i = 0; i < 5; i++)
        close_to(got[i], d[i]);
    for (int i = 5; i < 7; i++)
        close_to(got[i], kl_select(d[i], 0, 0));
}
END_TEST

START_TEST(lengths_leave_the_rest_out)
{
    layer l = draw(4);
    int64_t n[N] = {T, 2};
    kl_tensor *lengths = kl_tensor_copy(n, KL_I64, kl_shape(N)), *h[2], *c[2];
    kl_tensor *y = kl_rnn(l.x, l.h, l.c, l.w, 4, &h[0], &c[0], .cell = KL_CELL_LSTM,
                          .lengths = lengths);
    kl_tensor *alone =
        kl_rnn(kl_narrow(kl_narrow(l.x, 0, 0, 2), 1, 1, 1), kl_narrow(l.h, 1, 1, 1),
               kl_narrow(l.c, 1, 1, 1), l.w, 4, &h[1], &c[1], .cell = KL_CELL_LSTM);
    close_to(kl_narrow(kl_narrow(y, 0, 0, 2), 1, 1, 1), alone);
    close_to(kl_narrow(h[0], 1, 1, 1), h[1]);
    close_to(kl_narrow(c[0], 1, 1, 1), c[1]);
    close_to(kl_narrow(kl_narrow(y, 0, 2, 2), 1, 1, 1),
             kl_zeros(kl_shape(2, 1, H), KL_F32));
}
END_TEST

START_TEST(weights_of_attention_sum_to_1)
{
    kl_manual_seed(2);
    kl_tensor *q = kl_randn(kl_shape(3, N, 4), KL_F32), *weights;
    kl_tensor *w = kl_randn(kl_shape(12, 4), KL_F32);
    kl_tensor *y =
        kl_multihead_attention(q, q, q, &weights, .heads = 2, .w_in = w, .average = true);
    ck_assert_msg(y && kl_extent(y, 2) == 4, "%s", kl_error());
    close_to(kl_sum_axes(weights, kl_axes(2), false), kl_ones(kl_shape(N, 3), KL_F32));
}
END_TEST

START_TEST(every_rule_goes_downhill)
{
    for (int rule = 0; rule < KL_RULE_COUNT; rule++) {
        kl_tensor *p = kl_full(kl_shape(3), 1, KL_F32);
        kl_optim *o = kl_optim_new_at(KL_HERE, (kl_optim_rule)rule, &p, 1,
                                      (kl_optim_options){.lr = 0.05});
        ck_assert_msg(o != NULL, "%s", kl_error());
        double first = 0, last = 0;
        for (int i = 0; i < 20; i++) {
            kl_scope_begin();
            kl_tensor *loss = kl_sum(kl_mul(p, p));
            ck_assert(kl_optim_minimize(o, loss) == KL_OK);
            last = kl_item(loss);
            first = i ? first : last;
            kl_scope_end();
        }
        ck_assert_msg(last < first, "rule %d: %g after %g", rule, last, first);
        kl_optim_free(o);
    }
}
END_TEST

START_TEST(mistakes_are_told)
{
    layer l = draw(1);
    kl_tensor *h, *c, *flat = kl_ones(kl_shape(2), KL_F32);
    FAILS(kl_rnn(flat, l.h, NULL, l.w, 4, &h, &c, .layers = 1),
          "rnn: input and states need 3 dimensions");
    FAILS(
        kl_rnn(l.x, l.h, NULL, l.w, 3, &h, &c, .layers = 1),
        "rnn: 1 layers in 1 directions take 4 weights and as many states, not 3 weights "
        "and 1 states");
    FAILS(kl_rnn(l.x, l.h, NULL, l.w, 4, &h, &c, .layers = 65),
          "rnn: more than 64 layers");
    FAILS(kl_rnn(l.x, l.h, NULL, l.w, 4, &h, &c, .cell = KL_CELL_LSTM),
          "rnn: an operand is NULL");
    FAILS(kl_multihead_attention(NULL, l.x, l.x, NULL, .heads = 1),
          "multihead_attention: NULL");
    FAILS(kl_multihead_attention(l.x, l.x, l.x, NULL, .heads = 2),
          "multihead_attention: query, key and value need 3 dimensions, the last one "
          "divisible by 2 heads");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recurrent");
    TCase *tc = front_case(s, "recurrent");
    tcase_add_test(tc, a_layer_is_its_cells);
    tcase_add_test(tc, what_is_kept_is_enough);
    tcase_add_test(tc, lengths_leave_the_rest_out);
    tcase_add_test(tc, weights_of_attention_sum_to_1);
    tcase_add_test(tc, every_rule_goes_downhill);
    tcase_add_test(tc, mistakes_are_told);
    return front_run(s);
}
