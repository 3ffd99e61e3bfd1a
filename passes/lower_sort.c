/* lower_sort.c: a sort on a CPU, an element after the other.
 *
 *   sort i: n of v  ->  items of v in order: an i64 of its key and its place
 *                       runs of 8 by a network, merged from both ends at once
 *                       perm[i] = place of item i; keys[i] = v there
 *   .. first k      ->  the k first so far, in a list; of 32 elements those are looked at
 *                       of which one goes before the list's last
 *
 * A key is an integer that orders as the elements do: -0 as +0, every NaN as the largest,
 * all turned round where the order descends. Keys of 32 bits share a word with their
 * place, so that no two items are alike and a comparison is one of integers; wider ones
 * have a second word. The values come from where they were: their bits are never made. */
#include "passes/passes.h"

enum { RUN = 8, BLOCK = 32, SOME = 64, IN_REGS = 8, CHOSEN = 128, WORDS = 2 };

typedef struct item {
    kl_x word[WORDS]; /* the second: KL_NONE where one is all */
} item;

typedef struct sorter {
    kl_lower *l;
    kl_exprs *x;
    kl_stage *s;
    kl_dim n, room; /* room: n in whole runs */
    int words;
    uint32_t list[2][WORDS]; /* tiles */
    kl_x kept[WORDS];        /* the first so far, where they are registers */
} sorter;

static kl_x i64(sorter *t, int64_t v)
{
    return kl_x_int(t->x, v);
}

static kl_x op2(sorter *t, kl_op op, kl_x a, kl_x b)
{
    return kl_x_op(t->x, op, a, b, KL_NONE);
}

static kl_x reg(kl_build *b, const char *name, kl_dtype dt, kl_x value)
{
    kl_x r = kl_b_reg(b, name, dt, 1, 0, NULL);
    kl_b_set(b, r, value);
    return r;
}

/* ---- items ---- */

static kl_x constant(sorter *t, kl_dtype dt, int64_t v)
{
    return kl_x_cast(t->x, i64(t, v), dt);
}

/* v's bits as an integer that orders alike. */
static kl_x key_of_float(sorter *t, kl_x v, kl_dtype dt)
{
    kl_dtype to = dt == KL_F64 ? KL_I64 : KL_I32;
    kl_x zero = kl_x_cast(t->x, kl_x_const(t->x, KL_F32, kl_identity(KL_OP_add, KL_F32)),
                          dt == KL_F64 ? KL_F64 : KL_F32);
    int64_t most = to == KL_I64 ? INT64_MAX : INT32_MAX;
    v = kl_x_cast(t->x, v, dt == KL_F64 ? KL_F64 : KL_F32);
    zero = op2(t, KL_OP_abs, zero, KL_NONE);
    kl_x bits = kl_x_bitcast(t->x, op2(t, KL_OP_add, v, zero), to);
    kl_x sign = op2(t, KL_OP_shr, bits, constant(t, to, to == KL_I64 ? 63 : 31));
    kl_x flip = op2(t, KL_OP_and, sign, constant(t, to, most));
    return kl_x_op(t->x, KL_OP_where, op2(t, KL_OP_ne, v, v), constant(t, to, most),
                   op2(t, KL_OP_xor, bits, flip));
}

/* The key of element i of this outer point: i32, or i64 where there are two words. */
static kl_x key_at(sorter *t, kl_x i)
{
    t->l->axis[t->s->axes[t->s->nfree - 1]] = i;
    kl_x v = kl_lower_expr(t->l, t->s->value);
    kl_dtype dt = (kl_dtype)t->x->nodes[v].dtype, to = KL_I32;
    if (kl_is_float(dt)) {
        v = key_of_float(t, v, dt);
        to = dt == KL_F64 ? KL_I64 : KL_I32;
    } else {
        bool big = kl_dtypes[dt].size == 8;
        to = big ? KL_I64 : KL_I32;
        v = kl_x_cast(t->x, v, to);
        if (dt == KL_U64 || dt == KL_U32)
            v = op2(t, KL_OP_xor, v, constant(t, to, big ? INT64_MIN : INT32_MIN));
    }
    if (t->s->descending)
        v = op2(t, KL_OP_not, v, KL_NONE);
    return t->words == 2 ? kl_x_cast(t->x, v, KL_I64) : v;
}

