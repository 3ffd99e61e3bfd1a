/* artefact_step.c: what the runner does with a plan, written out as code: one function a
 * level, which the entry calls when its checks have passed.
 *
 *   launch head.0 kernel 0 (0, 2)     bufs = {x, scratch + 0};  launch(&task, ceil(B /
 * 14), 1)
 */
#include "codegen/artefact.h"

typedef struct frame { /* a program being run: the entry's, or a loop's body */
    const kl_program *p;
    LLVMValueRef *in, *out, arena;
    LLVMValueRef tiles; /* of worker 0 */
    LLVMValueRef task, bufs, dims, error;
    LLVMValueRef constants;
} frame;

static LLVMValueRef address(kl_art *e, const frame *f, int slot)
{
    const kl_slot *s = &f->p->slots[slot];
    switch (s->kind) {
    case KL_SLOT_IN:
        return f->in[s->index];
    case KL_SLOT_OUT:
        return f->out[s->index];
    case KL_SLOT_ARENA:
        return kl_art_at(e, f->arena, kl_art_size(e, s->offset));
    default:
        return kl_art_field(e, f->constants, (size_t)s->index);
    }
}

static void put_task(kl_art *e, const frame *f, size_t field, LLVMValueRef v)
{
    LL.BuildStore(e->b, v, kl_art_field(e, f->task, field));
}

static void run_launch(kl_art *e, const frame *f, const kl_step *s)
{
    char symbol[128];
    kl_codegen_symbol(f->p->kernels[s->kernel].name, symbol, sizeof symbol);
    for (int i = 0; i < s->nslots; i++)
        kl_art_put(e, f->bufs, i, address(e, f, s->slots[i]));
    for (int i = 0; i < s->ndims; i++)
        kl_art_put(e, f->dims, i, kl_art_size(e, s->dims[i]));
    kl_size by = kl_size_const(e->arena, 64);
    kl_size stride =
        kl_size_op(e->arena, KL_SIZE_ADD, s->scratch, kl_size_const(e->arena, 63));
    stride = kl_size_op(e->arena, KL_SIZE_MUL,
                        kl_size_op(e->arena, KL_SIZE_DIV, stride, by), by);
    put_task(e, f, offsetof(kl_args, scratch_stride), kl_art_size(e, stride));
    for (int i = 0; i < s->nphases; i++) {
        LLVMValueRef fn = kl_art_phase(e, symbol, i);
        if (!fn)
            return;
        put_task(e, f, offsetof(kl_artefact_task, fn), fn);
        LLVMValueRef args[] = {f->task, kl_art_size(e, s->phases[i].workers),
                               kl_art_i64(e, s->phases[i].grain)};
        kl_art_call(e, e->launch, args, 3);
    }
}

static void run_copy(kl_art *e, LLVMValueRef to, LLVMValueRef from, LLVMValueRef n)
{
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->i64};
    LLVMValueRef args[] = {to, from, n};
    kl_art_call(e, kl_art_extern(e, "memmove", e->ptr, params, 3, false), args, 3);
}

static void run_fill(kl_art *e, LLVMValueRef to, int64_t byte, LLVMValueRef n)
{
    LLVMTypeRef params[] = {e->ptr, e->i32, e->i64};
    LLVMValueRef args[] = {to, kl_art_i32(e, byte & 255), n};
    kl_art_call(e, kl_art_extern(e, "memset", e->ptr, params, 3, false), args, 3);
}

/* Leave with that code where cond holds. */
static void leave_if(kl_art *e, LLVMValueRef cond, kl_artefact_code code)
{
    LLVMBasicBlockRef bad = kl_art_block(e, ""), good = kl_art_block(e, "");
    LL.BuildCondBr(e->b, cond, bad, good);
    kl_art_go(e, bad);
    LL.BuildStore(e->b, kl_art_i32(e, code), e->result);
    LL.BuildBr(e->b, e->leave);
    kl_art_go(e, good);
}

