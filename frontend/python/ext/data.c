/* data.c: tensors from Python's data, and memory shared with whoever speaks the buffer
 * protocol (NumPy first of all).
 *
 *   tensor([[1, 2], [3, 4]])  ->  the shape by the first of each level, the dtype by all
 *                                 numbers, then one pass that fills dense bytes
 *   from_numpy(a)             ->  a's own memory; a Py_buffer held until kiln lets go
 *   memoryview(t)             ->  the storage's memory, exposed until the view is
 * released */
#include "py.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is being read ---- */

typedef struct scan {
    kl_ints shape;
    kl_dtype dt; /* of all numbers so far */
    bool any;
    bool large; /* an integer is beyond int64 */
} scan;

static kl_dtype default_complex(void)
{
    return kl_get_default_dtype() == KL_F64 ? KL_C128 : KL_C64;
}

static int order_of(kl_dtype dt)
{
    return dt == KL_BOOL ? 0 : dt < KL_F16 ? 1 : dt < KL_C64 ? 2 : 3;
}

/* Of two of a kind the wider; of u8 and i8, and of f16 and bf16, what holds both. */
static void meet(scan *s, kl_dtype dt)
{
    int more = s->any ? order_of(dt) - order_of(s->dt) : 1;
    size_t a = s->any ? kl_dtype_size(s->dt) : 0, b = kl_dtype_size(dt);
    if (more > 0 || (more == 0 && b > a))
        s->dt = dt;
    else if (more == 0 && b == a && dt != s->dt)
        s->dt = order_of(dt) == 2 ? KL_F32 : a == 1 ? KL_I16 : KL_I64;
    s->any = true;
}

static bool is_list(PyObject *o)
{
    return PyList_Check(o) || PyTuple_Check(o) || PyRange_Check(o);
}

static int buffer_dtype(const Py_buffer *b, kl_dtype *dt);

/* Its shape, and its strides in bytes. */
static kl_ints axes_of(const Py_buffer *b, int64_t strides[KL_INTS_MAX])
{
    kl_ints shape = {.n = b->ndim};
    for (int i = 0; i < b->ndim && i < KL_INTS_MAX; i++) {
        shape.v[i] = b->shape[i];
        strides[i] = b->strides[i];
    }
    return shape;
}

/* NumPy's array or number, among lists: its elements are taken by its own dtype. */
static bool is_numpy(PyObject *o)
{
    bool plain = Py_IS_TYPE(o, &PyFloat_Type) || PyLong_Check(o) || py_is_tensor(o);
    return !plain && !is_list(o) && PyObject_HasAttrString(o, "__array_interface__");
}

bool py_is_array(PyObject *o)
{
    return PySequence_Check(o) && is_numpy(o);
}

static bool is_large(PyObject *o)
{
    int overflow = 0;
    if (PyLong_Check(o))
        PyLong_AsLongLongAndOverflow(o, &overflow);
    return overflow != 0;
}

static int leaf_dtype(PyObject *o, kl_dtype *dt)
{
    kl_arg a;
    if (is_large(o)) {
        *dt = KL_I64;
        return 0;
    }
    if (py_is_tensor(o)) {
        *dt = kl_dtype_of(py_t(o));
        return 0;
    }
    int r = py_as_arg(o, &a);
    if (r < 0)
        return -1;
    if (r == 0)
        return PyUnicode_Check(o)
                   ? py_fail_type(PyExc_TypeError, "new(): invalid data type '%U'", o)
                   : py_fail_type(PyExc_RuntimeError, "Could not infer dtype of %U", o);
    *dt = a.kind == KL_ARG_BOOL      ? KL_BOOL
          : a.kind == KL_ARG_INT     ? KL_I64
          : a.kind == KL_ARG_COMPLEX ? default_complex()
                                     : kl_get_default_dtype();
    return 0;
}

/* One level more, of n elements. */
static int look_extent(scan *s, int depth, Py_ssize_t n)
{
    if (depth >= KL_INTS_MAX) {
        PyErr_Format(PyExc_ValueError, "too many dimensions '%d'", depth + 1);
        return -1;
    }
    if (depth == s->shape.n) {
        s->shape.n++;
        s->shape.v[depth] = n;
    } else if (s->shape.v[depth] != n) {
        PyErr_Format(PyExc_ValueError,
                     "expected sequence of length %lld at dim %d (got %zd)",
                     (long long)s->shape.v[depth], depth, n);
        return -1;
    }
    return 0;
}

