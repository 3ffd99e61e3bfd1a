/* optim.c: the steps of optimisers. A step makes nodes only: gradients, new state, new
 * parameters, each written to its storage; then one force computes all of it together
 * with the loss. What a rule does to one parameter: optim_rules.c.
 *
 *   p, g, states  ->  optim_rules.c: p', states'  ->  written  ->  one program */
#include "optim_rules.h"

struct kl_optim {
    kl_optim_rule rule;
    int n;
    kl_update *slots; /* g is not used: gradients come with each step */
    int64_t steps;
    double carry[2];
    kl_optim_options options;
};

/* ---- making ---- */

void kl_optim_free(kl_optim *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->n; i++) {
        kl_tensor_unref(o->slots[i].p);
        for (int k = 0; k < KL_OPTIM_STATES; k++)
            kl_tensor_unref(o->slots[i].state[k]);
    }
    kl_free(o->slots, (size_t)o->n * sizeof *o->slots + 1);
    kl_free(o, sizeof *o);
}

/* Numbers that are a buffer from the start, so that the first step is like the others. */
static kl_tensor *filled_for(kl_tensor *p, double v)
{
    const char *at = kl_place();
    kl_tensor *z = kl_full_at(at, kl_shape_of(p), kl_arg_d(v), (kl_dtype)p->dtype);
    z = kl_realize_at(at, kl_to_device_at(at, z, kl_device_of(p)));
    return z ? kl_tensor_ref(z) : NULL;
}

static kl_status fill_slot(const char *at, const kl_optim *o, kl_update *s, kl_tensor *p)
{
    int states = kl_optim_states(o->rule, &o->options);
    if (p && !kl_is_leaf(p))
        return kl_fail(KL_ERR_STATE, "can't optimize a non-leaf Tensor");
    if (!kl_requires_grad_at(at, p, true))
        return kl_error_status();
    s->p = kl_tensor_ref(p);
    for (int k = 0; k < KL_OPTIM_STATES; k++) {
        bool rates = o->rule == KL_RPROP && k == 1; /* its step sizes begin as lr */
        if (states >> k & 1 && !(s->state[k] = filled_for(p, rates ? o->options.lr : 0)))
            return kl_error_status();
    }
    return KL_OK;
}

kl_optim *kl_optim_new_at(const char *at, kl_optim_rule rule, kl_tensor *const *p, int n,
                          kl_optim_options q)
{
    kl_call c = kl_call_begin(at);
    kl_optim *o = NULL;
    kl_status st = KL_OK;
    if (rule == KL_SGD && q.nesterov && (q.momentum <= 0 || q.dampening != 0))
        st = kl_fail(KL_ERR_ARG,
                     "Nesterov momentum requires a momentum and zero dampening");
    else if (n < 0 || !p)
        st = kl_fail(KL_ERR_ARG, "optimizer got an empty parameter list");
    else if ((o = kl_alloc_zeroed(sizeof *o)) &&
             (o->slots = kl_alloc_zeroed((size_t)n * sizeof *o->slots + 1)))
        o->n = n;
    else
        st = kl_fail(KL_ERR_OOM, "out of memory for %d parameters", n);
    if (st == KL_OK) {
        o->rule = rule;
        o->options = kl_optim_filled(rule, q);
        o->carry[0] = rule == KL_ASGD ? o->options.lr : 1;
        o->carry[1] = 1;
    }
    kl_scope_begin();
    for (int i = 0; i < n && st == KL_OK; i++)
        st = fill_slot(at, o, &o->slots[i], p[i]);
    kl_scope_end();
    if (st == KL_OK)
        st = kl_realize_all_at(at, p, n);
    if (st != KL_OK) {
        kl_optim_free(o);
        o = NULL;
    }
    kl_call_done(&c, KL_OK);
    return o;
}

/* ---- the step ---- */

static kl_lazy *input(double v)
{
    return kl_lazy_small(KL_F64, 0, NULL, &v);
}

static kl_status update(const kl_optim *o, const kl_update *u, kl_lazy *g,
                        kl_lazy *const *k)
{
    kl_optim_slot s = {.p = kl_tensor_read(u->p), .g = g};
    memcpy(s.k, k, sizeof s.k);
    for (int i = 0; i < KL_OPTIM_STATES; i++)
        s.state[i] = u->state[i] ? kl_tensor_read(u->state[i]) : NULL;
    kl_optim_rules[o->rule].update(&o->options, &s);
    for (int i = 0; i < KL_OPTIM_STATES; i++)
        if (u->state[i])
            KL_TRY(kl_tensor_write(u->state[i], s.state[i]));
    return kl_tensor_write(u->p, s.p);
}

/* g[i]: the gradient of parameter i, or NULL. */
static kl_status apply(kl_optim *o, kl_lazy *const *g)
{
    kl_state *s = kl_thread();
    kl_status st = KL_OK;
    double v[OPTIM_SCALARS] = {0};
    kl_lazy *k[OPTIM_SCALARS];
    o->steps++;
    s->no_grad++;
    kl_optim_rules[o->rule].scalars(&o->options, (double)o->steps, o->carry, v);
    for (int i = 0; i < OPTIM_SCALARS; i++)
        k[i] = input(v[i]);
    for (int i = 0; i < o->n && st == KL_OK; i++)
        if (g[i])
            st = update(o, &o->slots[i], g[i], k);
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
        o->options.lr = lr;
}

double kl_optim_lr(const kl_optim *o)
{
    return o ? o->options.lr : 0;
}

/* ---- steps on state of the caller's keeping ---- */

kl_status kl_optim_update_at(const char *at, kl_optim_rule rule, const kl_update *u,
                             int n, kl_optim_options q, int64_t step, double carry[2])
{
    kl_call c = kl_call_begin(at);
    kl_optim o = {.rule = rule, .n = n, .steps = step - 1, .carry = {1, 1}};
    kl_lazy **g = kl_alloc_zeroed((size_t)n * sizeof *g + 1);
    kl_status st = g ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d gradients", n);
    for (int i = 0; i < n && st == KL_OK; i++) {
        g[i] = u[i].g ? kl_tensor_read(u[i].g) : NULL;
        g[i] = g[i] && g[i]->track ? kl_n_detach(g[i]) : g[i];
    }
    o.options = kl_optim_filled(rule, q);
    o.slots = (kl_update *)(uintptr_t)u; /* read alone */
    if (carry)
        memcpy(o.carry, carry, sizeof o.carry);
    if (st == KL_OK)
        st = apply(&o, g);
    if (carry)
        memcpy(carry, o.carry, sizeof o.carry);
    kl_free(g, (size_t)n * sizeof *g + 1);
    return kl_call_done(&c, st);
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
    if (!kl_arg_given(p, n, "the list of parameters"))
        return kl_call_end(&c, NULL);
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
        if (v &&
            kl_tensor_write(g, kl_n_bin(KL_OP_mul, v, kl_n_cast(by, (kl_dtype)v->dtype))))
            norm = NULL;
    }
    return kl_call_end(&c, norm);
}