/* int SYMBOL(const T *in.., T *out.., const int64_t *const *shapes): shapes[i] are
 * operand i's extents. */
static void run_call(kl_art *e, const frame *f, const kl_step *s)
{
    int n = s->nslots;
    LLVMTypeRef *params = kl_arena_alloc(e->arena, ((size_t)n + 1) * sizeof *params);
    LLVMValueRef *args = kl_arena_alloc(e->arena, ((size_t)n + 1) * sizeof *args);
    if (!params || !args)
        return;
    LLVMValueRef shapes = kl_art_array(e, e->ptr, n);
    for (int i = 0; i < n; i++) {
        const kl_slot *slot = &f->p->slots[s->slots[i]];
        LLVMValueRef shape = kl_art_array(e, e->i64, slot->rank);
        for (int j = 0; j < slot->rank; j++)
            kl_art_put(e, shape, j, kl_art_size(e, slot->shape[j]));
        kl_art_put(e, shapes, i, shape);
        args[i] = address(e, f, s->slots[i]);
        params[i] = e->ptr;
    }
    args[n] = shapes;
    params[n] = e->ptr;
    LLVMValueRef fn = kl_art_extern(e, s->symbol, e->i32, params, n + 1, false);
    LLVMTypeRef t = LL.FunctionType(e->i32, params, (unsigned)n + 1, 0);
    LLVMValueRef r = LL.BuildCall2(e->b, t, fn, args, (unsigned)n + 1, "");
    leave_if(e, LL.BuildICmp(e->b, LLVMIntNE, r, kl_art_i32(e, 0), ""), KL_ARTEFACT_CALL);
}

static void run_steps(kl_art *e, const frame *f);

/* ---- programs within the program ---- */

static frame within(kl_art *e, const frame *f, const kl_program *b, const kl_step *s,
                    LLVMValueRef *in, LLVMValueRef *out)
{
    frame y = *f;
    y.p = b, y.in = in, y.out = out;
    y.arena = address(e, f, s->slots[s->nslots - 1]);
    y.constants =
        b->nconstants ? kl_art_bytes(e, ".constants", b->constants, b->nconstants) : NULL;
    return y;
}

static LLVMValueRef is_set(kl_art *e, LLVMValueRef flag)
{
    return LL.BuildICmp(e->b, LLVMIntNE, kl_art_load(e, e->i8, flag), LL.ConstNull(e->i8),
                        "");
}

/* Goes on here while the loop has more to do, else at done; a fault ends it. */
static void ask(kl_art *e, const frame *f, const kl_step *s, LLVMValueRef *at,
                LLVMValueRef trip, LLVMBasicBlockRef done)
{
    LLVMBasicBlockRef body = kl_art_block(e, "body"), well = kl_art_block(e, "well");
    LLVMValueRef go;
    if (s->other) {
        LLVMValueRef flag = address(e, f, s->slots[s->nslots - 2]);
        frame test = within(e, f, s->other, s, at, &flag);
        run_steps(e, &test);
        go = is_set(e, flag);
    } else {
        go = LL.BuildICmp(e->b, LLVMIntSLT, kl_art_load(e, e->i64, trip),
                          kl_art_size(e, s->trips), "");
    }
    LL.BuildCondBr(e->b, go, well, done);
    kl_art_go(e, well);
    LLVMValueRef fault = LL.BuildICmp(e->b, LLVMIntNE, kl_art_load(e, e->i64, f->error),
                                      kl_art_i64(e, 0), "");
    LL.BuildCondBr(e->b, fault, done, body);
    kl_art_go(e, body);
}

/* Where operands and results lie this trip is kept in `places`, as the runner keeps it.
 */
