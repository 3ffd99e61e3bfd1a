/* io.c: tensors from and to files; formats are runtime's.
 *
 *   kl_save("net.npz", p, 2)  ->  members weight.npy, arr_1.npy (numpy.load reads them)
 */
#include "front.h"

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), k = strlen(with);
    return n >= k && strcmp(s + n - k, with) == 0;
}

static kl_status check_path(const char *path)
{
    return path && *path ? KL_OK : kl_fail(KL_ERR_ARG, "the path is NULL or empty");
}

/* ---- reading ---- */

/* A dense host buffer's memory as a leaf. */
static kl_lazy *leaf_of(const kl_buffer *b)
{
    if (kl_buffer_is_dense(b) && b->offset == 0)
        return kl_lazy_input(b->mem, b->dtype, b->rank, b->shape);
    kl_buffer d = *b; /* mapped in a file: our own copy */
    int64_t n = kl_count(b->rank, b->shape);
    d.mem = kl_memory_new(0, (size_t)n * kl_dtypes[b->dtype].size);
    if (!d.mem)
        return NULL;
    kl_buffer_dense_strides(&d);
    kl_buffer_copy(&d, b);
    kl_lazy *r = kl_lazy_input(d.mem, d.dtype, d.rank, d.shape);
    kl_memory_unref(d.mem);
    return r;
}

kl_tensor *kl_load_csv_at(const char *at, const char *path, char delimiter, int skip_rows)
{
    kl_call c = kl_call_begin(at);
    kl_buffer b = {0};
    if (check_path(path) || kl_csv_read(path, delimiter, skip_rows, &b))
        return kl_call_end(&c, NULL);
    kl_lazy *n = leaf_of(&b);
    kl_memory_unref(b.mem);
    return kl_call_end(&c, n);
}

static kl_status read_archive(const char *path, kl_archive *a)
{
    if (ends(path, ".npz"))
        return kl_npz_read(path, a);
    if (ends(path, ".safetensors"))
        return kl_safetensors_read(path, a);
    if (!ends(path, ".npy"))
        return kl_fail(KL_ERR_IO, "%s: a file ends in .npy, .npz or .safetensors", path);
    kl_buffer b = {0};
    KL_TRY(kl_npy_read(path, &b));
    kl_status st = kl_archive_add(a, "", &b);
    kl_memory_unref(b.mem);
    return st;
}

static kl_tensor *member(const kl_named_buffer *m)
{
    kl_lazy *n = leaf_of(&m->buffer);
    kl_tensor *t = n ? kl_tensor_wrap(n) : NULL;
    return t && *m->name ? kl_named(t, m->name) : t;
}

kl_tensor *kl_load_at(const char *at, const char *path, const char *name)
{
    kl_call c = kl_call_begin(at);
    kl_archive a = {0};
    kl_tensor *t = NULL;
    if (check_path(path) == KL_OK && read_archive(path, &a) == KL_OK) {
        size_t i = 0;
        while (i < a.count && name && strcmp(a.items[i].name, name) != 0)
            i++;
        if (i < a.count)
            t = member(&a.items[i]);
        else
            kl_fail(KL_ERR_IO, "%s: no tensor named \"%s\"", path, name ? name : "");
    }
    kl_archive_free(&a);
    return kl_call_view(&c, t);
}

int kl_load_all_at(const char *at, const char *path, kl_tensor **out, int cap)
{
    kl_call c = kl_call_begin(at);
    kl_archive a = {0};
    bool ok = check_path(path) == KL_OK && read_archive(path, &a) == KL_OK;
    int n = ok ? (int)a.count : -1;
    for (int i = 0; i < n && i < cap && ok; i++) {
        out[i] = member(&a.items[i]);
        ok = out[i] && kl_scope_add(out[i]) == KL_OK;
    }
    kl_archive_free(&a);
    kl_call_done(&c, KL_OK);
    return ok ? n : -1;
}

/* ---- writing ---- */

static kl_status buffer_of(kl_tensor *t, kl_buffer *b)
{
    const void *bytes;
    kl_lazy *n = kl_arg_tensor(t);
    if (!n)
        return KL_ERR_ARG;
    KL_TRY(kl_value(n, &bytes));
    *b = (kl_buffer){.dtype = (kl_dtype)n->dtype, .rank = n->rank};
    memcpy(b->shape, kl_lazy_shape(n), n->rank * sizeof *b->shape);
    kl_buffer_dense_strides(b);
    size_t size = (size_t)kl_lazy_numel(n) * kl_dtypes[n->dtype].size;
    b->mem = kl_memory_wrap((void *)(uintptr_t)bytes, size, true, NULL, NULL);
    return b->mem ? KL_OK : kl_error_status();
}

static kl_status add_all(kl_archive *a, kl_tensor *const *t, int n)
{
    char name[32];
    KL_TRY(kl_realize_all_at(kl_place(), t, n)); /* one program for all */
    for (int i = 0; i < n; i++) {
        kl_buffer b = {0};
        snprintf(name, sizeof name, "arr_%d", i);
        KL_TRY(buffer_of(t[i], &b));
        kl_status st = kl_archive_add(a, t[i]->name ? t[i]->name : name, &b);
        kl_memory_unref(b.mem);
        KL_TRY(st);
    }
    return KL_OK;
}

static kl_status write_file(const char *path, const kl_archive *a)
{
    if (ends(path, ".npz"))
        return kl_npz_write(path, a);
    if (ends(path, ".safetensors"))
        return kl_safetensors_write(path, a);
    if (!ends(path, ".npy"))
        return kl_fail(KL_ERR_IO, "%s: a file ends in .npy, .npz or .safetensors", path);
    if (a->count != 1)
        return kl_fail(KL_ERR_ARG, "%s: a .npy file holds one tensor, not %zu", path,
                       a->count);
    return kl_npy_write(path, &a->items[0].buffer);
}

kl_status kl_save_at(const char *at, const char *path, kl_tensor *const *t, int n)
{
    kl_call c = kl_call_begin(at);
    kl_archive a = {0};
    kl_status st = check_path(path);
    if (st == KL_OK)
        st = add_all(&a, t, n);
    if (st == KL_OK)
        st = write_file(path, &a);
    kl_archive_free(&a);
    return kl_call_done(&c, st);
}
