/* device.c: what devices there are; kiln.cuda asks here. */
#include "py.h"

static PyObject *count(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(kl_device_count());
}

/* _device_describe(device): the maker's name, and the compute capability. */
static PyObject *describe(PyObject *self, PyObject *o)
{
    const char *device = py_as_device(o);
    char name[256] = "";
    int major, minor;
    (void)self;
    if (!device)
        return NULL;
    if (kl_device_describe(device, name, sizeof name) ||
        kl_device_capability(device, &major, &minor))
        return py_raise();
    return Py_BuildValue("sii", name, major, minor);
}

static PyObject *synchronize(PyObject *self, PyObject *o)
{
    const char *device = py_as_device(o);
    (void)self;
    if (!device)
        return NULL;
    if (kl_synchronize(device))
        return py_raise();
    Py_RETURN_NONE;
}

/* _set_default_device(device or None: what the environment says) */
static PyObject *set_default(PyObject *self, PyObject *o)
{
    const char *device = o == Py_None ? NULL : py_as_device(o);
    (void)self;
    if (!device && o != Py_None)
        return NULL;
    if (kl_set_default_device_at(py_place(), device))
        return py_raise();
    Py_RETURN_NONE;
}

/* The name of the device of new tensors. */
static PyObject *get_default(PyObject *self, PyObject *unused)
{
    const char *name = kl_get_default_device_at(py_place());
    (void)self;
    (void)unused;
    return name ? PyUnicode_FromString(name) : py_raise();
}

static PyMethodDef methods[] = {
    {"_set_default_device", set_default, METH_O, "Where new tensors are made."},
    {"_get_default_device", get_default, METH_NOARGS, "Where new tensors are made."},
    {"_device_count", count, METH_NOARGS, "How many CUDA devices there are."},
    {"_device_describe", describe, METH_O, "A device's name and compute capability."},
    {"_synchronize", synchronize, METH_O, "Wait for a device."},
    {0},
};

int py_device_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
