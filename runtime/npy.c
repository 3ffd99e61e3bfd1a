/* npy.c: NumPy's file format for one array.
 *
 *     \x93NUMPY 1 0 | length | {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4),
 * }  \n 6 bytes   v.v   u16 (version 2, 3: u32); padded by blanks to a multiple of 64,
 * then bytes
 *
 * Written as numpy.save writes it, to the byte. Read in every version, in both byte
 * orders, in Fortran's order too; always given as a dense row-major buffer of this
 * machine's order. The header is a Python literal of which only this one dictionary is
 * read. Bytes after the array are not looked at, as in NumPy. */
#include "runtime/runtime.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files hold little-endian numbers");

static const char MAGIC[] = "\x93NUMPY";
enum { MAGIC_LEN = 6 };

/* ---- the header ---- */

typedef struct head {
    kl_dtype dtype;
    bool swap, fortran;
    int rank;
    int64_t shape[KL_MAX_RANK];
    size_t data, bytes; /* where the array begins, how long it is */
} head;

typedef struct reader { /* over the dictionary's text */
    const char *file, *begin, *p, *end;
} reader;

static kl_status bad(const reader *r, const char *why)
{
    return kl_fail(KL_ERR_PARSE, "%s: byte %td: %s", r->file, r->p - r->begin, why);
}

static void blanks(reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t'))
        r->p++;
}

static bool take(reader *r, char c)
{
    blanks(r);
    if (r->p == r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static bool take_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    blanks(r);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

static kl_status read_string(reader *r, char *out, size_t cap)
{
    blanks(r);
    if (r->p == r->end || (*r->p != '\'' && *r->p != '"'))
        return bad(r, "expected a string in quotes");
    const char *s = r->p + 1, *e = memchr(s, *r->p, (size_t)(r->end - s));
    if (!e || (size_t)(e - s) >= cap || memchr(s, '\\', (size_t)(e - s)))
        return bad(r, "expected a short string in quotes");
    memcpy(out, s, (size_t)(e - s));
    out[e - s] = 0;
    r->p = e + 1;
    return KL_OK;
}

static kl_status read_extent(reader *r, int64_t *out)
{
    const char *s = r->p;
    int64_t v = 0;
    for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++)
        if (kl_mul_overflow(v, 10, &v) || kl_add_overflow(v, *r->p - '0', &v))
            return bad(r, "an extent that does not fit in 64 bits");
    if (r->p == s)
        return bad(r, "expected an extent");
    if (r->p < r->end && *r->p == 'L') /* Python 2's long */
        r->p++;
    *out = v;
    return KL_OK;
}

/* (), (3,), (3, 4), (3, 4,) */
static kl_status read_shape(reader *r, head *h)
{
    if (!take(r, '('))
        return bad(r, "expected the shape as (..)");
    bool comma = true;
    h->rank = 0;
    while (!take(r, ')')) {
        if (!comma)
            return bad(r, "expected ',' or ')' in the shape");
        if (h->rank == KL_MAX_RANK)
            return bad(r, "more than 16 extents");
        KL_TRY(read_extent(r, &h->shape[h->rank++]));
        comma = take(r, ',');
    }
    if (h->rank == 1 && !comma)
        return bad(r, "(N) is no shape; (N,) is");
    return KL_OK;
}

/* '<f4': an order, a kind, a size. */
static kl_status read_descr(reader *r, head *h)
{
    char descr[64];
    blanks(r);
    if (r->p < r->end && *r->p == '[')
        return kl_fail(KL_ERR_UNSUPPORTED, "%s: byte %td: arrays of records are not read",
                       r->file, r->p - r->begin);
    const char *at = r->p;
    KL_TRY(read_string(r, descr, sizeof descr));
    if (!descr[0] || !strchr("<>|=", descr[0])) {
        r->p = at;
        return bad(r, "the dtype's byte order is none of < > | =");
    }
    for (int d = 0; d < KL_DTYPE_COUNT; d++)
        if (kl_dtypes[d].npy && !strcmp(kl_dtypes[d].npy + 1, descr + 1)) {
            h->dtype = (kl_dtype)d;
            h->swap = descr[0] == '>' && kl_dtypes[d].size > 1;
            return KL_OK;
        }
    return kl_fail(KL_ERR_UNSUPPORTED, "%s: byte %td: dtype '%s' is not read%s", r->file,
                   at - r->begin, descr,
                   !strcmp(descr + 1, "V2") ? " (NumPy has no bf16; use safetensors)"
                                            : "");
}

static kl_status read_bool(reader *r, bool *out)
{
    *out = take_word(r, "True");
    return *out || take_word(r, "False") ? KL_OK : bad(r, "expected True or False");
}

static kl_status read_dict(reader *r, head *h)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned seen = 0;
    bool comma = true;
    char key[16];
    if (!take(r, '{'))
        return bad(r, "expected a dictionary");
    while (!take(r, '}')) {
        if (!comma)
            return bad(r, "expected ',' or '}'");
        KL_TRY(read_string(r, key, sizeof key));
        unsigned k = 0;
        while (k < KL_COUNT(keys) && strcmp(key, keys[k]) != 0)
            k++;
        if (k == KL_COUNT(keys) || seen >> k & 1)
            return bad(r, "a key that is unknown or comes twice");
        seen |= 1u << k;
        if (!take(r, ':'))
            return bad(r, "expected ':'");
        KL_TRY(k == 0   ? read_descr(r, h)
               : k == 1 ? read_bool(r, &h->fortran)
                        : read_shape(r, h));
        comma = take(r, ',');
    }
    blanks(r);
    if (r->p != r->end)
        return bad(r, "text after the dictionary");
    return seen == 7 ? KL_OK : bad(r, "'descr', 'fortran_order' or 'shape' is missing");
}

