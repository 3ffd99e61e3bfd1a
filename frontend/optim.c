/* optim.c: SGD, Adam and AdamW. A step makes nodes only: gradients, new state, new
 * parameters, each written to its storage; then one force computes all of it together
 * with the loss.
 *
 *   m' = m + (g - m) (1 - beta1)     v' = v beta2 + g g (1 - beta2)
 *   p' = p - s m' / (sqrt(v') / r + eps)      s = lr / (1 - beta1^t), r = sqrt(1 -
 * beta2^t)
 *
 * s, r and the learning rate are worked out here in double and are run-time inputs of the
 * program; the betas are its constants. */
#include "front.h"

typedef struct slot {
    kl_tensor *p, *m, *v, *vmax;
} slot; /* SGD: m is the momentum */
typedef struct scalars {
    kl_lazy *lr, *step, *root, *keep;
} scalars;
typedef kl_status (*update_fn)(const kl_optim *o, slot *s, kl_lazy *g, const scalars *k);
struct kl_optim {
    update_fn update;
    int n;
    slot *slots;
    int64_t steps;
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps;
    bool nesterov, maximize, amsgrad, decoupled;
};

static double or_default(double v, double dflt)
{
    return v == 0 && !signbit(v) ? dflt : v;
}

/* ---- making ---- */

void kl_optim_free(kl_optim *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->n; i++) {
        slot *s = &o->slots[i];
        kl_tensor_unref(s->p);
        kl_tensor_unref(s->m);
        kl_tensor_unref(s->v);
        kl_tensor_unref(s->vmax);
    }
    kl_free(o->slots, (size_t)o->n * sizeof *o->slots + 1);
    kl_free(o, sizeof *o);
}

/* Zeros that are a buffer from the start, so that the first step is like the others. */
static kl_tensor *zeros_for(kl_tensor *p)
{
    const char *at = kl_place();
    kl_tensor *z = kl_empty_at(at, kl_shape_of(p), (kl_dtype)p->dtype);
    return kl_tensor_ref(kl_to_device_at(at, z, kl_device_of(p)));
}

static kl_optim *optim_new(const char *at, kl_tensor *const *p, int n, int states)
{
    kl_status st = n >= 0 && p
                       ? KL_OK
                       : kl_fail(KL_ERR_ARG, "optimizer got an empty parameter list");
    kl_optim *o = st == KL_OK ? kl_alloc_zeroed(sizeof *o) : NULL;
    if (o && (o->slots = kl_alloc_zeroed((size_t)n * sizeof *o->slots + 1)))
        o->n = n;
    else if (st == KL_OK)
        st = kl_fail(KL_ERR_OOM, "out of memory for %d parameters", n);
    kl_scope_begin();
    for (int i = 0; i < n && st == KL_OK; i++) {
        slot *s = &o->slots[i];
        if (p[i] && !kl_is_leaf(p[i]))
            st = kl_fail(KL_ERR_STATE, "can't optimize a non-leaf Tensor");
        if (st || !kl_requires_grad_at(at, p[i], true))
            st = kl_error_status();
        else
            s->p = kl_tensor_ref(p[i]);
        if (st == KL_OK && states > 0 && !(s->m = zeros_for(p[i])))
            st = kl_error_status();
        if (st == KL_OK && states > 1 && !(s->v = zeros_for(p[i])))
            st = kl_error_status();
        if (st == KL_OK && states > 2 && !(s->vmax = zeros_for(p[i])))
            st = kl_error_status();
    }
    kl_scope_end();
    if (st == KL_OK)
        st = kl_realize_all_at(at, p, n);
    if (st == KL_OK)
        return o;
    kl_optim_free(o);
    return NULL;
}

/* ---- updates ---- */

static kl_lazy *scaled_add(kl_lazy *a, kl_lazy *b, kl_lazy *by)
{
    return kl_n_bin(KL_OP_add, a, kl_n_bin(KL_OP_mul, b, by));
}

static kl_lazy *decayed(const kl_optim *o, kl_lazy *g, kl_lazy *p)
{
    if (o->maximize)
        g = kl_n_un(KL_OP_neg, g);
    if (o->weight_decay == 0 || o->decoupled)
        return g;
    return kl_n_bin(KL_OP_add, g, kl_n_binc(KL_OP_mul, p, o->weight_decay));
}

static kl_lazy *like(kl_lazy *scalar, kl_lazy *a)
{
    return a ? kl_n_cast(scalar, (kl_dtype)a->dtype) : NULL;
}

