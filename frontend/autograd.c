/* autograd.c: gradients as nodes. backward collects the variables below a value, makes
 * one grad node over them, and adds its picks to the leaves; the derivative rules are
 * expanded when a program is compiled, never here.
 *
 *   y = f(x), x a leaf        node of y -> .. -> detach(x's version) = variable
 *   kl_backward(y)            x.grad = detach(pick 0 of grad(y, 1, variable))
 *
 * Which values a derivative reads follows from its row; if one of them was the version of
 * a storage that has been written since, the gradient is refused as PyTorch refuses it.
 */
#include "front.h"

/* ---- switches ---- */

void kl_no_grad_begin(void)
{
    kl_thread()->no_grad++;
}

void kl_no_grad_end(void)
{
    kl_state *s = kl_thread();
    s->no_grad -= s->no_grad > 0;
}

bool kl_grad_enabled(void)
{
    return kl_thread()->no_grad == 0;
}

bool kl_set_grad_enabled(bool on)
{
    bool was = kl_grad_enabled();
    kl_thread()->no_grad = !on;
    return was;
}

/* ---- leaves ---- */

bool kl_tracks(kl_tensor *t)
{
    if (t->leaf)
        return true;
    kl_lazy *n = kl_storage_node(t->storage);
    bool track = n->track && !kl_detached(t);
    kl_lazy_unref(n);
    return track;
}

bool kl_requires_grad(const kl_tensor *t)
{
    return t && kl_tracks((kl_tensor *)(uintptr_t)t);
}
bool kl_is_leaf(const kl_tensor *t)
{
    return t && ((t->leaf && !t->view) || !kl_requires_grad(t));
}

bool kl_is_view(const kl_tensor *t)
{
    return t && t->view && !(t->leaf && t->leaf->retain);
}

static kl_leaf *leaf_new(void)
{
    kl_leaf *l = kl_slab_alloc(sizeof *l);
    if (l)
        *l = (kl_leaf){.refs = 1};
    return l;
}

/* Where t's elements lie in its storage, whose shape gradients come in. */
static void map_leaf(kl_leaf *l, kl_tensor *t)
{
    l->mapped = !t->whole;
    l->rank = t->rank;
    l->offset = t->offset;
    memcpy(l->shape, kl_t_shape(t), t->rank * sizeof *l->shape);
    memcpy(l->stride, kl_t_stride(t), t->rank * sizeof *l->stride);
}

kl_lazy *kl_leaf_part(const kl_leaf *l, kl_lazy *g)
{
    return l->mapped ? kl_n_strided(g, l->offset, l->rank, l->shape, l->stride) : g;
}

/* Memory of its own for a t whose elements share some, as expand makes it: each of them
 * is to have its gradient. */
static kl_status own_memory(kl_tensor *t)
{
    bool shared = false;
    for (int i = 0; i < t->rank; i++)
        shared = shared || (kl_t_stride(t)[i] == 0 && kl_t_shape(t)[i] > 1);
    kl_lazy *n = shared ? kl_arg_tensor(t) : NULL;
    kl_tensor *own = n ? kl_tensor_wrap(n) : NULL;
    if (!own)
        return shared ? kl_error_status() : KL_OK;
    kl_storage_unref(t->storage);
    t->storage = kl_storage_ref(own->storage);
    t->offset = own->offset;
    t->whole = own->whole;
    memcpy(kl_t_stride(t), kl_t_stride(own), t->rank * sizeof *kl_t_stride(t));
    kl_lazy_unref(t->cache);
    t->cache = t->base = NULL;
    kl_tensor_unref(own);
    return KL_OK;
}

kl_tensor *kl_requires_grad_at(const char *at, kl_tensor *t, bool on)
{
    kl_call c = kl_call_begin(at);
    kl_status st = t ? KL_OK : kl_fail(KL_ERR_ARG, "a tensor is NULL");
    kl_dtype dt = t ? (kl_dtype)t->dtype : KL_F32;
    if (on && !kl_is_float(dt) && !kl_is_complex(dt))
        st = kl_fail(KL_ERR_DTYPE,
                     "Only Tensors of floating point and complex dtype can require "
                     "gradients");
    else if (st == KL_OK && !on && !kl_is_leaf(t))
        st = kl_fail(KL_ERR_STATE,
                     "you can only change requires_grad flags of leaf variables.");
    if (st == KL_OK && on && !kl_tracks(t) && (st = own_memory(t)) == KL_OK) {
        t->leaf = leaf_new();
        t->detached = t->view = 0; /* a leaf of its own from here on */
        st = t->leaf ? KL_OK : KL_ERR_OOM;
        if (t->leaf) {
            map_leaf(t->leaf, t);
            t->leaf->grad = t->grad;
            t->grad = NULL;
        }
    } else if (st == KL_OK && !on && t->leaf) { /* what was collected stays */
        t->grad = kl_tensor_ref(t->leaf->grad);
        kl_leaf_unref(t->leaf);
        t->leaf = NULL;
    }
    return kl_call_done(&c, st) == KL_OK ? t : NULL;
}

