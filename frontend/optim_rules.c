/* optim_rules.c: the rules of optimisers, one row each: its defaults, the scalars that
 * change from step to step, and a parameter's update as nodes. The scalars k are worked
 * out in double and are run-time inputs of the program; options are its constants.
 *
 *   Adam:  m' = m + (g - m) (1 - beta1)     v' = v beta2 + g g (1 - beta2)
 *          p' = p - k0 m' / (sqrt(v') / k1 + eps)
 *          k0 = lr / (1 - beta1^t), k1 = sqrt(1 - beta2^t) */
#include "optim_rules.h"

/* ---- pieces ---- */

static kl_lazy *like(kl_lazy *scalar, kl_lazy *a)
{
    return a && scalar ? kl_n_cast(scalar, (kl_dtype)a->dtype) : NULL;
}

static kl_lazy *times(kl_lazy *a, kl_lazy *k)
{
    return kl_n_bin(KL_OP_mul, a, like(k, a));
}

/* a + b k */
static kl_lazy *scaled_add(kl_lazy *a, kl_lazy *b, kl_lazy *k)
{
    return kl_n_bin(KL_OP_add, a, times(b, k));
}

/* a by + b (1 - by), as PyTorch rounds it: moments and squares */
static kl_lazy *toward(kl_lazy *a, kl_lazy *b, double by)
{
    return kl_n_bin(KL_OP_add, a,
                    kl_n_binc(KL_OP_mul, kl_n_bin(KL_OP_sub, b, a), 1 - by));
}

static kl_lazy *blend(kl_lazy *a, kl_lazy *b, double by)
{
    return kl_n_bin(KL_OP_add, kl_n_binc(KL_OP_mul, a, by),
                    kl_n_binc(KL_OP_mul, b, 1 - by));
}

/* p - k a / b */
static void descend(kl_optim_slot *s, kl_lazy *a, kl_lazy *b, kl_lazy *k)
{
    kl_lazy *d = b ? kl_n_bin(KL_OP_div, a, b) : a;
    s->p = kl_n_bin(KL_OP_sub, s->p, times(d, k));
}

static kl_lazy *root(kl_lazy *v, double eps)
{
    return kl_n_binc(KL_OP_add, kl_n_un(KL_OP_sqrt, v), eps);
}

/* The gradient, with the weight's decay in it. */
static void decay(const kl_optim_options *o, kl_optim_slot *s)
{
    if (o->maximize)
        s->g = kl_n_un(KL_OP_neg, s->g);
    if (o->weight_decay != 0 && !o->decoupled)
        s->g = kl_n_bin(KL_OP_add, s->g, kl_n_binc(KL_OP_mul, s->p, o->weight_decay));
}

/* The same, or the weight itself shrunk by keep. */
static void decay_apart(const kl_optim_options *o, kl_optim_slot *s, kl_lazy *keep)
{
    decay(o, s);
    if (o->decoupled && o->weight_decay != 0)
        s->p = times(s->p, keep);
}

static void moments(const kl_optim_options *o, kl_optim_slot *s)
{
    s->state[0] = toward(s->state[0], s->g, o->beta1);
    s->state[1] = blend(s->state[1], kl_n_square(s->g), o->beta2);
}

/* ---- rules ---- */

static void rate_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    (void)t, (void)carry;
    k[0] = o->lr;
}

static void sgd_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    (void)carry;
    k[0] = o->lr;
    k[1] = t == 1 ? 1 : 1 - o->dampening; /* the first step's momentum is the gradient */
}

static void sgd_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    if (o->momentum != 0) {
        kl_lazy *m = kl_n_binc(KL_OP_mul, s->state[0], o->momentum);
        m = s->state[0] = scaled_add(m, s->g, s->k[1]);
        s->g = o->nesterov
                   ? kl_n_bin(KL_OP_add, s->g, kl_n_binc(KL_OP_mul, m, o->momentum))
                   : m;
    }
    descend(s, s->g, NULL, s->k[0]);
}

static void adam_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    (void)carry;
    k[0] = o->lr / (1 - pow(o->beta1, t));
    k[1] = sqrt(1 - pow(o->beta2, t));
    k[2] = 1 - o->lr * o->weight_decay;
}

static void adam_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay_apart(o, s, s->k[2]);
    moments(o, s);
    kl_lazy *v = s->state[1];
    if (o->amsgrad)
        v = s->state[2] = kl_n_bin(KL_OP_max, s->state[2], v);
    kl_lazy *d = kl_n_bin(KL_OP_div, kl_n_un(KL_OP_sqrt, v), like(s->k[1], v));
    descend(s, s->state[0], kl_n_binc(KL_OP_add, d, o->eps), s->k[0]);
}

