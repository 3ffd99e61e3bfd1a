/* caller.c: compiled programs called on another library's tensors. DLPack's C exchange
 * API (dmlc/dlpack, version 1.2) tells where a tensor's elements lie without a call of
 * Python; results are written into memory that the other library makes and owns.
 *
 *   caller(list of tensors) --> pointers --> kl_function_call --> tuple of its tensors
 *
 * What a call does is laid down once, by Python's tuples: an input is a place in the list
 * and how the tensor must lie; a result is a new tensor, a view of another, an argument
 * handed on, or an object that is always the same. */
#include "py.h"

#include <stdlib.h>
#include <string.h>

/* ---- DLPack's structures ---- */

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides; /* in elements */
    uint64_t byte_offset;
} dl_tensor;
typedef struct exchange {
    struct {
        uint32_t major, minor;
    } version;
    struct exchange *older;
    void *allocate, *to_managed, *from_managed;
    int (*tensor)(void *object, dl_tensor *out);
    void *stream;
} exchange;

/* ---- what a call does ---- */

enum { DIMS = 16 };
typedef struct in_port {
    int arg, rank;                                   /* its place in the list */
    int bits;                                        /* of an element */
    int64_t shape[KL_INTS_MAX], stride[KL_INTS_MAX]; /* -1: any, where sizes vary */
    int order[KL_INTS_MAX]; /* its dimensions as the program has them */
} in_port;
enum { OUT_NEW, OUT_OVER, OUT_VIEW, OUT_ARG, OUT_OBJECT };
typedef struct out_port {
    int kind,
        from; /* the argument, or the result that this is a view of; -1 - argument */
    int rank, order[KL_INTS_MAX];
    PyObject *args, *dtype; /* of the call that makes it; the object */
} out_port;
typedef struct caller {
    PyObject_HEAD PyObject *program;
    PyObject *empty, *view, *seed, *fix; /* seed: Py_None if nothing is drawn */
    kl_function *f;
    const exchange *api;
    in_port *in;
    out_port *out;
    int nin, nout,
        nprogram; /* nprogram: inputs without the seed; results of the program */
    int nhidden, dims, at[DIMS]; /* at: the dimensions' places among the arguments */
} caller;

/* One call's memory. */
typedef struct call_state {
    caller *c;
    PyObject *args, *results;
    PyObject *held,
        *hidden;     /* copies that stand in for arguments; results of no caller */
    void **p;        /* inputs, then outputs */
    kl_ints *shapes; /* of inputs, where there are dimensions */
    int64_t dims[DIMS];
    uint32_t seed[2];
} call_state;

static long long calls; /* of all programs; under the GIL */

static bool lies_so(const in_port *p, const dl_tensor *d, bool sized)
{
    int64_t dense = 1;
    bool ok = d->ndim == p->rank && d->dtype.bits * d->dtype.lanes == p->bits;
    for (int i = 0; ok && !sized && i < p->rank; i++)
        ok = d->shape[i] == p->shape[i] &&
             (d->strides[i] == p->stride[i] || p->shape[i] == 1);
    for (int i = p->rank; ok && sized && i-- > 0;) {
        int k = p->order[i];
        ok = d->shape[k] <= 1 || p->stride[k] < 0 || d->strides[k] == dense;
        dense *= d->shape[k];
    }
    return ok;
}

static int tensor_of(const caller *c, PyObject *o, dl_tensor *d)
{
    if (c->api->tensor(o, d) == 0 && d->device.type == 1)
        return 0;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "kiln: an argument is not on the CPU");
    return -1;
}

/* An argument as the program wants it: a copy by `fix` where it lies otherwise. */
static int take_input(call_state *s, int i)
{
    caller *c = s->c;
    const in_port *p = &c->in[i];
    dl_tensor d;
    PyObject *o = PyList_GetItem(s->args, p->arg);
    if (!o || tensor_of(c, o, &d))
        return -1;
    if (!lies_so(p, &d, c->dims > 0)) {
        PyObject *copy = PyObject_CallFunction(c->fix, "Oi", o, i);
        int bad = !copy || PyList_Append(s->held, copy) || tensor_of(c, copy, &d);
        Py_XDECREF(copy);
        if (bad)
            return -1;
    }
    s->p[i] = (char *)d.data + d.byte_offset;
    return 0;
}

