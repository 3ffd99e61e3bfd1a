/* exposed.c: memory that others may write into at any time (NumPy's arrays). What reads
 * it is computed before the call returns, or reads a copy and stays lazy where that costs
 * less:
 *
 *   x [20000, 1, 16] - c [1, 32, 16], both NumPy's:    copies of 1.3 MB, not 41 MB of
 *   ((x - c) ** 2).sum(-1)                             differences written and read again
 *
 * A function being traced computes nothing, and captures the value as it is. */
#include "front.h"

enum { COPIED = 16384, LARGER = 2, MOST = 64 };

static kl_lazy *copied(kl_lazy *n)
{
    size_t size = kl_lazy_bytes(n);
    kl_memory *mem = kl_lazy_mem(n), *copy = kl_memory_new(0, size);
    kl_lazy *own =
        copy ? kl_lazy_input(copy, (kl_dtype)n->dtype, n->rank, kl_lazy_shape(n)) : NULL;
    if (own) {
        memcpy(copy->base, mem->base, size);
        own->name = n->name;
    }
    kl_memory_unref(copy);
    return own;
}

kl_lazy *kl_read_exposed(kl_tensor *t, kl_lazy *n)
{
    kl_state *st = kl_thread();
    kl_memory *mem = kl_lazy_mem(n);
    bool plain = !n->track && !t->leaf && mem && mem->device == 0;
    kl_lazy *own =
        plain && (kl_lazy_bytes(n) <= COPIED || st->tracing) ? copied(n) : NULL;
    if (own || st->tracing)
        return own ? own : n;
    st->exposed = true;
    if (plain && st->nbare < KL_BARE)
        st->bare[st->nbare++] = n;
    else
        st->nbare = KL_BARE + 1;
    return n;
}

/* ---- a result that is larger than what it reads ---- */

typedef struct swap {
    kl_lazy *from[MOST], *to[MOST];
    int n;
} swap;

static kl_lazy *swapped(const swap *s, kl_lazy *n)
{
    for (int i = s->n; i-- > 0;)
        if (s->from[i] == n)
            return s->to[i];
    return n;
}

static bool add(swap *s, kl_lazy *from, kl_lazy *to)
{
    if (!to || s->n == MOST)
        return false;
    s->from[s->n] = from;
    s->to[s->n++] = to;
    return true;
}

/* n, made by this call, over what its sources became; false: it cannot be made again. */
static bool make_again(swap *s, kl_lazy *n)
{
    kl_lazy *src[MOST];
    bool same = true;
    if (n->nsrc > MOST || swapped(s, n) != n)
        return swapped(s, n) != n;
    for (int i = 0; i < n->nsrc; i++) {
        src[i] = swapped(s, kl_lazy_src(n, i));
        same = same && src[i] == kl_lazy_src(n, i);
    }
    if (same)
        return true;
    if (n->leaf || n->mem || n->indexed || kl_ops[n->op].kind >= KL_KIND_CONTROL)
        return false;
    kl_lazy *own = kl_lazy_make(&(kl_make){(kl_op)n->op, (kl_dtype)n->dtype, n->rank,
                                           kl_lazy_shape(n), src, n->nsrc,
                                           kl_lazy_attr(n), n->nattr});
    if (own)
        own->name = n->name, own->fn = n->fn, own->own = n->own;
    return add(s, n, own);
}

kl_lazy *kl_stay_lazy(const kl_call *c, kl_lazy *r)
{
    kl_state *st = kl_thread();
    size_t total = 0, made = st->ntemps;
    swap s = {.n = 0};
    for (int i = 0; i < st->nbare && st->nbare <= KL_BARE; i++)
        total += kl_lazy_bytes(st->bare[i]);
    if (!total || kl_lazy_bytes(r) < LARGER * total)
        return r;
    bool ok = true;
    for (int i = 0; i < st->nbare && ok; i++)
        ok = swapped(&s, st->bare[i]) != st->bare[i] ||
             add(&s, st->bare[i], copied(st->bare[i]));
    for (size_t i = c->temps; i < made && ok; i++)
        ok = make_again(&s, st->temps[i]);
    kl_lazy *own = ok ? swapped(&s, r) : r;
    if (own != r)
        st->exposed = false;
    return own;
}
