/* checkpoint.c: trading time for memory. kl_checkpoint runs a piece of a model without
 * keeping its inner values; backward runs the piece again, from its inputs, when its turn
 * comes.
 *
 *   y = f(x)                 a cut (cut.c) whose derivative is this file's `turn`
 *   backward(loss)           when all of y's gradient has arrived: f(x) once more, its
 *                            gradients by x, which go on, and by what it captured, which
 *                            are collected; computed at once, so that its inner values go
 *                            again
 *
 * Random numbers come from the streams of the first run: masks and bits are those without
 * a checkpoint. */
#include "front.h"

typedef struct checkpoint {
    kl_fn_of fn;
    void *user;
    const char *place;
    kl_draws draws;
    int n;
    kl_tensor *in[];
} checkpoint;

static size_t size_of(int n)
{
    return sizeof(checkpoint) + (size_t)n * sizeof(kl_tensor *);
}

static void drop(void *user)
{
    checkpoint *c = user;
    for (int i = 0; i < c->n; i++)
        kl_tensor_unref(c->in[i]);
    kl_draws_free(&c->draws);
    kl_free(c, size_of(c->n));
}

static checkpoint *checkpoint_new(kl_fn_of fn, void *user, kl_tensor *const *in, int n)
{
    checkpoint *c = kl_alloc_zeroed(size_of(n));
    if (!c) {
        kl_fail(KL_ERR_OOM, "out of memory for a checkpoint");
        return NULL;
    }
    *c = (checkpoint){.fn = fn, .user = user, .place = kl_place(), .n = n};
    for (int i = 0; i < n; i++)
        c->in[i] = kl_tensor_ref(in[i]);
    return c;
}

/* ---- backward ---- */

/* fn once more on inputs that collect their gradients. */
static kl_tensor *again(checkpoint *c, kl_tensor **in)
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

static kl_status turn(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx, int nin)
{
    checkpoint *c = user;
    bool was = kl_set_grad_enabled(true);
    kl_tensor *y = again(c, dx);
    kl_status st = y && nout == 1 ? KL_OK : kl_error_status();
    if (st == KL_OK && kl_requires_grad(y))
        st = kl_backward_at(c->place, y, dy[0], true, false); /* what it captured stays */
    for (int i = 0; i < nin; i++)
        dx[i] = st == KL_OK ? kl_grad_of(dx[i]) : NULL;
    kl_set_grad_enabled(was);
    return st == KL_OK ? kl_force_dirty() : st;
}

/* ---- forward ---- */

/* The value of fn, computed, with nothing behind it. */
static kl_lazy *value_of(checkpoint *c)
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
    checkpoint *c = check(fn, in, n) == KL_OK ? checkpoint_new(fn, user, in, n) : NULL;
    kl_lazy *v = c ? value_of(c) : NULL;
    kl_tensor *y = kl_call_end(&call, v);
    if (!y || !kl_is_float(kl_dtype_of(y))) { /* integers have no gradient */
        if (c)
            drop(c);
        return y;
    }
    return kl_cut_again_at(at, in, n, &y, turn, c, drop) == KL_OK ? y : NULL;
}
