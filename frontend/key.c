/* key.c: the linear form of what is to be computed: nodes in post-order, numbered, with
 * nothing in them that differs from step to step. Its bytes are the key of the program
 * cache, compared in full, and all that a compile reads of the lazy graph.
 *
 *   node  :=  op dtype rank nsrc nattr (8 bytes)
 *             shape, attributes (8 each), sources (4 each)
 *   key   :=  node*  output numbers (4 each)
 *             numbers of nodes, of outputs, batch-invariant, device (4 each)
 *
 * A node that is computed, or given at run time, becomes an input of its type. The walk
 * keeps its own stack: depth costs nothing. Everything here runs under the graph lock.
 *
 * What a loop hands on from turn to turn would be computed again from the first turn on
 * whenever a turn asks for something else:
 *
 *   y = f(y); sum(y).item()
 *
 * The second time y0 is computed again, on the way to y1: what the same line makes is
 * kept from then on, y1, y2, ... */
#include "front.h"

enum { SMALL = 16 }; /* elements that cost nothing to keep */
/* Of kl_lazy's past: computed on the way, while a tensor held it, kept as handed on. */
enum { COMPUTED = 1, HELD = 2, CARRIED = 4 };

bool kl_list_add(kl_list *l, kl_lazy *n)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? 2 * l->cap : 256;
        void *p = kl_realloc(l->v, l->cap * sizeof *l->v, cap * sizeof *l->v);
        if (!p)
            return false;
        l->v = p;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return true;
}

bool kl_list_hold(kl_list *l, kl_lazy *n)
{
    if (!kl_list_add(l, n))
        return false;
    kl_lazy_ref(n);
    return true;
}

static void add(kl_linear *l, kl_list *to, kl_lazy *n)
{
    if (!kl_list_add(to, n))
        l->failed = true;
}

static void hold(kl_linear *l, kl_list *to, kl_lazy *n)
{
    if (!kl_list_hold(to, n))
        l->failed = true;
}

static uint8_t *room(kl_linear *l, size_t n)
{
    if (l->nkey + n > l->cap_key) {
        size_t cap = KL_MAX(2 * l->cap_key, l->nkey + n + 4096);
        void *p = kl_realloc(l->key, l->cap_key, cap);
        if (!p) {
            l->failed = true;
            return NULL;
        }
        l->key = p;
        l->cap_key = cap;
    }
    l->nkey += n;
    return l->key + l->nkey - n;
}

static void put_u32(kl_linear *l, uint32_t v)
{
    uint8_t *p = room(l, sizeof v);
    if (p)
        memcpy(p, &v, sizeof v);
}

static void label(kl_linear *l, kl_lazy *n)
{
    if (2 * l->nnodes + 2 > l->cap_labels) {
        uint32_t cap = l->cap_labels ? 2 * l->cap_labels : 512;
        void *p = kl_realloc(l->labels, l->cap_labels * sizeof *l->labels,
                             cap * sizeof *l->labels);
        if (!p) {
            l->failed = true;
            return;
        }
        l->labels = p;
        l->cap_labels = cap;
    }
    l->labels[2 * l->nnodes] = n->place;
    l->labels[2 * l->nnodes + 1] = n->name;
}

static void add_input(kl_linear *l, kl_lazy *n)
{
    uint32_t i = l->inputs.n;
    if (i == l->cap_given) {
        uint32_t cap = i ? 2 * i : 64;
        void *p = kl_realloc(l->given, i * sizeof *l->given, cap * sizeof *l->given);
        if (!p) {
            l->failed = true;
            return;
        }
        l->given = p;
        l->cap_given = cap;
    }
    add(l, &l->inputs, n);
    if (l->inputs.n > i) {
        kl_lazy_ref(n);
        l->given[i].base = kl_lazy_ref(kl_lazy_base(n, &l->given[i].at));
    }
}

static void emit_leaf(kl_linear *l, kl_lazy *n)
{
    kl_lazy head = {.op = KL_OP_input, .dtype = n->dtype, .rank = n->rank};
    uint8_t *p = room(l, 8 + 8 * (size_t)n->rank);
    if (!p)
        return;
    memcpy(p, &head.op, 8);
    memcpy(p + 8, n->words, 8 * (size_t)n->rank);
    add_input(l, n);
}

