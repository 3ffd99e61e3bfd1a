/* llvm_api.c: libLLVM, opened by dlopen on the first compile.
 *
 * libkiln links nothing of LLVM: a program that finds its kernels in the cache never maps
 * the 130 MB of it, and another LLVM in the process (PyTorch's, a driver's) keeps its own
 * symbols, since ours are RTLD_LOCAL. The rows of llvm_api.def become a struct of
 * pointers (LL in codegen.h) and here the list of names to look up:
 *
 *   LL_FN(LLVMContextRef, ContextCreate, (void))   ->   LL.ContextCreate =
 * "LLVMContextCreate"
 *
 * The library stays open for the life of the process: its code may be on some thread's
 * stack. */
#include "codegen/codegen.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

enum { OLDEST = 17, NEWEST = 19 };

/* Where each pointer stands in kl_llvm_api. */
typedef struct row {
    const char *symbol;
    size_t offset;
    bool optional;
} row;
static const row rows[] = {
#define LL_FN(result, name, params) {"LLVM" #name, offsetof(kl_llvm_api, name), false},
#define LL_OPT(result, name, params) {"LLVM" #name, offsetof(kl_llvm_api, name), true},
#include "codegen/llvm_api.def"
};

/* Debian's, Fedora's and upstream's names; newest first. */
static const char *const names[] = {
    "libLLVM.so.19.1",
    "libLLVM-19.so.1",
    "libLLVM-19.so",
    "libLLVM.so.18.1",
    "libLLVM-18.so.1",
    "libLLVM-18.so",
    "libLLVM-17.so.1",
    "libLLVM-17.so",
    "/usr/lib/llvm-19/lib/libLLVM.so",
    "/usr/lib/llvm-18/lib/libLLVM.so",
    NULL,
};

kl_llvm_api kl_llvm;
static _Atomic int version;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static kl_status check_version(void *so, const char *name, int *out)
{
    void (*get)(unsigned *, unsigned *, unsigned *);
    void *p = dlsym(so, "LLVMGetVersion");
    if (!p) /* it came with 16 */
        return kl_fail(KL_ERR_COMPILE, "%s is too old: kiln needs LLVM %d to %d", name,
                       OLDEST, NEWEST);
    memcpy(&get, &p, sizeof p);
    unsigned major, minor, patch;
    get(&major, &minor, &patch);
    if (major < OLDEST || major > NEWEST)
        return kl_fail(KL_ERR_COMPILE, "%s is LLVM %u.%u: kiln needs %d to %d", name,
                       major, minor, OLDEST, NEWEST);
    *out = (int)major;
    return KL_OK;
}

static kl_status fill(void *so, const char *name, kl_llvm_api *api)
{
    for (size_t i = 0; i < KL_COUNT(rows); i++) {
        void *p = dlsym(so, rows[i].symbol);
        if (!p && !rows[i].optional)
            return kl_fail(KL_ERR_COMPILE, "%s has no %s", name, rows[i].symbol);
        memcpy((char *)api + rows[i].offset, &p, sizeof p);
    }
    return KL_OK;
}

kl_status kl_llvm_open_from(const char *const *try, kl_llvm_api *api, int *major)
{
    const char *name = NULL;
    void *so = NULL;
    for (int i = 0; try[i] && !so; i++)
        so = dlopen(name = try[i], RTLD_LAZY | RTLD_LOCAL);
    if (!so)
        return kl_fail(
            KL_ERR_COMPILE,
            "no LLVM: none of %s, ... opens; install LLVM %d (Debian: libllvm%d)",
            try[0] ? try[0] : "(no name)", NEWEST, NEWEST);
    kl_status s = check_version(so, name, major);
    if (s == KL_OK)
        s = fill(so, name, api);
    if (s != KL_OK)
        dlclose(so);
    return s;
}

/* Only the targets we can name are registered, not all twenty. */
static void register_targets(void)
{
    void (*const init[])(void) = {
        LL.InitializeX86TargetInfo,     LL.InitializeX86Target,
        LL.InitializeX86TargetMC,       LL.InitializeX86AsmPrinter,
        LL.InitializeX86AsmParser,      LL.InitializeAArch64TargetInfo,
        LL.InitializeAArch64Target,     LL.InitializeAArch64TargetMC,
        LL.InitializeAArch64AsmPrinter,
    };
    for (size_t i = 0; i < KL_COUNT(init); i++)
        if (init[i])
            init[i]();
}

/* Our loops step through memory by addresses that are computed outside of them: reducing
 * their strength finds nothing, in a third of all compile time. */
static void set_options(void)
{
    static const char *const argv[] = {"kiln", "-disable-lsr"};
    LL.ParseCommandLineOptions((int)KL_COUNT(argv), argv, NULL);
}

int kl_llvm_version(void)
{
    return atomic_load_explicit(&version, memory_order_acquire);
}

kl_status kl_llvm_open(void)
{
    if (kl_llvm_version())
        return KL_OK;
    pthread_mutex_lock(&opening);
    kl_status s = KL_OK;
    int major = 0;
    if (!kl_llvm_version()) {
        s = kl_llvm_open_from(names, &kl_llvm, &major);
        if (s == KL_OK) {
            register_targets();
            set_options();
            LL.InstallFatalErrorHandler(kl_llvm_fatal);
            atomic_store_explicit(&version, major, memory_order_release);
            kl_debug("opened LLVM %d", major);
        }
    }
    pthread_mutex_unlock(&opening);
    return s;
}
