/* op_control.c: If, Loop and Scan. Where the choice or the number of trips is known,
 * bodies are walked as often as they run; in a function being traced what is not known,
 * and what runs often, becomes one loop or branch of the program (kiln/control.h).
 *
 *   Loop(M, cond, v..): body(i, cond, v..) -> cond, v.., one element of each scan output
 */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

enum { UNROLLED = 8, MOST = 64, LONGEST = 1 << 20 };

static const graph_proto *body_of(kl_onnx_op *n, const char *name)
{
    const attribute_proto *a = kl_onnx_attribute(n, name);
    if (!a || !a->g)
        kl_onnx_fail(n, KL_ERR_PARSE, "attribute %s is no graph", name);
    return a ? a->g : NULL;
}

static kl_onnx_value value(kl_tensor *t)
{
    return (kl_onnx_value){.t = t, .type = t ? kl_onnx_type(kl_dtype_of(t)) : 0, .n = -1};
}

/* A body as a function of tensors, for kiln's control. */
typedef struct body {
    kl_onnx_op *n;
    const graph_proto *g;
    int nin, nout;
    const int *types; /* of the operands */
} body;

/* A body's result as a tensor of known size. */
static kl_tensor *plain(const kl_onnx_op *n, const kl_onnx_value *v)
{
    if (!v->t || v->stacked)
        kl_onnx_fail(n, KL_ERR_STATE, "a result of its body is no tensor");
    else if (v->count)
        kl_onnx_fail(n, KL_ERR_STATE,
                     "a result of its body has a size that elements "
                     "decide");
    return v->t;
}

static void walk(const body *b, const kl_onnx_value *v, kl_tensor **out)
{
    kl_onnx_value *w = kl_onnx_alloc(b->n->run, ((size_t)b->nout + 1) * sizeof *w);
    if (!w || kl_onnx_walk(b->n->run, b->g, b->n->frame, v, b->nin, w, b->nout))
        return;
    for (int i = 0; i < b->nout; i++)
        out[i] = plain(b->n, &w[i]);
}

static void trace(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const body *b = user;
    kl_onnx_value *v = kl_onnx_alloc(b->n->run, ((size_t)b->nin + 1) * sizeof *v);
    for (int i = 0; v && i < b->nin; i++)
        v[i] = value(in[i]);
    if (v)
        walk(b, v, out);
}

/* ---- if ---- */

typedef struct branches {
    body yes, no;
} branches;

static void trace_yes(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)in;
    walk(&((branches *)user)->yes, NULL, out);
}
static void trace_no(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)in;
    walk(&((branches *)user)->no, NULL, out);
}

/* Whether a condition's value is known, and true; the byte may be any. */
static kl_status truth(kl_tensor *cond, bool *on)
{
    uint8_t byte = 0;
    kl_tensor *one = kl_to(kl_reshape(cond, kl_shape()), KL_BOOL);
    kl_status st = kl_peek(one, &byte, 1);
    *on = st == KL_OK && byte != 0;
    return st;
}

OP(If)
{
    const graph_proto *yes = body_of(n, "then_branch"), *no = body_of(n, "else_branch");
    kl_tensor *out[MOST];
    bool choice;
    if (!yes || !no || n->nout > MOST)
        return;
    kl_tensor *pred = kl_reshape(in(n, 0), kl_shape());
    if (!n->run->traced || kl_onnx_known(pred)) {
        if (truth(pred, &choice) == KL_OK)
            kl_onnx_walk(n->run, choice ? yes : no, n->frame, NULL, 0, n->out, n->nout);
        return;
    }
    branches b = {{n, yes, 0, n->nout, NULL}, {n, no, 0, n->nout, NULL}};
    if (kl_cond(pred, trace_yes, trace_no, &b, NULL, 0, out, n->nout) == KL_OK)
        for (int i = 0; i < n->nout; i++)
            give(n, i, out[i]);
}

/* ---- loop ---- */

typedef struct loop {
    kl_onnx_op *n;
    const graph_proto *g;
    int carried, stacked;
    int tensors;      /* among what is carried, the others are lists */
    int64_t most;     /* trips; INT64_MAX: no end */
    kl_tensor *limit; /* the same where it is not known */
    int64_t bound;    /* of either */
} loop;

