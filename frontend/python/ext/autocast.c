/* autocast.c: operands cast by a table (autocast.def) while autocast is on. Its state is
 * of the thread and of a kind of device; a call's kind is its first tensor's.
 *
 *   with autocast("cpu", bf16):  linear(x, w, b)  ->  linear(bf16 x, bf16 w, bf16 b)
 *
 * The casts are nodes like others: a weight that several calls cast is cast once. */
#include "py.h"

#include <string.h>

enum { SAME, LOWER, HIGH, WIDEST };
enum { CPU, CUDA, KINDS };
static const struct {
    const char *name;
    unsigned char how[KINDS];
} casts[] = {
#define KL_CAST(name, cpu, cuda) {#name, {cpu, cuda}},
#include "autocast.def"
#undef KL_CAST
};
static const char *const verbs[] = {"same", "lower", "float32", "widest"};
static const char *const kinds[KINDS] = {"cpu", "cuda"};
static _Thread_local struct {
    bool on;
    kl_dtype dt;
} state[KINDS] = {{false, KL_BF16}, {false, KL_F16}};

void py_autocast_prepare(py_row *row)
{
    for (size_t i = 0; i < sizeof casts / sizeof *casts; i++)
        if (strcmp(casts[i].name, row->name) == 0)
            memcpy(row->autocast, casts[i].how, sizeof row->autocast);
}

bool py_autocast_on(void)
{
    return state[CPU].on || state[CUDA].on;
}

static bool castable(const kl_tensor *t)
{
    kl_dtype dt = t ? kl_dtype_of(t) : KL_I64;
    return dt == KL_F16 || dt == KL_BF16 || dt == KL_F32;
}

/* Calls see(tensor's place) for each tensor among the arguments. */
static void each(const py_row *row, py_value *v, void (*see)(kl_tensor **, void *),
                 void *user)
{
    for (int i = 0; i < row->nparams; i++) {
        if (row->params[i].kind == PY_TENSOR && v[i].u.t)
            see(&v[i].u.t, user);
        else if (row->params[i].kind == PY_OPERAND && v[i].u.a.kind == KL_ARG_TENSOR)
            see(&v[i].u.a.t, user);
        else if (row->params[i].kind == PY_TENSORS)
            for (int k = 0; k < v[i].u.list.n; k++)
                see(&v[i].u.list.ts[k], user);
    }
}

typedef struct work {
    const char *at;
    kl_dtype to;
    kl_tensor *first;
    bool mixed, f32;
} work;

static void look(kl_tensor **t, void *user)
{
    work *w = user;
    w->first = w->first ? w->first : *t;
    if (!castable(*t))
        return;
    w->mixed |= w->to != KL_DTYPE_NONE && w->to != kl_dtype_of(*t);
    w->f32 |= kl_dtype_of(*t) == KL_F32;
    w->to = kl_dtype_of(*t);
}

static void cast(kl_tensor **t, void *user)
{
    work *w = user;
    if (castable(*t) && kl_dtype_of(*t) != w->to)
        *t = kl_to_at(w->at, *t, w->to);
}

void py_autocast(const char *at, const py_row *row, py_value *v)
{
    work w = {.at = at, .to = KL_DTYPE_NONE};
    each(row, v, look, &w);
    int kind = w.first && strncmp(kl_device_of(w.first), "cuda", 4) == 0 ? CUDA : CPU;
    int how = state[kind].on ? row->autocast[kind] : SAME;
    if (how == SAME || (how == WIDEST && !w.mixed))
        return;
    w.to = how == LOWER ? state[kind].dt : KL_F32;
    each(row, v, cast, &w);
}

/* ---- from Python ---- */

static int kind_of(const char *name)
{
    for (int k = 0; k < KINDS; k++)
        if (strcmp(kinds[k], name) == 0)
            return k;
    PyErr_Format(PyExc_RuntimeError,
                 "User specified an unsupported autocast device_type '%s'", name);
    return -1;
}

/* (kind of device): whether it is on, and its dtype. */
static PyObject *get(PyObject *self, PyObject *args)
{
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "s", &name))
        return NULL;
    int k = kind_of(name);
    return k < 0 ? NULL
                 : Py_BuildValue("(NN)", PyBool_FromLong(state[k].on),
                                 py_dtype(state[k].dt));
}

/* (kind of device, on, dtype) */
static PyObject *set(PyObject *self, PyObject *args)
{
    const char *name;
    PyObject *dtype;
    kl_dtype dt;
    int on;
    (void)self;
    if (!PyArg_ParseTuple(args, "spO", &name, &on, &dtype) ||
        py_as_dtype(dtype, &dt) != 1)
        return NULL;
    int k = kind_of(name);
    if (k < 0)
        return NULL;
    state[k].on = on;
    state[k].dt = dt;
    Py_RETURN_NONE;
}

/* The table: {function: (on the cpu, on cuda)}. */
static PyObject *table(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *all = PyDict_New();
    for (size_t i = 0; all && i < sizeof casts / sizeof *casts; i++) {
        PyObject *row =
            Py_BuildValue("(ss)", verbs[casts[i].how[CPU]], verbs[casts[i].how[CUDA]]);
        if (!row || PyDict_SetItemString(all, casts[i].name, row))
            Py_CLEAR(all);
        Py_XDECREF(row);
    }
    return all;
}

static PyMethodDef methods[] = {
    {"_get_autocast", get, METH_VARARGS, "Whether autocast is on, and its dtype."},
    {"_set_autocast", set, METH_VARARGS, "Switch autocast of a kind of device."},
    {"_autocast_table", table, METH_NOARGS, "What is cast to what."},
    {0},
};

int py_autocast_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