/* Where t's gradient is; a view of a leaf has none of its own. */
static kl_tensor **grad_slot(kl_tensor *t)
{
    return t->leaf && (!t->view || t->leaf->retain) ? &t->leaf->grad : &t->grad;
}

kl_tensor *kl_grad_of(kl_tensor *t)
{
    kl_tensor *g = t ? *grad_slot(t) : NULL;
    return g && kl_scope_add(kl_tensor_ref(g)) == KL_OK ? g : NULL;
}

kl_status kl_set_grad(kl_tensor *t, kl_tensor *grad)
{
    char s[2][200];
    if (!t)
        return kl_fail(KL_ERR_ARG, "a tensor is NULL");
    if (grad &&
        (grad->rank != t->rank || memcmp(kl_t_shape(grad), kl_t_shape(t), t->rank * 8)))
        return kl_fail(
            KL_ERR_SHAPE,
            "attempting to assign a gradient of size '%s' to a tensor of size "
            "'%s'. Please ensure that the gradient and the tensor are the same "
            "size",
            kl_ints_text(kl_shape_of(grad), s[0], 200),
            kl_ints_text(kl_shape_of(t), s[1], 200));
    kl_tensor **slot = grad_slot(t), *old = *slot;
    *slot = kl_tensor_ref(grad);
    kl_tensor_unref(old);
    return KL_OK;
}

void kl_leaf_watch(kl_leaf *l, kl_lazy *n)
{
    pthread_mutex_lock(&kl_graph_lock);
    kl_leaf *old = n->leaf;
    if (old && !l->cut) {
        l->cut = kl_cut_ref(old->cut);
        l->output = old->output;
    }
    n->leaf = kl_leaf_ref(l);
    pthread_mutex_unlock(&kl_graph_lock);
    kl_leaf_unref(old);
}

/* After a write: what was the value before collects no more. */
static void unwatch(kl_leaf *l, kl_lazy *n)
{
    pthread_mutex_lock(&kl_graph_lock);
    bool mine = n && n->leaf == l;
    if (mine)
        n->leaf = NULL;
    pthread_mutex_unlock(&kl_graph_lock);
    if (mine)
        kl_leaf_unref(l);
}

void kl_leaf_move(kl_leaf *l, kl_lazy *from, kl_lazy *to)
{
    kl_leaf_watch(l, to);
    unwatch(l, from);
}

kl_status kl_retain_grad(kl_tensor *t)
{
    if (!t || !kl_tracks(t))
        return kl_fail(
            KL_ERR_STATE,
            "retain_grad: can't retain_grad on Tensor that has requires_grad=False");
    if (t->leaf && (t->leaf->retain || !t->view))
        return KL_OK;
    kl_call c = kl_call_enter(kl_place(), __func__);
    kl_lazy *n = kl_tensor_read(t);
    kl_leaf *l = n ? leaf_new() : NULL;
    if (!l)
        return kl_call_done(&c, KL_ERR_OOM);
    l->retain = l->of_node = true;
    l->of = t->leaf;
    t->leaf = l;
    if (t->view && n == kl_thread()->last_base) { /* others read this node, too */
        t->whole = 0;
        t->base = NULL;
        n = kl_tensor_read(t);
    } else {
        kl_leaf_watch(l, n);
    }
    t->view = 1; /* it prints and counts as no leaf */
    return kl_call_done(&c, n ? KL_OK : KL_ERR_OOM);
}

bool kl_retains_grad(const kl_tensor *t)
{
    return t && t->leaf && t->leaf->retain;
}

