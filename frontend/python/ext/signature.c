/* signature.c: rows' signatures, parsed once, and arguments matched against them.
 *
 *   "Tensor input, *ints dim, bool keepdim=False, *, dtype? dtype=None"
 *
 * A parameter is TYPE NAME[=DEFAULT]; after a lone star come keywords only. TYPE? also
 * takes None. *ints and *Tensors may be given one by one as the last positions:
 * t.view(2, 3). Types: Tensor, Tensors (a sequence), Operand (a tensor or a number), int,
 * float, Number, bool, ints (also one int), sizes (None among them), floats (also one),
 * dtype, device, str, any. NumPy's names of parameters are known
 * everywhere: axis, keepdims, x, x1, x2. Of Tensors and Ints (a sequence of integers)
 * there may be any number; ints are at most as many as a tensor has dimensions. */
#include "py.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    py_kind kind;
} kinds[] = {
    {"Tensor", PY_TENSOR}, {"Tensors", PY_TENSORS}, {"Operand", PY_OPERAND},
    {"int", PY_INT},       {"float", PY_FLOAT},     {"Number", PY_NUMBER},
    {"bool", PY_BOOL},     {"ints", PY_INTS},       {"dtype", PY_DTYPE},
    {"device", PY_DEVICE}, {"str", PY_STR},         {"any", PY_ANY},
    {"sizes", PY_SIZES},   {"floats", PY_FLOATS},   {"Ints", PY_LONG_INTS},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- parsing a row ---- */

static int parse_kind(const char *s, size_t n, py_param *p)
{
    if (n && *s == '*') {
        p->many = true;
        s++, n--;
    }
    if (n && s[n - 1] == '?') {
        p->optional = true;
        n--;
    }
    for (int k = 0; k < KINDS; k++)
        if (strlen(kinds[k].name) == n && memcmp(kinds[k].name, s, n) == 0) {
            p->kind = kinds[k].kind;
            return 0;
        }
    return -1;
}

static int parse_param(const char *s, size_t n, bool keyword, py_param *p)
{
    const char *blank = memchr(s, ' ', n), *end = s + n;
    *p = (py_param){.keyword = keyword};
    if (!blank || parse_kind(s, (size_t)(blank - s), p))
        return -1;
    const char *name = blank + 1, *eq = memchr(name, '=', (size_t)(end - name));
    p->name = PyUnicode_FromStringAndSize(name, (eq ? eq : end) - name);
    PyUnicode_InternInPlace(&p->name);
    p->required = eq == NULL;
    if (eq && strncmp(eq + 1, "None", 4) != 0) {
        size_t len = (size_t)(end - eq - 1);
        char *text = malloc(len + 1);
        if (!text)
            return -1;
        memcpy(text, eq + 1, len);
        text[len] = 0;
        p->fallback = text;
    }
    p->number = !p->fallback ? kl_arg_none(NULL)
                : p->kind == PY_FLOAT || strpbrk(p->fallback, ".e")
                    ? kl_arg_d(strtod(p->fallback, NULL))
                    : kl_arg_i(strtoll(p->fallback, NULL, 10));
    return p->name ? 0 : -1;
}

int py_signature_parse(py_row *row)
{
    bool keyword = false;
    row->generator = row->device = -1;
    for (const char *s = row->signature; *s;) {
        size_t n = strcspn(s, ",");
        if (n == 1 && *s == '*')
            keyword = true;
        else if (row->nparams == PY_MAX_PARAMS ||
                 parse_param(s, n, keyword, &row->params[row->nparams++])) {
            PyErr_Format(PyExc_SystemError, "functions.def: %s: bad signature near '%s'",
                         row->name, s);
            return -1;
        }
        int last = row->nparams - 1;
        PyObject *name = last >= 0 ? row->params[last].name : NULL;
        if (name && PyUnicode_CompareWithASCIIString(name, "generator") == 0)
            row->generator = last;
        if (name && row->params[last].kind == PY_DEVICE)
            row->device = last;
        s += n;
        s += strspn(s, ", ");
    }
    return 0;
}

/* ---- defaults ---- */

static void set_default(const py_param *p, py_value *v)
{
    const char *s = p->fallback;
    v->given = false;
    switch (p->kind) {
    case PY_OPERAND:
    case PY_NUMBER:
        v->u.a = p->number;
        break;
    case PY_INT:
        v->u.i = s ? p->number.i : 0;
        break;
    case PY_BOOL:
        v->u.i = s && *s == 'T';
        break;
    case PY_FLOAT:
        v->u.d = s ? p->number.d : 0;
        break;
    case PY_FLOATS:
        v->u.f.n = 0;
        break;
    case PY_INTS:
    case PY_SIZES:
        v->u.v = kl_shape();
        if (s)
            v->u.v = kl_shape(p->number.i);
        break;
    case PY_DTYPE:
        v->u.dt = KL_DTYPE_NONE;
        break;
    case PY_STR:
        v->u.s = s;
        break;
    default:
        v->u.t = NULL;
    }
}

/* ---- converting one argument: 1 done, 0 another type, -1 exception ---- */

void *py_room_for(py_room *room, int64_t n)
{
    py_room_end(room);
    if (n <= PY_FEW)
        return &room->few;
    room->more = n <= INT_MAX ? PyMem_Malloc((size_t)n * sizeof *room->few.i) : NULL;
    return room->more ? room->more : PyErr_NoMemory();
}

void py_room_end(py_room *room)
{
    PyMem_Free(room->more);
    room->more = NULL;
}

static int put_tensors(PyObject *const *e, Py_ssize_t n, py_value *v, py_room *room)
{
    kl_tensor **ts = py_room_for(room, n);
    if (!ts)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!py_is_tensor(e[i]))
            return 0;
        ts[i] = py_t(e[i]);
    }
    v->given = true;
    v->u.list.ts = ts;
    v->u.list.n = (int)n;
    return 1;
}

