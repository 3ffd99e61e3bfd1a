/* functions.c: the rows of functions.def as Python functions and methods. A name's rows
 * stand one after the other and are tried in order; the first whose signature takes the
 * arguments is called. From one row come the function, the method, the in-place method
 * (its result written to the tensor as kl_assign does) and out=. */
#include "py.h"

#include <string.h>

/* What a row's call may use. */
#define T(at_) (v[at_].u.t)
#define A(at_) (v[at_].u.a)
#define I(at_) (v[at_].u.i)
#define B(at_) (v[at_].u.i != 0)
#define D(at_) (v[at_].u.d)
#define V(at_) (v[at_].u.v)
#define DT(at_) (v[at_].u.dt)
#define S(at_) (v[at_].u.s)
#define O(at_) (v[at_].u.o)
#define TS(at_) (v[at_].u.list.ts)
#define NT(at_) (v[at_].u.list.n)
#define IS(at_) (v[at_].u.ints.v)
#define NI(at_) (v[at_].u.ints.n)
#define FS(at_) (v[at_].u.f.v)
#define NF(at_) (v[at_].u.f.n)
#define GIVEN(at_) (v[at_].given)
#define X (r->x)
#define ONE(e) (r->t = (e), r->n = 1)
#define TWO(e) (r->t = (e), r->n = 2)
#define LIST(most, e) (r->n = room_for(r, most) ? (e) : 0)
#define OBJECT(e) (r->o = (e), r->n = -1)

/* Results may follow in X, up to n. */
static bool room_for(py_result *r, int64_t n)
{
    r->x = py_room_for(&r->room, n);
    return r->x != NULL;
}

#include "rows_make.h"
#include "rows_nn.h"

enum {
#define KL_FN(id, ...) ROW_##id,
#include "functions.def"
#undef KL_FN
    ROWS
};

#define KL_FN(id, name, where, forms, signature, result, body, doc)                      \
    static void call_##id(const char *at, const py_value *v, py_result *r)               \
    {                                                                                    \
        (void)at;                                                                        \
        (void)v;                                                                         \
        body;                                                                            \
    }
#include "functions.def"
#undef KL_FN

