/* lazy.c: nodes: immutable values of the lazy graph, made without a lock, released
 * without recursion. A node's shape, attributes and sources follow it in one block, the
 * first two being the bytes that its key is made of.
 *
 *   +------+-----------------+--------------+-------------+
 *   | head | shape[rank]     | attr[nattr]  | src[nsrc]   |
 *   +------+-----------------+--------------+-------------+ */
#include "front.h"

pthread_mutex_t kl_graph_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t last_mark;

uint32_t kl_next_mark(void)
{
    return ++last_mark;
}

/* This thread's count: no other one writes it. */
static void alive(int change)
{
    int64_t *n = &kl_thread()->nodes;
    __atomic_store_n(n, *n + change, __ATOMIC_RELAXED);
}

static size_t size_of(int rank, int nattr, int nsrc)
{
    return sizeof(kl_lazy) + (size_t)(rank + nattr) * sizeof(int64_t) +
           (size_t)nsrc * sizeof(kl_lazy *);
}

int64_t kl_count(int rank, const int64_t *shape)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

int64_t kl_lazy_numel(kl_lazy *n)
{
    return kl_count(n->rank, kl_lazy_shape(n));
}

size_t kl_lazy_bytes(kl_lazy *n)
{
    return (size_t)kl_lazy_numel(n) * kl_dtypes[n->dtype].size;
}

kl_lazy *kl_lazy_ref(kl_lazy *n)
{
    if (n)
        kl_count_up(&n->refs);
    return n;
}

/* ---- release: dead nodes wait on a list through their `mem` field ---- */

static kl_lazy *bury(kl_lazy *n, kl_lazy *dead)
{
    if (!n || kl_count_down(&n->refs) != 0)
        return dead;
    kl_memory_unref(n->mem);
    kl_leaf *leaf = n->leaf;
    n->leaf = NULL;
    if (leaf && (n->op != KL_OP_detach || leaf->of_node)) /* a variable's leaf owns it */
        kl_leaf_unref(leaf);
    kl_counter_unref(n->counter);
    n->mem = (kl_memory *)(void *)dead;
    return n;
}

void kl_lazy_unref(kl_lazy *n)
{
    kl_lazy *dead = bury(n, NULL);
    while (dead) {
        kl_lazy *d = dead;
        dead = (kl_lazy *)(void *)d->mem;
        for (int i = 0; i < d->nsrc; i++)
            dead = bury(kl_lazy_src(d, i), dead);
        alive(-1);
        kl_slab_free(d, d->size);
    }
}

void kl_lazy_forget(kl_lazy *n)
{
    int nsrc = n->nsrc;
    n->nsrc = 0;
    for (int i = 0; i < nsrc; i++)
        kl_lazy_unref(kl_lazy_srcs(n)[i]);
}

kl_memory *kl_lazy_mem(kl_lazy *n)
{
    return __atomic_load_n(&n->mem, __ATOMIC_ACQUIRE);
}

void kl_lazy_move(kl_lazy *n, kl_memory *mem)
{
    kl_memory *old = __atomic_exchange_n(&n->mem, kl_memory_ref(mem), __ATOMIC_ACQ_REL);
    kl_memory_unref(old);
}

/* ---- making ---- */

static bool is_real(kl_dtype dt)
{
    return kl_is_float(dt) || kl_is_complex(dt);
}

/* Whether kl_infer takes the attributes without a table of expressions. */
static bool plain(const kl_make *m)
{
    bool maps = m->op == KL_OP_strided || m->op == KL_OP_update;
    for (int i = 0; maps && i < m->nattr; i++)
        if (m->attr[i] < 0)
            return false;
    return m->nsrc <= 64 && kl_ops[m->op].kind < KL_KIND_CONTROL;
}

/* What inference refuses (numbers near the end of 64 bits) is refused here, not when it
 * is computed; what it finds otherwise than the frontend did is a mistake of the
 * frontend's. */