static void next_trip(kl_art *e, const kl_step *s, LLVMValueRef places, LLVMValueRef *at)
{
    const kl_program *b = s->body;
    for (int i = 0; i < b->nin + b->nout; i++) {
        bool in = i < b->nin, carried = (in ? i : i - b->nin) < s->ncarry;
        const kl_port *port = in ? &b->in[i] : &b->out[i - b->nin];
        int other = in ? i + b->nin : i - b->nin;
        kl_art_put(e, places, i,
                   carried
                       ? at[other]
                       : kl_art_at(e, at[i], kl_art_size(e, kl_art_port_bytes(e, port))));
    }
}

static void run_loop(kl_art *e, const frame *f, const kl_step *s)
{
    const kl_program *b = s->body;
    int n = b->nin + b->nout;
    LLVMValueRef *at = kl_arena_alloc(e->arena, ((size_t)n + 1) * sizeof *at);
    LLVMValueRef places = kl_art_array(e, e->ptr, n), trip = kl_art_array(e, e->i64, 1);
    if (!at)
        return;
    for (int i = 0; i < n; i++)
        kl_art_put(e, places, i, address(e, f, s->slots[i]));
    kl_art_put(e, trip, 0, kl_art_i64(e, 0));
    LLVMBasicBlockRef again = kl_art_block(e, "again"), done = kl_art_block(e, "done");
    LL.BuildBr(e->b, again);
    kl_art_go(e, again);
    for (int i = 0; i < n; i++)
        at[i] = kl_art_load(e, e->ptr, kl_art_field(e, places, 8 * (size_t)i));
    ask(e, f, s, at, trip, done);
    frame inner = within(e, f, b, s, at, at + b->nin);
    run_steps(e, &inner);
    next_trip(e, s, places, at);
    LLVMValueRef count = kl_art_load(e, e->i64, trip);
    kl_art_put(e, trip, 0, LL.BuildAdd(e->b, count, kl_art_i64(e, 1), ""));
    LL.BuildBr(e->b, again);
    kl_art_go(e, done);
    for (int i = 0; i < s->ncarry; i++)
        if (s->slots[i] != s->slots[b->nin + i]) {
            LLVMValueRef last =
                kl_art_load(e, e->ptr, kl_art_field(e, places, 8 * (size_t)i));
            run_copy(e, address(e, f, s->slots[i]), last,
                     kl_art_size(e, kl_art_port_bytes(e, &b->in[i])));
        }
}

static void run_side(kl_art *e, const frame *f, const kl_step *s, const kl_program *b,
                     LLVMBasicBlockRef after)
{
    LLVMValueRef *at = kl_arena_alloc(e->arena, ((size_t)s->nslots + 1) * sizeof *at);
    if (!at)
        return;
    for (int i = 0; i < b->nin + b->nout; i++)
        at[i] = address(e, f, s->slots[1 + i]);
    frame inner = within(e, f, b, s, at, at + b->nin);
    run_steps(e, &inner);
    LL.BuildBr(e->b, after);
}

static void run_branch(kl_art *e, const frame *f, const kl_step *s)
{
    LLVMBasicBlockRef yes = kl_art_block(e, "then"), no = kl_art_block(e, "else"),
                      after = kl_art_block(e, "after");
    LL.BuildCondBr(e->b, is_set(e, address(e, f, s->slots[0])), yes, no);
    kl_art_go(e, yes);
    run_side(e, f, s, s->body, after);
    kl_art_go(e, no);
    run_side(e, f, s, s->other, after);
    kl_art_go(e, after);
}

static void run_steps(kl_art *e, const frame *f)
{
    for (int i = 0; i < f->p->nsteps && e->status == KL_OK; i++) {
        const kl_step *s = &f->p->steps[i];
        LLVMValueRef n = s->kind == KL_STEP_COPY || s->kind == KL_STEP_FILL
                             ? kl_art_size(e, f->p->slots[s->slots[0]].bytes)
                             : NULL,
                     from;
        switch (s->kind) {
        case KL_STEP_LAUNCH:
            run_launch(e, f, s);
            break;
        case KL_STEP_COPY:
            from = address(e, f, s->slots[1]);
            run_copy(e, address(e, f, s->slots[0]), from, n);
            break;
        case KL_STEP_FILL:
            run_fill(e, address(e, f, s->slots[0]), s->value, n);
            break;
        case KL_STEP_CALL:
            run_call(e, f, s);
            break;
        case KL_STEP_LOOP:
            run_loop(e, f, s);
            break;
        case KL_STEP_BRANCH:
            run_branch(e, f, s);
            break;
        }
    }
}

