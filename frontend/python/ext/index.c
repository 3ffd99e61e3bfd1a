/* index.c: t[key] and t[key] = v, as NumPy's basic and advanced indexing.
 *
 *   t[1, :, None, idx]   integers, slices, None and Ellipsis make a view; what is left,
 *                        tensors of numbers or truth, gathers from it (kl_index)
 *
 * Assigning writes through the same view, by index_put where tensors remain. */
#include "py.h"

#include <stdio.h>

typedef struct plan {
    kl_tensor *view;
    kl_tensor *index[KL_INTS_MAX]; /* per dimension of the view; NULL: whole */
    int n, rank;                   /* dimensions walked; of the original */
    int part;                      /* which of the key's is looked at, for errors */
    bool advanced, alone;          /* alone: the key has one part */
    PyObject *made;                /* tensors of the key's arrays, a list */
} plan;

static bool is_sequence(PyObject *o)
{
    return PyList_Check(o) || PyTuple_Check(o) || PyRange_Check(o);
}

/* Truth, or bytes, which are read as truth. */
static bool is_mask(kl_tensor *t)
{
    return kl_dtype_of(t) == KL_BOOL || kl_dtype_of(t) == KL_U8;
}

/* How many dimensions of t one part of the key uses up. */
static int uses(PyObject *o)
{
    if (o == Py_None || o == Py_Ellipsis || PyBool_Check(o))
        return 0;
    return py_is_tensor(o) && is_mask(py_t(o)) ? kl_rank(py_t(o)) : 1;
}

static int fail(PyObject *type, const char *text)
{
    PyErr_SetString(type, text);
    return -1;
}

static int no_index(PyObject *o)
{
    return py_fail_type(
        PyExc_IndexError,
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte "
        "Variables are valid indices (got %U)",
        o);
}

static int take_slice(plan *p, const char *at, PyObject *o)
{
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(o, &start, &stop, &step))
        return -1;
    if (step <= 0)
        return fail(PyExc_ValueError, "step must be greater than zero");
    int64_t n = kl_extent(p->view, p->n);
    PySlice_AdjustIndices((Py_ssize_t)n, &start, &stop, step);
    if (start == 0 && stop >= n && step == 1) {
        p->n++;
        return 0;
    }
    p->view = kl_slice_at(at, p->view, p->n++, start, stop, step);
    return p->view ? 0 : -1;
}

static int take_int(plan *p, const char *at, PyObject *o)
{
    int64_t i, n = kl_extent(p->view, p->n);
    int whole = py_as_int(o, &i);
    if (whole != 1)
        return whole ? -1 : no_index(o);
    if (n < 0)
        return fail(PyExc_IndexError,
                    "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                    "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number");
    if (i < -n || i >= n) {
        PyErr_Format(PyExc_IndexError,
                     "index %lld is out of bounds for dimension %d with size %lld",
                     (long long)i, p->part, (long long)n);
        return -1;
    }
    p->view = kl_select_at(at, p->view, p->n, i);
    return p->view ? 0 : -1;
}

static PyObject *list_of(const kl_tensor *t)
{
    PyObject *list = PyList_New(kl_rank(t));
    for (int d = 0; list && d < kl_rank(t); d++)
        PyList_SetItem(list, d, PyLong_FromLongLong(kl_extent(t, d)));
    return list;
}

/* A mask is as many index tensors as it has dimensions, but where it is all there is. */
static int take_mask(plan *p, const char *at, kl_tensor *mask)
{
    for (int d = 0; d < kl_rank(mask); d++)
        if (kl_extent(mask, d) != kl_extent(p->view, p->n + d)) {
            PyObject *of = list_of(mask), *in = list_of(p->view);
            PyErr_Format(
                PyExc_IndexError,
                "The shape of the mask %R at index %d does not match the shape of "
                "the indexed tensor %R at index %d",
                of, d, in, p->n + d);
            Py_XDECREF(of);
            Py_XDECREF(in);
            return -1;
        }
    p->advanced = true;
    if (p->alone && kl_dtype_of(mask) == KL_BOOL) {
        p->index[p->n++] = mask;
        return 0;
    }
    kl_tensor *all = kl_nonzero_at(at, mask);
    for (int d = 0; all && d < kl_rank(mask); d++)
        p->index[p->n++] = kl_select_at(at, all, 1, d);
    return all ? 0 : -1;
}

static int take_tensor(plan *p, const char *at, PyObject *o)
{
    kl_tensor *t = py_t(o);
    if (kl_dtype_of(t) == KL_U8 &&
        PyErr_WarnEx(
            PyExc_UserWarning,
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype "
            "torch.bool instead.",
            1))
        return -1;
    if (is_mask(t))
        return take_mask(p, at, t);
    if (kl_dtype_of(t) >= KL_F16)
        return fail(PyExc_IndexError,
                    "tensors used as indices must be long, int, byte or "
                    "bool tensors");
    p->index[p->n++] = t;
    p->advanced = true;
    return 0;
}

/* A truth indexes a dimension of its own, by one zero or by none: several give one
 * dimension. */
static int take_truth(plan *p, const char *at, bool on)
{
    p->view = kl_unsqueeze_at(at, p->view, p->n);
    p->index[p->n++] = kl_full_at(at, kl_shape(on), kl_arg_i(0), KL_I64);
    p->advanced = true;
    return p->view && p->index[p->n - 1] ? 0 : -1;
}

static int take(plan *p, const char *at, PyObject *o)
{
    if (p->n >= KL_INTS_MAX)
        return fail(PyExc_IndexError, "too many indices");
    if (o == Py_None) {
        p->view = kl_unsqueeze_at(at, p->view, p->n++);
        return p->view ? 0 : -1;
    }
    if (PySlice_Check(o))
        return take_slice(p, at, o);
    if (PyBool_Check(o))
        return take_truth(p, at, o == Py_True);
    if (py_is_tensor(o) && (kl_rank(py_t(o)) > 0 || is_mask(py_t(o))))
        return kl_rank(py_t(o)) > 0 ? take_tensor(p, at, o)
                                    : take_truth(p, at, PyObject_IsTrue(o) == 1);
    if (py_is_int(o))
        return take_int(p, at, o);
    if (!is_sequence(o))
        return no_index(o);
    PyObject *t = py_make(o, KL_DTYPE_NONE);
    if (t && kl_numel(py_t(t)) == 0 && kl_dtype_of(py_t(t)) >= KL_F16) {
        Py_DECREF(t); /* an empty list indexes nothing */
        t = py_make(o, KL_I64);
    }
    int r = t ? take_tensor(p, at, t) : -1;
    if (t) { /* lives as long as the call needs it */
        kl_tensor *again =
            r == 0 && p->index[p->n - 1] == py_t(t) ? kl_detach_at(at, py_t(t)) : NULL;
        if (again)
            p->index[p->n - 1] = again;
        Py_DECREF(t);
    }
    return r;
}

static int walk(plan *p, const char *at, PyObject *const *part, Py_ssize_t n)
{
    int used = 0, dots = 0;
    p->alone = n == 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        used += uses(part[i]);
        dots += part[i] == Py_Ellipsis;
    }
    if (used > p->rank && n == 1 && p->rank == 0 && py_is_int(*part))
        return take_int(p, at, *part);
    if (used > p->rank) {
        PyErr_Format(PyExc_IndexError, "too many indices for tensor of dimension %d",
                     p->rank);
        return -1;
    }
    if (dots > 1)
        return fail(PyExc_IndexError, "an index can only have a single ellipsis ('...')");
    for (Py_ssize_t i = 0; i < n; i++) {
        p->part = (int)i;
        if (part[i] == Py_Ellipsis)
            p->n += p->rank - used;
        else if (take(p, at, part[i]))
            return -1;
    }
    return 0;
}