#define F PY_FN
#define M PY_METHOD
#define FM (PY_FN | PY_METHOD)
#define FMI (PY_FN | PY_METHOD | PY_INPLACE)
#define FI (PY_FN | PY_INPLACE)
#define FO (PY_FN | PY_OUT)
#define FMO (PY_FN | PY_METHOD | PY_OUT)
#define FMIO (PY_FN | PY_METHOD | PY_INPLACE | PY_OUT)
#define MI (PY_METHOD | PY_INPLACE)
#define KL_FN(id, name_, where_, forms_, signature_, result_, body, doc_)                \
    [ROW_##id] = {.name = name_,                                                         \
                  .where = where_,                                                       \
                  .forms = forms_,                                                       \
                  .signature = signature_,                                               \
                  .result = result_,                                                     \
                  .doc = doc_,                                                           \
                  .call = call_##id},
static py_row rows[ROWS] = {
#include "functions.def"
};
#undef KL_FN

/* ---- results ---- */

static PyObject *tuple_of(const py_row *row, kl_tensor *const *t, int n)
{
    PyObject *list = PyTuple_New(n), *type, *r;
    for (int i = 0; list && i < n; i++) {
        PyObject *o = t[i] ? py_adopt(py.tensor, t[i]) : py_raise();
        if (!o || PyTuple_SetItem(list, i, o))
            Py_CLEAR(list);
    }
    if (!list || !strchr(row->result, '('))
        return list;
    char name[48]; /* linalg.svd's is not torch.svd's */
    PyOS_snprintf(name, sizeof name, "%s%s",
                  strncmp(row->where, "linalg", 6) == 0 ? "linalg_" : "", row->name);
    type = py.return_types ? PyDict_GetItemString(py.return_types, name) : NULL;
    if (!type)
        return list;
    r = PyObject_CallFunctionObjArgs(type, list, NULL);
    Py_DECREF(list);
    return r;
}

/* Results out of the call's scope: owned by us until they are wrapped. */
static void take_all(const py_row *row, py_result *r)
{
    if (!row->list)
        kl_scope_take(r->t);
    for (int i = 0; i < (row->list ? r->n : r->n - 1); i++)
        kl_scope_take(r->x[i]);
}

static PyObject *drop_all(const py_row *row, py_result *r)
{
    if (!row->list)
        kl_tensor_unref(r->t);
    for (int i = 0; i < (row->list ? r->n : r->n - 1); i++)
        kl_tensor_unref(r->x[i]);
    return py_raise();
}

static PyObject *finish(const py_row *row, py_result *r)
{
    if (r->n == -1) /* an object, or a list that could not be made */
        return r->o || PyErr_Occurred() ? r->o : py_raise();
    if (kl_failed() || PyErr_Occurred() || (r->n == 1 && !r->t && !row->list))
        return drop_all(row, r);
    if (r->n == 1 && !row->list)
        return py_adopt(py.tensor, r->t);
    if (row->list)
        return tuple_of(row, r->x, r->n);
    kl_tensor *all[8] = {r->t};
    for (int i = 1; i < r->n && i < 8; i++)
        all[i] = r->x[i - 1];
    return tuple_of(row, all, r->n);
}

enum { AS_FUNCTION, AS_METHOD, AS_INPLACE };

/* ---- out= ---- */

static bool same_shape(kl_ints a, kl_ints b)
{
    return a.n == b.n && memcmp(a.v, b.v, (size_t)a.n * sizeof *a.v) == 0;
}

/* out becomes a tensor of r's shape that holds r. */
static bool grow_out(PyObject *out, PyObject *r)
{
    const char *at = py_place();
    kl_tensor *o = py_t(out), *t = py_t(r);
    if (kl_dtype_of(o) == kl_dtype_of(t)) {
        py_become(out, r);
        return true;
    }
    kl_tensor *made = kl_full_at(at, kl_shape_of(t), kl_arg_i(0), kl_dtype_of(o));
    PyObject *grown = made && kl_assign_at(at, made, t) ? py_wrap(made) : NULL;
    if (grown)
        py_become(out, grown);
    Py_XDECREF(grown);
    return grown != NULL;
}

/* r written to out; one of another shape takes on r's, and says so if it was not empty.
 */
static bool write_out(PyObject *out, PyObject *r)
{
    kl_tensor *o = py_t(out), *t = py_t(r);
    if (same_shape(kl_shape_of(o), kl_shape_of(t)))
        return kl_assign_at(py_place(), o, t) != NULL;
    if (kl_numel(o) != 0 &&
        PyErr_WarnEx(
            PyExc_UserWarning,
            "An output with one or more elements was resized since its shape does not "
            "match the required output shape. This behavior is deprecated.",
            1))
        return false;
    return grow_out(out, r);
}

/* Several results into as many tensors: a tuple of these, of r's type. */
static PyObject *into_all(PyObject *out, PyObject *r)
{
    PyObject *all = py_is_tensor(out) ? NULL : PySequence_Tuple(out), *made = NULL;
    Py_ssize_t n = PyTuple_Size(r);
    bool ok = all && PyTuple_Size(all) == n;
    for (Py_ssize_t i = 0; ok && i < n; i++)
        ok = py_is_tensor(PyTuple_GetItem(all, i));
    if (!ok)
        PyErr_Format(PyExc_TypeError, "argument 'out' must be a tuple of %zd Tensors", n);
    for (Py_ssize_t i = 0; ok && i < n; i++)
        if (!(ok = write_out(PyTuple_GetItem(all, i), PyTuple_GetItem(r, i))))
            py_raise();
    if (ok)
        made = PyObject_CallFunctionObjArgs((PyObject *)Py_TYPE(r), all, NULL);
    Py_XDECREF(all);
    Py_DECREF(r);
    return made;
}

static PyObject *into(PyObject *out, PyObject *r)
{
    if (r && PyTuple_Check(r))
        return into_all(out, r);
    if (!r || !py_is_tensor(out))
        return r;
    bool ok = write_out(out, r);
    Py_DECREF(r);
    if (!ok)
        return py_raise();
    Py_INCREF(out);
    return out;
}

/* A function, no method, takes out= where its row says so, or gives a named tuple. */
static bool takes_out(int row, int how)
{
    if (how != AS_FUNCTION)
        return false;
    bool named = false;
    for (; row < ROWS && !named; row++) {
        named = (rows[row].forms & PY_OUT) || rows[row].result[0] == '(';
        if (!rows[row].again)
            break;
    }
    return named;
}

/* What is made, not computed of tensors, is of out's dtype if no other is asked for. */
static void take_dtype(const py_row *row, py_value *v, PyObject *out)
{
    if (!py_is_tensor(out) || row->params[0].kind == PY_TENSOR ||
        (row->params[0].kind == PY_OPERAND &&
         row->device < 0)) /* linspace(a, b) is made */
        return;
    for (int i = 0; i < row->nparams; i++)
        if (row->params[i].kind == PY_DTYPE && !v[i].given) {
            v[i].given = true;
            v[i].u.dt = kl_dtype_of(py_t(out));
        }
}

/* Takes out= from among the keywords: the others' names, or NULL with *out NULL. */
static PyObject *without_out(PyObject *const **args, Py_ssize_t nargs, PyObject *names,
                             PyObject **room, PyObject **out)
{
    *out = NULL;
    Py_ssize_t n = names ? PyTuple_Size(names) : 0, at = -1;
    for (Py_ssize_t i = 0; i < n && at < 0; i++)
        if (PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, i), "out") == 0)
            at = i;
    if (at < 0 || nargs + n > 2 * PY_MAX_PARAMS)
        return NULL;
    PyObject *rest = PyTuple_New(n - 1);
    Py_ssize_t k = 0;
    for (Py_ssize_t i = 0; i < nargs; i++)
        room[i] = (*args)[i];
    for (Py_ssize_t i = 0; rest && i < n; i++) {
        if (i == at)
            continue;
        PyObject *name = PyTuple_GetItem(names, i);
        Py_INCREF(name);
        PyTuple_SetItem(rest, k, name);
        room[nargs + k++] = (*args)[nargs + i];
    }
    *out = (*args)[nargs + at];
    *args = room;
    return rest;
}

