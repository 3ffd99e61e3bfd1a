/* nvrtc.c: the stand-in libnvrtc.so. It compiles CUDA text with the host's C++ compiler
 * behind harness.hpp; the shared object's bytes are the "cubin", and the same bytes in
 * hexadecimal under a ".version" line the "PTX". So the very text that NVRTC would be
 * given is compiled and can run anywhere.
 *
 *   text -> text + an entry for each __global__ function -> c++ -c -fsanitize=thread
 *        -> c++ -shared (without the sanitizer's library: harness.hpp defines its calls)
 *
 * The build gives STANDIN_CXX (the compiler) and STANDIN_DIR (this folder). */
#include <ctype.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum {
    OK,
    OUT_OF_MEMORY,
    CREATION_FAILED,
    INVALID_INPUT,
    INVALID_PROGRAM,
    INVALID_OPTION,
    COMPILATION
};

typedef struct program {
    char *text, *name, *log, *object, *ptx;
    size_t log_size, object_size;
    char arch[16];
} program;

extern char **environ;
static const int archs[] = {75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121};

/* ---- what is asked first ---- */

EXPORT const char *nvrtcGetErrorString(int r)
{
    static const char *const names[] = {"NVRTC_SUCCESS",
                                        "NVRTC_ERROR_OUT_OF_MEMORY",
                                        "NVRTC_ERROR_PROGRAM_CREATION",
                                        "NVRTC_ERROR_INVALID_INPUT",
                                        "NVRTC_ERROR_INVALID_PROGRAM",
                                        "NVRTC_ERROR_INVALID_OPTION",
                                        "NVRTC_ERROR_COMPILATION"};
    return r >= 0 && r <= COMPILATION ? names[r] : "NVRTC_ERROR_INTERNAL_ERROR";
}

EXPORT int nvrtcVersion(int *major, int *minor)
{
    *major = 13;
    *minor = 0;
    return OK;
}

EXPORT int nvrtcGetNumSupportedArchs(int *n)
{
    *n = sizeof archs / sizeof *archs;
    return OK;
}

EXPORT int nvrtcGetSupportedArchs(int *out)
{
    memcpy(out, archs, sizeof archs);
    return OK;
}

/* ---- programs ---- */

EXPORT int nvrtcDestroyProgram(program **pp)
{
    program *p = *pp;
    if (!p)
        return INVALID_PROGRAM;
    free(p->text);
    free(p->name);
    free(p->log);
    free(p->object);
    free(p->ptx);
    free(p);
    *pp = NULL;
    return OK;
}

EXPORT int nvrtcCreateProgram(program **pp, const char *text, const char *name, int n,
                              const char *const *h, const char *const *h_names)
{
    (void)h, (void)h_names;
    program *p = n == 0 && text ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return text && n == 0 ? OUT_OF_MEMORY : INVALID_INPUT;
    p->text = strdup(text);
    p->name = strdup(name ? name : "default_program");
    p->log = strdup("");
    p->log_size = 1;
    *pp = p;
    if (p->text && p->name && p->log)
        return OK;
    nvrtcDestroyProgram(pp);
    return OUT_OF_MEMORY;
}

/* ---- the text that is compiled ---- */

