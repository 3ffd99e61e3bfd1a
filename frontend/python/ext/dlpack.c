/* dlpack.c: memory shared with whoever speaks DLPack (NumPy, PyTorch, JAX, CuPy).
 *
 *   t.__dlpack__()     a capsule "dltensor": t's memory, exposed until its deleter is
 * called from_dlpack(x)     x's memory; its deleter is called when kiln lets go
 *
 * The structures are version 0.8's of the DLPack specification (dmlc/dlpack, dlpack.h).
 */
#include "py.h"

#include <stdlib.h>

enum { DEVICE_CPU = 1 };
enum { CODE_INT, CODE_UINT, CODE_FLOAT, CODE_BFLOAT = 4, CODE_COMPLEX, CODE_BOOL };

typedef struct dl_device {
    int32_t type, id;
} dl_device;
typedef struct dl_dtype {
    uint8_t code, bits;
    uint16_t lanes;
} dl_dtype;
typedef struct dl_tensor {
    void *data;
    dl_device device;
    int32_t ndim;
    dl_dtype dtype;
    int64_t *shape, *strides; /* in elements; strides NULL: row-major */
    uint64_t byte_offset;
} dl_tensor;
typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

enum { FLAG_READ_ONLY = 1 };
typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;
static const char *const names[] = {"dltensor", "dltensor_versioned"};
static const char *const used[] = {"used_dltensor", "used_dltensor_versioned"};

static dl_dtype code_of(kl_dtype dt)
{
    bool whole = dt < KL_F16;
    uint8_t code = dt == KL_BOOL                   ? CODE_BOOL
                   : dt == KL_BF16                 ? CODE_BFLOAT
                   : dt == KL_C64 || dt == KL_C128 ? CODE_COMPLEX
                   : !whole                        ? CODE_FLOAT
                   : dt == KL_U8 || dt == KL_U16 || dt == KL_U32 || dt == KL_U64
                       ? CODE_UINT
                       : CODE_INT;
    return (dl_dtype){code, (uint8_t)(8 * kl_dtype_size(dt)), 1};
}

static kl_dtype dtype_of(dl_dtype d)
{
    for (int i = 0; i < KL_DTYPE_COUNT; i++) {
        dl_dtype c = code_of((kl_dtype)i);
        if (c.code == d.code && c.bits == d.bits && d.lanes == 1)
            return (kl_dtype)i;
    }
    return KL_DTYPE_NONE;
}

/* ---- out ---- */

typedef struct exported {
    union {
        dl_managed old;
        dl_versioned since1;
    } m;
    kl_tensor *t;
    int64_t dims[2 * KL_INTS_MAX];
} exported;

/* By whichever thread the other library is done on. */
static void let_go(exported *e)
{
    if (!Py_IsInitialized()) /* the process ends, and the memory with it */
        return;
    PyGILState_STATE held = PyGILState_Ensure();
    kl_data_done(e->t);
    kl_tensor_unref(e->t);
    PyGILState_Release(held);
    free(e);
}

static void let_go_old(dl_managed *m)
{
    let_go(m->context);
}

static void let_go_since1(dl_versioned *m)
{
    let_go(m->context);
}

static void unused_capsule(PyObject *capsule)
{
    for (int i = 0; i < 2; i++)
        if (PyCapsule_IsValid(capsule, names[i]))
            let_go(PyCapsule_GetContext(capsule));
}

static exported *export_of(kl_tensor *t, dl_tensor *d)
{
    exported *e = calloc(1, sizeof *e);
    void *data = e ? kl_data_at(py_place(), t) : NULL;
    if (!e || kl_failed()) {
        free(e);
        if (e)
            py_raise();
        else
            PyErr_NoMemory();
        return NULL;
    }
    int n = kl_rank(t);
    for (int i = 0; i < n; i++) {
        e->dims[i] = kl_extent(t, i);
        e->dims[n + i] = kl_stride(t, i);
    }
    e->t = kl_tensor_ref(t);
    *d = (dl_tensor){.data = data,
                     .device = {DEVICE_CPU, 0},
                     .ndim = n,
                     .dtype = code_of(kl_dtype_of(t)),
                     .shape = e->dims,
                     .strides = e->dims + n};
    return e;
}

