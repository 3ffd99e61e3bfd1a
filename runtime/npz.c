/* npz.c: several arrays in one file, as numpy.savez does it: a zip archive whose member
 * "weight.npy" is the array "weight" as numpy.save would write it. */
#include "runtime/runtime.h"

typedef struct reading {
    const char *file;
    kl_archive *out;
} reading;

/* One member, whose bytes are ours to free or to keep. */
static kl_status visit(void *user, const char *name, void *bytes, size_t size)
{
    reading *r = user;
    char label[640], key[512];
    kl_buffer b;
    size_t n = strlen(name);
    snprintf(label, sizeof label, "%s: member '%s'", r->file, name);
    KL_TRY(kl_npy_take(label, bytes, size, &b));
    memcpy(key, name, n + 1);
    if (n > 4 && !strcmp(key + n - 4, ".npy"))
        key[n - 4] = 0;
    kl_status s;
    if (kl_archive_find(r->out, key))
        s = kl_fail(KL_ERR_PARSE, "%s: two arrays have this name", label);
    else
        s = kl_archive_add(r->out, key, &b);
    kl_memory_unref(b.mem);
    return s;
}

kl_status kl_npz_parse(const char *name, const void *bytes, size_t size, kl_archive *out)
{
    kl_archive a = {0};
    reading r = {name, &a};
    kl_status s = kl_zip_parse(name, bytes, size, visit, &r);
    if (s == KL_OK)
        *out = a;
    else
        kl_archive_free(&a);
    return s;
}

kl_status kl_npz_read(const char *path, kl_archive *out)
{
    void *bytes;
    size_t size;
    KL_TRY(kl_file_read(path, &bytes, &size));
    kl_status s = kl_npz_parse(path, bytes, size, out);
    kl_free(bytes, size);
    return s;
}

static kl_status put_array(kl_zip_writer *z, const char *path,
                           const kl_named_buffer *item)
{
    kl_text head = {0}, name = {0};
    kl_buffer dense = {0};
    if (strlen(item->name) > 500)
        return kl_fail(KL_ERR_ARG, "%s: a name of more than 500 bytes: %.40s..", path,
                       item->name);
    kl_text_printf(&name, "%s.npy", item->name);
    kl_status s = name.failed ? kl_fail(KL_ERR_OOM, "%s: out of memory", path) : KL_OK;
    if (s == KL_OK)
        s = kl_npy_put_head(path, &item->buffer, &head);
    if (s == KL_OK && (s = kl_buffer_dense(&item->buffer, &dense)) == KL_OK) {
        const void *parts[] = {head.s, kl_buffer_data(&dense)};
        size_t sizes[] = {head.len, kl_buffer_bytes(&dense)};
        kl_zip_put(z, name.s, parts, sizes, 2);
    }
    kl_memory_unref(dense.mem);
    kl_text_free(&head);
    kl_text_free(&name);
    return s;
}

kl_status kl_npz_write(const char *path, const kl_archive *a)
{
    kl_zip_writer z = {0};
    KL_TRY(kl_archive_check_names(path, a));
    kl_status s = kl_writer_open(path, &z.out);
    if (s != KL_OK)
        return s;
    for (size_t i = 0; s == KL_OK && i < a->count; i++)
        s = put_array(&z, path, &a->items[i]);
    if (s == KL_OK)
        s = kl_zip_end(&z);
    kl_text_free(&z.dir);
    return kl_writer_close(z.out, s);
}
