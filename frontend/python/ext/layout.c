/* layout.c: in which order the axes of a function's results lie in memory, by a table
 * (layouts.def) and by memory_format=. Values do not depend on it: what a call gave is laid
 * anew, which costs nothing until somebody looks at the memory.
 *
 *   max_pool2d(x), x channels_last  ->  channels_last
 *   linalg.inv(a)                   ->  by columns, as LAPACK leaves it */
#include "py.h"

#include <string.h>

enum { AS_IS, AFTER, CHANNELS, SEQUENCE, ALIKE, COLUMNS, UPRIGHT, DENSE };
enum { MOST = 16 };
static const struct {
    const char *name;
    unsigned char rule, n;
} layouts[] = {
#define KL_LAY(name, rule, n) {#name, rule, n},
#include "layouts.def"
#undef KL_LAY
};

/* "inv", or "linalg.svd". */
static bool names(const char *name, const py_row *row)
{
    const char *dot = strchr(name, '.');
    if (dot && strncmp(row->where, name, (size_t)(dot - name)) != 0)
        return false;
    return strcmp(dot ? dot + 1 : name, row->name) == 0;
}

void py_layout_prepare(py_row *row)
{
    row->format = -1;
    for (int i = 0; i < row->nparams; i++)
        if (PyUnicode_CompareWithASCIIString(row->params[i].name, "memory_format") == 0)
            row->format = i;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (row->lay == AS_IS && names(layouts[i].name, row))
            row->lay = layouts[i].rule, row->laid_by = layouts[i].n;
}

/* ---- channels innermost ---- */

/* The order N, spatial axes, C. */
static kl_ints channels_last(int rank)
{
    if (rank == 3)
        return kl_shape(0, 2, 1);
    return rank == 4 ? kl_shape(0, 2, 3, 1) : kl_shape(0, 2, 3, 4, 1);
}

/* Whether a tensor's strides say so, as PyTorch guesses it (1 x C x 1 x 1 does not). */
static bool is_channels_last(const kl_tensor *t)
{
    int rank = t ? kl_rank(t) : 0;
    int64_t least = 0;
    if (rank < 3 || rank > 5 || kl_stride(t, 1) == 0)
        return false;
    kl_ints order = channels_last(rank);
    for (int i = rank; i-- > 0;) {
        int d = (int)order.v[i];
        int64_t stride = kl_stride(t, d), extent = kl_extent(t, d);
        if (extent == 0 || stride < least || (d == 0 && least == kl_stride(t, 1)))
            return false;
        least = extent > 1 ? stride * extent : stride;
    }
    return true;
}

static bool channels_of(kl_tensor *const *x, int n, bool all)
{
    int found = 0, asked = 0;
    for (int i = 0; i < n; i++) {
        asked += x[i] != NULL;
        found += is_channels_last(x[i]);
    }
    return all ? found && found == asked : found > 0;
}

/* ---- results ---- */

static kl_tensor *in_reverse(const char *at, kl_tensor *t, int from)
{
    int64_t order[KL_INTS_MAX] = {0};
    int rank = kl_rank(t);
    for (int i = 0; i < rank; i++)
        order[i] = i < from ? i : rank - 1 - (i - from);
    return kl_lay_at(at, t, kl_ints_of(rank, order));
}

static kl_tensor *laid(const char *at, int rule, kl_tensor *t, kl_tensor *const *x, int n)
{
    int rank = kl_rank(t);
    switch (rule) {
    case AFTER:
        return kl_lay_after_at(at, t, x, n);
    case CHANNELS:
    case SEQUENCE:
    case ALIKE:
        if ((rule == SEQUENCE) != (rank == 3) || rank < 3 || rank > 5 ||
            !channels_of(x, n, rule == ALIKE))
            return t;
        return kl_lay_at(at, t, channels_last(rank));
    case COLUMNS:
        return rank < 2 || !n || kl_rank(x[0]) != rank ? t : in_reverse(at, t, rank - 2);
    case UPRIGHT:
        return in_reverse(at, t, 0);
    default:
        return kl_lay_after_at(at, t, NULL, 0);
    }
}

