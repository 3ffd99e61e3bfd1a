/* loops_memory.c: operands as the loops' interpreter sees them. Each access is checked:
 * inside the operand, not of a tile or temporary element that nobody wrote, and not
 * racing. A shadow beside each element that is ever written remembers its last writer and
 * reader:
 *
 *   worker 3 stores y[8]; worker 4 loads y[8] in the same phase       a race
 *   lane 0 stores y[8]; lane 5 loads y[8], same round of the loop     a race
 *   lane 0 stores t[0]; lane 5 loads t[0], no barrier between (GPU)   a race
 *   lane 0 stores t[0]; barrier; lane 5 loads t[0]                    fine
 *
 * An agent is a worker's group and lane; code outside group (lane) loops is one agent,
 * ALL. */
#include "ir/loops_interp.h"

static kl_status mark_written(void *ctx, const kl_stmt *s)
{
    bool *written = ctx;
    if (s->kind == KL_S_STORE)
        written[s->operand] = true;
    return KL_OK;
}

/* The memory of operand j is that of operand i: tiles have none given. */
static bool shared(const kl_irun *r, uint32_t i, uint32_t j, void *const *bufs)
{
    const kl_operand *o = r->k->operands;
    return o[i].role != KL_ROLE_TILE && o[j].role != KL_ROLE_TILE && bufs[i] == bufs[j];
}

static kl_status shadow_of(kl_irun *r, uint32_t i, void *const *bufs, const bool *written)
{
    kl_imem *m = &r->mem[i];
    bool needed = m->own;
    for (uint32_t j = 0; j < r->k->noperands; j++)
        needed |= written[j] && (j == i || shared(r, i, j, bufs));
    for (uint32_t j = 0; j < i; j++)
        if (shared(r, i, j, bufs) && r->mem[j].count >= m->count && r->mem[j].shadow)
            m->shadow = r->mem[j].shadow;
    if (!needed || m->shadow || !m->count)
        return KL_OK;
    m->own_shadow = true;
    m->shadow = kl_alloc_zeroed((size_t)(m->count * m->copies) * sizeof *m->shadow);
    return m->shadow ? KL_OK
                     : kl_fail(KL_ERR_OOM, "interpreter: %ld elements", (long)m->count);
}

static kl_status open_one(kl_irun *r, uint32_t i, void *const *bufs, const bool *written)
{
    const kl_operand *o = &r->k->operands[i];
    const kl_dims *d = r->k->x->dims;
    kl_imem *m = &r->mem[i];
    int64_t size = kl_dtypes[o->dtype].size, bytes;
    m->count = kl_dim_eval(d, o->count, r->syms);
    m->low = kl_dim_eval(d, o->low, r->syms);
    m->copies = 1;
    if (o->role != KL_ROLE_TILE) {
        m->base = bufs[i] ? (char *)bufs[i] + m->low * size : NULL;
        return shadow_of(r, i, bufs, written);
    }
    if (o->scope == KL_SCOPE_LANE)
        m->copies = r->width;
    m->own = true;
    if (kl_mul_overflow(m->count * m->copies, size, &bytes))
        return kl_fail(KL_ERR_INTERNAL, "loops: tile %s is too large", o->name);
    m->base = kl_alloc_zeroed((size_t)KL_MAX(bytes, 1));
    if (!m->base)
        return kl_fail(KL_ERR_OOM, "interpreter: tile %s", o->name);
    return shadow_of(r, i, bufs, written);
}

kl_status kl_imem_open(kl_irun *r, void *const *bufs)
{
    bool *written = kl_alloc_zeroed(r->k->noperands + 1u);
    kl_status s = written ? KL_OK : kl_fail(KL_ERR_OOM, "interpreter: operands");
    for (int p = 0; p < r->k->nphases && s == KL_OK; p++)
        s = kl_stmt_walk(r->k->phases[p].body, mark_written, written);
    for (uint32_t i = 0; i < r->k->noperands && s == KL_OK; i++)
        s = open_one(r, i, bufs, written);
    if (written)
        kl_free(written, r->k->noperands + 1u);
    return s;
}

