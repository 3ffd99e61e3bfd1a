/* tensor.c: a TensorProto as a tensor. Elements lie in raw_data, in the field of their
 * type, or in a file of the model's folder; each is checked against dims before it is
 * read.
 *
 *   dims [2, 2] INT4 raw_data 2 bytes  ->  i8 [2, 2], sign extended */
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx.h"

typedef struct elements {
    const char *name; /* of the file, for messages */
    const tensor_proto *p;
    kl_dtype dt;
    kl_ints shape;
    int64_t count;
    int bits; /* of an element in raw_data */
} elements;

static void *wrong(const elements *e, const char *what)
{
    char line[600];
    snprintf(line, sizeof line, "%.200s: tensor '%.100s': %s", e->name, e->p->name, what);
    kl_error_set(KL_ERR_PARSE, line);
    return NULL;
}

static bool measure(elements *e)
{
    const tensor_proto *p = e->p;
    int type = p->data_type;
    e->dt = kl_onnx_dtype(type);
    if (e->dt == KL_DTYPE_NONE) {
        char what[60];
        snprintf(what, sizeof what, "%s elements are not supported",
                 kl_onnx_type_name(type));
        return wrong(e, what), false;
    }
    if (p->segment)
        return wrong(e, "segments are not supported"), false;
    if (p->n_dims > 12)
        return wrong(e, "more than 12 dimensions"), false;
    e->shape = kl_ints_of(p->n_dims, p->dims);
    e->count = 1;
    for (size_t i = 0; i < p->n_dims; i++)
        if (p->dims[i] < 0 || __builtin_mul_overflow(e->count, p->dims[i], &e->count) ||
            e->count > INT64_MAX / 64)
            return wrong(e, "negative or too large dimensions"), false;
    e->bits = type == 21 || type == 22 || type == 23 ? 4
              : type == 25 || type == 26             ? 2
                                                     : 8 * (int)kl_dtype_size(e->dt);
    return true;
}

/* Elements of less than a byte, the first in the lowest bits; and those of any byte that
 * are true or not. */
static void spread(const elements *e, const uint8_t *from, int8_t *to)
{
    int per = 8 / e->bits;
    for (int64_t i = 0; i < e->count; i++) {
        int v = from[i / per] >> (i % per * e->bits) & ((1 << e->bits) - 1);
        bool sign = e->dt == KL_I8 && v >> (e->bits - 1);
        to[i] = (int8_t)(e->dt == KL_BOOL ? v != 0 : sign ? v - (1 << e->bits) : v);
    }
}

static kl_tensor *of_bytes(const elements *e, const uint8_t *bytes, uint64_t size)
{
    if (size != ((uint64_t)e->count * (uint64_t)e->bits + 7) / 8)
        return wrong(e, "its data has not the size that its dimensions say");
    if (e->bits >= 8 && e->dt != KL_BOOL)
        return kl_tensor_copy(bytes, e->dt, e->shape);
    int8_t *v = malloc((size_t)e->count + 1);
    if (!v)
        return kl_error_set(KL_ERR_OOM, "out of memory for a tensor"), NULL;
    spread(e, bytes, v);
    kl_tensor *t = kl_tensor_copy(v, e->dt, e->shape);
    free(v);
    return t;
}

/* ---- elements in the field of their type ---- */

/* int32_data holds all types of up to 32 bits; 4- and 2-bit ones packed, a byte each. */
static kl_tensor *of_int32(const elements *e)
{
    size_t size = e->bits < 8 ? 1 : kl_dtype_size(e->dt), n = e->p->n_int32_data;
    uint8_t *v = malloc(n * size + 1);
    if (!v)
        return kl_error_set(KL_ERR_OOM, "out of memory for a tensor"), NULL;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = (uint32_t)e->p->int32_data[i];
        memcpy(v + i * size, &x, size); /* little endian */
    }
    kl_tensor *t = of_bytes(e, v, n * size);
    free(v);
    return t;
}