/* ---- the function ---- */

static void most_operands(const kl_program *p, int *slots, int *dims)
{
    for (int i = 0; i < p->nsteps; i++) {
        *slots = KL_MAX(*slots, p->steps[i].nslots);
        *dims = KL_MAX(*dims, p->steps[i].ndims);
        if (p->steps[i].body)
            most_operands(p->steps[i].body, slots, dims);
        if (p->steps[i].other)
            most_operands(p->steps[i].other, slots, dims);
    }
}

static frame make_frame(kl_art *e, LLVMValueRef *in, LLVMValueRef *out,
                        LLVMValueRef scratch)
{
    const kl_program *p = e->level->program;
    int nslots = 0, ndims = 0;
    most_operands(p, &nslots, &ndims);
    frame f = {.p = p,
               .in = in,
               .out = out,
               .bufs = kl_art_array(e, e->ptr, nslots),
               .dims = kl_art_array(e, e->i64, ndims),
               .error = kl_art_array(e, e->i64, 3),
               .task = kl_art_array(e, e->i64, sizeof(kl_artefact_task) / 8)};
    f.arena = scratch ? scratch : LL.ConstNull(e->ptr);
    f.tiles = kl_art_at(e, f.arena, kl_art_size(e, e->size.fixed));
    f.constants =
        p->nconstants ? kl_art_bytes(e, ".constants", p->constants, p->nconstants) : NULL;
    for (int i = 0; i < 3; i++)
        kl_art_put(e, f.error, i, kl_art_i64(e, 0));
    put_task(e, &f, offsetof(kl_args, bufs), f.bufs);
    put_task(e, &f, offsetof(kl_args, dims), f.dims);
    put_task(e, &f, offsetof(kl_args, scratch), f.tiles);
    put_task(e, &f, offsetof(kl_args, error), f.error);
    return f;
}

/* result, or INDEX when a kernel met one. */

/* result, or INDEX when a kernel met one. */
static void make_leave(kl_art *e, const frame *f, LLVMValueRef fp)
{
    kl_art_go(e, e->leave);
    kl_art_fp_leave(e, fp);
    LLVMValueRef fault = LL.BuildICmp(e->b, LLVMIntNE, kl_art_load(e, e->i64, f->error),
                                      kl_art_i64(e, 0), "");
    LLVMValueRef result = LL.BuildSelect(e->b, fault, kl_art_i32(e, KL_ARTEFACT_INDEX),
                                         kl_art_load(e, e->i32, e->result), "");
    LL.BuildRet(e->b, result);
}

void kl_art_run_name(const kl_art *e, const kl_artefact_level *l, char *out, size_t cap)
{
    snprintf(out, cap, "%s.run.%s", e->a->name, l->target->name);
}

kl_status kl_art_make_run(kl_art *e, const kl_artefact_level *l)
{
    char name[300];
    kl_art_params p;
    e->level = l;
    kl_art_run_name(e, l, name, sizeof name);
    KL_TRY(kl_art_entry(e, name, false, &p));
    kl_art_for_cpu(e, e->fn, l);
    e->leave = kl_art_block(e, "leave");
    e->result = LL.BuildAlloca(e->b, e->i32, "");
    LL.BuildStore(e->b, kl_art_i32(e, KL_ARTEFACT_OK), e->result);
    frame f = make_frame(e, p.in, p.out, p.scratch);
    LLVMValueRef fp = kl_art_fp_enter(e);
    run_steps(e, &f);
    LL.BuildBr(e->b, e->leave);
    make_leave(e, &f, fp);
    return e->status;
}
