/* control.c: kl_scan, kl_while, kl_cond: bodies are traced into linear forms, as
 * functions are (trace.c), and a lazy node names them.
 *
 *   kl_scan(f, &h, 1, &x, 1)     f uses w           linear form: inputs h' w' x', ..
 *     ->  pick k of scan h, w, x carries 2, body 9f3a..             "body.c": its bytes
 *
 * What a body reads but does not depend on its parameters is computed outside: it becomes
 * an operand, carried unchanged (of a branch: an operand like others). A node's
 * attributes are the contents of bodies by hash, so that equal loops have equal keys from
 * step to step and from process to process; import.c makes graphs of them. */
#include "function.h"

enum { OPERANDS = 4096 };

typedef struct body {
    kl_trace_fn fn;
    kl_lazy **in, **out; /* its parameters, its results; temporaries of the call */
    int nin, nout;
    int64_t hash[2];
} body;

typedef struct control {
    const char *name; /* "kl_scan", for messages */
    void *user;
    kl_lazy **operand; /* the user's, in the order of the bodies' parameters */
    int n;
    kl_list captured;
    void *block; /* holds all arrays */
    size_t bytes;
} control;

static kl_status out_of_memory(const control *c)
{
    return kl_fail(KL_ERR_OOM, "%s: out of memory", c->name);
}

static const char *type_text(kl_lazy *n, char *buf, size_t cap)
{
    char shape[200];
    kl_ints s = kl_ints_of(n->rank, kl_lazy_shape(n));
    snprintf(buf, cap, "%s%s", kl_dtypes[n->dtype].name,
             kl_ints_text(s, shape, sizeof shape));
    return buf;
}

static bool same_type(kl_lazy *a, kl_lazy *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(kl_lazy_shape(a), kl_lazy_shape(b), a->rank * sizeof(int64_t)) == 0;
}

/* ---- operands ---- */

/* Room for n operands of ours and what bodies take and give. */
static kl_status open_control(control *c, int n, int nbodies, body *b)
{
    size_t each = (size_t)n + 1, all = each;
    for (int i = 0; i < nbodies; i++)
        all += (size_t)b[i].nin + (size_t)b[i].nout + 1;
    c->bytes = all * sizeof(kl_lazy *);
    if (!(c->block = kl_alloc_zeroed(c->bytes)))
        return out_of_memory(c);
    kl_lazy **at = c->block;
    c->operand = at, at += each;
    for (int i = 0; i < nbodies; i++) {
        b[i].in = at, at += b[i].nin;
        b[i].out = at, at += b[i].nout + 1;
    }
    return KL_OK;
}

static void close_control(control *c)
{
    for (uint32_t i = 0; i < c->captured.n; i++)
        kl_lazy_unref(c->captured.v[i]);
    kl_free(c->captured.v, c->captured.cap * sizeof *c->captured.v);
    kl_free(c->block, c->bytes);
}

static kl_status read_operands(control *c, kl_tensor *const *t, int n, const char *what)
{
    for (int i = 0; i < n; i++) {
        if (!t || !t[i])
            return kl_fail(KL_ERR_ARG, "%s: %s %d is NULL", c->name, what, i);
        kl_lazy *v = c->operand[c->n] = kl_arg_tensor(t[i]);
        if (!v)
            return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
        c->n++;
    }
    return KL_OK;
}

static kl_status check_counts(const control *c, bool ok, int a, int b)
{
    if (ok && a >= 0 && b >= 0 && a < OPERANDS && b < OPERANDS)
        return KL_OK;
    return kl_fail(KL_ERR_ARG, "%s: called on %d and %d tensors", c->name, a, b);
}

/* ---- tracing a body ---- */

/* Parameter i: like that operand, or (scanned) like an element of it. */
static kl_tensor *parameter(kl_lazy *like, bool scanned)
{
    kl_input in = {
        .dtype = (kl_dtype)like->dtype,
        .shape = kl_ints_of((size_t)like->rank - scanned, kl_lazy_shape(like) + scanned)};
    return kl_trace_parameter(&in, like->device);
}

