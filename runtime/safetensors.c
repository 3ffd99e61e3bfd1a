/* safetensors.c: named tensors in one file, mapped and not copied.
 *
 *     u64 N | {"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, ..}    | bytes
 *             N bytes of JSON, blanks at the end                                 offsets
 * count here
 *
 * The tensors' ranges must cover the bytes without gap or overlap, as the format demands,
 * so that a file can hide nothing. A tensor whose bytes do not lie on its dtype's
 * alignment, or whose bools are not 0 or 1, is copied; every other is a read-only buffer
 * in the mapping, which goes when the last of them does. Written files put wide dtypes
 * first: all are aligned. */
#include "runtime/runtime.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_MAX = 100000000 };

/* ---- reading ---- */

typedef struct tensor {
    const char *name;
    uint64_t begin, end;
    kl_buffer buffer;
} tensor;

typedef struct source {
    const char *file;
    kl_memory *map;
    const char *data; /* where offsets count from */
    uint64_t size;    /* bytes from there */
} source;

static kl_status bad(const source *s, const char *name, const char *why)
{
    return kl_fail(KL_ERR_PARSE, "%s: tensor '%s': %s", s->file, name, why);
}

/* A JSON number that is an exact integer from 0. */
static bool get_size(const cJSON *j, uint64_t *out)
{
    if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0 && j->valuedouble <= 0x1p53))
        return false;
    *out = (uint64_t)j->valuedouble;
    return (double)*out == j->valuedouble;
}

static kl_status get_dtype(const source *s, const cJSON *j, tensor *t)
{
    const char *name = cJSON_GetStringValue(j);
    if (!name)
        return bad(s, t->name, "\"dtype\" is missing or no string");
    for (int d = 0; d < KL_DTYPE_COUNT; d++)
        if (kl_dtypes[d].safetensors && !strcmp(name, kl_dtypes[d].safetensors)) {
            t->buffer.dtype = (kl_dtype)d;
            return KL_OK;
        }
    return kl_fail(KL_ERR_UNSUPPORTED, "%s: tensor '%s': dtype %.20s is not read",
                   s->file, t->name, name);
}

static kl_status get_shape(const source *s, const cJSON *j, tensor *t)
{
    const cJSON *x;
    uint64_t v;
    if (!cJSON_IsArray(j))
        return bad(s, t->name, "\"shape\" is missing or no list");
    cJSON_ArrayForEach(x, j)
    {
        if (t->buffer.rank == KL_MAX_RANK)
            return bad(s, t->name, "more than 16 extents");
        if (!get_size(x, &v))
            return bad(s, t->name, "an extent is no whole number from 0 to 2^53");
        t->buffer.shape[t->buffer.rank++] = (int64_t)v;
    }
    return KL_OK;
}

static kl_status get_tensor(const source *s, const cJSON *j, tensor *t)
{
    int64_t count;
    *t = (tensor){.name = j->string};
    if (!cJSON_IsObject(j) || cJSON_GetArraySize(j) != 3)
        return bad(s, t->name, "not an object of dtype, shape and data_offsets");
    KL_TRY(get_dtype(s, cJSON_GetObjectItemCaseSensitive(j, "dtype"), t));
    KL_TRY(get_shape(s, cJSON_GetObjectItemCaseSensitive(j, "shape"), t));
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(j, "data_offsets");
    if (!cJSON_IsArray(o) || cJSON_GetArraySize(o) != 2 ||
        !get_size(o->child, &t->begin) || !get_size(o->child->next, &t->end) ||
        t->begin > t->end)
        return bad(s, t->name, "\"data_offsets\" is no [begin, end]");
    if (t->end > s->size)
        return bad(s, t->name, "its bytes reach beyond the file");
    const char *why =
        kl_shape_fault(t->buffer.rank, t->buffer.shape, t->buffer.dtype, &count);
    if (why)
        return bad(s, t->name, why);
    if ((uint64_t)count * kl_dtypes[t->buffer.dtype].size != t->end - t->begin)
        return bad(s, t->name,
                   "shape and dtype need another number of bytes than its range has");
    return KL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(tensor *const *)a)->name, (*(tensor *const *)b)->name);
}

static int by_begin(const void *a, const void *b)
{
    const tensor *x = *(tensor *const *)a, *y = *(tensor *const *)b;
    int before = (x->begin > y->begin) - (x->begin < y->begin);
    return before ? before : (x->end > y->end) - (x->end < y->end);
}