static void emit_node(kl_linear *l, kl_lazy *n)
{
    size_t words = (size_t)n->rank + n->nattr;
    uint8_t *p = room(l, 8 + 8 * words + 4 * (size_t)n->nsrc);
    if (!p)
        return;
    memcpy(p, &n->op, 8);
    memcpy(p + 8, n->words, 8 * words);
    if (KL_PLANTED(key_attr))
        memset(p + 8 + 8 * (size_t)n->rank, 0, 8 * (size_t)n->nattr);
    if (n->op == KL_OP_detach) { /* each is its own */
        int64_t number = l->nnodes;
        memcpy(p + 8 + 8 * n->rank, &number, 8);
    }
    p += 8 + 8 * words;
    for (int i = 0; i < n->nsrc; i++, p += 4)
        memcpy(p, &kl_lazy_src(n, i)->index, 4);
    l->grads |= n->op == KL_OP_grad;
}

static void add_output(kl_linear *l, kl_lazy *n, uint32_t mark)
{
    if (n->out == mark)
        return;
    n->out = mark;
    hold(l, &l->outputs, n);
}

/* Worth keeping although nobody asked: held by somebody, and tiny or computed before. */
static bool worth(kl_lazy *n)
{
    kl_kind k = kl_ops[n->op].kind;
    if (!__atomic_load_n(&n->stored, __ATOMIC_RELAXED) || n->mem || k == KL_KIND_LEAF)
        return false;
    return (n->before & HELD && k != KL_KIND_MOVE) || kl_lazy_numel(n) <= SMALL;
}

/* n reads for the first time what an earlier force computed on the way and that has to be
 * computed again, or what was kept for that reason: it is handed on. */
static void note_carried(kl_linear *l, kl_lazy *n)
{
    for (int i = 0; i < n->nsrc && !n->before; i++) {
        kl_lazy *s = kl_lazy_src(n, i);
        bool carried = s->before & (s->mem ? CARRIED : COMPUTED);
        for (int k = 0; k < l->ncarried && carried; k++)
            carried = s->op != l->carried[k].op || s->place != l->carried[k].place;
        if (carried && l->ncarried < (int)KL_COUNT(l->carried))
            l->carried[l->ncarried++] = (kl_carried){s->op, s->place};
    }
}

static bool is_carried(const kl_linear *l, const kl_lazy *n)
{
    for (int k = 0; k < l->ncarried; k++)
        if (n->op == l->carried[k].op && n->place == l->carried[k].place)
            return true;
    return false;
}

/* Of several that a line makes in one turn, those on which something outside the program
 * rests are handed on. */
static void add_handed(kl_linear *l, uint32_t mark)
{
    for (uint32_t i = 0; i < l->handed.n; i++) {
        kl_lazy *n = l->handed.v[i];
        if ((uint32_t)__atomic_load_n(&n->refs, __ATOMIC_RELAXED) <= n->uses)
            continue;
        n->past |= l->looking ? 0 : CARRIED;
        add_output(l, n, mark);
    }
}

static void consider(kl_linear *l, kl_lazy *n, uint32_t mark)
{
    if (kl_ops[n->op].flags & KL_F_MULTI)
        return;
    note_carried(l, n);
    if (worth(n))
        add_output(l, n, mark);
    if (is_carried(l, n))
        add(l, &l->handed, n);
    if (!l->looking)
        n->past |=
            __atomic_load_n(&n->stored, __ATOMIC_RELAXED) ? COMPUTED | HELD : COMPUTED;
}

/* ---- the walk
 *
 * A computed value is given: the walk stops at it. But where a gradient is taken through
 * it, what it was computed from counts: such nodes are `needed`, and one that was
 * numbered before with a given value below it (`cut`) is numbered again. */

#define OPEN UINT32_MAX /* index of a node whose sources are on the stack */
#define UNSEEN (UINT32_MAX - 1)

/* extra: a value that lies in another's memory as it is counts as given too, so that no
 * program rests on where. */
static bool is_leaf(kl_lazy *n, bool extra, uint32_t mark)
{
    size_t at;
    if (n->op == KL_OP_input)
        return true;
    if (n->needed && n->nsrc > 0 && n->op != KL_OP_detach) /* no gradient passes that */
        return false;
    return n->mem || (extra && !n->track && n->out != mark && kl_lazy_base(n, &at));
}

static bool is_cut(kl_lazy *n, bool leaf)
{
    bool cut = leaf && n->track && n->nsrc > 0 && n->op != KL_OP_detach;
    for (int i = 0; i < n->nsrc && !leaf && n->op != KL_OP_detach; i++)
        cut |= kl_lazy_src(n, i)->track && kl_lazy_src(n, i)->cut;
    return cut;
}

static void emit(kl_linear *l, kl_lazy *n, bool leaf, bool extra, uint32_t mark)
{
    label(l, n);
    if (leaf)
        emit_leaf(l, n);
    else
        emit_node(l, n);
    if (extra && !leaf)
        consider(l, n, mark);
    n->cut = n->track && is_cut(n, leaf);
    n->index = l->nnodes++;
}

