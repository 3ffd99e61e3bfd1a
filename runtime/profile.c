/* profile.c: what ran when, as a Chrome trace (chrome://tracing, ui.perfetto.dev).
 *
 *     KILN_PROFILE=trace.json net   ->   {"traceEvents": [{"name": "net.0", "cat":
 * "kernel", "ph": "X", "ts": 12.5, "dur": 3.25, ..}, ..]}
 *
 * Off, it costs one load. On, an event is 128 bytes in one array under a lock, up to a
 * fixed number, after which they are counted only. With KILN_PROFILE the trace is written
 * when the process ends. */
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EVENTS_MAX = 1 << 20, UNKNOWN = -1 };

typedef struct event {
    char name[64], category[16];
    int64_t begin, end;
    double bytes, flops;
    int32_t thread;
} event;

static int on = UNKNOWN;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char target[4096];
static event *events;
static size_t count, cap, lost;

static void at_end(void)
{
    kl_profile_end();
}

/* KILN_PROFILE, asked at the first question. */
static void read_env(void)
{
    const char *path = kl_env_get()->profile;
    if (path && *path) {
        kl_profile_begin(path);
        atexit(at_end);
    }
    int unknown = UNKNOWN;
    __atomic_compare_exchange_n(&on, &unknown, 0, false, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
}

bool kl_profile_on(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int v = __atomic_load_n(&on, __ATOMIC_ACQUIRE);
    if (v == UNKNOWN) {
        pthread_once(&once, read_env);
        v = __atomic_load_n(&on, __ATOMIC_ACQUIRE);
    }
    return v == 1;
}

void kl_profile_begin(const char *path)
{
    pthread_mutex_lock(&lock);
    snprintf(target, sizeof target, "%s", path);
    count = lost = 0;
    pthread_mutex_unlock(&lock);
    __atomic_store_n(&on, 1, __ATOMIC_RELEASE);
}

/* One more event, or NULL. */
static event *append(void)
{
    if (count == cap && cap < EVENTS_MAX) {
        size_t more = cap ? 2 * cap : 1024;
        event *p = kl_realloc(events, cap * sizeof *p, more * sizeof *p);
        if (p) {
            events = p;
            cap = more;
        }
    }
    if (count < cap)
        return &events[count++];
    lost++;
    return NULL;
}

void kl_profile_event(const char *category, const char *name, int64_t begin_ns,
                      int64_t end_ns, double bytes, double flops)
{
    static _Thread_local int32_t thread;
    if (!kl_profile_on())
        return;
    if (!thread)
        thread = (int32_t)syscall(SYS_gettid);
    pthread_mutex_lock(&lock);
    event *e = append();
    if (e) {
        *e = (event){.begin = begin_ns,
                     .end = end_ns,
                     .bytes = bytes,
                     .flops = flops,
                     .thread = thread};
        snprintf(e->name, sizeof e->name, "%s", name);
        snprintf(e->category, sizeof e->category, "%s", category);
    }
    pthread_mutex_unlock(&lock);
}

/* Nanoseconds as microseconds, which is what the format counts in. */
static void put_us(kl_text *t, int64_t ns)
{
    ns = KL_MAX(ns, 0);
    kl_text_printf(t, "%lld.%03d", (long long)(ns / 1000), (int)(ns % 1000));
}

static void put_event(kl_text *t, const event *e)
{
    int64_t ns = KL_MAX(e->end - e->begin, 1);
    kl_text_put(t, "{\"name\":");
    kl_text_put_json(t, e->name);
    kl_text_put(t, ",\"cat\":");
    kl_text_put_json(t, e->category);
    kl_text_printf(t, ",\"ph\":\"X\",\"pid\":%ld,\"tid\":%d,\"ts\":", (long)getpid(),
                   e->thread);
    put_us(t, e->begin);
    kl_text_put(t, ",\"dur\":");
    put_us(t, e->end - e->begin);
    if (e->bytes > 0 || e->flops > 0) {
        kl_text_put(t, ",\"args\":{\"GB/s\":");
        kl_text_put_float(t, KL_F32, e->bytes / (double)ns);
        kl_text_put(t, ",\"GFLOP/s\":");
        kl_text_put_float(t, KL_F32, e->flops / (double)ns);
        kl_text_put(t, "}");
    }
    kl_text_put(t, "}");
}

static kl_status write_trace(void)
{
    kl_text t = {0};
    kl_writer *w;
    KL_TRY(kl_writer_open(target, &w));
    kl_text_put(&t, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    for (size_t i = 0; i < count; i++) {
        put_event(&t, &events[i]);
        kl_text_put(&t, i + 1 < count ? ",\n" : "\n");
        if (t.len > 1 << 16 && !t.failed) { /* piece by piece: traces are long */
            kl_writer_put(w, t.s, t.len);
            t.len = 0;
        }
    }
    kl_text_printf(&t, "],\"otherData\":{\"events lost\":%zu}}\n", lost);
    kl_status s = t.failed ? kl_fail(KL_ERR_OOM, "%s: out of memory", target) : KL_OK;
    if (s == KL_OK)
        kl_writer_put(w, t.s, t.len);
    kl_text_free(&t);
    return kl_writer_close(w, s);
}

kl_status kl_profile_end(void)
{
    kl_status s = KL_OK;
    if (!kl_profile_on())
        return s;
    __atomic_store_n(&on, 0, __ATOMIC_RELEASE);
    pthread_mutex_lock(&lock);
    s = write_trace();
    kl_free(events, cap * sizeof *events);
    events = NULL;
    count = cap = 0;
    pthread_mutex_unlock(&lock);
    return s;
}
