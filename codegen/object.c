/* object.c: lowered kernels to bytes for a CPU target: one LLVM module, one object.
 *
 *   softmax, head.0  ->  an object with softmax.0, softmax.1, head.0.0
 *
 * How hard LLVM works depends on what the kernels are like: long straight bodies need
 * little more than instruction selection; values carried round loops (a contraction's
 * tile) want a register allocator that sees the loop. A group of kernels is one object
 * for each class that is among them. */
#include "codegen/codegen.h"

#include <ctype.h>

void kl_codegen_symbol(const char *name, char *out, size_t cap)
{
    size_t n = 0;
    if (cap && !isalpha((unsigned char)name[0]) && name[0] != '_')
        out[n++] = '_';
    for (; *name && n + 1 < cap; name++)
        out[n++] = isalnum((unsigned char)*name) || *name == '.' ? *name : '_';
    if (cap)
        out[n] = 0;
}

static kl_status emit_all(kl_llvm_unit *u, const kl_kernel *const *kernels, int n,
                          kl_arena *a)
{
    for (int i = 0; i < n; i++) {
        char symbol[128], first[140];
        kl_codegen_symbol(kernels[i]->name, symbol, sizeof symbol);
        snprintf(first, sizeof first, "%s.0", symbol);
        if (LL.GetNamedFunction(u->mod, first))
            return kl_fail(KL_ERR_ARG, "llvm: two kernels named %s in one object",
                           symbol);
        KL_TRY(kl_llvm_kernel(u, kernels[i], symbol, a));
    }
    return KL_OK;
}

/* cls < KL_LLVM_CLASS_COUNT is an order, else what was emitted decides; *used: which. */
static kl_status attempt(const kl_kernel *const *kernels, int n, const kl_target *t,
                         kl_llvm_output what, bool lines, kl_llvm_class cls,
                         kl_llvm_class *used, kl_text *out)
{
    kl_llvm_unit u;
    kl_arena *a = kl_arena_new();
    if (!a)
        return kl_fail(KL_ERR_OOM, "llvm: %d kernels", n);
    kl_status s = kl_llvm_begin(&u, n > 0 ? kernels[0]->name : "kernels", t,
                                KL_LLVM_NORMAL, what == KL_LLVM_IR);
    if (s == KL_OK && lines)
        s = kl_llvm_lines_begin(&u, NULL);
    if (s == KL_OK)
        s = emit_all(&u, kernels, n, a);
    kl_llvm_lines_end(&u, s == KL_OK);
    if (s == KL_OK) {
        if (cls == KL_LLVM_CLASS_COUNT)
            cls = kl_llvm_choose(t, u.instructions, u.carried);
        *used = cls;
        s = kl_llvm_emit(u.mod, t, cls, what, out);
    }
    kl_llvm_end(&u);
    kl_arena_free(a);
    return s;
}

/* The quick way gives each value that it spills a place of its own on the stack. Where
 * that is more than a frame may have, the thorough way packs them. */
static kl_status generate(const kl_kernel *const *kernels, int n, const kl_target *t,
                          kl_llvm_output what, bool lines, kl_text *out)
{
    bool failed_before = kl_failed();
    kl_llvm_class used = KL_LLVM_NORMAL;
    kl_status s = attempt(kernels, n, t, what, lines, KL_LLVM_CLASS_COUNT, &used, out);
    if (s != KL_ERR_COMPILE || used != KL_LLVM_QUICK)
        return s;
    if (!failed_before)
        kl_error_clear();
    return attempt(kernels, n, t, what, lines, KL_LLVM_NORMAL, &used, out);
}

/* A kernel as a module of its own, which then joins that of its class. */
static kl_status join(kl_llvm_unit *u, const kl_kernel *k, const char *symbol,
                      kl_arena *a, LLVMModuleRef mod[KL_LLVM_CLASS_COUNT], uint8_t *cls)
{
    if (!u->mod)
        KL_TRY(kl_llvm_module(u, symbol));
    u->instructions = 0;
    u->carried = false;
    KL_TRY(kl_llvm_kernel(u, k, symbol, a));
    LLVMModuleRef m = u->mod;
    u->mod = NULL;
    *cls = (uint8_t)kl_llvm_choose(u->target, u->instructions, u->carried);
    if (!mod[*cls])
        mod[*cls] = m;
    else if (LL.LinkModules2(mod[*cls], m))
        return kl_fail(KL_ERR_COMPILE, "LLVM: kernel %s joins no other", symbol);
    return KL_OK;
}

kl_status kl_codegen_cpu_group(const kl_kernel *const *kernels, int n, const kl_target *t,
                               kl_text out[KL_LLVM_CLASS_COUNT], uint8_t *cls)
{
    kl_llvm_unit u;
    LLVMModuleRef mod[KL_LLVM_CLASS_COUNT] = {0};
    kl_arena *a = kl_arena_new();
    if (!a)
        return kl_fail(KL_ERR_OOM, "llvm: %d kernels", n);
    kl_status s = kl_llvm_begin(&u, "kernels", t, KL_LLVM_NORMAL, false);
    if (s == KL_OK && !LL.LinkModules2)
        s = kl_fail(KL_ERR_COMPILE, "LLVM: built without its linker of modules");
    for (int i = 0; i < n && s == KL_OK; i++) {
        char symbol[256];
        kl_codegen_symbol(kernels[i]->name, symbol, sizeof symbol);
        s = join(&u, kernels[i], symbol, a, mod, &cls[i]);
    }
    for (int c = 0; c < KL_LLVM_CLASS_COUNT; c++) {
        if (mod[c] && s == KL_OK)
            s = kl_llvm_emit(mod[c], t, c, KL_LLVM_OBJECT, &out[c]);
        kl_llvm_drop(&u, mod[c]);
    }
    kl_llvm_end(&u);
    kl_arena_free(a);
    return s;
}

kl_status kl_codegen_cpu(const kl_kernel *const *kernels, int n, const kl_target *t,
                         kl_llvm_output what, kl_text *out)
{
    return generate(kernels, n, t, what, false, out);
}

kl_status kl_codegen_cpu_lines(const kl_kernel *const *kernels, int n, const kl_target *t,
                               kl_llvm_output what, kl_text *out)
{
    return generate(kernels, n, t, what, true, out);
}