/* The results of all trips, stacked; of none: an empty tensor as the body declares it. */
static kl_tensor *stack(loop *l, kl_tensor **trips, int64_t count, int which)
{
    if (count > 0)
        return kl_stack(trips, (int)count, 0);
    const Onnx__ValueInfoProto *v = l->g->output[1 + l->carried + which];
    const Onnx__TypeProto__Tensor *t =
        v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
            ? v->type->tensor_type
            : NULL;
    kl_dtype dt = kl_onnx_dtype(t ? t->elem_type : 0);
    if (dt == KL_DTYPE_NONE)
        return kl_onnx_fail(l->n, KL_ERR_UNSUPPORTED,
                            "no trips, and a result of no type"),
               NULL;
    kl_ints s = kl_shape(0);
    for (size_t i = 0; t->shape && i < t->shape->n_dim && i < 12; i++)
        push(&s, t->shape->dim[i]->dim_value > 0 ? t->shape->dim[i]->dim_value : 0);
    return kl_zeros(s, dt);
}

static bool goes_on(kl_tensor *cond)
{
    bool on;
    return cond && truth(cond, &on) == KL_OK && on;
}

/* Trip by trip, while the condition's value says so. */
static void drive(loop *l, bool first)
{
    kl_onnx_op *n = l->n;
    int nin = 2 + l->carried, nout = 1 + l->carried + l->stacked;
    kl_onnx_value *v = kl_onnx_alloc(n->run, (size_t)nin * sizeof *v);
    kl_onnx_value *w = kl_onnx_alloc(n->run, ((size_t)nout + 1) * sizeof *w);
    kl_tensor **trips[MOST] = {0};
    int64_t count = 0, room = 0;
    bool on = first;
    for (int i = 0; v && w && i < l->carried; i++)
        v[2 + i] = n->in[2 + i];
    for (; v && w && on && count < l->most && !kl_failed(); count++) {
        v[0] = value(kl_scalar_tensor(count, KL_I64));
        v[1] = value(kl_scalar_tensor(true, KL_BOOL));
        if (kl_onnx_walk(n->run, l->g, n->frame, v, nin, w, nout))
            return;
        for (int i = 0; i < l->carried; i++)
            v[2 + i] = w[1 + i];
        if (count == room) {
            room = room ? 2 * room : 16;
            for (int k = 0; k < l->stacked; k++) {
                kl_tensor **more = kl_onnx_alloc(n->run, (size_t)room * sizeof *more);
                if (!more)
                    return;
                if (count)
                    memcpy(more, trips[k], (size_t)count * sizeof *more);
                trips[k] = more;
            }
        }
        for (int k = 0; k < l->stacked; k++)
            trips[k][count] = w[1 + l->carried + k].t;
        on = count + 1 < l->most && goes_on(w[0].t);
    }
    for (int i = 0; v && i < l->carried && i < n->nout; i++)
        n->out[i] = v[2 + i];
    for (int k = 0; k < l->stacked && l->carried + k < n->nout && !kl_failed(); k++)
        give(n, l->carried + k, stack(l, trips[k], count, k));
}

/* Whether the body hands its condition on, or gives a true constant. */
static bool never_stops(const loop *l)
{
    const char *name = l->g->n_output ? l->g->output[0]->name : "";
    for (size_t hops = 0; hops < 8; hops++) {
        if (l->g->n_input > 1 && strcmp(l->g->input[1]->name, name) == 0)
            return true;
        const node_proto *from = NULL;
        for (size_t i = 0; i < l->g->n_node && !from; i++)
            if (l->g->node[i]->n_output == 1 &&
                strcmp(l->g->node[i]->output[0], name) == 0)
                from = l->g->node[i];
        if (from && strcmp(from->op_type, "Identity") == 0 && from->n_input == 1) {
            name = from->input[0];
            continue;
        }
        const tensor_proto *t =
            from && strcmp(from->op_type, "Constant") == 0 && from->n_attribute
                ? from->attribute[0]->t
                : NULL;
        const kl_onnx_value *v = t ? kl_onnx_get(&l->n->run->m->tensors, t) : NULL;
        bool on = false;
        return v && kl_numel(v->t) == 1 && kl_dtype_of(v->t) == KL_BOOL &&
               truth(v->t, &on) == KL_OK && on;
    }
    return false;
}

/* ---- a loop of the program ---- */

/* Whether carried value i is a list, which each trip appends one element to. */
static bool listed(const loop *l, int i)
{
    return l->n->in[2 + i].n >= 0 || l->n->in[2 + i].stacked;
}

