/* peek.c: the value of a small tensor by the interpreter. What computes a shape in a
 * model (shape -> gather -> concat) is many programs of a few integers each, that would
 * take the compiler milliseconds and run once.
 *
 *   linear form of t's cone -> graph -> kl_graph_interp -> the caller's bytes
 *
 * The bits are those of the compiled program; nothing is kept. */
#include "front.h"

enum { NODES = 256, ELEMENTS = 1024 };

static bool is_small(const kl_linear *l, const kl_graph *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        kl_type t;
        kl_graph_type(g, i, &t);
        if (kl_count(t.rank, t.shape) > ELEMENTS)
            return false;
    }
    return l->device == 0;
}

static kl_status input(const kl_linear *l, uint32_t i, kl_buffer *b)
{
    const kl_given *at = &l->given[i];
    kl_lazy *n = l->inputs.v[i];
    char *base = at->base->small ? (char *)(uintptr_t)kl_lazy_small_bytes(at->base)
                                 : kl_lazy_mem(at->base)->base;
    size_t size = (size_t)kl_lazy_numel(n) * kl_dtypes[n->dtype].size;
    *b = (kl_buffer){.dtype = (kl_dtype)n->dtype, .rank = n->rank};
    memcpy(b->shape, kl_lazy_shape(n), n->rank * sizeof *b->shape);
    kl_buffer_dense_strides(b);
    b->mem = kl_memory_wrap(base + at->at, size, true, NULL, NULL);
    return b->mem ? KL_OK : kl_error_status();
}

static kl_status interpret(const kl_linear *l, const kl_graph *g, void *to, size_t size)
{
    kl_buffer *b = kl_alloc_zeroed((l->inputs.n + 1) * sizeof *b), y = {0};
    kl_status st = b ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for operands");
    for (uint32_t i = 0; i < l->inputs.n && st == KL_OK; i++)
        st = input(l, i, &b[i]);
    if (st == KL_OK)
        st = kl_graph_interp(g, b, NULL, &y);
    if (st == KL_OK && size)
        memcpy(to, y.mem->base, size);
    if (st == KL_OK)
        kl_memory_unref(y.mem);
    for (uint32_t i = 0; b && i < l->inputs.n; i++)
        kl_memory_unref(b[i].mem);
    kl_free(b, (l->inputs.n + 1) * sizeof *b);
    return st;
}

/* *done: it was small enough. */
static kl_status peek(kl_lazy *n, kl_linear *l, kl_arena *a, void *to, size_t size,
                      bool *done)
{
    kl_graph *g = NULL;
    pthread_mutex_lock(&kl_graph_lock);
    kl_status st = kl_linearise(l, &n, 1, false);
    pthread_mutex_unlock(&kl_graph_lock);
    for (uint32_t i = 0; st == KL_OK && i < l->inputs.n; i++)
        if (!l->given[i].base)
            st = kl_fail(KL_ERR_STATE,
                         "a parameter of a function being traced has no value; its "
                         "elements cannot be looked at there");
    if (st != KL_OK || l->nnodes > NODES || l->device != 0)
        return st;
    st = kl_import(l, a, NULL, &g);
    if (st == KL_OK && is_small(l, g)) {
        st = kl_prepare_interp(a, &g);
        if (st == KL_OK)
            st = interpret(l, g, to, size);
        *done = true;
    }
    return st;
}

kl_status kl_peek_at(const char *at, kl_tensor *t, void *to, size_t size)
{
    kl_call c = kl_call_begin(at);
    bool done = false;
    kl_lazy *n = kl_arg_tensor(t);
    bool given = kl_arg_given(to, (int64_t)size, "the place for the elements");
    kl_status st = n && given ? KL_OK : KL_ERR_ARG;
    if (n && given && !n->small && !kl_lazy_mem(n) && n->op != KL_OP_input &&
        size == (size_t)kl_nbytes(t)) {
        kl_linear l = {0};
        kl_arena *a = kl_arena_new();
        st = a ? peek(n, &l, a, to, size, &done)
               : kl_fail(KL_ERR_OOM, "out of memory to look at a tensor");
        kl_linear_free(&l);
        kl_arena_free(a);
    }
    kl_call_done(&c, st);
    return st != KL_OK || done ? st : kl_copy_out_at(at, t, to, size);
}
