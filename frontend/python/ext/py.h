/* py.h: the private header of Python's extension module, over kiln.h and CPython's
 * limited API of 3.11, so that one build serves 3.11 and all later versions.
 *
 *   Python call --> signature.c parses it by its row of functions.def
 *               --> functions.c calls kiln --> tensor.c wraps the result
 *
 * What is KL_API here, kiln._onnx uses too.
 *
 * A Tensor object owns one reference to a kl_tensor. Functions here return new
 * references, or NULL with a Python exception set. */
#ifndef KILN_PY_H
#define KILN_PY_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "kiln.h"

typedef struct py_tensor {
    PyObject_HEAD kl_tensor *t;
    PyObject *dict, *weak; /* attributes that users set; weak references */
    PyObject *grad;        /* the wrapper that .grad gave last */
} py_tensor;

/* What the module keeps for the length of the process. */
typedef struct py_state {
    PyTypeObject *tensor, *dtype, *device;
    PyObject *dtypes[KL_DTYPE_COUNT]; /* one object each */
    PyObject *size;                   /* kiln.Size, given by the Python side */
    PyObject *linalg_error;           /* linalg.LinAlgError */
    PyObject *return_types;           /* name -> named tuple type */
    PyObject *package;                /* the package's folder, as frames spell it */
} py_state;
extern KL_API py_state py;

/* ---- place.c: where in the user's program the running call stands ---- */
/* "net.py:12", interned: the innermost line outside kiln's own package; NULL: unknown. */
KL_API const char *py_place(void);
int py_place_init(PyObject *module);

/* ---- types.c: dtype and device ---- */
int py_types_init(PyObject *module);
KL_API PyObject *py_dtype(kl_dtype dt);
/* A dtype object, or Python's bool, int, float, complex. */
int py_as_dtype(PyObject *o, kl_dtype *dt);
/* A device object, string or index: its name ("cuda:0"), which lives for ever; NULL: an
 * exception. */
const char *py_as_device(PyObject *o);
PyObject *py_device(const kl_tensor *t);

/* ---- tensor.c: the type ---- */
int py_tensor_init(PyObject *module);
bool py_is_tensor(PyObject *o);
KL_API kl_tensor *py_t(PyObject *o); /* borrowed; of a Tensor object */
/* Takes over what a kiln call has just returned; NULL raises its error. */
PyObject *py_wrap(kl_tensor *t);
PyObject *py_wrap_as(PyTypeObject *type, kl_tensor *t); /* an object of a subclass */
/* The last two dimensions swapped, by the property `name`. */
kl_tensor *py_transposed(const char *at, kl_tensor *t, const char *name, bool conj);
void py_become(PyObject *self, PyObject *other); /* it has other's tensor from here on */
KL_API PyObject *py_adopt(PyTypeObject *type, kl_tensor *t); /* takes over a reference */
/* Raise kiln's error as PyTorch would; always NULL. */
KL_API PyObject *py_raise(void);
PyObject *py_size(kl_ints s);
PyObject *py_item(kl_tensor *t);

/* ---- convert.c: Python's values as kiln's ---- */
/* A tensor or a number (also NumPy's); 0: neither, without an exception. */
int py_as_arg(PyObject *o, kl_arg *a);
int py_as_int(PyObject *o, int64_t *v);
int py_as_double(PyObject *o, double *v);
/* A tuple, list or Size of integers. */
int py_as_ints(PyObject *o, kl_ints *v);
/* The same, None as -1. */
int py_as_sizes(PyObject *o, kl_ints *v);
/* An exception whose text has the name of o's type for its %U; -1. */
int py_fail_type(PyObject *exception, const char *format, PyObject *o);
bool py_is_int(
    PyObject *o); /* an integer, no bool; also NumPy's and 0-d integer tensors */

/* ---- data.c: tensors from Python's and others' data ---- */
/* torch.tensor(data): a copy; dt KL_DTYPE_NONE infers. */
PyObject *py_make(PyObject *data, kl_dtype dt);
bool py_is_array(PyObject *o); /* NumPy's, none of its numbers */
PyObject *py_from_buffer(PyObject *o);             /* shared memory: from_numpy */
PyObject *py_over_bytes(PyObject *o, kl_dtype dt); /* the same, bytes as elements */
PyObject *py_tolist(kl_tensor *t);
int py_get_buffer(PyObject *self, Py_buffer *view, int flags);
void py_release_buffer(PyObject *self, Py_buffer *view);

/* ---- index.c: t[..] and t[..] = v ---- */
PyObject *py_getitem(PyObject *self, PyObject *key);
int py_setitem(PyObject *self, PyObject *key, PyObject *value);