static kl_status read_results(const control *c, body *b, kl_tensor *const *out)
{
    for (int i = 0; i < b->nout; i++) {
        if (kl_failed())
            return kl_error_status();
        if (!out[i])
            return kl_fail(KL_ERR_ARG, "%s: the body gives no result %d", c->name, i);
        b->out[i] = kl_arg_tensor(out[i]);
        if (!b->out[i])
            return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
    }
    return KL_OK;
}

/* Calls the body on b->nin parameters; those from `scanned` on are elements. */
static kl_status trace(control *c, body *b, int scanned)
{
    kl_state *s = kl_thread();
    size_t before = s->ndirty, n = (size_t)(b->nin + b->nout) + 1;
    kl_tensor **t = kl_alloc_zeroed(n * sizeof *t);
    kl_status st = t ? KL_OK : out_of_memory(c);
    kl_scope_begin();
    for (int i = 0; i < b->nin && st == KL_OK; i++) {
        t[i] = parameter(c->operand[i], i >= scanned);
        b->in[i] = t[i] ? kl_lazy_temp(kl_storage_node(t[i]->storage)) : NULL;
        st = b->in[i] ? KL_OK : kl_error_status();
    }
    bool inner = s->tracing;
    s->tracing = true;
    if (st == KL_OK)
        b->fn(t, t + b->nin, c->user);
    s->tracing = inner;
    if (st == KL_OK)
        st = read_results(c, b, t + b->nin);
    kl_status ended = kl_trace_end(before);
    kl_free(t, n * sizeof *t);
    return st ? st : ended;
}

/* ---- what it reads from outside ---- */

/* Also one number for all elements, which costs nothing where it is read, and the loop's
 * memory in front of it. */
static bool constant(const kl_lazy *n)
{
    while (!n->mem && (n->op == KL_OP_expand || n->op == KL_OP_reshape))
        n = kl_lazy_src((kl_lazy *)(uintptr_t)n, 0);
    return n->op == KL_OP_const || n->op == KL_OP_iota;
}

static bool capture(control *c, kl_lazy *n)
{
    for (uint32_t i = 0; i < c->captured.n; i++)
        if (c->captured.v[i] == n)
            return true;
    return kl_list_add(&c->captured, kl_lazy_ref(n));
}

/* Under the graph lock: below root, index becomes whether a node depends on a parameter
 * (which is marked already); what it doesn't and is read by one that does is captured. */
static bool look_below(control *c, kl_list *stack, kl_lazy *root, uint32_t mark)
{
    bool ok = kl_list_add(stack, root);
    while (ok && stack->n > 0) {
        kl_lazy *n = stack->v[stack->n - 1];
        bool leaf = n->op == KL_OP_input || n->mem != NULL || n->nsrc == 0;
        if (n->mark == mark && n->index != KL_NONE) {
            stack->n--;
        } else if (n->mark == mark || leaf) {
            bool depends = false;
            for (int i = 0; !leaf && i < n->nsrc; i++)
                depends |= kl_lazy_src(n, i)->index == 1;
            n->mark = mark;
            n->index = depends;
            for (int i = 0; depends && ok && i < n->nsrc; i++) {
                kl_lazy *s = kl_lazy_src(n, i);
                ok = s->index == 1 || constant(s) || capture(c, s);
            }
            stack->n--;
        } else {
            n->mark = mark;
            n->index = KL_NONE;
            for (int i = n->nsrc; ok && i-- > 0;)
                if (kl_lazy_src(n, i)->mark != mark)
                    ok = kl_list_add(stack, kl_lazy_src(n, i));
        }
    }
    return ok;
}

static kl_status find_captured(control *c, body *b)
{
    kl_list stack = {0};
    bool ok = true;
    pthread_mutex_lock(&kl_graph_lock);
    uint32_t mark = kl_next_mark();
    for (int i = 0; i < b->nin; i++)
        b->in[i]->mark = mark, b->in[i]->index = 1;
    for (int i = 0; i < b->nout && ok; i++) {
        kl_lazy *r = b->out[i];
        ok = look_below(c, &stack, r, mark);
        ok = ok && (r->index == 1 || constant(r) || capture(c, r));
    }
    pthread_mutex_unlock(&kl_graph_lock);
    kl_free(stack.v, stack.cap * sizeof *stack.v);
    return ok ? KL_OK : out_of_memory(c);
}

