/* codegen.h: the folder's one private header: kernels' loops to bytes, and nothing is
 * loaded here.
 *
 *   LLVM      llvm_api.c (the library, by dlopen) llvm_target.c (a machine of our table)
 *             llvm_object.c (a module to object, assembly or IR text)
 *             llvm_lines.c (DWARF line tables)
 *             llvm_emit.c and its kin (loops to a module) object.c (kernels to bytes)
 *             artefact.c and its kin (a whole program to one C function)
 *
 * Nothing of LLVM is needed to build: its functions stand in llvm_api.def, its handles
 * and the enumerators that we use below. */
#ifndef KL_CODEGEN_H
#define KL_CODEGEN_H

#include "ir/ir.h"

/* ---- llvm_api.c: libLLVM's C functions as a table of pointers ---- */

typedef int LLVMBool;
typedef struct LLVMOpaqueContext *LLVMContextRef;
typedef struct LLVMOpaqueModule *LLVMModuleRef;
typedef struct LLVMOpaqueType *LLVMTypeRef;
typedef struct LLVMOpaqueValue *LLVMValueRef;
typedef struct LLVMOpaqueBasicBlock *LLVMBasicBlockRef;
typedef struct LLVMOpaqueMetadata *LLVMMetadataRef;
typedef struct LLVMOpaqueBuilder *LLVMBuilderRef;
typedef struct LLVMOpaqueDIBuilder *LLVMDIBuilderRef;
typedef struct LLVMOpaqueAttributeRef *LLVMAttributeRef;
typedef struct LLVMOpaqueDiagnosticInfo *LLVMDiagnosticInfoRef;
typedef struct LLVMOpaqueMemoryBuffer *LLVMMemoryBufferRef;
typedef struct LLVMOpaqueError *LLVMErrorRef;
typedef struct LLVMOpaquePassBuilderOptions *LLVMPassBuilderOptionsRef;
typedef struct LLVMOpaqueTargetData *LLVMTargetDataRef;
typedef struct LLVMOpaqueTargetMachine *LLVMTargetMachineRef;
typedef struct LLVMTarget *LLVMTargetRef;

/* The C API's enumerators (its values are its ABI). */
/* opcodes, for BuildBinOp and BuildCast */
enum {
    LLVMAdd = 8,
    LLVMFAdd = 9,
    LLVMSub = 10,
    LLVMFSub = 11,
    LLVMMul = 12,
    LLVMFMul = 13,
    LLVMUDiv = 14,
    LLVMSDiv = 15,
    LLVMFDiv = 16,
    LLVMURem = 17,
    LLVMSRem = 18,
    LLVMFRem = 19,
    LLVMShl = 20,
    LLVMLShr = 21,
    LLVMAShr = 22,
    LLVMAnd = 23,
    LLVMOr = 24,
    LLVMXor = 25,
    LLVMTrunc = 30,
    LLVMZExt = 31,
    LLVMSExt = 32,
    LLVMFPToUI = 33,
    LLVMFPToSI = 34,
    LLVMUIToFP = 35,
    LLVMSIToFP = 36,
    LLVMFPTrunc = 37,
    LLVMFPExt = 38,
    LLVMPtrToInt = 39,
    LLVMIntToPtr = 40,
    LLVMBitCast = 41
};
/* type kinds */
enum {
    LLVMVoidTypeKind = 0,
    LLVMHalfTypeKind = 1,
    LLVMFloatTypeKind = 2,
    LLVMDoubleTypeKind = 3,
    LLVMIntegerTypeKind = 8,
    LLVMPointerTypeKind = 12,
    LLVMVectorTypeKind = 13,
    LLVMBFloatTypeKind = 18
};
/* BuildICmp */
enum {
    LLVMIntEQ = 32,
    LLVMIntNE,
    LLVMIntUGT,
    LLVMIntUGE,
    LLVMIntULT,
    LLVMIntULE,
    LLVMIntSGT,
    LLVMIntSGE,
    LLVMIntSLT,
    LLVMIntSLE
};
/* BuildFCmp: O ordered (false on NaN), U unordered (true on NaN) */
enum {
    LLVMRealOEQ = 1,
    LLVMRealOGT,
    LLVMRealOGE,
    LLVMRealOLT,
    LLVMRealOLE,
    LLVMRealONE,
    LLVMRealORD,
    LLVMRealUNO,
    LLVMRealUEQ,
    LLVMRealUGT,
    LLVMRealUGE,
    LLVMRealULT,
    LLVMRealULE,
    LLVMRealUNE
};
enum { LLVMExternalLinkage = 0, LLVMInternalLinkage = 8, LLVMPrivateLinkage = 9 };
enum { LLVMDefaultVisibility = 0, LLVMHiddenVisibility = 1 };
enum { LLVMGlobalUnnamedAddr = 2 };
enum { LLVMDSError = 0, LLVMDSWarning = 1 };
enum { LLVMAtomicOrderingMonotonic = 2, LLVMAtomicOrderingAcquireRelease = 6 };
enum { LLVMAtomicRMWBinOpXchg = 0, LLVMAtomicRMWBinOpAdd = 1, LLVMAtomicRMWBinOpOr = 5 };
#define LLVMAttributeReturnIndex 0u
#define LLVMAttributeFunctionIndex 0xffffffffu /* parameter i: 1 + i */

