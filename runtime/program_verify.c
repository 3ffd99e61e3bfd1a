/* program_verify.c: whether a plan can be run at all: every number in it names something
 * that is there, every size is a whole expression. Plans come from passes/plan.c, from
 * text and from files in a shared folder; the runner trusts what has passed here.
 *
 *   launch k.0 kernel 3 (0, 9)      with two kernels:   "step 0, k.0: there is no kernel
 * 3" */
#include "runtime/program_text.h"

const char *const kl_slot_words[KL_SLOT_CONST + 1] = {[KL_SLOT_IN] = "in",
                                                      [KL_SLOT_OUT] = "out",
                                                      [KL_SLOT_ARENA] = "arena",
                                                      [KL_SLOT_CONST] = "const"};
const char *const kl_step_words[KL_STEP_LOOP + 1] = {[KL_STEP_LAUNCH] = "launch",
                                                     [KL_STEP_COPY] = "copy",
                                                     [KL_STEP_FILL] = "fill",
                                                     [KL_STEP_CALL] = "call",
                                                     [KL_STEP_LOOP] = "loop"};

kl_program *kl_program_new(void)
{
    kl_arena *a = kl_arena_new();
    kl_program *p = a ? kl_arena_zeroed(a, 1, sizeof *p) : NULL;
    if (!p) {
        if (a)
            kl_arena_free(a);
        kl_fail(KL_ERR_OOM, "out of memory: a plan");
        return NULL;
    }
    p->memory = a;
    p->refs = 1;
    return p;
}

bool kl_size_valid(kl_size s, int nsyms)
{
    int depth = 0;
    if (s.len < 1 || !s.code)
        return false;
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        if (c >= 0 || c < KL_SIZE_NEG) {
            if (c < KL_SIZE_SYM || (c < 0 && c - KL_SIZE_SYM >= nsyms) ||
                ++depth > KL_SIZE_DEPTH)
                return false;
        } else if (c == KL_SIZE_NEG ? depth < 1 : --depth < 1) {
            return false;
        }
    }
    return depth == 1;
}

typedef struct checker {
    const kl_program *p;
    char what[128]; /* which part is being looked at */
} checker;

static kl_status bad(const checker *c, const char *why, int64_t n)
{
    return kl_fail(KL_ERR_PARSE, "plan %s, %s: %s %lld", c->p->name ? c->p->name : "main",
                   c->what, why, (long long)n);
}

static kl_status check_sizes(const checker *c, const kl_size *s, int n)
{
    if (n < 0 || (n && !s))
        return bad(c, "a count is", n);
    for (int i = 0; i < n; i++)
        if (!kl_size_valid(s[i], c->p->nsyms))
            return bad(c, "no valid expression is size", i);
    return KL_OK;
}

static kl_status check_type(const checker *c, int dt, int rank, const kl_size *shape)
{
    if (dt < 0 || dt >= KL_DTYPE_COUNT)
        return bad(c, "there is no dtype", dt);
    if (rank < 0 || rank > KL_MAX_RANK)
        return bad(c, "the rank is", rank);
    return check_sizes(c, shape, rank);
}

static kl_status check_slot(const checker *c, const kl_slot *s)
{
    const kl_program *p = c->p;
    int kind = (int)s->kind;
    if (kind < 0 || kind > KL_SLOT_CONST)
        return bad(c, "there is no kind", kind);
    KL_TRY(check_type(c, (int)s->dtype, s->rank, s->shape));
    KL_TRY(check_sizes(c, &s->bytes, 1));
    if (kind == KL_SLOT_ARENA)
        return check_sizes(c, &s->offset, 1);
    int64_t limit = kind == KL_SLOT_IN    ? p->nin
                    : kind == KL_SLOT_OUT ? p->nout
                                          : (int64_t)p->nconstants;
    if (s->index < 0 || s->index >= limit)
        return bad(c, "out of range is", s->index);
    if (s->donated < 0 || s->donated > p->nin)
        return bad(c, "there is no input", s->donated - 1);
    if (kind != KL_SLOT_CONST)
        return KL_OK;
    int64_t bytes = s->bytes.len == 1 ? s->bytes.code[0] : -1;
    return bytes < 0 || bytes > limit - s->index ? bad(c, "constants end before", bytes)
                                                 : KL_OK;
}