static int look_array(PyObject *o, int depth, scan *s)
{
    Py_buffer b;
    kl_dtype dt;
    if (PyObject_GetBuffer(o, &b, PyBUF_STRIDED_RO | PyBUF_FORMAT))
        return -1;
    int r = buffer_dtype(&b, &dt);
    for (int i = 0; i < b.ndim && r == 0 && (i == 0 || b.shape[i - 1]); i++)
        r = look_extent(s, depth + i, b.shape[i]);
    PyBuffer_Release(&b);
    if (r == 0)
        meet(s, dt);
    return r;
}

static int look(PyObject *o, int depth, scan *s)
{
    kl_dtype dt;
    if (is_numpy(o))
        return look_array(o, depth, s);
    if (!is_list(o)) {
        if (leaf_dtype(o, &dt))
            return -1;
        if (depth == s->shape.n && py_is_tensor(o) && kl_rank(py_t(o)) > 0 &&
            kl_numel(py_t(o)) != 1) {
            PyErr_SetString(
                PyExc_ValueError,
                "only one element tensors can be converted to Python scalars");
            return -1;
        }
        meet(s, dt);
        s->large |= is_large(o);
        return 0;
    }
    Py_ssize_t n = PySequence_Size(o);
    if (look_extent(s, depth, n))
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *e = PySequence_GetItem(o, i);
        int r = e ? look(e, depth + 1, s) : -1;
        Py_XDECREF(e);
        if (r)
            return r;
    }
    return 0;
}

/* ---- filling ---- */

typedef struct fill {
    const scan *s;
    char *at;
    kl_dtype dt; /* bool, i64, f64 or c128: wide enough for what was read */
    kl_dtype to; /* what it becomes */
    size_t size;
} fill;

/* Whether a's value has a place in an integer dtype; integers may wrap once below 0. */
static bool fits(kl_arg a, kl_dtype to)
{
    bool is_signed = *kl_dtype_name(to) != 'u', whole = a.kind != KL_ARG_FLOAT;
    double high = ldexp(1, 8 * (int)kl_dtype_size(to) - is_signed);
    double low = is_signed ? -high : whole ? 1 - high : 0;
    return (whole && kl_dtype_size(to) == 8) || (a.d >= low && a.d < high);
}

/* PyTorch's words for a number that the dtype does not take. */
static int check_number(const fill *f, kl_arg a)
{
    int order = order_of(f->to);
    if (a.kind == KL_ARG_COMPLEX && (order == 1 || order == 2)) {
        PyErr_SetString(PyExc_TypeError,
                        order == 2
                            ? "must be real number, not complex"
                            : "'complex' object cannot be interpreted as an integer");
        return -1;
    }
    if (order != 1)
        return 0;
    if (f->to == KL_U64 && a.kind == KL_ARG_INT && a.i < 0) {
        PyErr_SetString(PyExc_OverflowError, "can't convert negative int to unsigned");
        return -1;
    }
    if (fits(a, f->to))
        return 0;
    PyErr_Format(PyExc_RuntimeError,
                 "value cannot be converted to type %s without overflow",
                 kl_dtype_name(f->to));
    return -1;
}

static int put_number(fill *f, kl_arg a)
{
    if (check_number(f, a))
        return -1;
    if (f->dt == KL_C128) {
        double c[2] = {a.d, a.kind == KL_ARG_COMPLEX ? a.im : 0};
        memcpy(f->at, c, sizeof c);
    } else if (f->dt == KL_F64) {
        memcpy(f->at, &a.d, sizeof a.d);
    } else if (f->dt == KL_I64) {
        memcpy(f->at, &a.i, sizeof a.i);
    } else {
        *f->at = a.i != 0;
    }
    f->at += f->size;
    return 0;
}

/* An integer beyond int64: uint64's bits, a float, or true. */
static int put_large(fill *f, PyObject *o)
{
    if (f->to == KL_BOOL)
        return put_number(f, kl_arg_b(true));
    if (f->dt == KL_F64 || f->dt == KL_C128) {
        double d = PyLong_AsDouble(o);
        return d == -1 && PyErr_Occurred() ? -1 : put_number(f, kl_arg_d(d));
    }
    if (f->to != KL_U64) {
        PyErr_SetString(PyExc_ValueError, "Overflow when unpacking long long");
        return -1;
    }
    unsigned long long bits = PyLong_AsUnsignedLongLong(o);
    if (PyErr_Occurred())
        return -1;
    memcpy(f->at, &bits, sizeof bits);
    f->at += f->size;
    return 0;
}

