/* artefact.c: a program as one C function of a native object: what the runner does with a
 * plan, written out as code.
 *
 *   launch head.0 kernel 0 (0, 2)     bufs = {x, scratch + 0};  launch(&task, ceil(B /
 * 14), 1)
 *
 * The kernels' phases stand in the same module; so do the weights. The entry checks its
 * arguments, takes the scratch, runs the steps one after the other, and returns a code
 * (codegen.h). Nothing is written before all checks have passed. */
#include "codegen/artefact.h"

enum { STATIC_MOST = 1 << 30, EMBED_MOST = 1 << 30 };

/* ---- the module's data ---- */

static LLVMValueRef bytes(kl_art *e, const char *suffix, const void *p, size_t n)
{
    LLVMValueRef v = LL.ConstStringInContext(e->u.ctx, p, (unsigned)n, 1);
    LLVMValueRef g = kl_art_name(e, suffix, LL.TypeOf(v), false);
    LL.SetInitializer(g, v);
    LL.SetGlobalConstant(g, 1);
    LL.SetAlignment(g, KL_ARTEFACT_ALIGN);
    return g;
}

static kl_status make_weights(kl_art *e)
{
    const kl_artefact *a = e->a;
    if (a->nweights <= KL_WEIGHTS_HEAD)
        return KL_OK;
    if (a->weights_file) {
        e->weights = kl_art_name(e, ".weights", e->ptr, false);
        kl_art_make_load(e);
        return KL_OK;
    }
    if (a->nweights > EMBED_MOST)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: %zu bytes of weights do not fit into an object: "
                       "give --weights=FILE or --weights=args",
                       a->name, a->nweights);
    e->weights = bytes(e, ".weights", a->weights, a->nweights);
    return KL_OK;
}

static kl_status make_scratch(kl_art *e)
{
    const kl_artefact *a = e->a;
    e->size = kl_artefact_scratch_of(a->program, e->arena);
    if (kl_arena_failed(e->arena))
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    if (a->scratch_caller) {
        kl_art_make_scratch_bytes(e);
        return KL_OK;
    }
    int64_t most = kl_artefact_scratch_max(a->program, e->size, KL_ARTEFACT_WORKERS);
    if (most < 0 || most > STATIC_MOST)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: the scratch of the largest dimensions does not fit "
                       "into an object: bound them (dim B 1..N) or give --scratch=caller",
                       a->name);
    if (most == 0)
        return KL_OK;
    e->scratch = kl_art_name(e, ".scratch", LL.ArrayType2(e->i8, (uint64_t)most), false);
    LL.SetAlignment(e->scratch, KL_ARTEFACT_ALIGN);
    e->busy = kl_art_name(e, ".busy", e->i32, false);
    return KL_OK;
}

/* The phases of every kernel, as functions that only this module sees. */
static kl_status make_kernels(kl_art *e)
{
    if (e->a->lines)
        KL_TRY(kl_llvm_lines_begin(&e->u, e->a->lines));
    for (int i = 0; i < e->a->nkernels; i++) {
        char symbol[128], first[140];
        if (e->a->kernels[i]->call)
            continue;
        kl_codegen_symbol(e->a->kernels[i]->name, symbol, sizeof symbol);
        snprintf(first, sizeof first, "%s.0", symbol);
        if (LL.GetNamedFunction(e->u.mod, first))
            return kl_fail(KL_ERR_INTERNAL, "artefact: two kernels are named %s", symbol);
        KL_TRY(kl_llvm_kernel(&e->u, e->a->kernels[i], symbol, e->arena));
    }
    LL.SetCurrentDebugLocation2(e->b, NULL);
    kl_llvm_lines_end(&e->u, true);
    for (LLVMValueRef f = LL.GetFirstFunction(e->u.mod); f; f = LL.GetNextFunction(f))
        if (!LL.IsDeclaration(f))
            LL.SetLinkage(f, LLVMInternalLinkage);
    return KL_OK;
}

/* ---- the steps ---- */

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

static void put(kl_art *e, LLVMValueRef array, int i, LLVMValueRef v)
{
    LL.BuildStore(e->b, v, kl_art_field(e, array, 8 * (size_t)i));
}

static void put_task(kl_art *e, const frame *f, size_t field, LLVMValueRef v)
{
    LL.BuildStore(e->b, v, kl_art_field(e, f->task, field));
}