static int operands(const py_row *row, const py_value *v, kl_tensor **x)
{
    int n = 0, most = row->laid_by && row->lay != COLUMNS ? row->laid_by : MOST;
    for (int i = 0; i < row->nparams && n < most; i++) {
        py_kind kind = row->params[i].kind;
        if (kind == PY_TENSOR && v[i].u.t)
            x[n++] = v[i].u.t;
        else if (kind == PY_OPERAND && v[i].u.a.kind == KL_ARG_TENSOR)
            x[n++] = v[i].u.a.t;
        for (int k = 0; kind == PY_TENSORS && k < v[i].u.list.n && n < most; k++)
            x[n++] = v[i].u.list.ts[k];
    }
    return n;
}

/* A view of an operand, or the operand, lies where it lies. */
static bool is_new(const kl_tensor *t, kl_tensor *const *x, int n)
{
    for (int i = 0; i < n; i++)
        if (kl_shares_memory(t, x[i]))
            return false;
    return true;
}

static const char *format_of(PyObject *o)
{
    static const char *const names[] = {"contiguous_format", "preserve_format",
                                        "channels_last", "channels_last_3d"};
    PyObject *name = o && o != Py_None ? PyObject_GetAttrString(o, "_name") : NULL;
    const char *found = NULL;
    for (int i = 0; name && i < 4; i++)
        if (PyUnicode_CompareWithASCIIString(name, names[i]) == 0)
            found = names[i];
    Py_XDECREF(name);
    PyErr_Clear();
    return found;
}

/* The rank that a format is of; 0: any. */
static int rank_of(const char *format)
{
    return strcmp(format, "channels_last") == 0      ? 4
           : strcmp(format, "channels_last_3d") == 0 ? 5
                                                     : 0;
}

static bool lies_as(const kl_tensor *t, int rank)
{
    if (rank == 0 || kl_rank(t) != rank)
        return rank == 0 && kl_is_contiguous(t);
    kl_ints order = channels_last(rank);
    int64_t step = 1;
    for (int i = rank; i-- > 0;) {
        int d = (int)order.v[i];
        if (kl_extent(t, d) != 1 && kl_stride(t, d) != step)
            return false;
        step *= kl_extent(t, d);
    }
    return true;
}

bool py_lies_as(const kl_tensor *t, PyObject *o)
{
    const char *format = format_of(o);
    return lies_as(t, format ? rank_of(format) : 0);
}

static kl_tensor *formatted(const char *at, kl_tensor *t, const char *format)
{
    int rank = rank_of(format);
    if (lies_as(t, rank))
        return t;
    if (rank == 0)
        return kl_lay_after_at(at, t, NULL, 0);
    if (kl_rank(t) == rank)
        return kl_lay_at(at, t, channels_last(rank));
    PyErr_Format(PyExc_RuntimeError, "required rank %d tensor to use %s format", rank,
                 format);
    return NULL;
}

static kl_tensor *lay_one(const char *at, const py_row *row, const char *format,
                          kl_tensor *t, kl_tensor *const *x, int n)
{
    if (format && strcmp(format, "preserve_format") != 0)
        return formatted(at, t, format);
    return row->lay != AS_IS && t && is_new(t, x, n) ? laid(at, row->lay, t, x, n) : t;
}

void py_lay(const char *at, const py_row *row, const py_value *v, py_result *r)
{
    const char *format = row->format >= 0 ? format_of(v[row->format].u.o) : NULL;
    if (row->lay == AS_IS && !format)
        return;
    kl_tensor *x[MOST];
    int n = operands(row, v, x);
    for (int i = 0; i < (row->list ? 0 : r->n); i++) {
        kl_tensor **t = i ? &r->x[i - 1] : &r->t;
        if (*t && !(row->lay == COLUMNS && !(row->laid_by >> i & 1)))
            *t = lay_one(at, row, format, *t, x, n);
    }
}