static item item_at(sorter *t, kl_x i)
{
    kl_x key = kl_x_cast(t->x, key_at(t, i), KL_I64);
    if (t->words == 2)
        return (item){{key, i}};
    return (item){{op2(t, KL_OP_or, op2(t, KL_OP_shl, key, i64(t, 32)), i), KL_NONE}};
}

static kl_x place_in(sorter *t, item m)
{
    return t->words == 2 ? m.word[1]
                         : op2(t, KL_OP_and, m.word[0], i64(t, (INT64_C(1) << 32) - 1));
}

static item last_of_all(sorter *t)
{
    return (item){{i64(t, INT64_MAX), i64(t, INT64_MAX)}};
}

static item load(sorter *t, kl_build *b, int list, kl_x i)
{
    item m = {{KL_NONE, KL_NONE}};
    for (int w = 0; w < t->words; w++)
        m.word[w] = reg(b, w ? "at" : "item", KL_I64,
                        kl_x_load(t->x, t->list[list][w], KL_I64, i, KL_NONE, KL_NONE));
    return m;
}

static void store(sorter *t, kl_build *b, int list, kl_x i, item m)
{
    for (int w = 0; w < t->words; w++)
        kl_b_store(b, t->list[list][w], i, m.word[w], KL_NONE);
}

static item in_regs(sorter *t, kl_build *b, item m)
{
    for (int w = 0; w < t->words; w++)
        m.word[w] = reg(b, w ? "at" : "item", KL_I64, m.word[w]);
    return m;
}

/* Does a go before b? */
static kl_x before(sorter *t, item a, item b)
{
    kl_x less = kl_x_lt(t->x, a.word[0], b.word[0]);
    if (t->words == 1)
        return less;
    kl_x same = op2(t, KL_OP_eq, a.word[0], b.word[0]);
    kl_x sooner = op2(t, KL_OP_and, same, kl_x_lt(t->x, a.word[1], b.word[1]));
    return op2(t, KL_OP_or, less, sooner);
}

static item choose(sorter *t, kl_x which, item a, item b)
{
    item m = {{KL_NONE, KL_NONE}};
    for (int w = 0; w < t->words; w++)
        m.word[w] = kl_x_op(t->x, KL_OP_where, which, a.word[w], b.word[w]);
    return m;
}

/* Both in registers: the one that goes before, then the other. */
static void put_in_order(sorter *t, kl_build *b, item *first, item *second)
{
    kl_x turned = reg(b, "turned", KL_BOOL, before(t, *second, *first));
    item low = in_regs(t, b, choose(t, turned, *second, *first)),
         high = in_regs(t, b, choose(t, turned, *first, *second));
    *first = low, *second = high;
}

static kl_build count(sorter *t, kl_build *b, const char *name, kl_x extent, kl_dim most,
                      kl_bind bind, kl_x *i)
{
    uint32_t v = kl_x_newvar(t->x, name, most);
    *i = kl_x_var(t->x, v);
    return kl_b_for(b, v, extent, bind, bind == KL_BIND_LANE ? t->l->lanes : 1);
}

/* ---- all of them: runs of 8, then merging ---- */

