/* device.c: device numbers and names. 0 is the host CPU, 1 + i CUDA device i:
 *
 *   "cpu" <-> 0      "cuda" -> 1      "cuda:1" <-> 2 */
#include "runtime.h"

kl_status kl_device_get(int d, const kl_device_ops **ops, int *index)
{
    const kl_device_ops *o = d > 0 ? &kl_device_cuda : &kl_device_cpu;
    int i = d > 0 ? d - 1 : 0;
    if (d < 0)
        return kl_fail(KL_ERR_ARG, "no device has number %d", d);
    int n = o->count();
    if (n == 0)
        return kl_fail(KL_ERR_DEVICE, "no device cuda:%d here: %s", i, kl_cuda_why());
    if (i >= n)
        return kl_fail(KL_ERR_DEVICE, "no device cuda:%d here: %d found", i, n);
    *ops = o;
    *index = i;
    return KL_OK;
}

/* The digits after "cuda:"; -1 if they are not a small number. */
static int parse_index(const char *s)
{
    int n = 0;
    if (!*s)
        return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || n > 9999)
            return -1;
        n = n * 10 + (*s - '0');
    }
    return n;
}

kl_status kl_device_parse(const char *name, int *d)
{
    int i = -1;
    if (strcmp(name, "cpu") == 0 || strcmp(name, "cpu:0") == 0)
        *d = 0;
    else if (strcmp(name, "cuda") == 0)
        *d = 1;
    else if (strncmp(name, "cuda:", 5) == 0 && (i = parse_index(name + 5)) >= 0)
        *d = 1 + i;
    else
        return kl_fail(KL_ERR_ARG,
                       "no device '%s'; known are cpu, cuda, cuda:0, cuda:1, ...", name);
    return KL_OK;
}
