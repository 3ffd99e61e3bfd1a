/* kiln/rnn.h: recurrent layers, and attention of several heads. s is the sigmoid.
 *
 * tanh, relu: h' = f(W_ih x + b_ih + W_hh h + b_hh).
 * lstm: i f g o = the same, four parts; c' = s(f) c + s(i) tanh(g); h' = s(o) tanh(c'),
 * times W_hr if projected. gru: r z by s of the sums; n = tanh(W_in x + b_in + r (W_hn h
 * + b_hn)); h' = n + z (h - n). */
#ifndef KILN_RNN_H
#define KILN_RNN_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum kl_cell { KL_CELL_TANH, KL_CELL_RELU, KL_CELL_LSTM, KL_CELL_GRU } kl_cell;
typedef struct kl_rnn_options {
    kl_cell cell;
    int layers; /* 0: one */
    bool bidirectional;
    bool no_bias;   /* no b_ih and b_hh among the weights */
    bool projected; /* lstm: W_hr among the weights */
    double dropout; /* of each layer's output but the last's, in training */
    bool training;
    kl_tensor
        *lengths; /* i64 [N]: steps of each sequence, the rest is left out; NULL: T */
    int end_;
} kl_rnn_options;

/* x [T, N, I], h and c (lstm; else NULL) [layers * directions, N, H]; weights of each
 * layer and direction: W_ih W_hh b_ih b_hh W_hr. Gives [T, N, directions * H], *h_out and
 * *c_out (NULL unless lstm) the last states. */
KL_API kl_tensor *kl_rnn_at(const char *at, kl_tensor *x, kl_tensor *h, kl_tensor *c,
                            kl_tensor *const *weights, int n, kl_rnn_options o,
                            kl_tensor **h_out, kl_tensor **c_out);
#define kl_rnn(x, h, c, weights, n, h_out, c_out, ...)                                   \
    kl_rnn_at(KL_HERE, x, h, c, weights, n, (kl_rnn_options){__VA_ARGS__}, h_out, c_out)

/* One layer of an LSTM in one direction, h and c [N, H], all four weights: [T, N, H];
 * out: the last h and c, and what its derivative reads: of each step what h gave to the
 * gates, [T, N, 4H], and c after it. */
KL_API kl_tensor *kl_lstm_kept_at(const char *at, kl_tensor *x, kl_tensor *h,
                                  kl_tensor *c, kl_tensor *const weights[4],
                                  kl_tensor *out[4]);
#define kl_lstm_kept(x, h, c, weights, out)                                              \
    kl_lstm_kept_at(KL_HERE, x, h, c, weights, out)
/* Its derivative: kept: its output, and out[2], out[3] above; du: cotangents of the
 * output and the last h and c. Gives x's cotangent; out: those of the weights, h and c.
 */
KL_API kl_tensor *kl_lstm_back_at(const char *at, kl_tensor *x, kl_tensor *h,
                                  kl_tensor *c, kl_tensor *const weights[4],
                                  kl_tensor *const kept[3], kl_tensor *const du[3],
                                  kl_tensor *out[6]);
#define kl_lstm_back(x, h, c, weights, kept, du, out)                                    \
    kl_lstm_back_at(KL_HERE, x, h, c, weights, kept, du, out)

/* One step: x [N, I], h and c [N, H], weights W_ih W_hh b_ih b_hh, biases may be NULL. */
KL_API kl_tensor *kl_rnn_cell_at(const char *at, kl_cell cell, kl_tensor *x, kl_tensor *h,
                                 kl_tensor *c, kl_tensor *const weights[4],
                                 kl_tensor **c_out);
#define kl_rnn_cell(cell, x, h, c, weights, c_out)                                       \
    kl_rnn_cell_at(KL_HERE, cell, x, h, c, weights, c_out)

/* q [L, N, E], k and v [S, N, ..]; the parameters of torch.nn.MultiheadAttention. */
typedef struct kl_multihead {
    int heads;
    kl_tensor *w_in, *w_q, *w_k, *w_v; /* [3 E, E], or three */
    kl_tensor *b_in;                   /* [3 E] or NULL */
    kl_tensor *bias_k, *bias_v;        /* [1, 1, E]: one more key and value; or NULL */
    kl_tensor *w_out, *b_out;          /* [E, E], [E] or NULL */
    bool zero_attn;                    /* one more key and value of zeros */
    double dropout;                    /* of the weights, in training */
    bool training;
    kl_tensor *mask;     /* [L, S] or [N heads, L, S], added; bool: true is left out */
    kl_tensor *key_mask; /* [N, S], the same of keys */
    bool average;        /* *weights: the mean over heads */
    int end_;
} kl_multihead;
/* [L, N, E]; *weights (weights may be NULL): [N, L, S], or [N, heads, L, S]. */
KL_API kl_tensor *kl_multihead_attention_at(const char *at, kl_tensor *q, kl_tensor *k,
                                            kl_tensor *v, kl_multihead o,
                                            kl_tensor **weights);
#define kl_multihead_attention(q, k, v, weights, ...)                                    \
    kl_multihead_attention_at(KL_HERE, q, k, v, (kl_multihead){__VA_ARGS__}, weights)

#ifdef __cplusplus
}
#endif
#endif
