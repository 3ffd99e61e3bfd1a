/* force.c: computing. What is due is put into linear form, its program found or made,
 * run, and the results become the nodes' values.
 *
 *   lock: linear form   |   find or compile, run   |   lock: values, let sources go
 *
 * Besides what was asked for, a force computes this thread's written storages and new
 * gradients, small values that somebody holds, and values that an earlier force had to
 * compute on the way: so nothing is computed more than twice, and a training step is one
 * program. Nodes that a gradient may still pass through keep their sources. */
#include "front.h"

static __thread struct {
    kl_linear l;
    bool busy;
} scratch;

void kl_force_trim(void)
{
    if (!scratch.busy)
        kl_linear_free(&scratch.l);
}

static bool done(kl_lazy *n)
{
    return n->small || kl_lazy_mem(n) != NULL;
}

/* This thread's written storages join the roots; afterwards its list is empty, unless
 * this is only to see what would be computed. */
static bool take_dirty(kl_list *roots, kl_list *held, bool looking)
{
    kl_state *st = kl_thread();
    bool ok = true;
    for (size_t i = st->ndirty; i-- > 0;) {
        kl_storage *s = st->dirty[i];
        kl_lazy *n = kl_storage_node(s);
        if (!looking) {
            __atomic_store_n(&s->dirty, 0, __ATOMIC_RELAXED);
            kl_storage_unref(s);
            st->ndirty = i;
        }
        if (ok && !done(n) && n->op != KL_OP_input) {
            ok = kl_list_add(roots, n) && kl_list_add(held, n);
            if (ok)
                continue;
        }
        kl_lazy_unref(n);
    }
    return ok;
}

/* Under the lock: results become values. Sources that are let go wait in dead. */
static void commit(kl_linear *l, kl_memory **out)
{
    for (uint32_t i = 0; i < l->outputs.n; i++) {
        kl_lazy *n = l->outputs.v[i];
        if (!n->mem)
            __atomic_store_n(&n->mem, kl_memory_ref(out[i]), __ATOMIC_RELEASE);
        __atomic_store_n(&n->depth, 0, __ATOMIC_RELAXED);
    }
}

/* The sources of a computed node, when no gradient will ask for them. */
static void forget(kl_linear *l, kl_list *dead)
{
    for (uint32_t i = 0; i < l->outputs.n; i++) {
        kl_lazy *n = l->outputs.v[i];
        if (n->track)
            continue;
        int nsrc = n->nsrc;
        for (int k = 0; k < nsrc; k++)
            if (!kl_list_add(dead, kl_lazy_src(n, k)))
                return;
        n->nsrc = 0;
    }
}

static void *(*wait_begin)(void);
static void (*wait_end)(void *);

void kl_set_wait(void *(*begin)(void), void (*end)(void *))
{
    kl_serial = begin != NULL;
    wait_begin = begin;
    wait_end = end;
}

/* The part that may take long: compiling and running. */
static kl_status run_program(kl_linear *l, kl_entry **e, kl_memory **out)
{
    void *token = wait_begin ? wait_begin() : NULL;
    kl_fork_enter();
    kl_status st = kl_cache_get(l, l->device, e);
    kl_stop_watch before = kl_stop_begin(token);
    if (st == KL_OK)
        st = kl_entry_run(*e, l, out);
    kl_stop_end(before);
    kl_fork_leave();
    if (wait_end)
        wait_end(token);
    return st;
}

static kl_status compute(kl_linear *l)
{
    kl_entry *e = NULL;
    kl_list dead = {0};
    kl_memory **out = kl_alloc_zeroed(l->outputs.n * sizeof *out + 1);
    kl_status st =
        out ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %u results", l->outputs.n);
    if (st == KL_OK)
        st = run_program(l, &e, out);
    if (st == KL_OK) {
        pthread_mutex_lock(&kl_graph_lock);
        commit(l, out);
        forget(l, &dead);
        pthread_mutex_unlock(&kl_graph_lock);
    }
    for (uint32_t i = 0; i < dead.n; i++)
        kl_lazy_unref(dead.v[i]);
    kl_free(dead.v, dead.cap * sizeof *dead.v);
    for (uint32_t i = 0; out && i < l->outputs.n; i++)
        kl_memory_unref(out[i]);
    kl_free(out, l->outputs.n * sizeof *out + 1);
    kl_entry_unref(e);
    return st;
}

/* The linear form of those roots that have no value yet; *left: how many. */
static kl_status linear_form(kl_linear *l, kl_list *roots, uint32_t *left)
{
    uint32_t n = 0;
    pthread_mutex_lock(&kl_graph_lock);
    for (uint32_t i = 0; i < roots->n; i++)
        if (!done(roots->v[i]))
            roots->v[n++] = roots->v[i];
    kl_status st = n ? kl_linearise(l, roots->v, (int)n, true) : KL_OK;
    pthread_mutex_unlock(&kl_graph_lock);
    for (uint32_t i = 0; st == KL_OK && i < l->inputs.n; i++)
        if (!l->given[i].base)
            st = kl_fail(KL_ERR_STATE,
                         "a parameter of a function being traced has no value; "
                         "its elements cannot be looked at there");
    *left = n;
    return st;
}