typedef struct kl_llvm_api {
#define LL_FN(result, name, params) result(*name) params;
#define LL_OPT(result, name, params) result(*name) params;
#include "codegen/llvm_api.def"
} kl_llvm_api;
extern kl_llvm_api kl_llvm;
#define LL kl_llvm /* LL.BuildFAdd(b, x, y, "") */

/* Open the newest libLLVM of 19, 18, 17 on first use; cheap afterwards. Call before any
 * LL. */
kl_status kl_llvm_open(void);
/* The version opened, 0 before. */
int kl_llvm_version(void);
/* Fill api from the first of these libraries (NULL ends them) that opens and is new
 * enough. */
kl_status kl_llvm_open_from(const char *const *names, kl_llvm_api *api, int *version);
/* LLVM's last word before it would end the process (llvm_object.c). */
void kl_llvm_fatal(const char *reason);

/* ---- llvm_target.c: a machine of our table as LLVM's ---- */

/* How much LLVM does to a module. Kernels come vectorised, unrolled and scheduled, so the
 * classes differ in instruction selection and register allocation above all (figures in
 * llvm_object.c). */
typedef enum kl_llvm_class {
    KL_LLVM_QUICK,  /* half the time; good for one long body, bad for values carried round
                     */
    KL_LLVM_NORMAL, /* registers and schedule as at -O2 */
    KL_LLVM_THOROUGH, /* and invariants out of loops, expressions folded */
    KL_LLVM_CLASS_COUNT
} kl_llvm_class;
/* A class by the number of vector instructions and whether a loop carries vectors round.
 */
kl_llvm_class kl_llvm_choose(const kl_target *t, int64_t instructions, bool carried);
/* A target machine; a thread keeps the last few it used, so do not dispose of it. */
kl_status kl_llvm_machine(const kl_target *t, kl_llvm_class cls,
                          LLVMTargetMachineRef *out);
/* This thread's machines were left in the middle of something: never use or free them
 * again. */
void kl_llvm_machines_abandon(void);
/* The pass pipeline of a class, in opt's notation; "" for none. */
const char *kl_llvm_passes(kl_llvm_class cls);

/* ---- llvm_object.c: a module to bytes ---- */

/* What one compile holds of LLVM: a context of its own, so that threads compile side by
 * side. */
typedef struct kl_llvm_lines kl_llvm_lines;
typedef struct kl_llvm_unit {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    const kl_target *target;
    kl_llvm_class cls;
    int64_t instructions; /* by the emitter: rows, loads and stores, a vector each */
    bool carried;         /* some loop's work is on values carried round it */
    kl_llvm_lines *lines; /* NULL: no line table */
} kl_llvm_unit;
/* llvm_lines.c: the module's functions get a line table of the loops' text at path, whose
 * lines kl_loops_lines has told the statements. End before the module is emitted; whole:
 * it is good. */