kl_tensor *kl_detach_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    if (!n)
        return kl_call_view(&c, NULL);
    kl_tensor *d =
        kl_tensor_view(t, t->offset, t->rank, kl_t_shape(t), kl_t_stride(t), NULL);
    if (d) {
        kl_leaf_unref(d->leaf);
        d->leaf = NULL;
        d->detached = 1;
        d->since = t->storage->version;
        d->whole = t->whole;
    }
    return kl_call_view(&c, d);
}

kl_tensor *kl_with_data_at(const char *at, kl_tensor *t, kl_tensor *v)
{
    kl_tensor *d = t ? kl_detach_at(at, v) : NULL;
    if (d)
        d->grad = kl_tensor_ref(t->grad);
    if (d && t->leaf) {
        d->leaf = kl_leaf_ref(t->leaf);
        d->detached = d->view = 0;
        map_leaf(d->leaf, d);
    }
    return d;
}

/* ---- what a derivative reads ---- */

static bool mentions(const char *text, char letter)
{
    for (const char *p = text; p && *p; p++) {
        bool before = p > text && ((p[-1] >= 'a' && p[-1] <= 'z') || p[-1] == '_');
        bool after =
            (p[1] >= 'a' && p[1] <= 'z') || (p[1] >= '0' && p[1] <= '9') || p[1] == '_';
        if (*p == letter && !before && !after)
            return true;
    }
    return false;
}

/* Bit i: source i; bit 3: the result. Ours may be read where PyTorch has kept something
 * else: quotients keep their operands, and what is largest or smallest keeps where it
 * was, so these results may be written to. */
static unsigned saved(kl_lazy *n)
{
    const kl_op_info *op = &kl_ops[n->op];
    unsigned r = 0;
    if (op->kind == KL_KIND_ELT) {
        for (int i = 0; i < n->nsrc; i++)
            for (int v = 0; v < 4 && kl_lazy_src(n, i)->track; v++)
                r |= mentions(op->d[i], "abcy"[v]) ? 1u << v : 0;
        return r & ((n->op == KL_OP_div ? 0 : 8u) | ((1u << n->nsrc) - 1));
    }
    if (n->op == KL_OP_contract)
        return (kl_lazy_src(n, 1)->track ? 1u : 0) | (kl_lazy_src(n, 0)->track ? 2u : 0);
    if (n->op == KL_OP_reduce || n->op == KL_OP_prefix) {
        int64_t of = kl_lazy_attr(n)[0];
        return of == KL_OP_add ? 0 : of == KL_OP_max || of == KL_OP_min ? 1 : 9;
    }
    return n->op == KL_OP_gather || n->op == KL_OP_scatter ? 2 : 0;
}

/* "Float" -> "torch.FloatTensor [2]" and so on. */
static kl_status modified(kl_lazy *n)
{
    char shape[200], op[40] = "";
    const char *name = kl_ops[n->op].name;
    uint32_t now = __atomic_load_n(&n->counter->version, __ATOMIC_RELAXED);
    if (n->track && n->op != KL_OP_detach)
        snprintf(op, sizeof op, ", which is output 0 of %c%s,", name[0] - 32, name + 1);
    return kl_fail(
        KL_ERR_STATE,
        "one of the variables needed for gradient computation has been modified by an "
        "inplace operation: [torch.%sTensor %s]%s is at version %u; expected version %u "
        "instead. Hint: the value was made at %s",
        kl_dtypes[n->dtype].scalar,
        kl_ints_text(kl_ints_of(n->rank, kl_lazy_shape(n)), shape, sizeof shape), op, now,
        n->expected, n->place ? n->place : "an unknown place");
}

/* A value, or what it is a view of, was a version that has been written over. */
static kl_status check_version(kl_lazy *n)
{
    while (n) {
        if (n->counter && !KL_PLANTED(saved_version))
            return modified(n);
        bool passes =
            n->nsrc == 1 && (kl_ops[n->op].kind == KL_KIND_MOVE || n->op == KL_OP_detach);
        n = passes ? kl_lazy_src(n, 0) : NULL;
    }
    return KL_OK;
}

/* Whether n's derivative is a function of tracked values, so that it has one itself. */
static bool reads_tracked(kl_lazy *n)
{
    const kl_op_info *op = &kl_ops[n->op];
    bool linear = op->kind == KL_KIND_ELT || op->kind == KL_KIND_MOVE ||
                  n->op == KL_OP_cast || n->op == KL_OP_contract ||
                  n->op == KL_OP_gather || n->op == KL_OP_detach ||
                  (n->op == KL_OP_reduce && kl_lazy_attr(n)[0] == KL_OP_add);
    unsigned s = saved(n);
    bool reads = !linear || (s & 8);
    for (int i = 0; i < n->nsrc && i < 3; i++)
        reads = reads || ((s >> i & 1) && kl_lazy_src(n, i)->track);
    return reads;
}

