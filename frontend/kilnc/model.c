/* model.c: a model's file by its name's ending: kiln's text, or ONNX, whose operators are
 * looked at before anything else. */
#include "kilnc.h"

#include "function.h"
#ifdef KILN_ONNX
#include "kiln/onnx.h"
#endif

#include <stdlib.h>

bool kl_is_onnx(const char *path)
{
    size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".onnx") == 0;
}

#ifdef KILN_ONNX

/* All in one line: "2 operators are missing: X opset 13: 3 nodes; .." */
static kl_status check_operators(const char *path, const kl_onnx *m, kl_text *says)
{
    char *missing = kl_onnx_operators(m, true), *there = kl_onnx_operators(m, false);
    kl_status s =
        missing && there ? KL_OK : kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    int count = 0;
    for (char *c = missing; c && *c; c++)
        if (*c == '\n') {
            *c = c[1] ? ',' : 0;
            count++;
        }
    if (count)
        s = kl_fail(KL_ERR_UNSUPPORTED, "%s: %d operator%s missing: %s", path, count,
                    count == 1 ? " is" : "s are", missing);
    if (s == KL_OK && says)
        kl_text_printf(says, "%s", there);
    free(missing);
    free(there);
    return s;
}

/* "batch=1..64,seq=128" */
static kl_status bound_dims(kl_onnx *o, const char *dims)
{
    char name[80];
    long long low, high;
    for (int n = 0; dims && *dims; dims += n + (dims[n] == ',')) {
        if (sscanf(dims, "%79[^=]=%lld..%lld%n", name, &low, &high, &n) < 3) {
            n = 0;
            if (sscanf(dims, "%79[^=]=%lld%n", name, &low, &n) < 2)
                n = 0;
            high = low;
        }
        if (n == 0 || (dims[n] && dims[n] != ','))
            return kl_fail(KL_ERR_ARG,
                           "--dims: '%.60s' is not NAME=SIZE or NAME=LOW..HIGH", dims);
        if (kl_onnx_bound(o, name, low, high))
            return kl_error_status();
    }
    return KL_OK;
}

static bool has_open_dims(const kl_onnx *o)
{
    for (int i = 0; i < kl_onnx_inputs(o); i++) {
        kl_onnx_port p = kl_onnx_input(o, i);
        for (int k = 0; p.shaped && k < p.shape.n; k++)
            if (p.shape.v[k] < 0)
                return true;
    }
    return false;
}

static kl_status open_onnx(const char *path, const char *dims, bool with_weights,
                           kl_text *says, kl_model *m)
{
    kl_onnx *o = kl_onnx_load(path);
    kl_function *f = NULL;
    kl_status s = o ? check_operators(path, o, says) : kl_error_status();
    if (s == KL_OK)
        s = bound_dims(o, dims);
    bool traced = s == KL_OK;
    kl_function_programs(false);
    if (s == KL_OK && !(f = kl_onnx_compile_padded(o, NULL)))
        s = kl_error_status();
    kl_function_programs(true);
    if ((s == KL_ERR_UNSUPPORTED || s == KL_ERR_SHAPE) && traced && !dims &&
        has_open_dims(o))
        kl_fail_more("; --dims=NAME=LOW..HIGH bounds a dimension, --dims=NAME=SIZE gives "
                     "it one size");
    kl_onnx_free(o);
    return s == KL_OK ? kl_model_of(f, with_weights, m) : s;
}

static kl_function *run_onnx(const char *path, const char *dims)
{
    kl_onnx *o = kl_onnx_load(path);
    kl_function *f = o && bound_dims(o, dims) == KL_OK ? kl_onnx_compile(o, NULL) : NULL;
    kl_onnx_free(o);
    return f;
}

#else

static kl_status open_onnx(const char *path, const char *dims, bool with_weights,
                           kl_text *says, kl_model *m)
{
    (void)dims, (void)with_weights, (void)says, (void)m;
    return kl_fail(KL_ERR_UNSUPPORTED, "%s: kilnc was built without protobuf-c", path);
}

static kl_function *run_onnx(const char *path, const char *dims)
{
    (void)path, (void)dims;
    return NULL;
}

#endif

kl_status kl_model_open(const char *path, const char *dims, bool with_weights,
                        kl_text *says, kl_model *m)
{
    *m = (kl_model){0};
    if (kl_is_onnx(path))
        return open_onnx(path, dims, with_weights, says, m);
    return dims ? kl_fail(KL_ERR_ARG,
                          "--dims is for ONNX models; a graph's text has its own")
                : kl_model_read(path, with_weights, m);
}

kl_function *kl_function_open(const char *path, const char *dims)
{
    kl_function *f = kl_is_onnx(path) ? run_onnx(path, dims) : kl_program_load(path);
    kl_error_clear();
    return f;
}