static void run_launch(kl_art *e, const frame *f, const kl_step *s)
{
    char symbol[128], name[160];
    kl_codegen_symbol(f->p->kernels[s->kernel].name, symbol, sizeof symbol);
    for (int i = 0; i < s->nslots; i++)
        put(e, f->bufs, i, address(e, f, s->slots[i]));
    for (int i = 0; i < s->ndims; i++)
        put(e, f->dims, i, kl_art_size(e, s->dims[i]));
    kl_size by = kl_size_const(e->arena, 64);
    kl_size stride =
        kl_size_op(e->arena, KL_SIZE_ADD, s->scratch, kl_size_const(e->arena, 63));
    stride = kl_size_op(e->arena, KL_SIZE_MUL,
                        kl_size_op(e->arena, KL_SIZE_DIV, stride, by), by);
    put_task(e, f, offsetof(kl_args, scratch_stride), kl_art_size(e, stride));
    for (int i = 0; i < s->nphases; i++) {
        snprintf(name, sizeof name, "%s.%d", symbol, i);
        LLVMValueRef fn = LL.GetNamedFunction(e->u.mod, name);
        if (!fn) {
            e->status = kl_fail(KL_ERR_INTERNAL, "artefact: there is no kernel %s", name);
            return;
        }
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
            put(e, shape, j, kl_art_size(e, slot->shape[j]));
        put(e, shapes, i, shape);
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

static kl_size port_bytes(kl_art *e, const kl_port *port)
{
    kl_size n = kl_size_const(e->arena, kl_dtypes[port->dtype].size);
    for (int i = 0; i < port->rank; i++)
        n = kl_size_op(e->arena, KL_SIZE_MUL, n, port->shape[i]);
    return n;
}

static frame within(kl_art *e, const frame *f, const kl_program *b, const kl_step *s,
                    LLVMValueRef *in, LLVMValueRef *out)
{
    frame y = *f;
    y.p = b, y.in = in, y.out = out;
    y.arena = address(e, f, s->slots[s->nslots - 1]);
    y.constants =
        b->nconstants ? bytes(e, ".constants", b->constants, b->nconstants) : NULL;
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
        put(e, places, i,
            carried ? at[other]
                    : kl_art_at(e, at[i], kl_art_size(e, port_bytes(e, port))));
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
        put(e, places, i, address(e, f, s->slots[i]));
    put(e, trip, 0, kl_art_i64(e, 0));
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
    put(e, trip, 0, LL.BuildAdd(e->b, count, kl_art_i64(e, 1), ""));
    LL.BuildBr(e->b, again);
    kl_art_go(e, done);
    for (int i = 0; i < s->ncarry; i++)
        if (s->slots[i] != s->slots[b->nin + i]) {
            LLVMValueRef last =
                kl_art_load(e, e->ptr, kl_art_field(e, places, 8 * (size_t)i));
            run_copy(e, address(e, f, s->slots[i]), last,
                     kl_art_size(e, port_bytes(e, &b->in[i])));
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

/* ---- the entry's checks ---- */

static void check_dims(kl_art *e)
{
    const kl_program *p = e->a->program;
    for (int i = 0; i < p->nsyms; i++) {
        LLVMValueRef d = e->dims[i], by = kl_art_i64(e, p->sym_div[i]);
        LLVMValueRef low =
            LL.BuildICmp(e->b, LLVMIntSLT, d, kl_art_i64(e, p->sym_min[i]), "");
        LLVMValueRef high =
            LL.BuildICmp(e->b, LLVMIntSGT, d, kl_art_i64(e, p->sym_max[i]), "");
        kl_art_fail_if(e, LL.BuildOr(e->b, low, high, ""), KL_ARTEFACT_DIM);
        LLVMValueRef rest = LL.BuildSRem(e->b, d, by, "");
        kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, rest, kl_art_i64(e, 0), ""),
                       KL_ARTEFACT_DIM);
    }
}

static int donated_to(const kl_program *p, int out)
{
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].kind == KL_SLOT_OUT && p->slots[i].index == out)
            return p->slots[i].donated - 1;
    return -1;
}

typedef struct ports {
    LLVMValueRef base, size, donated;
} ports;

static void check_port(kl_art *e, const ports *t, int i, LLVMValueRef p, LLVMValueRef n,
                       int donated)
{
    LLVMValueRef none = LL.BuildICmp(e->b, LLVMIntEQ, p, LL.ConstNull(e->ptr), "");
    LLVMValueRef some = LL.BuildICmp(e->b, LLVMIntNE, n, kl_art_i64(e, 0), "");
    kl_art_fail_if(e, LL.BuildAnd(e->b, none, some, ""), KL_ARTEFACT_POINTER);
    put(e, t->base, i, LL.BuildCast(e->b, LLVMPtrToInt, p, e->i64, ""));
    put(e, t->size, i, n);
    put(e, t->donated, i, kl_art_i64(e, donated));
}