static kl_status verify(const kl_make *m)
{
    kl_type src[64], want = {.dtype = m->dtype, .rank = m->rank}, got;
    uint32_t n = (uint32_t)m->nsrc;
    memcpy(want.shape, m->shape, (size_t)m->rank * sizeof *m->shape);
    for (uint32_t i = 0; i < n; i++) {
        src[i].dtype = (kl_dtype)m->src[i]->dtype;
        src[i].rank = m->src[i]->rank;
        memcpy(src[i].shape, kl_lazy_shape(m->src[i]), m->src[i]->rank * sizeof(int64_t));
    }
    kl_status s = kl_infer(NULL, m->op, src, n, m->attr, (uint32_t)m->nattr, &want, &got);
    if (s != KL_OK) {
        kl_fail_more(" (claimed by the frontend)");
        return s;
    }
    KL_ASSERT(got.dtype == m->dtype && got.rank == m->rank &&
              memcmp(got.shape, want.shape, (size_t)m->rank * sizeof(int64_t)) == 0);
    return KL_OK;
}

static kl_lazy *blank(const kl_make *m)
{
    size_t size = size_of(m->rank, m->nattr, m->nsrc);
    size = KL_MAX(size, size_of(m->rank, 1, 1)); /* room for kl_lazy_barrier */
    kl_lazy *n = kl_slab_alloc(size);
    if (!n)
        return NULL;
    *n = (kl_lazy){.refs = 1,
                   .op = (uint16_t)m->op,
                   .dtype = (uint8_t)m->dtype,
                   .rank = (uint8_t)m->rank,
                   .nsrc = (uint16_t)m->nsrc,
                   .nattr = (uint16_t)m->nattr,
                   .size = (uint32_t)size,
                   .device = KL_FREE,
                   .place = kl_place()};
    memcpy(kl_lazy_shape(n), m->shape, (size_t)m->rank * sizeof(int64_t));
    memcpy(kl_lazy_attr(n), m->attr, (size_t)m->nattr * sizeof(int64_t));
    alive(1);
    return n;
}

kl_status kl_lazy_barrier(kl_lazy *n, bool leaf)
{
    if (n->op == KL_OP_detach)
        return KL_OK;
    kl_lazy *m = kl_slab_alloc(n->size);
    if (!m)
        return kl_fail(KL_ERR_OOM, "out of memory for a derivative");
    memcpy(m, n, n->size); /* the sources are m's now */
    m->refs = 1;
    m->stored = 0;
    m->leaf = leaf ? n->leaf : NULL;
    n->leaf = leaf ? NULL : n->leaf;
    m->mem = kl_memory_ref(n->mem);
    if (m->counter)
        kl_count_up(&m->counter->refs);
    alive(1);
    n->op = KL_OP_detach;
    n->nattr = n->nsrc = 1;
    *kl_lazy_attr(n) = 0;
    kl_lazy_srcs(n)[0] = m;
    return KL_OK;
}

/* Keep n until the call ends. */
static kl_lazy *temporary(kl_lazy *n)
{
    kl_state *s = kl_thread();
    if (!kl_grow(&s->temps, s->ntemps, &s->cap_temps, sizeof *s->temps)) {
        kl_fail(KL_ERR_OOM, "out of memory for %zu nodes", s->ntemps + 1);
        kl_lazy_unref(n);
        return NULL;
    }
    s->temps[s->ntemps++] = n;
    return n;
}

kl_lazy *kl_lazy_temp(kl_lazy *n)
{
    return n ? temporary(n) : NULL;
}

/* ---- devices ---- */

static kl_status refuse_devices(const kl_lazy *n, const kl_lazy *a, const kl_lazy *b)
{
    char first[KL_DEVICE_NAME], second[KL_DEVICE_NAME];
    const char *x = kl_device_name(a->device, first);
    const char *y = kl_device_name(b->device, second);
    bool host = a->device == 0; /* what was expected is the device */
    return kl_fail(
        KL_ERR_DEVICE,
        "%s: Expected all tensors to be on the same device, but found at least "
        "two devices, %s (made at %s) and %s (made at %s)! expected device %s "
        "but got device %s",
        kl_ops[n->op].name, x, a->place ? a->place : "an unknown place", y,
        b->place ? b->place : "an unknown place", host ? y : x, host ? x : y);
}

/* One device for all operands that have one. */
static kl_status join_devices(kl_lazy *n)
{
    const kl_lazy *first = NULL;
    for (int i = 0; i < n->nsrc; i++) {
        kl_lazy *s = kl_lazy_src(n, i);
        if (s->device == KL_FREE || s->device == n->device)
            continue;
        if (n->device != KL_FREE)
            return refuse_devices(n, first, s);
        n->device = s->device;
        first = s;
    }
    return KL_OK;
}