/* path NULL: of the statements alone, nothing of the user's lines. */
kl_status kl_llvm_lines_begin(kl_llvm_unit *u, const char *path);
void kl_llvm_lines_end(kl_llvm_unit *u, bool whole);
void kl_llvm_lines_phase(kl_llvm_unit *u, LLVMValueRef fn, const char *name,
                         uint32_t line);
/* Another function amid a phase, and back. */
void kl_llvm_lines_enter(kl_llvm_unit *u, LLVMValueRef fn, uint32_t line);
void kl_llvm_lines_leave(kl_llvm_unit *u);
void kl_llvm_lines_at(kl_llvm_unit *u, const kl_stmt *s);
void kl_llvm_lines_again(kl_llvm_unit *u);
/* Opens LLVM, makes an empty module with the target's triple and data layout. On failure
 * nothing is held. Value names are kept only under KILN_DEBUG or when text is wanted
 * (names). */
kl_status kl_llvm_begin(kl_llvm_unit *u, const char *name, const kl_target *t,
                        kl_llvm_class cls, bool names);
void kl_llvm_end(kl_llvm_unit *u); /* a zeroed or ended unit is fine */
/* Another module of the same context: u->mod, whose last value is the caller's to drop. */
kl_status kl_llvm_module(kl_llvm_unit *u, const char *name);
void kl_llvm_drop(const kl_llvm_unit *u, LLVMModuleRef m); /* m may be NULL */

typedef enum kl_llvm_output {
    KL_LLVM_OBJECT,
    KL_LLVM_ASM,
    KL_LLVM_IR,
    KL_LLVM_OPEN_OBJECT /* for a linker: may have undefined symbols and writable data */
} kl_llvm_output;
/* Append the module's object bytes, assembly, or IR (after the passes) to out. Every
 * function defined is made nounwind, keeps its frame pointer, calls no library function,
 * and may not have a frame over 16 KiB. An object is checked to be closed. The module is
 * spent: print IR of a clone if both are wanted. Whatever LLVM objects to is
 * KL_ERR_COMPILE, its text in the log. */
kl_status kl_llvm_emit(LLVMModuleRef m, const kl_target *t, kl_llvm_class cls,
                       kl_llvm_output what, kl_text *out);

/* ---- nvrtc.c: CUDA C to PTX or cubin, through NVRTC by dlopen ---- */

typedef enum kl_nvrtc_form { KL_NVRTC_PTX, KL_NVRTC_CUBIN } kl_nvrtc_form;
typedef struct kl_nvrtc_code {
    void *bytes; /* kl_nvrtc_free */
    size_t size;
    bool cubin;    /* else PTX: asked for, or because this NVRTC does not know the arch */
    char arch[16]; /* what it was compiled for: "sm_90a", "compute_89" */
    int64_t spill_bytes; /* stack and spills of all kernels together; -1: not told */
    int registers;       /* of the kernel that needs most; 0: not told */
} kl_nvrtc_code;
bool kl_nvrtc_found(void);
const char *kl_nvrtc_version(void); /* "13.0", "" when there is none */
/* text holds the prelude and any number of kernels; name is for messages; arch is
 * "sm_90a". */
kl_status kl_nvrtc_compile(const char *name, const char *text, const char *arch,
                           kl_nvrtc_form form, kl_nvrtc_code *out);
void kl_nvrtc_free(kl_nvrtc_code *code); /* a zeroed or freed one is fine */

/* ---- cuda_prelude.c: the device functions that kernels are written with ---- */

enum { /* parts of the prelude; types, bit casts and kl_fault are always there */
       KL_PRELUDE_INTS = 1,   /* kl_add .. kl_floordiv on integers and bool */
       KL_PRELUDE_FLOATS = 2, /* the same on f32, f64; kl_to_i32 and the like */
       KL_PRELUDE_HALVES = 4, /* f16, bf16 conversions; brings FLOATS */
       KL_PRELUDE_WARP = 8, /* kl_lane, kl_barrier, kl_shfl_*, kl_ballot, kl_atomic_add */
       KL_PRELUDE_SHARED = 16, /* KL_TILE(T, name, offset in dynamic shared memory) */
       KL_PRELUDE_ASYNC = 32,  /* kl_async_copy*, kl_async_commit, kl_async_wait<N> */
       KL_PRELUDE_MATRIX = 64, /* kl_ldmatrix4*, kl_mma_* */
       KL_PRELUDE_ALL = 127
};
void kl_cuda_prelude(kl_text *out, unsigned parts);

