/* step.c: sample 1's training step, taken from its source: how long it takes to compile,
 * to run again, and for an epoch. The order of the rows and the first weights are fixed
 * numbers that peers.py has too, so that both sides compute the same losses.
 *
 *   step-compile   ms, the first step of a process, LLVM open
 *   step-rerun     us a primitive of the step's graph, kernels replaced by empty ones
 *   train-epoch    s and mean loss of an epoch, the least of some after the first */
#include "bench.h"

static kl_tensor *bench_order(int64_t n);
int bench_digits_main(int argc, char **argv);
#undef kl_randperm
#define kl_randperm bench_order
#define main bench_digits_main
#include "../../samples/digits.c"
#undef main

enum { EPOCHS = 6, STEPS = 40, TIMES = 200 }; /* few at a time: others use the machine */
static uint32_t orders;                       /* made so far */

static kl_tensor *filled(kl_ints shape, uint32_t seed, double scale)
{
    kl_tensor *t = kl_empty(shape, KL_F32);
    int64_t n = t ? kl_numel(t) : 0;
    float *p = n ? kl_alloc((size_t)n * sizeof *p) : NULL;
    if (!p)
        return NULL;
    bench_fill(p, n, seed, (float)scale);
    t = kl_tensor_copy(p, KL_F32, shape);
    kl_free(p, (size_t)n * sizeof *p);
    return t;
}

static kl_tensor *bench_order(int64_t n)
{
    return kl_argsort(filled(kl_shape(n), 100 + orders++, 1), 0, false);
}

/* The sample's net and optimizer, its data at hand. */
typedef struct training {
    digits d;
    kl_tensor *p[NPARAMS];
    kl_adam *opt;
} training;

/* In a scope that stays open, as the sample's does: where the last one ends all is
 * computed. */
static kl_status begin(training *t)
{
    kl_scope_begin();
    t->d = load("samples/data/digits.csv");
    t->p[0] = filled(kl_shape(HIDDEN, PIXELS), 1, 0.125);
    t->p[1] = kl_zeros(kl_shape(HIDDEN), KL_F32);
    t->p[2] = filled(kl_shape(CLASSES, HIDDEN), 2, 0.0884);
    t->p[3] = kl_zeros(kl_shape(CLASSES), KL_F32);
    t->opt = kl_adam_new(t->p, NPARAMS, .lr = 1e-2);
    kl_realize(t->d.x), kl_realize(t->d.y);
    return kl_error_status();
}

/* As in the sample's epoch. */
static void one_step(const training *t, kl_tensor *order, kl_tensor *losses, int64_t i)
{
    kl_scope_begin();
    kl_tensor *rows = kl_slice(order, 0, i, i + BATCH);
    kl_tensor *x = kl_index_select(t->d.x, 0, rows),
              *y = kl_index_select(t->d.y, 0, rows);
    kl_tensor *loss = kl_cross_entropy(net(x, t->p), y);
    kl_adam_step(t->opt, loss);
    kl_add_(losses, kl_detach(loss));
    kl_scope_end();
}

kl_status bench_step_compile(double *out)
{
    training t;
    KL_TRY(begin(&t));
    kl_tensor *order = bench_order(t.d.n), *losses = kl_zeros(kl_shape(1), KL_F32);
    kl_realize(order), kl_realize(losses);
    int64_t before = kl_counts.programs_compiled;
    double start = bench_now();
    one_step(&t, order, losses, 0);
    out[0] = (bench_now() - start) * 1e3;
    if (kl_counts.programs_compiled != before + 1)
        return kl_fail(KL_ERR_STATE, "the step is %lld programs",
                       (long long)(kl_counts.programs_compiled - before));
    return kl_error_status();
}

/* ---- running again ---- */

static void nothing(const kl_args *args, int64_t first, int64_t end, int64_t worker)
{
    (void)args, (void)first, (void)end, (void)worker;
}

static void empty_kernels(kl_program *p)
{
    kl_phase_fn fn = nothing;
    for (int i = 0; i < p->nkernels; i++)
        for (size_t j = 0; j < KL_COUNT(p->kernels[i].entry); j++)
            if (p->kernels[i].entry[j])
                memcpy(&p->kernels[i].entry[j], &fn, sizeof fn);
}

/* Operations in the graph that the calls made: no inputs, constants, picks of a gradient
 * or marks where one ends. */
static int primitives(const kl_entry *e)
{
    struct {
        uint16_t op;
        uint8_t dtype, rank;
        uint16_t nsrc, nattr;
    } head;
    uint32_t nodes;
    int count = 0;
    const uint8_t *p = e->key;
    memcpy(&nodes, e->key + e->nkey - KL_KEY_TAIL, sizeof nodes);
    for (uint32_t i = 0; i < nodes; i++) {
        memcpy(&head, p, sizeof head);
        count += kl_ops[head.op].kind != KL_KIND_LEAF && head.op != KL_OP_pick &&
                 head.op != KL_OP_detach;
        p += 8 + 8 * ((size_t)head.rank + head.nattr) + 4 * (size_t)head.nsrc;
    }
    return count;
}

static double seconds_of_steps(const training *t, kl_tensor *order, kl_tensor *losses)
{
    double start = bench_now();
    for (int i = 0; i < STEPS; i++) {
        kl_optim_set_lr(t->opt, 1e-2 / (i + 1));
        one_step(t, order, losses, i % 44 * BATCH);
    }
    return (bench_now() - start) / STEPS;
}

kl_status bench_step_rerun(double *out)
{
    training t;
    double best = 1e9;
    KL_TRY(begin(&t));
    kl_tensor *order = bench_order(t.d.n), *losses = kl_zeros(kl_shape(1), KL_F32);
    kl_realize(order), kl_realize(losses);
    seconds_of_steps(&t, order, losses);
    kl_entry *e = kl_cache_last();
    if (!e || !e->program)
        return kl_fail(KL_ERR_STATE, "the step's program is not the last one");
    empty_kernels(e->program);
    int64_t before = kl_counts.programs_compiled;
    for (int i = 0; i < TIMES; i++)
        best = KL_MIN(best, seconds_of_steps(&t, order, losses));
    if (kl_counts.programs_compiled != before)
        return kl_fail(KL_ERR_STATE, "steps were compiled again");
    *out = best * 1e6 / primitives(e);
    if (kl_env_get()->debug)
        fprintf(stderr, "step: %.2f us, %d primitives, %d kernels, %d steps\n",
                best * 1e6, primitives(e), e->program->nkernels, e->program->nsteps);
    kl_entry_unref(e);
    return kl_error_status();
}

/* ---- epochs ---- */

kl_status bench_train_epoch(double *out)
{
    training t;
    KL_TRY(begin(&t));
    out[0] = 1e9;
    for (int e = 0; e < EPOCHS && !kl_failed(); e++) {
        double start = bench_now();
        out[1] = epoch(&t.d, t.p, t.opt);
        if (e > 0)
            out[0] = KL_MIN(out[0], bench_now() - start);
    }
    return kl_error_status();
}
