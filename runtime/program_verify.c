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
const char *const kl_step_words[KL_STEP_BRANCH + 1] = {
    [KL_STEP_LAUNCH] = "launch", [KL_STEP_COPY] = "copy", [KL_STEP_FILL] = "fill",
    [KL_STEP_CALL] = "call",     [KL_STEP_LOOP] = "loop", [KL_STEP_BRANCH] = "branch"};

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

/* Slot `at` holds what the port does, or (scanned) has one axis more before it. */
static kl_status check_fit(const checker *c, const kl_step *s, int at,
                           const kl_port *port, bool scanned)
{
    const kl_slot *slot = &c->p->slots[s->slots[at]];
    return slot->dtype == port->dtype && slot->rank == port->rank + scanned
               ? KL_OK
               : bad(c, "a body takes or gives something else than slot", s->slots[at]);
}

/* The body's operands and results are in slots first.. */
static kl_status check_body(const checker *c, const kl_step *s, const kl_program *b,
                            int first, int ncarry)
{
    if (!b || b->nsyms != c->p->nsyms || b->nin < ncarry || b->nout < ncarry ||
        s->nslots != first + b->nin + b->nout + 1 + (s->kind == KL_STEP_LOOP && s->other))
        return bad(c, "a body does not fit, and the slots are", s->nslots);
    bool scans = s->kind == KL_STEP_LOOP;
    for (int i = 0; i < b->nin; i++)
        KL_TRY(check_fit(c, s, first + i, &b->in[i], scans && i >= ncarry));
    for (int i = 0; i < b->nout; i++)
        KL_TRY(check_fit(c, s, first + b->nin + i, &b->out[i], scans && i >= ncarry));
    return KL_OK;
}

/* What a loop asks: the carried values, all that there is; a bool. */
static kl_status check_test(const checker *c, const kl_step *s)
{
    const kl_program *t = s->other, *b = s->body;
    if (!t)
        return check_sizes(c, &s->trips, 1);
    if (b->nin != s->ncarry || b->nout != s->ncarry || t->nin != s->ncarry ||
        t->nout != 1 || t->out->dtype != KL_BOOL || t->nsyms != b->nsyms)
        return bad(c, "a test does not fit, and the carried values are", s->ncarry);
    for (int i = 0; i < t->nin; i++)
        KL_TRY(check_fit(c, s, i, &t->in[i], false));
    return check_fit(c, s, b->nin + b->nout, t->out, false);
}

static kl_status check_bodies(const checker *c, const kl_step *s, int depth)
{
    bool loop = s->kind == KL_STEP_LOOP;
    if (s->nslots < 1 || c->p->slots[s->slots[s->nslots - 1]].kind != KL_SLOT_ARENA)
        return bad(c, "no arena for a body, and the slots are", s->nslots);
    if (!loop && (s->nslots < 2 || c->p->slots[s->slots[0]].dtype != KL_BOOL))
        return bad(c, "no bool chooses, and the slots are", s->nslots);
    KL_TRY(check_body(c, s, s->body, !loop, loop ? s->ncarry : 0));
    KL_TRY(loop ? check_test(c, s) : check_body(c, s, s->other, 1, 0));
    KL_TRY(check_program(s->body, depth + 1));
    return s->other ? check_program(s->other, depth + 1) : KL_OK;
}

static kl_status check_step(checker *c, const kl_step *s, int depth)
{
    static const int least[] = {
        [KL_STEP_COPY] = 2, [KL_STEP_FILL] = 1, [KL_STEP_BRANCH] = 0};
    int kind = (int)s->kind;
    if (kind < 0 || kind > KL_STEP_BRANCH || !s->name)
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
    if (kind == KL_STEP_FILL && (s->value < 0 || s->value > 255))
        return bad(c, "there is no byte", s->value);
    if (kind == KL_STEP_CALL && !s->symbol)
        return bad(c, "no function is named, and the inputs are", s->ncarry);
    return kind == KL_STEP_LOOP || kind == KL_STEP_BRANCH ? check_bodies(c, s, depth)
                                                          : KL_OK;
}

kl_status kl_program_verify(const kl_program *p)
{
    return check_program(p, 0);
}