/* No name twice; every byte belongs to one tensor. order is scratch for n pointers. */
static kl_status check_cover(const source *s, tensor *t, size_t n, tensor **order)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++)
        order[i] = &t[i];
    qsort(order, n, sizeof *order, by_name);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(order[i - 1]->name, order[i]->name))
            return bad(s, order[i]->name, "the name comes twice");
    qsort(order, n, sizeof *order, by_begin);
    for (size_t i = 0; i < n; at = order[i++]->end)
        if (order[i]->begin < at || (order[i]->begin > at && !KL_PLANTED(tensors_gap)))
            return bad(s, order[i]->name,
                       order[i]->begin < at ? "its bytes overlap another's"
                                            : "there is a gap before its bytes");
    if (at != s->size)
        return kl_fail(KL_ERR_PARSE, "%s: %llu bytes at the end belong to no tensor",
                       s->file, (unsigned long long)(s->size - at));
    return KL_OK;
}

static bool bools_ok(const char *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] & ~1)
            return false;
    return true;
}

static kl_status add_tensor(const source *s, const tensor *t, kl_archive *a)
{
    const char *p = s->data + t->begin;
    uint64_t n = t->end - t->begin;
    kl_buffer b = t->buffer;
    kl_buffer_dense_strides(&b);
    size_t align = kl_dtypes[kl_dtypes[b.dtype].real].size;
    bool is_bool = b.dtype == KL_BOOL;
    if ((uintptr_t)p % align == 0 && (!is_bool || bools_ok(p, n))) {
        b.mem = kl_memory_ref(s->map);
        b.offset = p - (const char *)s->map->base;
    } else {
        KL_TRY(kl_buffer_new(b.dtype, b.rank, b.shape, &b));
        char *q = b.mem->base;
        memcpy(q, p, n);
        for (uint64_t i = 0; is_bool && i < n; i++)
            q[i] = q[i] != 0;
    }
    kl_status st = kl_archive_add(a, t->name, &b);
    kl_memory_unref(b.mem);
    return st;
}

static kl_status read_tensors(const source *s, const cJSON *json, tensor *t,
                              tensor **order, kl_archive *out)
{
    size_t n = 0;
    const cJSON *j;
    cJSON_ArrayForEach(j, json)
    {
        if (strcmp(j->string, "__metadata__") != 0)
            KL_TRY(get_tensor(s, j, &t[n++]));
        else if (!cJSON_IsObject(j))
            return bad(s, j->string, "the metadata is no object");
    }
    KL_TRY(check_cover(s, t, n, order));
    for (size_t i = 0; i < n; i++)
        KL_TRY(add_tensor(s, &t[i], out));
    return KL_OK;
}

static kl_status read_json(const source *s, const cJSON *json, kl_archive *out)
{
    size_t n = (size_t)cJSON_GetArraySize(json);
    kl_archive a = {0};
    tensor *t = kl_alloc(n * sizeof *t), **order = kl_alloc(n * sizeof *order);
    kl_status st =
        t && order ? read_tensors(s, json, t, order, &a)
                   : kl_fail(KL_ERR_OOM, "%s: out of memory: %zu tensors", s->file, n);
    kl_free(t, n * sizeof *t);
    kl_free(order, n * sizeof *order);
    if (st == KL_OK)
        *out = a;
    else
        kl_archive_free(&a);
    return st;
}

static bool only_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p == end;
}

static kl_status read_map(const char *file, kl_memory *map, kl_archive *out)
{
    const char *p = map->base;
    uint64_t n = 0;
    if (map->size >= 8)
        memcpy(&n, p, 8);
    if (map->size < 8 || n > HEADER_MAX || n > map->size - 8)
        return kl_fail(KL_ERR_PARSE,
                       "%s: byte 0: no safetensors file: its header's length (%llu) "
                       "does not fit in it",
                       file, (unsigned long long)n);
    source s = {file, map, p + 8 + n, map->size - 8 - n};
    const char *end = p + 8;
    cJSON *json = n && p[8] == '{' && !memchr(p + 8, 0, n)
                      ? cJSON_ParseWithLengthOpts(p + 8, n, &end, false)
                      : NULL;
    kl_status st =
        cJSON_IsObject(json) && only_blanks(end, s.data)
            ? read_json(&s, json, out)
            : kl_fail(KL_ERR_PARSE, "%s: byte %td: the header is no JSON object", file,
                      end - p);
    cJSON_Delete(json);
    return st;
}