/* Its strides may be negative, and it may be read-only: it is only read. */
static int put_array(fill *f, PyObject *o, int depth)
{
    Py_buffer b;
    kl_dtype dt;
    int64_t strides[KL_INTS_MAX];
    if (PyObject_GetBuffer(o, &b, PyBUF_STRIDED_RO | PyBUF_FORMAT))
        return -1;
    int r = buffer_dtype(&b, &dt);
    if (r == 0 && depth + b.ndim != f->s->shape.n) {
        PyErr_Format(PyExc_TypeError, "not a sequence at dim %d", depth + b.ndim);
        r = -1;
    }
    if (r == 0) {
        kl_ints shape = axes_of(&b, strides);
        kl_scope_begin();
        kl_tensor *t =
            kl_from_buffer_at(py_place(), b.buf, dt, shape, strides, true, NULL, NULL);
        size_t bytes = t ? (size_t)kl_numel(t) * f->size : 0;
        r = t && kl_copy_out(kl_to(t, f->dt), f->at, bytes) == KL_OK ? 0 : -1;
        f->at += bytes;
        kl_scope_drop();
        if (r)
            py_raise();
    }
    PyBuffer_Release(&b);
    return r;
}

static int put(fill *f, PyObject *o, int depth)
{
    kl_arg a;
    if (py_is_array(o))
        return put_array(f, o, depth);
    if (!is_list(o) && depth != f->s->shape.n) {
        PyErr_Format(PyExc_TypeError, "not a sequence at dim %d", depth);
        return -1;
    }
    if (!is_list(o) && py_is_tensor(o)) {
        PyObject *item = py_item(py_t(o));
        int r = item ? put(f, item, depth) : -1;
        Py_XDECREF(item);
        return r;
    }
    if (is_large(o))
        return put_large(f, o);
    if (!is_list(o))
        return py_as_arg(o, &a) == 1 ? put_number(f, a) : -1;
    for (Py_ssize_t i = 0, n = PySequence_Size(o); i < n; i++) {
        PyObject *e = PySequence_GetItem(o, i);
        int r = e ? put(f, e, depth + 1) : -1;
        Py_XDECREF(e);
        if (r)
            return r;
    }
    return 0;
}

static PyObject *from_numbers(PyObject *data, kl_dtype dt)
{
    scan s = {.dt = kl_get_default_dtype()};
    int64_t count = 1;
    if (look(data, 0, &s))
        return NULL;
    static const kl_dtype wide[] = {KL_BOOL, KL_I64, KL_F64, KL_C128};
    for (int i = 0; i < s.shape.n; i++)
        count *= s.shape.v[i];
    fill f = {.s = &s, .to = dt == KL_DTYPE_NONE ? s.dt : dt};
    f.dt = wide[order_of(s.large && order_of(f.to) > order_of(s.dt) ? f.to : s.dt)];
    f.size = kl_dtype_size(f.dt);
    char *bytes = malloc((size_t)count * f.size + 1);
    if (!bytes)
        return PyErr_NoMemory();
    f.at = bytes;
    PyObject *r = NULL;
    if (count == 0 || put(&f, data, 0) == 0) {
        const char *at = py_place();
        kl_scope_begin();
        kl_tensor *t = kl_tensor_copy_at(at, bytes, f.dt, s.shape);
        t = t ? kl_to_at(at, t, f.to) : NULL;
        kl_scope_take(t);
        kl_scope_drop();
        r = t ? py_adopt(py.tensor, t) : py_raise();
    }
    free(bytes);
    return r;
}

PyObject *py_make(PyObject *data, kl_dtype dt)
{
    if (py_is_tensor(data)) {
        const char *at = py_place();
        kl_scope_begin();
        kl_tensor *t = kl_detach_at(at, py_t(data));
        t = t ? kl_clone_at(at, t) : NULL;
        t = t && dt != KL_DTYPE_NONE ? kl_to_at(at, t, dt) : t;
        kl_scope_take(t);
        kl_scope_drop();
        return t ? py_adopt(py.tensor, t) : py_raise();
    }
    if (is_list(data) || !PyObject_CheckBuffer(data) || PyBytes_Check(data))
        return from_numbers(data, dt);
    PyObject *shared = py_from_buffer(data), *r = shared ? py_make(shared, dt) : NULL;
    Py_XDECREF(shared);
    return r;
}

