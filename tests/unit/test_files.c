/* test_files.c: .npy, .npz and safetensors against NumPy's own bytes; and each
 * reader against truncation at every length, damage at every byte, and memory that ends
 * at every allocation: one line, or an array, and nothing left behind. */
#include "runtime/runtime.h"

#include "numpy_bytes.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/kiln-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    kl_error_clear();
}

/* Also says that nothing else was left there. */
static void remove_folder(void)
{
    DIR *d = opendir(folder);
    int stray = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            stray += strstr(e->d_name, ".kiln-") != NULL;
            unlink(path_of(e->d_name));
        }
    closedir(d);
    rmdir(folder);
    ck_assert_int_eq(stray, 0);
}

static void put_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    ck_assert(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* Element i of a dense buffer, as a number. */
static double element(const kl_buffer *b, int64_t i)
{
    const char *p = kl_buffer_data(b) + i * kl_dtypes[b->dtype].size;
#define AS(T) (*(const T *)p)
    switch (b->dtype) {
    case KL_BOOL:
    case KL_U8:
        return AS(uint8_t);
    case KL_I16:
        return AS(int16_t);
    case KL_I32:
        return AS(int32_t);
    case KL_U32:
        return AS(uint32_t);
    case KL_F16:
        return kl_f16_to_f32(AS(uint16_t));
    case KL_F32:
    case KL_C64: /* the real part */
        return AS(float);
    default:
        return AS(double);
    }
}

/* ---- .npy ---- */

#define BYTES(a) a, sizeof a - 1
static const struct {
    const char *bytes;
    size_t size;
    kl_dtype dtype;
    int rank;
    int64_t shape[3], count;
    double v[6];
    bool rewrites; /* written again, it is the same to the byte */
} arrays[] = {
    {BYTES(npy_f32), KL_F32, 2, {2, 3}, 6, {1, 2, 3, 4, 5, -.5}, true},
    {BYTES(npy_f64_scalar), KL_F64, 0, {0}, 1, {1.5}, true},
    {BYTES(npy_empty), KL_I64, 2, {0, 2}, 0, {0}, true},
    {BYTES(npy_bool), KL_BOOL, 1, {3}, 3, {1, 0, 1}, true},
    {BYTES(npy_f16), KL_F16, 1, {3}, 3, {1, 65504, -0x1p-24}, true},
    {BYTES(npy_c64), KL_C64, 2, {2, 1}, 2, {1, 3}, true},
    {BYTES(npy_u8), KL_U8, 3, {1, 1, 5}, 5, {0, 1, 2, 3, 4}, true},
    {BYTES(npy_fortran), KL_I16, 2, {2, 3}, 6, {1, 2, 3, 4, 5, 6}, false},
    {BYTES(npy_big_f64), KL_F64, 1, {2}, 2, {1, -2.5}, false},
    {BYTES(npy_big_c64), KL_C64, 1, {2}, 2, {1, 3}, false},
    {BYTES(npy_v2), KL_I32, 1, {2}, 2, {7, 8}, false},
    {BYTES(npy_v3), KL_U32, 1, {2}, 2, {7, 8}, false},
};

static void check_array(const kl_buffer *b, int i)
{
    ck_assert_int_eq(b->dtype, arrays[i].dtype);
    ck_assert_int_eq(b->rank, arrays[i].rank);
    ck_assert(kl_buffer_is_dense(b));
    for (int d = 0; d < b->rank; d++)
        ck_assert_int_eq(b->shape[d], arrays[i].shape[d]);
    for (int64_t k = 0; k < arrays[i].count; k++)
        ck_assert(element(b, k) == arrays[i].v[k]);
}

START_TEST(test_npy)
{
    size_t before = kl_alloc_live();
    kl_buffer b, c;
    make_folder();
    ck_assert_int_eq(kl_npy_parse("a.npy", arrays[_i].bytes, arrays[_i].size, &b), KL_OK);
    check_array(&b, _i);
    put_file("a.npy", arrays[_i].bytes, arrays[_i].size);
    ck_assert_int_eq(kl_npy_read(path_of("a.npy"), &c), KL_OK);
    check_array(&c, _i);
    kl_memory_unref(c.mem);
    ck_assert_int_eq(kl_npy_write(path_of("b.npy"), &b), KL_OK);
    void *bytes;
    size_t size;
    ck_assert_int_eq(kl_file_read(path_of("b.npy"), &bytes, &size), KL_OK);
    if (arrays[_i].rewrites) {
        ck_assert_uint_eq(size, arrays[_i].size);
        ck_assert(!memcmp(bytes, arrays[_i].bytes, size));
    }
    kl_memory_unref(b.mem);
    ck_assert_int_eq(kl_npy_take("b.npy", bytes, size, &b), KL_OK);
    check_array(&b, _i);
    kl_memory_unref(b.mem);
    remove_folder();
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

START_TEST(test_npy_strided) /* a transposed buffer is written in its own logical order */
{
    kl_buffer b;
    make_folder();
    ck_assert_int_eq(kl_npy_parse("a", BYTES(npy_f32), &b), KL_OK);
    kl_buffer t = b;
    t.shape[0] = 3, t.shape[1] = 2;
    t.stride[0] = 4, t.stride[1] = 12;
    ck_assert_int_eq(kl_npy_write(path_of("t.npy"), &t), KL_OK);
    kl_memory_unref(b.mem);
    ck_assert_int_eq(kl_npy_read(path_of("t.npy"), &b), KL_OK);
    static const double want[] = {1, 4, 2, 5, 3, -.5};
    for (int i = 0; i < 6; i++)
        ck_assert(element(&b, i) == want[i]);
    kl_memory_unref(b.mem);
    remove_folder();
}
END_TEST

#define V1 "\x93NUMPY\1\0"
#define HEAD(text) V1 "\x76\0" text
static const struct {
    const char *bytes;
    size_t size;
    const char *message;
} bad_npy[] = {
    {BYTES(""),
     "a.npy: byte 0: no .npy file: it does not begin with \\x93NUMPY and a version"},
    {BYTES("PK\3\4 not an array"),
     "a.npy: byte 0: no .npy file: it does not begin with \\x93NUMPY and a version"},
    {BYTES("\x93NUMPY\4\0\0\0\0\0"), "a.npy: byte 6: .npy version 4.0 is not 1 to 3"},
    {BYTES(V1 "\xff\xff{}"),
     "a.npy: byte 8: the header of 65535 bytes leaves the file of 12"},
    {BYTES(npy_record), "a.npy: byte 20: arrays of records are not read"},
    {BYTES(npy_text), "a.npy: byte 20: dtype '<U2' is not read"},
    {BYTES(V1 "\x02\0{}"),
     "a.npy: byte 12: 'descr', 'fortran_order' or 'shape' is missing"},
    {BYTES(V1 "\x0e\0{'descr':'<V2'"),
     "a.npy: byte 19: dtype '<V2' is not read (NumPy has no bf16; use safetensors)"},
    {BYTES(V1 "\x0e\0{'descr':'f4' "),
     "a.npy: byte 19: the dtype's byte order is none of < > | ="},
    {BYTES(V1 "\x0e\0{'colour': 1 }"),
     "a.npy: byte 19: a key that is unknown or comes twice"},
    {BYTES(V1 "\x1c\0{'descr':'<f4','descr':'<f4'"),
     "a.npy: byte 32: a key that is unknown or comes twice"},
    {BYTES(V1 "\x0d\0{'shape':(3)}"), "a.npy: byte 22: (N) is no shape; (N,) is"},
    {BYTES(V1 "\x0e\0{'shape':(-1,)"), "a.npy: byte 20: expected an extent"},
    {BYTES(V1 "\x20\0{'shape':(99999999999999999999,)"),
     "a.npy: byte 38: an extent that does not fit in 64 bits"},
    {BYTES(V1 "\x33\0{'descr':'<f4','fortran_order':False,'shape':(9,)} "),
     "a.npy: byte 61: the array needs 36 bytes, the file has 0"},
    {BYTES(
         V1
         "\x47\0{'descr':'<f4','fortran_order':False,'shape':(4294967296,4294967296)}  "),
     "a.npy: byte 10: the shape: too many elements for 64 bits"},
};

START_TEST(test_bad_npy)
{
    kl_buffer b;
    kl_error_clear();
    ck_assert_int_ne(kl_npy_parse("a.npy", bad_npy[_i].bytes, bad_npy[_i].size, &b),
                     KL_OK);
    ck_assert_str_eq(kl_error(), bad_npy[_i].message);
}
END_TEST

START_TEST(test_npy_bf16)
{
    const int64_t shape[1] = {2};
    kl_buffer b;
    make_folder();
    ck_assert_int_eq(kl_buffer_new(KL_BF16, 1, shape, &b), KL_OK);
    ck_assert_int_eq(kl_npy_write(path_of("a.npy"), &b), KL_ERR_DTYPE);
    ck_assert_ptr_nonnull(strstr(kl_error(), "a.npy: NumPy has no bf16"));
    kl_memory_unref(b.mem);
    remove_folder();
}
END_TEST

/* ---- .npz ---- */

static void check_npz(const kl_archive *a, bool deflated)
{
    ck_assert_uint_eq(a->count, 2);
    const kl_buffer *w = kl_archive_find(a, "w"), *b = kl_archive_find(a, "b");
    ck_assert(w && b && !kl_archive_find(a, "w.npy"));
    ck_assert(element(b, 0) == 1.5);
    ck_assert_int_eq(w->dtype, deflated ? KL_I32 : KL_F32);
    for (int i = 0; i < (deflated ? 1000 : 4); i++)
        ck_assert(element(w, i) == (deflated ? i / 10 : i + 1));
}

START_TEST(test_npz)
{
    size_t before = kl_alloc_live();
    kl_archive a = {0}, c = {0};
    make_folder();
    const char *bytes = _i ? npz_deflated : npz_stored;
    size_t size = _i ? sizeof npz_deflated - 1 : sizeof npz_stored - 1;
    ck_assert_int_eq(kl_npz_parse("a.npz", bytes, size, &a), KL_OK);
    check_npz(&a, _i);
    ck_assert_int_eq(kl_npz_write(path_of("b.npz"), &a), KL_OK);
    ck_assert_int_eq(kl_npz_read(path_of("b.npz"), &c), KL_OK);
    check_npz(&c, _i);
    kl_archive_free(&a);
    kl_archive_free(&c);
    remove_folder();
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* One faulty place in a good archive at a time. */
static const struct {
    size_t at; /* from the end where negative */
    const char *message;
} bad_npz[] = {
    {sizeof npz_stored - 1 - 22, "no end of a zip archive: not a zip file, or cut short"},
    {190, "member 'w.npy': byte 0: its checksum (CRC-32) is wrong"},
    {0, "member 'w.npy': byte 0: no member begins there"},
    {sizeof npz_stored - 1 - 22 - 2 * 51, "not a directory entry"},
    {sizeof npz_stored - 1 - 22 - 2 * 51 + 8, "member 'w.npy' is encrypted"},
    {sizeof npz_stored - 1 - 22 - 2 * 51 + 10, "compression method 1 is not read"},
    {sizeof npz_stored - 1 - 22 - 2 * 51 + 20, "its two sizes do not fit together"},
    {sizeof npz_stored - 1 - 22 - 2 * 51 + 43, "byte 256: no member begins there"},
};

/* The same archive with places and sizes in zip64 extras and end record. */
START_TEST(test_zip64)
{
    kl_archive a = {0};
    kl_error_clear();
    kl_npz_parse("a.npz", npz_zip64, sizeof npz_zip64 - 1, &a);
    ck_assert_str_eq(kl_error(), "");
    check_npz(&a, false);
    kl_archive_free(&a);
}
END_TEST

START_TEST(test_bad_npz)
{
    char copy[sizeof npz_stored];
    memcpy(copy, npz_stored, sizeof copy);
    copy[bad_npz[_i].at] ^= 1;
    kl_archive a;
    kl_error_clear();
    ck_assert_int_ne(kl_npz_parse("a.npz", copy, sizeof copy - 1, &a), KL_OK);
    ck_assert_msg(strstr(kl_error(), bad_npz[_i].message) &&
                      strstr(kl_error(), "a.npz: "),
                  "%s", kl_error());
}
END_TEST

START_TEST(test_same_names)
{
    kl_archive a = {0};
    kl_buffer b;
    make_folder();
    ck_assert_int_eq(kl_npy_parse("a", BYTES(npy_f32), &b), KL_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(kl_archive_add(&a, "w", &b), KL_OK);
    kl_memory_unref(b.mem);
    ck_assert_int_eq(kl_npz_write(path_of("a.npz"), &a), KL_ERR_ARG);
    ck_assert_ptr_nonnull(strstr(kl_error(), "a.npz: two arrays are called 'w'"));
    ck_assert_int_eq(kl_safetensors_write(path_of("a.st"), &a), KL_ERR_ARG);
    kl_archive_free(&a);
    remove_folder();
}
END_TEST

/* ---- safetensors ---- */

/* A file of this JSON, its length before it, and n data bytes 0, 1, 2 .. after. */
static size_t safetensors(const char *json, size_t n, char *out)
{
    uint64_t len = strlen(json);
    memcpy(out, &len, 8);
    memcpy(out + 8, json, len);
    for (size_t i = 0; i < n; i++)
        out[8 + len + i] = (char)i;
    return 8 + len + n;
}

#define GOOD                                                                             \
    "{\"__metadata__\":{\"by\":\"hand\"},"                                               \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"                   \
    "\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"                     \
    "\"c\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[16,19]},"                 \
    "\"d\":{\"dtype\":\"BF16\",\"shape\":[0,4],\"data_offsets\":[19,19]},"               \
    "\"e\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[19,21]}}"

START_TEST(test_safetensors)
{
    size_t before = kl_alloc_live();
    char bytes[1024];
    kl_archive a = {0}, c = {0};
    make_folder();
    put_file("a.st", bytes, safetensors(GOOD, 21, bytes));
    ck_assert_int_eq(kl_safetensors_read(path_of("a.st"), &a), KL_OK);
    ck_assert_uint_eq(a.count, 5);
    const kl_buffer *f = kl_archive_find(&a, "a"), *t = kl_archive_find(&a, "c");
    ck_assert(f->dtype == KL_F32 && f->rank == 1 && f->shape[0] == 2);
    ck_assert(!memcmp(kl_buffer_data(f), "\x8\x9\xa\xb\xc\xd\xe\xf", 8));
    ck_assert(t->dtype == KL_BOOL && !memcmp(kl_buffer_data(t), "\1\1\1", 3));
    ck_assert(kl_archive_find(&a, "d")->shape[1] == 4);
    ck_assert(*(uint16_t *)kl_buffer_data(kl_archive_find(&a, "e")) == 0x1413);
    ck_assert_uint_eq((uintptr_t)kl_buffer_data(kl_archive_find(&a, "e")) % 2, 0);
    ck_assert_int_eq(kl_safetensors_write(path_of("b.st"), &a), KL_OK);
    ck_assert_int_eq(kl_safetensors_read(path_of("b.st"), &c), KL_OK);
    ck_assert_uint_eq(c.count, 5);
    for (size_t i = 0; i < 5; i++) {
        const kl_buffer *x = &a.items[i].buffer,
                        *y = kl_archive_find(&c, a.items[i].name);
        ck_assert(y && y->dtype == x->dtype && y->rank == x->rank && y->mem->read_only);
        ck_assert(!memcmp(kl_buffer_data(x), kl_buffer_data(y), kl_buffer_bytes(x)));
    }
    kl_archive_free(&a);
    unlink(path_of("b.st")); /* the mapping outlives the name, one buffer the archive */
    kl_buffer kept = *kl_archive_find(&c, "a");
    kl_memory_ref(kept.mem);
    kl_archive_free(&c);
    ck_assert(!memcmp(kl_buffer_data(&kept), "\x8\x9\xa\xb\xc\xd\xe\xf", 8));
    kl_memory_unref(kept.mem);
    remove_folder();
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* The very bytes: an aligned header, names escaped, wide dtypes first. */
START_TEST(test_safetensors_bytes)
{
    static const char want[] =
        "\x80\0\0\0\0\0\0\0"
        "{\"bb\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"a\\\"\\\\\\u000a\":{\"dtype\":\"U8\",\"shape\":[1,1,2],\"data_offsets\":[4,6]}"
        "}"
        "       \0\0\xa0@\x07\x08";
    float f = 5;
    uint8_t u[] = {7, 8};
    kl_buffer x = {.dtype = KL_F32, .rank = 1, .shape = {1}, .stride = {4}};
    kl_buffer y = {.dtype = KL_U8, .rank = 3, .shape = {1, 1, 2}, .stride = {2, 2, 1}};
    kl_archive a = {0};
    make_folder();
    x.mem = kl_memory_wrap(&f, 4, true, NULL, NULL);
    y.mem = kl_memory_wrap(u, 2, true, NULL, NULL);
    kl_archive_add(&a, "a\"\\\n", &y);
    kl_archive_add(&a, "bb", &x);
    kl_memory_unref(x.mem);
    kl_memory_unref(y.mem);
    ck_assert_int_eq(kl_safetensors_write(path_of("a.st"), &a), KL_OK);
    kl_archive_free(&a);
    void *bytes;
    size_t size;
    ck_assert_int_eq(kl_file_read(path_of("a.st"), &bytes, &size), KL_OK);
    ck_assert_uint_eq(size, sizeof want - 1);
    ck_assert(!memcmp(bytes, want, size));
    kl_free(bytes, size);
    ck_assert_int_eq(kl_safetensors_read(path_of("a.st"), &a), KL_OK);
    ck_assert_ptr_nonnull(kl_archive_find(&a, "a\"\\\n"));
    kl_archive_free(&a);
    remove_folder();
}
END_TEST

#define T(dtype, shape, range)                                                           \
    "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" range "}"
static const struct {
    const char *json;
    size_t data;
    const char *message;
} bad_safetensors[] = {
    {"", 0, "byte 8: the header is no JSON object"},
    {"[]", 0, "byte 8: the header is no JSON object"},
    {"{} x", 0, "byte 10: the header is no JSON object"},
    {"{\"a\":", 0, "the header is no JSON object"},
    {"{\"a\":1}", 0, "tensor 'a': not an object of dtype, shape and data_offsets"},
    {"{\"__metadata__\":1}", 0, "the metadata is no object"},
    {"{\"a\":" T("\"F8_E4M3\"", "[1]", "[0,1]") "}", 1,
     "tensor 'a': dtype F8_E4M3 is not read"},
    {"{\"a\":" T("1", "[1]", "[0,1]") "}", 1, "\"dtype\" is missing or no string"},
    {"{\"a\":" T("\"U8\"", "1", "[0,1]") "}", 1, "\"shape\" is missing or no list"},
    {"{\"a\":" T("\"U8\"", "[-1]", "[0,1]") "}", 1, "an extent is no whole number"},
    {"{\"a\":" T("\"U8\"", "[1.5]", "[0,1]") "}", 1, "an extent is no whole number"},
    {"{\"a\":" T("\"U8\"", "[1e300]", "[0,1]") "}", 1, "an extent is no whole number"},
    {"{\"a\":" T("\"U8\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1,
     "more than 16 extents"},
    {"{\"a\":" T("\"U8\"", "[4503599627370496,4503599627370496]", "[0,1]") "}", 1,
     "too many elements for 64 bits"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0]") "}", 1, "\"data_offsets\" is no [begin, end]"},
    {"{\"a\":" T("\"U8\"", "[1]", "[1,0]") "}", 1, "\"data_offsets\" is no [begin, end]"},
    {"{\"a\":" T("\"U8\"", "[2]", "[0,2]") "}", 1, "its bytes reach beyond the file"},
    {"{\"a\":" T("\"F32\"", "[1]", "[0,1]") "}", 1, "need another number of bytes"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") ",\"b\":" T("\"U8\"", "[1]", "[0,1]") "}", 1,
     "tensor 'b': its bytes overlap another's"},
    {"{\"a\":" T("\"U8\"", "[1]", "[1,2]") "}", 2,
     "tensor 'a': there is a gap before its bytes"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") "}", 3,
     "2 bytes at the end belong to no tensor"},
    {"{\"a\":" T("\"U8\"", "[1]", "[0,1]") ",\"a\":" T("\"U8\"", "[1]", "[1,2]") "}", 2,
     "tensor 'a': the name comes twice"},
};

START_TEST(test_bad_safetensors)
{
    size_t before = kl_alloc_live();
    char bytes[1024];
    kl_archive a;
    make_folder();
    put_file("a.st", bytes,
             safetensors(bad_safetensors[_i].json, bad_safetensors[_i].data, bytes));
    ck_assert_int_ne(kl_safetensors_read(path_of("a.st"), &a), KL_OK);
    ck_assert_msg(strstr(kl_error(), "/a.st: ") &&
                      strstr(kl_error(), bad_safetensors[_i].message),
                  "%s", kl_error());
    remove_folder();
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

START_TEST(test_safetensors_dtype)
{
    const int64_t shape[1] = {1};
    kl_archive a = {0};
    kl_buffer b;
    make_folder();
    ck_assert_int_eq(kl_buffer_new(KL_C128, 1, shape, &b), KL_OK);
    ck_assert_int_eq(kl_archive_add(&a, "z", &b), KL_OK);
    kl_memory_unref(b.mem);
    ck_assert_int_eq(kl_safetensors_write(path_of("a.st"), &a), KL_ERR_DTYPE);
    ck_assert_ptr_nonnull(strstr(kl_error(), "tensor 'z': safetensors has no c128"));
    kl_archive_free(&a);
    remove_folder();
}
END_TEST

/* ---- damage ---- */

static bool read_npy(const char *bytes, size_t size)
{
    kl_buffer b;
    bool ok = kl_npy_parse("damaged", bytes, size, &b) == KL_OK;
    if (ok)
        kl_memory_unref(b.mem);
    return ok;
}

static bool read_npz(const char *bytes, size_t size)
{
    kl_archive a;
    bool ok = kl_npz_parse("damaged", bytes, size, &a) == KL_OK;
    if (ok)
        kl_archive_free(&a);
    return ok;
}

static bool read_csv(const char *bytes, size_t size)
{
    kl_buffer b;
    bool ok = kl_csv_parse("damaged", bytes, size, ',', 0, &b) == KL_OK;
    if (ok)
        kl_memory_unref(b.mem);
    return ok;
}

static bool read_safetensors(const char *bytes, size_t size)
{
    kl_archive a;
    put_file("damaged", bytes, size);
    bool ok = kl_safetensors_read(path_of("damaged"), &a) == KL_OK;
    if (ok)
        kl_archive_free(&a);
    return ok;
}

static const char csv_text[] = "# x\n1.5,2e3,nan\r\n-7,inf,0.25 # y\n\n3,4,5";
static char safetensors_file[1024];
static const struct {
    bool (*read)(const char *bytes, size_t size);
    const char *bytes;
    size_t size;
    bool cut_is_error; /* no proper beginning of the file is a file */
} readers[] = {
    {read_npy, BYTES(npy_fortran), true}, {read_npy, BYTES(npy_big_c64), true},
    {read_npy, BYTES(npy_v3), true},      {read_npz, BYTES(npz_stored), true},
    {read_npz, BYTES(npz_zip64), true},   {read_npz, BYTES(npz_deflated), true},
    {read_csv, BYTES(csv_text), false},   {read_safetensors, safetensors_file, 0, true},
};

/* Read a copy that ends where its block does, so that sanitizers see a step beyond. */
static bool damaged(int i, const char *bytes, size_t size)
{
    size_t before = kl_alloc_live();
    char *exact = kl_alloc(size);
    memcpy(exact, bytes, size);
    kl_error_clear();
    bool ok = readers[i].read(exact, size);
    kl_free(exact, size);
    ck_assert_uint_eq(kl_alloc_live(), before);
    ck_assert_int_eq(ok, !kl_failed());
    ck_assert(!strchr(kl_error(), '\n'));
    bool names = strstr(kl_error(), "damaged") || strstr(kl_error(), "out of memory");
    ck_assert_msg(ok || names, "%s", kl_error());
    return ok;
}

static size_t reader_size(int i)
{
    return readers[i].size ? readers[i].size : safetensors(GOOD, 21, safetensors_file);
}

START_TEST(test_truncated)
{
    make_folder();
    size_t size = reader_size(_i);
    ck_assert(damaged(_i, readers[_i].bytes, size));
    for (size_t n = 0; n < size; n++) {
        bool ok = damaged(_i, readers[_i].bytes, n);
        ck_assert_msg(!ok || !readers[_i].cut_is_error, "%zu bytes are a file", n);
    }
    remove_folder();
}
END_TEST

START_TEST(test_flipped)
{
    char copy[2048];
    uint32_t random = 12345;
    make_folder();
    size_t size = reader_size(_i);
    for (size_t at = 0; at < size; at++)
        for (int k = 0; k < 6; k++) {
            memcpy(copy, readers[_i].bytes, size);
            random = random * 1664525 + 1013904223;
            copy[at] = k == 0   ? (char)0xFF
                       : k == 1 ? 0
                                : (char)(copy[at] ^ 1 << (random >> 29));
            if (k > 3) {
                random = random * 1664525 + 1013904223;
                copy[random % size] = (char)(random >> 24);
            }
            damaged(_i, copy, size);
        }
    remove_folder();
}
END_TEST

START_TEST(test_no_memory)
{
    make_folder();
    size_t size = reader_size(_i), before = kl_alloc_live();
    int n = 0;
    for (bool ok = false; !ok; n++) {
        kl_error_clear();
        kl_alloc_fail_at(n);
        ok = readers[_i].read(readers[_i].bytes, size);
        kl_alloc_fail_at(-1);
        ck_assert_int_eq(kl_error_status(), ok ? KL_OK : KL_ERR_OOM);
        ck_assert_uint_eq(kl_alloc_live(), before);
    }
    ck_assert_int_gt(n, 2);
    remove_folder();
}
END_TEST

/* ---- writing ---- */

static kl_status write_all(const kl_archive *a, int what)
{
    return what == 0   ? kl_npy_write(path_of("out"), &a->items[0].buffer)
           : what == 1 ? kl_npz_write(path_of("out"), a)
                       : kl_safetensors_write(path_of("out"), a);
}

START_TEST(test_write_no_memory) /* the old file stays */
{
    kl_archive a = {0};
    make_folder();
    ck_assert_int_eq(kl_npz_parse("a.npz", BYTES(npz_stored), &a), KL_OK);
    kl_buffer *w = &a.items[0].buffer; /* transposed, so that a copy is made too */
    int64_t s = w->stride[0];
    w->stride[0] = w->stride[1];
    w->stride[1] = s;
    size_t before = kl_alloc_live();
    for (int n = 0;; n++) {
        put_file("out", "old", 3);
        kl_error_clear();
        kl_alloc_fail_at(n);
        kl_status st = write_all(&a, _i);
        kl_alloc_fail_at(-1);
        ck_assert_uint_eq(kl_alloc_live(), before);
        if (st == KL_OK)
            break;
        ck_assert_int_eq(st, KL_ERR_OOM);
        void *bytes;
        size_t size;
        kl_file_read(path_of("out"), &bytes, &size);
        ck_assert(size == 3 && !memcmp(bytes, "old", 3));
        kl_free(bytes, size);
    }
    kl_archive_free(&a);
    remove_folder();
}
END_TEST

START_TEST(test_files)
{
    void *bytes;
    size_t size;
    struct stat st;
    char link[128];
    make_folder();
    ck_assert_int_eq(kl_file_read(path_of("none"), &bytes, &size), KL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(kl_error(), "/none: cannot open: No such file"));
    kl_error_clear();
    ck_assert_int_eq(kl_file_read(folder, &bytes, &size), KL_ERR_IO);
    kl_error_clear();
    ck_assert_int_eq(kl_file_write("/nowhere/at/all", "x", 1), KL_ERR_IO);
    ck_assert_str_eq(kl_error(),
                     "/nowhere/at/all: cannot write: No such file or directory");
    kl_error_clear();
    ck_assert_int_eq(kl_file_read("/proc/self/status", &bytes, &size),
                     KL_OK); /* no length */
    ck_assert(size > 100 && !memcmp(bytes, "Name:", 5));
    kl_free(bytes, size);
    ck_assert_int_eq(kl_file_write(path_of("empty"), NULL, 0), KL_OK);
    ck_assert_int_eq(kl_file_read(path_of("empty"), &bytes, &size), KL_OK);
    ck_assert_uint_eq(size, 0);
    kl_free(bytes, size);
    ck_assert_int_eq(chmod(path_of("empty"), 0640), 0);
    snprintf(link, sizeof link, "%s/link", folder);
    ck_assert_int_eq(symlink(path_of("empty"), link), 0);
    ck_assert_int_eq(kl_file_write(link, "through", 7), KL_OK);
    ck_assert(stat(path_of("empty"), &st) == 0 && st.st_size == 7 &&
              (st.st_mode & 0777) == 0640);
    ck_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    ck_assert_int_eq(kl_file_write("/dev/null", "x", 1), KL_OK);
    ck_assert_int_eq(kl_file_write("/dev/full", "x", 1), KL_ERR_IO);
    ck_assert_str_eq(kl_error(), "/dev/full: cannot write: No space left on device");
    remove_folder();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("files");
    TCase *tc = tcase_create("files");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_npy, 0, KL_COUNT(arrays));
    tcase_add_test(tc, test_npy_strided);
    tcase_add_loop_test(tc, test_bad_npy, 0, KL_COUNT(bad_npy));
    tcase_add_test(tc, test_npy_bf16);
    tcase_add_loop_test(tc, test_npz, 0, 2);
    tcase_add_test(tc, test_zip64);
    tcase_add_loop_test(tc, test_bad_npz, 0, KL_COUNT(bad_npz));
    tcase_add_test(tc, test_same_names);
    tcase_add_test(tc, test_safetensors);
    tcase_add_test(tc, test_safetensors_bytes);
    tcase_add_loop_test(tc, test_bad_safetensors, 0, KL_COUNT(bad_safetensors));
    tcase_add_test(tc, test_safetensors_dtype);
    tcase_add_loop_test(tc, test_truncated, 0, KL_COUNT(readers));
    tcase_add_loop_test(tc, test_flipped, 0, KL_COUNT(readers));
    tcase_add_loop_test(tc, test_no_memory, 0, KL_COUNT(readers));
    tcase_add_loop_test(tc, test_write_no_memory, 0, 3);
    tcase_add_test(tc, test_files);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
