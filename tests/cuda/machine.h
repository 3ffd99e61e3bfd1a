/* machine.h: between the files of the stand-in libcuda.so.1.
 *
 *   driver.c  the cu* functions: contexts, streams as queues of work, modules, launches
 *   memory.c  device memory: a range of addresses that the host cannot touch
 *   block.c   a grid, block by block; a block's threads as fibers
 *   race.c    who touched each byte last, and whether a barrier stood between
 */
#ifndef KL_MACHINE_H
#define KL_MACHINE_H

#include "standin.h"
#include "runtime/cuda_driver.h"

#define HIDDEN __attribute__((visibility("hidden")))

/* ---- memory.c ---- */

typedef struct mem_range { /* an allocation, or a block's shared memory */
    unsigned char *base;
    size_t size;
    uint64_t *cells; /* race.c's, one a byte */
    bool freed;      /* cuMemFreeAsync was called and has not happened yet */
} mem_range;
HIDDEN bool mem_open(void);
HIDDEN cu_result mem_alloc(size_t size, cu_ptr *out);
HIDDEN void mem_free(mem_range *r);
HIDDEN mem_range *mem_find(const void *p,
                           size_t n);     /* the allocation that holds all of it */
HIDDEN mem_range *mem_at(cu_ptr p);       /* the allocation that begins there */
HIDDEN bool mem_is_device(const void *p); /* in the device's range of addresses */
HIDDEN void *mem_alias(cu_ptr p); /* where the driver itself reads and writes it */
HIDDEN void mem_unlock(bool kernels_run); /* kernels may touch it; the host may not */
HIDDEN size_t mem_total(void);

/* ---- race.c ---- */

typedef struct race_report {
    bool other_wrote, other_block;
    unsigned block, thread; /* the other's */
} race_report;
HIDDEN void race_launch(void);
HIDDEN void race_block(unsigned block);
/* A thread between two barriers; every access of it has this number. */
HIDDEN uint32_t race_record(unsigned thread, unsigned epoch, unsigned warp_epoch);
HIDDEN bool race_touch(uint64_t *cells, size_t n, int kind, uint32_t record,
                       race_report *out);

/* ---- block.c ---- */

typedef struct grid_launch {
    const kl_host_module *module;
    const kl_host_entry *entry;
    const unsigned char *code, *code_end; /* where the module lies */
    kl_index3 grid, block;
    unsigned shared;
    void **params;
} grid_launch;
/* CU_OK, or what the kernel did wrong, with a sentence in kl_standin.message. */
HIDDEN cu_result grid_run(const grid_launch *l);

extern kl_standin_state kl_standin;

#endif
