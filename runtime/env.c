/* env.c: the KILN_* variables, read once, at the first question.
 *
 * Values are copied, for the environment may change under us. One that makes no sense
 * counts as not set, and under KILN_DEBUG a line says so. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdlib.h>

static kl_env env;
static bool known;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    char cache[4096], device[64], dump[1024], profile[4096];
} copies;

static void copy_text(const char *name, char *copy, size_t cap, const char **out)
{
    const char *s = getenv(name);
    *out = NULL;
    if (s && strlen(s) < cap)
        *out = strcpy(copy, s);
    else if (s && env.debug)
        fprintf(stderr, "kiln: %s is too long, ignored\n", name);
}

static int64_t number(const char *name, int64_t lo, int64_t hi, int64_t otherwise)
{
    const char *s = getenv(name);
    int64_t v;
    if (!s || !*s)
        return otherwise;
    const char *end = kl_scan_int(s, &v);
    if (end != s && !*end && v >= lo && v <= hi)
        return v;
    if (env.debug)
        fprintf(stderr, "kiln: %s=%s is not a number from %lld to %lld, ignored\n", name,
                s, (long long)lo, (long long)hi);
    return otherwise;
}

/* KILN_DEBUG is a list of 1, bounds and nan: "1,bounds". */
static bool debug_has(const char *word)
{
    const char *s = getenv("KILN_DEBUG");
    size_t n = strlen(word);
    for (; s && *s; s += strcspn(s, ","), s += *s == ',')
        if (!strncmp(s, word, n) && (s[n] == 0 || s[n] == ','))
            return true;
    return false;
}

static void read_all(void)
{
    env.debug = debug_has("1");
    env.bounds = debug_has("bounds");
    env.nan = debug_has("nan");
    env.threads = (int)number("KILN_THREADS", 1, 1024, 0);
    env.cache_max = number("KILN_CACHE_MAX", 0, INT64_MAX, (int64_t)1 << 30);
    env.verify = (int)number("KILN_VERIFY", 0, 2, -1);
    env.no_compile = number("KILN_NO_COMPILE", 0, 1, 0) == 1;
    env.tune_ms = (int)number("KILN_TUNE", 0, 1 << 30, 0);
    copy_text("KILN_CACHE", copies.cache, sizeof copies.cache, &env.cache);
    copy_text("KILN_DEVICE", copies.device, sizeof copies.device, &env.device);
    copy_text("KILN_DUMP", copies.dump, sizeof copies.dump, &env.dump);
    copy_text("KILN_PROFILE", copies.profile, sizeof copies.profile, &env.profile);
    __atomic_store_n(&known, true, __ATOMIC_RELEASE);
}

const kl_env *kl_env_get(void)
{
    if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE))
        pthread_once(&once, read_all);
    return &env;
}

void kl_set_batch_invariant(bool on)
{
    kl_env_get();
    __atomic_store_n(&env.batch_invariant, on, __ATOMIC_RELAXED);
}

void kl_debug(const char *fmt, ...)
{
    if (!kl_env_get()->debug)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "kiln: %s\n", line); /* one call: lines of threads do not mix */
}
