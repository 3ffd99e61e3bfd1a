/* trial.c: a program run on inputs of our own, to see what its steps take:
 *
 *   [ input 0 | input 2 | output 0 | output 1 ]       one block; input 1 is given
 *
 * Floating-point inputs are numbers between 0.5 and 1.5, all others zeros, so that
 * indices are in range. */
#include "front.h"
#include "trial.h"

/* A while may never end on such inputs, and a native function may do anything. */
static bool can_run(const kl_program *p)
{
    bool can = p->nsyms == 0 && p->device == 0;
    for (int i = 0; i < p->nsteps && can; i++)
        can = (p->steps[i].kind != KL_STEP_LOOP || !p->steps[i].other) &&
              p->steps[i].kind != KL_STEP_CALL &&
              (!p->steps[i].body || can_run(p->steps[i].body)) &&
              (!p->steps[i].other || can_run(p->steps[i].other));
    return can;
}

/* The room that a port takes. */
static size_t room_of(const kl_port *p)
{
    return ((size_t)kl_port_bytes(p, NULL) + 63) / 64 * 64;
}

static void fill(void *at, const kl_port *p)
{
    size_t n = (size_t)kl_port_bytes(p, NULL) / kl_dtypes[p->dtype].size;
    for (size_t i = 0; i < n && p->dtype == KL_F32; i++)
        ((float *)at)[i] = 0.5f + (float)(i * 2654435761u % 4096) / 4096;
    for (size_t i = 0; i < n && p->dtype == KL_F64; i++)
        ((double *)at)[i] = 0.5 + (double)(i * 2654435761u % 4096) / 4096;
}

bool kl_trial_new(kl_trial *t, const kl_program *p, kl_memory *const *held, int from)
{
    size_t at = 0;
    *t = (kl_trial){.nports = p->nin + p->nout, .nin = p->nin};
    if (!can_run(p))
        return false;
    for (int i = 0; i < t->nports; i++)
        at += i >= from && i < p->nin
                  ? 0
                  : room_of(i < p->nin ? &p->in[i] : &p->out[i - p->nin]);
    t->size = at + 1;
    t->room = kl_alloc_zeroed(t->size);
    t->port = kl_alloc_zeroed(((size_t)t->nports + 1) * sizeof *t->port);
    if (!t->room || !t->port) {
        kl_trial_free(t);
        return false;
    }
    at = 0;
    for (int i = 0; i < t->nports; i++) {
        const kl_port *port = i < p->nin ? &p->in[i] : &p->out[i - p->nin];
        if (i == p->nin)
            t->results = at;
        if (i >= from && i < p->nin) {
            t->port[i] = held[i]->base;
            continue;
        }
        t->port[i] = t->room + at;
        if (i < p->nin)
            fill(t->port[i], port);
        at += room_of(port);
    }
    return true;
}

void kl_trial_free(kl_trial *t)
{
    kl_free(t->room, t->size);
    kl_free(t->port, ((size_t)t->nports + 1) * sizeof *t->port);
    *t = (kl_trial){0};
}

bool kl_trial_run(const kl_trial *t, const kl_program *p, int64_t *best)
{
    enum { RUNS = 3, ENOUGH = 500 * 1000 * 1000 };
    int64_t *one = kl_alloc(((size_t)p->nsteps + 1) * sizeof *one), begin = kl_now_ns();
    bool ok = one != NULL;
    for (int k = 0; k < RUNS && ok && (k == 0 || kl_now_ns() - begin < ENOUGH); k++) {
        ok = kl_program_run_timed(p, t->port, t->port + t->nin, NULL, one) == KL_OK;
        for (int i = 0; i < p->nsteps; i++)
            best[i] = k == 0 ? one[i] : KL_MIN(best[i], one[i]);
    }
    kl_free(one, ((size_t)p->nsteps + 1) * sizeof *one);
    return ok;
}
