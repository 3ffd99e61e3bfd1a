/* artefact.h: what artefact.c (the entry and its steps) and artefact_ll.c (checks,
 * launches, loading) share while they build a module. */
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
    LLVMValueRef scratch, busy; /* static scratch and its lock */
    kl_artefact_scratch size;
    /* of the function being built */
    LLVMValueRef fn;
    LLVMValueRef dims[64]; /* by symbol number */
    LLVMValueRef result;   /* where its result is kept */
    LLVMBasicBlockRef leave;
} kl_art;

/* Small words of the builder. */
LLVMValueRef kl_art_i64(kl_art *e, int64_t v);
LLVMValueRef kl_art_i32(kl_art *e, int64_t v);
LLVMValueRef kl_art_at(kl_art *e, LLVMValueRef p, LLVMValueRef bytes);
LLVMValueRef kl_art_field(kl_art *e, LLVMValueRef p, size_t bytes);
LLVMValueRef kl_art_load(kl_art *e, LLVMTypeRef t, LLVMValueRef p);
LLVMValueRef kl_art_array(kl_art *e, LLVMTypeRef t, int n); /* on the stack */
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
/* The default floating-point environment; what was is returned. */
LLVMValueRef kl_art_fp_enter(kl_art *e);
void kl_art_fp_leave(kl_art *e, LLVMValueRef old);
/* Where cond holds, the function returns that code; else it goes on. */
void kl_art_fail_if(kl_art *e, LLVMValueRef cond, kl_artefact_code code);

/* artefact_ll.c: functions of the module beside the entry. */
void kl_art_make_launch(kl_art *e);
void kl_art_make_overlap(kl_art *e);
void kl_art_make_load(kl_art *e);          /* NAME_load */
void kl_art_make_scratch_bytes(kl_art *e); /* NAME_scratch_bytes */

#endif
