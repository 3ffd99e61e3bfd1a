/* report.c: the page that shows what programs became, as kilnc --report writes it. */
/* before kiln.h, whose macros have names of functions here */
#include "frontend/artefact.h"
#include "frontend/function.h"

#include "py.h"

#include <stdlib.h>

/* A model of f's graph in memory of its own, by its text: passes work in place. */
static kl_status read_again(const kl_function *f, kl_model *m)
{
    kl_text text = {0};
    kl_graph_print(f->graph, &text);
    kl_status st = text.failed ? kl_fail(KL_ERR_OOM, "report: out of memory")
                               : kl_model_parse(f->graph->name, text.s, false, m);
    kl_text_free(&text);
    return st;
}

static kl_status make_part(PyObject *o, kl_report_part *part, kl_model *m)
{
    PyObject *program;
    if (!PyArg_ParseTuple(o, "sO", &part->name, &program) ||
        !(part->run = py_program(program)))
        return KL_ERR_ARG;
    part->cpu = m;
    part->gpu = m + 1;
    kl_status st = read_again(part->run, m);
    return st ? st : read_again(part->run, m + 1);
}

/* _report(title, ((name, program), ..), arch): the page's text. */
static PyObject *report(PyObject *self, PyObject *args)
{
    const char *title, *arch;
    PyObject *list, *page = NULL;
    kl_text out = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "sO!s", &title, &PyTuple_Type, &list, &arch))
        return NULL;
    const kl_target *gpu = kl_target_find(arch);
    int n = (int)PyTuple_Size(list);
    kl_report_part *parts = calloc((size_t)n + 1, sizeof *parts);
    kl_model *models = calloc(2 * (size_t)n + 1, sizeof *models);
    kl_status st = parts && models ? KL_OK : kl_fail(KL_ERR_OOM, "report: no memory");
    if (!gpu || gpu->kind != KL_TARGET_CUDA)
        st = kl_fail(KL_ERR_ARG, "report: no GPU is named %s", arch);
    for (int i = 0; i < n && st == KL_OK; i++)
        st = make_part(PyTuple_GetItem(list, i), &parts[i], &models[2 * i]);
    if (st == KL_OK) {
        Py_BEGIN_ALLOW_THREADS
        st = kl_report(title, parts, n, kl_target_host(), gpu, &out);
        Py_END_ALLOW_THREADS
    }
    if (st == KL_OK)
        page = PyUnicode_FromStringAndSize(out.s, (Py_ssize_t)out.len);
    else if (!PyErr_Occurred())
        py_raise();
    for (int i = 0; models && i < 2 * n; i++)
        kl_model_free(&models[i]);
    kl_text_free(&out);
    free(models);
    free(parts);
    return page;
}

static PyMethodDef methods[] = {
    {"_report", report, METH_VARARGS, "A page that shows what programs became."},
    {0},
};

int py_report_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
