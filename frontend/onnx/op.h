/* op.h: what a row's function reads and writes of its node. After a failure operands are
 * NULL and calls do nothing: a function need not look in between, but for shapes. */
#ifndef KL_ONNX_OP_H
#define KL_ONNX_OP_H

#include "onnx.h"

/* ---- op.c ---- */
/* "model.onnx: node 'x' (Conv, opset 13): " and the sentence. */
kl_status kl_onnx_fail(const kl_onnx_op *n, kl_status s, const char *fmt, ...)
    KL_PRINTF(3, 4);
const attribute_proto *kl_onnx_attribute(const kl_onnx_op *n, const char *name);
int64_t kl_onnx_int(const kl_onnx_op *n, const char *name, int64_t fallback);
double kl_onnx_float(const kl_onnx_op *n, const char *name, double fallback);
const char *kl_onnx_text(const kl_onnx_op *n, const char *name, const char *fallback);
/* Integers of an attribute; false: it is not there. */
bool kl_onnx_list(const kl_onnx_op *n, const char *name, kl_ints *v);
/* The elements of operand i as integers or numbers: memory of the run, *count of them;
 * NULL: it is not there, or it failed. */
const int64_t *kl_onnx_ints(kl_onnx_op *n, int i, int64_t *count);
const double *kl_onnx_numbers(kl_onnx_op *n, int i, int64_t *count);
/* The same, as a short list: of an operand, or of the attribute in older opsets. */
bool kl_onnx_list_of(kl_onnx_op *n, int i, const char *name, kl_ints *v);
/* Whether t's elements can be looked at: no parameter of a traced function is behind it.
 */
bool kl_onnx_known(kl_tensor *t);
/* Axes between 0 and rank; an error otherwise. */
bool kl_onnx_axes(kl_onnx_op *n, kl_ints *axes, int rank);
bool kl_onnx_axis(kl_onnx_op *n, int64_t *axis, int rank);
/* x at spatial axes (the last pads.n / 2), begins then ends, with v around. */
kl_tensor *kl_onnx_pad(kl_tensor *x, kl_ints pads, kl_arg v);

/* ---- padded.c, padded_rules.c ---- */
/* Whether the size of a result of x is to be a bound: x's elements are not known. */
bool kl_onnx_pads(const kl_onnx_op *n, kl_tensor *x);
/* Where operand i is not zero, [most, rank] of which .count are meant. */
kl_onnx_value kl_onnx_chosen(kl_onnx_op *n, int i);
typedef struct kl_onnx_choice { /* made before */
    struct kl_onnx_choice *next;
    kl_tensor *which;
    kl_onnx_value places;
} kl_onnx_choice;
/* In place of operand i's padding, if it has some. */
void kl_onnx_fill_counted(kl_onnx_op *n, int i, kl_arg with);
/* v's counted axis from .. to by step, as Slice has them. */
void kl_onnx_cut_counted(kl_onnx_op *n, kl_onnx_value *v, int64_t from, int64_t to,
                         int64_t step);
kl_status kl_onnx_refuse_counted(const kl_onnx_op *n, int operand);
/* Into what is counted: from its end where they are negative; beyond it is out of range,
 * which is extent. */
kl_tensor *kl_onnx_within(kl_tensor *index, kl_tensor *count, int64_t extent);
/* After a node one of whose operands was computed with counts: the most of its results.
 */
void kl_onnx_carry_most(kl_onnx_op *n);
/* Carries out a node whose operand first is the first that is counted; NULL: refused. */
void (*kl_onnx_rule(const kl_onnx_op *n))(kl_onnx_op *n, int first);

/* ---- op_select_padded.c ---- */
/* NonMaxSuppression of operands whose elements are not known. */
void kl_onnx_select_padded(kl_onnx_op *n);

/* ---- short forms ---- */
static inline kl_tensor *in(const kl_onnx_op *n, int i)
{
    return i < n->nin ? n->in[i].t : NULL;
}
static inline bool has(const kl_onnx_op *n, int i)
{
    return in(n, i) != NULL;
}
static inline bool wanted(const kl_onnx_op *n, int i)
{
    return i < n->nout && n->node->output[i][0];
}
static inline void give(kl_onnx_op *n, int i, kl_tensor *t)
{
    if (i < n->nout)
        n->out[i] = (kl_onnx_value){
            .t = t, .type = t ? kl_onnx_type(kl_dtype_of(t)) : 0, .n = -1};
}
/* So much of its axis is meant. */
static inline void give_counted(kl_onnx_op *n, int i, kl_tensor *t, kl_tensor *count,
                                int axis)
{
    give(n, i, t);
    if (i < n->nout)
        n->out[i].count = count, n->out[i].axis = axis;
}
static inline void give_as(kl_onnx_op *n, int i, kl_tensor *t, int type)
{
    give(n, i, t);
    if (i < n->nout)
        n->out[i].type = type;
}
static inline bool is_float(kl_dtype dt)
{
    return dt == KL_F16 || dt == KL_BF16 || dt == KL_F32 || dt == KL_F64;
}
static inline bool is_unsigned(kl_dtype dt)
{
    return dt == KL_U8 || dt == KL_U16 || dt == KL_U32 || dt == KL_U64;
}
/* Sizes out of a model's numbers: what leaves 64 bits stays at the end, which no shape
 * holds, so that the call it is given to refuses it. */
static inline int64_t sum64(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) ? (b < 0 ? INT64_MIN : INT64_MAX) : r;
}
static inline int64_t product64(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? ((a < 0) != (b < 0) ? INT64_MIN : INT64_MAX)
                                            : r;
}
/* A number without its fraction; 0 of NaN. */
static inline int64_t whole64(double v)
{
    const double most = 9e18;
    return v != v ? 0 : (int64_t)(v > most ? most : v < -most ? -most : v);
}
static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}
static inline kl_ints ints_fill(int n, int64_t v)
{
    kl_ints s = {n, {0}};
    for (int i = 0; i < n && i < KL_INTS_MAX; i++)
        s.v[i] = v;
    return s;
}
static inline void push(kl_ints *s, int64_t v)
{
    if (s->n < KL_INTS_MAX)
        s->v[s->n] = v;
    s->n++;
}
/* f16 and bf16 as f32 and back: sums and the like. */
static inline kl_tensor *widen(kl_tensor *t)
{
    kl_dtype dt = kl_dtype_of(t);
    return dt == KL_F16 || dt == KL_BF16 ? kl_to(t, KL_F32) : t;
}
/* A 1-d tensor over axis 1 of rank dimensions: [C] -> [C, 1, 1]. */
static inline kl_tensor *channels(kl_tensor *t, int rank)
{
    kl_ints s = kl_shape(-1);
    for (int i = 2; i < rank; i++)
        push(&s, 1);
    return t ? kl_reshape(t, s) : NULL;
}
/* A list of one number as that number. */
static inline kl_tensor *number(kl_tensor *t)
{
    return t && kl_rank(t) == 1 && kl_numel(t) == 1 ? kl_reshape(t, kl_shape()) : t;
}
/* A list of numbers as a tensor. */
static inline kl_tensor *i64s(const int64_t *v, int64_t n)
{
    return kl_tensor_copy(v, KL_I64, kl_shape(n));
}

#endif
