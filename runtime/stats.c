/* stats.c: counters that the tests and kl_stats() read, and the one clock. */
#include "runtime/runtime.h"

#include <time.h>

kl_counters kl_counts;

int64_t kl_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