static LLVMValueRef scratch_bytes(kl_art *e)
{
    char name[300];
    int n = e->a->program->nsyms;
    LLVMValueRef args[64];
    for (int i = 0; i < n; i++)
        args[i] = e->dims[e->a->syms[i]];
    snprintf(name, sizeof name, "%s_scratch_bytes", e->a->name);
    return kl_art_call(e, LL.GetNamedFunction(e->u.mod, name), args, n);
}

/* Inputs that are weights are no pointers of the caller's: they count as empty. */
static void check_ports(kl_art *e, LLVMValueRef *in, LLVMValueRef *out,
                        LLVMValueRef scratch)
{
    const kl_program *p = e->a->program;
    int n = p->nin + p->nout + 1;
    ports t = {kl_art_array(e, e->i64, n), kl_art_array(e, e->i64, n),
               kl_art_array(e, e->i64, n)};
    LLVMValueRef zero = kl_art_i64(e, 0);
    for (int i = 0; i < p->nin; i++) {
        bool mine = e->a->weight[i] >= 0;
        check_port(e, &t, i, in[i],
                   mine ? zero : kl_art_size(e, port_bytes(e, &p->in[i])), -1);
    }
    for (int i = 0; i < p->nout; i++)
        check_port(e, &t, p->nin + i, out[i], kl_art_size(e, port_bytes(e, &p->out[i])),
                   donated_to(p, i));
    if (e->a->scratch_caller)
        check_port(e, &t, n - 1, scratch, scratch_bytes(e), -1);
    LLVMValueRef args[] = {t.base, t.size, t.donated},
                 code = kl_art_call(e, e->overlap, args, 3);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, code, kl_art_i32(e, 0), ""),
                   KL_ARTEFACT_OVERLAP);
}

/* Static scratch is one call's at a time. Largest dimensions need not need the most of
 * it. */
static void take_scratch(kl_art *e)
{
    int64_t most = kl_artefact_scratch_max(e->a->program, e->size, KL_ARTEFACT_WORKERS);
    LLVMValueRef workers = kl_art_i64(e, KL_ARTEFACT_WORKERS);
    LLVMValueRef n = LL.BuildMul(e->b, workers, kl_art_size(e, e->size.tile), "");
    n = LL.BuildAdd(e->b, n, kl_art_size(e, e->size.fixed), "");
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntSGT, n, kl_art_i64(e, most), ""),
                   KL_ARTEFACT_DIM);
    LLVMValueRef was =
        LL.BuildAtomicRMW(e->b, LLVMAtomicRMWBinOpXchg, e->busy, kl_art_i32(e, 1),
                          LLVMAtomicOrderingAcquireRelease, 0);
    kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntNE, was, kl_art_i32(e, 0), ""),
                   KL_ARTEFACT_BUSY);
}

/* ---- the entry ---- */

static LLVMValueRef weight_at(kl_art *e, LLVMValueRef base, int i)
{
    return kl_art_field(e, base, (size_t)e->a->weight[i]);
}

/* Parameters become e->dims, in, out; what is left is the scratch. */
static LLVMValueRef take_params(kl_art *e, LLVMValueRef *in, LLVMValueRef *out)
{
    const kl_program *p = e->a->program;
    unsigned n = 0;
    LLVMValueRef base = e->weights;
    for (int i = 0; i < p->nsyms; i++)
        e->dims[e->a->syms[i]] = LL.GetParam(e->fn, n++);
    if (base && e->a->weights_file) {
        base = kl_art_load(e, e->ptr, e->weights);
        kl_art_fail_if(e, LL.BuildICmp(e->b, LLVMIntEQ, base, LL.ConstNull(e->ptr), ""),
                       KL_ARTEFACT_WEIGHTS);
    }
    for (int i = 0; i < p->nin; i++)
        in[i] = e->a->weight[i] >= 0 ? weight_at(e, base, i) : LL.GetParam(e->fn, n++);
    for (int i = 0; i < p->nout; i++)
        out[i] = LL.GetParam(e->fn, n++);
    return e->a->scratch_caller ? LL.GetParam(e->fn, n) : e->scratch;
}