void kl_imem_close(kl_irun *r)
{
    for (uint32_t i = 0; i < r->k->noperands; i++) {
        kl_imem *m = &r->mem[i];
        int64_t n = m->count * m->copies;
        if (m->own_shadow && m->shadow)
            kl_free(m->shadow, (size_t)n * sizeof *m->shadow);
        if (m->own && m->base)
            kl_free(m->base,
                    (size_t)KL_MAX(n * kl_dtypes[r->k->operands[i].dtype].size, 1));
    }
}

/* ---- one access ---- */

static uint32_t agent_of(const kl_irun *r, int p)
{
    uint32_t group = r->in_group ? (uint32_t)(p / r->lanes) + 1 : 0;
    uint32_t lane = r->in_lane ? (uint32_t)(p % r->lanes) + 1 : 0;
    return group << 16 | lane;
}

/* Did another touch it, with nothing between that orders the two? */
static bool clash(const kl_irun *r, const kl_touch *t, uint32_t agent, bool private)
{
    if (t->phase != r->phase)
        return false;
    if (t->worker != r->worker)
        return !private;
    return t->epoch == r->epoch && t->agent != agent;
}

static bool races(const kl_irun *r, const kl_shadow *s, uint32_t agent, bool private,
                  bool write)
{
    if (clash(r, &s->wrote, agent, private))
        return true;
    if (!write || s->read.phase != r->phase)
        return false;
    if (clash(r, &s->read, agent, private) || (s->many_workers && !private))
        return true;
    return s->many_agents && s->read.worker == r->worker && s->read.epoch == r->epoch;
}

static void note_touch(const kl_irun *r, kl_shadow *s, uint32_t agent, bool write)
{
    kl_touch now = {r->worker, r->phase, agent, r->epoch};
    if (write) {
        s->wrote = now;
        return;
    }
    bool same_phase = s->read.phase == r->phase,
         same_worker = s->read.worker == r->worker;
    bool same_epoch = same_phase && same_worker && s->read.epoch == r->epoch;
    s->many_workers = same_phase && (s->many_workers || !same_worker);
    s->many_agents = same_epoch && (s->many_agents || s->read.agent != agent);
    s->read = now;
}

static kl_status refuse(const kl_irun *r, uint32_t operand, int64_t index,
                        const char *what)
{
    return kl_fail(KL_ERR_INTERNAL, "loops %s: %s %s[%ld] of %ld (phase %u, worker %ld)",
                   r->k->name, what, r->k->operands[operand].name, (long)index,
                   (long)r->mem[operand].count, r->phase - 1, (long)r->worker);
}

kl_status kl_imem_at(kl_irun *r, uint32_t operand, int64_t index, int p, bool write,
                     void **out)
{
    const kl_operand *o = &r->k->operands[operand];
    kl_imem *m = &r->mem[operand];
    bool tile = o->role == KL_ROLE_TILE;
    int64_t i = index - m->low;
    if (index < m->low || i >= m->count)
        return refuse(r, operand, index, write ? "stores outside" : "loads outside");
    if (!m->base)
        return refuse(r, operand, index, "has no memory for");
    if (write && o->role == KL_ROLE_IN)
        return refuse(r, operand, index, "stores to the input");
    if (tile && o->scope == KL_SCOPE_LANE) {
        if (!r->in_lane)
            return refuse(r, operand, index, "is outside a lane loop at");
        i += p * m->count;
    }
    *out = m->base + i * kl_dtypes[o->dtype].size;
    if (!m->shadow)
        return KL_OK;
    kl_shadow *s = &m->shadow[i];
    bool stale = s->wrote.phase != r->phase || s->wrote.worker != r->worker;
    if (!write && ((tile && stale) || (o->role == KL_ROLE_TEMP && !s->wrote.phase)))
        return refuse(r, operand, index, "loads what was never written,");
    if (races(r, s, agent_of(r, p), tile, write))
        return refuse(r, operand, index, write ? "races storing" : "races loading");
    note_touch(r, s, agent_of(r, p), write);
    return KL_OK;
}
