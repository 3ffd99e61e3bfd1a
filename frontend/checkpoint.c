/* checkpoint.c: trading time for memory. kl_checkpoint runs a piece of a model without
 * keeping its inner values; backward runs the piece again, from its inputs, when their
 * turn comes.
 *
 *   y = f(x)                 y's node: copy(value of f(x)), a variable with a leaf that
 *                            remembers f, x and the random draws
 *   backward(loss)           1  gradients as ever; y's is collected in its leaf
 *                            2  f(x) once more, its gradients by x and by what it
 * captured, computed at once so that its inner values go again 3  on from x, to the
 * checkpoints before
 *
 * Checkpoints are taken latest first, so that each has all of its gradient. Random
 * numbers come from the streams of the first run: masks and bits are those without a
 * checkpoint. */
#include "front.h"

struct kl_checkpoint {
    kl_fn_of fn;
    void *user;
    const char *place;
    uint64_t number; /* later ones are larger */
    kl_draws draws;
    bool used;
    int n;
    kl_tensor *in[];
};

static uint64_t last; /* number given */

static size_t size_of(int n)
{
    return sizeof(kl_checkpoint) + (size_t)n * sizeof(kl_tensor *);
}

void kl_checkpoint_free(kl_checkpoint *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++)
        kl_tensor_unref(c->in[i]);
    kl_draws_free(&c->draws);
    kl_free(c, size_of(c->n));
}

static kl_checkpoint *checkpoint_new(kl_fn_of fn, void *user, kl_tensor *const *in, int n)
{
    kl_checkpoint *c = kl_alloc_zeroed(size_of(n));
    if (!c) {
        kl_fail(KL_ERR_OOM, "out of memory for a checkpoint");
        return NULL;
    }
    *c = (kl_checkpoint){.fn = fn, .user = user, .place = kl_place(), .n = n};
    c->number = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < n; i++)
        c->in[i] = kl_tensor_ref(in[i]);
    return c;
}

/* ---- forward ---- */

/* The value of fn, computed, with nothing behind it. */
static kl_lazy *value_of(kl_checkpoint *c)
{
    kl_draws *outer = kl_draws_begin(&c->draws, false);
    kl_no_grad_begin();
    kl_scope_begin();
    kl_tensor *y = c->fn(c->in, c->n, c->user);
    kl_lazy *n = y ? kl_arg_tensor(y) : NULL;
    if (!n && !kl_failed())
        kl_fail(KL_ERR_ARG, "checkpoint: the function gave nothing");
    if (n && kl_force_one(n) != KL_OK)
        n = NULL;
    kl_scope_end();
    kl_no_grad_end();
    kl_draws_end(outer);
    return n;
}

static kl_lazy *with_leaf(kl_lazy *value, kl_checkpoint *c)
{
    kl_lazy *n = kl_n_copy(kl_n_detach(value));
    kl_leaf *l = n ? kl_slab_alloc(sizeof *l) : NULL;
    if (!l)
        return NULL;
    *l = (kl_leaf){.refs = 1, .checkpoint = c};
    n->leaf = l; /* the node's own */
    n->track = 1;
    return n;
}

static kl_status check(kl_fn_of fn, kl_tensor *const *in, int n)
{
    if (!fn || n < 0)
        return kl_fail(KL_ERR_ARG, "checkpoint: no function");
    for (int i = 0; i < n; i++)
        if (!in[i])
            return kl_fail(KL_ERR_ARG, "a tensor is NULL");
    if (kl_thread()->tracing)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "checkpoint: not in a traced function, whose gradient is one "
                       "program");
    return KL_OK;
}

kl_tensor *kl_checkpoint_at(const char *at, kl_fn_of fn, void *user, kl_tensor *const *in,
                            int n)
{
    if (!kl_grad_enabled() && fn)
        return fn(in, n, user);
    kl_call call = kl_call_begin(at);
    kl_checkpoint *c = check(fn, in, n) == KL_OK ? checkpoint_new(fn, user, in, n) : NULL;
    kl_lazy *v = c ? value_of(c) : NULL;
    kl_lazy *y = v && kl_is_float((kl_dtype)v->dtype) ? with_leaf(v, c) : v;
    if (y == v) /* integers have no gradient; or it failed */
        kl_checkpoint_free(c);
    return kl_call_end(&call, y);
}

/* ---- backward ---- */

/* Leaves of checkpoints that wait for their turn; each once, held. */
typedef struct queue {
    kl_leaf **v;
    int n, cap;
} queue;

static kl_status wait_for(queue *q, const kl_vars *found)
{
    for (int i = 0; i < found->n; i++) {
        kl_leaf *l = found->v[i]->leaf;
        bool known = !l || !l->checkpoint;
        for (int k = 0; k < q->n && !known; k++)
            known = q->v[k] == l;
        if (known)
            continue;
        if (q->n == q->cap) {
            int cap = q->cap ? 2 * q->cap : 16;
            void *p = kl_realloc(q->v, (size_t)q->cap * sizeof(void *),
                                 (size_t)cap * sizeof(void *));
            if (!p)
                return kl_fail(KL_ERR_OOM, "out of memory for checkpoints");
            q->v = p;
            q->cap = cap;
        }
        q->v[q->n++] = kl_leaf_ref(l);
    }
    return KL_OK;
}