static int take_seed(call_state *s)
{
    caller *c = s->c;
    if (c->seed == Py_None)
        return 0;
    PyObject *o = PyObject_CallObject(c->seed, NULL);
    uint64_t v = o ? PyLong_AsUnsignedLongLongMask(o) : 0;
    Py_XDECREF(o);
    s->seed[0] = (uint32_t)v;
    s->seed[1] = (uint32_t)(v >> 32);
    s->p[c->nin] = s->seed;
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *tuple_of(int n, const int64_t *v)
{
    PyObject *t = PyTuple_New(n);
    for (int i = 0; t && i < n; i++) {
        PyObject *o = PyLong_FromLongLong(v[i]);
        if (!o || PyTuple_SetItem(t, i, o))
            Py_CLEAR(t);
    }
    return t;
}

/* (size, stride, dtype) of output number k at this call's dimensions. */
static PyObject *args_at(const call_state *s, const out_port *p, int k)
{
    int64_t size[KL_INTS_MAX], stride[KL_INTS_MAX], dense = 1;
    kl_ints shape;
    if (kl_function_out_at(s->c->f, k, s->dims, &shape) == KL_DTYPE_NONE)
        return py_raise();
    for (int i = p->rank; i-- > 0;) {
        size[p->order[i]] = shape.v[i];
        stride[p->order[i]] = dense;
        dense *= shape.v[i] > 1 ? shape.v[i] : 1;
    }
    PyObject *a = tuple_of(p->rank, size), *b = tuple_of(p->rank, stride);
    PyObject *r = a && b ? PyTuple_Pack(3, a, b, p->dtype) : NULL;
    Py_XDECREF(a);
    Py_XDECREF(b);
    return r;
}

static PyObject *new_output(call_state *s, const out_port *p, int k)
{
    caller *c = s->c;
    dl_tensor d;
    PyObject *at = c->dims ? args_at(s, p, k) : NULL;
    PyObject *o =
        c->dims && !at ? NULL : PyObject_CallObject(c->empty, at ? at : p->args);
    Py_XDECREF(at);
    if (!o || tensor_of(c, o, &d)) {
        Py_XDECREF(o);
        return NULL;
    }
    s->p[c->nprogram + k] = (char *)d.data + d.byte_offset;
    return o;
}

/* The results that the program writes; *k counts them. New reference, or NULL. */
static PyObject *make_output(call_state *s, const out_port *p, int *k)
{
    caller *c = s->c;
    PyObject *o;
    switch (p->kind) {
    case OUT_NEW:
        return new_output(s, p, (*k)++);
    case OUT_OVER:
        s->p[c->nprogram + (*k)++] = s->p[p->from];
        o = PyList_GetItem(s->args, c->in[p->from].arg);
        break;
    case OUT_ARG:
        o = PyList_GetItem(s->args, p->from);
        break;
    case OUT_OBJECT:
        o = p->args;
        break;
    default:
        o = Py_None;
    }
    Py_XINCREF(o);
    return o;
}

static int make_outputs(call_state *s)
{
    caller *c = s->c;
    int k = 0;
    s->results = PyTuple_New(c->nout - c->nhidden);
    for (int i = 0; s->results && i < c->nout; i++) {
        PyObject *o = make_output(s, &c->out[i], &k);
        if (!o)
            return -1;
        int bad = i < c->nhidden ? PyList_Append(s->hidden, o)
                                 : PyTuple_SetItem(s->results, i - c->nhidden, o);
        if (i < c->nhidden)
            Py_DECREF(o);
        if (bad)
            return -1;
    }
    return s->results ? 0 : -1;
}

static PyObject *base_of(const call_state *s, int from)
{
    int hidden = s->c->nhidden;
    return from < 0        ? PyList_GetItem(s->args, -1 - from)
           : from < hidden ? PyList_GetItem(s->hidden, from)
                           : PyTuple_GetItem(s->results, from - hidden);
}

/* view(tensor, size, stride, offset) */
static int make_views(call_state *s)
{
    caller *c = s->c;
    for (int i = c->nhidden; i < c->nout; i++) {
        const out_port *p = &c->out[i];
        if (p->kind != OUT_VIEW)
            continue;
        PyObject *base = base_of(s, p->from);
        PyObject *o =
            base
                ? PyObject_CallFunctionObjArgs(c->view, base, PyTuple_GetItem(p->args, 0),
                                               PyTuple_GetItem(p->args, 1),
                                               PyTuple_GetItem(p->args, 2), NULL)
                : NULL;
        if (!o || PyTuple_SetItem(s->results, i - c->nhidden, o))
            return -1;
    }
    return 0;
}

static int run(call_state *s)
{
    caller *c = s->c;
    if (!c->f)
        return 0;
    calls++;
    PyThreadState *held = PyEval_SaveThread();
    const void *const *in = (const void *const *)s->p;
    void *const *out = s->p + c->nprogram;
    kl_status st = kl_function_call_unchecked(c->f, c->dims ? s->dims : NULL, in, out);
    PyEval_RestoreThread(held);
    if (st != KL_OK)
        py_raise();
    return st == KL_OK ? 0 : -1;
}

/* Dimensions are numbers among the arguments. */
static int take_dims(call_state *s)
{
    caller *c = s->c;
    for (int i = 0; i < c->dims; i++) {
        int64_t min, max, v = PyLong_AsLongLong(PyList_GetItem(s->args, c->at[i]));
        const char *name = kl_function_dim(c->f, i, &min, &max, NULL);
        if (!PyErr_Occurred() && (v < min || v > max))
            PyErr_Format(PyExc_RuntimeError, "kiln: dimension %s = %lld", name,
                         (long long)v);
        if (PyErr_Occurred())
            return -1;
        s->dims[i] = v;
    }
    return 0;
}

static int steps(call_state *s)
{
    caller *c = s->c;
    for (int i = 0; i < c->nin; i++)
        if (take_input(s, i))
            return -1;
    if (take_seed(s))
        return -1;
    if (c->dims && take_dims(s))
        return -1;
    return make_outputs(s) || run(s) || make_views(s) ? -1 : 0;
}

static PyObject *caller_call(PyObject *self, PyObject *args, PyObject *kw)
{
    enum { FEW = 96 };
    caller *c = (caller *)self;
    void *few[FEW];
    call_state s = {.c = c, .p = few};
    int n = c->nprogram + c->nout + 1;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &s.args) || (kw && PyDict_Size(kw)))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "no keywords");
    if (n > FEW)
        s.p = malloc((size_t)n * sizeof *s.p);
    s.held = PyList_New(0);
    s.hidden = PyList_New(0);
    int bad = !s.p || !s.held || !s.hidden;
    if (bad)
        PyErr_NoMemory();
    bad = bad || steps(&s);
    if (!bad) /* the caller hands its arguments over */
        bad = PyList_SetSlice(s.args, 0, PyList_Size(s.args), NULL);
    Py_XDECREF(s.held);
    Py_XDECREF(s.hidden);
    if (s.p != few)
        free(s.p);
    if (bad)
        Py_CLEAR(s.results);
    return s.results;
}

