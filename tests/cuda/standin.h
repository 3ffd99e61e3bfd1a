/* standin.h: what the two stand-in libraries of this folder share, and what tests ask of
 * them.
 *
 *   libnvrtc.so   (nvrtc.c)   compiles the very same CUDA text with the host's C++
 * compiler behind harness.hpp, into a shared object: the "cubin" libcuda.so.1  (driver.c
 * memory, streams, modules; block.c: threads as fibers, barriers, race.c)    warp
 * exchanges; race.c: every load and store is looked at)
 *
 * Loads and stores are seen because the text is compiled with -fsanitize=thread, whose
 * calls
 * (__tsan_read4, ...) harness.hpp defines and hands to kl_host.access. Readable from C++.
 */
#ifndef KL_STANDIN_H
#define KL_STANDIN_H

typedef struct kl_index3 {
    unsigned x, y, z;
} kl_index3;

enum { KL_READ, KL_WRITE, KL_ATOMIC };

/* What a module is given: the machine. */
typedef struct kl_host {
    void (*access)(const void *p, unsigned long size, int kind);
    void (*barrier)(void);
    void (*warp_barrier)(unsigned mask);
    /* Each lane of mask gives size <= 16 bytes; all 32 slots come back (absent ones:
     * 0xff). */
    void (*exchange)(unsigned mask, const void *mine, unsigned size, void *all);
    void (*async_copy)(void *to, const void *from, int size, int valid);
    void (*async_commit)(void);
    void (*async_wait)(int pending);
    unsigned char *shared; /* the block's dynamic shared memory */
    kl_index3 thread, block, block_dim, grid_dim;
} kl_host;

typedef struct kl_host_entry {
    const char *name;
    void (*call)(void **params); /* each parameter is 8 bytes */
    int nparams;
    int max_threads; /* of __launch_bounds__; 0: not given */
} kl_host_entry;

/* The one symbol that a module exports: kl_standin_module. */
typedef struct kl_host_module {
    const kl_host_entry *entries;       /* the last has no name */
    kl_host **host;                     /* set when the module is loaded */
    unsigned char *shared, *shared_end; /* its __shared__ variables; NULL: none */
} kl_host_module;

/* What libcuda.so.1 tells tests: the symbol kl_standin. */
typedef struct kl_standin_state {
    long allocations, bytes;                        /* live device memory */
    long host_allocations;                          /* live pinned memory */
    long contexts, streams, events, pools, modules; /* live */
    long to_device, to_host, on_device, fills;      /* copies made so far */
    long launches, blocks, waits;
    long pending;          /* work not done yet */
    char message[512];     /* of the last fault; "" */
    void (*forgive)(void); /* a context that faulted stays broken until this is called */
} kl_standin_state;

#endif