static kl_status sgd_update(const kl_optim *o, slot *s, kl_lazy *g, const scalars *k)
{
    kl_lazy *p = kl_tensor_read(s->p);
    g = decayed(o, g, p);
    if (o->momentum != 0) { /* the first step's buffer is the gradient: damp is 1 then */
        kl_lazy *m = kl_n_binc(KL_OP_mul, kl_tensor_read(s->m), o->momentum);
        m = scaled_add(m, g, like(k->keep, g));
        KL_TRY(kl_tensor_write(s->m, m));
        g = o->nesterov ? kl_n_bin(KL_OP_add, g, kl_n_binc(KL_OP_mul, m, o->momentum))
                        : m;
    }
    return kl_tensor_write(
        s->p, kl_n_bin(KL_OP_sub, p, kl_n_bin(KL_OP_mul, like(k->lr, g), g)));
}

static kl_status adam_update(const kl_optim *o, slot *s, kl_lazy *g, const scalars *k)
{
    kl_lazy *p = kl_tensor_read(s->p), *m = kl_tensor_read(s->m),
            *v = kl_tensor_read(s->v);
    g = decayed(o, g, p);
    if (o->decoupled)
        p = kl_n_bin(KL_OP_mul, p, like(k->keep, p));
    m = kl_n_bin(KL_OP_add, m,
                 kl_n_binc(KL_OP_mul, kl_n_bin(KL_OP_sub, g, m), 1 - o->beta1));
    v = kl_n_bin(KL_OP_add, kl_n_binc(KL_OP_mul, v, o->beta2),
                 kl_n_binc(KL_OP_mul, kl_n_square(g), 1 - o->beta2));
    KL_TRY(kl_tensor_write(s->m, m));
    KL_TRY(kl_tensor_write(s->v, v));
    if (o->amsgrad) {
        v = kl_n_bin(KL_OP_max, kl_tensor_read(s->vmax), v);
        KL_TRY(kl_tensor_write(s->vmax, v));
    }
    kl_lazy *d = kl_n_bin(KL_OP_div, kl_n_un(KL_OP_sqrt, v), like(k->root, v));
    d = kl_n_bin(KL_OP_div, m, kl_n_binc(KL_OP_add, d, o->eps));
    return kl_tensor_write(
        s->p, kl_n_bin(KL_OP_sub, p, kl_n_bin(KL_OP_mul, like(k->step, d), d)));
}

/* ---- the step ---- */

static kl_lazy *input(double v)
{
    return kl_lazy_small(KL_F64, 0, NULL, &v);
}

static scalars scalars_of(const kl_optim *o)
{
    double t = (double)o->steps, bc1 = 1 - pow(o->beta1, t), bc2 = 1 - pow(o->beta2, t);
    bool adam = o->update == adam_update;
    double keep = adam            ? 1 - o->lr * o->weight_decay
                  : o->steps == 1 ? 1
                                  : 1 - o->dampening;
    return (scalars){input(o->lr), input(adam ? o->lr / bc1 : 0),
                     input(adam ? sqrt(bc2) : 0), input(keep)};
}

/* g[i]: the gradient of parameter i, or NULL. */
static kl_status apply(kl_optim *o, kl_lazy *const *g)
{
    kl_state *s = kl_thread();
    kl_status st = KL_OK;
    o->steps++;
    s->no_grad++;
    scalars k = scalars_of(o);
    for (int i = 0; i < o->n && st == KL_OK; i++)
        if (g[i])
            st = o->update(o, &o->slots[i], g[i], &k);
    s->no_grad--;
    return st;
}

/* Everything that is due, the loss with it. */
static kl_status finish(kl_optim *o, kl_lazy *loss)
{
    kl_lazy *first = loss   ? loss
                     : o->n ? kl_lazy_temp(kl_storage_node(o->slots[0].p->storage))
                            : NULL;
    kl_status st = first ? kl_force_one(first) : KL_OK;
    return st ? st : kl_force_dirty();
}

kl_status kl_optim_step_at(const char *at, kl_optim *o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy **g = o ? kl_alloc_zeroed((size_t)o->n * sizeof *g + 1) : NULL;
    kl_status st = g ? KL_OK : kl_fail(KL_ERR_ARG, "the optimizer is NULL");
    for (int i = 0; g && i < o->n; i++) {
        kl_tensor *grad = o->slots[i].p->leaf ? o->slots[i].p->leaf->grad : NULL;
        g[i] = grad ? kl_tensor_read(grad) : NULL;
        g[i] = g[i] && g[i]->track ? kl_n_detach(g[i]) : g[i];
    }
    if (st == KL_OK)
        st = apply(o, g);
    if (st == KL_OK)
        st = finish(o, NULL);
    if (g)
        kl_free(g, (size_t)o->n * sizeof *g + 1);
    return kl_call_done(&c, st);
}

