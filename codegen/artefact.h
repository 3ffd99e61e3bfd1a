/* artefact.h: what artefact*.c share while they build a module. */
#ifndef KL_ARTEFACT_H
#define KL_ARTEFACT_H

#include "codegen/codegen.h"

/* What is passed to a phase, followed by the phase itself: a worker finds all it needs.
 */
typedef struct kl_artefact_task {
    kl_args args;
    kl_phase_fn fn;
} kl_artefact_task;

typedef struct kl_art {
    kl_llvm_unit u;
    LLVMBuilderRef b;
    const kl_artefact *a;
    kl_arena *arena;
    kl_status status;
    LLVMTypeRef none, i8, i32, i64, ptr;
    /* of the module */
    LLVMValueRef launch;  /* void launch(ptr task, i64 workers, i64 grain) */
    LLVMValueRef overlap; /* i32 overlap(ptr bases, ptr sizes, ptr donated) */
    LLVMValueRef hook;    /* NAME_parallel_for */
    LLVMValueRef
        weights; /* the bytes, or (weights_file) the variable that points to them */
    LLVMValueRef scratch, busy; /* static scratch and its lock; or a call's own */
    kl_artefact_scratch size;
    LLVMValueRef chosen, choose; /* NAME.level: 0 not asked yet, else 1 + the level */
    LLVMValueRef done;           /* the last function whose level is told */
    /* of the function being built */
    const kl_artefact_level *level;
    LLVMValueRef fn;
    int nparams;
    LLVMValueRef dims[64]; /* by symbol number */
    LLVMValueRef result;   /* where its result is kept */
    LLVMBasicBlockRef leave;
} kl_art;

/* What the entry is given, and with it the function of a level. */
typedef struct kl_art_params {
    LLVMValueRef *in, *out, scratch;
} kl_art_params;

/* Small words of the builder. */
LLVMValueRef kl_art_i64(kl_art *e, int64_t v);
LLVMValueRef kl_art_i32(kl_art *e, int64_t v);
LLVMValueRef kl_art_at(kl_art *e, LLVMValueRef p, LLVMValueRef bytes);
LLVMValueRef kl_art_field(kl_art *e, LLVMValueRef p, size_t bytes);
LLVMValueRef kl_art_load(kl_art *e, LLVMTypeRef t, LLVMValueRef p);
LLVMValueRef kl_art_array(kl_art *e, LLVMTypeRef t, int n); /* on the stack */
/* array[i] = v, of elements of 8 bytes. */
void kl_art_put(kl_art *e, LLVMValueRef array, int i, LLVMValueRef v);
LLVMValueRef kl_art_bytes(kl_art *e, const char *suffix, const void *p, size_t n);
LLVMBasicBlockRef kl_art_block(kl_art *e, const char *name);
void kl_art_go(kl_art *e, LLVMBasicBlockRef b); /* build there from now on */
LLVMValueRef kl_art_name(kl_art *e, const char *suffix, LLVMTypeRef t, bool visible);
LLVMValueRef kl_art_call(kl_art *e, LLVMValueRef fn, LLVMValueRef *args, int n);
/* A function of the C library, or one that the program calls. */
LLVMValueRef kl_art_extern(kl_art *e, const char *name, LLVMTypeRef result,
                           LLVMTypeRef *params, int n, bool variadic);
/* A new function with an entry block, where the builder then stands; visible or internal.
 */
LLVMValueRef kl_art_function(kl_art *e, const char *name, LLVMTypeRef result,
                             LLVMTypeRef *params, int n, bool visible);
LLVMValueRef kl_art_size(kl_art *e, kl_size s); /* over e->dims */
kl_size kl_art_port_bytes(kl_art *e, const kl_port *port);
/* The default floating-point environment; what was is returned. */
LLVMValueRef kl_art_fp_enter(kl_art *e);
void kl_art_fp_leave(kl_art *e, LLVMValueRef old);
/* Where cond holds, the function returns that code; else it goes on. */
void kl_art_fail_if(kl_art *e, LLVMValueRef cond, kl_artefact_code code);

/* artefact_entry.c */
/* A function of the entry's parameters, at whose beginning the builder then stands, with
 * e->dims set. */
kl_status kl_art_entry(kl_art *e, const char *name, bool visible, kl_art_params *q);
kl_status kl_art_make_entry(kl_art *e);

/* artefact_step.c: NAME.run.LEVEL */
kl_status kl_art_make_run(kl_art *e, const kl_artefact_level *l);

void kl_art_run_name(const kl_art *e, const kl_artefact_level *l, char *out, size_t cap);

/* artefact_level.c */
/* That function is that level's (NULL: of none, it runs on any processor). */
void kl_art_for_cpu(kl_art *e, LLVMValueRef fn, const kl_artefact_level *l);
/* What was made since the last level's end is this level's, and private. */
void kl_art_level_end(kl_art *e, const kl_artefact_level *l);
/* A phase of a kernel of e->level. */
LLVMValueRef kl_art_phase(kl_art *e, const char *symbol, int phase);
void kl_art_make_choose(kl_art *e);
/* In the entry: the level to run (NULL where there is but one), having returned CPU where
 * the processor has none; and its run, whose result this is. */
LLVMValueRef kl_art_level(kl_art *e);
LLVMValueRef kl_art_run(kl_art *e, LLVMValueRef level);

/* artefact_ll.c: functions of the module beside the entry. */
void kl_art_make_launch(kl_art *e);
void kl_art_make_overlap(kl_art *e);
void kl_art_make_load(kl_art *e); /* NAME_load */
/* NAME_scratch_bytes(dims..), of a caller's use or our own: then -1 where none could be.
 */
void kl_art_make_scratch_bytes(kl_art *e, bool visible);

#endif