static void unmap(void *size, void *base)
{
    munmap(base, (uintptr_t)size);
}

static kl_status map_file(const char *path, int fd, kl_memory **out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return kl_file_fail(path, "open");
    if (!S_ISREG(st.st_mode))
        return kl_fail(KL_ERR_IO, "%s: cannot map it: not a regular file", path);
    if (st.st_size < 8)
        return kl_fail(KL_ERR_PARSE,
                       "%s: byte 0: no safetensors file: shorter than 8 bytes", path);
    size_t size = (size_t)st.st_size;
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return kl_file_fail(path, "map");
    *out = kl_memory_wrap(p, size, true, unmap, (void *)(uintptr_t)size);
    if (!*out)
        munmap(p, size);
    return *out ? KL_OK : KL_ERR_OOM;
}

kl_status kl_safetensors_read(const char *path, kl_archive *out)
{
    kl_memory *map = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kl_file_fail(path, "open");
    kl_status s = map_file(path, fd, &map);
    close(fd);
    if (s == KL_OK)
        s = read_map(path, map, out);
    kl_memory_unref(map);
    return s;
}

/* ---- writing ---- */

static void put_tensor(kl_text *t, const kl_named_buffer *b, uint64_t *at)
{
    uint64_t begin = *at;
    *at += kl_buffer_bytes(&b->buffer);
    kl_text_put(t, t->len > 9 ? "," : "");
    kl_text_put_json(t, b->name);
    kl_text_printf(t, ":{\"dtype\":\"%s\",\"shape\":[",
                   kl_dtypes[b->buffer.dtype].safetensors);
    for (int i = 0; i < b->buffer.rank; i++)
        kl_text_printf(t, "%s%lld", i ? "," : "", (long long)b->buffer.shape[i]);
    kl_text_printf(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                   (unsigned long long)*at);
}

static kl_status check_items(const char *path, const kl_archive *a)
{
    KL_TRY(kl_archive_check_names(path, a));
    for (size_t i = 0; i < a->count; i++) {
        const char *name = a->items[i].name;
        kl_dtype d = a->items[i].buffer.dtype;
        if (!kl_dtypes[d].safetensors)
            return kl_fail(KL_ERR_DTYPE, "%s: tensor '%s': safetensors has no %s", path,
                           name, kl_dtypes[d].name);
        if (!strcmp(name, "__metadata__"))
            return kl_fail(KL_ERR_ARG, "%s: no tensor may be called __metadata__", path);
    }
    return KL_OK;
}

/* Widest elements first, so that each range begins aligned. */
static const int widths[] = {16, 8, 4, 2, 1};

static kl_status put_header(const char *path, const kl_archive *a, kl_text *t)
{
    uint64_t at = 0;
    kl_text_putn(t, "\0\0\0\0\0\0\0\0{", 9);
    for (size_t w = 0; w < KL_COUNT(widths); w++)
        for (size_t i = 0; i < a->count; i++)
            if (kl_dtypes[a->items[i].buffer.dtype].size == widths[w])
                put_tensor(t, &a->items[i], &at);
    kl_text_put(t, "}");
    while (!t->failed && t->len % 8 != 0)
        kl_text_put(t, " ");
    if (t->failed)
        return kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    uint64_t n = t->len - 8;
    memcpy(t->s, &n, 8);
    return KL_OK;
}

static kl_status put_bytes(kl_writer *w, const kl_buffer *b)
{
    kl_buffer dense;
    KL_TRY(kl_buffer_dense(b, &dense));
    kl_writer_put(w, kl_buffer_data(&dense), kl_buffer_bytes(&dense));
    kl_memory_unref(dense.mem);
    return KL_OK;
}

kl_status kl_safetensors_write(const char *path, const kl_archive *a)
{
    kl_text head = {0};
    kl_writer *out;
    kl_status s = check_items(path, a);
    if (s == KL_OK)
        s = put_header(path, a, &head);
    if (s == KL_OK && (s = kl_writer_open(path, &out)) == KL_OK) {
        kl_writer_put(out, head.s, head.len);
        for (size_t w = 0; w < KL_COUNT(widths); w++)
            for (size_t i = 0; s == KL_OK && i < a->count; i++)
                if (kl_dtypes[a->items[i].buffer.dtype].size == widths[w])
                    s = put_bytes(out, &a->items[i].buffer);
        s = kl_writer_close(out, s);
    }
    kl_text_free(&head);
    return s;
}
