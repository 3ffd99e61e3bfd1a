/* nvrtc.c: CUDA C text to PTX or cubin through NVRTC, opened by dlopen at its first use.
 *
 *   kl_nvrtc_compile("head", text, "sm_90a", KL_NVRTC_CUBIN, &code)
 *       -> nvrtcCreateProgram -> nvrtcCompileProgram -> nvrtcGetCUBIN ->
 * nvrtcDestroyProgram
 *
 * Where it is looked for: each folder of LD_LIBRARY_PATH in order, under every name that
 * NVRTC has had (so a copy in a Python site-packages folder named there counts, and the
 * first folder wins whatever its version), then the system's own search, then
 * /usr/local/cuda.
 *
 * An architecture that this NVRTC has not heard of gets PTX for the nearest older one
 * that it knows, which the driver finishes; kl_nvrtc_code.cubin says which it became. The
 * options make arithmetic exactly IEEE 754: no contraction, denormals kept, division and
 * square root correctly rounded. One text may hold any number of kernels. NVRTC itself is
 * safe to call from several threads. */
#include "codegen.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct _nvrtcProgram *program;

/* F(field, symbol, parameters) */
#define FUNCTIONS(F)                                                                     \
    F(version, nvrtcVersion, (int *major, int *minor))                                   \
    F(count_archs, nvrtcGetNumSupportedArchs, (int *n))                                  \
    F(archs, nvrtcGetSupportedArchs, (int *archs))                                       \
    F(create, nvrtcCreateProgram,                                                        \
      (program * p, const char *text, const char *name, int n, const char *const *h,     \
       const char *const *h_names))                                                      \
    F(destroy, nvrtcDestroyProgram, (program * p))                                       \
    F(compile, nvrtcCompileProgram, (program p, int n, const char *const *options))      \
    F(ptx_size, nvrtcGetPTXSize, (program p, size_t * n))                                \
    F(ptx, nvrtcGetPTX, (program p, char *out))                                          \
    F(cubin_size, nvrtcGetCUBINSize, (program p, size_t * n))                            \
    F(cubin, nvrtcGetCUBIN, (program p, char *out))                                      \
    F(log_size, nvrtcGetProgramLogSize, (program p, size_t * n))                         \
    F(log, nvrtcGetProgramLog, (program p, char *out))
#define FIELD(field, symbol, params) int(*field) params;

static struct {
    FUNCTIONS(FIELD)
    const char *(*error_string)(int result);
} rt;

enum { RT_OUT_OF_MEMORY = 1, MAX_ARCHS = 64 };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;
static char why[512], version[16];
static int major, minor, archs[MAX_ARCHS], n_archs;

static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12",
                                    "libnvrtc.so.11.2", "libnvrtc.so"};
static const char *const usual[] = {"/usr/local/cuda/lib64", "/usr/local/cuda/lib"};

/* ---- opening ---- */

static void *open_in(const char *folder, size_t len)
{
    char path[4096];
    for (size_t i = 0; len && i < KL_COUNT(names); i++) {
        int n = snprintf(path, sizeof path, "%.*s/%s", (int)len, folder, names[i]);
        if (n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0) {
            void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
            if (lib)
                return lib;
        }
    }
    return NULL;
}

static void *open_library(void)
{
    void *lib = NULL;
    const char *p = secure_getenv("LD_LIBRARY_PATH");
    while (!lib && p && *p) {
        size_t n = strcspn(p, ":;");
        lib = open_in(p, n);
        p += n + (p[n] != 0);
    }
    for (size_t i = 0; !lib && i < KL_COUNT(names); i++)
        lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; !lib && i < KL_COUNT(usual); i++)
        lib = open_in(usual[i], strlen(usual[i]));
    return lib;
}

/* dlsym gives a data pointer; POSIX says that its bits are the function's address. */
static const char *find(void *lib, const char *name, void *field, const char *missing)
{
    void *p = dlsym(lib, name);
    memcpy(field, &p, sizeof p);
    return p || missing ? missing : name;
}

static void read_archs(void)
{
    int n = 0;
    if (rt.count_archs(&n) != 0 || n < 0 || n > MAX_ARCHS || rt.archs(archs) != 0)
        n = 0;
    n_archs = n;
}