/* _to_dlpack(t, since1) */
static PyObject *to_dlpack(PyObject *self, PyObject *args)
{
    PyObject *o;
    int since1;
    dl_tensor d;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!p", py.tensor, &o, &since1))
        return NULL;
    exported *e = export_of(py_t(o), &d);
    if (!e)
        return NULL;
    if (since1)
        e->m.since1 = (dl_versioned){
            .major = 1, .context = e, .deleter = let_go_since1, .tensor = d};
    else
        e->m.old = (dl_managed){.tensor = d, .context = e, .deleter = let_go_old};
    PyObject *capsule = PyCapsule_New(&e->m, names[since1], unused_capsule);
    if (!capsule || PyCapsule_SetContext(capsule, e)) {
        Py_XDECREF(capsule);
        return NULL;
    }
    return capsule;
}

/* ---- in ---- */

/* Deleters may be Python's. */
static void done_old(void *user, void *data)
{
    dl_managed *m = user;
    (void)data;
    PyGILState_STATE s = PyGILState_Ensure();
    if (m->deleter)
        m->deleter(m);
    PyGILState_Release(s);
}

static void done_since1(void *user, void *data)
{
    dl_versioned *m = user;
    (void)data;
    PyGILState_STATE s = PyGILState_Ensure();
    if (m->deleter)
        m->deleter(m);
    PyGILState_Release(s);
}

static PyObject *wrap(const dl_tensor *d, bool read_only, void (*done)(void *, void *),
                      void *m)
{
    kl_dtype dt = dtype_of(d->dtype);
    kl_ints shape = {.n = d->ndim};
    int64_t strides[KL_INTS_MAX], dense = 1;
    if (d->device.type != DEVICE_CPU || dt == KL_DTYPE_NONE || d->ndim > KL_INTS_MAX)
        return PyErr_Format(PyExc_BufferError,
                            "from_dlpack: device type %d, dtype code %d of %d bits, %d "
                            "dimensions: not a tensor of the CPU that kiln knows",
                            (int)d->device.type, (int)d->dtype.code, (int)d->dtype.bits,
                            (int)d->ndim);
    int64_t size = (int64_t)kl_dtype_size(dt);
    for (int i = d->ndim; i-- > 0;) {
        shape.v[i] = d->shape[i];
        strides[i] = (d->strides ? d->strides[i] : dense) * size;
        dense *= d->shape[i];
    }
    return py_wrap(kl_from_buffer_at(py_place(), (char *)d->data + d->byte_offset, dt,
                                     shape, strides, read_only, done, m));
}

/* _from_dlpack(capsule) */
static PyObject *from_dlpack(PyObject *self, PyObject *capsule)
{
    (void)self;
    int since1 = PyCapsule_IsValid(capsule, names[1]);
    void *p = PyCapsule_GetPointer(capsule, names[since1]);
    dl_managed *old = p;
    dl_versioned *m = p;
    if (!p)
        return NULL;
    if (since1 && m->major > 1)
        return PyErr_Format(PyExc_BufferError, "from_dlpack: DLPack version %u.%u",
                            (unsigned)m->major, (unsigned)m->minor);
    PyObject *t = since1 ? wrap(&m->tensor, m->flags & FLAG_READ_ONLY, done_since1, m)
                         : wrap(&old->tensor, false, done_old, old);
    if (t) /* its memory is ours to release now */
        PyCapsule_SetName(capsule, used[since1]);
    return t;
}

static PyMethodDef methods[] = {
    {"_to_dlpack", to_dlpack, METH_VARARGS, "A tensor's memory as a DLPack capsule."},
    {"_from_dlpack", from_dlpack, METH_O, "A tensor over a DLPack capsule's memory."},
    {0},
};

int py_dlpack_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