static kl_status check_saved(kl_lazy *n, kl_walk walk)
{
    unsigned s = saved(n);
    if (s && n->freed && walk != KL_WALK_MARK)
        return kl_fail(
            KL_ERR_STATE,
            "Trying to backward through the graph a second time (or directly access "
            "saved tensors after they have already been freed). Saved intermediate "
            "values of the graph are freed when you call .backward() or "
            "autograd.grad(). Specify retain_graph=True if you need to backward through "
            "the graph a second time or if you need to access saved tensors after "
            "calling backward.");
    n->freed |= s && walk != KL_WALK_KEEP;
    for (int i = 0; i < 3; i++)
        if ((s & ~n->own) >> i & 1)
            KL_TRY(check_version(kl_lazy_src(n, i)));
    return s & 8 ? check_version(n) : KL_OK;
}

/* ---- the variables below a value ---- */

static kl_status vars_walk(kl_lazy *y, kl_walk walk, kl_list *stack, kl_vars *out)
{
    uint32_t mark = kl_next_mark();
    kl_list found = {0};
    kl_status st = KL_OK;
    bool ok = kl_list_add(stack, y), reads = false;
    y->mark = mark;
    while (ok && st == KL_OK && stack->n > 0) {
        kl_lazy *n = stack->v[--stack->n];
        if (n->leaf)
            ok = kl_list_hold(&found, n);
        if (n->op == KL_OP_detach || (n != y && n->leaf && n->leaf->cut))
            continue;
        st = check_saved(n, walk);
        reads = reads || reads_tracked(n);
        for (int i = n->nsrc; i-- > 0 && ok;) {
            kl_lazy *s = kl_lazy_src(n, i);
            if (!s->track || s->mark == mark)
                continue;
            s->mark = mark;
            ok = kl_list_add(stack, s);
        }
    }
    *out = (kl_vars){found.v, (int)found.n, (int)found.cap, reads};
    return ok ? st : kl_fail(KL_ERR_OOM, "out of memory for gradients");
}

kl_status kl_vars_below(kl_lazy *y, kl_walk walk, kl_vars *out)
{
    kl_list stack = {0};
    pthread_mutex_lock(&kl_graph_lock);
    kl_status st = vars_walk(y, walk, &stack, out);
    pthread_mutex_unlock(&kl_graph_lock);
    kl_free(stack.v, stack.cap * sizeof *stack.v);
    return st;
}

void kl_vars_free(kl_vars *v)
{
    for (int i = 0; i < v->n; i++)
        kl_lazy_unref(v->v[i]);
    kl_free(v->v, (size_t)v->cap * sizeof *v->v);
    *v = (kl_vars){0};
}

/* ---- backward ---- */

static kl_lazy *seed_for(kl_lazy *y, kl_tensor *seed)
{
    if (seed) {
        kl_lazy *s = kl_n_cast(kl_arg_tensor(seed), (kl_dtype)y->dtype);
        if (s && (s->rank != y->rank ||
                  memcmp(kl_lazy_shape(s), kl_lazy_shape(y), y->rank * 8))) {
            char a[200], b[200];
            kl_fail(KL_ERR_SHAPE,
                    "Mismatch in shape: grad_output[0] has a shape of torch.Size(%s) and "
                    "output[0] has a shape of torch.Size(%s).",
                    kl_ints_text(kl_ints_of(s->rank, kl_lazy_shape(s)), a, sizeof a),
                    kl_ints_text(kl_ints_of(y->rank, kl_lazy_shape(y)), b, sizeof b));
            return NULL;
        }
        return s;
    }
    if (kl_lazy_numel(y) != 1) {
        kl_fail(KL_ERR_STATE, "grad can be implicitly created only for scalar outputs");
        return NULL;
    }
    return kl_n_full((kl_dtype)y->dtype, y->rank, kl_lazy_shape(y), 1);
}

