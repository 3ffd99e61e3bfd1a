/* unit_interp.c: a unit's lowered kernels run by the interpreter of loops, as its plan
 * says, bodies of loops and branches too: what the runner does, without machine code. The
 * oracle between passes and emitters; kilnc bisect and the tests stand on it.
 *
 *   launch k (0, 2)   kl_loops_interp(k, {in[0], arena + 0})        loop, branch: in turn
 */
#include "passes/passes.h"

typedef struct run {
    const kl_unit *u;
    void *const *in, *const *out;
    char *arena;
    const int64_t *syms;
    int next; /* kernel */
} run;

static kl_status run_steps(run *r);

static void *slot_at(const run *r, int32_t slot)
{
    const kl_slot *s = &r->u->program->slots[slot];
    return s->kind == KL_SLOT_IN    ? r->in[s->index]
           : s->kind == KL_SLOT_OUT ? r->out[s->index]
                                    : r->arena + kl_size_eval(s->offset, r->syms);
}

static kl_status within(const run *r, const kl_unit *body, const kl_step *s,
                        void *const *in, void *const *out)
{
    char *arena = slot_at(r, s->slots[s->nslots - 1]);
    return run_steps(&(run){body, in, out, arena, r->syms, 0});
}

static int64_t port_bytes(const run *r, const kl_port *p)
{
    int64_t n = kl_dtypes[p->dtype].size;
    for (int i = 0; i < p->rank; i++)
        n *= kl_size_eval(p->shape[i], r->syms);
    return n;
}

/* Results become the next trip's carried values; what is scanned moves on. */
static void next_trip(const run *r, const kl_step *s, void **at)
{
    const kl_program *b = s->body;
    for (int i = 0; i < b->nin + b->nout; i++) {
        bool in = i < b->nin;
        int k = in ? i : i - b->nin;
        if (k >= s->ncarry)
            at[i] = (char *)at[i] + port_bytes(r, in ? &b->in[k] : &b->out[k]);
    }
    for (int i = 0; i < s->ncarry; i++) {
        void *p = at[i];
        at[i] = at[b->nin + i], at[b->nin + i] = p;
    }
}

static kl_status loop(const run *r, const kl_step *s, const kl_unit *body,
                      const kl_unit *test, void **at)
{
    const kl_program *b = s->body;
    int64_t trips = test ? INT64_MAX : kl_size_eval(s->trips, r->syms);
    for (int64_t n = 0; n < trips; n++) {
        if (test) {
            void *flag = slot_at(r, s->slots[s->nslots - 2]);
            KL_TRY(within(r, test, s, at, &flag));
            if (!*(uint8_t *)flag)
                break;
        }
        KL_TRY(within(r, body, s, at, at + b->nin));
        next_trip(r, s, at);
    }
    for (int i = 0; i < s->ncarry; i++)
        memmove(slot_at(r, s->slots[i]), at[i], (size_t)port_bytes(r, &b->in[i]));
    return KL_OK;
}

static kl_status control(const run *r, const kl_step *s, const kl_kernel *k, void **at)
{
    kl_unit *const *bodies = r->u->bodies + k->body;
    if (s->kind == KL_STEP_LOOP && s->other)
        return loop(r, s, bodies[1], bodies[0], at);
    if (s->kind == KL_STEP_LOOP)
        return loop(r, s, bodies[0], NULL, at);
    const kl_unit *side = *(uint8_t *)at[0] ? bodies[0] : bodies[1];
    return within(r, side, s, at + 1, at + 1 + s->body->nin);
}

static kl_status launch(const run *r, const kl_kernel *k, void *const *at)
{
    int64_t error[3] = {0};
    size_t bytes = (k->noperands + 1) * sizeof(void *);
    void **bufs = kl_alloc(bytes);
    if (!bufs)
        return kl_fail(KL_ERR_OOM, "%s: no memory", k->name);
    for (uint32_t o = 0, j = 0; o < k->noperands; o++)
        bufs[o] = k->operands[o].role == KL_ROLE_TILE ? NULL : at[j++];
    kl_status st = k->code ? kl_loops_interp(k->code, bufs, k->sizes, error)
                           : kl_loops_interp(k, bufs, r->syms, error);
    kl_free(bufs, bytes);
    return st         ? st
           : error[0] ? kl_fail(KL_ERR_INDEX, "%s: an index is out of range", k->name)
                      : KL_OK;
}

static kl_status run_step(run *r, const kl_step *s)
{
    size_t bytes = ((size_t)s->nslots + 1) * sizeof(void *);
    void **at = kl_alloc(bytes);
    kl_status st = at ? KL_OK : kl_fail(KL_ERR_OOM, "%s: no memory", s->name);
    for (int i = 0; at && i < s->nslots; i++)
        at[i] = slot_at(r, s->slots[i]);
    const kl_kernel *k = s->kind == KL_STEP_COPY || s->kind == KL_STEP_FILL
                             ? NULL
                             : r->u->kernels[r->next++];
    if (st == KL_OK && s->kind == KL_STEP_COPY)
        memmove(at[0], at[1],
                (size_t)kl_size_eval(r->u->program->slots[s->slots[0]].bytes, r->syms));
    else if (st == KL_OK && s->body)
        st = control(r, s, k, at);
    else if (st == KL_OK && s->kind == KL_STEP_LAUNCH)
        st = launch(r, k, at);
    else if (st == KL_OK)
        st = kl_fail(KL_ERR_UNSUPPORTED, "%s: loops cannot say what it does", s->name);
    kl_free(at, bytes);
    return st;
}

static kl_status run_steps(run *r)
{
    const kl_program *p = r->u->program;
    kl_status st = KL_OK;
    for (int i = 0; i < p->nsteps && st == KL_OK; i++)
        st = run_step(r, &p->steps[i]);
    return st;
}

kl_status kl_unit_interp(const kl_unit *u, void *const *in, void *const *out, char *arena,
                         const int64_t *syms)
{
    return run_steps(&(run){u, in, out, arena, syms, 0});
}
