/* error.c: how kiln says no.
 *
 * A failing call returns a status (or NULL) and leaves one line behind, per thread: the
 * first failure since kl_error_clear() is kept, because it is the cause; what fails after
 * it, fails because of it. The line lies in a fixed array, so that running out of memory
 * can be reported.
 *
 *     kl_fail(KL_ERR_SHAPE, "add: (%s) and (%s) do not broadcast", a, b);
 *     kl_error() -> "add: (3,) and (4,) do not broadcast (at net.c:12)"
 *
 * Only a compiler's log, which may be long, is on the heap; losing it loses nothing else.
 */
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdlib.h>

enum { MESSAGE_MAX = 1024, LOG_MAX = 64 * 1024 };

static _Thread_local struct {
    kl_status status;
    size_t len;
    char line[MESSAGE_MAX];
} failure;
static _Thread_local const char *current_place;

static const char *const status_names[KL_STATUS_COUNT] = {
    [KL_OK] = "ok",
    [KL_ERR_ARG] = "argument",
    [KL_ERR_SHAPE] = "shape",
    [KL_ERR_DTYPE] = "dtype",
    [KL_ERR_INDEX] = "index",
    [KL_ERR_OOM] = "out of memory",
    [KL_ERR_UNSUPPORTED] = "unsupported",
    [KL_ERR_PARSE] = "parse",
    [KL_ERR_COMPILE] = "compile",
    [KL_ERR_DEVICE] = "device",
    [KL_ERR_IO] = "io",
    [KL_ERR_STATE] = "state",
    [KL_ERR_INTERNAL] = "internal",
    [KL_ERR_NUMERIC] = "numeric",
    [KL_ERR_STOPPED] = "stopped",
};

const char *kl_status_name(kl_status s)
{
    return (unsigned)s < KL_STATUS_COUNT ? status_names[s] : "unknown status";
}

/* ---- the log: one block a thread, freed by kl_error_clear and when the thread ends ----
 */

typedef struct log_block {
    size_t size;
    char text[];
} log_block;
static pthread_key_t log_key;
static pthread_once_t log_once = PTHREAD_ONCE_INIT;
static bool log_key_made;

static void free_log(void *p)
{
    if (p)
        kl_free(p, ((log_block *)p)->size);
}

static void make_log_key(void)
{
    log_key_made = pthread_key_create(&log_key, free_log) == 0;
}

static log_block *get_log(void)
{
    pthread_once(&log_once, make_log_key);
    return log_key_made ? pthread_getspecific(log_key) : NULL;
}

void kl_fail_log(const char *log)
{
    if (!log || !*log || get_log() || !log_key_made)
        return;
    size_t n = strnlen(log, LOG_MAX);
    log_block *b = kl_alloc(sizeof *b + n + 1);
    if (!b)
        return;
    b->size = sizeof *b + n + 1;
    memcpy(b->text, log, n);
    b->text[n] = 0;
    if (pthread_setspecific(log_key, b) != 0)
        free_log(b);
}

const char *kl_error_log(void)
{
    log_block *b = get_log();
    return b ? b->text : "";
}

/* ---- the line ---- */

/* Names and bytes of files end up in messages: keep the message one line of text. A UTF-8
 * character cut by the array's end is dropped whole. */
static void tidy(size_t from, bool cut)
{
    for (size_t i = from; i < failure.len; i++) {
        unsigned char c = (unsigned char)failure.line[i];
        if (c < 32 || c == 127)
            failure.line[i] = ' ';
    }
    if (!cut)
        return;
    while (failure.len > from && (failure.line[failure.len - 1] & 0xC0) == 0x80)
        failure.len--;
    if (failure.len > from && (unsigned char)failure.line[failure.len - 1] >= 0xC0)
        failure.len--;
    failure.line[failure.len] = 0;
}

static void append(const char *fmt, va_list ap)
{
    size_t room = MESSAGE_MAX - failure.len, from = failure.len;
    int n = vsnprintf(failure.line + failure.len, room, fmt, ap);
    bool cut = n >= 0 && (size_t)n >= room;
    if (n > 0)
        failure.len = cut ? MESSAGE_MAX - 1 : failure.len + (size_t)n;
    failure.line[failure.len] = 0;
    tidy(from, cut);
}

void kl_fail_more(const char *fmt, ...)
{
    if (failure.status == KL_OK)
        return;
    va_list ap;
    va_start(ap, fmt);
    append(fmt, ap);
    va_end(ap);
}

kl_status kl_fail(kl_status s, const char *fmt, ...)
{
    if (failure.status != KL_OK)
        return s;
    failure.status = s == KL_OK ? KL_ERR_INTERNAL : s;
    failure.len = 0;
    va_list ap;
    va_start(ap, fmt);
    append(fmt, ap);
    va_end(ap);
    if (current_place)
        kl_fail_more(" (at %s)", current_place);
    return failure.status;
}

kl_status kl_error_set(kl_status s, const char *line)
{
    return kl_fail(s, "%s", line);
}

const char *kl_error(void)
{
    return failure.status == KL_OK ? "" : failure.line;
}
kl_status kl_error_status(void)
{
    return failure.status;
}
bool kl_failed(void)
{
    return failure.status != KL_OK;
}

void kl_error_clear(void)
{
    failure.status = KL_OK;
    failure.len = 0;
    failure.line[0] = 0;
    log_block *b = get_log();
    if (b && pthread_setspecific(log_key, NULL) == 0)
        free_log(b);
}

void kl_place_set(const char *place)
{
    current_place = place;
}
const char *kl_place(void)
{
    return current_place;
}

void kl_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "kiln: internal: %s (%s:%d)\n", what, file, line);
    if (failure.status != KL_OK)
        fprintf(stderr, "kiln: after: %s\n", failure.line);
    abort();
}