/* ---- refusals ---- */

static PyObject *type_names(PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *s = PyUnicode_FromString("");
    Py_ssize_t k = names ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; s && i < n + k; i++) {
        PyObject *type = PyType_GetName(Py_TYPE(args[i]));
        PyObject *more = i < n
                             ? PyUnicode_FromFormat("%s%U", i ? ", " : "", type)
                             : PyUnicode_FromFormat("%s%U=%U", i ? ", " : "",
                                                    PyTuple_GetItem(names, i - n), type);
        Py_XDECREF(type);
        PyObject *next = more ? PyUnicode_Concat(s, more) : NULL;
        Py_XDECREF(more);
        Py_DECREF(s);
        s = next;
    }
    return s;
}

/* "max() received an invalid combination of arguments - got (str), but expected one of:
 * .." */
static PyObject *refuse(int first, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    const char *name = rows[first].name;
    const py_param *p = rows[first].params;
    if (n > 0 && p->kind == PY_TENSORS && !p->many && !PyList_Check(*args) &&
        !PyTuple_Check(*args)) {
        PyObject *type = PyType_GetName(Py_TYPE(*args));
        PyErr_Format(PyExc_TypeError,
                     "%s(): argument '%U' (position 1) must be tuple of Tensors, not %U",
                     name, p->name, type);
        Py_XDECREF(type);
        return NULL;
    }
    PyObject *got = type_names(args, n, names), *all = PyUnicode_FromString("");
    for (int i = first; all; i++) {
        PyObject *next = PyUnicode_FromFormat("%U\n * (%s)", all, rows[i].signature);
        Py_DECREF(all);
        all = next;
        if (!rows[i].again)
            break;
    }
    if (got && all)
        PyErr_Format(PyExc_TypeError,
                     "%s() received an invalid combination of arguments - got (%U), but "
                     "expected one of:%U",
                     name, got, all);
    Py_XDECREF(got);
    Py_XDECREF(all);
    return NULL;
}

/* ---- calling ---- */

static PyObject *functions[ROWS][3]; /* by a name's first row */

static unsigned form_of(int how)
{
    return how == AS_FUNCTION ? PY_FN : how == AS_METHOD ? PY_METHOD : PY_INPLACE;
}

