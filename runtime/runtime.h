/* runtime.h: the lowest folder's one private header. Bytes, errors, dtypes, buffers,
 * threads, devices, programs, files and caches; it knows nothing of graphs, kernels' text
 * or LLVM.
 *
 *   base      error.c alloc.c arena.c text.c lex.c dtype.c half.c hash.c plant.h plant.c
 *   data      buffer.c file.c archive.c npy.c npz.c zip.c csv.c safetensors.c philox.c
 *   running   thread.c device.c device_cpu.c device_cuda.c cuda_driver.c
 *             loader.c loader_elf.c loader_reloc.c loader_gdb.c
 *             program.c program_verify.c program_text.c program_parse.c program_pack.c
 *   keeping   store.c disk.c module.c
 *   watching  stats.c profile.c env.c
 *   calling   native.c ffi.c
 *
 * Prototypes stand in that order, a banner a file. */
#ifndef KL_RUNTIME_H
#define KL_RUNTIME_H

#include "kiln/base.h"
#include "kiln/stats.h"
#include "runtime/plant.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KL_MAX_RANK 16
#define KL_COUNT(a) (sizeof(a) / sizeof *(a))
#define KL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define KL_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- error.c: status and first message, per thread ---- */

/* Record a failure (kept only if it is this thread's first since kl_error_clear) and
 * return s. The message is formatted into a fixed array: reporting cannot allocate. */
kl_status kl_fail(kl_status s, const char *fmt, ...) KL_PRINTF(2, 3);
/* Append to the message kept, e.g. " (at net.c:12)"; a no-op if nothing failed. */
void kl_fail_more(const char *fmt, ...) KL_PRINTF(1, 2);
/* The whole log of a compiler (copied; cut to 64 KiB). */
void kl_fail_log(const char *log);
/* The place ("file:line", a string that lives forever) of the user's call now being
 * served. kl_fail appends it. Frontend macros set it. */
void kl_place_set(const char *place);
const char *kl_place(void);

#define KL_TRY(call)                                                                     \
    do {                                                                                 \
        kl_status kl_try_ = (call);                                                      \
        if (kl_try_ != KL_OK)                                                            \
            return kl_try_;                                                              \
    } while (0)