/* ---- buffers in ---- */

static const struct {
    const char *format; /* struct module's, native */
    kl_dtype dt;
} formats[] = {
    {"?", KL_BOOL}, {"B", KL_U8},  {"b", KL_I8},   {"H", KL_U16},
    {"h", KL_I16},  {"I", KL_U32}, {"i", KL_I32},  {"L", KL_U64},
    {"l", KL_I64},  {"Q", KL_U64}, {"q", KL_I64},  {"e", KL_F16},
    {"f", KL_F32},  {"d", KL_F64}, {"Zf", KL_C64}, {"Zd", KL_C128},
};
enum { FORMATS = sizeof formats / sizeof *formats };

static int buffer_dtype(const Py_buffer *b, kl_dtype *dt)
{
    const char *f = b->format ? b->format : "B";
    if (*f == '>' || *f == '!') {
        PyErr_SetString(
            PyExc_ValueError,
            "given numpy array has byte order different from the native byte "
            "order. Conversion between byte orders is currently not supported.");
        return -1;
    }
    f += *f == '@' || *f == '=' || *f == '<';
    for (int i = 0; i < FORMATS; i++)
        if (strcmp(formats[i].format, f) == 0 &&
            kl_dtype_size(formats[i].dt) == (size_t)b->itemsize) {
            *dt = formats[i].dt;
            return 0;
        }
    PyErr_Format(PyExc_TypeError,
                 "can't convert a buffer of format '%s'. The only supported types are: "
                 "float64, float32, float16, complex64, complex128, int64, int32, int16, "
                 "int8, uint64, uint32, uint16, uint8, and bool.",
                 b->format ? b->format : "");
    return -1;
}

static void release(void *user, void *data)
{
    (void)data;
    PyGILState_STATE s = PyGILState_Ensure();
    PyBuffer_Release(user);
    free(user);
    PyGILState_Release(s);
}

static int check_strides(const Py_buffer *b)
{
    for (int i = 0; i < b->ndim; i++) {
        if (b->strides[i] < 0) {
            PyErr_SetString(
                PyExc_ValueError,
                "At least one stride in the given numpy array is negative, and "
                "tensors with negative strides are not currently supported. (You "
                "can probably work around this by making a copy of your array  "
                "with array.copy().) ");
            return -1;
        }
        if (b->strides[i] % b->itemsize && b->shape[i] > 1) {
            PyErr_SetString(
                PyExc_ValueError,
                "given numpy array strides not a multiple of the element byte "
                "size. Copy the numpy array to reallocate the memory.");
            return -1;
        }
    }
    return 0;
}

PyObject *py_from_buffer(PyObject *o)
{
    Py_buffer *b = malloc(sizeof *b);
    int64_t strides[KL_INTS_MAX];
    kl_dtype dt;
    if (!b)
        return PyErr_NoMemory();
    if (PyObject_GetBuffer(o, b, PyBUF_STRIDED_RO | PyBUF_FORMAT)) {
        free(b);
        return NULL;
    }
    kl_ints shape = axes_of(b, strides);
    if (buffer_dtype(b, &dt) || check_strides(b)) {
        PyBuffer_Release(b);
        free(b);
        return NULL;
    }
    return py_wrap(kl_from_buffer_at(py_place(), b->buf, dt, shape, strides, b->readonly,
                                     release, b));
}

PyObject *py_over_bytes(PyObject *o, kl_dtype dt)
{
    int64_t size = (int64_t)kl_dtype_size(dt);
    Py_buffer *b = malloc(sizeof *b);
    if (!b)
        return PyErr_NoMemory();
    if (PyObject_GetBuffer(o, b, PyBUF_SIMPLE)) {
        free(b);
        return NULL;
    }
    return py_wrap(kl_from_buffer_at(py_place(), b->buf, dt, kl_shape(b->len / size),
                                     &size, b->readonly, release, b));
}

/* ---- buffers out ---- */

typedef struct shared { /* of one view: in Py_buffer.internal */
    kl_tensor *t;
    Py_ssize_t dims[2 * KL_INTS_MAX];
} shared;

static const char *format_of(kl_dtype dt)
{
    for (int i = 0; i < FORMATS; i++)
        if (formats[i].dt == dt)
            return formats[i].format;
    return NULL;
}