static int to_floats(PyObject *o, py_value *v)
{
    bool tuple = PyTuple_Check(o);
    double one;
    if (!tuple && !PyList_Check(o)) {
        int r = py_as_double(o, &one);
        v->u.f.n = 1;
        v->u.f.v[0] = one;
        return r;
    }
    Py_ssize_t n = tuple ? PyTuple_Size(o) : PyList_Size(o);
    if (n > KL_INTS_MAX)
        return 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        int r = py_as_double(tuple ? PyTuple_GetItem(o, i) : PyList_GetItem(o, i), &one);
        if (r != 1)
            return r;
        v->u.f.v[i] = one;
    }
    v->u.f.n = (int)n;
    return 1;
}

static int to_list(PyObject *o, py_value *v, py_room *room)
{
    bool tuple = PyTuple_Check(o);
    if (!tuple && !PyList_Check(o))
        return 0;
    Py_ssize_t n = tuple ? PyTuple_Size(o) : PyList_Size(o);
    kl_tensor **ts = py_room_for(room, n);
    if (!ts)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *e = tuple ? PyTuple_GetItem(o, i) : PyList_GetItem(o, i);
        if (!py_is_tensor(e))
            return 0;
        ts[i] = py_t(e);
    }
    v->u.list.ts = ts;
    v->u.list.n = (int)n;
    return 1;
}

static int to_long_ints(PyObject *o, py_value *v, py_room *room)
{
    bool tuple = PyTuple_Check(o);
    if (!tuple && !PyList_Check(o))
        return 0;
    Py_ssize_t n = tuple ? PyTuple_Size(o) : PyList_Size(o);
    v->u.ints.v = py_room_for(room, n);
    v->u.ints.n = (int)n;
    int r = v->u.ints.v ? 1 : -1;
    for (Py_ssize_t i = 0; i < n && r == 1; i++)
        r = py_as_int(tuple ? PyTuple_GetItem(o, i) : PyList_GetItem(o, i),
                      &v->u.ints.v[i]);
    return r;
}

static int to_string(PyObject *o, py_value *v)
{
    if (!PyUnicode_Check(o))
        return 0;
    v->u.s = PyUnicode_AsUTF8AndSize(o, NULL);
    return v->u.s ? 1 : -1;
}

static int to_bool(PyObject *o, py_value *v)
{
    if (!PyBool_Check(o))
        return 0;
    v->u.i = o == Py_True;
    return 1;
}

static int to_ints(PyObject *o, bool none, py_value *v)
{
    int64_t one;
    int r = none ? py_as_sizes(o, &v->u.v) : py_as_ints(o, &v->u.v);
    if (r || (r = py_as_int(o, &one)) != 1)
        return r;
    v->u.v = kl_shape(one);
    return 1;
}