/* Gradients of loss by every parameter that it depends on. */
static kl_status gradients(kl_optim *o, kl_lazy *loss, kl_lazy **g)
{
    kl_vars below = {0};
    kl_status st = kl_vars_below(loss, KL_WALK_LAST, &below);
    if (st == KL_OK)
        st = kl_cuts_refuse(&below, "a step that takes gradients itself");
    kl_lazy **x = st ? NULL : kl_alloc_zeroed(2 * (size_t)o->n * sizeof *x + 1);
    int n = 0;
    if (st == KL_OK && !x)
        st = kl_fail(KL_ERR_OOM, "out of memory for %d gradients", o->n);
    for (int i = 0; i < o->n && st == KL_OK; i++)
        for (int k = 0; k < below.n && !g[i]; k++)
            if (below.v[k]->leaf == o->slots[i].p->leaf)
                g[i] = x[n++] = below.v[k];
    if (st == KL_OK && n > 0 &&
        !kl_n_grad(loss, kl_n_const((kl_dtype)loss->dtype, 1), x, n, x + o->n))
        st = kl_error_status();
    for (int i = 0, k = 0; i < o->n && st == KL_OK; i++)
        g[i] = g[i] ? kl_n_detach(x[o->n + k++]) : NULL;
    kl_vars_free(&below);
    if (x)
        kl_free(x, 2 * (size_t)o->n * sizeof *x + 1);
    return st;
}

kl_status kl_optim_minimize_at(const char *at, kl_optim *o, kl_tensor *loss)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *y = kl_arg_tensor(loss), **g = NULL;
    kl_status st =
        y && o ? KL_OK : kl_fail(KL_ERR_ARG, "the optimizer or the loss is NULL");
    if (st == KL_OK && y->rank)
        y = kl_lazy_numel(y) == 1 ? kl_n_reshape(y, 0, NULL) : y;
    if (st == KL_OK && y && (!y->track || y->rank))
        st = kl_fail(KL_ERR_STATE,
                     y->track
                         ? "grad can be implicitly created only for scalar outputs"
                         : "element 0 of tensors does not require grad and does not have "
                           "a grad_fn");
    if (st == KL_OK && !(g = kl_alloc_zeroed((size_t)o->n * sizeof *g + 1)))
        st = kl_fail(KL_ERR_OOM, "out of memory for %d gradients", o->n);
    if (st == KL_OK)
        st = gradients(o, y, g);
    if (st == KL_OK)
        st = apply(o, g);
    if (st == KL_OK)
        st = finish(o, y);
    if (g)
        kl_free(g, (size_t)o->n * sizeof *g + 1);
    return kl_call_done(&c, st);
}

void kl_zero_grad(kl_optim *o)
{
    for (int i = 0; o && i < o->n; i++)
        kl_set_grad(o->slots[i].p, NULL);
}

void kl_optim_set_lr(kl_optim *o, double lr)
{
    if (o)
        o->lr = lr;
}

double kl_optim_lr(const kl_optim *o)
{
    return o ? o->lr : 0;
}

/* ---- constructors ---- */

static void sgd_setup(kl_optim *o, kl_sgd_options q)
{
    o->update = sgd_update;
    o->lr = or_default(q.lr, 1e-3);
    o->momentum = q.momentum;
    o->dampening = q.dampening;
    o->weight_decay = q.weight_decay;
    o->nesterov = q.nesterov;
    o->maximize = q.maximize;
    o->decoupled = o->amsgrad = false;
    o->beta1 = o->beta2 = 0;
}

static void adam_setup(kl_optim *o, kl_adam_options q, bool decoupled)
{
    o->update = adam_update;
    o->lr = or_default(q.lr, 1e-3);
    o->beta1 = or_default(q.beta1, 0.9);
    o->beta2 = or_default(q.beta2, 0.999);
    o->eps = or_default(q.eps, 1e-8);
    o->weight_decay = or_default(q.weight_decay, decoupled ? 1e-2 : 0);
    o->amsgrad = q.amsgrad;
    o->maximize = q.maximize;
    o->decoupled = decoupled;
}

