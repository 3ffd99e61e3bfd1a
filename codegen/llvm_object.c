/* llvm_object.c: a module to object bytes, assembly text or IR text.
 *
 * The module comes vectorised, unrolled and scheduled, so LLVM's part is a short list of
 * passes by the kernel's class, instruction selection and registers. Every function is
 * stamped first:
 *
 *   define void @k(...)   ->   define void @k(...) nounwind "frame-pointer"="all"
 *                                  "no-builtins" "warn-stack-size"="16384"
 *
 * nounwind: no .eh_frame; no-builtins: no loop becomes a call of memset; the frame limit
 * comes back as a diagnostic, which fails the compile. What LLVM objects to arrives in
 * three ways: results with a message, diagnostics, and the fatal error handler, after
 * which LLVM would end the process. The last is our bug, not the user's, and still must
 * not end his program: it jumps back here, and what the compile held of LLVM is leaked,
 * since its destructors were skipped. That is LLVM's own CrashRecoveryContext in small.
 */
#include "codegen/codegen.h"

#include <setjmp.h>
#include <unistd.h>

enum { FILE_ASM = 0, FILE_OBJECT = 1, RETURN_STATUS = 2 };

/* ---- fatal errors ---- */

static _Thread_local jmp_buf *recover; /* set while this thread is inside LLVM */
static _Thread_local char last_words[512];
static _Thread_local LLVMContextRef
    spoiled; /* abandoned half-way: not to be disposed of */

void kl_llvm_fatal(const char *reason)
{
    if (!recover) { /* another user of this libLLVM in the process: as LLVM itself would
                     */
        static const char head[] = "LLVM ERROR: ";
        (void)!write(STDERR_FILENO, head, sizeof head - 1);
        (void)!write(STDERR_FILENO, reason, strlen(reason));
        (void)!write(STDERR_FILENO, "\n", 1);
        return;
    }
    snprintf(last_words, sizeof last_words, "%s", reason);
    longjmp(*recover, 1);
}

/* ---- diagnostics ---- */

/* The first diagnostic that makes the object useless. */
typedef struct complaint {
    bool any;
    char text[512];
} complaint;

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *user)
{
    complaint *c = user;
    char *text = LL.GetDiagInfoDescription(info);
    bool frame = strstr(text, "stack frame size") != NULL;
    if (!c->any && (frame || LL.GetDiagInfoSeverity(info) == LLVMDSError)) {
        c->any = true;
        snprintf(c->text, sizeof c->text, "%s", text);
    }
    LL.DisposeMessage(text);
}

/* ---- units ---- */

/* The triple and data layout of t. */
static void set_layout(LLVMModuleRef m, LLVMTargetMachineRef tm, const kl_target *t)
{
    LLVMTargetDataRef d = LL.CreateTargetDataLayout(tm);
    LL.SetModuleDataLayout(m, d);
    LL.DisposeTargetData(d);
    LL.SetTarget(m, t->triple);
}

kl_status kl_llvm_module(kl_llvm_unit *u, const char *name)
{
    LLVMTargetMachineRef tm;
    KL_TRY(kl_llvm_machine(u->target, u->cls, &tm));
    u->mod = LL.ModuleCreateWithNameInContext(name, u->ctx);
    set_layout(u->mod, tm, u->target);
    return KL_OK;
}

kl_status kl_llvm_begin(kl_llvm_unit *u, const char *name, const kl_target *t,
                        kl_llvm_class cls, bool names)
{
    *u = (kl_llvm_unit){.target = t, .cls = cls};
    LLVMTargetMachineRef tm;
    KL_TRY(kl_llvm_machine(t, cls, &tm)); /* which opens LLVM */
    u->ctx = LL.ContextCreate();
    LL.ContextSetDiscardValueNames(u->ctx, !names && !kl_env_get()->debug);
    u->b = LL.CreateBuilderInContext(u->ctx);
    return kl_llvm_module(u, name);
}

void kl_llvm_drop(const kl_llvm_unit *u, LLVMModuleRef m)
{
    if (m && u->ctx != spoiled)
        LL.DisposeModule(m);
}

void kl_llvm_end(kl_llvm_unit *u)
{
    if (u->ctx && u->ctx != spoiled) {
        kl_llvm_lines_end(u, false);
        LL.DisposeBuilder(u->b);
        kl_llvm_drop(u, u->mod);
        LL.ContextDispose(u->ctx);
    }
    *u = (kl_llvm_unit){0};
}

/* ---- emission ---- */

typedef struct job {
    LLVMModuleRef m;
    LLVMTargetMachineRef tm;
    const char *passes;
    kl_llvm_output what;
    kl_text *out;
    complaint c;
} job;