/* A network of the fewest pairs. */
static void sort_run(sorter *t, kl_build *b, kl_x base)
{
    static const uint8_t net[][2] = {
        {0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6}, {3, 7}, {0, 1}, {2, 3},
        {4, 5}, {6, 7}, {2, 4}, {3, 5}, {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};
    item m[RUN];
    for (int i = 0; i < RUN; i++)
        m[i] = load(t, b, 0, kl_x_add(t->x, base, i64(t, i)));
    for (size_t i = 0; i < KL_COUNT(net); i++)
        put_in_order(t, b, &m[net[i][0]], &m[net[i][1]]);
    for (int i = 0; i < RUN; i++)
        store(t, b, 0, kl_x_add(t->x, base, i64(t, i)), m[i]);
}

static void fill(sorter *t, kl_build *b)
{
    kl_x i, n = kl_x_dim(t->x, t->n);
    kl_build in = count(t, b, "i", n, t->n, KL_BIND_LANE, &i);
    t->l->axis[t->s->axes[t->s->nfree - 1]] = i;
    kl_lower_checks(t->l, &in, t->s);
    store(t, &in, 0, i, item_at(t, i));
    kl_x past = op2(t, KL_OP_sub, kl_x_dim(t->x, kl_dim_add(t->x->dims, t->room, 1)), n);
    in = count(t, b, "past", past, RUN, KL_BIND_SERIAL, &i);
    store(t, &in, 0, kl_x_add(t->x, n, i), last_of_all(t));
    store(t, b, 1, kl_x_dim(t->x, t->room), last_of_all(t));
    kl_x runs = kl_x_dim(t->x, kl_dim_div(t->x->dims, t->room, RUN)), run;
    in = count(t, b, "run", runs, kl_dim_div(t->x->dims, t->room, RUN), KL_BIND_SERIAL,
               &run);
    sort_run(t, &in, kl_x_scale(t->x, run, RUN));
}

/* What one end of a merge stands at: the next of the left run and of the right one. */
typedef struct end {
    kl_x left, right;
} end;

/* One item to `to`: the right run's where it is its turn. Which way both go on: by. */
static void step(sorter *t, kl_build *b, int from, end e, kl_x some, int by, kl_x to)
{
    item l = load(t, b, from, e.left), r = load(t, b, from, e.right);
    kl_x turn = by > 0 ? before(t, r, l) : before(t, l, r);
    kl_x right = reg(b, "right", KL_BOOL, op2(t, KL_OP_and, some, turn));
    store(t, b, !from, to, choose(t, right, r, l));
    kl_op op = by > 0 ? KL_OP_add : KL_OP_sub;
    kl_x moved = kl_x_cast(t->x, right, KL_I64),
         stays = op2(t, KL_OP_xor, moved, i64(t, 1));
    kl_b_set(b, e.left, op2(t, op, e.left, stays));
    kl_b_set(b, e.right, op2(t, op, e.right, moved));
}

/* Runs of 8 << level of list `from`, in pairs, to the other. */
static void merge(sorter *t, kl_build *b, int from, kl_x level)
{
    kl_exprs *x = t->x;
    kl_x p, j, room = kl_x_dim(x, t->room), shift = kl_x_add(x, level, i64(t, 4)),
               wide = op2(t, KL_OP_shl, i64(t, RUN), level);
    kl_x twice = op2(t, KL_OP_shl, i64(t, 2 * RUN), level);
    kl_x pairs =
        op2(t, KL_OP_shr, op2(t, KL_OP_sub, kl_x_add(x, room, twice), i64(t, 1)), shift);
    kl_build in =
        count(t, b, "pair", pairs, kl_dim_div(x->dims, t->room, RUN), KL_BIND_SERIAL, &p);
    kl_x base = reg(&in, "base", KL_I64, op2(t, KL_OP_shl, p, shift));
    kl_x mid = reg(&in, "mid", KL_I64, op2(t, KL_OP_min, kl_x_add(x, base, wide), room));
    kl_x stop =
        reg(&in, "end", KL_I64, op2(t, KL_OP_min, kl_x_add(x, base, twice), room));
    end up = {reg(&in, "i", KL_I64, base), reg(&in, "j", KL_I64, mid)};
    end down = {reg(&in, "k", KL_I64, op2(t, KL_OP_sub, mid, i64(t, 1))),
                reg(&in, "l", KL_I64, op2(t, KL_OP_sub, stop, i64(t, 1)))};
    kl_x half = op2(t, KL_OP_shr, op2(t, KL_OP_sub, stop, base), i64(t, 1));
    in = count(t, &in, "m", half, t->room, KL_BIND_SERIAL, &j);
    kl_x left = kl_x_lt(x, up.right, stop);
    step(t, &in, from, up, left, 1, kl_x_add(x, base, j));
    left = op2(t, KL_OP_le, mid, down.right);
    kl_x to = op2(t, KL_OP_sub, op2(t, KL_OP_sub, stop, i64(t, 1)), j);
    step(t, &in, from, down, left, -1, to);
}

/* Two levels and back; of a size that is not known those that it needs. Where they are
 * then. */
static int merge_all(sorter *t, kl_build *b)
{
    int64_t min, max, levels = 0;
    kl_x v;
    kl_dim_range(t->x->dims, t->room, &min, &max);
    while (max > (int64_t)RUN << levels)
        levels++;
    bool known = min == max;
    int64_t twos = known ? levels / 2 : (levels + 1) / 2;
    kl_build in = count(t, b, "two", i64(t, twos), KL_MAX(twos, 1), KL_BIND_SERIAL, &v);
    kl_x level = kl_x_scale(t->x, v, 2);
    if (!known)
        in = kl_b_if(&in, kl_x_lt(t->x, op2(t, KL_OP_shl, i64(t, RUN), level),
                                  kl_x_dim(t->x, t->room)));
    merge(t, &in, 0, level);
    merge(t, &in, 1, kl_x_add(t->x, level, i64(t, 1)));
    if (known && levels % 2)
        merge(t, b, 0, i64(t, levels - 1));
    return known && levels % 2;
}

/* ---- a few of them: a list of the first so far ---- */

static item kept_at(sorter *t, kl_build *b, kl_x i)
{
    item m = {{KL_NONE, KL_NONE}};
    if (t->kept[0] == KL_NONE)
        return load(t, b, 0, i);
    for (int w = 0; w < t->words; w++)
        m.word[w] =
            reg(b, "item", KL_I64,
                kl_x_reg(t->x, (uint32_t)t->x->nodes[t->kept[w]].imm, KL_I64, &i, 1));
    return m;
}

static void keep(sorter *t, kl_build *b, kl_x i, item m)
{
    if (t->kept[0] == KL_NONE) {
        store(t, b, 0, i, m);
        return;
    }
    for (int w = 0; w < t->words; w++)
        kl_b_set(b, kl_x_reg(t->x, (uint32_t)t->x->nodes[t->kept[w]].imm, KL_I64, &i, 1),
                 m.word[w]);
}

static kl_build each_kept(sorter *t, kl_build *b, kl_x *i)
{
    kl_bind bind = t->kept[0] == KL_NONE ? KL_BIND_SERIAL : KL_BIND_UNROLL;
    return count(t, b, "place", i64(t, t->s->first), t->s->first, bind, i);
}

/* Element i goes to its place in the list, and its last falls off: worst is the new one.
 */
static void take(sorter *t, kl_build *b, kl_x i, item worst)
{
    kl_x p;
    item m = in_regs(t, b, item_at(t, i));
    kl_build in = kl_b_if(b, before(t, m, worst));
    kl_build list = each_kept(t, &in, &p);
    item there = kept_at(t, &list, p), other = {{m.word[0], m.word[1]}};
    put_in_order(t, &list, &other, &there);
    keep(t, &list, p, other);
    for (int w = 0; w < t->words; w++)
        kl_b_set(&list, m.word[w], there.word[w]);
    item last = kept_at(t, &in, i64(t, t->s->first - 1));
    for (int w = 0; w < t->words; w++)
        kl_b_set(&in, worst.word[w], last.word[w]);
}

/* Does one of the block's elements go before the list's last, or is the list not full? */
static kl_x any_before(sorter *t, kl_build *b, kl_x start, kl_x len, item worst)
{
    kl_x i, shift = i64(t, 32);
    kl_x last = t->words == 2
                    ? worst.word[0]
                    : kl_x_cast(t->x, op2(t, KL_OP_shr, worst.word[0], shift), KL_I32);
    last = reg(b, "last", t->words == 2 ? KL_I64 : KL_I32, last);
    kl_x any = kl_b_reg(b, "any", KL_BOOL, t->l->lanes, 0, NULL);
    kl_b_set(b, any, kl_x_lt(t->x, start, i64(t, t->s->first)));
    kl_build in = count(t, b, "i", len, BLOCK, KL_BIND_LANE, &i);
    kl_x goes = kl_x_lt(t->x, key_at(t, kl_x_add(t->x, start, i)), last);
    kl_b_set(&in, any, op2(t, KL_OP_or, any, goes));
    kl_x some = kl_b_reg(b, "some", KL_BOOL, 1, 0, NULL);
    kl_b_fold(b, some, KL_OP_or, any);
    return some;
}

static void choose_first(sorter *t, kl_build *b)
{
    int64_t min, max;
    int32_t first = (int32_t)t->s->first;
    kl_x i, block, n = kl_x_dim(t->x, t->n);
    kl_dim_range(t->x->dims, t->n, &min, &max);
    for (int w = 0; w < t->words && first <= IN_REGS; w++)
        t->kept[w] = kl_b_reg(b, "first", KL_I64, 1, 1, &first);
    for (int w = 0; w < t->words && first > IN_REGS; w++)
        t->list[0][w] = kl_lower_tile(t->l, "first", KL_I64, first, KL_ROLE_TILE);
    kl_build in = each_kept(t, b, &i);
    keep(t, &in, i, last_of_all(t));
    item worst = in_regs(t, b, last_of_all(t));
    if (max <= SOME) {
        in = count(t, b, "j", n, t->n, KL_BIND_SERIAL, &i);
        take(t, &in, i, worst);
        return;
    }
    kl_dim blocks = kl_dim_ceildiv(t->x->dims, t->n, BLOCK);
    in = count(t, b, "block", kl_x_dim(t->x, blocks), blocks, KL_BIND_SERIAL, &block);
    kl_x start = kl_x_scale(t->x, block, BLOCK);
    kl_x len = op2(t, KL_OP_min, op2(t, KL_OP_sub, n, start), i64(t, BLOCK));
    in = kl_b_if(&in, any_before(t, &in, start, len, worst));
    in = count(t, &in, "j", len, BLOCK, KL_BIND_SERIAL, &i);
    take(t, &in, kl_x_add(t->x, start, i), worst);
}

/* Is it less to choose than to sort? Of random elements so many enter the list as it is
 * long, times one and the logarithm of what share it is; each walks it. */
static bool is_few(sorter *t)
{
    int64_t min, max, k = t->s->first, n, doubled = 0, levels = 0;
    kl_dim_range(t->x->dims, t->n, &min, &max);
    n = min == max ? max : KL_MAX(min, 1024);
    for (; k && k << doubled < n; doubled++)
        ;
    for (; (int64_t)1 << levels < n; levels++)
        ;
    return k > 0 && k <= CHOSEN && k * k * (2 + doubled) < 4 * n * KL_MAX(levels, 1);
}

/* ---- where they belong ---- */

static void give(sorter *t, kl_build *b, int list)
{
    kl_x i;
    kl_dim n = t->s->first ? t->s->first : t->n;
    bool regs = t->kept[0] != KL_NONE;
    uint16_t axis = t->s->axes[t->s->nfree - 1];
    kl_build in = regs ? each_kept(t, b, &i)
                       : count(t, b, "i", kl_x_dim(t->x, n), n, KL_BIND_LANE, &i);
    item m = {{KL_NONE, KL_NONE}};
    for (int w = 0; w < t->words && !regs; w++)
        m.word[w] = kl_x_load(t->x, t->list[list][w], KL_I64, i, KL_NONE, KL_NONE);
    if (regs)
        m = kept_at(t, &in, i);
    kl_x from = kl_b_reg(&in, "from", KL_I64, regs ? 1 : t->l->lanes, 0, NULL);
    kl_b_set(&in, from, place_in(t, m));
    t->l->axis[axis] = i;
    kl_x at = kl_lower_expr(t->l, t->s->stores[0].index);
    t->l->axis[axis] = from;
    if (t->l->k->operands[t->s->stores[0].operand].role == KL_ROLE_OUT)
        kl_b_store(&in, t->s->stores[0].operand, at, kl_lower_expr(t->l, t->s->value),
                   KL_NONE);
    if (t->l->k->operands[t->s->stores[1].operand].role == KL_ROLE_OUT)
        kl_b_store(&in, t->s->stores[1].operand, at, from, KL_NONE);
}

kl_status kl_lower_sort_serial(kl_lower *l, kl_build *b, kl_stage *s)
{
    kl_dims *d = l->x->dims;
    int64_t min, max;
    sorter t = {.l = l, .x = l->x, .s = s, .kept = {KL_NONE, KL_NONE}};
    t.n = l->k->axes[s->axes[s->nfree - 1]].extent;
    t.room = kl_dim_mul(d, kl_dim_ceildiv(d, t.n, RUN), RUN);
    kl_dim_range(d, t.n, &min, &max);
    t.words = kl_dtypes[s->dtype].size == 8 || max > INT32_MAX ? 2 : 1;
    if (is_few(&t)) {
        choose_first(&t, b);
        give(&t, b, 0);
        return KL_OK;
    }
    for (int i = 0; i < 2; i++)
        for (int w = 0; w < t.words; w++)
            t.list[i][w] = kl_lower_tile(l, w ? "ats" : "items", KL_I64,
                                         kl_dim_add(d, t.room, 1), KL_ROLE_TILE);
    fill(&t, b);
    give(&t, b, merge_all(&t, b));
    return KL_OK;
}
