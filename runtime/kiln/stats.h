/* kiln/stats.h: what this process has done so far, and its caches and threads. */
#ifndef KILN_STATS_H
#define KILN_STATS_H

#include "kiln/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Counters since the process began; they only grow, but for code_bytes. */
typedef struct kl_counters {
    int64_t kernels_launched;   /* kernels run, on any device */
    int64_t kernels_compiled;   /* kernels that LLVM or NVRTC made */
    int64_t kernels_from_disk;  /* kernels loaded from the store instead */
    int64_t programs_compiled;  /* graphs taken through the passes */
    int64_t programs_from_disk; /* whole programs found in the store */
    int64_t program_hits;       /* programs found in memory: nothing was made */
    int64_t programs_of_sizes;  /* of those compiled: with symbolic extents, for many sizes */
    int64_t program_sizes;      /* new sizes that such a program served: nothing was made */
    int64_t store_absent;       /* look-ups in the folder that missed: no such entry, */
    int64_t store_damaged;      /* or one that is torn, damaged or of another build */
    int64_t host_copies, device_copies; /* of tensors, each with its bytes */
    int64_t host_copy_bytes, device_copy_bytes;
    int64_t casts;       /* calls that changed a dtype */
    int64_t llvm_opened; /* 1 once LLVM was needed */
    int64_t code_bytes;  /* of machine code now mapped, in whole pages */
    int64_t pool_bytes;  /* intermediates of calls now running */
    int64_t pool_peak;   /* the most that they ever were */
} kl_counters;
KL_API kl_counters kl_stats(void);

/* Give back what is cached, least recently used first: entries in memory and in the
 * cache's folder (KILN_CACHE) until each holds at most so many bytes, and machine code
 * that no call is running, until at most so many bytes of it are mapped. 0: everything.
 * What is needed again is made again. Negative: an error. */
KL_API kl_status kl_cache_trim(int64_t bytes);

/* Refuse, before anything runs, a program whose peak (kl_plan) is above so many bytes:
 * KL_ERR_OOM naming both. 0: no limit. */
KL_API kl_status kl_set_memory_limit(int64_t bytes);

/* Look for NaNs in tensors computed on the host, not in calls of compiled functions (also
 * KILN_DEBUG=nan; off otherwise).
 * One that was made there is an error: the operation that made it, forward or backward,
 * the element, its operands, the user's line; and nothing of what was computed is kept.
 * The kernels are the same with it and without. Returns what it was. */
KL_API bool kl_set_nan_check(bool on);

/* Threads that kernels run on, of KILN_THREADS or the cores this process may use unless
 * set. No result depends on it. n is taken into 1 .. 1024. */
KL_API void kl_set_num_threads(int n);
KL_API int kl_num_threads(void);

/* Asked about every 50 ms while a thread waits for a program, on that thread and with what
 * kl_set_wait's begin gave: true gives the computation up, and the call fails with
 * KL_ERR_STOPPED. Nothing is half written; the same value can be asked for again. NULL:
 * nobody is asked. */
KL_API void kl_set_stop(bool (*stop)(void *token));

/* Between these, every kernel, compile and copy is noted with its thread, time, bytes and
 * floating-point operations; kl_profile_end writes them to path as a Chrome trace
 * (chrome://tracing, ui.perfetto.dev). KILN_PROFILE=path does so for a whole process. */
KL_API void kl_profile_begin(const char *path);
KL_API kl_status kl_profile_end(void);

/* Compile one kernel past every cache, run it and compare it with the reference
 * interpreter: KL_OK, or why this machine cannot (no LLVM found, executable memory
 * forbidden, ...). For the start of a long job. */
KL_API kl_status kl_selftest(void);

#ifdef __cplusplus
}
#endif
#endif
