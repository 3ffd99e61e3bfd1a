/* trace.c: calling the user's function on parameters without values, for kl_compile.
 *
 *   in[0] = input f32[32,64] without memory;  fn(in, out);  linear form of out, in[..]
 * first */
#include "function.h"

kl_tensor *kl_trace_parameter(const kl_input *in, int device)
{
    kl_call c = kl_call_enter(kl_place(), "parameter");
    int64_t n;
    kl_lazy *p = NULL;
    if (in->shape.n > KL_INTS_MAX || in->dtype >= KL_DTYPE_COUNT)
        kl_fail(KL_ERR_ARG, "input %s has no such dtype or too many dimensions",
                in->name ? in->name : "");
    else if (kl_shape_count(in->shape.n, in->shape.v, in->dtype, &n) == KL_OK)
        p = kl_lazy_input(NULL, in->dtype, in->shape.n, in->shape.v);
    if (p)
        p->device = (uint8_t)device;
    if (p && in->name)
        p->name = kl_intern(in->name);
    return kl_call_end(&c, p);
}

/* ---- what is constant ---- */

enum {
    OUTSIDE = 1,
    INSIDE = 2
}; /* of kl_lazy's `stored`, while constants are looked for */

/* Tensors that the trace made itself are no constants where sizes are open: they are made
 * of these. */
static void set_inside(uint8_t from, uint8_t to)
{
    const kl_state *s = kl_thread();
    for (size_t i = s->scopes[s->nscopes - 1]; i < s->nowned; i++) {
        kl_lazy *n = s->owned[i]->storage->node;
        if (n && n->stored == from)
            __atomic_store_n(&n->stored, to, __ATOMIC_RELAXED);
    }
}

/* Under the lock: nodes of the cone that depend on no parameter and belong to a tensor of
 * somebody outside: the highest of them. */
static bool constants(kl_lazy *root, kl_list *stack, kl_list *out, uint32_t mark)
{
    bool ok = kl_list_add(stack, root);
    while (ok && stack->n > 0) {
        kl_lazy *n = stack->v[stack->n - 1];
        bool leaf = n->op == KL_OP_input || n->mem != NULL;
        if (n->mark == mark && n->index != KL_NONE) {
            stack->n--;
        } else if (n->mark == mark || leaf || n->nsrc == 0) {
            bool depends = n->op == KL_OP_input && !n->mem && !n->small;
            for (int i = 0; !leaf && i < n->nsrc; i++)
                depends |= kl_lazy_src(n, i)->index == 1;
            n->mark = mark;
            n->index = depends;
            for (int i = 0; !leaf && depends && ok && i < n->nsrc; i++) {
                kl_lazy *s = kl_lazy_src(n, i);
                if (s->index == 0 && s->stored == OUTSIDE && !s->mem && s->nsrc > 0 &&
                    !(kl_ops[s->op].flags & KL_F_MULTI))
                    ok = kl_list_hold(out, s);
            }
            stack->n--;
        } else {
            n->mark = mark;
            n->index = KL_NONE;
            for (int i = n->nsrc; ok && i-- > 0;)
                if (kl_lazy_src(n, i)->mark != mark)
                    ok = kl_list_add(stack, kl_lazy_src(n, i));
        }
    }
    return ok;
}

/* Not what the trace has written: that hangs on parameters without values. */
static kl_status force_constants(kl_list *found)
{
    kl_state *s = kl_thread();
    size_t n = s->ndirty;
    s->ndirty = 0;
    kl_status st = kl_force(found->v, (int)found->n);
    s->ndirty = n;
    return st;
}

static kl_status compute_constants(kl_lazy *const *roots, int n, bool open)
{
    kl_list stack = {0}, found = {0};
    bool ok = true;
    pthread_mutex_lock(&kl_graph_lock);
    uint32_t mark = kl_next_mark();
    if (open)
        set_inside(OUTSIDE, INSIDE);
    for (int i = 0; i < n && ok; i++)
        ok = constants(roots[i], &stack, &found, mark);
    if (open)
        set_inside(INSIDE, OUTSIDE);
    pthread_mutex_unlock(&kl_graph_lock);
    kl_status st = !ok       ? kl_fail(KL_ERR_OOM, "out of memory for a function")
                   : found.n ? force_constants(&found)
                             : KL_OK;
    for (uint32_t i = 0; i < found.n; i++)
        kl_lazy_unref(found.v[i]);
    kl_free(found.v, found.cap * sizeof *found.v);
    kl_free(stack.v, stack.cap * sizeof *stack.v);
    return st;
}