/* first: the object that came first, which a result that is the same tensor is. */
static PyObject *carry_out(const py_row *row, py_value *v, PyObject *first, int how,
                           py_result *r)
{
    const char *at = py_place();
    bool ok = true, drawn = row->generator >= 0 && v[row->generator].given;
    if (drawn && py_generator_use(v[row->generator].u.o))
        return NULL;
    kl_scope_begin(); /* what the row makes on its way ends with the call */
    if (how != AS_INPLACE && py_autocast_on())
        py_autocast(at, row, v);
    row->call(at, v, r);
    if (row->device >= 0 && v[row->device].given && r->n == 1 && r->t)
        r->t = r->t == v[0].u.t ? kl_to_device_at(at, r->t, v[row->device].u.s)
                                : row_there(at, r->t, v[row->device].u.s);
    else if (row->like && r->n == 1 && r->t && /* where the first one is */
             strcmp(kl_device_of(r->t), kl_device_of(v[0].u.t)) != 0)
        r->t = row_there(at, r->t, kl_device_of(v[0].u.t));
    if (how != AS_INPLACE && r->n > 0 && (row->lay || row->format >= 0))
        py_lay(at, row, v, r);
    if (how == AS_INPLACE)
        ok = r->t && kl_assign_at(at, py_t(first), r->t);
    else if (r->n >= 0)
        take_all(row, r);
    kl_scope_drop();
    if (drawn)
        kl_generator_use(NULL);
    if (how != AS_INPLACE && r->n == 1 && r->t && first &&
        r->t == py_t(first)) { /* x.to(x.dtype) is x */
        kl_tensor_unref(r->t);
        Py_INCREF(first);
        return first;
    }
    if (how != AS_INPLACE && !row->self)
        return finish(row, r);
    if (r->n == -1) {
        ok = r->o != NULL;
        Py_XDECREF(r->o);
    }
    if (!ok)
        return py_raise();
    Py_INCREF(first);
    return first;
}

static PyObject *call_row(const py_row *row, py_value *v, PyObject *first, int how)
{
    py_result r;
    r.n = 0, r.t = NULL, r.o = NULL, r.room.more = NULL;
    room_for(&r, 0);
    for (int i = 0; i < 7; i++) /* a row that fails may leave some of its results unset */
        r.x[i] = NULL;
    PyObject *o = carry_out(row, v, first, how, &r);
    py_room_end(&r.room);
    return o;
}

static PyObject *call(int first, PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *names, int how)
{
    py_value v[PY_MAX_PARAMS];
    py_room lists;
    PyObject *room[2 * PY_MAX_PARAMS + 1], *out = NULL, *rest = NULL;
    unsigned form = form_of(how);
    if (py_overrides(self ? &self : args, self != NULL) ||
        py_overrides(args, nargs + (names ? PyTuple_Size(names) : 0)))
        return py_override(functions[first][how], self, args, nargs, names);
    PyObject *of = self ? self : nargs > 0 && py_is_tensor(args[0]) ? args[0] : NULL;
    if (names && takes_out(first, how))
        rest = without_out(&args, nargs, names, room, &out);
    names = rest ? rest : names;
    lists.more = NULL;
    PyObject *r = NULL;
    int matched = 0;
    const py_row *row = &rows[first], *last = row;
    for (bool more = true; more && !matched; more = row->again, row++) {
        last = row;
        if (row->forms & form)
            matched = py_signature_match(row, self, args, nargs, names, v, &lists);
    }
    if (matched == 1 && out)
        take_dtype(last, v, out);
    if (matched == 1)
        r = call_row(last, v, of, how);
    py_room_end(&lists);
    if (matched == 0)
        r = py_override(functions[first][how], self, args, nargs, names);
    if (matched == 0 && !r && !PyErr_Occurred())
        refuse(first, args, nargs, names);
    if (out && out != Py_None)
        r = into(out, r);
    Py_XDECREF(rest);
    return r;
}

/* ---- one C function a row and form, as CPython wants them ---- */