static kl_status refuse(const char *doing, const char *why)
{
    kl_status s = kl_fail(KL_ERR_COMPILE, "LLVM, %s: %s", doing, why);
    kl_fail_log(why);
    return s;
}

static void put_attribute(LLVMContextRef c, LLVMValueRef fn, const char *k, const char *v)
{
    LLVMAttributeRef a =
        LL.CreateStringAttribute(c, k, (unsigned)strlen(k), v, (unsigned)strlen(v));
    LL.AddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

static void stamp_functions(LLVMModuleRef m)
{
    LLVMContextRef c = LL.GetModuleContext(m);
    unsigned nounwind = LL.GetEnumAttributeKindForName("nounwind", 8);
    LLVMAttributeRef a = LL.CreateEnumAttribute(c, nounwind, 0);
    for (LLVMValueRef f = LL.GetFirstFunction(m); f; f = LL.GetNextFunction(f)) {
        if (LL.IsDeclaration(f))
            continue;
        LL.AddAttributeAtIndex(f, LLVMAttributeFunctionIndex, a);
        put_attribute(c, f, "frame-pointer", "all");
        put_attribute(c, f, "no-builtins", "");
        put_attribute(c, f, "warn-stack-size", /* checks of bounds hold many addresses */
                      kl_env_get()->bounds ? "65536" : "16384");
    }
}

static kl_status verify(LLVMModuleRef m)
{
    char *why = NULL;
    kl_status s = KL_OK;
    if (LL.VerifyModule(m, RETURN_STATUS, &why))
        s = refuse("verifying IR", why);
    LL.DisposeMessage(why);
    return s;
}

static kl_status run_passes(const job *j)
{
    if (!*j->passes)
        return KL_OK;
    LLVMPassBuilderOptionsRef o = LL.CreatePassBuilderOptions();
    LLVMErrorRef e = LL.RunPasses(j->m, j->passes, j->tm, o);
    LL.DisposePassBuilderOptions(o);
    if (!e)
        return KL_OK;
    char *why = LL.GetErrorMessage(e);
    kl_status s = refuse("running passes", why);
    LL.DisposeErrorMessage(why);
    return s;
}

static kl_status put_ir(const job *j)
{
    char *text = LL.PrintModuleToString(j->m);
    kl_text_put(j->out, text);
    LL.DisposeMessage(text);
    return KL_OK;
}

static kl_status put_code(const job *j)
{
    char *why = NULL;
    LLVMMemoryBufferRef buf = NULL;
    int type = j->what == KL_LLVM_ASM ? FILE_ASM : FILE_OBJECT;
    if (LL.TargetMachineEmitToMemoryBuffer(j->tm, j->m, type, &why, &buf)) {
        kl_status s = refuse("emitting", why);
        LL.DisposeMessage(why);
        return s;
    }
    kl_status s = j->c.any ? refuse("emitting", j->c.text) : KL_OK;
    const char *bytes = LL.GetBufferStart(buf);
    size_t size = LL.GetBufferSize(buf);
    if (s == KL_OK && j->what == KL_LLVM_OBJECT)
        s = kl_code_check(bytes, size);
    if (s == KL_OK)
        kl_text_putn(j->out, bytes, size);
    LL.DisposeMemoryBuffer(buf);
    return s;
}

static kl_status emit(job *j)
{
    stamp_functions(j->m);
    KL_TRY(verify(j->m));
    KL_TRY(run_passes(j));
    KL_TRY(j->what == KL_LLVM_IR ? put_ir(j) : put_code(j));
    return j->out->failed ? kl_fail(KL_ERR_OOM, "LLVM's output") : KL_OK;
}

/* emit(j), coming back also from LLVM's fatal errors. */
static kl_status emit_guarded(job *j)
{
    jmp_buf here, *outer = recover;
    LLVMContextRef c = LL.GetModuleContext(j->m);
    kl_status s;
    LL.ContextSetDiagnosticHandler(c, on_diagnostic, &j->c);
    recover = &here;
    if (!setjmp(here)) {
        s = emit(j);
        LL.ContextSetDiagnosticHandler(c, NULL, NULL);
    } else {
        kl_llvm_machines_abandon();
        spoiled = LL.GetModuleContext(j->m);
        s = refuse("fatal", last_words);
    }
    recover = outer;
    return s;
}

kl_status kl_llvm_emit(LLVMModuleRef m, const kl_target *t, kl_llvm_class cls,
                       kl_llvm_output what, kl_text *out)
{
    job j = {.m = m, .passes = kl_llvm_passes(cls), .what = what, .out = out};
    KL_TRY(kl_llvm_machine(t, cls, &j.tm));
    set_layout(m, j.tm, t);
    return emit_guarded(&j);
}