/* A list that holds more than numbers is read as a tuple, as NumPy once did: 1, and a
 * warning; -1: the warning is an error. */
static int stands_for_tuple(PyObject *key)
{
    Py_ssize_t n = PyList_Check(key) ? PyList_Size(key) : 0;
    bool parts = false;
    for (Py_ssize_t i = 0; i < n && n < 32 && !parts; i++) {
        PyObject *o = PyList_GetItem(key, i);
        parts = py_is_tensor(o) || PySlice_Check(o) || PySequence_Check(o) ||
                o == Py_Ellipsis || o == Py_None;
    }
    if (!parts)
        return 0;
    return PyErr_WarnEx(
               PyExc_UserWarning,
               "Using a non-tuple sequence for multidimensional indexing is deprecated "
               "and "
               "will be changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In "
               "pytorch 2.9 this will be interpreted as tensor index, "
               "x[torch.tensor(seq)], which will result either in an error or a "
               "different "
               "result",
               1)
               ? -1
               : 1;
}

/* What the rest of this file looks at: NumPy's arrays as tensors. */
static PyObject *part_of(plan *p, PyObject *o)
{
    int64_t i;
    if (PySlice_Check(o) || o == Py_None || !py_is_array(o))
        return o;
    int whole =
        py_as_int(o, &i); /* an array has __index__, which most refuse to answer */
    if (whole)
        return whole > 0 ? o : NULL;
    PyObject *t = py_make(o, KL_DTYPE_NONE);
    p->made = p->made ? p->made : PyList_New(0);
    if (t && (!p->made || PyList_Append(p->made, t)))
        Py_CLEAR(t);
    Py_XDECREF(t); /* the list holds it */
    return t;
}

static int make_plan(plan *p, const char *at, PyObject *self, PyObject *key)
{
    PyObject *parts[2 * KL_INTS_MAX];
    *p = (plan){.view = py_t(self), .rank = kl_rank(py_t(self))};
    bool tuple = PyTuple_Check(key);
    int listed = tuple ? 0 : stands_for_tuple(key);
    if (listed < 0)
        return -1;
    if (!tuple && !listed)
        return (key = part_of(p, key)) ? walk(p, at, &key, 1) : -1;
    Py_ssize_t n = tuple ? PyTuple_Size(key) : PyList_Size(key);
    if (n > 2 * KL_INTS_MAX)
        return fail(PyExc_IndexError, "too many indices");
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = tuple ? PyTuple_GetItem(key, i) : PyList_GetItem(key, i);
        if (!(parts[i] = part_of(p, o)))
            return -1;
    }
    return walk(p, at, parts, n);
}