static kl_tensor *of_fields(const elements *e)
{
    const tensor_proto *p = e->p;
    switch (p->data_type) {
    case 1:
    case 14:
        return of_bytes(e, (const uint8_t *)p->float_data, p->n_float_data * 4);
    case 11:
    case 15:
        return of_bytes(e, (const uint8_t *)p->double_data, p->n_double_data * 8);
    case 7:
        return of_bytes(e, (const uint8_t *)p->int64_data, p->n_int64_data * 8);
    case 13:
        return of_bytes(e, (const uint8_t *)p->uint64_data, p->n_uint64_data * 8);
    case 12: {
        uint32_t *v = malloc(p->n_uint64_data * 4 + 1);
        for (size_t i = 0; v && i < p->n_uint64_data; i++)
            v[i] = (uint32_t)p->uint64_data[i];
        kl_tensor *t = v ? of_bytes(e, (const uint8_t *)v, p->n_uint64_data * 4) : NULL;
        free(v);
        return t;
    }
    default:
        return of_int32(e);
    }
}

/* ---- elements in a file of their own ---- */

typedef struct outside {
    const char *location;
    uint64_t offset, length;
    bool bounded;
} outside;

static bool number(const char *s, uint64_t *v)
{
    char *end;
    *v = strtoull(s, &end, 10);
    return *s >= '0' && *s <= '9' && *end == 0;
}

static bool where(const elements *e, outside *o)
{
    *o = (outside){0};
    for (size_t i = 0; i < e->p->n_external_data; i++) {
        const char *key = e->p->external_data[i]->key,
                   *value = e->p->external_data[i]->value;
        bool ok = true;
        if (strcmp(key, "location") == 0)
            o->location = value;
        else if (strcmp(key, "offset") == 0)
            ok = number(value, &o->offset);
        else if (strcmp(key, "length") == 0)
            ok = o->bounded = number(value, &o->length);
        if (!ok)
            return wrong(e, "external data with an offset or length that is no number"),
                   false;
    }
    return o->location ? true : (wrong(e, "external data without a location"), false);
}

/* The file, which must lie in the folder, also when links are followed. */
static int open_inside(const elements *e, const char *folder, const char *location)
{
    char path[PATH_MAX], base[PATH_MAX], real[PATH_MAX];
    if (!folder)
        return wrong(e, "external data, and the model has no folder"), -1;
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, location) >= sizeof path ||
        *location == '/' || !realpath(folder, base) || !realpath(path, real))
        return wrong(e, "its file of external data is not in the model's folder"), -1;
    size_t n = strlen(base);
    if (strncmp(real, base, n) != 0 || (real[n] != '/' && n > 1))
        return wrong(e, "its file of external data is not in the model's folder"), -1;
    int fd = open(real, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        wrong(e, "its file of external data cannot be read");
    return fd;
}

static kl_tensor *map(const elements *e, int fd, const outside *o)
{
    struct stat st;
    uint64_t want = ((uint64_t)e->count * (uint64_t)e->bits + 7) / 8;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return wrong(e, "its external data is no file");
    uint64_t size = (uint64_t)st.st_size, length = o->bounded ? o->length : want;
    if (o->offset > size || length > size - o->offset)
        return wrong(e, "its file of external data is too short");
    if (size == 0)
        return of_bytes(e, (const uint8_t *)"", length);
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return wrong(e, "its file of external data cannot be read");
    kl_tensor *t = of_bytes(e, (const uint8_t *)p + o->offset, length);
    munmap(p, size);
    return t;
}

static kl_tensor *of_file(const elements *e, const char *folder)
{
    outside o;
    if (!where(e, &o))
        return NULL;
    int fd = open_inside(e, folder, o.location);
    kl_tensor *t = fd < 0 ? NULL : map(e, fd, &o);
    if (fd >= 0)
        close(fd);
    return t;
}

kl_tensor *kl_onnx_tensor(const char *name, const tensor_proto *p, const char *folder)
{
    elements e = {.name = name, .p = p};
    if (!measure(&e))
        return NULL;
    kl_tensor *t;
    if (p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        t = of_file(&e, folder);
    else if (p->raw_data.len || e.count == 0)
        t = of_bytes(&e, p->raw_data.data, p->raw_data.len);
    else
        t = of_fields(&e);
    return t ? kl_scope_take(t) : NULL;
}