/* ---- signature.c, functions.c: the table of functions ---- */
typedef enum py_kind {
    PY_TENSOR,
    PY_TENSORS,
    PY_OPERAND,
    PY_INT,
    PY_FLOAT,
    PY_NUMBER,
    PY_BOOL,
    PY_INTS,
    PY_LONG_INTS, /* a sequence of any length */
    PY_SIZES,     /* ints, None among them as -1 */
    PY_FLOATS,    /* one, or several */
    PY_DTYPE,
    PY_DEVICE,
    PY_STR,
    PY_ANY
} py_kind;
enum { PY_MAX_PARAMS = 14, PY_MAX_LIST = 256 };
typedef struct py_param {
    PyObject *name;
    py_kind kind;
    bool optional, required, keyword; /* may be None; has no default; after the star */
    bool many;                        /* integers may be given one by one */
    const char *fallback;             /* the default's text; NULL: None */
    kl_arg number;                    /* the default of a number, int or float, parsed */
} py_param;
typedef struct py_value {
    bool given;
    union {
        kl_tensor *t;
        kl_arg a;
        int64_t i;
        double d;
        kl_dtype dt;
        const char *s;
        PyObject *o;
        kl_ints v;
        struct {
            int n;
            double v[KL_INTS_MAX];
        } f;
        struct {
            kl_tensor **ts;
            int n;
        } list;
        struct {
            int64_t *v;
            int n;
        } ints;
    } u;
} py_value;

/* Room for any number of tensors or integers: few of them are not allocated. */
enum { PY_FEW = 32 };
typedef struct py_room {
    void *more; /* NULL: few */
    union {
        kl_tensor *t[PY_FEW];
        int64_t i[PY_FEW];
    } few;
} py_room;
/* Room for n, in which nothing stands any more; NULL: exception. */
void *py_room_for(py_room *room, int64_t n);
void py_room_end(py_room *room);

typedef struct py_result {
    int n;         /* tensors given; -1: o is the result */
    kl_tensor *t;  /* the first */
    kl_tensor **x; /* room for those that follow it */
    PyObject *o;
    py_room room;
} py_result;
typedef struct py_row py_row;
struct py_row {
    const char *name, *where; /* "add"; the modules it stands in, "torch nn.functional" */
    unsigned forms;
    const char *signature, *result, *doc;
    void (*call)(const char *at, const py_value *v, py_result *r);
    py_param params[PY_MAX_PARAMS]; /* parsed once */
    int nparams;
    unsigned char autocast[2]; /* on the cpu, on cuda: autocast.c's */
    int generator, device; /* which parameter is the generator, the device; -1: none */
    int format;            /* which is the memory format; -1: none */
    unsigned char lay, laid_by; /* layout.c's rule for the results, and of what */
    bool again;                 /* the next row has the same name */
    bool list, self, like; /* the result: Tensors, the first operand, as *_like give it */
};
enum { PY_FN = 1, PY_METHOD = 2, PY_INPLACE = 4, PY_OUT = 8 };
int py_signature_parse(py_row *row);
/* 1: parsed; 0: these arguments are not this row's (no exception); -1: exception. */
int py_signature_match(const py_row *row, PyObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *names, py_value *v, py_room *lists);
int py_functions_init(PyObject *module);

/* ---- override.c: functions that classes of the user's carry out ---- */
bool py_overriding(PyObject *o); /* a tensor of a class that does */
bool py_overrides(PyObject *const *args, Py_ssize_t n); /* or a mode does */
/* By the types that have __torch_function__; NULL, perhaps without an exception: there are
 * none. */
PyObject *py_override(PyObject *fn, PyObject *self, PyObject *const *args, Py_ssize_t n,
                      PyObject *names);
/* The same for an operator: Tensor's method of that name; a TypeError of one that can be
 * reflected is NotImplemented. */
PyObject *py_operator(const char *name, const char *reflected, PyObject *const *args,
                      Py_ssize_t n);
int py_override_init(PyObject *module);

/* ---- doc.c: what help() shows of a name's rows; NULL: exception ---- */
const char *py_doc(const py_row *rows, int n, const char *name, int form);

/* ---- layout.c: in which order results lie in memory ---- */
void py_layout_prepare(py_row *row);
/* Results laid as the row and memory_format= say. */
void py_lay(const char *at, const py_row *row, const py_value *v, py_result *r);
/* is_contiguous(memory_format) */
bool py_lies_as(const kl_tensor *t, PyObject *format);

/* ---- autograd.c: derivatives written in Python ---- */
int py_autograd_init(PyObject *module);

/* ---- generator.c: random generators ---- */
int py_generator_init(PyObject *module);
/* The thread draws from generator object o (None: the process's); -1: it is none. */
int py_generator_use(PyObject *o);

/* ---- device.c: what devices there are ---- */
int py_device_init(PyObject *module);

/* ---- dlpack.c: memory shared by DLPack ---- */
int py_dlpack_init(PyObject *module);

/* ---- inspect.c: what kiln did, and why ---- */
int py_inspect_init(PyObject *module);

/* ---- files.c: files and storages ---- */
int py_files_init(PyObject *module);

/* ---- autocast.c: operands cast by a table while autocast is on ---- */
void py_autocast_prepare(py_row *row);
bool py_autocast_on(void);
/* Casts the arguments in place; the casts belong to the open scope. */
void py_autocast(const char *at, const py_row *row, py_value *v);
int py_autocast_init(PyObject *module);

/* ---- jit.c: functions as programs ---- */
int py_jit_init(PyObject *module);

/* ---- report.c: the page that shows them ---- */
int py_report_init(PyObject *module);
kl_function *py_program(PyObject *o); /* of a program's capsule; NULL: exception */

/* ---- caller.c: programs called on another library's tensors ---- */
int py_caller_init(PyObject *module);

/* ---- draw.c: bits from PyTorch's generator ---- */
int py_draw_init(PyObject *module);

/* ---- optim.c: optimisers' steps ---- */
int py_optim_init(PyObject *module);

#endif
