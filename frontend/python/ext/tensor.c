/* tensor.c: the Tensor type: its life, operators and attributes. Named functions come
 * from the table (functions.c); what is written here is what Python's syntax asks for. */
#include "py.h"

#include <stdlib.h>
#include <string.h>

static py_tensor *of(PyObject *o)
{
    return (py_tensor *)o;
}

bool py_is_tensor(PyObject *o)
{
    return Py_TYPE(o) == py.tensor || PyType_IsSubtype(Py_TYPE(o), py.tensor);
}

kl_tensor *py_t(PyObject *o)
{
    return of(o)->t;
}

/* ---- errors ---- */

static PyObject *exception_of(kl_status s)
{
    switch (s) {
    case KL_ERR_INDEX:
        return PyExc_IndexError;
    case KL_ERR_OOM:
        return PyExc_MemoryError;
    case KL_ERR_UNSUPPORTED:
        return PyExc_NotImplementedError;
    case KL_ERR_IO:
        return PyExc_OSError;
    case KL_ERR_NUMERIC:
        return py.linalg_error;
    default:
        return PyExc_RuntimeError;
    }
}

PyObject *py_raise(void)
{
    if (!PyErr_Occurred())
        PyErr_SetString(exception_of(kl_error_status()),
                        kl_failed() ? kl_error() : "kiln: a call failed");
    kl_error_clear();
    return NULL;
}

/* ---- life ---- */

PyObject *py_adopt(PyTypeObject *type, kl_tensor *t)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    py_tensor *o = (py_tensor *)alloc(type, 0);
    if (o)
        o->t = t;
    else
        kl_tensor_unref(t);
    return (PyObject *)o;
}

PyObject *py_wrap_as(PyTypeObject *type, kl_tensor *t)
{
    return t ? py_adopt(type, kl_scope_take(t)) : py_raise();
}

PyObject *py_wrap(kl_tensor *t)
{
    return py_wrap_as(py.tensor, t);
}

static bool is_size(PyObject *o)
{
    return py.size && PyObject_IsInstance(o, py.size) == 1;
}

/* Tensor(..) of Python: a float tensor of a shape, or of data: a tuple is data, a Size
 * not. */
static PyObject *tensor_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    kl_ints shape = {0};
    Py_ssize_t n = PyTuple_Size(args);
    PyObject *first = n > 0 ? PyTuple_GetItem(args, 0) : NULL;
    (void)kw;
    if (first && n == 1 && py_is_tensor(first)) { /* a subclass over the same storage */
        kl_tensor *t = kl_detach_at(py_place(), py_t(first));
        return t ? py_adopt(type, kl_scope_take(t)) : py_raise();
    }
    if (first && !py_is_int(first) && n == 1 && !is_size(first)) {
        PyObject *r = py_make(first, kl_get_default_dtype());
        if (r && type != py.tensor) {
            kl_tensor *t = kl_tensor_ref(py_t(r));
            Py_DECREF(r);
            r = py_adopt(type, t);
        }
        return r;
    }
    if (n > 0 && !py_as_ints(n == 1 && is_size(first) ? first : args, &shape)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "new(): expected sizes or data");
        return NULL;
    }
    if (n == 0)
        shape = kl_shape(0);
    kl_tensor *t = kl_empty_at(py_place(), shape, kl_get_default_dtype());
    return t ? py_adopt(type, kl_scope_take(t)) : py_raise();
}

static int tensor_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(of(self)->dict);
    Py_VISIT(of(self)->grad);
    return 0;
}

static int tensor_clear(PyObject *self)
{
    Py_CLEAR(of(self)->dict);
    Py_CLEAR(of(self)->grad);
    return 0;
}

static void tensor_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (of(self)->weak)
        PyObject_ClearWeakRefs(self);
    tensor_clear(self);
    kl_tensor_unref(of(self)->t);
    freefunc free_it = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_it(self);
    Py_DECREF(type);
}

/* ---- operators ---- */

typedef kl_tensor *(*binary_fn)(const char *, kl_arg, kl_arg);
typedef kl_tensor *(*inplace_fn)(const char *, kl_tensor *, kl_arg);

/* A tensor and a NumPy array: a tensor of its elements. */
static PyObject *with_array(PyObject *a, PyObject *b, binary_fn fn)
{
    kl_arg x, y;
    PyObject *made = py_make(b, KL_DTYPE_NONE), *r = NULL;
    if (made && py_as_arg(a, &x) == 1 && py_as_arg(made, &y) == 1)
        r = py_wrap(fn(py_place(), x, y));
    Py_XDECREF(made);
    return r;
}