kl_status kl_trace_end(size_t before)
{
    kl_state *s = kl_thread();
    size_t n = s->ndirty - before;
    kl_storage **d = kl_alloc((n + 1) * sizeof *d);
    kl_status st = d ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for a function");
    if (d && n)
        memcpy(d, s->dirty + before, n * sizeof *d);
    s->ndirty = d ? before : s->ndirty;
    kl_scope_end();
    for (size_t i = 0; d && i < n; i++) {
        if (__atomic_load_n(&d[i]->refs, __ATOMIC_RELAXED) > 1)
            st = kl_fail(KL_ERR_STATE,
                         "a traced function wrote in place to a tensor from outside");
        __atomic_store_n(&d[i]->dirty, 0, __ATOMIC_RELAXED);
        kl_storage_unref(d[i]);
    }
    kl_free(d, (n + 1) * sizeof *d);
    return st;
}

/* ---- the trace ---- */

/* Each result a node of its own that is no input. */
static kl_status results(kl_tensor *const *out, int nout, kl_lazy **roots)
{
    for (int i = 0; i < nout; i++) {
        kl_lazy *n = kl_arg_tensor(out[i]);
        bool copy = n && (n->op == KL_OP_input || n->mem);
        for (int k = 0; k < i && n; k++)
            copy |= roots[k] == n;
        roots[i] = copy ? kl_n_copy(n) : n;
        if (!roots[i])
            return kl_error_status();
        if (out[i]->name && !roots[i]->name)
            roots[i]->name = out[i]->name;
    }
    return KL_OK;
}

static kl_status linear_form(kl_tensor *const *in, int nin, kl_lazy *const *roots,
                             int nout, bool open, kl_linear *l)
{
    KL_TRY(compute_constants(roots, nout, open));
    pthread_mutex_lock(&kl_graph_lock);
    for (int i = 0; i < nin; i++)
        l->failed |= !kl_list_add(&l->first, in[i]->storage->node);
    kl_status st = kl_linearise(l, roots, nout, false);
    pthread_mutex_unlock(&kl_graph_lock);
    l->first.n = 0; /* they were borrowed */
    return st;
}

static kl_status trace(kl_trace_fn fn, void *user, const kl_input *in, int nin, int nout,
                       bool open, kl_tensor **t, kl_lazy **roots, kl_linear *l)
{
    kl_state *s = kl_thread();
    bool inner = s->tracing, outer = s->open, made = true;
    uint32_t pending = s->pending;
    s->tracing = true;
    s->open = open;
    for (int i = 0; i < nin && made; i++)
        made = (t[i] = kl_trace_parameter(&in[i], KL_FREE)) != NULL;
    if (made)
        fn(t, t + nin, user);
    s->tracing = inner;
    s->open = outer;
    s->pending = pending; /* what the trace made is not due */
    if (!made || kl_failed())
        return kl_error_status();
    KL_TRY(results(t + nin, nout, roots));
    return linear_form(t, nin, roots, nout, open, l);
}

kl_status kl_trace(kl_trace_fn fn, void *user, const kl_input *in, int nin, int nout,
                   bool open, kl_linear *l)
{
    size_t n = (size_t)(nin + nout + 1);
    if (nin < 0 || nout <= 0)
        return kl_fail(KL_ERR_ARG, "a function of %d inputs and %d outputs", nin, nout);
    if (!fn || !kl_arg_given(in, nin, "the list of inputs"))
        return fn ? KL_ERR_ARG : kl_fail(KL_ERR_ARG, "the function to trace is NULL");
    kl_force_dirty();
    size_t before = kl_thread()->ndirty;
    kl_tensor **t = kl_alloc_zeroed(n * sizeof *t);
    kl_lazy **roots = kl_alloc_zeroed(n * sizeof *roots);
    kl_scope_begin();
    kl_status st =
        t && roots
            ? trace(fn, user, in, nin, nout, open, t, roots, l)
            : kl_fail(KL_ERR_OOM, "out of memory for %d inputs and outputs", nin + nout);
    kl_status end = kl_trace_end(before);
    kl_free(t, n * sizeof *t);
    kl_free(roots, n * sizeof *roots);
    return st == KL_OK ? end : st;
}

kl_function *kl_compile_at(const char *at, kl_trace_fn fn, void *user, const kl_input *in,
                           int nin, int nout)
{
    return kl_compile_donating_at(at, fn, user, in, nin, nout, NULL);
}

kl_function *kl_compile_donating_at(const char *at, kl_trace_fn fn, void *user,
                                    const kl_input *in, int nin, int nout,
                                    const int *donated)
{
    kl_call c = kl_call_begin(at);
    kl_linear l = {0};
    kl_function *f = NULL;
    size_t n = (size_t)KL_MAX(nin, 0) + 1;
    const char **names = kl_alloc_zeroed(n * sizeof *names);
    kl_status st = names ? kl_trace(fn, user, in, nin, nout, false, &l)
                         : kl_fail(KL_ERR_OOM, "out of memory for %d inputs", nin);
    for (int i = 0; st == KL_OK && i < nin; i++)
        names[i] = in[i].name;
    if (st == KL_OK)
        f = kl_function_from(&l, nin, names, donated, NULL);
    kl_linear_free(&l);
    kl_free(names, n * sizeof *names);
    kl_call_done(&c, KL_OK);
    return f;
}