int py_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    kl_tensor *t = py_t(self);
    const char *format = format_of(kl_dtype_of(t));
    view->obj = NULL;
    if (!format) {
        PyErr_SetString(PyExc_TypeError, "Got unsupported ScalarType BFloat16");
        return -1;
    }
    if (!kl_is_contiguous(t) && !(flags & PyBUF_STRIDES)) {
        PyErr_SetString(PyExc_BufferError, "the tensor is not contiguous");
        return -1;
    }
    shared *s = malloc(sizeof *s);
    void *data = s ? kl_data_at(py_place(), t) : NULL;
    if (!data && (kl_failed() || !s)) {
        free(s);
        if (kl_error_status() == KL_ERR_DEVICE)
            PyErr_SetString(PyExc_TypeError, kl_error());
        py_raise();
        return -1;
    }
    int n = kl_rank(t);
    s->t = kl_tensor_ref(t);
    for (int i = 0; i < n; i++) {
        s->dims[i] = (Py_ssize_t)kl_extent(t, i);
        s->dims[n + i] =
            (Py_ssize_t)(kl_stride(t, i) * (int64_t)kl_dtype_size(kl_dtype_of(t)));
    }
    Py_INCREF(self);
    *view = (Py_buffer){.buf = data,
                        .obj = self,
                        .len = (Py_ssize_t)kl_nbytes(t),
                        .itemsize = (Py_ssize_t)kl_dtype_size(kl_dtype_of(t)),
                        .ndim = n,
                        .format = (char *)(uintptr_t)format,
                        .shape = s->dims,
                        .strides = s->dims + n,
                        .internal = s};
    return 0;
}

void py_release_buffer(PyObject *self, Py_buffer *view)
{
    shared *s = view->internal;
    (void)self;
    kl_data_done(s->t);
    kl_tensor_unref(s->t);
    free(s);
}

/* ---- lists out ---- */

static PyObject *element(kl_dtype dt, const char *p)
{
    union {
        float f[2];
        double d[2];
        int64_t i;
        uint64_t u;
    } v;
    memcpy(&v, p, kl_dtype_size(dt));
    switch (dt) {
    case KL_BOOL:
        return PyBool_FromLong(*p);
    case KL_F32:
        return PyFloat_FromDouble((double)v.f[0]);
    case KL_F64:
        return PyFloat_FromDouble(v.d[0]);
    case KL_C64:
        return PyComplex_FromDoubles((double)v.f[0], (double)v.f[1]);
    case KL_C128:
        return PyComplex_FromDoubles(v.d[0], v.d[1]);
    case KL_U64:
        return PyLong_FromUnsignedLongLong(v.u);
    default:
        return PyLong_FromLongLong(v.i);
    }
}

static PyObject *nested(kl_dtype dt, kl_ints shape, int depth, const char **p)
{
    if (depth == shape.n) {
        PyObject *e = element(dt, *p);
        *p += kl_dtype_size(dt);
        return e;
    }
    PyObject *list = PyList_New((Py_ssize_t)shape.v[depth]);
    for (int64_t i = 0; list && i < shape.v[depth]; i++) {
        PyObject *e = nested(dt, shape, depth + 1, p);
        if (!e || PyList_SetItem(list, (Py_ssize_t)i, e))
            Py_CLEAR(list);
    }
    return list;
}

/* The dtype in which element() reads: as wide as it needs, the same values. */
static kl_dtype plain(kl_dtype dt)
{
    if (dt == KL_F16 || dt == KL_BF16)
        return KL_F32;
    return dt == KL_BOOL || dt == KL_U64 || dt >= KL_F32 ? dt : KL_I64;
}

PyObject *py_tolist(kl_tensor *t)
{
    const char *at = py_place();
    kl_dtype dt = plain(kl_dtype_of(t));
    size_t size = (size_t)kl_numel(t) * kl_dtype_size(dt);
    char *bytes = malloc(size + 1);
    if (!bytes)
        return PyErr_NoMemory();
    kl_scope_begin();
    kl_tensor *wide = kl_to_at(at, t, dt);
    bool ok = wide && kl_copy_out_at(at, wide, bytes, size) == KL_OK;
    kl_scope_drop();
    const char *p = bytes;
    PyObject *r = ok ? nested(dt, kl_shape_of(t), 0, &p) : py_raise();
    free(bytes);
    return r;
}