kl_status kl_leaf_accumulate(kl_leaf *l, kl_lazy *g, bool create)
{
    g = g ? kl_leaf_part(l, g) : NULL;
    if (!g)
        return KL_ERR_OOM;
    if (!l->grad || create) {
        kl_lazy *sum = l->grad ? kl_n_bin(KL_OP_add, kl_tensor_read(l->grad), g) : g;
        kl_tensor *old = l->grad, *t = sum ? kl_tensor_wrap(sum) : NULL;
        if (!t)
            return KL_ERR_OOM;
        l->grad = t;
        kl_tensor_unref(old);
        return kl_dirty_add(t->storage);
    }
    kl_state *s = kl_thread();
    int was = s->no_grad++;
    kl_status st =
        kl_tensor_write(l->grad, kl_n_bin(KL_OP_add, kl_tensor_read(l->grad), g));
    s->no_grad = was;
    return st;
}

/* What was recorded counts, whether or not anything is now. */
static int record_again(void)
{
    int was = kl_thread()->no_grad;
    kl_thread()->no_grad = 0;
    return was;
}

static kl_lazy *tracked(kl_tensor *y)
{
    kl_lazy *n = kl_arg_tensor(y);
    if (!n || n->track)
        return n;
    kl_fail(KL_ERR_STATE,
            "element 0 of tensors does not require grad and does not have a grad_fn");
    return NULL;
}

/* The gradients of y by nodes x; untracked unless they are to be differentiated again. */
static kl_status gradients(kl_lazy *y, kl_lazy *seed, kl_lazy *const *x, int n,
                           bool create, kl_lazy **out)
{
    if (!kl_n_grad(y, seed, x, n, out))
        return KL_ERR_OOM;
    for (int i = 0; i < n; i++)
        if (!create || !out[i])
            out[i] = kl_n_detach(out[i]);
    return KL_OK;
}

static bool cuts_among(kl_lazy *y, const kl_vars *v)
{
    bool any = y->leaf && y->leaf->cut;
    for (int i = 0; i < v->n && !any; i++)
        any = v->v[i]->leaf && v->v[i]->leaf->cut;
    return any;
}

/* The variables below y; *cut: the way to them leads through cuts, and nothing has been
 * given up yet. */
static kl_status below(kl_lazy *y, bool retain, kl_vars *v, bool *cut)
{
    *cut = false;
    if (!kl_cuts_live())
        return kl_vars_below(y, retain ? KL_WALK_KEEP : KL_WALK_LAST, v);
    KL_TRY(kl_vars_below(y, KL_WALK_KEEP, v));
    *cut = cuts_among(y, v);
    if (*cut || retain)
        return KL_OK;
    kl_vars_free(v);
    return kl_vars_below(y, KL_WALK_LAST, v);
}

static kl_status backward(kl_lazy *y, kl_lazy *seed, kl_vars *v, bool create)
{
    kl_lazy **g = kl_alloc_zeroed((size_t)v->n * sizeof *g + 1);
    kl_status st =
        g ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d gradients", v->n);
    if (st == KL_OK)
        st = gradients(y, seed, v->v, v->n, create && (v->reads || seed->track), g);
    for (int i = 0; i < v->n && st == KL_OK; i++)
        if (v->v[i]->leaf)
            st = kl_leaf_accumulate(v->v[i]->leaf, g[i], create);
    kl_free(g, (size_t)v->n * sizeof *g + 1);
    return st;
}

static kl_status backward_from(kl_tensor *t, kl_tensor *seed, bool retain, bool create)
{
    kl_lazy *y = tracked(t), *s = y ? seed_for(y, seed) : NULL;
    kl_vars v = {0};
    if (!s)
        return kl_error_status();
    bool cut;
    kl_status st = below(y, retain || create, &v, &cut);
    if (st == KL_OK && cut)
        st = kl_cut_gradients(y, s, NULL, 0, retain || create, create, NULL);
    else if (st == KL_OK && v.n > 0)
        st = backward(y, s, &v, create);
    kl_vars_free(&v);
    return st;
}

kl_status kl_backward_at(const char *at, kl_tensor *t, kl_tensor *seed, bool retain,
                         bool create)
{
    kl_call c = kl_call_begin(at);
    int was = record_again();
    kl_status st = backward_from(t, seed, retain, create);
    kl_thread()->no_grad = was;
    return kl_call_done(&c, st);
}

/* ---- functional ---- */

/* A leaf over a part of its storage, itself and no view of it, that reads its variable.
 */
static bool is_part(kl_tensor *x)
{
    kl_leaf *l = x->leaf;
    return l && l->mapped && !x->view && l->var && l->base == x->storage->node;
}

