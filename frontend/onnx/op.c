/* op.c: attributes and operands as a row's function wants them: numbers, lists, axes. An
 * attribute of a function's body may stand for one of the call's. */
#include "op.h"

kl_status kl_onnx_fail(const kl_onnx_op *n, kl_status s, const char *fmt, ...)
{
    char line[900];
    int at = snprintf(line, sizeof line,
                      "%.120s: node '%.120s' (%.80s%s%.80s, opset %d): ", n->run->m->name,
                      n->node->name, KL_ONNX_OPERATOR(n->node), n->opset);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + at, sizeof line - (size_t)at, fmt, ap);
    va_end(ap);
    return kl_error_set(s, line);
}

/* ---- attributes ---- */

static const attribute_proto *named(attribute_proto *const *a, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i]->name, name) == 0)
            return a[i];
    return NULL;
}

const attribute_proto *kl_onnx_attribute(const kl_onnx_op *n, const char *name)
{
    const attribute_proto *a = named(n->node->attribute, n->node->n_attribute, name);
    if (!a || !*a->ref_attr_name || !n->frame->call)
        return a;
    const function_proto *f = n->frame->function;
    const attribute_proto *of_call = kl_onnx_attribute(n->frame->call, a->ref_attr_name);
    return of_call ? of_call
                   : named(f->attribute_proto, f->n_attribute_proto, a->ref_attr_name);
}

static const attribute_proto *typed(const kl_onnx_op *n, const char *name, int type,
                                    const char *what)
{
    const attribute_proto *a = kl_onnx_attribute(n, name);
    if (a && (int)a->type != type && a->type != 0) {
        kl_onnx_fail(n, KL_ERR_PARSE, "attribute %s is no %s", name, what);
        return NULL;
    }
    return a;
}

int64_t kl_onnx_int(const kl_onnx_op *n, const char *name, int64_t fallback)
{
    const attribute_proto *a =
        typed(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, "integer");
    return a ? a->i : fallback;
}

double kl_onnx_float(const kl_onnx_op *n, const char *name, double fallback)
{
    const attribute_proto *a =
        typed(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT, "number");
    return a ? (double)a->f : fallback;
}

const char *kl_onnx_text(const kl_onnx_op *n, const char *name, const char *fallback)
{
    const attribute_proto *a =
        typed(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING, "text");
    char *s = a ? kl_onnx_alloc(n->run, a->s.len + 1) : NULL;
    if (s && a->s.len)
        memcpy(s, a->s.data, a->s.len);
    return a ? (s ? s : "") : fallback;
}

bool kl_onnx_list(const kl_onnx_op *n, const char *name, kl_ints *v)
{
    const attribute_proto *a =
        typed(n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, "list of integers");
    *v = kl_ints_of(a ? a->n_ints : 0, a ? a->ints : NULL);
    if (a && a->n_ints > KL_INTS_MAX)
        return kl_onnx_fail(n, KL_ERR_UNSUPPORTED,
                            "attribute %s has more than %d elements", name, KL_INTS_MAX),
               false;
    return a != NULL;
}

/* ---- operands' elements ---- */

static void *elements(kl_onnx_op *n, int i, kl_dtype dt, int64_t *count)
{
    kl_tensor *t = in(n, i);
    *count = 0;
    if (!t)
        return NULL;
    t = kl_to(t, dt);
    int64_t k = kl_numel(t);
    void *v = t ? kl_onnx_array(n->run, k, 8) : NULL;
    if (!v || kl_peek(t, v, (size_t)k * 8))
        return NULL;
    *count = k;
    return v;
}

const int64_t *kl_onnx_ints(kl_onnx_op *n, int i, int64_t *count)
{
    return elements(n, i, KL_I64, count);
}

const double *kl_onnx_numbers(kl_onnx_op *n, int i, int64_t *count)
{
    return elements(n, i, KL_F64, count);
}

bool kl_onnx_list_of(kl_onnx_op *n, int i, const char *name, kl_ints *v)
{
    int64_t count;
    if (name && kl_onnx_attribute(n, name))
        return kl_onnx_list(n, name, v);
    *v = (kl_ints){0};
    if (i >= 0 && has(n, i) &&
        kl_numel(in(n, i)) > KL_INTS_MAX) /* before they are made */
        return kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "operand %d has more than %d elements",
                            i, KL_INTS_MAX),
               false;
    const int64_t *x = i >= 0 ? kl_onnx_ints(n, i, &count) : NULL;
    if (!x)
        return false;
    *v = kl_ints_of((size_t)count, x);
    return true;
}

bool kl_onnx_known(kl_tensor *t)
{
    char byte[64];
    size_t size = (size_t)kl_nbytes(t);
    if (!t || kl_failed() || size > sizeof byte)
        return false;
    if (kl_peek(t, byte, size) == KL_OK)
        return true;
    kl_error_clear();
    return false;
}

bool kl_onnx_axis(kl_onnx_op *n, int64_t *axis, int rank)
{
    if (*axis < -rank || *axis >= rank)
        return kl_onnx_fail(n, KL_ERR_INDEX, "axis %lld of %d dimensions",
                            (long long)*axis, rank),
               false;
    *axis += *axis < 0 ? rank : 0;
    return true;
}

bool kl_onnx_axes(kl_onnx_op *n, kl_ints *axes, int rank)
{
    for (int i = 0; i < axes->n; i++)
        if (!kl_onnx_axis(n, &axes->v[i], rank))
            return false;
    return true;
}

kl_tensor *kl_onnx_pad(kl_tensor *x, kl_ints pads, kl_arg v)
{
    kl_ints p = {pads.n, {0}};
    bool any = false;
    int d = pads.n / 2;
    for (int i = 0; i < d; i++) {
        p.v[2 * (d - 1 - i)] = pads.v[i];
        p.v[2 * (d - 1 - i) + 1] = pads.v[d + i];
        any |= pads.v[i] || pads.v[d + i];
    }
    return any ? kl_pad_at(KL_HERE, x, p, v) : x;
}