static void open_once(void)
{
    void *lib = open_library();
    if (!lib) {
        snprintf(
            why, sizeof why,
            "NVRTC not found: libnvrtc.so.13, .12, .11.2 or libnvrtc.so in "
            "LD_LIBRARY_PATH or the system's folders (PyPI's nvidia-cuda-nvrtc has it)");
        return;
    }
    const char *missing = NULL;
#define FIND(field, symbol, params) missing = find(lib, #symbol, &rt.field, missing);
    FUNCTIONS(FIND)
    missing = find(lib, "nvrtcGetErrorString", &rt.error_string, missing);
    if (missing || rt.version(&major, &minor) != 0) {
        snprintf(why, sizeof why, "NVRTC is older than 11.2: it has no %s",
                 missing ? missing : "version");
        dlclose(lib);
        return;
    }
    snprintf(version, sizeof version, "%d.%d", major, minor);
    read_archs();
    if (n_archs == 0)
        snprintf(why, sizeof why, "NVRTC %s names no architecture", version);
    ready = n_archs > 0;
}

bool kl_nvrtc_found(void)
{
    pthread_once(&once, open_once);
    return ready;
}

const char *kl_nvrtc_version(void)
{
    return kl_nvrtc_found() ? version : "";
}

/* ---- architectures ---- */

/* "sm_90a" is 90 with the suffix 'a'; 0 when it is not an architecture's name. */
static int parse_arch(const char *arch, char *suffix)
{
    int n = 0;
    const char *p = strncmp(arch, "sm_", 3) == 0 ? arch + 3 : "";
    for (; *p >= '0' && *p <= '9' && n < 10000; p++)
        n = n * 10 + (*p - '0');
    *suffix = *p;
    bool ends = *p == 0 || ((*p == 'a' || *p == 'f') && p[1] == 0);
    return n >= 20 && ends ? n : 0;
}

static kl_status older_arch(const char *arch, int wanted, int *best)
{
    int oldest = archs[0];
    *best = 0;
    for (int i = 0; i < n_archs; i++) {
        oldest = KL_MIN(oldest, archs[i]);
        if (archs[i] <= wanted && archs[i] > *best)
            *best = archs[i];
    }
    if (*best)
        return KL_OK;
    return kl_fail(KL_ERR_UNSUPPORTED, "NVRTC %s compiles for sm_%d and newer, not %s",
                   version, oldest, arch);
}

/* What to ask NVRTC for: "sm_90a" for a cubin, "compute_90a" for PTX. The suffix
 * (features of this architecture alone) has no meaning on an older one. */
static kl_status choose_arch(const char *arch, kl_nvrtc_form form, kl_nvrtc_code *out)
{
    int best;
    char suffix = 0;
    int wanted = parse_arch(arch, &suffix);
    if (!wanted)
        return kl_fail(KL_ERR_ARG, "unknown CUDA architecture '%s': sm_80, sm_90a, ...",
                       arch);
    KL_TRY(older_arch(arch, wanted, &best));
    char tail[2] = {best == wanted ? suffix : 0, 0};
    out->cubin = form == KL_NVRTC_CUBIN && best == wanted;
    snprintf(out->arch, sizeof out->arch, "%s_%d%s", out->cubin ? "sm" : "compute", best,
             tail);
    return KL_OK;
}

/* ---- compiling ---- */

/* The first line of NVRTC's log that says "error", into the one-line message. */
static kl_status refused(const char *name, const char *arch, int result, const char *log)
{
    const char *line = strstr(log, "error");
    while (line && line > log && line[-1] != '\n')
        line--;
    kl_fail_log(log);
    if (!line)
        line = rt.error_string(result);
    return kl_fail(KL_ERR_COMPILE, "NVRTC %s refused %s for %s: %.*s", version, name,
                   arch, (int)strcspn(line, "\n"), line);
}

/* The sum of the numbers behind each occurrence of a phrase of ptxas. */
static int64_t sum_behind(const char *log, const char *phrase)
{
    int64_t sum = 0;
    for (const char *p = log; (p = strstr(p, phrase));) {
        p += strlen(phrase);
        sum += strtol(p, NULL, 10);
    }
    return sum;
}