/* The one element that a trip appended. */
static kl_tensor *appended(const loop *l, const kl_onnx_value *v)
{
    if (v->growing && v->n == 1)
        return plain(l->n, &v->list[0]);
    kl_onnx_fail(l->n, KL_ERR_STATE,
                 "a sequence that a trip does not append one element to");
    return NULL;
}

/* The body on what is carried as tensors (NULL: as the first trip has it). It gives these
 * again, then an element of each list, then of each result that trips give one of. */
static void trip(const loop *l, kl_tensor *i, kl_tensor *on, kl_tensor *const *carry,
                 kl_tensor **y)
{
    int nin = 2 + l->carried, nout = 1 + l->carried + l->stacked, k = 0;
    kl_onnx_value *v = kl_onnx_alloc(l->n->run, (size_t)nin * sizeof *v);
    kl_onnx_value *w = kl_onnx_alloc(l->n->run, ((size_t)nout + 1) * sizeof *w);
    if (!v || !w)
        return;
    v[0] = value(i);
    v[1] = value(on);
    for (int c = 0; c < l->carried; c++)
        if (listed(l, c))
            v[2 + c] = (kl_onnx_value){.n = 0, .list = w, .growing = true};
        else
            v[2 + c] = value(carry ? carry[k++] : l->n->in[2 + c].t);
    if (kl_onnx_walk(l->n->run, l->g, l->n->frame, v, nin, w, nout))
        return;
    y[0] = w[0].t;
    k = 1;
    for (int c = 0; c < l->carried; c++)
        if (!listed(l, c))
            y[k++] = plain(l->n, &w[1 + c]);
    for (int c = 0; c < l->carried; c++)
        if (listed(l, c))
            y[k++] = appended(l, &w[1 + c]);
    for (int c = 0; c < l->stacked; c++)
        y[k++] = plain(l->n, &w[1 + l->carried + c]);
}

/* What is carried as a tensor; how many. */
static int carried_tensors(loop *l, kl_tensor **carry)
{
    int k = 0;
    for (int i = 0; i < l->carried; i++) {
        const kl_onnx_value *v = &l->n->in[2 + i];
        if (v->count)
            kl_onnx_refuse_counted(l->n, 2 + i);
        if (!listed(l, i))
            carry[k++] = v->t;
    }
    return k;
}

/* A list of before with what trips appended, which are count where that is there. */
static kl_onnx_value longer(loop *l, const kl_onnx_value *v, kl_tensor *y,
                            kl_tensor *count)
{
    kl_tensor *two[] = {v->t, y};
    if (v->n > 0) {
        kl_tensor **t = kl_onnx_alloc(l->n->run, (size_t)v->n * sizeof *t);
        for (int i = 0; t && i < v->n; i++)
            t[i] = v->list[i].t;
        two[0] = t ? kl_stack(t, v->n, 0) : NULL;
    }
    kl_onnx_value r = value(two[0] ? kl_cat(two, 2, 0) : y);
    r.count = count && two[0] ? kl_add(count, kl_extent(two[0], 0)) : count;
    r.stacked = true;
    return r;
}

static void give_all(loop *l, kl_tensor *const *out, kl_tensor *count)
{
    kl_onnx_op *n = l->n;
    int k = 0;
    for (int i = 0; i < l->carried; i++)
        if (!listed(l, i))
            give(n, i, out[k++]);
    for (int i = 0; i < l->carried; i++)
        if (listed(l, i) && i < n->nout)
            n->out[i] = longer(l, &n->in[2 + i], out[k++], count);
        else
            k += listed(l, i);
    for (int i = 0; i < l->stacked; i++)
        give_counted(n, l->carried + i, out[k++], count, 0);
}

static void scan_trip(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user; /* in: what is carried, i */
    kl_tensor *y[2 * MOST + 1] = {NULL};
    trip(l, in[l->tensors], kl_scalar_tensor(true, KL_BOOL), in, y);
    for (int k = 0; k < l->carried + l->stacked; k++)
        out[k] = y[1 + k];
}

/* As many trips as said: one scan of the program. */
static void scan(loop *l)
{
    kl_tensor *carry[MOST], *out[2 * MOST], *i = kl_arange(0, l->most, 1, KL_I64);
    l->tensors = carried_tensors(l, carry);
    if (!kl_failed() && kl_scan(scan_trip, l, carry, l->tensors, &i, 1, out,
                                l->carried + l->stacked) == KL_OK)
        give_all(l, out, NULL);
}

