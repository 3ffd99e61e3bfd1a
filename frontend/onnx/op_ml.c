/* op_ml.c: operators of features: the few of ai.onnx.ml that work on tensors of numbers,
 * and counts of n-grams. What asks whether an optional value is there. */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

OP(Binarizer)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_to(kl_gt(x, kl_onnx_float(n, "threshold", 0)), kl_dtype_of(x)));
}

OP(ArrayFeatureExtractor)
{
    kl_tensor *x = in(n, 0), *at = in(n, 1);
    at = kl_to(kl_reshape(at, kl_shape(kl_numel(at))), KL_I64);
    kl_tensor *y = kl_index_select(x, -1, at);
    give(n, 0, kl_rank(x) == 1 ? kl_reshape(y, kl_shape(1, -1)) : y);
}

OP(OptionalHasElement)
{
    bool there = n->nin > 0 && (n->in[0].t || n->in[0].n >= 0);
    give(n, 0, kl_scalar_tensor(there, KL_BOOL));
}

OP(OptionalGetElement)
{
    if (n->nout)
        n->out[0] = n->in[0];
}

/* ---- n-grams ---- */

/* How often each of the grams [G, g] stands in x [B, C], its elements skip + 1 apart. */
static kl_tensor *gram_counts(kl_tensor *x, kl_tensor *grams, int64_t skip)
{
    int64_t g = kl_extent(grams, 1), B = kl_extent(x, 0), far = (g - 1) * (skip + 1);
    int64_t places = kl_extent(x, 1) - far;
    kl_tensor *all = NULL;
    if (places < 1)
        return kl_zeros(kl_shape(B, kl_extent(grams, 0)), KL_F32);
    for (int64_t k = 0; k < g; k++) {
        kl_tensor *at = kl_unsqueeze(kl_narrow(x, 1, k * (skip + 1), places), 2);
        kl_tensor *same = kl_eq(at, kl_select(grams, 1, k));
        all = all ? kl_logical_and(all, same) : same;
    }
    return kl_to(kl_sum_axes(all, kl_axes(1), false), KL_F32);
}

typedef struct grams {
    const attribute_proto *pool, *counts, *indexes, *weights;
    int64_t columns;
} grams;

static bool read_grams(kl_onnx_op *n, grams *v)
{
    *v = (grams){
        kl_onnx_attribute(n, "pool_int64s"), kl_onnx_attribute(n, "ngram_counts"),
        kl_onnx_attribute(n, "ngram_indexes"), kl_onnx_attribute(n, "weights"), 0};
    if (!v->pool || !v->counts || !v->indexes)
        return kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "a pool that is not of integers"),
               false;
    for (size_t i = 0; i < v->indexes->n_ints; i++) {
        int64_t at = v->indexes->ints[i];
        if (at < 0 || at > 1 << 24)
            return kl_onnx_fail(n, KL_ERR_INDEX, "column %lld", (long long)at), false;
        v->columns = at >= v->columns ? at + 1 : v->columns;
    }
    return true;
}

/* The columns of all grams of g elements, the first of them number id. */
static kl_tensor *add_size(kl_onnx_op *n, const grams *v, kl_tensor *y, kl_tensor *x,
                           int g, int64_t from, int64_t count, int64_t id)
{
    kl_tensor *grams = kl_tensor_copy(v->pool->ints + from, KL_I64, kl_shape(count, g));
    int64_t skips = g > 1 ? kl_onnx_int(n, "max_skip_count", 0) : 0;
    kl_tensor *sum = NULL;
    if (id + count > (int64_t)v->indexes->n_ints || skips < 0 || skips > 1024)
        return kl_onnx_fail(n, KL_ERR_INDEX, "more n-grams than columns"), NULL;
    for (int64_t s = 0; s <= skips; s++) {
        kl_tensor *c = gram_counts(x, grams, s);
        sum = sum ? kl_add(sum, c) : c;
    }
    return kl_index_add(y, 1, i64s(v->indexes->ints + id, count), sum);
}

OP(TfIdfVectorizer)
{
    kl_tensor *x = kl_to(in(n, 0), KL_I64);
    bool flat = kl_rank(x) == 1;
    const char *mode = kl_onnx_text(n, "mode", "TF");
    int64_t least = kl_onnx_int(n, "min_gram_length", 1), id = 0;
    int64_t most = kl_onnx_int(n, "max_gram_length", 1);
    grams v;
    x = flat ? kl_unsqueeze(x, 0) : x;
    if (!read_grams(n, &v) || kl_rank(x) != 2)
        return;
    kl_tensor *y = kl_zeros(kl_shape(kl_extent(x, 0), v.columns), KL_F32);
    for (size_t k = 0; k < v.counts->n_ints && !kl_failed(); k++) {
        int64_t g = (int64_t)k + 1, all = (int64_t)v.pool->n_ints,
                from = v.counts->ints[k];
        int64_t to = k + 1 < v.counts->n_ints ? v.counts->ints[k + 1] : all;
        if (from < 0 || to < from || to > all || (to - from) % g) {
            kl_onnx_fail(n, KL_ERR_PARSE, "ngram_counts do not fit the pool");
            return;
        }
        int64_t count = (to - from) / g;
        if (count && g >= least && g <= most)
            y = add_size(n, &v, y, x, (int)g, from, count, id);
        id += count;
    }
    if (v.weights && (int64_t)v.weights->n_floats >= v.columns &&
        strcmp(mode, "TF") != 0) {
        kl_tensor *w = kl_tensor_copy(v.weights->floats, KL_F32, kl_shape(v.columns));
        y = kl_mul(strcmp(mode, "IDF") == 0 ? kl_to(kl_gt(y, 0), KL_F32) : y, w);
    } else if (strcmp(mode, "IDF") == 0) {
        y = kl_to(kl_gt(y, 0), KL_F32);
    }
    give(n, 0, flat ? kl_select(y, 0, 0) : y);
}
