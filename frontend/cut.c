/* cut.c: gradients through functions that are no nodes: a user's own derivative (Python's
 * autograd.Function) and hooks that look at a gradient on its way.
 *
 *   x -> f -> y -> sum -> loss        y carries a cut: f's derivative, and x
 *   backward(loss)                    d loss/d y by one grad node; f's derivative gives
 *                                     d loss/d x; on from x by another grad node
 *
 * The graph is cut at such tensors. A segment begins at a tensor and ends at the cuts and
 * leaves below it; segments are differentiated as ever, cuts are called, each once, when
 * all that reaches it has arrived: in topological order, which one walk finds. Everything
 * stays lazy, so that segments compile together. */
#include "front.h"

typedef struct segment { /* from a tensor down to cuts and leaves */
    kl_lazy *start;
    kl_vars stops;
    kl_lazy *seed;
} segment;
typedef struct unit unit;
struct unit { /* a cut, or the tensor that backward was called on (cut NULL) */
    kl_cut *cut;
    kl_leaf *leaf; /* that collects what has passed a hook; borrowed, or NULL */
    segment *seg;
    int nseg;
    kl_lazy **arrived;   /* per result of the cut: its gradient so far */
    kl_lazy *passed;     /* what a hook made of it */
    bool done;           /* called: what arrives now would come too late */
    int next, stop;      /* of the walk: segment, and stop in it */
    unit *above, *after; /* in the walk; in topological order */
};
typedef struct engine engine;
struct engine {
    engine *outer; /* of the backward whose cut's function called this one */
    uint64_t id;   /* of the outermost */
    unit **units;  /* all, as found */
    int n, cap;
    unit *first; /* in topological order */
    bool retain, create;
    kl_lazy *const *x; /* grad: by these alone, and leaves collect nothing */
    kl_lazy **dx;      /* what has arrived at each; references */
    int nx;
};
static __thread engine *running;
static uint64_t last_id;

/* ---- cuts ---- */

static int live; /* how many there are: with none, no walk need look for them */

bool kl_cuts_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED) > 0;
}

