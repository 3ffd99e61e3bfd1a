/* padded.c: values whose size elements decide, in a model that becomes a program: as
 * large as they may get, with a count of what is meant along one axis. NonZero and its
 * like make them, an output hands them over with its count, and between the two stand
 * operators that only move elements or look at each alone:
 *
 *   NonZero [2, 12] count 5, axis 1   ->   Transpose [12, 2] count 5, axis 0
 *
 * Whatever else would take the padding for elements is refused. */
#include "op.h"

bool kl_onnx_pads(const kl_onnx_op *n, kl_tensor *x)
{
    if (!n->run->padded || n->frame->up || !x || kl_failed())
        return false;
    size_t size = (size_t)kl_nbytes(x);
    void *bytes = kl_onnx_alloc(n->run, size + 1);
    bool known = bytes && kl_peek(x, bytes, size) == KL_OK;
    if (bytes && !known)
        kl_error_clear();
    return bytes && !known;
}

/* ---- the axis of a result ---- */

static int same_axis(kl_onnx_op *n, int operand)
{
    return n->in[operand].axis;
}

static int transposed(kl_onnx_op *n, int operand)
{
    kl_ints perm;
    int axis = n->in[operand].axis, rank = kl_rank(in(n, operand));
    if (!kl_onnx_list(n, "perm", &perm) || !perm.n)
        return rank - 1 - axis;
    for (int i = 0; i < perm.n; i++)
        if (perm.v[i] == axis)
            return i;
    return -1;
}

static int squeezed(kl_onnx_op *n, int operand)
{
    kl_ints axes, have = kl_shape_of(in(n, operand));
    int axis = n->in[operand].axis, gone = 0;
    bool given = kl_onnx_list_of(n, n->opset < 13 ? -1 : 1, "axes", &axes);
    if (!given)
        for (int i = 0; i < axis; i++)
            gone += have.v[i] == 1;
    for (int i = 0; given && i < axes.n; i++) {
        int64_t k = axes.v[i] + (axes.v[i] < 0 ? have.n : 0);
        if (k == axis)
            return -1;
        gone += k < axis;
    }
    return !given && have.v[axis] == 1 ? -1 : axis - gone;
}

/* Indices stand in the place of the axis that they choose from. */
static int gathered(kl_onnx_op *n, int operand)
{
    int axis = (int)kl_onnx_int(n, "axis", 0), rank = kl_rank(in(n, 0));
    axis += axis < 0 ? rank : 0;
    if (operand == 1)
        return axis + n->in[1].axis;
    int counted = n->in[0].axis;
    return counted == axis  ? -1
           : counted < axis ? counted
                            : counted + kl_rank(in(n, 1)) - 1;
}

static int gathered_by_rows(kl_onnx_op *n, int operand)
{
    bool whole = operand == 1 && n->in[1].axis < kl_rank(in(n, 1)) - 1;
    return whole ? n->in[1].axis : -1;
}

static const struct {
    const char *op;
    int (*axis)(kl_onnx_op *n, int operand); /* -1: it cannot be told */
} passes[] = {{"Identity", same_axis},   {"Cast", same_axis},
              {"Transpose", transposed}, {"Squeeze", squeezed},
              {"Gather", gathered},      {"GatherND", gathered_by_rows}};

static int (*axis_of(const kl_onnx_op *n))(kl_onnx_op *n, int operand)
{
    for (size_t i = 0; i < KL_COUNT(passes); i++)
        if (strcmp(passes[i].op, n->node->op_type) == 0)
            return passes[i].axis;
    return n->row->one ? same_axis : NULL; /* element by element */
}

/* ---- nodes ---- */

/* The one operand that is counted, or -1; -2: there are two. */
static int counted(const kl_onnx_op *n)
{
    int found = -1;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].count)
            found = found < 0 ? i : -2;
    return found;
}

static kl_status refuse(const kl_onnx_op *n, int operand)
{
    return kl_onnx_fail(n, KL_ERR_STATE,
                        "its operand '%.100s' has a size that elements decide, which a "
                        "compiled model can hand out, but not use here",
                        n->node->input[operand < 0 ? 0 : operand]);
}

bool kl_onnx_takes_counted(const kl_onnx_op *n)
{
    int i = counted(n);
    if (i == -1)
        return true;
    if (i < 0 || n->frame->up || !axis_of(n))
        refuse(n, i);
    return !kl_failed();
}

void kl_onnx_pass_counted(kl_onnx_op *n)
{
    int i = counted(n);
    if (i < 0 || kl_failed() || !n->out[0].t)
        return;
    int axis = axis_of(n)(n, i);
    if (axis < 0) {
        refuse(n, i);
        return;
    }
    n->out[0].count = n->in[i].count;
    n->out[0].axis = axis;
}