static kl_status read_head(const char *name, const char *bytes, size_t size, head *h)
{
    const uint8_t *u = (const uint8_t *)bytes;
    if (size < 10 || memcmp(bytes, MAGIC, MAGIC_LEN) != 0)
        return kl_fail(KL_ERR_PARSE,
                       "%s: byte 0: no .npy file: it does not begin with "
                       "\\x93NUMPY and a version",
                       name);
    int version = u[6];
    size_t start = version == 1 ? 10 : 12;
    if (version < 1 || version > 3 || u[7] != 0)
        return kl_fail(KL_ERR_UNSUPPORTED, "%s: byte 6: .npy version %d.%d is not 1 to 3",
                       name, version, u[7]);
    size_t len = (size_t)u[8] | (size_t)u[9] << 8;
    if (version > 1 && size >= 12)
        len |= (size_t)u[10] << 16 | (size_t)u[11] << 24;
    if (size < start || len > size - start)
        return kl_fail(KL_ERR_PARSE,
                       "%s: byte 8: the header of %zu bytes leaves the file of %zu", name,
                       len, size);
    reader r = {name, bytes, bytes + start, bytes + start + len};
    KL_TRY(read_dict(&r, h));
    int64_t count;
    const char *why = kl_shape_fault(h->rank, h->shape, h->dtype, &count);
    if (why)
        return kl_fail(KL_ERR_PARSE, "%s: byte %zu: the shape: %s", name, start, why);
    h->data = start + len;
    h->bytes = (size_t)count * kl_dtypes[h->dtype].size;
    if (h->bytes > size - h->data)
        return kl_fail(KL_ERR_PARSE,
                       "%s: byte %zu: the array needs %zu bytes, the file has %zu", name,
                       h->data, h->bytes, size - h->data);
    return KL_OK;
}

/* ---- the array ---- */

static void swap_bytes(char *p, size_t bytes, size_t unit)
{
    for (char *end = p + bytes; p < end; p += unit)
        for (size_t i = 0; i < unit / 2; i++) {
            char c = p[i];
            p[i] = p[unit - 1 - i];
            p[unit - 1 - i] = c;
        }
}

static kl_buffer head_buffer(const head *h)
{
    kl_buffer b = {.dtype = h->dtype, .rank = h->rank};
    memcpy(b.shape, h->shape, sizeof b.shape);
    kl_buffer_dense_strides(&b);
    return b;
}

/* The array at data as a buffer of its own. */
static kl_status copy_array(const head *h, char *data, kl_buffer *out)
{
    kl_buffer b = head_buffer(h), file = b;
    b.mem = kl_memory_new(0, h->bytes);
    file.mem = b.mem ? kl_memory_wrap(data, h->bytes, true, NULL, NULL) : NULL;
    if (!file.mem) {
        kl_memory_unref(b.mem);
        return KL_ERR_OOM;
    }
    int64_t step = kl_dtypes[h->dtype].size;
    for (int i = 0; h->fortran && !KL_PLANTED(npy_order) && i < h->rank;
         step *= KL_MAX(h->shape[i], 1), i++)
        file.stride[i] = step;
    kl_buffer_copy(&b, &file);
    kl_memory_unref(file.mem);
    char *p = b.mem->base;
    if (h->swap && !KL_PLANTED(npy_swap))
        swap_bytes(p, h->bytes, kl_dtypes[kl_dtypes[h->dtype].real].size);
    for (size_t i = 0; h->dtype == KL_BOOL && i < h->bytes; i++)
        p[i] = p[i] != 0;
    *out = b;
    return KL_OK;
}