kl_cut *kl_cut_ref(kl_cut *c)
{
    if (c)
        __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void kl_cut_unref(kl_cut *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    for (int i = 0; i < c->nin; i++)
        kl_lazy_unref(c->in[i]);
    if (c->drop)
        c->drop(c->user);
    kl_free(c->in, (size_t)c->nin * sizeof *c->in + 1);
    kl_free(c, sizeof *c);
    __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
}

static kl_cut *cut_new(kl_cut_fn fn, void *user, void (*drop)(void *), int nin, int nout)
{
    kl_cut *c = kl_alloc_zeroed(sizeof *c);
    kl_lazy **in = kl_alloc_zeroed((size_t)nin * sizeof *in + 1);
    if (!c || !in) {
        kl_free(c, sizeof *c);
        kl_free(in, (size_t)nin * sizeof *in + 1);
        if (drop)
            drop(user);
        kl_fail(KL_ERR_OOM, "out of memory for a derivative");
        return NULL;
    }
    *c = (kl_cut){.refs = 1,
                  .fn = fn,
                  .user = user,
                  .in = in,
                  .nin = nin,
                  .nout = nout,
                  .place = kl_place()};
    c->drop = drop;
    __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    return c;
}

/* The node's leaf, made if there is none; nodes own theirs, variables do not. */
static kl_status put_cut(kl_lazy *n, kl_cut *c, int output)
{
    if (!n->leaf) {
        kl_leaf *l = kl_slab_alloc(sizeof *l);
        if (!l)
            return kl_fail(KL_ERR_OOM, "out of memory for a derivative");
        *l = (kl_leaf){.refs = 1, .of_node = true};
        n->leaf = l;
    }
    kl_cut_unref(n->leaf->cut);
    n->leaf->cut = kl_cut_ref(c);
    n->leaf->output = output;
    return KL_OK;
}

static kl_status custom(kl_cut *c, kl_tensor *const *in, int nin, kl_tensor **out,
                        int nout)
{
    bool given = kl_arg_given(in, nin, "the list of tensors") &&
                 kl_arg_given(out, nout, "the list of tensors");
    kl_status st = !c ? KL_ERR_OOM : given ? KL_OK : KL_ERR_ARG;
    for (int i = 0; i < nin && st == KL_OK; i++) {
        kl_lazy *n = kl_arg_tensor(in[i]);
        c->in[i] = kl_lazy_ref(n);
        st = n ? KL_OK : KL_ERR_ARG;
    }
    for (int i = 0; i < nout && st == KL_OK; i++) {
        kl_lazy *n = kl_n_copy(kl_n_detach(kl_arg_tensor(out[i])));
        if (!n || put_cut(n, c, i)) {
            st = kl_error_status();
            break;
        }
        n->track = 1;
        out[i] = kl_tensor_wrap(n);
        st = out[i] ? kl_scope_add(out[i]) : KL_ERR_OOM;
    }
    kl_cut_unref(c);
    return st;
}

kl_status kl_custom_at(const char *at, kl_tensor *const *in, int nin, kl_tensor **out,
                       int nout, kl_cut_fn fn, void *user, void (*drop)(void *))
{
    kl_call call = kl_call_begin(at);
    kl_cut *c = cut_new(fn, user, drop, nin, nout);
    return kl_call_done(&call, custom(c, in, nin, out, nout));
}

static kl_status pass_on(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                         int nin)
{
    (void)user;
    for (int i = 0; i < nin && i < nout; i++)
        dx[i] = dy[i];
    return KL_OK;
}

kl_lazy *kl_n_standing_for(kl_lazy *of, kl_lazy *value)
{
    kl_cut *c = cut_new(pass_on, NULL, NULL, 1, 1);
    kl_lazy *n = c ? kl_n_copy(value) : NULL;
    if (c)
        c->in[0] = kl_lazy_ref(of);
    if (n && put_cut(n, c, 0) == KL_OK)
        n->track = 1;
    else
        n = NULL;
    kl_cut_unref(c);
    return n;
}

kl_status kl_cut_again_at(const char *at, kl_tensor *const *in, int nin, kl_tensor **out,
                          kl_cut_fn fn, void *user, void (*drop)(void *))
{
    kl_call call = kl_call_begin(at);
    kl_cut *c = cut_new(fn, user, drop, nin, 1);
    if (c)
        c->collects = true;
    return kl_call_done(&call, custom(c, in, nin, out, 1));
}

kl_status kl_hook_at(const char *at, kl_tensor *t, kl_cut_fn fn, void *user,
                     void (*drop)(void *))
{
    kl_call call = kl_call_begin(at);
    kl_lazy *n = t && kl_tracks(t) ? kl_tensor_read(t) : NULL;
    if (!n) {
        kl_fail(KL_ERR_STATE,
                "cannot register a hook on a tensor that doesn't require gradient");
        return kl_call_done(&call, KL_ERR_STATE);
    }
    kl_cut *c = cut_new(fn, user, drop, 0, 1);
    kl_status st = KL_ERR_OOM;
    if (c) {
        c->hook = true;
        pthread_mutex_lock(&kl_graph_lock);
        bool made = n->leaf && n->leaf->cut && !n->leaf->cut->hook; /* by a function */
        st = made ? kl_lazy_barrier(n, true) : KL_OK;
        if (st == KL_OK)
            st = put_cut(n, c, 0);
        if (st == KL_OK && !made && n->leaf->of_node)
            st = kl_lazy_barrier(n, false);
        pthread_mutex_unlock(&kl_graph_lock);
    }
    kl_cut_unref(c);
    return kl_call_done(&call, st);
}

/* ---- finding the order ---- */

static unit *known(const engine *e, const kl_cut *c)
{
    for (int i = 0; i < e->n; i++)
        if (e->units[i]->cut == c)
            return e->units[i];
    return NULL;
}

/* A unit of a backward around this one that still waits for gradients: what a checkpoint
 * captured, say. */
static unit *waiting(const engine *e, const kl_cut *c)
{
    for (const engine *o = e->outer; o; o = o->outer) {
        unit *u = known(o, c);
        if (u && !u->done)
            return u;
    }
    return NULL;
}

static bool add_unit(engine *e, unit *u)
{
    if (u && e->n == e->cap) {
        int more = e->cap ? 2 * e->cap : 16;
        unit **v =
            kl_realloc(e->units, (size_t)e->cap * sizeof *v, (size_t)more * sizeof *v);
        if (v)
            e->units = v, e->cap = more;
    }
    if (!u || e->n == e->cap) {
        kl_fail(KL_ERR_OOM, "out of memory for gradients");
        return false;
    }
    e->units[e->n++] = u;
    return true;
}

/* For cut c at node `at`. A function's segments begin at its operands, a hook's at the
 * node itself; below a leaf there is none. */
static unit *new_unit(engine *e, kl_cut *c, kl_lazy *at)
{
    unit *u = kl_alloc_zeroed(sizeof *u);
    if (!add_unit(e, u)) {
        kl_free(u, sizeof *u);
        return NULL;
    }
    bool leaf = c && c->hook && !at->leaf->of_node;
    int nseg = leaf ? 0 : c && !c->hook ? c->nin : 1;
    u->cut = kl_cut_ref(c);
    u->leaf = c && at->leaf && (leaf || at->leaf->retain) ? at->leaf : NULL;
    u->seg = kl_alloc_zeroed((size_t)nseg * sizeof *u->seg + 1);
    u->arrived = kl_alloc_zeroed((size_t)(c ? c->nout : 1) * sizeof *u->arrived);
    if (!u->seg || !u->arrived) {
        kl_fail(KL_ERR_OOM, "out of memory for gradients");
        return NULL;
    }
    u->nseg = nseg;
    for (int i = 0; i < nseg; i++)
        u->seg[i].start = kl_lazy_ref(!c ? at : c->hook ? kl_lazy_src(at, 0) : c->in[i]);
    return u;
}

/* The next unit below u that has not been entered; NULL: there is none left. */
static kl_status next_below(engine *e, unit *u, unit **found)
{
    *found = NULL;
    for (; u->next < u->nseg; u->next++, u->stop = 0) {
        segment *s = &u->seg[u->next];
        if (u->stop == 0 && s->start->track)
            KL_TRY(kl_vars_below(s->start, KL_WALK_KEEP, &s->stops));
        while (u->stop < s->stops.n) {
            kl_lazy *stop = s->stops.v[u->stop++];
            kl_cut *c = stop->leaf ? stop->leaf->cut : NULL;
            if (!c || known(e, c) || waiting(e, c))
                continue;
            *found = new_unit(e, c, stop);
            return *found ? KL_OK : KL_ERR_OOM;
        }
    }
    return KL_OK;
}

/* Depth first; a unit comes before all that its walk has put in order. */
static kl_status find_order(engine *e, unit *root)
{
    for (unit *top = root; top;) {
        unit *below;
        KL_TRY(next_below(e, top, &below));
        if (below) {
            below->above = top;
            top = below;
            continue;
        }
        top->after = e->first;
        e->first = top;
        top = top->above;
    }
    return KL_OK;
}

/* ---- sending gradients down ---- */

static kl_status arrive(kl_lazy **at, kl_lazy *g)
{
    kl_lazy *sum = *at ? kl_n_bin(KL_OP_add, *at, g) : g;
    if (!sum)
        return KL_ERR_OOM;
    kl_lazy_ref(sum);
    kl_lazy_unref(*at);
    *at = sum;
    return KL_OK;
}

/* One stop's gradient, or one target's. */
static kl_status deliver(engine *e, kl_lazy *stop, kl_lazy *g)
{
    kl_lazy *v = e->create ? g : kl_n_detach(g);
    kl_leaf *l = stop->leaf;
    if (!v)
        return KL_ERR_OOM;
    if (l && l->cut) {
        unit *u = known(e, l->cut);
        return arrive(&(u ? u : waiting(e, l->cut))->arrived[l->output], v);
    }
    return l && !e->nx ? kl_leaf_accumulate(l, v, e->create) : KL_OK;
}

/* The segment's gradients by its stops, and by the targets inside it. */
static kl_status send(engine *e, segment *s)
{
    int n = s->stops.n, all = n;
    if (!s->seed || !s->start->track)
        return KL_OK;
    kl_lazy **v = kl_alloc_zeroed(2 * (size_t)(n + e->nx) * sizeof *v + 1);
    kl_status st = v ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n);
    int *target =
        v ? (int *)(void *)kl_alloc_zeroed((size_t)e->nx * sizeof *target + 1) : NULL;
    for (int i = 0; st == KL_OK && i < n; i++)
        v[i] = s->stops.v[i];
    for (int i = 0; st == KL_OK && target && i < e->nx; i++)
        if (!(e->x[i]->leaf && e->x[i]->leaf->cut))
            target[all - n] = i, v[all++] = e->x[i];
    kl_lazy **g = v ? v + n + e->nx : NULL;
    if (st == KL_OK && all > 0 && !kl_n_grad(s->start, s->seed, v, all, g))
        st = KL_ERR_OOM;
    for (int i = 0; i < n && st == KL_OK; i++)
        st = deliver(e, v[i], g[i]);
    for (int i = n; i < all && st == KL_OK; i++)
        st = arrive(&e->dx[target[i - n]], e->create ? g[i] : kl_n_detach(g[i]));
    kl_free(target, (size_t)e->nx * sizeof *target + 1);
    kl_free(v, 2 * (size_t)(n + e->nx) * sizeof *v + 1);
    return st;
}

