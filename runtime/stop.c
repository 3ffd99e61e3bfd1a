/* stop.c: giving up a computation that its host no longer wants (Ctrl-C).
 *
 * While a thread waits for a program, it asks the host now and then, between kernels and
 * between chunks of a long one:
 *
 *     watch ... kernel, ask?, kernel, chunk, ask?, chunk -> stop: the program fails
 *
 * Results lie in memory of their own until a program is done, so nothing is half written:
 * what was asked for can be computed again. Workers of the pool never ask. */
#include "runtime/runtime.h"

enum { EVERY_NS = 50000000 };

static bool (*asked)(void *token);
static _Thread_local kl_stop_watch now;

void kl_set_stop(bool (*stop)(void *token))
{
    asked = stop;
}

kl_stop_watch kl_stop_begin(void *token)
{
    kl_stop_watch before = now;
    now = (kl_stop_watch){.on = asked != NULL, .token = token};
    return before;
}

void kl_stop_end(kl_stop_watch before)
{
    now = before;
}

bool kl_stop_watched(void)
{
    return now.on;
}

bool kl_stopped(void)
{
    kl_fork_pause();
    if (!now.on || now.stopped)
        return now.stopped;
    int64_t t = kl_now_ns();
    if (!now.next)
        now.next = t + EVERY_NS;
    if (t < now.next)
        return false;
    uint32_t entries = kl_fork_off(); /* who forks may hold the host's lock */
    now.stopped = asked(now.token);
    kl_fork_on(entries);
    now.next = kl_now_ns() + EVERY_NS;
    return now.stopped;
}