/* The shapes of all indices, for an error. */
static void shapes_text(const plan *p, char *s, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < p->n; i++) {
        int rank = p->index[i] ? kl_rank(p->index[i]) : -1;
        for (int d = 0; d <= rank && n < size; d++)
            n += (size_t)(d < rank ? snprintf(s + n, size - n, "%s%lld",
                                              d   ? ", "
                                              : n ? ", ["
                                                  : "[",
                                              (long long)kl_extent(p->index[i], d))
                                   : snprintf(s + n, size - n,
                                              d   ? "]"
                                              : n ? ", []"
                                                  : "[]"));
    }
}

/* Indices broadcast together, and find something where they look for it. */
static int check_indices(const plan *p)
{
    int64_t shape[KL_INTS_MAX];
    char s[300];
    int most = 0;
    bool none = false, empty = false;
    for (int i = 0; i < p->n; i++) {
        int rank = p->index[i] ? kl_rank(p->index[i]) : 0;
        for (int d = 0; d < rank; d++) { /* shape[0] is the last dimension's extent */
            int64_t e = kl_extent(p->index[i], rank - 1 - d);
            if (d >= most)
                shape[most++] = 1;
            if (e != 1 && shape[d] != 1 && shape[d] != e) {
                shapes_text(p, s, sizeof s);
                PyErr_Format(PyExc_IndexError,
                             "shape mismatch: indexing tensors could not be broadcast "
                             "together with shapes %s",
                             s);
                return -1;
            }
            shape[d] = e == 1 ? shape[d] : e;
            none |= e == 0;
        }
        empty |= p->index[i] && kl_extent(p->view, i) == 0;
    }
    return empty && !none ? fail(PyExc_IndexError,
                                 "index is out of bounds for dimension with size 0")
                          : 0;
}

/* Temporaries of a call live in a scope that ends with it, but what is returned. */
static PyObject *leave(kl_tensor *r)
{
    kl_scope_take(r);
    kl_scope_drop();
    return r ? py_adopt(py.tensor, r) : py_raise();
}

PyObject *py_getitem(PyObject *self, PyObject *key)
{
    const char *at = py_place();
    plan p;
    PyObject *both[] = {self, key};
    if (py_overrides(both, 2))
        return py_operator("__getitem__", NULL, both, 2);
    kl_scope_begin();
    bool ok = !make_plan(&p, at, self, key) && !check_indices(&p);
    kl_tensor *r = ok ? p.view : NULL;
    if (ok && p.advanced)
        r = kl_index_at(at, p.view, p.index, p.n);
    else if (ok && r == py_t(self))
        r = kl_slice_at(at, r, 0, 0, KL_END, 1);
    Py_XDECREF(p.made);
    if (ok && r == NULL && kl_rank(py_t(self)) == 0) { /* x[...] of a 0-d tensor */
        kl_error_clear();
        r = kl_view_at(at, py_t(self), kl_shape());
    }
    return leave(r);
}

/* value as an operand: a tensor, a number, or what can be made a tensor. */
static int value_of(PyObject *value, kl_dtype dt, kl_arg *a, PyObject **held)
{
    int r = py_as_arg(value, a);
    if (r)
        return r;
    *held = py_make(value, dt);
    *a = *held ? kl_arg_t(py_t(*held)) : kl_arg_none(NULL);
    return *held ? 1 : -1;
}

/* Leading extents of 1 are dropped, so that a value may have more dimensions than its
 * place. */
static kl_arg without_ones(const char *at, kl_arg v, int rank)
{
    rank = rank < 1 ? rank : 1;
    while (v.t && kl_rank(v.t) > rank && kl_extent(v.t, 0) == 1)
        v = kl_arg_t(kl_select_at(at, v.t, 0, 0));
    return v;
}

int py_setitem(PyObject *self, PyObject *key, PyObject *value)
{
    const char *at = py_place();
    PyObject *held = NULL;
    kl_arg v;
    plan p = {0};
    if (!value)
        return fail(PyExc_TypeError, "Tensor does not support deleting items");
    PyObject *all[] = {self, key, value};
    if (py_overrides(all, 3)) {
        PyObject *done = py_operator("__setitem__", NULL, all, 3);
        Py_XDECREF(done);
        return done ? 0 : -1;
    }
    kl_scope_begin();
    int r = value_of(value, kl_dtype_of(py_t(self)), &v, &held) == 1 ? 0 : -1;
    r = r || make_plan(&p, at, self, key) || check_indices(&p);
    if (!r)
        v = without_ones(at, v, kl_rank(p.view));
    if (!r && p.advanced)
        r = !kl_index_put_at(at, p.view, p.index, p.n, v, false);
    else if (!r)
        r = !kl_copy_in_at(at, p.view, v);
    kl_scope_drop();
    Py_XDECREF(p.made);
    Py_XDECREF(held);
    if (!r)
        return 0;
    py_raise();
    return -1;
}