static int convert(const py_param *p, PyObject *o, py_value *v, py_room *room)
{
    v->given = true;
    if (o == Py_None && (p->optional || (!p->required && !p->fallback))) {
        set_default(p, v);
        return 1;
    }
    switch (p->kind) {
    case PY_TENSOR:
        if (!py_is_tensor(o))
            return 0;
        v->u.t = py_t(o);
        return 1;
    case PY_TENSORS:
        return to_list(o, v, room);
    case PY_OPERAND:
        return py_as_arg(o, &v->u.a);
    case PY_NUMBER:
        return py_is_tensor(o) && kl_rank(py_t(o)) > 0 ? 0 : py_as_arg(o, &v->u.a);
    case PY_INT:
        return PyBool_Check(o) ? 0 : py_as_int(o, &v->u.i);
    case PY_FLOAT:
        return py_as_double(o, &v->u.d);
    case PY_BOOL:
        return to_bool(o, v);
    case PY_INTS:
        return to_ints(o, false, v);
    case PY_LONG_INTS:
        return to_long_ints(o, v, room);
    case PY_SIZES:
        return to_ints(o, true, v);
    case PY_FLOATS:
        return to_floats(o, v);
    case PY_DTYPE:
        return py_as_dtype(o, &v->u.dt);
    case PY_DEVICE:
        if (Py_TYPE(o) != py.device && !PyUnicode_Check(o) && !PyLong_Check(o))
            return 0;
        v->u.s = py_as_device(o);
        return v->u.s ? 1 : -1;
    case PY_STR:
        return to_string(o, v);
    case PY_ANY:
        v->u.o = o;
        return 1;
    }
    return 0;
}

/* ---- matching ---- */

static bool same_name(const py_param *p, PyObject *name)
{
    static const char *const numpy[][2] = {
        {"axis", "dim"}, {"keepdims", "keepdim"}, {"x", "input"},
        {"a", "input"},  {"x1", "input"},         {"x2", "other"},
    };
    if (p->name == name || PyUnicode_Compare(p->name, name) == 0)
        return true;
    for (size_t i = 0; i < sizeof numpy / sizeof *numpy; i++)
        if (PyUnicode_CompareWithASCIIString(name, numpy[i][0]) == 0 &&
            PyUnicode_CompareWithASCIIString(p->name, numpy[i][1]) == 0)
            return true;
    return false;
}

/* All positions from here on as one list of integers. */
static int put_ints(PyObject *const *args, Py_ssize_t n, py_value *v)
{
    v->given = true;
    v->u.v.n = n > KL_INTS_MAX ? KL_INTS_MAX + 1 : (int)n;
    for (Py_ssize_t i = 0; i < n && i < KL_INTS_MAX; i++) {
        int r = py_as_int(args[i], &v->u.v.v[i]);
        if (r != 1)
            return r;
    }
    return 1;
}

static int match_keywords(const py_row *row, PyObject *const *args, PyObject *names,
                          py_value *v, py_room *room, uint32_t *done)
{
    Py_ssize_t n = PyTuple_Size(names);
    for (Py_ssize_t k = 0; k < n; k++) {
        PyObject *name = PyTuple_GetItem(names, k);
        int i = 0;
        while (i < row->nparams && !same_name(&row->params[i], name))
            i++;
        if (i == row->nparams || *done >> i & 1)
            return 0;
        int r = convert(&row->params[i], args[k], &v[i], room);
        if (r != 1)
            return r;
        *done |= 1u << i;
    }
    return 1;
}

/* sum(t, 0, 1, True): the dimensions are what comes before the truth value. */
static Py_ssize_t leading_ints(PyObject *const *args, Py_ssize_t n)
{
    Py_ssize_t i = 0;
    while (i < n && !PyBool_Check(args[i]) && py_is_int(args[i]))
        i++;
    return i;
}

int py_signature_match(const py_row *row, PyObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *names, py_value *v, py_room *lists)
{
    uint32_t done = 0;
    int at = 0, r;
    if (self) {
        v[0].given = true;
        if (row->params[0].kind == PY_OPERAND)
            v[0].u.a = kl_arg_t(py_t(self));
        else
            v[0].u.t = py_t(self);
        done = 1, at = 1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++, at++) {
        if (at >= row->nparams || row->params[at].keyword)
            return 0;
        const py_param *p = &row->params[at];
        if (p->many && p->kind == PY_TENSORS && py_is_tensor(args[i])) {
            r = put_tensors(args + i, nargs - i, &v[at], lists);
            i = nargs;
        } else if (p->many && leading_ints(args + i, nargs - i)) {
            Py_ssize_t n = leading_ints(args + i, nargs - i);
            r = put_ints(args + i, n, &v[at]);
            i += n - 1;
        } else {
            r = convert(p, args[i], &v[at], lists);
        }
        if (r != 1)
            return r;
        done |= 1u << at;
    }
    if (names && (r = match_keywords(row, args + nargs, names, v, lists, &done)) != 1)
        return r;
    for (int i = 0; i < row->nparams; i++) {
        if (done >> i & 1)
            continue;
        if (row->params[i].required)
            return 0;
        set_default(&row->params[i], &v[i]);
    }
    return 1;
}