/* "0 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads", "Used 32 registers".
 */
static void read_ptxas(const char *log, kl_nvrtc_code *out)
{
    if (strstr(log, "bytes spill stores"))
        out->spill_bytes = sum_behind(log, "bytes stack frame, ") +
                           sum_behind(log, "bytes spill stores, ");
    for (const char *p = log; (p = strstr(p, "Used ")); p++)
        out->registers = KL_MAX(out->registers, (int)strtol(p + 5, NULL, 10));
}

static kl_status call_failed(const char *name, const char *doing, int result)
{
    if (result == RT_OUT_OF_MEMORY)
        return kl_fail(KL_ERR_OOM, "NVRTC %s: %s: out of memory", version, name);
    return kl_fail(KL_ERR_COMPILE, "NVRTC %s: %s: %s: %s", version, name, doing,
                   rt.error_string(result));
}

/* *log is NULL or has size + 1 bytes. */
static kl_status read_log(program p, const char *name, char **log, size_t *size)
{
    *log = NULL;
    int r = rt.log_size(p, size);
    if (r != 0)
        return call_failed(name, "reading the log", r);
    *log = kl_alloc_zeroed(*size + 1);
    if (!*log)
        return kl_fail(KL_ERR_OOM, "NVRTC's log of %s", name);
    r = rt.log(p, *log);
    return r == 0 ? KL_OK : call_failed(name, "reading the log", r);
}

static kl_status read_code(program p, const char *name, kl_nvrtc_code *out)
{
    int r = (out->cubin ? rt.cubin_size : rt.ptx_size)(p, &out->size);
    if (r != 0)
        return call_failed(name, "reading the code", r);
    out->bytes = kl_alloc(out->size);
    if (!out->bytes)
        return kl_fail(KL_ERR_OOM, "%zu bytes of GPU code of %s", out->size, name);
    r = (out->cubin ? rt.cubin : rt.ptx)(p, out->bytes);
    return r == 0 ? KL_OK : call_failed(name, "reading the code", r);
}

static kl_status run_compiler(program p, const char *name, kl_nvrtc_code *out)
{
    char target[40], *log;
    size_t size = 0;
    snprintf(target, sizeof target, "--gpu-architecture=%s", out->arch);
    const char *options[] = {target,
                             "--std=c++17",
                             "--fmad=false",
                             "--ftz=false",
                             "--prec-div=true",
                             "--prec-sqrt=true",
                             "--ptxas-options=-v"};
    int r = rt.compile(p, (int)KL_COUNT(options) - !out->cubin, options);
    kl_status s = read_log(p, name, &log, &size);
    if (s == KL_OK && r == RT_OUT_OF_MEMORY)
        s = call_failed(name, "compiling", r);
    else if (s == KL_OK && r != 0)
        s = refused(name, out->arch, r, log);
    else if (s == KL_OK && out->cubin)
        read_ptxas(log, out);
    if (log)
        kl_free(log, size + 1);
    return s == KL_OK ? read_code(p, name, out) : s;
}

kl_status kl_nvrtc_compile(const char *name, const char *text, const char *arch,
                           kl_nvrtc_form form, kl_nvrtc_code *out)
{
    char file[128];
    program p = NULL;
    *out = (kl_nvrtc_code){.spill_bytes = -1};
    if (!kl_nvrtc_found())
        return kl_fail(KL_ERR_UNSUPPORTED, "%s", why);
    KL_TRY(choose_arch(arch, form, out));
    snprintf(file, sizeof file, "%s.cu", name);
    int r = rt.create(&p, text, file, 0, NULL, NULL);
    if (r != 0)
        return call_failed(name, "making a program", r);
    kl_status s = run_compiler(p, name, out);
    rt.destroy(&p);
    if (s != KL_OK)
        kl_nvrtc_free(out);
    return s;
}

void kl_nvrtc_free(kl_nvrtc_code *code)
{
    if (code->bytes)
        kl_free(code->bytes, code->size);
    *code = (kl_nvrtc_code){.spill_bytes = -1};
}