/* What gradients are taken by: a node for each x and, behind them, variables of versions
 * before that y was computed from, which count for the x at `of`. */
typedef struct wanted {
    kl_list nodes;
    int *of;
    size_t nof, cap;
} wanted;

static bool among(const kl_vars *v, const kl_lazy *n)
{
    bool there = false;
    for (int i = 0; i < v->n && !there; i++)
        there = v->v[i] == n;
    return there;
}

/* That which holds x's older variables; NULL: there are none. */
static const kl_leaf *own_leaf(const kl_tensor *x)
{
    return x->leaf && x->leaf->retain ? x->leaf->of : x->leaf;
}

/* cut: what lies below a cut is not among v. */
static bool want_older(wanted *w, kl_tensor *const *x, int n, const kl_vars *v, bool cut)
{
    bool ok = true;
    for (int i = 0; i < n; i++) {
        const kl_leaf *l = own_leaf(x[i]);
        for (size_t k = 0; l && k < l->nolder && ok; k++) {
            if (!cut && !among(v, l->older[k]))
                continue;
            ok = kl_list_add(&w->nodes, l->older[k]) &&
                 kl_grow(&w->of, w->nof, &w->cap, sizeof *w->of);
            if (ok)
                w->of[w->nof++] = i;
        }
    }
    return ok;
}

static kl_status want(wanted *w, kl_tensor *const *x, int n)
{
    for (int i = 0; i < n; i++) {
        kl_lazy *node = kl_arg_tensor(x[i]);
        if (!node)
            return kl_error_status();
        if (is_part(x[i])) /* other views read the variable past x's own reading */
            node = x[i]->leaf->var;
        if (!node->track)
            return kl_fail(KL_ERR_STATE,
                           "One of the differentiated Tensors does not require grad");
        if (!kl_list_add(&w->nodes, node))
            return kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n);
    }
    return KL_OK;
}

/* g: a gradient for each of the wanted. */
static kl_status take(const wanted *w, kl_tensor *const *x, int n, kl_lazy **g,
                      kl_lazy **out)
{
    memcpy(out, g, (size_t)n * sizeof *g);
    for (size_t k = 0; k < w->nof; k++)
        out[w->of[k]] = kl_n_bin(KL_OP_add, out[w->of[k]], g[(size_t)n + k]);
    for (int i = 0; i < n; i++) {
        out[i] = out[i] && is_part(x[i]) ? kl_leaf_part(x[i]->leaf, out[i]) : out[i];
        if (!out[i])
            return KL_ERR_OOM;
    }
    return KL_OK;
}

static kl_status grad_nodes(kl_lazy *y, kl_lazy *s, kl_tensor *const *x, int n,
                            bool retain, bool create, kl_lazy **out)
{
    kl_vars v = {0};
    wanted w = {0};
    bool cut = false;
    kl_lazy **g = NULL;
    kl_status st = want(&w, x, n);
    if (st == KL_OK)
        st = below(y, retain || create, &v, &cut);
    if (st == KL_OK) {
        bool ok = want_older(&w, x, n, &v, cut);
        g = ok ? kl_alloc_zeroed((size_t)w.nodes.n * sizeof *g + 1) : NULL;
        st = g ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n);
    }
    int all = (int)w.nodes.n;
    if (st == KL_OK)
        st = cut ? kl_cut_gradients(y, s, w.nodes.v, all, retain || create, create, g)
                 : gradients(y, s, w.nodes.v, all, create && (v.reads || s->track), g);
    if (st == KL_OK)
        st = take(&w, x, n, g, out);
    kl_free(g, (size_t)all * sizeof *g + 1);
    kl_free(w.of, w.cap * sizeof *w.of);
    kl_free(w.nodes.v, w.nodes.cap * sizeof *w.nodes.v);
    kl_vars_free(&v);
    return st;
}

