/* doc.c: what help() shows of the table's functions, made from their rows once.
 *
 *   add(input, other, *, alpha=1, out=None)                  what inspect.signature reads
 *   --
 *
 *   add(Tensor input, Operand other, *, Number alpha=1, Tensor? out=None) -> Tensor
 *
 *   input + alpha * other.
 *
 * A name with several rows has a line and a sentence for each of them and no first part,
 * since no single signature of Python's says what it takes. */
#include "py.h"

#include <string.h>

/* s = s + more, which is given away; false: s is NULL, with an exception. */
static bool append(PyObject **s, PyObject *more)
{
    PyObject *both = *s && more ? PyUnicode_Concat(*s, more) : NULL;
    Py_XDECREF(*s);
    Py_XDECREF(more);
    *s = both;
    return both != NULL;
}

static PyObject *param(const py_param *p, bool many)
{
    const char *star = many ? "*" : "";
    if (p->required)
        return PyUnicode_FromFormat("%s%U", star, p->name);
    if (!p->fallback)
        return PyUnicode_FromFormat("%U=None", p->name);
    const char *quote = p->kind == PY_STR ? "'" : "";
    return PyUnicode_FromFormat("%U=%s%s%s", p->name, quote, p->fallback, quote);
}

/* Whether Python's grammar allows its names; uniform_(from=0, to=1) it does not. */
static bool has_keyword(const py_row *row)
{
    for (int i = 0; i < row->nparams; i++)
        if (PyUnicode_CompareWithASCIIString(row->params[i].name, "from") == 0)
            return true;
    return false;
}

/* Whether parameter i takes all further positions, and nothing else does. */
static bool takes_rest(const py_row *row, int i)
{
    const py_param *p = &row->params[i];
    return p->many && p->required && (i + 1 == row->nparams || p[1].keyword);
}

/* As functions.c has it: where the row says so, and where results are named. */
static bool takes_out(const py_row *row)
{
    return row->forms & PY_OUT || row->result[0] == '(';
}

static bool append_python(PyObject **s, const py_row *row, const char *name, int form)
{
    bool star = false;
    append(s, PyUnicode_FromFormat("%s(", name));
    for (int i = 0; i < row->nparams; i++) {
        const py_param *p = &row->params[i];
        bool many = takes_rest(row, i);
        append(s, PyUnicode_FromString(i == 0 ? "" : ", "));
        if (p->keyword && !star)
            append(s, PyUnicode_FromString("*, "));
        star |= p->keyword || many;
        append(s,
               i == 0 && form != PY_FN ? PyUnicode_FromString("$self") : param(p, many));
    }
    if (form == PY_FN && takes_out(row))
        append(s, PyUnicode_FromFormat(", %sout=None", star ? "" : "*, "));
    return append(s, PyUnicode_FromString(")\n--\n\n"));
}

static bool append_row(PyObject **s, const py_row *row, const char *name, int form)
{
    const char *signature = row->signature, *out = "";
    if (form != PY_FN) { /* without the tensor itself */
        signature += strcspn(signature, ",");
        signature += strspn(signature, ", ");
    } else if (takes_out(row)) {
        bool star = row->nparams > 0 && row->params[row->nparams - 1].keyword;
        out = row->forms & PY_OUT ? ", *, Tensor? out=None" : ", *, Tensors? out=None";
        out += star ? strlen(", *") : 0;
    }
    const char *result = form == PY_INPLACE ? "Tensor" : row->result;
    const char *end = form == PY_INPLACE ? " Written to the tensor itself." : "";
    return append(s, PyUnicode_FromFormat("%s(%s%s) -> %s\n\n%s%s\n", name, signature,
                                          out, result, row->doc, end));
}

/* The text of name's n rows in one form, which stays for the life of the process. */
const char *py_doc(const py_row *rows, int n, const char *name, int form)
{
    int had = 0, last = 0;
    for (int i = 0; i < n; i++)
        if (rows[i].forms & (unsigned)form)
            had++, last = i;
    PyObject *s = PyUnicode_FromString("");
    if (had == 1 && !has_keyword(&rows[last]))
        append_python(&s, &rows[last], name, form);
    for (int i = 0, k = 0; i < n; i++) {
        if (!(rows[i].forms & (unsigned)form))
            continue;
        append(&s, PyUnicode_FromString(k++ ? "\n" : ""));
        append_row(&s, &rows[i], name, form);
    }
    return s ? PyUnicode_AsUTF8AndSize(s, NULL) : NULL; /* s is kept */
}
