/* optim.c: optimisers' steps: Python keeps parameters and state, kiln does the
 * arithmetic. */
#include "py.h"

#include <stddef.h>
#include <stdlib.h>

#define AT(f) offsetof(kl_optim_options, f)
static const struct {
    const char *name;
    size_t at, second; /* of a pair: where its second number goes */
    bool flag;
} fields[] = {
    {"lr", AT(lr), 0, false},
    {"momentum", AT(momentum), 0, false},
    {"dampening", AT(dampening), 0, false},
    {"weight_decay", AT(weight_decay), 0, false},
    {"eps", AT(eps), 0, false},
    {"alpha", AT(alpha), 0, false},
    {"rho", AT(rho), 0, false},
    {"lr_decay", AT(lr_decay), 0, false},
    {"momentum_decay", AT(momentum_decay), 0, false},
    {"lambd", AT(lambd), 0, false},
    {"t0", AT(t0), 0, false},
    {"betas", AT(beta1), AT(beta2), false},
    {"etas", AT(eta_minus), AT(eta_plus), false},
    {"step_sizes", AT(step_min), AT(step_max), false},
    {"nesterov", AT(nesterov), 0, true},
    {"maximize", AT(maximize), 0, true},
    {"amsgrad", AT(amsgrad), 0, true},
    {"centered", AT(centered), 0, true},
    {"decoupled_weight_decay", AT(decoupled), 0, true},
};
#undef AT
enum { FIELDS = sizeof fields / sizeof *fields };
static PyObject *keys[FIELDS]; /* their names as Python's */

static int number(PyObject *o, double *v)
{
    int r = o ? py_as_double(o, v) : -1;
    if (r == 0)
        PyErr_SetString(PyExc_TypeError, "optimizer settings must be numbers");
    if (*v == 0)
        *v = KL_ZERO;
    return r == 1 ? 0 : -1;
}

/* The settings of a parameter group, by PyTorch's names. */
static int settings(PyObject *group, kl_optim_options *o)
{
    for (int i = 0; i < FIELDS; i++) {
        PyObject *v = PyDict_GetItemWithError(group, keys[i]);
        char *to = (char *)o + fields[i].at;
        int bad = 0;
        if (!v)
            continue;
        if (fields[i].flag) {
            *(bool *)to = PyObject_IsTrue(v) == 1;
        } else if (fields[i].second) {
            PyObject *a = PySequence_GetItem(v, 0), *b = PySequence_GetItem(v, 1);
            bad = number(a, (double *)to) ||
                  number(b, (double *)((char *)o + fields[i].second));
            Py_XDECREF(a);
            Py_XDECREF(b);
        } else {
            bad = number(v, (double *)to);
        }
        if (bad)
            return -1;
    }
    return 0;
}

/* rows: (parameter, gradient, state..) each; free() the array. */
static kl_update *gather(PyObject *rows, int *n)
{
    *n = (int)PyList_Size(rows);
    kl_update *u = *n >= 0 ? calloc((size_t)*n + 1, sizeof *u) : NULL;
    for (int i = 0; u && i < *n; i++) {
        PyObject *row = PyList_GetItem(rows, i);
        u[i].p = py_t(PyTuple_GetItem(row, 0));
        u[i].g = py_t(PyTuple_GetItem(row, 1));
        for (int k = 0; k < KL_OPTIM_STATES && k + 2 < PyTuple_Size(row); k++) {
            PyObject *state = PyTuple_GetItem(row, k + 2);
            u[i].state[k] = state == Py_None ? NULL : py_t(state);
        }
    }
    if (!u && !PyErr_Occurred())
        PyErr_NoMemory();
    return u;
}

static PyObject *done(kl_status s)
{
    if (s)
        return py_raise();
    Py_RETURN_NONE;
}

/* (rule, rows, group, step, carry of two numbers): the carry for the next step. */
static PyObject *step(PyObject *self, PyObject *args)
{
    PyObject *rows, *group;
    kl_optim_options o = {0};
    int rule, n;
    long long at;
    double carry[2];
    (void)self;
    if (!PyArg_ParseTuple(args, "iO!O!L(dd)", &rule, &PyList_Type, &rows, &PyDict_Type,
                          &group, &at, &carry[0], &carry[1]) ||
        settings(group, &o))
        return NULL;
    kl_update *u = gather(rows, &n);
    if (!u)
        return NULL;
    kl_status st =
        kl_optim_update_at(py_place(), (kl_optim_rule)rule, u, n, o, at, carry);
    free(u);
    return st ? py_raise() : Py_BuildValue("(dd)", carry[0], carry[1]);
}

static PyObject *flush(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return done(kl_flush_at(py_place()));
}

static PyMethodDef methods[] = {
    {"_optim_step", step, METH_VARARGS, "A step of a rule."},
    {"_flush", flush, METH_NOARGS, "Compute what was written and is pending."},
    {0},
};

int py_optim_init(PyObject *module)
{
    static const char *const rules[KL_RULE_COUNT] = {
        [KL_SGD] = "SGD",         [KL_ADAM] = "ADAM",       [KL_ADAMW] = "ADAMW",
        [KL_RMSPROP] = "RMSPROP", [KL_ADAGRAD] = "ADAGRAD", [KL_ADADELTA] = "ADADELTA",
        [KL_ADAMAX] = "ADAMAX",   [KL_NADAM] = "NADAM",     [KL_RADAM] = "RADAM",
        [KL_RPROP] = "RPROP",     [KL_ASGD] = "ASGD",
    };
    PyObject *names = PyDict_New();
    int bad = names ? 0 : -1;
    for (int i = 0; i < FIELDS && !bad; i++)
        bad = !(keys[i] = PyUnicode_InternFromString(fields[i].name));
    for (int i = 0; i < KL_RULE_COUNT && !bad; i++) {
        PyObject *number = PyLong_FromLong(i);
        bad = !number || PyDict_SetItemString(names, rules[i], number);
        Py_XDECREF(number);
    }
    bad = bad || PyModule_AddObjectRef(module, "_rules", names);
    Py_XDECREF(names);
    return bad ? -1 : PyModule_AddFunctions(module, methods);
}
