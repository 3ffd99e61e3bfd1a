/* kernel_text.c: the text of a kernel's algorithm and schedule, printed (GRAMMAR.md).
 *
 *   kernel rows {
 *     in x: f32[64*B]
 *     out y: f32[B]
 *     part {
 *       outer r: B
 *       s0: f32 = reduce.add c: 64 of load x[r*64+c]
 *         store y[r] = s0
 *     }
 *     schedule {
 *       class row
 *     }
 *   }
 *
 * Stages are called s0, s1, .. within their part; an axis is declared where it is walked.
 */
#include "ir/kernel_text.h"
#include "ir/kernel_forms.h"

const char *const kl_stage_names[] = {"map",      "reduce", "argmax",  "argmin",
                                      "contract", "prefix", "scatter", "sort"};
const char *const kl_dec_names[] = {"class",  "split", "bind",  "order", "lanes",
                                    "unroll", "tile",  "grain", "param"};
_Static_assert(KL_COUNT(kl_stage_names) == KL_NSTAGES, "a name a kind of stage");
_Static_assert(KL_COUNT(kl_dec_names) == KL_NDECS, "a name a kind of decision");

static void put(kl_printer *p, const char *s)
{
    kl_text_put(p->out, s);
}

static void put_axes(kl_printer *p, const uint16_t *axes, int n)
{
    for (int i = 0; i < n; i++) {
        put(p, i ? ", " : " ");
        put(p, p->names[axes[i]]);
        put(p, ": ");
        kl_dim_print(p->x->dims, p->k->axes[axes[i]].extent, p->out);
    }
}

bool kl_stage_combines(kl_stage_kind kind)
{
    return kind == KL_STAGE_REDUCE || kind == KL_STAGE_PREFIX || kind == KL_STAGE_SCATTER;
}

/* The axes of a kind that stand without "over" are free ones, or reduced ones. */
bool kl_stage_reduces(kl_stage_kind kind)
{
    return kind == KL_STAGE_REDUCE || kind == KL_STAGE_ARGMAX ||
           kind == KL_STAGE_ARGMIN || kind == KL_STAGE_CONTRACT;
}

static void put_kind(kl_printer *p, const kl_stage *s)
{
    put(p, kl_stage_names[s->kind]);
    if (kl_stage_combines(s->kind)) {
        put(p, ".");
        put(p, s->combine == (kl_op)KL_SET ? "set" : kl_ops[s->combine].name);
    }
    if (s->dot)
        put(p, ".dot");
    if (s->descending)
        put(p, " descending");
    if (s->first)
        put(p, " first "), kl_print_int(p->out, s->first);
    bool both = kl_stage_reduces(s->kind) ? s->nfree > 0 : s->nreduce > 0;
    put_axes(p, s->axes, s->nfree);
    if (both)
        put(p, " over");
    put_axes(p, s->axes + s->nfree, s->nreduce);
}

static void put_value(kl_printer *p, const kl_stage *s)
{
    size_t before = p->out->len;
    kl_print_lets(p, (kl_x[]){s->value, s->rhs}, 2);
    if (p->out->len > before)
        kl_print_line(p);
    else
        put(p, " ");
    put(p, "of ");
    kl_print_expr(p, s->value);
    if (s->rhs != KL_NONE) {
        put(p, " times ");
        kl_print_expr(p, s->rhs);
    }
}

static void put_store(kl_printer *p, const kl_store *s)
{
    kl_print_lets(p, (kl_x[]){s->index, s->value, s->pred}, 3);
    kl_print_line(p);
    put(p, "store ");
    put(p, p->names[p->operand0 + s->operand]);
    put(p, "[");
    kl_print_expr(p, s->index);
    put(p, "] = ");
    kl_print_expr(p, s->value);
    if (s->pred != KL_NONE) {
        put(p, " if ");
        kl_print_expr(p, s->pred);
    }
}

/* Which line of the user's a stage comes from. */
static void put_place(kl_printer *p, const kl_stage *s)
{
    if (!s->place || s->place == p->place)
        return;
    p->place = s->place;
    kl_print_line(p);
    put(p, "# ");
    put(p, s->place);
}

static void put_stage(kl_printer *p, const kl_stage *s, int number)
{
    put_place(p, s);
    kl_print_line(p);
    if (s->value != KL_NONE) {
        put(p, "s");
        kl_print_int(p->out, number);
        put(p, ": ");
        put(p, kl_dtypes[s->dtype].name);
        put(p, " = ");
    }
    put_kind(p, s);
    p->indent++;
    if (s->value != KL_NONE)
        put_value(p, s);
    for (int i = 0; i < s->nstores; i++)
        put_store(p, &s->stores[i]);
    for (int i = 0; i < s->nchecks; i++)
        kl_print_check(p, s->checks[i].kind, s->checks[i].ok, s->checks[i].value,
                       s->checks[i].node);
    p->indent--;
}

static void close_brace(kl_printer *p)
{
    p->indent--;
    kl_print_line(p);
    put(p, "}");
}