static void meet(kl_lazy *n, uint32_t mark)
{
    n->mark = mark;
    n->needed = 0;
    n->index = UNSEEN;
    n->uses = 0;
    n->before = n->past;
}

/* s has to be numbered before who reads it. through: a gradient goes on to it. */
static void visit(kl_linear *l, kl_lazy *s, bool through, uint32_t mark)
{
    bool seen = s->mark == mark;
    if (!seen)
        meet(s, mark);
    s->uses++;
    if (through && s->track && !(seen && (s->needed || (s->index < UNSEEN && !s->cut)))) {
        s->needed = 1;
        s->index = UNSEEN;
    }
    if (!seen || s->index == UNSEEN)
        add(l, &l->stack, s);
}

static void walk(kl_linear *l, kl_lazy *root, bool extra, uint32_t mark)
{
    kl_list *s = &l->stack;
    visit(l, root, false, mark);
    while (s->n > 0 && !l->failed) {
        kl_lazy *n = s->v[s->n - 1];
        bool leaf = is_leaf(n, extra, mark);
        if (n->index == UNSEEN && !leaf && n->nsrc > 0) {
            bool through = n->op == KL_OP_grad || (n->needed && n->op != KL_OP_detach);
            n->index = OPEN;
            for (int i = n->nsrc; i-- > 0;)
                visit(l, kl_lazy_src(n, i), through, mark);
            continue;
        }
        if (n->index >= UNSEEN)
            emit(l, n, leaf, extra, mark);
        s->n--;
    }
}

kl_status kl_linearise(kl_linear *l, kl_lazy *const *roots, int n, bool extra)
{
    uint32_t mark = kl_next_mark();
    for (uint32_t i = 0; i < l->first.n; i++)
        walk(l, l->first.v[i], false, mark);
    for (int i = 0; i < n; i++) {
        if (roots[i]->device != KL_FREE)
            l->device = roots[i]->device;
        add_output(l, roots[i], mark);
    }
    for (int i = 0; i < n; i++)
        walk(l, roots[i], extra, mark);
    add_handed(l, mark);
    for (uint32_t i = 0; i < l->outputs.n; i++)
        put_u32(l, l->outputs.v[i]->index);
    put_u32(l, l->nnodes);
    put_u32(l, l->outputs.n);
    put_u32(l, kl_env_get()->batch_invariant);
    put_u32(l, (uint32_t)l->device);
    return l->failed
               ? kl_fail(KL_ERR_OOM, "out of memory for a program of %u nodes", l->nnodes)
               : KL_OK;
}

kl_status kl_linearise_body(kl_linear *l, const kl_list *leaves, const kl_list *roots)
{
    uint32_t mark = kl_next_mark();
    for (uint32_t i = 0; i < leaves->n; i++) {
        kl_lazy *n = leaves->v[i];
        label(l, n);
        emit_leaf(l, n);
        n->mark = mark;
        n->index = l->nnodes++;
    }
    for (uint32_t i = 0; i < roots->n; i++)
        walk(l, roots->v[i], false, mark);
    for (uint32_t i = 0; i < roots->n; i++)
        put_u32(l, roots->v[i]->index);
    put_u32(l, l->nnodes);
    put_u32(l, roots->n);
    KL_ASSERT(l->failed || l->inputs.n == leaves->n);
    return l->failed
               ? kl_fail(KL_ERR_OOM, "out of memory for a body of %u nodes", l->nnodes)
               : KL_OK;
}

void kl_linear_reset(kl_linear *l)
{
    for (uint32_t i = 0; i < l->inputs.n; i++) {
        kl_lazy_unref(l->inputs.v[i]);
        kl_lazy_unref(l->given[i].base);
    }
    for (uint32_t i = 0; i < l->outputs.n; i++)
        kl_lazy_unref(l->outputs.v[i]);
    l->inputs.n = l->outputs.n = l->stack.n = l->handed.n = l->nnodes = 0;
    l->nkey = 0;
    l->ncarried = 0;
    l->device = 0;
    l->failed = l->grads = false;
}

void kl_linear_free(kl_linear *l)
{
    kl_linear_reset(l);
    kl_list *lists[] = {&l->inputs, &l->outputs, &l->stack, &l->first, &l->handed};
    for (size_t i = 0; i < KL_COUNT(lists); i++)
        kl_free(lists[i]->v, lists[i]->cap * sizeof *lists[i]->v);
    kl_free(l->given, l->cap_given * sizeof *l->given);
    kl_free(l->key, l->cap_key);
    kl_free(l->labels, l->cap_labels * sizeof *l->labels);
    memset(l, 0, sizeof *l);
}