static const char *place_of(const kl_cut *c)
{
    return c->place ? c->place : "an unknown place";
}

static kl_status refuse(const kl_cut *c, const char *what)
{
    return kl_fail(KL_ERR_UNSUPPORTED,
                   "%s does not pass the checkpoint made at %s; use kl_backward (and "
                   "kl_optim_step)",
                   what, place_of(c));
}

kl_status kl_cuts_refuse(const kl_vars *found, const char *what)
{
    for (int i = 0; i < found->n; i++)
        if (found->v[i]->leaf && found->v[i]->leaf->cut)
            return refuse(found->v[i]->leaf->cut, what);
    return KL_OK;
}

static kl_status check_cut(const engine *e, kl_cut *c)
{
    if (!c->collects)
        return KL_OK;
    if (e->nx || e->create)
        return refuse(c, e->nx ? "kl_grad" : "a gradient that is differentiated again");
    if (c->used && c->used != e->id)
        return kl_fail(
            KL_ERR_STATE,
            "Trying to backward through the graph a second time: the checkpoint "
            "made at %s was given up by the first; keep it by retain",
            place_of(c));
    while (e->outer)
        e = e->outer;
    c->used = e->retain ? 0 : e->id;
    return KL_OK;
}

/* A checkpoint's inner values are to be all that lives while it is computed again. */
static kl_status settle(unit *u)
{
    if (!u->cut->collects)
        return KL_OK;
    KL_TRY(kl_force_dirty());
    for (int i = 0; i < u->cut->nout; i++)
        if (u->arrived[i])
            KL_TRY(kl_force_one(u->arrived[i]));
    return KL_OK;
}

