/* graph_interp.c: the oracle. Runs a graph node by node on dense host buffers, by the
 * definitions alone: no pass, no schedule, no threads. Every optimised result is compared
 * with this one, to the bit. What rows mean is in eval.c (elements), interp_move.c,
 * interp_index.c, interp_sum.c and interp_contract.c; here are the walk, control, calls
 * and the table.
 *
 * Only what an output needs is computed, and calls with effects; a value is released
 * after its last use. The walk is a loop over nodes; only a body within a body costs
 * stack. */
#include "ir/interp.h"

typedef struct cell { /* the results of one node; v is NULL before and after its life */
    kl_buffer *v;
    uint32_t n;
} cell;

typedef struct run {
    kl_interp in;
    const kl_buffer *inputs;
    cell *cells;
    kl_interp_watch watch; /* NULL: nobody */
    void *user;
    uint32_t *last; /* the last node that reads this one; KL_NONE: an output; 0: dead */
} run;

static kl_status run_graph(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                           kl_buffer *out);

/* ---- buffers ---- */

kl_status kl_dense_new(kl_dtype dt, int rank, const int64_t *shape, kl_buffer *out)
{
    kl_buffer b = {.dtype = dt, .rank = rank};
    int64_t count;
    for (int i = 0; i < rank; i++)
        b.shape[i] = shape[i];
    KL_TRY(kl_shape_count(rank, b.shape, dt, &count));
    kl_buffer_dense_strides(&b);
    b.mem = kl_memory_new(0, (size_t)count * kl_dtypes[dt].size);
    *out = b;
    return b.mem ? KL_OK : kl_error_status();
}

kl_span kl_span_of(int rank, const int64_t *shape, int first, int last)
{
    kl_span s = {1, 1, 1};
    for (int i = 0; i < rank; i++)
        *(i < first ? &s.outer : i <= last ? &s.n : &s.inner) *= shape[i];
    return s;
}

static void release(kl_buffer *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        kl_memory_unref(v[i].mem);
    memset(v, 0, n * sizeof *v);
}

static kl_buffer share(const kl_buffer *b)
{
    kl_memory_ref(b->mem);
    return *b;
}

static kl_status dense_copy(const kl_buffer *b, kl_buffer *out)
{
    KL_TRY(kl_dense_new(b->dtype, b->rank, b->shape, out));
    size_t size = kl_dense_size(b);
    kl_copy_strided(b->rank, b->shape, size, kl_dense(out), out->stride, kl_dense(b),
                    b->stride);
    return KL_OK;
}

/* The dtype and shape that node r of g has, as numbers. */
static kl_status new_like(const kl_graph *g, kl_ref r, const int64_t *syms,
                          kl_buffer *out)
{
    int64_t shape[KL_MAX_RANK];
    const kl_node *n = kl_graph_at(g, r);
    for (int i = 0; i < n->rank; i++)
        shape[i] = kl_dim_eval(g->dims, kl_graph_shape(g, r)[i], syms);
    return kl_dense_new((kl_dtype)n->dtype, n->rank, shape, out);
}

/* ---- elements ---- */

static kl_status elementwise(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    const void *p[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < w->node->nsrc; i++)
        p[i] = kl_dense(w->src[i]);
    kl_dtype dt = w->node->op == KL_OP_where ? w->src[1]->dtype : a->dtype;
    kl_eval_n((kl_op)w->node->op, dt, kl_dense_count(w->y), kl_dense(w->y), p[0], p[1],
              p[2]);
    return KL_OK;
}

static kl_status cast(const kl_row *w)
{
    kl_eval_cast_n(w->y->dtype, w->src[0]->dtype, kl_dense_count(w->y), kl_dense(w->y),
                   kl_dense(w->src[0]));
    return KL_OK;
}

static kl_status bitcast(const kl_row *w)
{
    size_t bytes = (size_t)kl_dense_count(w->y) * kl_dense_size(w->y);
    memcpy(kl_dense(w->y), kl_dense(w->src[0]), bytes);
    return KL_OK;
}

/* complex, real, imag: copies of one part at a time. */
static void copy_part(int64_t n, size_t size, char *y, size_t ystep, const char *a,
                      size_t astep)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(y + (size_t)i * ystep, a + (size_t)i * astep, size);
}