static void declare_entry(kl_art *e)
{
    const kl_program *p = e->a->program;
    int n = 0;
    LLVMTypeRef *params = kl_arena_alloc(
        e->arena, (size_t)(p->nsyms + p->nin + p->nout + 1) * sizeof *params);
    if (!params)
        return;
    for (int i = 0; i < p->nsyms; i++)
        params[n++] = e->i64;
    for (int i = 0; i < p->nin; i++)
        if (e->a->weight[i] < 0)
            params[n++] = e->ptr;
    for (int i = 0; i < p->nout + e->a->scratch_caller; i++)
        params[n++] = e->ptr;
    kl_art_function(e, e->a->name, e->i32, params, n, true);
}

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
    const kl_program *p = e->a->program;
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
        p->nconstants ? bytes(e, ".constants", p->constants, p->nconstants) : NULL;
    for (int i = 0; i < 3; i++)
        put(e, f.error, i, kl_art_i64(e, 0));
    put_task(e, &f, offsetof(kl_args, bufs), f.bufs);
    put_task(e, &f, offsetof(kl_args, dims), f.dims);
    put_task(e, &f, offsetof(kl_args, scratch), f.tiles);
    put_task(e, &f, offsetof(kl_args, error), f.error);
    return f;
}

/* result, or INDEX when a kernel met one. */
static void make_leave(kl_art *e, const frame *f, LLVMValueRef fp)
{
    kl_art_go(e, e->leave);
    kl_art_fp_leave(e, fp);
    LLVMValueRef fault = LL.BuildICmp(e->b, LLVMIntNE, kl_art_load(e, e->i64, f->error),
                                      kl_art_i64(e, 0), "");
    LLVMValueRef result = LL.BuildSelect(e->b, fault, kl_art_i32(e, KL_ARTEFACT_INDEX),
                                         kl_art_load(e, e->i32, e->result), "");
    if (e->busy)
        LL.BuildAtomicRMW(e->b, LLVMAtomicRMWBinOpXchg, e->busy, kl_art_i32(e, 0),
                          LLVMAtomicOrderingAcquireRelease, 0);
    LL.BuildRet(e->b, result);
}

static kl_status make_entry(kl_art *e)
{
    const kl_program *p = e->a->program;
    LLVMValueRef *in = kl_arena_alloc(e->arena, ((size_t)p->nin + 1) * sizeof *in);
    LLVMValueRef *out = kl_arena_alloc(e->arena, ((size_t)p->nout + 1) * sizeof *out);
    if (!in || !out)
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    declare_entry(e);
    LLVMValueRef scratch = take_params(e, in, out);
    check_dims(e);
    check_ports(e, in, out, scratch);
    if (e->busy)
        take_scratch(e);
    e->leave = kl_art_block(e, "leave");
    e->result = LL.BuildAlloca(e->b, e->i32, "");
    LL.BuildStore(e->b, kl_art_i32(e, KL_ARTEFACT_OK), e->result);
    frame f = make_frame(e, in, out, scratch);
    LLVMValueRef fp = kl_art_fp_enter(e);
    run_steps(e, &f);
    LL.BuildBr(e->b, e->leave);
    make_leave(e, &f, fp);
    return kl_arena_failed(e->arena) ? kl_fail(KL_ERR_OOM, "artefact: no memory")
                                     : e->status;
}

static kl_status make_module(kl_art *e)
{
    KL_TRY(make_kernels(e));
    e->hook = kl_art_name(e, "_parallel_for", e->ptr, true);
    kl_art_make_launch(e);
    kl_art_make_overlap(e);
    KL_TRY(make_weights(e));
    KL_TRY(make_scratch(e));
    return make_entry(e);
}

kl_status kl_artefact_emit(const kl_artefact *a, kl_llvm_output what, kl_text *out)
{
    kl_art e = {.a = a, .arena = kl_arena_new()};
    if (!e.arena)
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    kl_status s = a->program->nsyms > (int)KL_COUNT(e.dims) || a->program->device
                      ? kl_fail(KL_ERR_UNSUPPORTED,
                                "%s: an artefact is for the CPU and has at most "
                                "%zu dimensions",
                                a->name, KL_COUNT(e.dims))
                      : kl_llvm_begin(&e.u, a->name, a->target, KL_LLVM_THOROUGH,
                                      what == KL_LLVM_IR);
    if (s == KL_OK) {
        LLVMContextRef c = e.u.ctx;
        e.b = e.u.b;
        e.none = LL.VoidTypeInContext(c), e.ptr = LL.PointerTypeInContext(c, 0);
        e.i8 = LL.IntTypeInContext(c, 8), e.i32 = LL.IntTypeInContext(c, 32);
        e.i64 = LL.IntTypeInContext(c, 64);
        s = make_module(&e);
        if (s == KL_OK)
            s = kl_llvm_emit(e.u.mod, a->target, KL_LLVM_THOROUGH, what, out);
    }
    kl_llvm_end(&e.u);
    kl_arena_free(e.arena);
    return s;
}
