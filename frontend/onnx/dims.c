/* dims.c: the inputs' open dimensions: extents of one name are one dimension, those
 * without a name each their own.
 *
 *   a [batch, 3], b [batch, ?]  ->  batch, d1 */
#include "op.h"

/* A name as kiln's text has it: a letter, then letters, digits and '_'. */
static bool is_plain(const char *s)
{
    if (!((*s | 32) >= 'a' && (*s | 32) <= 'z') || strlen(s) > 60)
        return false;
    for (; *s; s++)
        if (!((*s | 32) >= 'a' && (*s | 32) <= 'z') && !(*s >= '0' && *s <= '9') &&
            *s != '_')
            return false;
    return true;
}

static int dimension(kl_onnx *m, const char *text)
{
    for (int i = 0; *text && i < m->ndims && i < KL_ONNX_DIMS; i++)
        if (strcmp(m->dims[i].text, text) == 0)
            return i;
    if (m->ndims >= KL_ONNX_DIMS) {
        m->ndims = KL_ONNX_DIMS + 1;
        return -1;
    }
    kl_onnx_dim *d = &m->dims[m->ndims];
    *d = (kl_onnx_dim){.text = text, .min = 1, .max = KL_ONNX_LARGEST};
    if (is_plain(text))
        snprintf(d->name, sizeof d->name, "%s", text);
    else
        snprintf(d->name, sizeof d->name, "d%d", m->ndims);
    return m->ndims++;
}

bool kl_onnx_find_dims(kl_onnx *m)
{
    m->open = calloc((size_t)m->nin + 1, sizeof *m->open);
    for (int i = 0; m->open && i < m->nin; i++)
        for (int k = 0; k < KL_INTS_MAX; k++) {
            const kl_onnx_port *p = &m->in[i];
            bool open = p->shaped && k < p->shape.n && p->shape.v[k] < 0;
            m->open[i][k] = (signed char)(open ? dimension(m, p->dims[k]) : -1);
        }
    return m->open || (kl_error_set(KL_ERR_OOM, "out of memory for a model"), false);
}

kl_status kl_onnx_bound(kl_onnx *m, const char *dim, int64_t min, int64_t max)
{
    char line[300];
    for (int i = 0; m && i < m->ndims && i < KL_ONNX_DIMS; i++) {
        kl_onnx_dim *d = &m->dims[i];
        if (strcmp(d->name, dim) != 0 && strcmp(d->text, dim) != 0)
            continue;
        if (min < 0 || max < min || max > INT32_MAX)
            return kl_error_set(KL_ERR_ARG, "a dimension's bounds are 0 <= min <= max");
        d->min = min, d->max = max;
        return KL_OK;
    }
    snprintf(line, sizeof line, "%.120s: no open dimension '%.100s'", m ? m->name : "",
             dim);
    return kl_error_set(KL_ERR_ARG, line);
}