/* ---- laying it down ---- */

static int ints_of(PyObject *o, int64_t *v)
{
    int n = o && PyTuple_Check(o) ? (int)PyTuple_Size(o) : KL_INTS_MAX + 1;
    if (n > KL_INTS_MAX) {
        PyErr_SetString(PyExc_ValueError, "kiln: too many dimensions");
        return -1;
    }
    for (int i = 0; i < n; i++)
        v[i] = PyLong_AsLongLong(PyTuple_GetItem(o, i));
    return PyErr_Occurred() ? -1 : n;
}

static int order_of(PyObject *o, int *order)
{
    int64_t v[KL_INTS_MAX];
    int n = ints_of(o, v);
    for (int i = 0; i < n; i++)
        order[i] = (int)v[i];
    return n;
}

/* (argument, bits, shape, stride, order) */
static int plan_input(in_port *p, PyObject *o)
{
    PyObject *shape, *stride, *order;
    if (!PyArg_ParseTuple(o, "iiOOO", &p->arg, &p->bits, &shape, &stride, &order))
        return -1;
    p->rank = ints_of(shape, p->shape);
    return p->rank < 0 || ints_of(stride, p->stride) != p->rank ||
                   order_of(order, p->order) != p->rank
               ? -1
               : 0;
}

/* (kind, from, arguments or object, dtype, order) */
static int plan_output(out_port *p, PyObject *o)
{
    PyObject *order, *args, *dtype;
    if (!PyArg_ParseTuple(o, "iiOOO", &p->kind, &p->from, &args, &dtype, &order))
        return -1;
    Py_INCREF(args);
    Py_INCREF(dtype);
    p->args = args;
    p->dtype = dtype;
    p->rank = order_of(order, p->order);
    return p->rank < 0 ? -1 : 0;
}