static kl_status join_parts(const kl_row *w)
{
    int64_t n = kl_dense_count(w->y);
    size_t part = kl_dense_size(w->src[0]);
    copy_part(n, part, kl_dense(w->y), 2 * part, kl_dense(w->src[0]), part);
    copy_part(n, part, kl_dense(w->y) + part, 2 * part, kl_dense(w->src[1]), part);
    return KL_OK;
}

static kl_status take_part(const kl_row *w)
{
    size_t part = kl_dense_size(w->y);
    const char *a = kl_dense(w->src[0]) + (w->node->op == KL_OP_imag ? part : 0);
    copy_part(kl_dense_count(w->y), part, kl_dense(w->y), part, a, 2 * part);
    return KL_OK;
}

/* ---- rows whose result is a source seen otherwise ---- */

static kl_status input(run *u, const kl_row *w, cell *c)
{
    const kl_buffer *b = &u->inputs[w->attr[0]];
    int64_t index = w->attr[0];
    if (b->dtype != w->node->dtype)
        return kl_fail(KL_ERR_DTYPE, "input %lld: %s, not %s", (long long)index,
                       kl_dtypes[b->dtype].name, kl_dtypes[w->node->dtype].name);
    bool fits = b->rank == w->node->rank;
    for (int i = 0; fits && i < b->rank; i++)
        fits = b->shape[i] == kl_row_dim(w, kl_graph_shape(u->in.g, w->r)[i]);
    if (!fits)
        return kl_fail(KL_ERR_SHAPE, "input %lld: not the shape of the graph's",
                       (long long)index);
    if (!kl_buffer_is_dense(b))
        return dense_copy(b, c->v);
    *c->v = share(b);
    return KL_OK;
}

static kl_status reshape(run *u, const kl_row *w, cell *c)
{
    kl_buffer y = share(w->src[0]);
    y.rank = w->node->rank;
    for (int i = 0; i < y.rank; i++)
        y.shape[i] = kl_row_dim(w, kl_graph_shape(u->in.g, w->r)[i]);
    int64_t offset = y.offset;
    kl_buffer_dense_strides(&y);
    y.offset = offset;
    *c->v = y;
    return KL_OK;
}

static kl_status pick(run *u, const kl_row *w, cell *c)
{
    kl_ref of = kl_graph_src(u->in.g, w->r, 0);
    *c->v = share(&u->cells[of].v[w->attr[0]]);
    return KL_OK;
}

/* ---- control: bodies are graphs of their own ---- */

static const kl_graph *body(const run *u, const kl_row *w, int attr)
{
    return u->in.g->bodies[w->attr[attr]];
}