#define KL_FN(id, ...)                                                                   \
    static PyObject *fn_##id(PyObject *m, PyObject *const *a, Py_ssize_t n, PyObject *k) \
    {                                                                                    \
        (void)m;                                                                         \
        return call(ROW_##id, NULL, a, n, k, AS_FUNCTION);                               \
    }                                                                                    \
    static PyObject *method_##id(PyObject *s, PyObject *const *a, Py_ssize_t n,          \
                                 PyObject *k)                                            \
    {                                                                                    \
        return call(ROW_##id, s, a, n, k, AS_METHOD);                                    \
    }                                                                                    \
    static PyObject *inplace_##id(PyObject *s, PyObject *const *a, Py_ssize_t n,         \
                                  PyObject *k)                                           \
    {                                                                                    \
        return call(ROW_##id, s, a, n, k, AS_INPLACE);                                   \
    }
#include "functions.def"
#undef KL_FN

typedef PyObject *(*fast_fn)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
#define KL_FN(id, ...) {fn_##id, method_##id, inplace_##id},
static const fast_fn entries[ROWS][3] = {
#include "functions.def"
};
#undef KL_FN
static PyMethodDef defs[ROWS][3];
static char inplace_names[ROWS][40];

static PyMethodDef *def_of(int row, int how, const char *name)
{
    int n = 1;
    while (rows[row + n - 1].again)
        n++;
    const char *doc = py_doc(&rows[row], n, name, form_of(how));
    defs[row][how] = (PyMethodDef){name, (PyCFunction)(void (*)(void))entries[row][how],
                                   METH_FASTCALL | METH_KEYWORDS, doc};
    return doc ? &defs[row][how] : NULL;
}

static int add_method(int row, int how, const char *name)
{
    PyMethodDef *def = def_of(row, how, name);
    PyObject *d = def ? PyDescr_NewMethod(py.tensor, def) : NULL;
    functions[row][how] = d;
    return d ? PyObject_SetAttrString((PyObject *)py.tensor, name, d) : -1;
}

/* functions[module][name] */
static int add_function(PyObject *modules, int row)
{
    PyMethodDef *def = def_of(row, AS_FUNCTION, rows[row].name);
    PyObject *f = def ? PyCFunction_New(def, NULL) : NULL;
    int bad = f ? 0 : -1;
    for (const char *s = rows[row].where; *s && !bad;) {
        size_t n = strcspn(s, " ");
        PyObject *key = PyUnicode_FromStringAndSize(s, (Py_ssize_t)n);
        PyObject *names = PyDict_GetItemWithError(modules, key);
        if (!names) {
            names = PyDict_New();
            bad = !names || PyDict_SetItem(modules, key, names);
            Py_XDECREF(names);
        }
        bad = bad || PyDict_SetItemString(names, rows[row].name, f);
        Py_DECREF(key);
        s += n;
        s += *s == ' ';
    }
    functions[row][AS_FUNCTION] = f;
    return bad ? -1 : 0;
}

static int add_row(PyObject *modules, int i, bool first)
{
    if (!first)
        return 0;
    unsigned forms = 0;
    for (int k = i; k == i || rows[k - 1].again; k++)
        forms |= rows[k].forms;
    if (forms & PY_FN && add_function(modules, i))
        return -1;
    if (forms & PY_METHOD && add_method(i, AS_METHOD, rows[i].name))
        return -1;
    if (!(forms & PY_INPLACE))
        return 0;
    PyOS_snprintf(inplace_names[i], sizeof inplace_names[i], "%s_", rows[i].name);
    return add_method(i, AS_INPLACE, inplace_names[i]);
}

/* (name, modules, forms, signature, result, doc) of each row: for stubs and tests. */
static PyObject *table(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < ROWS; i++) {
        PyObject *row =
            Py_BuildValue("(ssIsss)", rows[i].name, rows[i].where, rows[i].forms,
                          rows[i].signature, rows[i].result, rows[i].doc);
        if (!row || PyList_Append(list, row))
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

/* Whether b is one more form of the function a: torch.linalg has functions of its own
 * under names that torch has too (svd, qr). */
static bool one_function(const py_row *a, const py_row *b)
{
    bool linalg[2] = {strcmp(a->where, "linalg") == 0, strcmp(b->where, "linalg") == 0};
    return strcmp(a->name, b->name) == 0 && linalg[0] == linalg[1];
}

/* What calls ask of a row, found once. */
static int prepare(py_row *row, const py_row *next)
{
    if (py_signature_parse(row))
        return -1;
    row->again = next && one_function(row, next);
    row->list = strcmp(row->result, "Tensors") == 0;
    row->self = strcmp(row->result, "self") == 0;
    row->like = row->device >= 0 && strstr(row->name, "_like") != NULL;
    py_autocast_prepare(row);
    py_layout_prepare(row);
    return 0;
}

static PyMethodDef table_def = {"_table", table, METH_NOARGS, "The table of functions."};

int py_functions_init(PyObject *module)
{
    PyObject *modules = PyDict_New(), *f = PyCFunction_New(&table_def, NULL);
    int bad = !modules || !f || PyModule_AddObjectRef(module, "_table", f);
    for (int i = 0; i < ROWS && !bad; i++)
        bad = prepare(&rows[i], i + 1 < ROWS ? &rows[i + 1] : NULL);
    for (int i = 0; i < ROWS && !bad; i++)
        bad = add_row(modules, i, i == 0 || !rows[i - 1].again);
    bad = bad || PyModule_AddObjectRef(module, "_functions", modules);
    Py_XDECREF(modules);
    Py_XDECREF(f);
    return bad ? -1 : 0;
}