static void caller_dealloc(PyObject *self)
{
    caller *c = (caller *)self;
    PyTypeObject *t = Py_TYPE(self);
    for (int i = 0; c->out && i < c->nout; i++) {
        Py_XDECREF(c->out[i].args);
        Py_XDECREF(c->out[i].dtype);
    }
    free(c->in);
    free(c->out);
    Py_XDECREF(c->program);
    Py_XDECREF(c->empty);
    Py_XDECREF(c->view);
    Py_XDECREF(c->seed);
    Py_XDECREF(c->fix);
    freefunc free_it = (freefunc)PyType_GetSlot(t, Py_tp_free);
    free_it(self);
    Py_DECREF(t);
}

static int plan(caller *c, PyObject *in, PyObject *out, PyObject *at)
{
    c->nin = (int)PyTuple_Size(in);
    int nout = (int)PyTuple_Size(out);
    c->in = calloc((size_t)c->nin + 1, sizeof *c->in);
    c->out = calloc((size_t)nout + 1, sizeof *c->out);
    if (!c->in || !c->out) {
        PyErr_NoMemory();
        return -1;
    }
    c->nout = nout;
    for (int i = 0; i < c->nin; i++)
        if (plan_input(&c->in[i], PyTuple_GetItem(in, i)))
            return -1;
    for (int i = 0; i < nout; i++)
        if (plan_output(&c->out[i], PyTuple_GetItem(out, i)))
            return -1;
    c->nprogram = c->nin + (c->seed != Py_None);
    c->dims = c->f ? kl_function_dims(c->f) : 0;
    for (int i = 0; i < c->dims && i < DIMS && i < PyTuple_Size(at); i++)
        c->at[i] = (int)PyLong_AsLong(PyTuple_GetItem(at, i));
    if (c->f && (c->nprogram != kl_function_inputs(c->f) || c->dims > DIMS ||
                 c->dims != PyTuple_Size(at)))
        PyErr_SetString(PyExc_ValueError, "kiln: the plan is not the program's");
    return PyErr_Occurred() ? -1 : 0;
}

/* Caller(program or None, inputs, outputs, hidden, places of dimensions, empty, view,
 * seed, fix, exchange API): the first `hidden` outputs are no results: arguments written
 * over, and what views share. */
static PyObject *caller_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    PyObject *program, *in, *out, *at, *empty, *view, *seed, *fix, *api;
    int hidden;
    if (kw || !PyArg_ParseTuple(args, "OO!O!iO!OOOOO", &program, &PyTuple_Type, &in,
                                &PyTuple_Type, &out, &hidden, &PyTuple_Type, &at, &empty,
                                &view, &seed, &fix, &api))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "no keywords");
    const exchange *e = PyCapsule_GetPointer(api, "dlpack_exchange_api");
    if (!e || e->version.major != 1 || !e->tensor)
        return PyErr_Occurred()
                   ? NULL
                   : PyErr_Format(PyExc_RuntimeError, "kiln: another version of DLPack");
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    caller *c = (caller *)alloc(type, 0);
    if (!c)
        return NULL;
    PyObject **held[] = {&c->program, &c->empty, &c->view, &c->seed, &c->fix};
    PyObject *given[] = {program, empty, view, seed, fix};
    for (int i = 0; i < 5; i++) {
        Py_INCREF(given[i]);
        *held[i] = given[i];
    }
    c->api = e;
    c->nhidden = hidden;
    c->f = program == Py_None ? NULL : py_program(program);
    if ((program != Py_None && !c->f) || plan(c, in, out, at)) {
        Py_DECREF((PyObject *)c);
        return NULL;
    }
    return (PyObject *)c;
}

static PyMemberDef members[] = {
    {"program", T_OBJECT, offsetof(caller, program), READONLY, "What is called."},
    {0},
};
static PyType_Slot slots[] = {
    {Py_tp_new, caller_new},
    {Py_tp_dealloc, caller_dealloc},
    {Py_tp_call, caller_call},
    {Py_tp_members, members},
    {Py_tp_doc, "A program called on tensors of another library."},
    {0, NULL},
};
static PyType_Spec spec = {"kiln._kiln.Caller", sizeof(caller), 0, Py_TPFLAGS_DEFAULT,
                           slots};

static PyObject *count_calls(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLongLong(calls);
}

static PyMethodDef methods[] = {
    {"_caller_calls", count_calls, METH_NOARGS, "How often programs were called."},
    {0},
};

int py_caller_init(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    int bad = !type || PyModule_AddFunctions(module, methods) ||
              PyObject_SetAttrString(type, "_boxed_call", Py_True) ||
              PyModule_AddObjectRef(module, "Caller", type);
    Py_XDECREF(type);
    return bad ? -1 : 0;
}
