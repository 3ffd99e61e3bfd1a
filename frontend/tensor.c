/* tensor.c: handles and storages: making them, reading the value a handle shows, writing
 * through it.
 *
 *   x  ---- whole ----+
 *                     +--> storage: version 3 --> node
 *   x[1:3] -- map ----+
 *
 * Reading applies the map to the storage's current version: by the movement nodes that
 * made the view while they still stand on that version, else by one `strided` node.
 * Writing makes an `update` node the next version. Nothing else in the library changes
 * after it was made. */
#include "front.h"

#include <sched.h>

/* ---- storages ---- */

static void lock(kl_storage *s)
{
    while (!kl_serial && __atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void unlock(kl_storage *s)
{
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

static void set_stored(kl_lazy *n, uint8_t v)
{
    __atomic_store_n(&n->stored, v, __ATOMIC_RELAXED);
}

kl_storage *kl_storage_ref(kl_storage *s)
{
    kl_count_up(&s->refs);
    return s;
}

void kl_counter_unref(kl_counter *c)
{
    if (c && kl_count_down(&c->refs) == 0)
        kl_slab_free(c, sizeof *c);
}

void kl_storage_unref(kl_storage *s)
{
    if (!s || kl_count_down(&s->refs) != 0)
        return;
    set_stored(s->node, 0);
    kl_lazy_unref(s->node);
    kl_memory_unref(s->home);
    kl_counter_unref(s->counter);
    kl_slab_free(s, sizeof *s);
}

kl_lazy *kl_storage_node(kl_storage *s)
{
    lock(s);
    kl_lazy *n = kl_lazy_ref(s->node);
    unlock(s);
    return n;
}

static kl_storage *storage_new(kl_lazy *n)
{
    kl_storage *s = kl_slab_alloc(sizeof *s);
    if (!s)
        return NULL;
    *s = (kl_storage){.refs = 1, .numel = kl_lazy_numel(n), .node = kl_lazy_ref(n)};
    set_stored(n, 1);
    return s;
}

/* ---- leaves ---- */

kl_leaf *kl_leaf_ref(kl_leaf *l)
{
    kl_count_up(&l->refs);
    return l;
}

/* A variable that collects no more. */
static void retire(kl_lazy *v)
{
    if (!v)
        return;
    pthread_mutex_lock(&kl_graph_lock);
    v->leaf = NULL;
    pthread_mutex_unlock(&kl_graph_lock);
    kl_lazy_unref(v);
}

/* Make room for another variable: those that nobody holds any more go. */
static bool room_for_older(kl_leaf *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->nolder; i++)
        if (__atomic_load_n(&l->older[i]->refs, __ATOMIC_RELAXED) > 1)
            l->older[kept++] = l->older[i];
        else
            retire(l->older[i]);
    l->nolder = kept;
    return kl_grow(&l->older, l->nolder, &l->cap_older, sizeof *l->older);
}

void kl_leaf_unref(kl_leaf *l)
{
    if (!l || kl_count_down(&l->refs) != 0)
        return;
    retire(l->var);
    for (size_t i = 0; i < l->nolder; i++)
        retire(l->older[i]);
    kl_free(l->older, l->cap_older * sizeof *l->older);
    kl_tensor_unref(l->grad);
    kl_cut_unref(l->cut);
    kl_leaf_unref(l->of);
    kl_slab_free(l, sizeof *l);
}

/* Whose elements t's are: retain_grad's own leaf is not asked. */
static kl_leaf *leaf_below(kl_tensor *t)
{
    return t->leaf && t->leaf->retain ? t->leaf->of : t->leaf;
}

/* The variable that stands for this version of a leaf; under the storage's lock. */
static kl_lazy *leaf_var(kl_leaf *l, kl_lazy *base, uint32_t stamp)
{
    if (l->var && l->base == base && l->stamp == stamp)
        return kl_lazy_temp(kl_lazy_ref(l->var));
    kl_lazy *old = l->var;
    bool held = old && __atomic_load_n(&old->refs, __ATOMIC_RELAXED) > 1;
    if (held && !room_for_older(l))
        return kl_fail(KL_ERR_OOM, "out of memory for a leaf's variable"), NULL;
    kl_lazy *v = kl_n_detach(base);
    if (!v)
        return NULL;
    v->track = 1;
    pthread_mutex_lock(&kl_graph_lock);
    v->leaf = l;
    pthread_mutex_unlock(&kl_graph_lock);
    l->var = kl_lazy_ref(v);
    l->base = base;
    l->stamp = stamp;
    if (held)
        l->older[l->nolder++] = old;
    else
        retire(old);
    return v;
}

/* ---- handles ---- */

static size_t handle_size(int rank)
{
    return sizeof(kl_tensor) + 2 * (size_t)rank * sizeof(int64_t);
}

static void dense_strides(int rank, const int64_t *shape, int64_t *stride)
{
    int64_t n = 1;
    for (int i = rank; i-- > 0;) {
        stride[i] = n;
        n *= KL_MAX(shape[i], 1);
    }
}

static kl_tensor *handle_new(kl_dtype dt, int rank, const int64_t *shape)
{
    kl_tensor *t = kl_slab_alloc(handle_size(rank));
    if (!t)
        return NULL;
    *t = (kl_tensor){
        .refs = 1, .dtype = (uint8_t)dt, .rank = (uint8_t)rank, .place = kl_place()};
    memcpy(kl_t_shape(t), shape, (size_t)rank * sizeof *shape);
    return t;
}

/* A storage has its versions to itself: a node that others hold (a version of another
 * storage, what a view has read) is copied. Only this call's temporaries hold a new one.
 */
static kl_lazy *own_node(kl_lazy *n)
{
    bool shared = n && (__atomic_load_n(&n->stored, __ATOMIC_RELAXED) ||
                        __atomic_load_n(&n->refs, __ATOMIC_RELAXED) > 1);
    return shared ? kl_n_copy(n) : n;
}

kl_status kl_lazy_settle(kl_lazy *n)
{
    int device = 0;
    if (n->device != KL_FREE)
        return KL_OK;
    KL_TRY(kl_default_device(&device));
    n->device = (uint8_t)device;
    return KL_OK;
}

kl_tensor *kl_tensor_wrap(kl_lazy *n)
{
    n = own_node(n);
    if (n && kl_lazy_settle(n) != KL_OK)
        return NULL;
    kl_tensor *t = n ? handle_new((kl_dtype)n->dtype, n->rank, kl_lazy_shape(n)) : NULL;
    if (!t)
        return NULL;
    t->storage = storage_new(n);
    if (!t->storage) {
        kl_slab_free(t, handle_size(t->rank));
        return NULL;
    }
    dense_strides(t->rank, kl_t_shape(t), kl_t_stride(t));
    t->whole = 1;
    return t;
}

kl_tensor *kl_tensor_view(kl_tensor *t, int64_t offset, int rank, const int64_t *shape,
                          const int64_t *stride, kl_lazy *n)
{
    kl_tensor *v = handle_new((kl_dtype)t->dtype, rank, shape);
    if (!v)
        return NULL;
    memcpy(kl_t_stride(v), stride, (size_t)rank * sizeof *stride);
    v->offset = offset;
    v->storage = kl_storage_ref(t->storage);
    v->detached = kl_detached(t) ? KL_MAX(t->detached, 1) : kl_thread()->no_grad ? 2 : 0;
    v->since = t->detached && v->detached ? t->since : t->storage->version;
    v->leaf = leaf_below(t) && !v->detached ? kl_leaf_ref(leaf_below(t)) : NULL;
    v->view = 1;
    if (n) {
        v->cache = kl_lazy_ref(n);
        v->base = kl_thread()->last_base;
        v->stamp = kl_thread()->last_stamp;
    }
    return v;
}

kl_tensor *kl_tensor_ref(kl_tensor *t)
{
    if (t)
        kl_count_up(&t->refs);
    return t;
}

void kl_tensor_unref(kl_tensor *t)
{
    if (!t || kl_count_down(&t->refs) != 0)
        return;
    kl_storage_unref(t->storage);
    kl_leaf_unref(t->leaf);
    kl_tensor_unref(t->grad);
    kl_lazy_unref(t->cache);
    kl_slab_free(t, handle_size(t->rank));
}

/* ---- reading ---- */

static bool is_dense_whole(kl_tensor *t)
{
    int64_t n = 1;
    for (int i = t->rank; i-- > 0;) {
        if (kl_t_shape(t)[i] != 1 && kl_t_stride(t)[i] != n)
            return false;
        n *= kl_t_shape(t)[i];
    }
    return t->offset == 0 && n == t->storage->numel;
}

static kl_lazy *apply_map(kl_tensor *t, kl_lazy *base)
{
    if (is_dense_whole(t))
        return kl_n_reshape(base, t->rank, kl_t_shape(t));
    return kl_n_strided(base, t->offset, t->rank, kl_t_shape(t), kl_t_stride(t));
}

/* The current version as this handle sees it: a variable, a value, a constant. */
static kl_lazy *read_base(kl_tensor *t, kl_state *st)
{
    kl_lazy *n = kl_lazy_temp(kl_lazy_ref(t->storage->node));
    if (n && t->storage->exposed > 0 && !KL_PLANTED(anti_dependence))
        n = kl_read_exposed(t, n);
    kl_leaf *l = n && !st->no_grad ? leaf_below(t) : NULL;
    if (l) /* also of a storage that others see as computed: x.detach().requires_grad_()
            */
        return leaf_var(l, n, t->storage->stamp);
    if (!n || !n->track)
        return n;
    return st->no_grad || kl_detached(t) ? kl_n_detach(n) : n;
}

/* The view's elements as a node of its own, where retain_grad asked for its gradient. */
static kl_lazy *map_view(kl_tensor *t, kl_lazy *base)
{
    kl_lazy *n = apply_map(t, base);
    if (!n || !t->leaf || !t->leaf->retain || !n->track)
        return n;
    n = n == base ? kl_n_copy(n) : n;
    if (n) /* another version's node collects no more */
        kl_leaf_move(t->leaf, t->stamp != t->storage->stamp ? t->cache : NULL, n);
    return n;
}

kl_lazy *kl_tensor_read(kl_tensor *t)
{
    kl_state *st = kl_thread();
    lock(t->storage);
    kl_lazy *base = read_base(t, st), *n = base;
    st->last_base = base;
    st->last_stamp = t->storage->stamp;
    if (base && !t->whole) {
        bool fresh = t->base == base && t->stamp == st->last_stamp && t->cache &&
                     t->storage->exposed == 0;
        if (!fresh && !(KL_PLANTED(stale_view) && t->cache)) {
            kl_lazy *mapped = map_view(t, base);
            kl_lazy_unref(t->cache);
            t->cache = kl_lazy_ref(mapped);
            t->base = base;
            t->stamp = st->last_stamp;
        }
        n = kl_lazy_temp(kl_lazy_ref(t->cache));
    }
    unlock(t->storage);
    return n;
}

/* ---- writing ---- */

/* The next version must not meet nodes that still hold this one unawares: they are told
 * which version they hold, so that a gradient through them can be refused. */
static kl_status outdate(kl_storage *s)
{
    if (!s->counter) {
        s->counter = kl_slab_alloc(sizeof *s->counter);
        if (!s->counter)
            return KL_ERR_OOM;
        *s->counter = (kl_counter){1, 0};
    }
    if (!s->node->counter) {
        kl_count_up(&s->counter->refs);
        s->node->counter = s->counter;
        s->node->expected = s->version;
    }
    return KL_OK;
}

static void advance(kl_storage *s, kl_lazy *next)
{
    kl_lazy *old = s->node;
    set_stored(old, 0);
    set_stored(next, 1);
    s->node = kl_lazy_ref(next);
    s->version++;
    s->stamp++;
    if (s->counter)
        __atomic_store_n(&s->counter->version, s->version, __ATOMIC_RELAXED);
    kl_lazy_temp(old); /* released after the lock */
}

kl_status kl_storage_rebase(kl_storage *s, kl_lazy *n, kl_memory *mem)
{
    kl_lazy *own = kl_lazy_input(mem, (kl_dtype)n->dtype, n->rank, kl_lazy_shape(n));
    if (!own)
        return kl_error_status();
    if (n->track) { /* its history is needed: the value moves instead */
        kl_lazy_move(n, mem);
        return KL_OK;
    }
    lock(s);
    kl_lazy *old = s->node;
    set_stored(old, 0);
    set_stored(own, 1);
    s->node = kl_lazy_ref(own);
    s->stamp++;
    unlock(s);
    kl_lazy_temp(old);
    return KL_OK;
}

/* Two indices of one place: writing has no meaning. */
static bool overlaps(kl_tensor *t)
{
    int64_t *sh = kl_t_shape(t), *st = kl_t_stride(t), done = 0, reach = 0;
    if (kl_count(t->rank, sh) <= 1)
        return false;
    for (int n = 0; n < t->rank; n++) { /* axes by rising stride */
        int best = -1;
        for (int i = 0; i < t->rank; i++)
            if (!(done >> i & 1) && (best < 0 || llabs(st[i]) < llabs(st[best])))
                best = i;
        done |= INT64_C(1) << best;
        if (sh[best] > 1 && llabs(st[best]) <= reach)
            return true;
        reach += (sh[best] - 1) * llabs(st[best]);
    }
    return false;
}

static kl_status check_write(kl_tensor *t)
{
    kl_state *st = kl_thread();
    if (leaf_below(t) && !st->no_grad)
        return kl_fail(
            KL_ERR_STATE,
            "%sa leaf Variable that requires grad is being used in an in-place "
            "operation.",
            t->view ? "a view of " : "");
    if (t->storage->home && t->storage->home->read_only)
        return kl_fail(KL_ERR_STATE, "the tensor's memory is read-only");
    if (overlaps(t))
        return kl_fail(
            KL_ERR_ARG,
            "unsupported operation: more than one element of the written-to tensor "
            "refers to a single memory location. Please clone() the tensor before "
            "performing the operation.");
    return KL_OK;
}

/* Under the storage's lock. */
static kl_lazy *next_version(kl_tensor *t, kl_lazy *v)
{
    kl_lazy *cur = t->storage->node;
    if (is_dense_whole(t)) {
        v = own_node(kl_n_reshape(v, cur->rank, kl_lazy_shape(cur)));
        v = v && v->op == KL_OP_input ? kl_n_copy(v) : v;
        if (v && v->device == KL_FREE)
            v->device = cur->device;
        return v;
    }
    kl_lazy *old =
        cur->track && (kl_thread()->no_grad || kl_detached(t)) ? kl_n_detach(cur) : cur;
    return kl_n_update(old, v, t->offset, kl_t_stride(t));
}

/* The new version of an exposed storage goes to the memory that others look at. */
static kl_lazy *write_home(kl_storage *s, kl_lazy *n)
{
    const void *bytes;
    if (kl_force_one(n) || kl_value(n, &bytes))
        return NULL;
    memcpy(s->home->base, bytes, (size_t)s->numel * kl_dtypes[n->dtype].size);
    kl_lazy_move(n, s->home);
    return n;
}

/* Down from n through a few steps that compute nothing. */
static kl_lazy *moved(kl_lazy *n, const kl_lazy *end)
{
    for (int i = 0; i < 8 && n != end && n->nsrc == 1; i++) {
        if (kl_ops[n->op].kind != KL_KIND_MOVE && n->op != KL_OP_cast &&
            n->op != KL_OP_detach)
            break;
        n = kl_lazy_src(n, 0);
    }
    return n;
}

/* x.mul_(w): the product's derivative may go on reading x as it was before. */
static void note_own_reading(kl_lazy *v, const kl_lazy *cur)
{
    v = moved(v, cur);
    for (int i = 0; i < v->nsrc && i < 8; i++)
        v->own |= (uint8_t)((moved(kl_lazy_src(v, i), cur) == cur) << i);
}

kl_status kl_tensor_write(kl_tensor *t, kl_lazy *v)
{
    kl_storage *s = t->storage;
    if (!v)
        return KL_ERR_ARG;
    KL_TRY(check_write(t));
    int device = s->node->device;
    if (v->device != KL_FREE && v->device != device && !(v = kl_lazy_to(v, device)))
        return kl_error_status();
    lock(s);
    bool exposed = s->exposed > 0;
    note_own_reading(v, s->node);
    kl_lazy *next = next_version(t, v);
    unlock(s);
    /* written where nothing is recorded, t stays the result that it was */
    bool plain = kl_detached(t) && t->detached != 2;
    if (next && !exposed && !plain && kl_thread()->no_grad && s->node->track)
        next = kl_n_standing_for(s->node, next);
    if (next && exposed)
        next = write_home(s, next);
    else if (next && kl_thread()->exposed && kl_force_one(next))
        next = NULL;
    if (!next)
        return kl_error_status();
    lock(s);
    kl_status st = outdate(s);
    if (st == KL_OK && t->whole && t->name && !next->name)
        next->name = t->name;
    kl_lazy *old = s->node;
    if (st == KL_OK)
        advance(s, next);
    if (st == KL_OK && next->track && plain)
        s->open = s->version;
    unlock(s);
    if (st == KL_OK && t->whole && t->leaf && t->leaf->retain && next->track)
        kl_leaf_move(t->leaf, old, next);
    return st || exposed ? st : kl_dirty_add(s);
}
