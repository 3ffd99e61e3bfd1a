/* optim.c: optimisers' steps: Python keeps parameters and state, kiln does the
 * arithmetic. */
#include "py.h"

#include <stdlib.h>

static kl_tensor *at_or_null(PyObject *list, Py_ssize_t i)
{
    PyObject *o = list == Py_None ? Py_None : PyList_GetItem(list, i);
    return o && o != Py_None ? py_t(o) : NULL;
}

/* Lists of parameters, gradients and states as kl_update's array; free() it. */
static kl_update *gather(PyObject *const *lists, Py_ssize_t *n)
{
    *n = PyList_Size(lists[0]);
    kl_update *u = *n >= 0 ? calloc((size_t)*n + 1, sizeof *u) : NULL;
    for (Py_ssize_t i = 0; u && i < *n; i++)
        u[i] = (kl_update){at_or_null(lists[0], i), at_or_null(lists[1], i),
                           at_or_null(lists[2], i), at_or_null(lists[3], i),
                           at_or_null(lists[4], i)};
    if (!u && !PyErr_Occurred())
        PyErr_NoMemory();
    return u;
}

static double given(double v)
{
    return v == 0 ? KL_ZERO : v;
}

static PyObject *done(kl_status s, kl_update *u)
{
    free(u);
    if (s)
        return py_raise();
    Py_RETURN_NONE;
}

/* (p, g, m or None, lr, momentum, dampening, weight_decay, nesterov, maximize, first) */
static PyObject *sgd(PyObject *self, PyObject *args)
{
    PyObject *l[5] = {NULL, NULL, NULL, Py_None, Py_None};
    kl_sgd_options o = {0};
    int nesterov, maximize, first;
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOddddppp", &l[0], &l[1], &l[2], &o.lr, &o.momentum,
                          &o.dampening, &o.weight_decay, &nesterov, &maximize, &first))
        return NULL;
    o.lr = given(o.lr);
    o.nesterov = nesterov;
    o.maximize = maximize;
    kl_update *u = gather(l, &n);
    return u ? done(kl_sgd_update_at(py_place(), u, (int)n, o, first), u) : NULL;
}

/* (p, g, m, v, vmax or None, lr, b1, b2, eps, weight_decay, amsgrad, maximize, decoupled,
 *  step) */
static PyObject *adam(PyObject *self, PyObject *args)
{
    PyObject *l[5];
    kl_adam_options o = {0};
    int amsgrad, maximize, decoupled;
    long long step;
    Py_ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOOdddddpppL", &l[0], &l[1], &l[2], &l[3], &l[4],
                          &o.lr, &o.beta1, &o.beta2, &o.eps, &o.weight_decay, &amsgrad,
                          &maximize, &decoupled, &step))
        return NULL;
    o.lr = given(o.lr), o.beta1 = given(o.beta1), o.beta2 = given(o.beta2);
    o.eps = given(o.eps), o.weight_decay = given(o.weight_decay);
    o.amsgrad = amsgrad;
    o.maximize = maximize;
    kl_update *u = gather(l, &n);
    return u ? done(kl_adam_update_at(py_place(), u, (int)n, o, decoupled, step), u)
             : NULL;
}

static PyObject *flush(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return done(kl_flush_at(py_place()), NULL);
}

static PyMethodDef methods[] = {
    {"_sgd", sgd, METH_VARARGS, "A step of SGD."},
    {"_adam", adam, METH_VARARGS, "A step of Adam or AdamW."},
    {"_flush", flush, METH_NOARGS, "Compute what was written and is pending."},
    {0},
};

int py_optim_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