static void rmsprop_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    kl_lazy *v = s->state[0] = blend(s->state[0], kl_n_square(s->g), o->alpha);
    if (o->centered) {
        s->state[2] = toward(s->state[2], s->g, o->alpha);
        v = kl_n_bin(KL_OP_sub, v, kl_n_square(s->state[2]));
    }
    kl_lazy *d = root(v, o->eps);
    if (o->momentum <= 0) {
        descend(s, s->g, d, s->k[0]);
        return;
    }
    s->state[1] = kl_n_bin(KL_OP_add, kl_n_binc(KL_OP_mul, s->state[1], o->momentum),
                           kl_n_bin(KL_OP_div, s->g, d));
    descend(s, s->state[1], NULL, s->k[0]);
}

static void adagrad_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    (void)carry;
    k[0] = o->lr / (1 + (t - 1) * o->lr_decay);
}

static void adagrad_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    s->state[0] = kl_n_bin(KL_OP_add, s->state[0], kl_n_square(s->g));
    descend(s, s->g, root(s->state[0], o->eps), s->k[0]);
}

static kl_lazy *root_of_sum(kl_lazy *v, double eps)
{
    return kl_n_un(KL_OP_sqrt, kl_n_binc(KL_OP_add, v, eps));
}

static void adadelta_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    s->state[0] = blend(s->state[0], kl_n_square(s->g), o->rho);
    kl_lazy *d = kl_n_bin(KL_OP_div, root_of_sum(s->state[1], o->eps),
                          root_of_sum(s->state[0], o->eps));
    d = kl_n_bin(KL_OP_mul, d, s->g);
    s->state[1] = blend(s->state[1], kl_n_square(d), o->rho);
    descend(s, d, NULL, s->k[0]);
}

static void adamax_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    s->state[0] = toward(s->state[0], s->g, o->beta1);
    s->state[1] = kl_n_bin(KL_OP_max, kl_n_binc(KL_OP_mul, s->state[1], o->beta2),
                           kl_n_binc(KL_OP_add, kl_n_un(KL_OP_abs, s->g), o->eps));
    descend(s, s->state[0], s->state[1], s->k[0]);
}

/* carry[0]: the product of momenta */
static void nadam_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    double mu = o->beta1 * (1 - 0.5 * pow(0.96, t * o->momentum_decay));
    double next = o->beta1 * (1 - 0.5 * pow(0.96, (t + 1) * o->momentum_decay));
    carry[0] *= mu;
    k[0] = o->lr * (1 - mu) / (1 - carry[0]);
    k[1] = o->lr * next / (1 - carry[0] * next);
    k[2] = 1 - o->lr * o->weight_decay;
    k[3] = 1 - pow(o->beta2, t);
}

static void nadam_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay_apart(o, s, s->k[2]);
    moments(o, s);
    kl_lazy *v = s->state[1];
    kl_lazy *d = root(kl_n_bin(KL_OP_div, v, like(s->k[3], v)), o->eps);
    descend(s, s->g, d, s->k[0]);
    descend(s, s->state[0], d, s->k[1]);
}

/* While the variance is not to be relied on, the step is the mean's alone: the root is
 * taken times 0, plus 1. */
static void radam_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    double power = pow(o->beta2, t), limit = 2 / (1 - o->beta2) - 1;
    double rho = limit - 2 * t * power / (1 - power),
           rate = o->lr / (1 - pow(o->beta1, t));
    bool rectified = rho > 5;
    (void)carry;
    if (rectified)
        rate *= sqrt(1 - power) *
                sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho));
    k[0] = rate;
    k[1] = rectified;
    k[2] = 1 - o->lr * o->weight_decay;
    k[3] = rectified ? o->eps : 1;
}

static void radam_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay_apart(o, s, s->k[2]);
    moments(o, s);
    kl_lazy *d = times(kl_n_un(KL_OP_sqrt, s->state[1]), s->k[1]);
    descend(s, s->state[0], kl_n_bin(KL_OP_add, d, like(s->k[3], d)), s->k[0]);
}

/* -1, 0 or 1 */
static kl_lazy *sign(kl_lazy *a)
{
    kl_lazy *one = a ? kl_n_const((kl_dtype)a->dtype, 1) : NULL;
    kl_lazy *minus = a ? kl_n_const((kl_dtype)a->dtype, -1) : NULL;
    return kl_n_where(kl_n_binc(KL_OP_lt, a, 0), minus,
                      kl_n_where(kl_n_binc(KL_OP_eq, a, 0), a, one));
}

static kl_lazy *held(kl_lazy *a, double low, double high)
{
    kl_dtype dt = a ? (kl_dtype)a->dtype : KL_F32;
    a = kl_n_bin(KL_OP_max, a, kl_n_const(dt, low));
    return kl_n_bin(KL_OP_min, a, kl_n_const(dt, high));
}