/* Our own mistakes: abort with the place in debug builds, KL_ERR_INTERNAL in release. */
void kl_assert_failed(const char *what, const char *file, int line);
#ifdef NDEBUG
#define KL_ASSERT(c)                                                                     \
    do {                                                                                 \
        if (!(c))                                                                        \
            kl_fail(KL_ERR_INTERNAL, "internal: %s (%s:%d)", #c, __FILE__, __LINE__);    \
    } while (0)
#else
#define KL_ASSERT(c) ((c) ? (void)0 : kl_assert_failed(#c, __FILE__, __LINE__))
#endif

/* ---- alloc.c: every byte of host memory ---- */

/* Through the user's hook if set, else aligned malloc; 64-byte aligned; NULL when out of
 * memory (kl_fail is the caller's, who knows what for). Large blocks (2 MiB and up) ask
 * for huge pages; the last freed of up to 32 MiB are kept, 256 MiB at most. */
void *kl_alloc(size_t size);
void *kl_alloc_zeroed(size_t size);
void *kl_realloc(void *p, size_t old_size, size_t new_size);
/* Room for one more item of `size` bytes in the array that *array points to, which holds n
 * and has room for *cap; false: out of memory, nothing changed. */
bool kl_grow(void *array, size_t n, size_t *cap, size_t size);
void kl_free(void *p, size_t size);
void kl_alloc_trim(void); /* kept blocks go back to the system */
size_t kl_alloc_live(void); /* bytes now allocated */
size_t kl_alloc_peak(void); /* most ever, since kl_alloc_peak_reset */
void kl_alloc_peak_reset(void);
/* tests: the call after the next n fails; <0: none. Gives what was left: < 0, it has
 * failed */
int64_t kl_alloc_fail_at(int64_t n);
bool kl_mul_overflow(int64_t a, int64_t b, int64_t *out); /* true when a*b leaves int64 */
bool kl_add_overflow(int64_t a, int64_t b, int64_t *out);

/* ---- arena.c: everything inside one compile ---- */

typedef struct kl_arena kl_arena;
kl_arena *kl_arena_new(void); /* NULL: out of memory */
void kl_arena_free(kl_arena *a);
/* NULL when out of memory; then kl_arena_failed(a) is true for good, so a pass may check
 * once. */
void *kl_arena_alloc(kl_arena *a, size_t size);
void *kl_arena_zeroed(kl_arena *a, size_t count, size_t size);
void *kl_arena_copy(kl_arena *a, const void *p,
                    size_t size); /* NULL of nothing is fine */
char *kl_arena_strdup(kl_arena *a, const char *s);
char *kl_arena_printf(kl_arena *a, const char *fmt, ...) KL_PRINTF(2, 3);
bool kl_arena_failed(const kl_arena *a);
void kl_arena_fail(
    kl_arena *a); /* memory beside it ended: what is built in it is not whole */
/* Grow an arena array: *items holds *cap elements of size bytes; make room for need. */
kl_status kl_arena_grow(kl_arena *a, void *items, uint32_t *cap, uint32_t need,
                        size_t size);

/* ---- text.c: building and scanning text, independent of the locale ---- */

typedef struct kl_text { /* a growing string; zero-initialise; failure sticks */
    char *s;
    size_t len, cap;
    bool failed;
} kl_text;
void kl_text_free(kl_text *t);
void kl_text_put(kl_text *t, const char *s);
void kl_text_putn(kl_text *t, const char *s, size_t n);
void kl_text_printf(kl_text *t, const char *fmt, ...) KL_PRINTF(2, 3); /* no %f %g %e */
void kl_text_put_json(kl_text *t, const char *s); /* in quotes, escaped */
/* Break what t holds from `from` on into lines of at most 100 columns, at blanks outside
 * quotes: for texts in which a line end is a blank, and in which `mark` begins a comment.
 */
void kl_text_wrap(kl_text *t, size_t from, char mark);
/* The shortest decimal that reads back to the same bits of that dtype; "nan", "inf",
 * "-inf",
 * "-0.0"; always with a '.', an exponent or a name, so that it is seen to be a float. */
void kl_text_put_float(kl_text *t, kl_dtype dt, double v);
/* strtod without a locale; accepts decimal, hex float, inf, nan. Returns the end, s if
 * none. */
const char *kl_scan_float(const char *s, double *out);
const char *kl_scan_int(const char *s, int64_t *out); /* overflow: returns s */

/* ---- lex.c: a lexer for kiln's own texts (GRAMMAR.md) ---- */

/* Names, numbers, punctuation, comments from '#'
 * to the end of the line. Newlines are white space. Numbers have no sign; inf and nan are
 * FLOAT; "1_u8" is INT then NAME "_u8"; an INT above INT64_MAX that fits u64 has ival < 0
 * (its bits). REF: tok has the '%', ival is the number or -1 for %name. STRING: tok is
 * what the quotes enclose, no escapes. */
typedef enum kl_tok {
    KL_TOK_END,
    KL_TOK_NAME,
    KL_TOK_REF /* %12 or %name */,
    KL_TOK_INT,
    KL_TOK_FLOAT,
    KL_TOK_STRING /* "..." */,
    KL_TOK_PUNCT /* one character, or -> .. == <= >= != << >> */,
    KL_TOK_BAD
} kl_tok;
typedef struct kl_lex {
    const char *file, *s, *p; /* file's name for messages; the text; the next character */
    kl_tok kind;              /* the current token */
    const char *tok;
    size_t len;
    int line;
    const char *last; /* the token before the current one, and its line */
    int last_line;
    bool source; /* the text is the user's own: its lines are places */
    const char
        *note; /* the first comment between the token before and this one, or NULL */
    int64_t ival;
    double fval;
} kl_lex;
void kl_lex_init(kl_lex *l, const char *file,
                 const char *text); /* reads the first token */
void kl_lex_next(kl_lex *l);
bool kl_lex_is(const kl_lex *l, const char *word); /* the current token is exactly this */
bool kl_lex_take(kl_lex *l, const char *word);     /* if so, step over it */
kl_status kl_lex_want(kl_lex *l, const char *word);      /* step over it or fail */
kl_status kl_lex_name(kl_lex *l, char *out, size_t cap); /* a NAME, or fail */
kl_status kl_lex_int(kl_lex *l, int64_t *out);           /* an optionally negative INT */
/* "file:line:column: ..": of the current token when the message begins with "expected" or
 * quotes it, else of the one before, which was the last that was read. */
kl_status kl_lex_fail(const kl_lex *l, const char *fmt, ...) KL_PRINTF(2, 3);

/* ---- dtype.c: one table ---- */

typedef enum kl_class {
    KL_CLS_BOOL,
    KL_CLS_UINT,
    KL_CLS_SINT,
    KL_CLS_FLOAT,
    KL_CLS_COMPLEX
} kl_class;
typedef struct kl_dtype_info {
    const char *name;       /* "f32": in kiln's texts */
    const char *torch_name; /* "float32": printed */
    const char *scalar;     /* "Float": PyTorch's name in messages */
    const char *npy;        /* "<f4": in .npy headers; NULL where NumPy has none (bf16) */
    const char *safetensors; /* "F32" */
    uint8_t size, cls, bits;
    kl_dtype real; /* of a complex dtype: its parts'; else itself */
} kl_dtype_info;
extern const kl_dtype_info kl_dtypes[KL_DTYPE_COUNT];
kl_dtype kl_dtype_parse(const char *name); /* kiln's or PyTorch's name; KL_DTYPE_NONE */
/* PyTorch's promotion of two dtypes of the same category. KL_DTYPE_NONE where PyTorch
 * refuses: u16, u32, u64 with any other dtype that is not a float. */
kl_dtype kl_dtype_promote(kl_dtype a, kl_dtype b);
static inline bool kl_is_float(kl_dtype d)
{
    return kl_dtypes[d].cls == KL_CLS_FLOAT;
}
static inline bool kl_is_complex(kl_dtype d)
{
    return kl_dtypes[d].cls == KL_CLS_COMPLEX;
}
static inline bool kl_is_int(kl_dtype d)
{
    return kl_dtypes[d].cls == KL_CLS_UINT || kl_dtypes[d].cls == KL_CLS_SINT;
}

/* ---- half.c: f16 and bf16, round to nearest even, denormals kept ---- */

uint16_t kl_f32_to_f16(float f);
float kl_f16_to_f32(uint16_t h);
uint16_t kl_f32_to_bf16(float f);
float kl_bf16_to_f32(uint16_t h);
uint16_t kl_f64_to_f16(double d); /* one rounding */
uint16_t kl_f64_to_bf16(double d);

/* ---- hash.c: 128-bit content keys (xxhash) ---- */

typedef struct kl_hash {
    uint64_t lo, hi;
} kl_hash;
static inline bool kl_hash_same(kl_hash a, kl_hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}
kl_hash kl_hash_bytes(const void *p, size_t n);
kl_hash kl_hash_text(const char *s);
void kl_hash_hex(kl_hash h, char out[33]);

/* ---- buffer.c: strided memory, shared by reference count ---- */

/* Bytes of one allocation, ours or the user's. */
typedef struct kl_memory {
    int32_t refs;   /* atomic */
    int32_t device; /* 0: host; 1 + i: CUDA device i */
    void *base;     /* host pointer, or device address */
    size_t size;
    bool read_only;
    void (*release)(void *user, void *base); /* NULL: ours, freed by us */
    void *user;
} kl_memory;
/* New bytes, uninitialised (NULL: out of memory, failure recorded). */
kl_memory *kl_memory_new(int device, size_t size);
/* The user's bytes: never freed by us; release (may be NULL) runs when the last holder
 * lets go. */
kl_memory *kl_memory_wrap(void *base, size_t size, bool read_only,
                          void (*release)(void *user, void *base), void *user);
kl_memory *kl_memory_ref(kl_memory *m);
void kl_memory_unref(kl_memory *m); /* NULL is fine */

/* A strided array over it: strides in bytes, may be negative or zero; offset to element
 * 0. */
typedef struct kl_buffer {
    kl_memory *mem;
    kl_dtype dtype;
    int rank;
    int64_t shape[KL_MAX_RANK], stride[KL_MAX_RANK], offset;
} kl_buffer;
/* Number of elements; fails (KL_ERR_SHAPE) on negative extents or overflow of bytes. */
kl_status kl_shape_count(int rank, const int64_t *shape, kl_dtype dt, int64_t *count);
/* New dense host memory of that shape. */
kl_status kl_buffer_new(kl_dtype dt, int rank, const int64_t *shape, kl_buffer *out);
char *kl_buffer_data(const kl_buffer *b); /* address of element 0 */
/* The same without a failure recorded: why not, or NULL. */
const char *kl_shape_fault(int rank, const int64_t *shape, kl_dtype dt, int64_t *count);
void kl_buffer_dense_strides(kl_buffer *b); /* fills stride row-major, offset 0 */
bool kl_buffer_is_dense(const kl_buffer *b);
/* The lowest byte and one past the highest byte touched, relative to base. */
void kl_buffer_extent(const kl_buffer *b, int64_t *lo, int64_t *hi);
size_t kl_buffer_bytes(const kl_buffer *b); /* of its elements, laid out densely */
/* b itself if it is dense, else a dense copy: a new reference either way. */
kl_status kl_buffer_dense(const kl_buffer *b, kl_buffer *out);
/* Copy between host buffers of equal shape and dtype, any strides, overlap not allowed.
 */
void kl_buffer_copy(const kl_buffer *dst, const kl_buffer *src);

/* ---- file.c: whole files ---- */

kl_status kl_file_read(const char *path, void **bytes,
                       size_t *size); /* kl_free(bytes, size) */
kl_status kl_file_write(const char *path, const void *bytes, size_t size); /* atomic */
kl_status kl_file_fail(const char *path,
                       const char *doing); /* "PATH: cannot DOING: errno's text" */
/* Piece by piece: a temporary file beside the target, renamed by close if all went well
 * and the status given is KL_OK, else removed; close returns the first failure. */
typedef struct kl_writer kl_writer;
kl_status kl_writer_open(const char *path, kl_writer **out);
void kl_writer_put(kl_writer *w, const void *bytes, size_t n);
kl_status kl_writer_close(kl_writer *w, kl_status s);

/* ---- archive.c, npy.c, npz.c, zip.c, csv.c, safetensors.c: files of numbers ---- */

/* Readers give dense row-major host buffers, those of safetensors
 * read-only in a mapping of the file. Every failure names file, place and reason, leaves
 * nothing allocated. A parser's name is the file's in messages. Writers are atomic. */

kl_status kl_npy_read(const char *path, kl_buffer *out);
kl_status kl_npy_parse(const char *name, const void *bytes, size_t size, kl_buffer *out);
/* The same on kl_alloc's bytes, which it takes over and, where it can, makes the
 * buffer's. */
kl_status kl_npy_take(const char *name, void *bytes, size_t size, kl_buffer *out);
kl_status kl_npy_write(const char *path,
                       const kl_buffer *b); /* byte-equal to numpy.save */
kl_status kl_npy_put_head(const char *name, const kl_buffer *b, kl_text *t);

typedef struct kl_named_buffer {
    char *name;
    kl_buffer buffer;
} kl_named_buffer;
typedef struct kl_archive {
    kl_named_buffer *items;
    size_t count;
} kl_archive; /* zero: empty */
void kl_archive_free(kl_archive *a);
kl_status kl_archive_add(kl_archive *a, const char *name,
                         const kl_buffer *b); /* references b */
const kl_buffer *kl_archive_find(const kl_archive *a, const char *name); /* NULL: none */
kl_status kl_archive_check_names(const char *path,
                                 const kl_archive *a); /* no name twice */
kl_status kl_npz_read(const char *path,
                      kl_archive *out); /* stored and deflated members */
kl_status kl_npz_parse(const char *name, const void *bytes, size_t size, kl_archive *out);
kl_status kl_npz_write(const char *path, const kl_archive *a);
kl_status kl_safetensors_read(const char *path, kl_archive *out); /* mapped, not copied */
kl_status kl_safetensors_write(const char *path, const kl_archive *a);
/* As numpy.loadtxt: f64 [rows, columns]; comments from '#'; an error names line and
 * column. The delimiter ' ' stands for any blanks. */
kl_status kl_csv_read(const char *path, char delimiter, int skip_rows, kl_buffer *out);
kl_status kl_csv_parse(const char *name, const char *text, size_t size, char delimiter,
                       int skip_rows, kl_buffer *out);

/* Zip archives: every member's content, which is the visitor's to kl_free(bytes, size);
 * in file order, until one is refused. */
typedef kl_status (*kl_zip_visit)(void *user, const char *name, void *bytes, size_t size);
kl_status kl_zip_parse(const char *file, const void *bytes, size_t size,
                       kl_zip_visit visit, void *user);
/* A stored member made of parts; then the directory. Zero-initialise all but out; free
 * dir. */
typedef struct kl_zip_writer {
    kl_writer *out;
    kl_text dir;
    uint64_t at, count;
} kl_zip_writer;
void kl_zip_put(kl_zip_writer *z, const char *name, const void *const *parts,
                const size_t *sizes, int nparts);
kl_status kl_zip_end(kl_zip_writer *z);

/* ---- philox.c: Philox 4x32-10 (Salmon et al., SC 2011) ---- */

void kl_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* ---- thread.c: a small pool of ours ---- */

/* The caller is worker 0. Chunks
 * are handed out in order; which worker gets which is not defined, so nothing may depend
 * on it. A nested call runs inline. After fork the child starts a new pool at first use.
 * Pool threads run with default MXCSR/FPCR; so does the caller while inside (saved and
 * restored). */

typedef void (*kl_work_fn)(void *ctx, int64_t begin, int64_t end, int64_t worker);
/* Split [0, n) into chunks of at least grain and run fn over them on up to kl_threads().
 */
void kl_parallel_for(int64_t n, int64_t grain, kl_work_fn fn, void *ctx);
/* The same on at most threads workers, for a caller that has made room for so many. */
void kl_parallel_on(int threads, int64_t n, int64_t grain, kl_work_fn fn, void *ctx);
/* Default MXCSR/FPCR for this thread; give what enter returned to leave. */
uint32_t kl_fp_enter(void);
void kl_fp_leave(uint32_t old);
int kl_threads(void); /* kl_set_threads, else KILN_THREADS, else kl_cores() */
void kl_set_threads(int n);
int kl_cores(void); /* that this process may use */

/* ---- fork.c: a child of fork finds everything in order ---- */
/* What to do before a fork, after it in the parent, and in the child; each may be NULL.
 * False: there is no room for so many. */
bool kl_at_fork(void (*before)(void), void (*after)(void), void (*child)(void));
/* Around what a fork must not find half done; a fork comes between, at a pause, or while
 * a thread is off: off gives what on is to be given. */
void kl_fork_enter(void);
void kl_fork_leave(void);
void kl_fork_pause(void);
uint32_t kl_fork_off(void);
void kl_fork_on(uint32_t entries);

/* ---- stop.c: a computation that is given up ---- */
typedef struct kl_stop_watch {
    bool on, stopped;
    void *token;
    int64_t next; /* when the host is asked again; 0: not yet known */
} kl_stop_watch;
/* While this thread waits for a program, its host is asked; token is the host's. */
kl_stop_watch kl_stop_begin(void *token);
void kl_stop_end(kl_stop_watch before);
bool kl_stop_watched(void);
bool kl_stopped(void); /* asks when it is time; stays true until kl_stop_end */

/* ---- env.c: KILN_* variables, read once ---- */

typedef struct kl_env {
    int threads;        /* 0: not set */
    const char *cache;  /* folder; "" : memory only; NULL: default */
    int64_t cache_max;  /* bytes */
    const char *device; /* "cpu", "cuda", "cuda:1" */
    const char *dump;   /* pass names, or "all"; NULL */
    int verify;         /* 0, 1, 2; -1: not set */
    bool debug, bounds, nan, no_compile;
    bool batch_invariant; /* contractions always add k up in order */
    const char *profile;  /* file, or NULL */
    int tune_ms;
} kl_env;
const kl_env *kl_env_get(void);
void kl_debug(const char *fmt, ...)
    KL_PRINTF(1, 2); /* a line on stderr under KILN_DEBUG */

/* ---- devices ---- */

/* A device
 * is a table of functions: device_cpu.c and device_cuda.c each define one. Device
 * numbers: 0 is the host CPU, 1 + i is CUDA device i. */

/* A launch: what every kernel of every device is given. A CPU kernel's phase is the
 * function void phase(const kl_args *args, int64_t begin, int64_t end, int64_t worker)
 * which computes work items begin <= i < end of its worker axis. It reads nothing else.
 */
typedef struct kl_args {
    void *const *bufs;   /* operands' base pointers, in the kernel's order */
    const int64_t *dims; /* values of the kernel's symbols, in the kernel's order */
    char *scratch;       /* worker w's tiles lie at scratch + w * scratch_stride */
    int64_t scratch_stride;
    int64_t
        *error; /* the program's error word: [0] kind (0: none), [1] node, [2] value */
} kl_args;
typedef void (*kl_phase_fn)(const kl_args *args, int64_t begin, int64_t end,
                            int64_t worker);
enum { KL_FAULT_NONE = 0, KL_FAULT_INDEX = 1, KL_FAULT_BOUNDS = 2, KL_FAULT_CHECK = 3 };

/* One phase of a launch. */
typedef struct kl_phase_dims {
    int64_t workers;     /* work items: blocks on the GPU */
    int64_t grain;       /* CPU: least items worth a thread */
    int32_t group, lane; /* GPU: block = (lane, group) threads */
    int64_t shared;      /* GPU: dynamic shared bytes */
} kl_phase_dims;

typedef struct kl_device_ops kl_device_ops;
typedef struct kl_module { /* loaded code */
    int32_t refs;          /* atomic; ops->load gives 1 */
    int32_t tabled;        /* those of module.c's table, under its lock */
    int index;             /* the device's, as ops->load got it */
    const kl_device_ops *ops;
    void *impl; /* the device's own */
} kl_module;
kl_module *kl_module_ref(kl_module *m);
void kl_module_unref(
    kl_module *m); /* the last one calls ops->unload(m), which frees m too */
struct kl_device_ops {
    const char *name;   /* "cpu", "cuda" */
    int (*count)(void); /* devices present; never fails, 0 without a driver */
    kl_status (*alloc)(int index, size_t size, void **out);
    void (*free)(int index, void *p, size_t size);
    /* dst and src: which side is the host is given by to_device/from_device; both false:
     * a device-to-device copy. Ordered with launches on the same device. */
    kl_status (*copy)(int index, void *dst, const void *src, size_t n, bool src_host,
                      bool dst_host);
    kl_status (*fill)(int index, void *dst, int byte, size_t n);
    kl_status (*load)(int index, const void *code, size_t size, kl_module **out);
    void (*unload)(kl_module *m);
    void *(*symbol)(kl_module *m, const char *name); /* a phase's entry; NULL if absent */
    kl_status (*launch)(int index, void *entry, const kl_args *args, int nbufs, int ndims,
                        const kl_phase_dims *dims);
    kl_status (*sync)(int index);
    kl_status (*describe)(int index, char *name, size_t cap); /* "NVIDIA H200" */
};
extern const kl_device_ops kl_device_cpu, kl_device_cuda;
/* The table and index of device number d; fails naming the device when it is not there.
 */
kl_status kl_device_get(int d, const kl_device_ops **ops, int *index);
kl_status kl_device_parse(const char *name, int *d); /* "cpu", "cuda", "cuda:1" */

/* device_cuda.c: what else there is to ask. An error word (kl_args.error) must live until
 * its device was waited for: sync, or a copy to the host; they fill it. */
kl_status kl_cuda_compute(int index, int *major, int *minor); /* 9 and 0: sm_90 */
const char *kl_cuda_why(void); /* why there is no CUDA device; "" when there is one */
void kl_cuda_close(void);      /* gives contexts back: for those who count leaks */

/* ---- loader.c: closed ELF objects into memory ---- */

/* x86-64 and aarch64 relocatable objects:
 * sections mapped together, PC-relative relocations applied, never writable and
 * executable at once, told to gdb (JIT interface) and perf (map file under KILN_DEBUG).
 * An object that is not closed is refused with the offending symbol: KL_ERR_COMPILE; one
 * that is damaged is KL_ERR_PARSE. */

typedef struct kl_code kl_code;
kl_status kl_code_load(const void *object, size_t size, kl_code **out);
void *kl_code_symbol(const kl_code *c, const char *name);
void kl_code_free(kl_code *c);
/* Whether an object is closed (one line why not): codegen calls this on what LLVM made.
 */
kl_status kl_code_check(const void *object, size_t size);

/* loader_elf.c: an object read and checked, and linked for an address. */
typedef struct kl_elf_section {
    const char *name;
    uint32_t type, link, info;
    uint64_t flags, offset, size, align, entry;
    int64_t place; /* in the image; -1: not loaded */
} kl_elf_section;
typedef struct kl_elf_symbol {
    const char *name;
    uint8_t type, bind;
    uint16_t section;
    uint64_t value, size;
} kl_elf_symbol;
typedef struct kl_elf {
    const uint8_t *bytes; /* the caller's, and so are the names */
    size_t size;
    int machine; /* elf.h's EM_X86_64 or EM_AARCH64 */
    uint32_t nsections, nsymbols;
    kl_elf_section *sections;
    kl_elf_symbol *symbols;
    size_t image; /* bytes once loaded */
} kl_elf;
kl_status kl_elf_open(const void *object, size_t size, kl_elf *e);
void kl_elf_close(kl_elf *e);
/* Write the image (e->image bytes at `image`) as it has to be at `address`
 * (page-aligned). */
kl_status kl_elf_link(const kl_elf *e, void *image, uint64_t address);
/* Where a defined symbol lies in the image; -1: absent. */
int64_t kl_elf_find(const kl_elf *e, const char *name);

/* loader_reloc.c: one relocation. NULL, or why it cannot be done: not PC-relative, out of
 * range. */
const char *kl_reloc_why_not(int machine, uint32_t type);
int kl_reloc_bytes(int machine, uint32_t type);
const char *kl_reloc_apply(int machine, uint32_t type, void *field, uint64_t place,
                           uint64_t target);

/* loader_gdb.c: debuggers and profilers. */
typedef struct kl_debug_entry kl_debug_entry;
kl_debug_entry *kl_debugger_add(const kl_elf *e, uint64_t address); /* NULL: not told */
void kl_debugger_remove(kl_debug_entry *d);
void kl_perf_add(const kl_elf *e, uint64_t address);

/* ---- program*.c: the plan's structure, its runner, its text and binary form ---
 * Filled in by passes/plan.c. Sizes that depend on symbols are small postfix programs
 * over the symbol values (kl_size), so that the runner needs no ir. */

/* Postfix code: >= 0 pushes that constant; KL_SIZE_SYM + i pushes symbol i; the rest
 * operate. */
enum {
    KL_SIZE_ADD = -1,
    KL_SIZE_MUL = -2,
    KL_SIZE_DIV = -3 /* floor */,
    KL_SIZE_MOD = -4,
    KL_SIZE_MAX = -5,
    KL_SIZE_MIN = -6,
    KL_SIZE_NEG = -7,
    KL_SIZE_SYM = INT32_MIN /* + i */
};
typedef struct kl_size {
    const int64_t *code;
    int32_t len;
} kl_size; /* len 1: a constant */
int64_t kl_size_eval(kl_size s, const int64_t *syms);
#define KL_SIZE_DEPTH 64 /* most values on its stack */
/* Whether it leaves one value, never needs more places, and knows all its symbols. */
bool kl_size_valid(kl_size s, int nsyms);

typedef enum kl_slot_kind {
    KL_SLOT_IN,
    KL_SLOT_OUT,
    KL_SLOT_ARENA,
    KL_SLOT_CONST
} kl_slot_kind;
typedef struct kl_slot { /* one buffer of the program */
    kl_slot_kind kind;
    kl_dtype dtype;
    int32_t index;   /* IN, OUT: which; CONST: offset in program->constants */
    int32_t donated; /* OUT: 1 + the input whose memory it takes over, 0: none */
    kl_size offset;  /* ARENA: bytes from the arena's start */
    kl_size bytes;
    const char *name;
    int32_t rank; /* what a native function is told */
    const kl_size *shape;
} kl_slot;

/* LOOP and BRANCH run programs within the program, on its slots and in its arena; they
 * see the same symbols and set the same error word.
 *
 *   LOOP    slots: what the body is given, where its results go, with `other` a flag, its
 * arena. The first ncarry inputs are carried: input i is also what result i replaces. It
 * lies in its input's slot before and after; where its result has another slot the two
 * take turns. Other inputs and results are scanned: each trip has the next element. A
 * loop makes `trips`, or as many as `other`, asked on the carried values before each,
 * says. BRANCH  slots: a bool, what either side is given, where results go, its arena. */
typedef enum kl_step_kind {
    KL_STEP_LAUNCH,
    KL_STEP_COPY,
    KL_STEP_FILL,
    KL_STEP_CALL,
    KL_STEP_LOOP,
    KL_STEP_BRANCH
} kl_step_kind;
typedef struct kl_plan_phase {
    kl_size workers;
    int64_t grain;
    int32_t group, lane;
    kl_size shared;
} kl_plan_phase;
typedef struct kl_step {
    kl_step_kind kind;
    const char
        *name; /* the kernel's name: also its phases' entry prefix, NAME.0, NAME.1 */
    const char *place; /* the user's source */
    int32_t kernel;    /* LAUNCH: index into program->kernels */
    int32_t nslots;    /* operands in the kernel's order; CALL: inputs then outputs;
                          COPY: destination then source; FILL: destination */
    const int32_t *slots;
    int32_t ndims; /* LAUNCH: the kernel's symbols, each a kl_size */
    const kl_size *dims;
    int32_t nphases;
    const kl_plan_phase *phases;
    kl_size scratch;    /* LAUNCH: bytes of one worker's tiles */
    const char *symbol; /* CALL: a registered native function */
    int64_t value;      /* FILL: byte */
    int32_t ncarry;     /* LOOP: see above; CALL: how many slots are inputs */
    kl_size trips;      /* LOOP without `other`; else 0 */
    struct kl_program *body,
        *other;          /* LOOP: other NULL: trips counts. BRANCH: true, false */
    double flops, bytes; /* per launch, at the hinted sizes: for reports */
} kl_step;

typedef struct kl_kernel_code {
    kl_hash key;
    const char *name;
    kl_module *module;
    void *entry[8];
} kl_kernel_code;
typedef struct kl_port {
    const char *name;
    kl_dtype dtype;
    int32_t rank;
    const kl_size *shape;
} kl_port;
typedef struct kl_program {
    const char *name;
    int32_t device;
    int32_t nsyms; /* symbols: bound from input extents in order of first appearance */
    const char *const *sym_names;
    const int64_t *sym_min, *sym_max, *sym_div;
    int32_t nin, nout;
    const kl_port *in, *out;
    int32_t nslots, nsteps, nkernels;
    const kl_slot *slots;
    const kl_step *steps;
    kl_kernel_code *kernels;
    const void *constants;
    size_t nconstants;
    kl_size arena;    /* exact peak of intermediate bytes */
    kl_arena *memory; /* owns everything above */
    int32_t refs;     /* atomic */
} kl_program;
int64_t kl_port_bytes(const kl_port *p, const int64_t *syms);
kl_program *kl_program_ref(kl_program *p);
void kl_program_unref(kl_program *p);
/* Run on dense host or device pointers (in order in, out); syms are bound from shapes by
 * the caller. error, if not NULL, receives the program's error word. Re-entrant. */
kl_status kl_program_run(const kl_program *p, void *const *in, void *const *out,
                         const int64_t *syms);
/* times (may be NULL): gets each step's nanoseconds, on a GPU those of its launch. */
kl_status kl_program_run_timed(const kl_program *p, void *const *in, void *const *out,
                               const int64_t *syms, int64_t *times);
void kl_program_pool_clear(void); /* blocks kept for the next call go */
/* Exact bytes of the arena for these symbol values. */
int64_t kl_program_peak(const kl_program *p, const int64_t *syms);
/* Exact bytes that a run takes from the pool at its peak: arena, workers' tiles, loops.
 */
int64_t kl_program_need(const kl_program *p, const int64_t *syms);
/* KL_ERR_OOM when that and so many bytes more are above what kl_set_memory_limit allows.
 */
kl_status kl_program_admit(const kl_program *p, const int64_t *syms, int64_t more);
/* Whether everything that it names is there: KL_ERR_PARSE naming the part. */
kl_status kl_program_verify(const kl_program *p);
void kl_program_print(const kl_program *p, kl_text *out);         /* level "plan" */
void kl_size_print(const kl_program *p, kl_size s, kl_text *out); /* "4*B+1" */
/* Both give a verified plan without code: kernels' modules are NULL, their keys as kept.
 */
kl_status kl_program_parse(const char *file, const char *text, kl_program **out);
kl_status kl_program_unpack(const void *bytes, size_t size, kl_program **out);
kl_status kl_program_pack(const kl_program *p,
                          kl_text *out); /* appended: for the store */

/* ---- store.c, disk.c: kernels and plans by content ---- */

/* In memory under a byte cap (least recently
 * used goes first), behind it a folder: 0700, ours, entries with a header (magic,
 * machine, build, key, 128-bit checksum), written to a temporary name and renamed, so
 * that processes may share it and torn or foreign entries are ignored and replaced. A
 * full or read-only folder works and says so once under KILN_DEBUG. The key must be made
 * from everything that the bytes depend on but the build of kiln: text and target. */

/* KL_OK with *bytes NULL: a miss; else the caller's to kl_free(*bytes, *size). kind: at
 * most 15 letters. */
kl_status kl_store_get(kl_hash key, const char *kind, void **bytes, size_t *size);
void kl_store_put(kl_hash key, const char *kind, const void *bytes, size_t size);
void kl_store_drop(kl_hash key, const char *kind);
const char *kl_store_folder(void);  /* "" : memory only */
void kl_store_trim(int64_t most);   /* memory and folder, to at most so many bytes each */
void kl_store_forget(int64_t most); /* memory only */

/* The folder alone; no failure is recorded. get: NULL and why not. */
const char *kl_disk_folder(void);
void *kl_disk_get(kl_hash key, const char *kind, size_t *size, const char **why);
void kl_disk_put(kl_hash key, const char *kind, const void *bytes, size_t size);
void kl_disk_drop(kl_hash key, const char *kind);
void kl_disk_trim(int64_t most);
typedef struct kl_disk_entry {
    kl_hash key;
    char kind[16];
    int64_t size, used; /* bytes of the file; seconds since 1970 */
    kl_hash build;      /* that wrote it */
    int machine;        /* ELF's number */
    bool ours, whole;   /* written by this build for this machine; its checksum fits */
} kl_disk_entry;
kl_hash kl_disk_build(int *machine); /* this build and machine */
void kl_disk_list(void (*visit)(void *user, const kl_disk_entry *e), void *user);

/* ---- module.c: loaded modules by key ---- */

/* Two threads that need one kernel compile it once: the first caller of begin gets *mine
 * true and must end (with a module or NULL); others wait, or without wait get neither.
 * *out is a new reference, or NULL when mine. The table holds references of its own to
 * at most 4096 modules, least recently used dropped first; end borrows m. */
kl_status kl_modules_begin(kl_hash key, int device, bool wait, kl_module **out,
                           bool *mine);
void kl_modules_end(kl_hash key, int device, kl_module *m);
void kl_modules_trim(int64_t most);
void kl_modules_drop_unused(void); /* those that no program holds */

/* ---- stats.c, profile.c ---- */

extern kl_counters
    kl_counts; /* updated with relaxed atomics: KL_TICK(kernels_launched) */
#define KL_TICK(field) ((void)__atomic_add_fetch(&kl_counts.field, 1, __ATOMIC_RELAXED))
#define KL_TICK_BY(field, n)                                                             \
    ((void)__atomic_add_fetch(&kl_counts.field, (n), __ATOMIC_RELAXED))
int64_t kl_now_ns(void);
bool kl_profile_on(void);
void kl_profile_event(const char *category, const char *name, int64_t begin_ns,
                      int64_t end_ns, double bytes, double flops);

/* ---- native.c, ffi.c: native functions with signatures known at run time ---- */

/* Registered functions: called by a plan's CALL steps as
 *     int fn(void *user, int nin, const kl_buffer *in, int nout, const kl_buffer *out)
 * or, by kl_ffi_call, with any C signature described by a string: result then arguments,
 * one letter each: v void, i int32, l int64, f float, d double, p pointer; "dp" or "d:p".
 */
typedef int (*kl_native_fn)(void *user, int nin, const kl_buffer *in, int nout,
                            const kl_buffer *out);
kl_status kl_native_register(const char *name, kl_native_fn fn, void *user);
kl_native_fn kl_native_find(const char *name, void **user);
kl_status kl_ffi_call(void (*fn)(void), const char *signature, void *result, void **args);
/* An ordinary C function pointer of that signature which calls back handler(user, result,
 * args). */
typedef struct kl_closure kl_closure;
kl_status kl_closure_new(const char *signature,
                         void (*handler)(void *user, void *result, void **args),
                         void *user, kl_closure **out);
void (*kl_closure_code(kl_closure *c))(void);
void kl_closure_free(kl_closure *c);

#endif
