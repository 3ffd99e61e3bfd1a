/* cuda_driver.c: opens CUDA's driver library and fills the table kl_cu. Nothing is
 * linked: a machine without libcuda.so.1 has no CUDA devices, and kl_cu_why says so in
 * one line.
 *
 *   kl_cu_open() -> dlopen("libcuda.so.1") -> dlsym of every row -> cuInit(0)
 *
 * The library is opened RTLD_LOCAL and stays open until the process ends, because the
 * driver keeps threads of its own. Invariant: kl_cu is written once, before kl_cu_open
 * first returns true, and only read afterwards. */
#include "cuda_driver.h"

#include <dlfcn.h>
#include <pthread.h>

kl_cu_table kl_cu;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool ready;
static bool forked;
static char why[256];

/* dlsym gives a data pointer; POSIX says that its bits are the function's address. */
static bool find(void *lib, const char *name, void *field)
{
    void *p = dlsym(lib, name);
    memcpy(field, &p, sizeof p);
    return p != NULL;
}

static bool fill_table(void *lib)
{
    const char *missing = NULL;
#define FIND(field, symbol, params)                                                      \
    if (!find(lib, #symbol, &kl_cu.field) && !missing)                                   \
        missing = #symbol;
    KL_CU_NEEDED(FIND)
    if (missing) {
        snprintf(why, sizeof why, "libcuda.so.1 has no %s: the driver is too old",
                 missing);
        return false;
    }
    KL_CU_POOLS(FIND)
#undef FIND
    kl_cu.pools = missing == NULL;
    return true;
}

static void in_child(void)
{
    __atomic_store_n(&forked, ready, __ATOMIC_RELEASE);
}

static void open_driver(void)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        const char *reason = dlerror();
        snprintf(why, sizeof why, "no CUDA driver (%s)",
                 reason ? reason : "libcuda.so.1 not found");
        return;
    }
    if (!fill_table(lib)) {
        dlclose(lib);
        return;
    }
    cu_result r = kl_cu.init(0);
    if (r != CU_OK) {
        const char *name = NULL;
        if (kl_cu.error_name(r, &name) != CU_OK || !name)
            name = "an unknown error";
        snprintf(why, sizeof why, "the CUDA driver did not start: cuInit gave %s", name);
        return;
    }
    ready = kl_at_fork(NULL, NULL, in_child);
    if (!ready)
        snprintf(why, sizeof why, "no room for the CUDA driver's fork handler");
}

bool kl_cu_forked(void)
{
    return __atomic_load_n(&forked, __ATOMIC_ACQUIRE);
}

bool kl_cu_open(void)
{
    if (kl_cu_forked())
        return false;
    pthread_once(&once, open_driver);
    return ready;
}

const char *kl_cu_why(void)
{
    if (kl_cu_forked())
        return "this process was forked after its parent had started CUDA, and CUDA does "
               "not survive fork: start it anew (in Python, multiprocessing's \"spawn\")";
    return why;
}

kl_status kl_cu_fail(int index, const char *doing, cu_result r)
{
    const char *name = NULL, *text = NULL;
    if (kl_cu.error_name(r, &name) != CU_OK || !name)
        name = "an unknown error";
    if (kl_cu.error_string(r, &text) != CU_OK || !text)
        text = "no text";
    kl_status s = r == CU_OUT_OF_MEMORY ? KL_ERR_OOM : KL_ERR_DEVICE;
    return kl_fail(s, "cuda:%d: %s: %s (%s)", index, doing, name, text);
}