/* Call the cut's function: gradients of its results to gradients of its operands. */
static kl_status call_cut(engine *e, unit *u)
{
    kl_cut *c = u->cut;
    KL_TRY(check_cut(e, c));
    KL_TRY(settle(u));
    u->done = true;
    int nin = c->hook ? 1 : c->nin;
    size_t size = (size_t)(c->nout + nin) * sizeof(kl_tensor *);
    kl_tensor **t = kl_alloc_zeroed(size);
    kl_status st = t ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for gradients");
    kl_state *s = kl_thread();
    int was = s->no_grad;
    kl_scope_begin();
    s->no_grad = e->create ? 0 : was + 1;
    for (int i = 0; i < c->nout && st == KL_OK; i++) {
        t[i] = u->arrived[i] ? kl_tensor_wrap(u->arrived[i]) : NULL;
        st = u->arrived[i] ? (t[i] ? kl_scope_add(t[i]) : KL_ERR_OOM) : KL_OK;
    }
    if (st == KL_OK)
        st = c->fn(c->user, t, c->nout, t + c->nout, nin);
    for (int i = 0; i < nin && st == KL_OK; i++) {
        kl_tensor *dx = t[c->nout + i];
        kl_lazy *v = dx ? kl_tensor_read(dx) : c->hook ? u->arrived[0] : NULL;
        if (c->hook)
            u->passed = kl_lazy_ref(v);
        if (i < u->nseg)
            u->seg[i].seed = kl_lazy_ref(v);
        if (u->leaf && !e->nx)
            st = kl_leaf_accumulate(u->leaf, e->create ? v : kl_n_detach(v), e->create);
    }
    s->no_grad = was;
    kl_scope_drop();
    if (t)
        kl_free(t, size);
    return st;
}