/* The body's linear form: parameters before `at`, what is captured, the others; results
 * before `keep`, what is captured again if `carried`, the others. */
static kl_status keep_body(control *c, body *b, int at, int keep, bool carried)
{
    kl_linear l = {0};
    kl_list leaves = {0}, roots = {0};
    bool ok = true;
    for (int i = 0; i < b->nin && ok; i++) {
        for (uint32_t k = 0; i == at && k < c->captured.n && ok; k++)
            ok = kl_list_add(&leaves, c->captured.v[k]);
        ok = ok && kl_list_add(&leaves, b->in[i]);
    }
    for (uint32_t k = 0; at >= b->nin && k < c->captured.n && ok; k++)
        ok = kl_list_add(&leaves, c->captured.v[k]);
    for (int i = 0; i <= b->nout && ok; i++) {
        for (uint32_t k = 0; i == keep && carried && k < c->captured.n && ok; k++)
            ok = kl_list_add(&roots, c->captured.v[k]);
        ok = ok && (i == b->nout || kl_list_add(&roots, b->out[i]));
    }
    kl_status st = ok ? KL_OK : out_of_memory(c);
    if (st == KL_OK) {
        pthread_mutex_lock(&kl_graph_lock);
        st = kl_linearise_body(&l, &leaves, &roots);
        pthread_mutex_unlock(&kl_graph_lock);
    }
    if (st == KL_OK)
        st = kl_body_keep(&l, leaves.n, roots.n, b->hash);
    kl_linear_free(&l);
    kl_free(leaves.v, leaves.cap * sizeof *leaves.v);
    kl_free(roots.v, roots.cap * sizeof *roots.v);
    return st;
}

/* ---- the node and its results ---- */

/* Operands before `at`, what is captured, the others. */
static kl_lazy *make_node(control *c, kl_op op, kl_lazy *like, int at,
                          const int64_t *attr, int nattr)
{
    size_t n = (size_t)c->n + c->captured.n;
    kl_lazy **src = kl_alloc((n + 1) * sizeof *src);
    if (!src || n > UINT16_MAX) {
        kl_free(src, src ? (n + 1) * sizeof *src : 0);
        out_of_memory(c);
        return NULL;
    }
    memcpy(src, c->operand, (size_t)at * sizeof *src);
    if (c->captured.n)
        memcpy(src + at, c->captured.v, c->captured.n * sizeof *src);
    memcpy(src + at + c->captured.n, c->operand + at, (size_t)(c->n - at) * sizeof *src);
    kl_lazy *y = kl_lazy_make(&(kl_make){op, (kl_dtype)like->dtype, like->rank,
                                         kl_lazy_shape(like), src, (int)n, attr, nattr});
    kl_free(src, (n + 1) * sizeof *src);
    return y;
}

/* Result k of node y: like r, or (stacked) n of it. */
static kl_lazy *result(kl_lazy *y, int64_t k, kl_lazy *r, bool stacked, int64_t n)
{
    int64_t shape[KL_MAX_RANK + 1] = {n};
    if (!y || r->rank + stacked > KL_MAX_RANK)
        return NULL;
    memcpy(shape + stacked, kl_lazy_shape(r), r->rank * sizeof *shape);
    return kl_lazy_make(&(kl_make){KL_OP_pick, (kl_dtype)r->dtype, r->rank + stacked,
                                   shape, &y, 1, &k, 1});
}

/* Handles of n results, which are computed now if exposed memory was read. */
static kl_status give(control *c, kl_call *call, kl_lazy **r, int n, kl_tensor **out)
{
    kl_status st = KL_OK;
    for (int i = 0; i < n && st == KL_OK; i++)
        st = !r[i] ? out_of_memory(c) : kl_lazy_settle(r[i]) ? kl_error_status() : KL_OK;
    if (st == KL_OK && kl_thread()->exposed)
        st = kl_force(r, n);
    for (int i = 0; i < n && st == KL_OK; i++) {
        out[i] = kl_tensor_wrap(r[i]);
        if (out[i])
            out[i]->fn = call->fn;
        if (!out[i] || kl_scope_add(out[i]))
            st = kl_error_status(), out[i] = NULL;
    }
    return st;
}

