/* cuda_object.c: lowered kernels to bytes for a CUDA target: the prelude's parts that
 * they need, their CUDA C, and NVRTC's PTX or cubin of it.
 *
 *   softmax, head.0  ->  one text with softmax_0, head_0_0, head_0_1  ->  one cubin
 *
 * Names keep to what C takes: the '.' of a phase's name is a '_' here, and the loader of
 * modules knows it. */
#include "codegen/codegen.h"

typedef char symbol_name[128];

void kl_cuda_symbol(const char *name, char *out, size_t cap)
{
    kl_codegen_symbol(name, out, cap);
    for (char *p = out; *p; p++)
        if (*p == '.')
            *p = '_';
}

static void symbol_of(const kl_kernel *k, symbol_name out)
{
    kl_cuda_symbol(k->name, out, sizeof(symbol_name));
}

static kl_status unique(const kl_kernel *const *kernels, int n)
{
    symbol_name s, other;
    symbol_of(kernels[n], s);
    for (int i = 0; i < n; i++) {
        symbol_of(kernels[i], other);
        if (strcmp(s, other) == 0)
            return kl_fail(KL_ERR_ARG, "cuda: two kernels named %s in one text", s);
    }
    return KL_OK;
}

static kl_status emit_all(const kl_kernel *const *kernels, int n, kl_arena *a,
                          unsigned *parts, kl_text *out)
{
    for (int i = 0; i < n; i++) {
        symbol_name s;
        KL_TRY(unique(kernels, i));
        symbol_of(kernels[i], s);
        if (i)
            kl_text_put(out, "\n");
        KL_TRY(kl_cuda_kernel(kernels[i], s, a, parts, out));
    }
    return KL_OK;
}

static kl_status compile(const char *name, const kl_text *text, const kl_target *t,
                         kl_cuda_output what, kl_text *out)
{
    kl_nvrtc_code code;
    kl_nvrtc_form form = what == KL_CUDA_CUBIN ? KL_NVRTC_CUBIN : KL_NVRTC_PTX;
    KL_TRY(kl_nvrtc_compile(name, text->s, t->name, form, &code));
    kl_text_putn(out, code.bytes, code.size);
    if (code.spill_bytes > 0)
        kl_debug("%s for %s: %lld bytes of spill and stack", name, t->name,
                 (long long)code.spill_bytes);
    kl_nvrtc_free(&code);
    return out->failed ? kl_fail(KL_ERR_OOM, "cuda: the code of %s", name) : KL_OK;
}

kl_status kl_codegen_cuda(const kl_kernel *const *kernels, int n, const kl_target *t,
                          kl_cuda_output what, kl_text *out)
{
    unsigned parts = 0;
    kl_text body = {0}, text = {0};
    kl_arena *a = kl_arena_new();
    if (!a)
        return kl_fail(KL_ERR_OOM, "cuda: %d kernels", n);
    kl_status s = emit_all(kernels, n, a, &parts, &body);
    if (s == KL_OK && what != KL_CUDA_BODY) {
        kl_cuda_prelude(&text, parts);
        kl_text_put(&text, "\n");
    }
    kl_text_putn(&text, body.s ? body.s : "", body.len);
    if (s == KL_OK && text.failed)
        s = kl_fail(KL_ERR_OOM, "cuda: the text of %d kernels", n);
    if (s == KL_OK && (what == KL_CUDA_TEXT || what == KL_CUDA_BODY))
        kl_text_putn(out, text.s ? text.s : "", text.len);
    else if (s == KL_OK)
        s = compile(n > 0 ? kernels[0]->name : "kernels", &text, t, what, out);
    kl_text_free(&body);
    kl_text_free(&text);
    kl_arena_free(a);
    return s;
}