/* Roots of the first one's device to the front; how many. */
static uint32_t same_device(kl_lazy **v, uint32_t n)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) {
        kl_lazy *r = v[i];
        if (r->device != v[0]->device && k > 0)
            continue;
        v[i] = v[k];
        v[k++] = r;
    }
    return k;
}

/* A program runs on one device. */
static kl_status force_list(kl_linear *l, kl_list *roots)
{
    kl_status st = KL_OK;
    for (uint32_t at = 0; at < roots->n && st == KL_OK;) {
        kl_list part = {roots->v + at, same_device(roots->v + at, roots->n - at), 0};
        uint32_t n = 0, all = part.n;
        kl_linear_reset(l);
        st = linear_form(l, &part, &n);
        if (st == KL_OK && n)
            st = compute(l);
        at += all;
    }
    return st;
}

kl_status kl_force_look(kl_lazy *const *roots, int n, kl_linear *l, kl_entry **out)
{
    kl_list list = {0}, held = {0};
    bool ok = true;
    uint32_t left = 0;
    *out = NULL;
    l->looking = true;
    for (int i = 0; i < n && ok; i++)
        ok = kl_list_add(&list, roots[i]);
    ok = ok && take_dirty(&list, &held, true);
    kl_status st = ok ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory");
    if (ok && list.n && same_device(list.v, list.n) < list.n)
        st =
            kl_fail(KL_ERR_UNSUPPORTED, "values of several devices are several programs");
    if (st == KL_OK)
        st = linear_form(l, &list, &left);
    if (st == KL_OK && left)
        st = kl_cache_get(l, l->device, out);
    if (st != KL_OK && *out) {
        kl_entry_unref(*out);
        *out = NULL;
    }
    for (uint32_t i = 0; i < held.n; i++)
        kl_lazy_unref(held.v[i]);
    kl_free(held.v, held.cap * sizeof *held.v);
    kl_free(list.v, list.cap * sizeof *list.v);
    return st;
}

kl_status kl_force(kl_lazy *const *roots, int n)
{
    kl_linear own = {0}, *l = scratch.busy ? &own : &scratch.l;
    kl_list list = {0}, held = {0};
    bool outer = !scratch.busy, ok = true;
    int left = 0;
    for (int i = 0; i < n; i++)
        left += !roots[i] || !done(roots[i]);
    if (left == 0)
        return KL_OK;
    for (int i = 0; i < n && ok; i++)
        ok = roots[i] && kl_list_add(&list, roots[i]);
    ok = ok && take_dirty(&list, &held, false);
    scratch.busy = true;
    kl_thread()->pending = 0;
    kl_thread()->forces++;
    kl_status st = ok ? force_list(l, &list) : kl_fail(KL_ERR_OOM, "out of memory");
    if (outer)
        scratch.busy = false;
    kl_linear_reset(l);
    kl_linear_free(&own);
    if (st == KL_ERR_INDEX && outer)
        st = kl_index_explain(list.v, (int)list.n);
    for (uint32_t i = 0; i < held.n; i++)
        kl_lazy_unref(held.v[i]);
    kl_free(held.v, held.cap * sizeof *held.v);
    kl_free(list.v, list.cap * sizeof *list.v);
    return st;
}

kl_status kl_force_one(kl_lazy *n)
{
    return kl_force(&n, 1);
}

kl_status kl_force_dirty(void)
{
    kl_state *st = kl_thread();
    while (st->ndirty > 0) { /* the first pending one takes the others with it */
        kl_storage *s = st->dirty[st->ndirty - 1];
        kl_lazy *n = kl_storage_node(s);
        bool pending = !done(n) && n->op != KL_OP_input;
        if (!pending) {
            st->ndirty--;
            __atomic_store_n(&s->dirty, 0, __ATOMIC_RELAXED);
            kl_storage_unref(s);
        }
        kl_status r = pending ? kl_force_one(n) : KL_OK;
        kl_lazy_unref(n);
        KL_TRY(r);
    }
    return KL_OK;
}

/* Where the elements come from when only gradients are stopped on the way. */
static kl_lazy *through(kl_lazy *n)
{
    pthread_mutex_lock(&kl_graph_lock);
    while (n->op == KL_OP_detach && n->nsrc > 0 && !n->mem)
        n = kl_lazy_src(n, 0);
    kl_lazy_ref(n);
    pthread_mutex_unlock(&kl_graph_lock);
    return kl_lazy_temp(n);
}

kl_status kl_value(kl_lazy *n, const void **bytes)
{
    *bytes = NULL;
    n = through(n);
    if (!n)
        return KL_ERR_OOM;
    KL_TRY(kl_force_one(n));
    if (n->small) {
        *bytes = kl_lazy_small_bytes(n);
        return KL_OK;
    }
    n = kl_lazy_to(n, 0);
    if (!n)
        return kl_error_status();
    *bytes = kl_lazy_mem(n)->base;
    return KL_OK;
}