kl_status kl_grad_at(const char *at, kl_tensor *t, kl_tensor *const *x, int n,
                     kl_tensor *seed, bool retain, bool create, kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    int was = record_again();
    bool given = kl_arg_given(x, n, "the list of tensors") &&
                 kl_arg_given(out, n, "the place for the results");
    n = given ? n : 0;
    kl_lazy *y = given ? tracked(t) : NULL, *s = y ? seed_for(y, seed) : NULL;
    kl_lazy **dx = s && n > 0 ? kl_alloc_zeroed((size_t)n * sizeof *dx) : NULL;
    kl_status st = dx           ? grad_nodes(y, s, x, n, retain, create, dx)
                   : s && n > 0 ? kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n)
                                : KL_ERR_ARG;
    for (int i = 0; i < n; i++) {
        out[i] = st == KL_OK ? kl_tensor_wrap(dx[i]) : NULL;
        if (out[i] && kl_scope_add(out[i]))
            out[i] = NULL;
        st = st == KL_OK && !out[i] ? kl_error_status() : st;
    }
    if (dx)
        kl_free(dx, (size_t)n * sizeof *dx);
    kl_thread()->no_grad = was;
    return kl_call_done(&c, st);
}

/* ---- what depends on what ---- */

/* Marks what is reached from y, also past cuts; *all: a cut has captured who knows what.
 */
static kl_status mark_below(kl_lazy *y, uint32_t mark, kl_list *stack, bool *all)
{
    bool ok = kl_list_add(stack, y);
    y->mark = mark;
    while (ok && stack->n > 0) {
        kl_lazy *n = stack->v[--stack->n];
        const kl_cut *c = n->leaf ? n->leaf->cut : NULL;
        bool ends = n->op == KL_OP_detach && !(c && c->hook);
        int nsrc = ends ? 0 : n->nsrc, nin = c ? c->nin : 0;
        *all = *all || (c && c->collects);
        for (int i = 0; i < nsrc + nin && ok; i++) {
            kl_lazy *s = i < nsrc ? kl_lazy_src(n, i) : c->in[i - nsrc];
            if (!s || !s->track || s->mark == mark)
                continue;
            s->mark = mark;
            ok = kl_list_add(stack, s);
        }
    }
    return ok ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for gradients");
}

static bool reached(const kl_tensor *x, const kl_lazy *node, uint32_t mark)
{
    const kl_leaf *l = own_leaf(x);
    bool is = node->mark == mark;
    for (size_t k = 0; l && k < l->nolder && !is; k++)
        is = l->older[k]->mark == mark;
    return is;
}

kl_status kl_depends_at(const char *at, kl_tensor *t, kl_tensor *const *x, int n,
                        bool *on)
{
    kl_call c = kl_call_begin(at);
    int was = record_again();
    kl_lazy *y = tracked(t);
    kl_list stack = {0};
    wanted w = {0};
    bool all = false;
    kl_status st = y ? want(&w, x, n) : kl_error_status();
    if (st == KL_OK) {
        pthread_mutex_lock(&kl_graph_lock);
        uint32_t mark = kl_next_mark();
        st = mark_below(y, mark, &stack, &all);
        for (int i = 0; i < n && st == KL_OK; i++)
            on[i] = all || reached(x[i], w.nodes.v[i], mark);
        pthread_mutex_unlock(&kl_graph_lock);
    }
    kl_free(stack.v, stack.cap * sizeof *stack.v);
    kl_free(w.nodes.v, w.nodes.cap * sizeof *w.nodes.v);
    kl_thread()->no_grad = was;
    return kl_call_done(&c, st);
}

kl_tensor *kl_value_and_grad_at(const char *at, kl_fn_of fn, void *user,
                                kl_tensor *const *x, int n, kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    bool given =
        kl_arg_given(fn ? x : NULL, n, fn ? "the list of tensors" : "the function");
    if (kl_call_done(&c, given ? KL_OK : KL_ERR_ARG))
        return NULL;
    kl_tensor **leaf = n > 0 ? kl_alloc_zeroed((size_t)n * sizeof *leaf) : NULL,
              *y = NULL;
    bool ok = leaf != NULL, was = kl_set_grad_enabled(true);
    kl_scope_begin();
    for (int i = 0; i < n && ok; i++) {
        leaf[i] = kl_requires_grad_at(at, kl_detach_at(at, x[i]), true);
        ok = leaf[i] != NULL;
    }
    if (ok && (y = fn(leaf, n, user)) != NULL &&
        kl_grad_at(at, y, leaf, n, NULL, true, false, out))
        y = NULL;
    y = y ? kl_keep(kl_detach_at(at, y)) : NULL;
    for (int i = 0; i < n && y; i++)
        kl_keep(out[i]);
    kl_scope_end();
    kl_set_grad_enabled(was);
    if (leaf)
        kl_free(leaf, (size_t)n * sizeof *leaf);
    return y;
}