static kl_status finish(control *c, kl_call *call, kl_status st, kl_tensor **out, int n)
{
    for (int i = 0; st != KL_OK && out && i < n; i++)
        out[i] = NULL;
    if (st != KL_OK && !kl_failed())
        out_of_memory(c);
    close_control(c);
    return kl_call_done(call, st);
}

/* ---- scan ---- */

static kl_status check_carried(const control *c, const body *b, int n)
{
    char was[256], is[256];
    for (int i = 0; i < n; i++)
        if (!same_type(c->operand[i], b->out[i]))
            return kl_fail(KL_ERR_SHAPE,
                           "%s: carried tensor %d is %s and comes back as %s", c->name, i,
                           type_text(c->operand[i], was, sizeof was),
                           type_text(b->out[i], is, sizeof is));
    return KL_OK;
}

static kl_status check_scanned(const control *c, int ncarry)
{
    char text[256];
    kl_lazy *first = c->operand[ncarry];
    for (int i = ncarry; i < c->n; i++) {
        kl_lazy *x = c->operand[i];
        if (x->rank < 1 || first->rank < 1 ||
            kl_lazy_shape(x)[0] != kl_lazy_shape(first)[0])
            return kl_fail(KL_ERR_SHAPE,
                           "%s: scanned tensor %d is %s: all share the extent of axis 0",
                           c->name, i - ncarry, type_text(x, text, sizeof text));
    }
    return KL_OK;
}

static kl_status scan(control *c, kl_call *call, body *b, int ncarry, kl_tensor **out)
{
    KL_TRY(trace(c, b, ncarry));
    KL_TRY(check_carried(c, b, ncarry));
    KL_TRY(find_captured(c, b));
    KL_TRY(keep_body(c, b, ncarry, ncarry, true));
    int64_t held = c->captured.n, attr[] = {ncarry + held, b->hash[0], b->hash[1]};
    int64_t n = kl_lazy_shape(c->operand[ncarry])[0];
    kl_lazy *like =
        ncarry ? b->out[0] : result(c->operand[ncarry], 0, b->out[0], true, n);
    kl_lazy *y = like ? make_node(c, KL_OP_scan, like, ncarry, attr, 3) : NULL;
    for (int i = 0; i < b->nout; i++) {
        bool stacked = i >= ncarry;
        b->out[i] = result(y, stacked ? held + i : i, b->out[i], stacked, n);
    }
    return give(c, call, b->out, b->nout, out);
}

kl_status kl_scan_at(const char *at, kl_trace_fn fn, void *user, kl_tensor *const *carry,
                     int ncarry, kl_tensor *const *xs, int nx, kl_tensor **out, int nout)
{
    kl_call call = kl_call_begin(at);
    control c = {.name = "kl_scan", .user = user};
    body b = {.fn = fn, .nin = ncarry + nx, .nout = nout};
    kl_status st =
        check_counts(&c, fn && nout >= KL_MAX(1, ncarry) && nx > 0, ncarry, nx);
    if (st == KL_OK)
        st = open_control(&c, b.nin, 1, &b);
    if (st == KL_OK)
        st = read_operands(&c, carry, ncarry, "carried tensor");
    if (st == KL_OK)
        st = read_operands(&c, xs, nx, "scanned tensor");
    if (st == KL_OK)
        st = check_scanned(&c, ncarry);
    if (st == KL_OK)
        st = scan(&c, &call, &b, ncarry, out);
    return finish(&c, &call, st, out, nout);
}

/* ---- while ---- */

static kl_status check_flag(const control *c, kl_lazy **p, const char *what)
{
    char text[256];
    if ((*p)->dtype != KL_BOOL || kl_lazy_numel(*p) != 1)
        return kl_fail(KL_ERR_DTYPE, "%s: %s is %s, not one bool", c->name, what,
                       type_text(*p, text, sizeof text));
    return (*p = kl_n_reshape(*p, 0, NULL)) ? KL_OK : kl_error_status();
}