static kl_status check_launch(const checker *c, const kl_step *s)
{
    if (s->kernel < 0 || s->kernel >= c->p->nkernels)
        return bad(c, "there is no kernel", s->kernel);
    if (s->nphases < 0 || s->nphases > (int)KL_COUNT(c->p->kernels->entry))
        return bad(c, "the number of phases is", s->nphases);
    KL_TRY(check_sizes(c, s->dims, s->ndims));
    for (int i = 0; i < s->nphases; i++) {
        const kl_plan_phase *ph = &s->phases[i];
        KL_TRY(check_sizes(c, &ph->workers, 1));
        KL_TRY(check_sizes(c, &ph->shared, 1));
        if (ph->grain < 0 || ph->group < 1 || ph->lane < 1)
            return bad(c, "no grain and block has phase", i);
    }
    return KL_OK;
}

static kl_status check_step(checker *c, const kl_step *s, int depth);

static kl_status check_program(const kl_program *p, int depth)
{
    checker c = {.p = p, .what = "head"};
    if (depth > KL_BODY_DEPTH)
        return bad(&c, "loops in loops are at most", KL_BODY_DEPTH);
    if (p->nsyms < 0 || p->nin < 0 || p->nout < 0 || p->nslots < 0 || p->nsteps < 0 ||
        p->nkernels < 0 || p->device < 0)
        return bad(&c, "a count is less than", 0);
    for (int i = 0; i < p->nsyms; i++)
        if (!p->sym_names[i])
            return bad(&c, "no name has dim", i);
    KL_TRY(check_sizes(&c, &p->arena, 1));
    for (int i = 0; i < p->nin + p->nout; i++) {
        const kl_port *port = i < p->nin ? &p->in[i] : &p->out[i - p->nin];
        snprintf(c.what, sizeof c.what, "port %d", i);
        KL_TRY(check_type(&c, (int)port->dtype, port->rank, port->shape));
    }
    for (int i = 0; i < p->nslots; i++) {
        snprintf(c.what, sizeof c.what, "slot %d", i);
        KL_TRY(check_slot(&c, &p->slots[i]));
    }
    for (int i = 0; i < p->nsteps; i++) {
        const char *name = p->steps[i].name;
        snprintf(c.what, sizeof c.what, "step %d, %s", i, name ? name : "without a name");
        KL_TRY(check_step(&c, &p->steps[i], depth));
    }
    return KL_OK;
}

static kl_status check_step(checker *c, const kl_step *s, int depth)
{
    static const int least[] = {
        [KL_STEP_COPY] = 2, [KL_STEP_FILL] = 1, [KL_STEP_LOOP] = 0};
    int kind = (int)s->kind;
    if (kind < 0 || kind > KL_STEP_LOOP || !s->name)
        return bad(c, "no name, or there is no kind", kind);
    KL_TRY(check_sizes(c, &s->scratch, 1));
    if (s->nslots < least[kind])
        return bad(c, "the number of slots is", s->nslots);
    for (int i = 0; i < s->nslots; i++)
        if (s->slots[i] < 0 || s->slots[i] >= c->p->nslots)
            return bad(c, "there is no slot", s->slots[i]);
    if (s->ncarry < 0 || s->ncarry > s->nslots)
        return bad(c, "there are fewer slots than", s->ncarry);
    if (kind == KL_STEP_LAUNCH)
        return check_launch(c, s);
    if (kind == KL_STEP_CALL && !s->symbol)
        return bad(c, "no function is named, and the inputs are", s->ncarry);
    if (kind != KL_STEP_LOOP)
        return KL_OK;
    const kl_program *b = s->body;
    if (!b || b->nin != s->nslots || b->nout != s->ncarry + 1 || b->nsyms != c->p->nsyms)
        return bad(c, "the body does not fit, and the slots are", s->nslots);
    return check_program(b, depth + 1);
}

kl_status kl_program_verify(const kl_program *p)
{
    return check_program(p, 0);
}