/* The latest after that number; NULL: none. */
static kl_leaf *latest(queue *q, uint64_t after)
{
    int at = -1;
    for (int i = 0; i < q->n; i++)
        if (q->v[i]->checkpoint->number > after) {
            after = q->v[i]->checkpoint->number;
            at = i;
        }
    kl_leaf *l = at < 0 ? NULL : q->v[at];
    if (l)
        q->v[at] = q->v[--q->n];
    return l;
}

/* Weigh y by g and collect; checkpoints met on the way join the queue. */
static kl_status collect(kl_tensor *y, kl_tensor *g, queue *q)
{
    kl_vars found = {0};
    kl_lazy *n = kl_arg_tensor(y), *seed = n ? kl_arg_tensor(g) : NULL;
    if (!seed)
        return kl_error_status();
    if (!n->track)
        return KL_OK;
    kl_status st = kl_backward_on(n, seed, &found);
    if (st == KL_OK)
        st = wait_for(q, &found);
    kl_vars_free(&found);
    return st;
}

/* fn once more on inputs that collect their gradients. */
static kl_tensor *again(kl_checkpoint *c, kl_tensor **in)
{
    for (int i = 0; i < c->n; i++) {
        in[i] = kl_detach_at(c->place, c->in[i]);
        if (in[i] && kl_requires_grad(c->in[i]))
            in[i] = kl_requires_grad_at(c->place, in[i], true);
        if (!in[i])
            return NULL;
    }
    kl_draws *outer = kl_draws_begin(&c->draws, true);
    kl_tensor *y = c->fn(in, c->n, c->user);
    kl_draws_end(outer);
    return y;
}

static kl_status take_turn(kl_leaf *l, bool retain, queue *q);

static kl_status take_turns(queue *q, uint64_t after, bool retain)
{
    kl_status st = KL_OK;
    for (kl_leaf *l; (l = latest(q, after));) {
        if (st == KL_OK)
            st = take_turn(l, retain, q);
        kl_leaf_unref(l);
    }
    return st;
}

static kl_status take_turn(kl_leaf *l, bool retain, queue *q)
{
    kl_checkpoint *c = l->checkpoint;
    kl_tensor *g = l->grad, **in = kl_alloc_zeroed(((size_t)c->n + 1) * sizeof *in);
    l->grad = NULL;
    kl_status st = in ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for a checkpoint");
    if (st == KL_OK && c->used)
        st = kl_fail(KL_ERR_STATE,
                     "Trying to backward through the graph a second time: the checkpoint "
                     "made at %s was given up by the first; keep it by retain",
                     c->place ? c->place : "an unknown place");
    c->used = !retain;
    uint64_t before = __atomic_load_n(&last, __ATOMIC_RELAXED);
    kl_scope_begin();
    kl_tensor *y = st == KL_OK && g ? again(c, in) : NULL;
    if (st == KL_OK && g)
        st = y ? collect(y, g, q) : kl_error_status();
    if (st == KL_OK) /* pieces within this one */
        st = take_turns(q, before, retain);
    for (int i = 0; i < c->n && st == KL_OK && y; i++)
        if (in[i]->leaf && in[i]->leaf->grad)
            st = collect(c->in[i], in[i]->leaf->grad, q);
    if (st == KL_OK) /* now: what was computed again must not wait for the others */
        st = kl_force_dirty();
    kl_scope_end();
    kl_tensor_unref(g);
    if (in)
        kl_free(in, ((size_t)c->n + 1) * sizeof *in);
    return st;
}

kl_status kl_checkpoints_backward(const kl_vars *found, bool retain)
{
    queue q = {0};
    kl_status st = wait_for(&q, found);
    if (q.n && st == KL_OK)
        st = kl_force_dirty();
    bool was = kl_set_grad_enabled(true);
    if (st == KL_OK)
        st = take_turns(&q, 0, retain);
    for (int i = 0; i < q.n; i++)
        kl_leaf_unref(q.v[i]);
    kl_set_grad_enabled(was);
    kl_free(q.v, (size_t)q.cap * sizeof *q.v);
    return st;
}

kl_status kl_checkpoints_refuse(const kl_vars *found, const char *what)
{
    for (int i = 0; i < found->n; i++)
        if (found->v[i]->leaf && found->v[i]->leaf->checkpoint)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "%s does not pass the checkpoint made at %s; use kl_backward "
                           "(and kl_optim_step)",
                           what,
                           found->v[i]->leaf->checkpoint->place
                               ? found->v[i]->leaf->checkpoint->place
                               : "an unknown place");
    return KL_OK;
}