kl_lazy *kl_lazy_make(const kl_make *m)
{
    int64_t count;
    for (int i = 0; i < m->nsrc; i++)
        if (!m->src[i])
            return NULL;
    if (kl_shape_count(m->rank, m->shape, m->dtype, &count) != KL_OK)
        return NULL;
    if (kl_env_get()->verify > 0 && plain(m) && verify(m) != KL_OK)
        return NULL;
    kl_lazy *n = blank(m);
    if (!n)
        return NULL;
    bool track = false;
    n->born = kl_thread()->forces;
    for (int i = 0; i < m->nsrc; i++) {
        kl_lazy *s = kl_lazy_srcs(n)[i] = kl_lazy_ref(m->src[i]);
        uint32_t depth = __atomic_load_n(&s->depth, __ATOMIC_RELAXED); /* force.c: 0 */
        track |= s->track;
        n->depth = KL_MAX(n->depth, depth + 1);
        if (depth > 0 && (int32_t)(s->born - n->born) < 0)
            n->born = s->born;
    }
    if (join_devices(n) != KL_OK) {
        kl_lazy_unref(n);
        return NULL;
    }
    n->track = track && m->op != KL_OP_detach &&
               (is_real(m->dtype) || kl_ops[m->op].flags & KL_F_MULTI);
    kl_thread()->pending++;
    return temporary(n);
}

kl_lazy *kl_lazy_input(kl_memory *mem, kl_dtype dt, int rank, const int64_t *shape)
{
    kl_lazy *n = blank(&(kl_make){KL_OP_input, dt, rank, shape, NULL, 0, NULL, 0});
    if (!n)
        return NULL;
    n->mem = mem ? kl_memory_ref(mem) : NULL;
    n->device = mem ? (uint8_t)mem->device : KL_FREE;
    return temporary(n);
}

kl_lazy *kl_lazy_small(kl_dtype dt, int rank, const int64_t *shape, const void *bytes)
{
    int64_t words[8] = {0}, size = kl_count(rank, shape) * kl_dtypes[dt].size;
    KL_ASSERT(size <= 64);
    memcpy(words, bytes, (size_t)size);
    kl_make m = {KL_OP_input, dt, rank, shape, NULL, 0, words, (int)(size + 7) / 8};
    kl_lazy *n = blank(&m);
    if (!n)
        return NULL;
    n->small = 1;
    return temporary(n);
}

const void *kl_lazy_small_bytes(kl_lazy *n)
{
    return kl_lazy_attr(n);
}

/* ---- a part of another value ---- */

/* Whether n's elements follow each other in its source's; the first one's number is
 * added. */
static bool is_run(kl_lazy *n, int64_t *first)
{
    kl_lazy *s = kl_lazy_src(n, 0);
    int64_t *at = kl_lazy_attr(n), *shape = kl_lazy_shape(n), dense = 1, begin = 0;
    bool slice = n->op == KL_OP_slice, run = true;
    if (n->op == KL_OP_reshape || n->op == KL_OP_detach)
        return true;
    if (!slice && n->op != KL_OP_strided)
        return false;
    /* slice: starts, then steps by axis; strided: the first element, then strides */
    int64_t stride = 1;
    for (int i = n->rank; i-- > 0 && run;) {
        int64_t step = slice ? kl_sat_mul(at[n->rank + i], stride) : at[1 + i];
        run = shape[i] == 1 || step == dense;
        begin += slice ? at[i] * stride : 0;
        dense *= shape[i];
        stride *= slice ? kl_lazy_shape(s)[i] : 1;
    }
    *first += slice ? begin : at[0];
    return run;
}

kl_lazy *kl_lazy_base(kl_lazy *n, size_t *at)
{
    enum { FAR = 8 }; /* a long way is walked once, not at each node of it */
    int64_t first = 0;
    for (int i = 0; i < FAR; i++) {
        *at = (size_t)first * kl_dtypes[n->dtype].size;
        if (n->small || kl_lazy_mem(n))
            return n;
        if (n->nsrc != 1 || !is_run(n, &first))
            return NULL;
        n = kl_lazy_src(n, 0);
    }
    return NULL;
}