/* ---- llvm_emit.c: a lowered kernel as functions of a module --------------------------
 * with llvm_stmt.c llvm_lane.c llvm_stream.c (statements) llvm_expr.c llvm_op.c
 * llvm_cast.c llvm_rem.c llvm_fma.c (values) llvm_memory.c llvm_clamp.c (loads and
 * stores) */

/* One function a phase, named symbol.0, symbol.1, .. (kl_phase_fn). a: working memory. */
kl_status kl_llvm_kernel(kl_llvm_unit *u, const kl_kernel *k, const char *symbol,
                         kl_arena *a);

/* ---- object.c: kernels to bytes for the CPU ---- */

/* The name of a kernel's entry without its phase: letters, digits, '_' and '.'. */
void kl_codegen_symbol(const char *name, char *out, size_t cap);
/* Append n lowered kernels, in one object, or as assembly or LLVM IR text, to out. The
 * phases of kernel "softmax" are the functions softmax.0, softmax.1, .. Two kernels of
 * one name are an error. Under KILN_DEBUG=bounds every access is checked
 * (KL_FAULT_BOUNDS). */
kl_status kl_codegen_cpu(const kl_kernel *const *kernels, int n, const kl_target *t,
                         kl_llvm_output what, kl_text *out);

/* The same as an object for each class that is among them: kernel i's is out[cls[i]]. */
kl_status kl_codegen_cpu_group(const kl_kernel *const *kernels, int n, const kl_target *t,
                               kl_text out[KL_LLVM_CLASS_COUNT], uint8_t *cls);

/* The same as text whose line table is of the statements' lines (kl_loops_lines) alone.
 */
kl_status kl_codegen_cpu_lines(const kl_kernel *const *kernels, int n, const kl_target *t,
                               kl_llvm_output what, kl_text *out);

/* ---- cuda_emit.c (with cuda_stmt.c cuda_expr.c cuda_op.c): a lowered kernel as CUDA C
 * ---- */

/* Append one function a phase, SYMBOL_0, SYMBOL_1, ..; parts gains what they need of the
 * prelude. a: working memory. */
kl_status kl_cuda_kernel(const kl_kernel *k, const char *symbol, kl_arena *a,
                         unsigned *parts, kl_text *out);

/* ---- cuda_object.c: kernels to bytes for a CUDA target ---- */

typedef enum kl_cuda_output {
    KL_CUDA_TEXT, /* CUDA C with the parts of the prelude that it needs: what NVRTC is
                     given */
    KL_CUDA_BODY, /* the kernels alone, for reading */
    KL_CUDA_PTX,
    KL_CUDA_CUBIN /* PTX where this NVRTC does not know the target */
} kl_cuda_output;
/* Phase 1 of kernel "head.0" is head_0_1: head_0, by the kernel's name. */
void kl_cuda_symbol(const char *name, char *out, size_t cap);
/* Append n lowered kernels as one text or module. */
kl_status kl_codegen_cuda(const kl_kernel *const *kernels, int n, const kl_target *t,
                          kl_cuda_output what, kl_text *out);

/* ---- artefact.c and its kin: a program as one C function ---- */

/*   int NAME(int64_t dims.., const T *in.., T *out.. [, void *scratch])
 *
 * in an object that needs nothing but libc and the functions that the program calls. What
 * it returns: */
#define KL_ARTEFACT_CODES(X)                                                             \
    X(OK, "done")                                                                        \
    X(DIM, "a dimension is outside its bounds")                                          \
    X(OVERLAP,                                                                           \
      "an output overlaps an input that is not donated to it, or another output")        \
    X(BUSY, "the function's own scratch is in use by another call")                      \
    X(INDEX, "an index among the inputs was out of range; the outputs are not valid")    \
    X(CALL, "a function that was called returned other than 0")                          \
    X(POINTER, "a pointer is null")                                                      \
    X(WEIGHTS, "the weights are not loaded, or the file is not theirs")                  \
    X(CPU, "this processor has none of the levels that this was made for")               \
    X(DEVICE, "there is no GPU, or its driver refused")                                  \
    X(MEMORY, "no memory for the scratch of these dimensions")