static void test(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user; /* in: i, cond, v.. */
    kl_tensor *more = l->limit               ? kl_lt(in[0], l->limit)
                      : l->most == INT64_MAX ? NULL
                                             : kl_lt(in[0], l->most);
    out[0] = more ? kl_logical_and(in[1], more) : kl_clone(in[1]);
}

/* y as element i of a result with room for all. */
static kl_tensor *put(kl_tensor *all, kl_tensor *i, kl_tensor *y)
{
    return kl_index_copy_at(KL_HERE, all, 0, kl_reshape(i, kl_shape(1)),
                            kl_unsqueeze(y, 0));
}

static void turn(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user; /* in: i, cond, what is carried, results so far */
    kl_tensor *y[2 * MOST + 1] = {NULL};
    trip(l, in[0], in[1], in + 2, y);
    out[0] = kl_add(in[0], 1);
    out[1] = y[0] ? kl_reshape(y[0], kl_shape()) : NULL;
    for (int k = 0; k < l->carried + l->stacked; k++)
        out[2 + k] = k < l->tensors ? y[1 + k] : put(in[2 + k], in[0], y[1 + k]);
}

/* Room for a result of each trip; its shape is that of a first one, which is not run. */
static void make_room(loop *l, kl_tensor **carry)
{
    kl_tensor *y[2 * MOST + 1] = {NULL};
    trip(l, kl_scalar_tensor(0, KL_I64), kl_scalar_tensor(true, KL_BOOL), NULL, y);
    for (int k = l->tensors; k < l->carried + l->stacked; k++) {
        kl_ints s = kl_shape(l->bound), each = kl_shape_of(y[1 + k]);
        for (int i = 0; i < each.n; i++)
            push(&s, each.v[i]);
        carry[k] = y[1 + k] ? kl_zeros(s, kl_dtype_of(y[1 + k])) : NULL;
    }
}

/* An end that elements decide: one while of the program. */
static void repeat(loop *l, kl_tensor *cond)
{
    kl_tensor *carry[2 * MOST + 2], *out[2 * MOST + 2];
    int all = l->carried + l->stacked;
    carry[0] = kl_scalar_tensor(0, KL_I64);
    carry[1] = cond ? kl_reshape(cond, kl_shape()) : kl_scalar_tensor(true, KL_BOOL);
    l->tensors = carried_tensors(l, carry + 2);
    if (l->tensors < all)
        make_room(l, carry + 2);
    if (!kl_failed() && kl_while(test, turn, l, carry, 2 + all, out) == KL_OK)
        give_all(l, out + 2, l->tensors < all ? out[0] : NULL);
}

/* Whether a trip gives an element of something. */
static bool makes_results(const loop *l)
{
    bool any = l->stacked > 0;
    for (int i = 0; i < l->carried; i++)
        any |= listed(l, i);
    return any;
}

/* Where a count decides the number of trips. */
static int64_t most_trips(const kl_onnx_op *n)
{
    int64_t v = INT64_MAX;
    kl_tensor *t = n->in[0].most ? kl_to(n->in[0].most, KL_I64) : NULL;
    if (t && kl_numel(t) == 1)
        kl_peek(t, &v, sizeof v);
    return v;
}

OP(Loop)
{
    int64_t count;
    loop l = {.n = n, .g = body_of(n, "body"), .carried = n->nin - 2, .most = INT64_MAX};
    if (!l.g)
        return;
    l.stacked = (int)l.g->n_output - 1 - l.carried;
    if (l.carried < 0 || l.stacked < 0 || l.carried > MOST - 2 || l.stacked > MOST ||
        (int)l.g->n_input != 2 + l.carried) {
        kl_onnx_fail(n, KL_ERR_PARSE, "a body of %d inputs and %d results",
                     (int)l.g->n_input, (int)l.g->n_output);
        return;
    }
    bool traced = n->run->traced, bounded;
    bool counted = !has(n, 0) || !traced || kl_onnx_known(in(n, 0));
    bool known = !has(n, 1) || !traced || kl_onnx_known(in(n, 1));
    const int64_t *most = has(n, 0) && counted ? kl_onnx_ints(n, 0, &count) : NULL;
    l.most = most && count ? *most : INT64_MAX;
    l.limit = counted ? NULL : kl_reshape(kl_to(in(n, 0), KL_I64), kl_shape());
    bool first = !has(n, 1) || (known && goes_on(in(n, 1)));
    if (kl_failed())
        return;
    l.bound = counted ? l.most : most_trips(n);
    bounded = l.bound <= LONGEST;
    bool all = counted && known && l.most < INT64_MAX && never_stops(&l);
    if (traced && all && first && (l.most > UNROLLED || n->run->open))
        scan(&l);
    else if (traced && !all && (!makes_results(&l) || (n->run->padded && bounded)))
        repeat(&l, in(n, 1));
    else if (counted && known)
        drive(&l, first);
    else
        kl_onnx_fail(n, KL_ERR_STATE,
                     "a result a trip, and no most of trips is known before");
}