static void rprop_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    kl_dtype dt = s->g ? (kl_dtype)s->g->dtype : KL_F32;
    kl_lazy *turn = kl_n_bin(KL_OP_mul, s->g, s->state[0]);
    kl_lazy *back = kl_n_binc(KL_OP_lt, turn, 0), *rest = kl_n_binc(KL_OP_eq, turn, 0);
    kl_lazy *by =
        kl_n_where(back, kl_n_const(dt, o->eta_minus),
                   kl_n_where(rest, kl_n_const(dt, 1), kl_n_const(dt, o->eta_plus)));
    s->state[1] = held(kl_n_bin(KL_OP_mul, s->state[1], by), o->step_min, o->step_max);
    s->state[0] = s->g = kl_n_where(back, kl_n_const(dt, 0), s->g);
    s->p = kl_n_bin(KL_OP_sub, s->p, kl_n_bin(KL_OP_mul, sign(s->g), s->state[1]));
}

/* carry: the step's rate, the average's weight */
static void asgd_scalars(const kl_optim_options *o, double t, double *carry, double *k)
{
    k[0] = carry[0];
    k[1] = carry[1];
    k[2] = 1 - o->lambd * carry[0];
    carry[0] = o->lr / pow(1 + o->lambd * o->lr * t, o->alpha);
    carry[1] = 1 / KL_MAX(1, t - o->t0);
}

static void asgd_update(const kl_optim_options *o, kl_optim_slot *s)
{
    decay(o, s);
    s->p = times(s->p, s->k[2]);
    descend(s, s->g, NULL, s->k[0]);
    s->state[0] =
        scaled_add(s->state[0], kl_n_bin(KL_OP_sub, s->p, s->state[0]), s->k[1]);
}

/* ---- the table ---- */

#define ADAMS .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
const kl_optim_rule_info kl_optim_rules[KL_RULE_COUNT] = {
    [KL_SGD] = {0, 1, {.lr = 1e-3}, sgd_scalars, sgd_update},
    [KL_ADAM] = {2, 4, {.lr = 1e-3, ADAMS}, adam_scalars, adam_update},
    [KL_ADAMW] = {2,
                  4,
                  {.lr = 1e-3, ADAMS, .weight_decay = 1e-2, .decoupled = true},
                  adam_scalars,
                  adam_update},
    [KL_RMSPROP] =
        {1, 6, {.lr = 1e-2, .alpha = 0.99, .eps = 1e-8}, rate_scalars, rmsprop_update},
    [KL_ADAGRAD] = {1, 0, {.lr = 1e-2, .eps = 1e-10}, adagrad_scalars, adagrad_update},
    [KL_ADADELTA] =
        {2, 0, {.lr = 1, .rho = 0.9, .eps = 1e-6}, rate_scalars, adadelta_update},
    [KL_ADAMAX] = {2, 0, {.lr = 2e-3, ADAMS}, adam_scalars, adamax_update},
    [KL_NADAM] =
        {2, 0, {.lr = 2e-3, ADAMS, .momentum_decay = 4e-3}, nadam_scalars, nadam_update},
    [KL_RADAM] = {2, 0, {.lr = 1e-3, ADAMS}, radam_scalars, radam_update},
    [KL_RPROP] = {2,
                  0,
                  {.lr = 1e-2,
                   .eta_minus = 0.5,
                   .eta_plus = 1.2,
                   .step_min = 1e-6,
                   .step_max = 50},
                  rate_scalars,
                  rprop_update},
    [KL_ASGD] = {1,
                 0,
                 {.lr = 1e-2, .lambd = 1e-4, .alpha = 0.75, .t0 = 1e6},
                 asgd_scalars,
                 asgd_update},
};

static double or_default(double v, double dflt)
{
    return v == 0 && !signbit(v) ? dflt : v;
}

kl_optim_options kl_optim_filled(kl_optim_rule rule, kl_optim_options o)
{
    const kl_optim_options *d = &kl_optim_rules[rule].defaults;
#define FILL(f) o.f = or_default(o.f, d->f)
    FILL(lr), FILL(weight_decay), FILL(beta1), FILL(beta2), FILL(eps), FILL(alpha);
    FILL(rho), FILL(momentum_decay), FILL(eta_minus), FILL(eta_plus), FILL(step_min);
    FILL(step_max), FILL(lambd), FILL(t0);
#undef FILL
    o.decoupled |= d->decoupled;
    return o;
}

int kl_optim_states(kl_optim_rule rule, const kl_optim_options *o)
{
    int wanted = (1 << kl_optim_rules[rule].states) - 1;
    int asked = (rule == KL_SGD && o->momentum != 0 ? 1 : 0) |
                (rule == KL_RMSPROP && o->momentum > 0 ? 2 : 0) |
                (o->amsgrad || o->centered ? 4 : 0);
    return wanted | (asked & kl_optim_rules[rule].optional);
}