typedef enum kl_artefact_code {
#define X(name, text) KL_ARTEFACT_##name,
    KL_ARTEFACT_CODES(X)
#undef X
} kl_artefact_code;

enum {
    KL_ARTEFACT_WORKERS = 64, /* most that a caller's parallel_for may use at a time */
    KL_ARTEFACT_ALIGN = 64,
    KL_ARTEFACT_STATIC_MOST = 1 << 30, /* static scratch */
    KL_WEIGHTS_HEAD = 64 /* a weights file begins with so many bytes of its own */
};
/* The same graph compiled for one CPU. */
typedef struct kl_artefact_level {
    const kl_target *target;
    const kl_program *program;
    const kl_kernel *const *kernels; /* lowered; found by the program's names */
    int nkernels;
} kl_artefact_level;
typedef struct kl_artefact {
    const char *name; /* a C identifier */
    /* One, or several of kl_cpu_levels in their order, of which the best is run that the
     * processor has. */
    kl_artefact_level level[KL_CPU_LEVELS];
    int nlevels;
    const kl_program *program; /* one of them: all have its symbols, inputs and outputs */
    const kl_counted *counts;  /* per output: which other one it counts; NULL: none */
    const int *syms;           /* the entry's dims, by the program's symbol numbers */
    const int64_t
        *weight; /* per input: where it lies among the weights, or -1: an argument */
    const void *weights; /* KL_WEIGHTS_HEAD bytes, then the inputs that are weights */
    size_t nweights;
    bool weights_file;   /* not in the object: NAME_load maps them */
    bool scratch_caller; /* the last argument, else static .. */
    bool scratch_heap;   /* .. or taken by each call */
    const char *lines;   /* where the loops' text lies, for a line table; NULL: none */
    bool source;         /* written as C, for no CPU */
} kl_artefact;
/* Head and inputs as one run of bytes, in memory or a file: weight[i] is filled in for
 * each input whose buffer has memory. */
kl_status kl_artefact_weights(const kl_buffer *in, int n, int64_t *weight, kl_text *out);
kl_status kl_artefact_emit(const kl_artefact *a, kl_llvm_output what, kl_text *out);

/* ---- artefact_c.c, artefact_c_prelude.c: kernels as plain C ---- */

/* The functions that a text needs, each after those that it needs itself. */
typedef struct kl_c_prelude {
    kl_text names, text;
} kl_c_prelude;
/* kl_NAME_DTYPE, as cuda_op.c names it. */
kl_status kl_c_prelude_add(kl_c_prelude *p, const char *name, kl_dtype dt);
/* Append n lowered kernels as functions SYMBOL_PHASE by kl_cuda_symbol, after the
 * functions that they need; types, kl_call and kl_fault are the reader's to give. */
kl_status kl_codegen_c(const kl_kernel *const *kernels, int n, kl_text *out);

/* The input on which that output may lie, or -1. */
int kl_program_donated(const kl_program *p, int out);

/* Sizes as postfix code (artefact_size.c); made in `into`; len 0: out of memory. */
kl_size kl_size_const(kl_arena *into, int64_t v);
kl_size kl_size_op(kl_arena *into, int op, kl_size a, kl_size b);
/* Scratch of a call: fixed bytes, then `tile` bytes a worker. */
typedef struct kl_artefact_scratch {
    kl_size fixed, tile;
} kl_artefact_scratch;
kl_artefact_scratch kl_artefact_scratch_of(const kl_artefact *art, kl_arena *into);
/* fixed + workers * tile with all symbols at their largest; -1: no such number. */
int64_t kl_artefact_scratch_max(const kl_program *p, kl_artefact_scratch s,
                                int64_t workers);
/* Whether that does not fit into an object as static memory. */
bool kl_artefact_is_vast(int64_t most);

#endif