/* ---- scan ---- */

static int64_t nth(const kl_ints *list, int i, int64_t fallback)
{
    return i < list->n ? list->v[i] : fallback;
}

/* state.., then what is scanned; from opset 9 on without a batch. */
static void scan_all(kl_onnx_op *n, const body *b, int first, kl_tensor **in_,
                     kl_tensor **out)
{
    kl_ints axes, ways, out_axes, out_ways;
    bool batched = n->opset < 9;
    int scanned = (int)kl_onnx_int(n, "num_scan_inputs", 0), states = b->nin - scanned;
    kl_tensor *xs[MOST];
    kl_onnx_list(n, "scan_input_axes", &axes);
    kl_onnx_list(n, batched ? "directions" : "scan_input_directions", &ways);
    kl_onnx_list(n, "scan_output_axes", &out_axes);
    kl_onnx_list(n, "scan_output_directions", &out_ways);
    (void)first;
    for (int i = 0; i < scanned; i++) {
        xs[i] = kl_movedim(in_[states + i], (int)nth(&axes, i, 0), 0);
        xs[i] = nth(&ways, i, 0) ? kl_flip(xs[i], kl_axes(0)) : xs[i];
    }
    if (kl_failed() ||
        kl_scan(trace, (void *)(uintptr_t)b, in_, states, xs, scanned, out, b->nout))
        return;
    for (int i = states; i < b->nout; i++) {
        out[i] = nth(&out_ways, i - states, 0) ? kl_flip(out[i], kl_axes(0)) : out[i];
        int64_t axis = nth(&out_axes, i - states, 0);
        out[i] = axis ? kl_movedim(out[i], 0, (int)axis) : out[i];
    }
}

/* Opset 8: each sequence of the batch by itself. */
static void scan_batch(kl_onnx_op *n, const body *b, kl_tensor **in_, kl_tensor **out)
{
    int64_t N = kl_extent(in_[0], 0);
    if (N < 1 || N > 4096) {
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "a batch of %lld", (long long)N);
        return;
    }
    kl_tensor **all = kl_onnx_alloc(n->run, (size_t)(N * b->nout) * sizeof *all);
    for (int64_t k = 0; all && k < N && !kl_failed(); k++) {
        kl_tensor *one[MOST], *y[MOST];
        for (int i = 0; i < b->nin; i++)
            one[i] = kl_select(in_[i], 0, k);
        scan_all(n, b, 0, one, y);
        for (int i = 0; !kl_failed() && i < b->nout; i++)
            all[i * N + k] = y[i];
    }
    for (int i = 0; all && !kl_failed() && i < b->nout; i++)
        out[i] = kl_stack(all + i * N, (int)N, 0);
}

OP(Scan)
{
    kl_tensor *in_[MOST], *out[MOST];
    int skip = n->opset < 9; /* sequence_lens */
    body b = {.n = n, .g = body_of(n, "body"), .nin = n->nin - skip};
    int64_t scanned = kl_onnx_int(n, "num_scan_inputs", 0);
    b.nout = b.g ? (int)b.g->n_output : 0;
    if (!b.g || b.nin > MOST || b.nout > MOST || scanned < 1 || scanned > b.nin) {
        kl_onnx_fail(n, KL_ERR_PARSE, "%d operands, %d results", b.nin, b.nout);
        return;
    }
    for (int i = 0; i < b.nin; i++)
        if (!(in_[i] = in(n, i + skip))) {
            kl_onnx_fail(n, KL_ERR_PARSE, "operand %d is missing", i + skip);
            return;
        }
    if (skip)
        scan_batch(n, &b, in_, out);
    else
        scan_all(n, &b, 0, in_, out);
    for (int i = 0; !kl_failed() && i < n->nout && i < b.nout; i++)
        give(n, i, out[i]);
}