static kl_status check_seed(const segment *s)
{
    kl_lazy *y = s->start, *g = s->seed;
    if (!g || (g->rank == y->rank && memcmp(kl_lazy_shape(g), kl_lazy_shape(y),
                                            y->rank * sizeof(int64_t)) == 0))
        return KL_OK;
    char a[200], b[200];
    return kl_fail(KL_ERR_SHAPE,
                   "Function returned an invalid gradient - got %s but expected shape "
                   "compatible with %s",
                   kl_ints_text(kl_ints_of(g->rank, kl_lazy_shape(g)), a, sizeof a),
                   kl_ints_text(kl_ints_of(y->rank, kl_lazy_shape(y)), b, sizeof b));
}

static bool reached(const unit *u)
{
    for (int k = 0; u->cut && k < u->cut->nout; k++)
        if (u->arrived[k])
            return true;
    return !u->cut;
}

/* Targets that are cuts themselves. */
static kl_status capture(engine *e, const unit *u)
{
    for (int i = 0; u->cut && i < e->nx; i++) {
        kl_leaf *l = e->x[i]->leaf;
        if (!l || l->cut != u->cut)
            continue;
        kl_lazy *g = u->cut->hook ? u->passed : u->arrived[l->output];
        if (g)
            KL_TRY(arrive(&e->dx[i], g));
    }
    return KL_OK;
}

static kl_status run(engine *e)
{
    for (unit *u = e->first; u; u = u->after) {
        if (!reached(u))
            continue;
        if (u->cut)
            KL_TRY(call_cut(e, u));
        KL_TRY(capture(e, u));
        for (int k = 0; k < u->nseg; k++) {
            KL_TRY(check_seed(&u->seg[k]));
            KL_TRY(send(e, &u->seg[k]));
        }
    }
    return KL_OK;
}

/* Another backward must not go this way. */
static kl_status give_up(engine *e)
{
    for (unit *u = e->first; u; u = u->after)
        for (int k = 0; k < u->nseg; k++) {
            kl_vars again = {0};
            if (u->seg[k].start->track)
                KL_TRY(kl_vars_below(u->seg[k].start, KL_WALK_MARK, &again));
            kl_vars_free(&again);
        }
    return KL_OK;
}

static void close_engine(engine *e)
{
    for (int i = 0; i < e->n; i++) {
        unit *u = e->units[i];
        int nout = u->cut ? u->cut->nout : 1;
        for (int k = 0; k < u->nseg; k++) {
            kl_lazy_unref(u->seg[k].start);
            kl_lazy_unref(u->seg[k].seed);
            kl_vars_free(&u->seg[k].stops);
        }
        for (int k = 0; u->arrived && k < nout; k++)
            kl_lazy_unref(u->arrived[k]);
        kl_lazy_unref(u->passed);
        kl_free(u->arrived, (size_t)nout * sizeof *u->arrived);
        kl_free(u->seg, (size_t)u->nseg * sizeof *u->seg + 1);
        kl_cut_unref(u->cut);
        kl_free(u, sizeof *u);
    }
    kl_free(e->units, (size_t)e->cap * sizeof *e->units);
}

kl_status kl_cut_gradients(kl_lazy *y, kl_lazy *seed, kl_lazy *const *x, int nx,
                           bool retain, bool create, kl_lazy **dx)
{
    engine e = {.retain = retain, .create = create, .x = x, .dx = dx, .nx = nx};
    e.outer = running;
    e.id = running ? running->id : __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    running = &e;
    unit *root = new_unit(&e, y->leaf ? y->leaf->cut : NULL, y);
    kl_status st = root ? KL_OK : KL_ERR_OOM;
    if (st == KL_OK && root->cut)
        st = arrive(&root->arrived[y->leaf->output], seed);
    else if (st == KL_OK)
        root->seg[0].seed = kl_lazy_ref(seed);
    if (st == KL_OK)
        st = find_order(&e, root);
    if (st == KL_OK)
        st = run(&e);
    if (st == KL_OK && !retain)
        st = give_up(&e);
    running = e.outer;
    close_engine(&e);
    for (int i = 0; i < nx; i++) {
        kl_lazy *none =
            dx[i] ? NULL
                  : kl_n_full((kl_dtype)x[i]->dtype, x[i]->rank, kl_lazy_shape(x[i]), 0);
        dx[i] = dx[i] ? kl_lazy_temp(dx[i]) : none;
    }
    return st;
}