static PyObject *binary(PyObject *a, PyObject *b, binary_fn fn, const char *name,
                        const char *reflected)
{
    kl_arg x, y;
    PyObject *both[] = {a, b};
    if (py_overrides(both, 2))
        return py_operator(name, reflected, both, 2);
    if (py_as_arg(a, &x) != 1 || py_as_arg(b, &y) != 1) {
        if (PyErr_Occurred())
            return NULL;
        if (py_is_tensor(a) && py_is_array(b))
            return with_array(a, b, fn);
        return py_operator(name, reflected, both, 2);
    }
    return py_wrap(fn(py_place(), x, y));
}

static PyObject *inplace(PyObject *a, PyObject *b, inplace_fn fn, const char *name)
{
    kl_arg y;
    PyObject *both[] = {a, b};
    if (py_overrides(both, 2))
        return py_operator(name, NULL, both, 2);
    if (py_as_arg(b, &y) != 1) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NOTIMPLEMENTED;
    }
    if (!fn(py_place(), py_t(a), y))
        return py_raise();
    Py_INCREF(a);
    return a;
}

#define BINARY(slot, name, method, symbol)                                               \
    static PyObject *nb_##slot(PyObject *a, PyObject *b)                                 \
    {                                                                                    \
        return binary(a, b, kl_##name##_at, method, "__r" symbol "__");                  \
    }                                                                                    \
    static PyObject *nb_inplace_##slot(PyObject *a, PyObject *b)                         \
    {                                                                                    \
        return inplace(a, b, kl_##name##_in_at, "__i" symbol "__");                      \
    }
BINARY(add, add, "add", "add")
BINARY(subtract, sub, "sub", "sub")
BINARY(multiply, mul, "mul", "mul")
BINARY(true_divide, div, "div", "truediv")
BINARY(floor_divide, floordiv, "floor_divide", "floordiv")
BINARY(remainder, mod, "remainder", "mod")
BINARY(and, and, "__and__", "and")
BINARY(or, or, "__or__", "or")
BINARY(xor, xor, "__xor__", "xor")
BINARY(lshift, shl, "__lshift__", "lshift")
BINARY(rshift, shr, "__rshift__", "rshift")

static PyObject *nb_power(PyObject *a, PyObject *b, PyObject *mod)
{
    if (mod != Py_None)
        Py_RETURN_NOTIMPLEMENTED;
    return binary(a, b, kl_pow_at, "pow", "__rpow__");
}
static PyObject *nb_inplace_power(PyObject *a, PyObject *b, PyObject *mod)
{
    (void)mod;
    return inplace(a, b, kl_pow_in_at, "__ipow__");
}
static PyObject *nb_matmul(PyObject *a, PyObject *b)
{
    PyObject *both[] = {a, b};
    if (py_overrides(both, 2) || !py_is_tensor(a) || !py_is_tensor(b))
        return py_operator("matmul", "__rmatmul__", both, 2);
    if (py_autocast_on())
        return PyObject_CallMethod(a, "matmul", "O", b);
    return py_wrap(kl_matmul_at(py_place(), py_t(a), py_t(b)));
}

#define UNARY(slot, call, method)                                                        \
    static PyObject *nb_##slot(PyObject *a)                                              \
    {                                                                                    \
        if (py_overrides(&a, 1))                                                         \
            return py_operator(method, NULL, &a, 1);                                     \
        return py_wrap(call(py_place(), kl_arg_t(py_t(a))));                             \
    }
UNARY(negative, kl_neg_at, "neg")
UNARY(absolute, kl_abs_at, "abs")
UNARY(invert, kl_not_at, "bitwise_not")
static PyObject *nb_positive(PyObject *a)
{
    Py_INCREF(a);
    return a;
}

static PyObject *compare(PyObject *a, PyObject *b, int op)
{
    static const binary_fn fns[] = {
        [Py_LT] = kl_lt_at, [Py_LE] = kl_le_at, [Py_EQ] = kl_eq_at,
        [Py_NE] = kl_ne_at, [Py_GT] = kl_gt_at, [Py_GE] = kl_ge_at,
    };
    static const char *const names[] = {
        [Py_LT] = "lt", [Py_LE] = "le", [Py_EQ] = "eq",
        [Py_NE] = "ne", [Py_GT] = "gt", [Py_GE] = "ge",
    };
    return binary(a, b, fns[op], names[op], names[op]);
}

/* ---- as Python's values ---- */

static int nb_bool(PyObject *self)
{
    kl_tensor *t = py_t(self);
    if (kl_numel(t) != 1) {
        PyErr_SetString(PyExc_RuntimeError,
                        kl_numel(t)
                            ? "Boolean value of Tensor with more than one value is "
                              "ambiguous"
                            : "Boolean value of Tensor with no values is ambiguous");
        return -1;
    }
    PyObject *v = py_item(t);
    int r = v ? PyObject_IsTrue(v) : -1;
    Py_XDECREF(v);
    return r;
}

PyObject *py_item(kl_tensor *t)
{
    unsigned char bytes[16];
    kl_dtype dt = kl_dtype_of(t);
    double re = 0, im = 0;
    if (kl_numel(t) != 1) {
        PyErr_Format(PyExc_RuntimeError,
                     "a Tensor with %lld elements cannot be converted to Scalar",
                     (long long)kl_numel(t));
        return NULL;
    }
    if (dt == KL_C64 || dt == KL_C128) {
        if (kl_copy_out_at(py_place(), t, bytes, kl_dtype_size(dt)))
            return py_raise();
        float f[2];
        double d[2];
        memcpy(f, bytes, sizeof f);
        memcpy(d, bytes, sizeof d);
        re = dt == KL_C64 ? (double)f[0] : d[0];
        im = dt == KL_C64 ? (double)f[1] : d[1];
        return PyComplex_FromDoubles(re, im);
    }
    if (dt == KL_F16 || dt == KL_BF16 || dt == KL_F32 || dt == KL_F64) {
        double v = kl_item_at(py_place(), t);
        return kl_failed() ? py_raise() : PyFloat_FromDouble(v);
    }
    int64_t v = kl_item_int_at(py_place(), t);
    if (kl_failed())
        return py_raise();
    if (dt == KL_BOOL)
        return PyBool_FromLong(v != 0);
    return dt == KL_U64 ? PyLong_FromUnsignedLongLong((unsigned long long)v)
                        : PyLong_FromLongLong(v);
}

static PyObject *through(PyObject *self, PyObject *(*convert)(PyObject *))
{
    if (kl_numel(py_t(self)) != 1) {
        PyErr_SetString(PyExc_ValueError,
                        "only one element tensors can be converted to Python scalars");
        return NULL;
    }
    PyObject *v = py_item(py_t(self)), *r = v ? convert(v) : NULL;
    Py_XDECREF(v);
    return r;
}
static PyObject *nb_int(PyObject *self)
{
    return through(self, PyNumber_Long);
}
static PyObject *nb_float(PyObject *self)
{
    return through(self, PyNumber_Float);
}
static PyObject *nb_index(PyObject *self)
{
    kl_dtype dt = kl_dtype_of(py_t(self));
    if (dt >= KL_F16 || kl_numel(py_t(self)) != 1) {
        PyErr_SetString(PyExc_TypeError,
                        "only integer tensors of a single element can be converted to an "
                        "index");
        return NULL;
    }
    return through(self, PyNumber_Long);
}

static Py_ssize_t length(PyObject *self)
{
    if (kl_rank(py_t(self)) == 0) {
        PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
        return -1;
    }
    return (Py_ssize_t)kl_extent(py_t(self), 0);
}

static PyObject *seq_item(PyObject *self, Py_ssize_t i)
{
    PyObject *key = PyLong_FromSsize_t(i), *r = key ? py_getitem(self, key) : NULL;
    Py_XDECREF(key);
    return r;
}

static PyObject *iterate(PyObject *self)
{
    if (kl_rank(py_t(self)) == 0) {
        PyErr_SetString(PyExc_TypeError, "iteration over a 0-d tensor");
        return NULL;
    }
    return PySeqIter_New(self);
}

/* A new line, and n blanks before what stands on it. */
static PyObject *indent(Py_ssize_t n)
{
    char line[128] = "\n";
    n = n < (Py_ssize_t)sizeof line - 1 ? n : (Py_ssize_t)sizeof line - 1;
    memset(line + 1, ' ', (size_t)n);
    return PyUnicode_FromStringAndSize(line, n + 1);
}

/* "tensor(..)" under the name of the user's class, its lines below each other. */
static PyObject *renamed(PyObject *text, PyTypeObject *type)
{
    enum { WAS = sizeof "tensor(" - 1 };
    PyObject *name = PyType_GetName(type), *from = indent(WAS);
    PyObject *to = name ? indent(PyUnicode_GetLength(name) + 1) : NULL;
    PyObject *lines = from && to ? PyUnicode_Replace(text, from, to, -1) : NULL;
    PyObject *rest =
        lines ? PyUnicode_Substring(lines, WAS, PyUnicode_GetLength(lines)) : NULL;
    PyObject *r = rest ? PyUnicode_FromFormat("%U(%U", name, rest) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(from);
    Py_XDECREF(to);
    Py_XDECREF(lines);
    Py_XDECREF(rest);
    Py_DECREF(text);
    return r;
}

static PyObject *repr(PyObject *self)
{
    char *s = kl_repr_at(py_place(), py_t(self));
    if (!s)
        return py_raise();
    PyObject *r = PyUnicode_FromString(s);
    free(s);
    return r && py_overriding(self) ? renamed(r, Py_TYPE(self)) : r;
}

static Py_hash_t hash(PyObject *self)
{
    return (Py_hash_t)((uintptr_t)self >> 4);
}

/* ---- attributes ---- */

PyObject *py_size(kl_ints s)
{
    PyObject *t = PyTuple_New(s.n);
    for (int i = 0; t && i < s.n; i++) {
        PyObject *v = PyLong_FromLongLong(s.v[i]);
        if (!v || PyTuple_SetItem(t, i, v))
            Py_CLEAR(t);
    }
    if (!t || !py.size)
        return t;
    PyObject *r = PyObject_CallFunctionObjArgs(py.size, t, NULL);
    Py_DECREF(t);
    return r;
}

/* A part of self, of its class where that is the user's. */
static PyObject *wrap_like(PyObject *self, kl_tensor *t)
{
    return py_wrap_as(py_overriding(self) ? Py_TYPE(self) : py.tensor, t);
}

static PyObject *get_shape(PyObject *self, void *unused)
{
    (void)unused;
    return py_size(kl_shape_of(py_t(self)));
}
static PyObject *get_dtype(PyObject *self, void *unused)
{
    (void)unused;
    return py_dtype(kl_dtype_of(py_t(self)));
}
static PyObject *get_device(PyObject *self, void *unused)
{
    (void)unused;
    return py_device(py_t(self));
}
static PyObject *get_ndim(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong(kl_rank(py_t(self)));
}
static PyObject *get_itemsize(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSize_t(kl_dtype_size(kl_dtype_of(py_t(self))));
}
static PyObject *get_nbytes(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(kl_nbytes(py_t(self)));
}
static PyObject *get_version(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(kl_version(py_t(self)));
}
static PyObject *get_is_leaf(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(kl_is_leaf(py_t(self)));
}
static PyObject *get_requires_grad(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(kl_requires_grad(py_t(self)));
}
static PyObject *get_retains_grad(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(kl_retains_grad(py_t(self)));
}
static int set_requires_grad(PyObject *self, PyObject *v, void *unused)
{
    (void)unused;
    int on = v ? PyObject_IsTrue(v) : -1;
    if (on < 0)
        return -1;
    if (!kl_requires_grad_at(py_place(), py_t(self), on)) {
        py_raise();
        return -1;
    }
    return 0;
}
static PyObject *get_grad_fn(PyObject *self, void *unused)
{
    const char *name = kl_grad_fn(py_t(self));
    (void)unused;
    if (!name)
        Py_RETURN_NONE;
    return PyUnicode_FromString(name);
}

static void set_ref(PyObject **to, PyObject *v)
{
    PyObject *old = *to;
    *to = v;
    Py_XDECREF(old);
}

static PyObject *get_grad(PyObject *self, void *unused)
{
    kl_tensor *g = kl_grad_of(py_t(self));
    (void)unused;
    if (!g) {
        Py_CLEAR(of(self)->grad);
        if (kl_grad_fn(py_t(self)) && !kl_retains_grad(py_t(self)) &&
            PyErr_WarnEx(
                PyExc_UserWarning,
                "The .grad attribute of a Tensor that is not a leaf Tensor is being "
                "accessed. Its .grad attribute won't be populated during "
                "autograd.backward(). If you indeed want the .grad field to be populated "
                "for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If "
                "you "
                "access the non-leaf Tensor by mistake, make sure you access the leaf "
                "Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more "
                "information.",
                1))
            return NULL;
        Py_RETURN_NONE;
    }
    kl_scope_take(g);
    if (!of(self)->grad || py_t(of(self)->grad) != g)
        set_ref(&of(self)->grad, py_adopt(py.tensor, g));
    else
        kl_tensor_unref(g);
    Py_XINCREF(of(self)->grad);
    return of(self)->grad;
}

static int set_grad(PyObject *self, PyObject *v, void *unused)
{
    (void)unused;
    bool none = !v || v == Py_None;
    if (!none && !py_is_tensor(v)) {
        py_fail_type(
            PyExc_TypeError,
            "assigned grad expected to be a Tensor or None but got grad of type %U", v);
        return -1;
    }
    if (kl_set_grad(py_t(self), none ? NULL : py_t(v))) {
        py_raise();
        return -1;
    }
    if (!none)
        Py_INCREF(v);
    set_ref(&of(self)->grad, none ? NULL : v);
    return 0;
}

static PyObject *get_data(PyObject *self, void *unused)
{
    (void)unused;
    return wrap_like(self, kl_detach_at(py_place(), py_t(self)));
}

/* x.data = y: the handle's storage becomes y's. */
static int set_data(PyObject *self, PyObject *v, void *unused)
{
    (void)unused;
    if (!v || !py_is_tensor(v)) {
        PyErr_SetString(PyExc_TypeError, "Variable data has to be a tensor");
        return -1;
    }
    kl_tensor *t = kl_with_data_at(py_place(), py_t(self), py_t(v));
    if (!t) {
        py_raise();
        return -1;
    }
    kl_tensor_unref(of(self)->t);
    of(self)->t = kl_scope_take(t);
    return 0;
}

void py_become(PyObject *self, PyObject *other)
{
    kl_tensor *was = of(self)->t;
    of(self)->t = kl_tensor_ref(of(other)->t);
    kl_tensor_unref(was);
}

static PyObject *get_t(PyObject *self, void *unused)
{
    (void)unused;
    return wrap_like(self, kl_t_at(py_place(), py_t(self)));
}

kl_tensor *py_transposed(const char *at, kl_tensor *t, const char *name, bool conj)
{
    if (kl_rank(t) < 2) {
        PyErr_Format(
            PyExc_RuntimeError,
            "tensor.%s is only supported on matrices or batches of matrices. Got %d-D "
            "tensor.",
            name, kl_rank(t));
        return NULL;
    }
    kl_tensor *r = kl_transpose_at(at, t, -1, -2);
    return r && conj ? kl_conj_at(at, r) : r;
}

static PyObject *get_mt(PyObject *self, void *unused)
{
    (void)unused;
    return wrap_like(self, py_transposed(py_place(), py_t(self), "mT", false));
}

/* The conjugate transpose; H is a matrix's alone. */
static PyObject *get_mh(PyObject *self, void *matrix)
{
    kl_tensor *t = py_t(self);
    if (matrix && kl_rank(t) != 2 && kl_rank(t) != 0) {
        PyErr_Format(
            PyExc_RuntimeError,
            "tensor.H is only supported on matrices (2-D tensors). Got %d-D tensor.%s",
            kl_rank(t),
            kl_rank(t) > 2 ? " For batches of matrices, consider using tensor.mH" : "");
        return NULL;
    }
    if (matrix && kl_rank(t) == 0)
        return wrap_like(self, kl_conj_at(py_place(), t));
    kl_scope_begin();
    kl_tensor *r = kl_scope_take(py_transposed(py_place(), t, "mH", true));
    kl_scope_drop();
    return r ? py_adopt(py_overriding(self) ? Py_TYPE(self) : py.tensor, r) : py_raise();
}
static PyObject *get_real(PyObject *self, void *unused)
{
    (void)unused;
    return wrap_like(self, kl_real_at(py_place(), kl_arg_t(py_t(self))));
}
static PyObject *get_imag(PyObject *self, void *unused)
{
    (void)unused;
    return wrap_like(self, kl_imag_at(py_place(), kl_arg_t(py_t(self))));
}
static PyObject *get_false(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_FALSE;
}
static PyObject *get_true(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    Py_RETURN_TRUE;
}

static PyGetSetDef getset[] = {
    {"shape", get_shape, NULL, "The extents, a Size.", NULL},
    {"dtype", get_dtype, NULL, "The elements' type.", NULL},
    {"device", get_device, NULL, "Where the memory is.", NULL},
    {"ndim", get_ndim, NULL, "How many dimensions.", NULL},
    {"itemsize", get_itemsize, NULL, "Bytes of an element.", NULL},
    {"nbytes", get_nbytes, NULL, "Bytes of all elements.", NULL},
    {"_version", get_version, NULL, "How often the storage was written in place.", NULL},
    {"is_leaf", get_is_leaf, NULL, "Made by no recorded operation.", NULL},
    {"requires_grad", get_requires_grad, set_requires_grad, "Gradients are wanted.",
     NULL},
    {"retains_grad", get_retains_grad, NULL, "It is no leaf, and retain_grad was called.",
     NULL},
    {"_grad_fn", get_grad_fn, NULL, "The name of the operation it comes from.", NULL},
    {"grad", get_grad, set_grad, "What backward collected, or None.", NULL},
    {"data", get_data, set_data, "The same storage, without gradient.", NULL},
    {"T", get_t, NULL, "All dimensions reversed.", NULL},
    {"mT", get_mt, NULL, "The last two dimensions swapped.", NULL},
    {"mH", get_mh, NULL, "The last two dimensions swapped, conjugated.", NULL},
    {"H", get_mh, NULL, "The conjugate transpose of a matrix.", "matrix"},
    {"real", get_real, NULL, "The real part.", NULL},
    {"imag", get_imag, NULL, "The imaginary part.", NULL},
    {"is_cuda", get_false, NULL, NULL, NULL},
    {"is_sparse", get_false, NULL, NULL, NULL},
    {"is_quantized", get_false, NULL, NULL, NULL},
    {"is_meta", get_false, NULL, NULL, NULL},
    {"is_mps", get_false, NULL, NULL, NULL},
    {"is_xpu", get_false, NULL, NULL, NULL},
    {"is_xla", get_false, NULL, NULL, NULL},
    {"is_mkldnn", get_false, NULL, NULL, NULL},
    {"is_nested", get_false, NULL, NULL, NULL},
    {"is_cpu", get_true, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {0},
};

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(py_tensor, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(py_tensor, weak), READONLY, NULL},
    {0},
};

#define SLOT(name)                                                                       \
    {                                                                                    \
        Py_##name, name                                                                  \
    }
#define BOTH(name)                                                                       \
    {Py_nb_##name, nb_##name},                                                           \
    {                                                                                    \
        Py_nb_inplace_##name, nb_inplace_##name                                          \
    }
static PyType_Slot slots[] = {
    {Py_tp_new, tensor_new},
    {Py_tp_dealloc, tensor_dealloc},
    {Py_tp_traverse, tensor_traverse},
    {Py_tp_clear, tensor_clear},
    {Py_tp_repr, repr},
    {Py_tp_hash, hash},
    {Py_tp_richcompare, compare},
    {Py_tp_iter, iterate},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_doc,
     "A multi-dimensional array whose value is computed when it is asked for."},
    BOTH(add),
    BOTH(subtract),
    BOTH(multiply),
    BOTH(true_divide),
    BOTH(floor_divide),
    BOTH(remainder),
    BOTH(and),
    BOTH(or),
    BOTH(xor),
    BOTH(lshift),
    BOTH(rshift),
    BOTH(power),
    {Py_nb_matrix_multiply, nb_matmul},
    SLOT(nb_negative),
    SLOT(nb_positive),
    SLOT(nb_absolute),
    SLOT(nb_invert),
    SLOT(nb_bool),
    SLOT(nb_int),
    SLOT(nb_float),
    SLOT(nb_index),
    {Py_mp_length, length},
    {Py_mp_subscript, py_getitem},
    {Py_mp_ass_subscript, py_setitem},
    {Py_sq_length, length},
    {Py_sq_item, seq_item},
    {Py_bf_getbuffer, py_get_buffer},
    {Py_bf_releasebuffer, py_release_buffer},
    {0, NULL},
};
static PyType_Spec spec = {"kiln.Tensor", sizeof(py_tensor), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                           slots};

int py_tensor_init(PyObject *module)
{
    py.tensor = (PyTypeObject *)PyType_FromSpec(&spec);
    return py.tensor ? PyModule_AddType(module, py.tensor) : -1;
}