kl_status kl_npy_parse(const char *name, const void *bytes, size_t size, kl_buffer *out)
{
    head h = {0};
    KL_TRY(read_head(name, bytes, size, &h));
    return copy_array(&h, (char *)bytes + h.data, out);
}

/* A file's bytes, kept as the memory of the array that they hold. */
typedef struct kept {
    void *bytes;
    size_t size;
} kept;

static void release_kept(void *user, void *base)
{
    kept *k = user;
    (void)base;
    kl_free(k->bytes, k->size);
    kl_free(k, sizeof *k);
}

static kl_status keep_array(const head *h, void *bytes, size_t size, kl_buffer *out)
{
    kept *k = kl_alloc(sizeof *k);
    if (!k)
        return kl_fail(KL_ERR_OOM, "out of memory: a buffer's head");
    *k = (kept){bytes, size};
    kl_buffer b = head_buffer(h);
    b.mem = kl_memory_wrap((char *)bytes + h->data, h->bytes, false, release_kept, k);
    if (!b.mem) {
        kl_free(k, sizeof *k);
        return KL_ERR_OOM;
    }
    *out = b;
    return KL_OK;
}

kl_status kl_npy_take(const char *name, void *bytes, size_t size, kl_buffer *out)
{
    head h = {0};
    kl_status s = read_head(name, bytes, size, &h);
    bool as_is = !h.swap && h.dtype != KL_BOOL && (!h.fortran || h.rank < 2) &&
                 h.data % kl_dtypes[h.dtype].size == 0;
    if (s == KL_OK && as_is && (s = keep_array(&h, bytes, size, out)) == KL_OK)
        return KL_OK;
    if (s == KL_OK)
        s = copy_array(&h, (char *)bytes + h.data, out);
    kl_free(bytes, size);
    return s;
}

kl_status kl_npy_read(const char *path, kl_buffer *out)
{
    void *bytes;
    size_t size;
    KL_TRY(kl_file_read(path, &bytes, &size));
    return kl_npy_take(path, bytes, size, out);
}

/* ---- writing ---- */

kl_status kl_npy_put_head(const char *name, const kl_buffer *b, kl_text *t)
{
    if (!kl_dtypes[b->dtype].npy)
        return kl_fail(KL_ERR_DTYPE, "%s: NumPy has no %s: cast it, or write safetensors",
                       name, kl_dtypes[b->dtype].name);
    kl_text_putn(t, MAGIC, MAGIC_LEN);
    kl_text_putn(t, "\1\0\0\0", 4);
    kl_text_printf(t, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   kl_dtypes[b->dtype].npy);
    for (int i = 0; i < b->rank; i++)
        kl_text_printf(t, "%s%lld", i ? ", " : "", (long long)b->shape[i]);
    kl_text_put(t, b->rank == 1 ? ",), }" : "), }");
    /* NumPy keeps room for the first extent to grow to 21 digits, when it may be appended
     * to. */
    if (b->rank > 0) {
        char digits[24];
        int n = snprintf(digits, sizeof digits, "%lld", (long long)b->shape[0]);
        kl_text_printf(t, "%*s", 21 - n, "");
    }
    do
        kl_text_put(t, " ");
    while (!t->failed && (t->len + 1) % 64 != 0);
    kl_text_put(t, "\n");
    if (t->failed)
        return kl_fail(KL_ERR_OOM, "%s: out of memory", name);
    t->s[8] = (char)(t->len - 10);
    t->s[9] = (char)((t->len - 10) >> 8);
    return KL_OK;
}

kl_status kl_npy_write(const char *path, const kl_buffer *b)
{
    kl_text head = {0};
    kl_buffer dense = {0};
    kl_writer *w = NULL;
    kl_status s = kl_npy_put_head(path, b, &head);
    if (s == KL_OK)
        s = kl_buffer_dense(b, &dense);
    if (s == KL_OK && (s = kl_writer_open(path, &w)) == KL_OK) {
        kl_writer_put(w, head.s, head.len);
        kl_writer_put(w, kl_buffer_data(&dense), kl_buffer_bytes(&dense));
        s = kl_writer_close(w, KL_OK);
    }
    kl_memory_unref(dense.mem);
    kl_text_free(&head);
    return s;
}