kl_optim *kl_sgd_new_at(const char *at, kl_tensor *const *p, int n, kl_sgd_options q)
{
    kl_call c = kl_call_begin(at);
    kl_optim *o = NULL;
    if (q.nesterov && (q.momentum <= 0 || q.dampening != 0))
        kl_fail(KL_ERR_ARG, "Nesterov momentum requires a momentum and zero dampening");
    else
        o = optim_new(at, p, n, q.momentum != 0);
    if (o)
        sgd_setup(o, q);
    kl_call_done(&c, KL_OK);
    return o;
}

static kl_optim *adam(const char *at, kl_tensor *const *p, int n, kl_adam_options q,
                      bool decoupled)
{
    kl_optim *o = optim_new(at, p, n, q.amsgrad ? 3 : 2);
    if (!o)
        return NULL;
    adam_setup(o, q, decoupled);
    return o;
}

kl_optim *kl_adam_new_at(const char *at, kl_tensor *const *p, int n, kl_adam_options q)
{
    kl_call c = kl_call_begin(at);
    kl_optim *o = adam(at, p, n, q, false);
    kl_call_done(&c, KL_OK);
    return o;
}

kl_optim *kl_adamw_new_at(const char *at, kl_tensor *const *p, int n, kl_adam_options q)
{
    kl_call c = kl_call_begin(at);
    kl_optim *o = adam(at, p, n, q, true);
    kl_call_done(&c, KL_OK);
    return o;
}

/* ---- steps on state of the caller's keeping ---- */

static kl_status update_all(const char *at, kl_optim *o, const kl_update *u, int n)
{
    kl_call c = kl_call_begin(at);
    slot *slots = kl_alloc_zeroed((size_t)n * sizeof *slots + 1);
    kl_lazy **g = kl_alloc_zeroed((size_t)n * sizeof *g + 1);
    kl_status st =
        slots && g ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n);
    for (int i = 0; i < n && st == KL_OK; i++) {
        slots[i] = (slot){u[i].p, u[i].m, u[i].v, u[i].vmax};
        g[i] = u[i].g ? kl_tensor_read(u[i].g) : NULL;
        g[i] = g[i] && g[i]->track ? kl_n_detach(g[i]) : g[i];
    }
    o->slots = slots;
    o->n = n;
    if (st == KL_OK)
        st = apply(o, g);
    kl_free(slots, (size_t)n * sizeof *slots + 1);
    kl_free(g, (size_t)n * sizeof *g + 1);
    return kl_call_done(&c, st);
}

kl_status kl_sgd_update_at(const char *at, const kl_update *u, int n, kl_sgd_options q,
                           bool first)
{
    kl_optim o;
    sgd_setup(&o, q);
    o.steps = first ? 0 : 1;
    return update_all(at, &o, u, n);
}

kl_status kl_adam_update_at(const char *at, const kl_update *u, int n, kl_adam_options q,
                            bool decoupled, int64_t step)
{
    kl_optim o;
    adam_setup(&o, q, decoupled);
    o.steps = step - 1;
    return update_all(at, &o, u, n);
}

kl_status kl_flush_at(const char *at)
{
    kl_call c = kl_call_begin(at);
    return kl_call_done(&c, kl_force_dirty());
}

/* ---- clipping ---- */

kl_tensor *kl_clip_grad_norm_at(const char *at, kl_tensor *const *p, int n, double max)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *sum = NULL;
    for (int i = 0; i < n; i++) {
        kl_tensor *g = p[i] && p[i]->leaf ? p[i]->leaf->grad : NULL;
        kl_lazy *v = g ? kl_tensor_read(g) : NULL;
        uint64_t all = v ? (UINT64_C(1) << v->rank) - 1 : 0;
        v = v ? kl_n_reduce(KL_OP_add, kl_n_square(kl_n_widen(v)), all, false) : NULL;
        sum = sum && v ? kl_n_bin(KL_OP_add, sum, v) : v ? v : sum;
    }
    kl_lazy *norm = sum ? kl_n_un(KL_OP_sqrt, sum) : kl_n_full(kl_default(), 0, NULL, 0);
    kl_lazy *by = kl_n_cbin(KL_OP_div, max, kl_n_binc(KL_OP_add, norm, 1e-6));
    by = by ? kl_n_where(kl_n_binc(KL_OP_lt, by, 1), by,
                         kl_n_const((kl_dtype)by->dtype, 1))
            : NULL;
    for (int i = 0; i < n && by; i++) {
        kl_tensor *g = p[i] && p[i]->leaf ? p[i]->leaf->grad : NULL;
        kl_lazy *v = g ? kl_tensor_read(g) : NULL;
        if (v && kl_tensor_write(g, kl_n_bin(KL_OP_mul, v, like(by, v))))
            norm = NULL;
    }
    return kl_call_end(&c, norm);
}
