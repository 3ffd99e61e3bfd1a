/* run_unit.h: a unit's lowered kernels run by the interpreter of loops, as its plan says,
 * bodies of loops and branches too: what the runner does, without machine code. */
#ifndef KL_TEST_RUN_UNIT_H
#define KL_TEST_RUN_UNIT_H

#include "passes/passes.h"

typedef struct unit_run {
    const kl_unit *u;
    void *const *in, *const *out;
    char *arena;
    const int64_t *syms;
    int next; /* kernel */
} unit_run;

static inline kl_status unit_steps(unit_run *r);

static inline void *unit_slot(const unit_run *r, int32_t slot)
{
    const kl_slot *s = &r->u->program->slots[slot];
    return s->kind == KL_SLOT_IN    ? r->in[s->index]
           : s->kind == KL_SLOT_OUT ? r->out[s->index]
                                    : r->arena + kl_size_eval(s->offset, r->syms);
}

static inline kl_status unit_within(const unit_run *r, const kl_unit *body,
                                    const kl_step *s, void *const *in, void *const *out)
{
    char *arena = unit_slot(r, s->slots[s->nslots - 1]);
    return unit_steps(&(unit_run){body, in, out, arena, r->syms, 0});
}

static inline int64_t unit_bytes(const unit_run *r, const kl_port *p)
{
    int64_t n = kl_dtypes[p->dtype].size;
    for (int i = 0; i < p->rank; i++)
        n *= kl_size_eval(p->shape[i], r->syms);
    return n;
}

static inline kl_status unit_loop(const unit_run *r, const kl_step *s,
                                  const kl_unit *body, const kl_unit *test)
{
    void *at[512];
    const kl_program *b = s->body;
    int64_t trips = test ? INT64_MAX : kl_size_eval(s->trips, r->syms);
    for (int i = 0; i < b->nin + b->nout; i++)
        at[i] = unit_slot(r, s->slots[i]);
    for (int64_t n = 0; n < trips; n++) {
        if (test) {
            void *flag = unit_slot(r, s->slots[s->nslots - 2]);
            KL_TRY(unit_within(r, test, s, at, &flag));
            if (!*(uint8_t *)flag)
                break;
        }
        KL_TRY(unit_within(r, body, s, at, at + b->nin));
        for (int i = 0; i < b->nin + b->nout; i++) {
            bool in = i < b->nin;
            int k = in ? i : i - b->nin;
            if (k >= s->ncarry)
                at[i] = (char *)at[i] + unit_bytes(r, in ? &b->in[k] : &b->out[k]);
        }
        for (int i = 0; i < s->ncarry; i++) {
            void *p = at[i];
            at[i] = at[b->nin + i], at[b->nin + i] = p;
        }
    }
    for (int i = 0; i < s->ncarry; i++)
        memmove(unit_slot(r, s->slots[i]), at[i], (size_t)unit_bytes(r, &b->in[i]));
    return KL_OK;
}

static inline kl_status unit_control(const unit_run *r, const kl_step *s,
                                     const kl_kernel *k)
{
    kl_unit *const *bodies = r->u->bodies + k->body;
    if (s->kind == KL_STEP_LOOP)
        return unit_loop(r, s, s->other ? bodies[1] : bodies[0],
                         s->other ? bodies[0] : NULL);
    void *at[512];
    for (int i = 0; i < s->nslots; i++)
        at[i] = unit_slot(r, s->slots[i]);
    const kl_unit *side = *(uint8_t *)at[0] ? bodies[0] : bodies[1];
    return unit_within(r, side, s, at + 1, at + 1 + s->body->nin);
}

static inline kl_status unit_step(unit_run *r, const kl_step *s)
{
    void *bufs[512];
    int64_t error[3] = {0};
    if (s->kind == KL_STEP_COPY) {
        const kl_slot *to = &r->u->program->slots[s->slots[0]];
        memmove(unit_slot(r, s->slots[0]), unit_slot(r, s->slots[1]),
                (size_t)kl_size_eval(to->bytes, r->syms));
        return KL_OK;
    }
    const kl_kernel *k = r->u->kernels[r->next++];
    if (s->body)
        return unit_control(r, s, k);
    if (s->kind != KL_STEP_LAUNCH)
        return KL_OK;
    for (uint32_t o = 0, j = 0; o < k->noperands; o++)
        bufs[o] =
            k->operands[o].role == KL_ROLE_TILE ? NULL : unit_slot(r, s->slots[j++]);
    KL_TRY(kl_loops_interp(k, bufs, r->syms, error));
    return error[0] ? kl_fail(KL_ERR_INDEX, "fault %d", (int)error[0]) : KL_OK;
}

static inline kl_status unit_steps(unit_run *r)
{
    const kl_program *p = r->u->program;
    kl_status st = KL_OK;
    for (int i = 0; i < p->nsteps && st == KL_OK; i++)
        st = unit_step(r, &p->steps[i]);
    return st;
}

#endif
