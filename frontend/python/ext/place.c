/* place.c: the user's line that a call comes from, for errors and for telling one number
 * in the source from another.
 *
 *   frame (code, instruction)  --table-->  "net.py:12"
 *
 * Frames inside the package are walked over; the line is the user's, but two numbers at
 * two lines of the package keep two places, so the table's key is both. Entries live as
 * long as the process; each holds its code objects, and the table stops growing at MAX.
 */
#include "py.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1 << 14, MAX = SLOTS / 2 };

typedef struct entry {
    PyObject *inner, *outer; /* code objects; outer NULL: inner is the user's */
    long at_inner, at_outer; /* instruction numbers */
    char *text;
} entry;
static entry table[SLOTS];
static int used;
static PyObject *s_lasti, *s_back, *s_code, *s_file;

static long lasti(PyObject *frame)
{
    PyObject *o = PyObject_GetAttr(frame, s_lasti);
    long v = o ? PyLong_AsLong(o) : -1;
    Py_XDECREF(o);
    return v;
}

/* Whether this code belongs to the package. Few code objects: remembered by address. */
static bool internal(PyObject *code)
{
    static struct {
        PyObject *code;
        bool inside;
    } seen[1024];
    size_t h = ((uintptr_t)code >> 4) % 1024;
    if (seen[h].code == code)
        return seen[h].inside;
    PyObject *file = PyObject_GetAttr(code, s_file);
    bool inside = file && py.package && PyUnicode_Check(file) &&
                  PyUnicode_Tailmatch(file, py.package, 0, PY_SSIZE_T_MAX, -1) == 1;
    Py_XDECREF(file);
    if (seen[h].code) /* held, so that its address means the same code for ever */
        return inside;
    Py_INCREF(code);
    seen[h].code = code;
    seen[h].inside = inside;
    return inside;
}

static char *text_of(PyObject *frame, PyObject *code)
{
    PyObject *file = PyObject_GetAttr(code, s_file);
    const char *s = file ? PyUnicode_AsUTF8AndSize(file, NULL) : NULL;
    size_t n = s ? strlen(s) + 24 : 0;
    char *t = s ? malloc(n) : NULL;
    if (t)
        snprintf(t, n, "%s:%d", s, PyFrame_GetLineNumber((PyFrameObject *)frame));
    Py_XDECREF(file);
    return t;
}

static const char *lookup(PyObject *inner, long at_inner, PyObject *outer, long at_outer,
                          PyObject *frame)
{
    uint64_t h = ((uintptr_t)inner >> 4) * UINT64_C(0x9E3779B97F4A7C15) +
                 ((uintptr_t)outer >> 4) * UINT64_C(0xC2B2AE3D27D4EB4F) +
                 (uint64_t)at_inner * 40503 + (uint64_t)at_outer * 2654435761;
    for (uint64_t i = (h ^ h >> 29);; i++) {
        entry *e = &table[i % SLOTS];
        if (e->text && e->inner == inner && e->outer == outer &&
            e->at_inner == at_inner && e->at_outer == at_outer)
            return e->text;
        if (e->text)
            continue;
        if (used >= MAX)
            return NULL;
        char *t = text_of(frame, outer ? outer : inner);
        if (!t)
            return NULL;
        used++;
        Py_INCREF(inner);
        Py_XINCREF(outer);
        *e = (entry){inner, outer, at_inner, at_outer, t};
        return t;
    }
}

static PyObject *code_of(PyObject *frame)
{
    return (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
}

/* The nearest frame outside the package, and its code; new references or NULL. */
static PyObject *user_frame(PyObject *frame, PyObject **code)
{
    PyObject *f = PyObject_GetAttr(frame, s_back);
    while (f && f != Py_None) {
        *code = code_of(f);
        if (!internal(*code))
            return f;
        Py_DECREF(*code);
        PyObject *next = PyObject_GetAttr(f, s_back);
        Py_DECREF(f);
        f = next;
    }
    Py_XDECREF(f);
    *code = NULL;
    return NULL;
}

/* _set_place(text or None): what py_place gives from here on, in this process: programs
 * of other frameworks name their own lines. Texts are kept for ever. */
static const char *given;

static PyObject *set_place(PyObject *self, PyObject *o)
{
    static PyObject *kept;
    (void)self;
    if (!kept)
        kept = PyDict_New();
    given = NULL;
    if (o == Py_None)
        Py_RETURN_NONE;
    PyObject *same = kept ? PyDict_GetItemWithError(kept, o) : NULL;
    if (!same && (PyErr_Occurred() || !kept || PyDict_SetItem(kept, o, o)))
        return NULL;
    given = PyUnicode_AsUTF8AndSize(same ? same : o, NULL);
    if (!given)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_set_place", set_place, METH_O, "Where operations are said to stand."},
    {0},
};

int py_place_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}

const char *py_place(void)
{
    if (given)
        return given;
    PyObject *frame = (PyObject *)PyEval_GetFrame(); /* borrowed */
    if (!frame)
        return NULL;
    if (!s_lasti) {
        s_lasti = PyUnicode_InternFromString("f_lasti");
        s_back = PyUnicode_InternFromString("f_back");
        s_code = PyUnicode_InternFromString("f_code");
        s_file = PyUnicode_InternFromString("co_filename");
    }
    PyObject *code = code_of(frame), *outer = NULL, *user = NULL;
    if (internal(code))
        user = user_frame(frame, &outer);
    const char *at =
        lookup(code, lasti(frame), outer, user ? lasti(user) : 0, user ? user : frame);
    Py_DECREF(code);
    Py_XDECREF(outer);
    Py_XDECREF(user);
    if (PyErr_Occurred())
        PyErr_Clear();
    return at;
}