static kl_status loop(control *c, kl_call *call, body *b, kl_tensor **out)
{
    body *test = &b[0], *step = &b[1];
    int n = c->n;
    KL_TRY(trace(c, test, n));
    KL_TRY(check_flag(c, test->out, "the test"));
    KL_TRY(trace(c, step, n));
    KL_TRY(check_carried(c, step, n));
    KL_TRY(find_captured(c, test));
    KL_TRY(find_captured(c, step));
    KL_TRY(keep_body(c, test, n, 0, false));
    KL_TRY(keep_body(c, step, n, n, true));
    int64_t attr[] = {test->hash[0], test->hash[1], step->hash[0], step->hash[1]};
    kl_lazy *y = make_node(c, KL_OP_while, step->out[0], n, attr, 4);
    for (int i = 0; i < n; i++)
        step->out[i] = result(y, i, step->out[i], false, 0);
    return give(c, call, step->out, n, out);
}

kl_status kl_while_at(const char *at, kl_trace_fn test, kl_trace_fn fn, void *user,
                      kl_tensor *const *carry, int n, kl_tensor **out)
{
    kl_call call = kl_call_begin(at);
    control c = {.name = "kl_while", .user = user};
    body b[2] = {{.fn = test, .nin = n, .nout = 1}, {.fn = fn, .nin = n, .nout = n}};
    kl_status st = check_counts(&c, test && fn && n > 0, n, n);
    if (st == KL_OK)
        st = open_control(&c, n, 2, b);
    if (st == KL_OK)
        st = read_operands(&c, carry, n, "carried tensor");
    if (st == KL_OK)
        st = loop(&c, &call, b, out);
    return finish(&c, &call, st, out, n);
}

/* ---- cond ---- */

static kl_status check_sides(const control *c, const body *b)
{
    char yes[256], no[256];
    for (int i = 0; i < b[0].nout; i++)
        if (!same_type(b[0].out[i], b[1].out[i]))
            return kl_fail(KL_ERR_SHAPE,
                           "%s: result %d is %s on one side and %s on the other", c->name,
                           i, type_text(b[0].out[i], yes, sizeof yes),
                           type_text(b[1].out[i], no, sizeof no));
    return KL_OK;
}

static kl_status branch(control *c, kl_call *call, body *b, kl_lazy *pred,
                        kl_tensor **out)
{
    int n = c->n;
    KL_TRY(check_flag(c, &pred, "the condition"));
    for (int i = 0; i < 2; i++)
        KL_TRY(trace(c, &b[i], n));
    KL_TRY(check_sides(c, b));
    for (int i = 0; i < 2; i++)
        KL_TRY(find_captured(c, &b[i]));
    for (int i = 0; i < 2; i++)
        KL_TRY(keep_body(c, &b[i], n, b[i].nout, false));
    memmove(c->operand + 1, c->operand, (size_t)n * sizeof *c->operand);
    c->operand[0] = pred;
    c->n++;
    int64_t attr[] = {b[0].hash[0], b[0].hash[1], b[1].hash[0], b[1].hash[1]};
    kl_lazy *y = make_node(c, KL_OP_cond, b[0].out[0], c->n, attr, 4);
    for (int i = 0; i < b[0].nout; i++)
        b[0].out[i] = result(y, i, b[0].out[i], false, 0);
    return give(c, call, b[0].out, b[0].nout, out);
}

kl_status kl_cond_at(const char *at, kl_tensor *pred, kl_trace_fn yes, kl_trace_fn no,
                     void *user, kl_tensor *const *in, int nin, kl_tensor **out, int nout)
{
    kl_call call = kl_call_begin(at);
    control c = {.name = "kl_cond", .user = user};
    body b[2] = {{.fn = yes, .nin = nin, .nout = nout},
                 {.fn = no, .nin = nin, .nout = nout}};
    kl_status st = check_counts(&c, yes && no && pred && nout > 0, nin, nout);
    kl_lazy *p = st == KL_OK ? kl_arg_tensor(pred) : NULL;
    if (st == KL_OK && !p)
        st = kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
    if (st == KL_OK)
        st = open_control(&c, nin + 1, 2, b);
    if (st == KL_OK)
        st = read_operands(&c, in, nin, "operand");
    if (st == KL_OK)
        st = branch(&c, &call, b, p, out);
    return finish(&c, &call, st, out, nout);
}