static const char *skip_space(const char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

/* Behind "__global__": void and __launch_bounds__(N) in either order, then the name. */
static const char *read_kernel(const char *s, char *name, size_t cap, int *threads)
{
    *threads = 0;
    for (;;) {
        s = skip_space(s);
        size_t n = 0;
        while (isalnum((unsigned char)s[n]) || s[n] == '_')
            n++;
        if (n == 0 || n >= cap)
            return NULL;
        if (n == 17 && strncmp(s, "__launch_bounds__", n) == 0) {
            *threads = (int)strtol(skip_space(s + n) + 1, NULL, 10);
            s = strchr(s, ')');
            if (!s)
                return NULL;
            s++;
        } else if (n == 4 && strncmp(s, "void", n) == 0) {
            s += n;
        } else {
            memcpy(name, s, n);
            name[n] = 0;
            return s + n;
        }
    }
}

static void write_text(const program *p, FILE *f)
{
    char name[256];
    int threads;
    fprintf(f, "#line 1 \"%s\"\n%s\n", p->name, p->text);
    for (const char *s = p->text; (s = strstr(s, "__global__"));) {
        s += 10;
        if (read_kernel(s, name, sizeof name, &threads))
            fprintf(f, "KL_ENTRY(%s)\n", name);
    }
    fprintf(f, "#define KL_ROWS");
    for (const char *s = p->text; (s = strstr(s, "__global__"));) {
        s += 10;
        if (read_kernel(s, name, sizeof name, &threads))
            fprintf(f, " KL_ROW(%s, %d)", name, threads);
    }
    fprintf(f, "\nKL_MODULE(KL_ROWS)\n");
}

/* ---- running the compiler ---- */

static int run(const char *const *args, const char *log)
{
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
    int e = posix_spawnp(&pid, args[0], &actions, NULL, (char *const *)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (e != 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *read_all(const char *path, size_t *size)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    if (!f || fstat(fileno(f), &st) != 0) {
        if (f)
            fclose(f);
        return NULL;
    }
    char *s = calloc(1, (size_t)st.st_size + 1);
    *size = s ? fread(s, 1, (size_t)st.st_size, f) : 0;
    fclose(f);
    return s;
}

static int compile_in(program *p, const char *folder)
{
    char source[300], object[300], shared[300], log[300];
    snprintf(source, sizeof source, "%s/k.cpp", folder);
    snprintf(object, sizeof object, "%s/k.o", folder);
    snprintf(shared, sizeof shared, "%s/k.so", folder);
    snprintf(log, sizeof log, "%s/log", folder);
    FILE *f = fopen(source, "w");
    if (!f)
        return OUT_OF_MEMORY;
    write_text(p, f);
    fclose(f);
    const char *compile[] = {STANDIN_CXX,
                             "-std=c++17",
                             "-c",
                             "-O1",
                             "-fPIC",
                             "-w",
                             "-fsanitize=thread",
                             "-fvisibility=hidden",
                             "-ffp-contract=off",
                             "-fno-math-errno",
                             "-fno-strict-aliasing",
                             "-fno-exceptions",
                             "-fno-rtti",
                             "-fno-stack-protector",
                             "-nostdinc",
                             "-include",
                             STANDIN_DIR "/harness.hpp",
                             source,
                             "-o",
                             object,
                             NULL};
    const char *link[] = {STANDIN_CXX, "-shared", "-nostartfiles", object,
                          "-lm",       "-o",      shared,          NULL};
    bool ok = run(compile, log) == 0 && run(link, log) == 0;
    free(p->log);
    p->log_size = 0;
    p->log = read_all(log, &p->log_size);
    p->log_size++; /* read_all puts a NUL behind what it read */
    p->object = ok ? read_all(shared, &p->object_size) : NULL;
    unlink(source), unlink(object), unlink(shared), unlink(log);
    return !p->log ? OUT_OF_MEMORY : p->object ? OK : COMPILATION;
}

static int check_options(program *p, int n, const char *const *options)
{
    static const char *const known[] = {"--std=",           "--fmad=false",
                                        "--ftz=false",      "--prec-div=true",
                                        "--prec-sqrt=true", "--ptxas-options="};
    for (int i = 0; i < n; i++) {
        bool ok = false;
        if (strncmp(options[i], "--gpu-architecture=", 19) == 0) {
            snprintf(p->arch, sizeof p->arch, "%.15s", options[i] + 19);
            ok = true;
        }
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            ok |= strncmp(options[i], known[k], strlen(known[k])) == 0;
        if (!ok)
            return INVALID_OPTION;
    }
    return OK;
}

EXPORT int nvrtcCompileProgram(program *p, int n, const char *const *options)
{
    const char *tmp = getenv("TMPDIR");
    char folder[256];
    int r = check_options(p, n, options);
    if (r != OK)
        return r;
    snprintf(folder, sizeof folder, "%.200s/kl-nvrtc-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return OUT_OF_MEMORY;
    r = compile_in(p, folder);
    rmdir(folder);
    return r;
}

/* ---- what comes out ---- */

EXPORT int nvrtcGetProgramLogSize(program *p, size_t *n)
{
    *n = p->log_size;
    return OK;
}

EXPORT int nvrtcGetProgramLog(program *p, char *out)
{
    memcpy(out, p->log, p->log_size);
    return OK;
}

EXPORT int nvrtcGetCUBINSize(program *p, size_t *n)
{
    bool real = strncmp(p->arch, "sm_", 3) == 0;
    *n = real ? p->object_size : 0;
    return real && p->object ? OK : INVALID_PROGRAM;
}

EXPORT int nvrtcGetCUBIN(program *p, char *out)
{
    memcpy(out, p->object, p->object_size);
    return OK;
}

static const char ptx_head[] = ".version 9.0\n.target stand-in\n";

EXPORT int nvrtcGetPTXSize(program *p, size_t *n)
{
    *n = sizeof ptx_head + 2 * p->object_size;
    return p->object ? OK : INVALID_PROGRAM;
}

EXPORT int nvrtcGetPTX(program *p, char *out)
{
    out += sprintf(out, "%s", ptx_head);
    for (size_t i = 0; i < p->object_size; i++) {
        *out++ = "0123456789abcdef"[(unsigned char)p->object[i] >> 4];
        *out++ = "0123456789abcdef"[p->object[i] & 15];
    }
    *out = 0;
    return OK;
}