/* Sources as an array of buffers, borrowed; the caller frees it with its n. */
static kl_status sources(const kl_row *w, uint32_t from, kl_buffer **out)
{
    uint32_t n = w->node->nsrc - from;
    kl_buffer *v = kl_alloc((n + 1) * sizeof *v);
    if (!v)
        return kl_fail(KL_ERR_OOM, "%s: %u operands", kl_ops[w->node->op].name, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = *w->src[from + i];
    *out = v;
    return KL_OK;
}

static kl_status run_body(run *u, const kl_row *w, int attr, uint32_t from, cell *c)
{
    kl_buffer *args;
    KL_TRY(sources(w, from, &args));
    kl_status st = run_graph(body(u, w, attr), args, u->in.syms, c->v);
    kl_free(args, (w->node->nsrc - from + 1) * sizeof *args);
    return st;
}

static kl_status function(run *u, const kl_row *w, cell *c)
{
    return run_body(u, w, 0, 0, c);
}

static kl_status cond(run *u, const kl_row *w, cell *c)
{
    bool then = *kl_dense(w->src[0]) != 0;
    return run_body(u, w, then ? 0 : 1, 1, c);
}

/* The carries in c->v become the body's results, while the condition holds. */
static kl_status while_loop(run *u, const kl_row *w, cell *c)
{
    size_t bytes = (c->n + 1) * sizeof(kl_buffer);
    kl_buffer *next = kl_alloc(bytes), test;
    if (!next)
        return kl_fail(KL_ERR_OOM, "while: %u carries", c->n);
    for (uint32_t i = 0; i < c->n; i++)
        c->v[i] = share(w->src[i]);
    kl_status st;
    while ((st = run_graph(body(u, w, 0), c->v, u->in.syms, &test)) == KL_OK) {
        bool again = *kl_dense(&test) != 0;
        release(&test, 1);
        if (!again)
            break;
        st = run_graph(body(u, w, 1), c->v, u->in.syms, next);
        if (st != KL_OK)
            break;
        release(c->v, c->n);
        memcpy(c->v, next, c->n * sizeof *next);
    }
    kl_free(next, bytes);
    return st;
}

/* Element i of the scanned results: body outputs carries.. into row i of c->v. */
static void store_rows(const cell *c, uint32_t carries, int64_t i, const kl_buffer *from)
{
    for (uint32_t k = carries; k < c->n; k++) {
        size_t row = (size_t)kl_dense_count(&from[k]) * kl_dense_size(&from[k]);
        memcpy(kl_dense(&c->v[k]) + (size_t)i * row, kl_dense(&from[k]), row);
    }
}

static kl_status scan_step(run *u, const kl_row *w, int64_t i, cell *c, kl_buffer *args,
                           kl_buffer *out)
{
    uint32_t carries = (uint32_t)w->attr[0];
    for (uint32_t k = 0; k < w->node->nsrc; k++) {
        if (k < carries) {
            args[k] = c->v[k];
            continue;
        }
        kl_buffer x = *w->src[k];
        int64_t offset = x.offset;
        x.rank--;
        memmove(x.shape, x.shape + 1, (size_t)x.rank * sizeof *x.shape);
        kl_buffer_dense_strides(&x);
        x.offset = offset + i * kl_dense_count(&x) * (int64_t)kl_dense_size(&x);
        args[k] = x;
    }
    KL_TRY(run_graph(body(u, w, 1), args, u->in.syms, out));
    store_rows(c, carries, i, out);
    for (uint32_t k = 0; k < c->n; k++) {
        kl_buffer *drop = k < carries ? &c->v[k] : &out[k];
        release(drop, 1);
        if (k < carries)
            c->v[k] = out[k];
    }
    return KL_OK;
}

/* Carries from the sources; one buffer [steps, ...] for each scanned result. */
static kl_status scan_start(run *u, const kl_row *w, int64_t steps, cell *c)
{
    const kl_graph *b = body(u, w, 1);
    for (uint32_t k = 0; k < c->n; k++) {
        if (k < (uint32_t)w->attr[0]) {
            c->v[k] = share(w->src[k]);
            continue;
        }
        const kl_node *n = kl_graph_at(b, b->outputs[k]);
        int64_t shape[KL_MAX_RANK] = {steps};
        for (int i = 0; i < n->rank; i++)
            shape[i + 1] =
                kl_dim_eval(b->dims, kl_graph_shape(b, b->outputs[k])[i], u->in.syms);
        KL_TRY(kl_dense_new((kl_dtype)n->dtype, n->rank + 1, shape, &c->v[k]));
    }
    return KL_OK;
}

static kl_status scan(run *u, const kl_row *w, cell *c)
{
    uint32_t n = w->node->nsrc, carries = (uint32_t)w->attr[0];
    int64_t steps = carries < n ? w->src[carries]->shape[0] : 0;
    KL_TRY(scan_start(u, w, steps, c));
    size_t bytes = (n + c->n) * sizeof(kl_buffer);
    kl_buffer *args = kl_alloc(bytes);
    if (!args)
        return kl_fail(KL_ERR_OOM, "scan: %u operands", n);
    kl_status st = KL_OK;
    for (int64_t i = 0; i < steps && st == KL_OK; i++)
        st = scan_step(u, w, i, c, args, args + n);
    kl_free(args, bytes);
    return st;
}

/* ---- native functions ---- */

static kl_status call(run *u, const kl_row *w, cell *c)
{
    const char *name = u->in.g->strings[w->attr[0]];
    void *user;
    kl_native_fn fn = kl_native_find(name, &user);
    if (!fn)
        return kl_fail(KL_ERR_ARG, "call: no native function \"%s\" is registered", name);
    const int64_t *type = w->attr + 3; /* dtype rank extents.. */
    for (uint32_t k = 0; k < c->n; k++, type += 2 + type[1]) {
        int64_t shape[KL_MAX_RANK];
        for (int i = 0; i < type[1]; i++)
            shape[i] = kl_row_dim(w, type[2 + i]);
        KL_TRY(kl_dense_new((kl_dtype)type[0], (int)type[1], shape, &c->v[k]));
    }
    kl_buffer *args;
    KL_TRY(sources(w, 0, &args));
    int rc = fn(user, (int)w->node->nsrc, args, (int)c->n, c->v);
    kl_free(args, (w->node->nsrc + 1) * sizeof *args);
    return rc == 0 ? KL_OK : kl_fail(KL_ERR_ARG, "call: \"%s\" returned %d", name, rc);
}

static kl_status unexpanded(run *u, const kl_row *w, cell *c)
{
    (void)u, (void)c;
    return kl_fail(KL_ERR_UNSUPPORTED, "%s: the interpreter runs graphs after autodiff",
                   kl_ops[w->node->op].name);
}

/* ---- the table ---- */

/* Rows that fill one allocated result, and rows that make their results themselves; ELT
 * rows that are in neither are elementwise. */
typedef kl_status (*fill_fn)(const kl_row *w);
static const fill_fn fill[KL_OP_COUNT] = {
    [KL_OP_const] = kl_interp_const,   [KL_OP_iota] = kl_interp_iota,
    [KL_OP_complex] = join_parts,      [KL_OP_real] = take_part,
    [KL_OP_imag] = take_part,          [KL_OP_cast] = cast,
    [KL_OP_bitcast] = bitcast,         [KL_OP_permute] = kl_interp_permute,
    [KL_OP_expand] = kl_interp_expand, [KL_OP_pad] = kl_interp_pad,
    [KL_OP_slice] = kl_interp_slice,   [KL_OP_flip] = kl_interp_flip,
    [KL_OP_concat] = kl_interp_concat, [KL_OP_window] = kl_interp_window,
    [KL_OP_fold] = kl_interp_fold,     [KL_OP_strided] = kl_interp_strided,
    [KL_OP_update] = kl_interp_update, [KL_OP_reduce] = kl_interp_reduce,
    [KL_OP_argmax] = kl_interp_arg,    [KL_OP_argmin] = kl_interp_arg,
    [KL_OP_prefix] = kl_interp_prefix, [KL_OP_contract] = kl_interp_contract,
    [KL_OP_gather] = kl_interp_gather, [KL_OP_scatter] = kl_interp_scatter,
    [KL_OP_sort] = kl_interp_sort,
};
typedef kl_status (*make_fn)(run *u, const kl_row *w, cell *c);
static const make_fn make[KL_OP_COUNT] = {
    [KL_OP_input] = input,      [KL_OP_reshape] = reshape,   [KL_OP_detach] = reshape,
    [KL_OP_pick] = pick,        [KL_OP_function] = function, [KL_OP_cond] = cond,
    [KL_OP_while] = while_loop, [KL_OP_scan] = scan,         [KL_OP_call] = call,
    [KL_OP_grad] = unexpanded,  [KL_OP_jvp] = unexpanded,
};

/* ---- the walk ---- */

static kl_status compute(run *u, kl_row *w, cell *c)
{
    if (make[w->node->op])
        return make[w->node->op](u, w, c);
    KL_TRY(new_like(u->in.g, w->r, u->in.syms, c->v));
    if (w->node->op == KL_OP_sort)
        KL_TRY(kl_dense_new(KL_I64, c->v->rank, c->v->shape, &c->v[1]));
    w->y = c->v;
    fill_fn fn = fill[w->node->op];
    return fn ? fn(w) : elementwise(w);
}

/* A planted fault: one bit of the first result's last element is turned. */
static kl_status spoil(kl_buffer *v)
{
    kl_buffer y;
    KL_TRY(dense_copy(v, &y));
    release(v, 1);
    *v = y;
    if (kl_dense_count(v) > 0)
        kl_dense(v)[(size_t)(kl_dense_count(v) - 1) * kl_dense_size(v)] ^= 1;
    return KL_OK;
}

static kl_status run_node(run *u, kl_ref r)
{
    const kl_graph *g = u->in.g;
    const kl_node *n = kl_graph_at(g, r);
    cell *c = &u->cells[r];
    kl_row w = {.in = &u->in, .r = r, .node = n, .attr = kl_graph_attr(g, r)};
    c->n = kl_graph_results(g, r);
    size_t vbytes = c->n * sizeof *c->v, sbytes = (n->nsrc + 1) * sizeof(void *);
    const kl_buffer **src = kl_alloc(sbytes);
    c->v = kl_alloc_zeroed(vbytes);
    kl_status st = KL_OK;
    if (!src || !c->v)
        st = kl_fail(KL_ERR_OOM, "%s: %u results", kl_ops[n->op].name, c->n);
    for (uint32_t i = 0; st == KL_OK && i < n->nsrc; i++)
        src[i] = u->cells[kl_graph_src(g, r, i)].v;
    w.src = src;
    if (st == KL_OK)
        st = compute(u, &w, c);
    if (st == KL_OK && KL_PLANTED_AT(interp, n->op))
        st = spoil(c->v);
    if (st == KL_OK && u->watch)
        st = u->watch(u->user, g, r, src, c->v);
    kl_free(src, src ? sbytes : 0);
    return st;
}

static void drop(cell *c)
{
    if (!c->v)
        return;
    release(c->v, c->n);
    kl_free(c->v, c->n * sizeof *c->v);
    c->v = NULL;
}

/* last[r], from the outputs backwards: sources come before their users. */
static void find_last_uses(const kl_graph *g, uint32_t *last)
{
    for (uint32_t i = 0; i < g->noutputs; i++)
        last[g->outputs[i]] = KL_NONE;
    for (kl_ref r = g->count; r-- > 0;) {
        const kl_node *n = kl_graph_at(g, r);
        if (n->op == KL_OP_call && kl_graph_attr(g, r)[2] && last[r] == 0)
            last[r] = r;
        for (uint32_t i = 0; last[r] && i < n->nsrc; i++) {
            uint32_t *s = &last[kl_graph_src(g, r, i)];
            *s = *s ? *s : r; /* users are met in falling order: the first is the last */
        }
    }
}

static kl_status walk(run *u)
{
    const kl_graph *g = u->in.g;
    for (kl_ref r = 0; r < g->count; r++) {
        if (!u->last[r])
            continue;
        KL_TRY(run_node(u, r));
        for (uint32_t i = 0; i < kl_graph_at(g, r)->nsrc; i++) {
            kl_ref s = kl_graph_src(g, r, i);
            if (u->last[s] == r)
                drop(&u->cells[s]);
        }
        if (u->last[r] == r)
            drop(&u->cells[r]);
    }
    return KL_OK;
}

/* Outputs are buffers of their own: one that an input or another output still holds is
 * copied. */
static kl_status own_outputs(uint32_t n, kl_buffer *out)
{
    for (uint32_t i = 0; i < n; i++) {
        bool alone = out[i].mem->refs == 1 && out[i].offset == 0;
        if (alone && !out[i].mem->release)
            continue;
        kl_buffer own;
        KL_TRY(dense_copy(&out[i], &own));
        kl_memory_unref(out[i].mem);
        out[i] = own;
    }
    return KL_OK;
}

static kl_status run_watched(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                             kl_buffer *out, kl_interp_watch watch, void *user)
{
    run u = {.in = {g, syms}, .inputs = in, .watch = watch, .user = user};
    size_t n = (size_t)g->count + 1;
    memset(out, 0, g->noutputs * sizeof *out);
    u.cells = kl_alloc_zeroed(n * sizeof *u.cells);
    u.last = kl_alloc_zeroed(n * sizeof *u.last);
    kl_status st = KL_OK;
    if (!u.cells || !u.last)
        st = kl_fail(KL_ERR_OOM, "interpreting %u nodes", g->count);
    if (st == KL_OK) {
        find_last_uses(g, u.last);
        st = walk(&u);
    }
    for (uint32_t i = 0; st == KL_OK && i < g->noutputs; i++)
        out[i] = share(u.cells[g->outputs[i]].v);
    for (kl_ref r = 0; u.cells && r < g->count; r++)
        drop(&u.cells[r]);
    kl_free(u.cells, n * sizeof *u.cells);
    kl_free(u.last, n * sizeof *u.last);
    return st;
}

static kl_status run_graph(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                           kl_buffer *out)
{
    return run_watched(g, in, syms, out, NULL, NULL);
}

kl_status kl_graph_interp(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                          kl_buffer *out)
{
    return kl_graph_interp_watched(g, in, syms, out, NULL, NULL);
}

kl_status kl_graph_interp_watched(const kl_graph *g, const kl_buffer *in,
                                  const int64_t *syms, kl_buffer *out,
                                  kl_interp_watch watch, void *user)
{
    kl_status st = run_watched(g, in, syms, out, watch, user);
    if (st == KL_OK)
        st = own_outputs(g->noutputs, out);
    if (st != KL_OK)
        release(out, g->noutputs);
    return st;
}