static void put_part(kl_printer *p, const kl_part *t)
{
    kl_print_line(p);
    put(p, "part {");
    p->indent++;
    if (t->nouter) {
        kl_print_line(p);
        put(p, "outer");
        put_axes(p, t->outer, t->nouter);
    }
    for (int i = 0; i < t->nstages; i++)
        put_stage(p, &t->stages[i], i);
    close_brace(p);
}

static void put_decision(kl_printer *p, const kl_decision *d)
{
    kl_print_line(p);
    put(p, kl_dec_names[d->kind]);
    if (d->kind == KL_DEC_CLASS || d->kind == KL_DEC_PARAM) {
        put(p, " ");
        kl_print_name(p->out, d->name);
    }
    if (d->axis >= 0 && (uint32_t)d->axis < p->k->naxes) {
        put(p, " ");
        put(p, p->names[d->axis]);
    }
    if (d->kind == KL_DEC_BIND) {
        put(p, " ");
        put(p, kl_bind_names[d->bind]);
    } else if (d->kind != KL_DEC_CLASS && d->kind != KL_DEC_ORDER) {
        put(p, " ");
        kl_print_int(p->out, d->factor);
    }
    if (d->part) {
        put(p, " part ");
        kl_print_int(p->out, d->part);
    }
}

static void put_schedule(kl_printer *p)
{
    if (!p->k->ndecisions)
        return;
    kl_print_line(p);
    put(p, "schedule {");
    p->indent++;
    for (uint32_t i = 0; i < p->k->ndecisions; i++)
        put_decision(p, &p->k->schedule[i]);
    close_brace(p);
}

/* The symbols of axes; all expressions' extents are among what the kernel interned, but
 * only the stages' count. */
static bool mark_syms(const kl_kernel *k, bool *syms)
{
    kl_xlist l = {0};
    uint32_t epoch = 0;
    bool ok = true;
    kl_dim_uses(k->x->dims, k->when, syms);
    for (uint32_t i = 0; i < k->naxes; i++)
        kl_dim_uses(k->x->dims, k->axes[i].extent, syms);
    for (int p = 0; p < k->nparts; p++)
        for (int i = 0; i < k->parts[p].nstages; i++)
            ok = kl_stage_order(k, &k->parts[p].stages[i], &epoch, &l) == KL_OK && ok;
    for (uint32_t i = 0; i < l.count; i++)
        if (k->x->nodes[l.items[i]].op == KL_X_DIM)
            kl_dim_uses(k->x->dims, (kl_dim)k->x->nodes[l.items[i]].imm, syms);
    kl_xlist_free(&l);
    return ok;
}

kl_status kl_stage_order(const kl_kernel *k, const kl_stage *s, uint32_t *epoch,
                         kl_xlist *l)
{
    KL_TRY(kl_x_order_more(k->x, s->value, epoch, l));
    KL_TRY(kl_x_order_more(k->x, s->rhs, epoch, l));
    for (int i = 0; i < s->nstores; i++) {
        KL_TRY(kl_x_order_more(k->x, s->stores[i].index, epoch, l));
        KL_TRY(kl_x_order_more(k->x, s->stores[i].value, epoch, l));
        KL_TRY(kl_x_order_more(k->x, s->stores[i].pred, epoch, l));
    }
    for (int i = 0; i < s->nchecks; i++) {
        KL_TRY(kl_x_order_more(k->x, s->checks[i].ok, epoch, l));
        KL_TRY(kl_x_order_more(k->x, s->checks[i].value, epoch, l));
    }
    return KL_OK;
}

static void put_kernel(kl_printer *p, bool *syms)
{
    put(p, "kernel ");
    kl_print_name(p->out, p->k->name);
    if (p->k->target) {
        put(p, " for ");
        put(p, p->k->target->name);
    }
    put(p, " {");
    p->indent = 1;
    kl_print_operands(p, syms);
    if (p->k->call) {
        kl_print_line(p);
        put(p, p->k->control ? "control \"" : "call \"");
        put(p, p->k->call);
        put(p, "\"");
    }
    if (p->k->when != 1) {
        kl_print_line(p);
        put(p, "when ");
        kl_dim_print(p->x->dims, p->k->when, p->out);
    }
    for (int i = 0; i < p->k->nparts; i++)
        put_part(p, &p->k->parts[i]);
    put_schedule(p);
    put(p, "\n}\n");
}

void kl_kernel_print(const kl_kernel *k, kl_text *out)
{
    kl_printer p;
    size_t nsyms = (size_t)kl_dim_sym_count(k->x->dims) + 1, start = out->len;
    bool *syms = kl_alloc_zeroed(nsyms);
    bool ok = kl_printer_open(&p, k->x, k, false, out) && syms;
    p.failed = !ok || !mark_syms(k, syms);
    if (!p.failed) {
        kl_print_head(k, out);
        put_kernel(&p, syms);
        kl_text_wrap(out, start, '#');
    }
    if (syms)
        kl_free(syms, nsyms);
    kl_printer_close(&p);
}
