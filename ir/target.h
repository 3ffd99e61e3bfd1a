/* target.h: facts about machines, as data (target.def). Passes read this and nothing else
 * of a machine; no name of a CPU decides anything, only these numbers do. */
#ifndef KL_TARGET_H
#define KL_TARGET_H

#include "runtime/runtime.h"

typedef enum kl_target_kind { KL_TARGET_CPU, KL_TARGET_CUDA } kl_target_kind;
typedef struct kl_target {
    const char *name; /* "x86-64-v3", "zen4", "aarch64-neon", "sm_90a", "host" */
    kl_target_kind kind;
    const char *triple;        /* LLVM's; NULL for CUDA */
    const char *cpu;           /* LLVM's name, of our own table */
    const char *features;      /* LLVM's feature string */
    int32_t isa_bits;          /* widest vector registers */
    int32_t vector_bits;       /* the schedule's vector width (may be narrower) */
    int32_t vector_regs;       /* how many of them */
    bool fma;                  /* a fused multiply-add instruction */
    bool masked;               /* masked vector loads and stores are cheap */
    bool gather;               /* vector gathers are worth using */
    int64_t l1, l2, l3;        /* data cache bytes: per core, per core, shared */
    int32_t arch;              /* CUDA: 80, 90, 100 */
    char arch_suffix;          /* 'a' or 0 */
    int32_t warp, max_threads; /* CUDA */
    int64_t shared;            /* CUDA: shared bytes a block may have */
    int32_t regs;              /* CUDA: registers a thread may have */
    int32_t nmatrix;           /* matrix shapes: m n k triples */
    int16_t matrix[4][3];
    double flops,
        bandwidth; /* rough peak f32 FLOP/s and bytes/s of one core or the device */
} kl_target;
/* This machine's CPU: the row whose ISA level it has, with its own caches and features.
 */
const kl_target *kl_target_host(void);
const kl_target *
kl_target_find(const char *name); /* NULL: recorded with the list of known names */
int kl_target_count(void);
const kl_target *kl_target_at(int i);

/* What a processor must have for a row, each level on top of the one before: bits of
 * cpuid's leaves (reg: 0 eax, 1 ebx, 2 ecx, 3 edx; leaf 0 ends them), and register state
 * that the operating system saves (bits of XCR0). */
#define KL_CPUID_EXT 0x80000000u /* the second run of leaves begins there */
enum { KL_CPU_LEVELS = 3 };
typedef struct kl_cpu_bit {
    uint32_t leaf;
    uint8_t reg, bit;
} kl_cpu_bit;
typedef struct kl_cpu_level {
    const char *row; /* "x86-64-v2" */
    uint64_t state;
    kl_cpu_bit needs[12];
} kl_cpu_level;
extern const kl_cpu_level kl_cpu_levels[KL_CPU_LEVELS];

#endif
