/* ctc.c: connectionist temporal classification (Graves and others, 2006): minus the
 * log-probability that a sequence of outputs spells a target, blanks and repetitions
 * removed.
 *
 *   over the target with blanks around each label, from step to step:
 *   a[l] = log(e^a[l] + e^a[l-1] + e^a[l-2]) + log p[l];  l-2 where label l is no blank
 * and unlike label l-2 */
#include "handles.h"

static kl_tensor *range(const char *at, int64_t n)
{
    return kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
}

typedef struct ctc {
    const char *at;
    int64_t steps, batch, most; /* most: labels of the longest target */
    int64_t blank;
    kl_tensor *skip; /* [N, L]: what is two places before may be the predecessor */
    kl_tensor *low;  /* [N, 1]: -inf */
} ctc;

/* ---- targets ---- */

/* Targets one after the other as rows [N, most]. */
static kl_tensor *as_rows(const ctc *c, kl_tensor *targets, kl_tensor *lengths)
{
    if (kl_rank(targets) == 2)
        return kl_narrow_at(c->at, targets, 1, 0, c->most);
    kl_tensor *from = kl_sub_at(c->at, T(kl_cumsum_at(c->at, lengths, 0)), T(lengths));
    kl_tensor *i = kl_add_at(c->at, T(from ? kl_unsqueeze_at(c->at, from, 1) : NULL),
                             T(range(c->at, c->most)));
    i = kl_clamp_at(c->at, T(i), kl_arg_none(NULL),
                    kl_arg_i(KL_MAX(kl_numel(targets) - 1, 0)));
    return i ? kl_take_at(c->at, targets, i) : NULL;
}

/* blank, label, blank, .. label, blank: [N, 2 most + 1] */
static kl_tensor *with_blanks(const ctc *c, kl_tensor *rows)
{
    kl_tensor *blank = kl_full_like_at(c->at, rows, kl_arg_i(c->blank));
    kl_tensor *pairs = kl_stack_at(c->at, (kl_tensor *[]){blank, rows}, 2, 2);
    pairs = pairs ? kl_reshape_at(c->at, pairs, kl_shape(c->batch, 2 * c->most)) : NULL;
    kl_tensor *last =
        kl_full_at(c->at, kl_shape(c->batch, 1), kl_arg_i(c->blank), KL_I64);
    return kl_cat_at(c->at, (kl_tensor *[]){pairs, last}, 2, 1);
}

static kl_tensor *may_skip(const ctc *c, kl_tensor *labels)
{
    int64_t n = 2 * c->most + 1;
    kl_tensor *none =
        kl_full_at(c->at, kl_shape(c->batch, KL_MIN(n, 2)), kl_arg_b(false), KL_BOOL);
    if (n <= 2)
        return none;
    kl_tensor *here = kl_narrow_at(c->at, labels, 1, 2, n - 2);
    kl_tensor *unlike =
        kl_ne_at(c->at, T(here), T(kl_narrow_at(c->at, labels, 1, 0, n - 2)));
    kl_tensor *real = kl_ne_at(c->at, T(here), kl_arg_i(c->blank));
    unlike = kl_logical_and_at(c->at, T(unlike), T(real));
    return kl_cat_at(c->at, (kl_tensor *[]){none, unlike}, 2, 1);
}

/* ---- steps ---- */

/* log of a sum of exponentials of which all may be 0. */
static kl_tensor *log_sum(const char *at, kl_tensor *const *x, int n)
{
    kl_tensor *m = x[0], *s = NULL;
    for (int i = 1; i < n; i++)
        m = kl_max_at(at, T(m), T(x[i]));
    m = m ? kl_detach_at(at, m) : NULL;
    kl_tensor *dead = kl_eq_at(at, T(m), kl_arg_d(-INFINITY));
    m = kl_where_at(at, dead, kl_arg_d(0), T(m));
    for (int i = 0; i < n; i++) {
        kl_tensor *e = kl_exp_at(at, T(kl_sub_at(at, T(x[i]), T(m))));
        s = s ? kl_add_at(at, T(s), T(e)) : e;
    }
    s = kl_log_at(at, T(kl_where_at(at, dead, kl_arg_d(1), T(s))));
    return kl_where_at(at, dead, kl_arg_d(-INFINITY), T(kl_add_at(at, T(s), T(m))));
}

static kl_tensor *shifted(const ctc *c, kl_tensor *a)
{
    kl_tensor *rest = kl_narrow_at(c->at, a, 1, 0, kl_extent(a, 1) - 1);
    return kl_cat_at(c->at, (kl_tensor *[]){c->low, rest}, 2, 1);
}

/* in: a [N, L]; log p [N, L], whether the step counts [N, 1] */
static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const ctc *c = user;
    kl_tensor *one = shifted(c, in[0]), *two = one ? shifted(c, one) : NULL;
    two = kl_where_at(c->at, c->skip, T(two), kl_arg_d(-INFINITY));
    kl_tensor *r = log_sum(c->at, (kl_tensor *[]){in[0], one, two}, 3);
    r = kl_add_at(c->at, T(r), T(in[1]));
    out[0] = kl_where_at(c->at, in[2], T(r), T(in[0]));
}

/* The last a [N, L]; log p [T, N, L] */
static kl_tensor *forward(ctc *c, kl_tensor *p, kl_tensor *lengths)
{
    int64_t n = 2 * c->most + 1;
    kl_tensor *first = kl_select_at(c->at, p, 0, 0), *last;
    kl_tensor *begins = kl_lt_at(c->at, T(range(c->at, n)), kl_arg_i(2));
    first = kl_where_at(c->at, begins, T(first), kl_arg_d(-INFINITY));
    if (c->steps == 1)
        return first;
    kl_tensor *t = kl_add_at(c->at, T(range(c->at, c->steps - 1)), kl_arg_i(1));
    t = t ? kl_reshape_at(c->at, t, kl_shape(-1, 1, 1)) : NULL;
    kl_tensor *ends = kl_reshape_at(c->at, lengths, kl_shape(1, -1, 1));
    kl_tensor *xs[2] = {kl_narrow_at(c->at, p, 0, 1, c->steps - 1),
                        kl_lt_at(c->at, T(t), T(ends))};
    if (!first || !xs[0] || !xs[1] ||
        kl_scan_at(c->at, step, c, &first, 1, xs, 2, &last, 1))
        return NULL;
    return last;
}

/* ---- the loss ---- */

/* Each sample's, from its last two places; PyTorch's derivative has e^log p beside the
 * loss's own: what log_softmax below it takes away again. */
static kl_tensor *losses(ctc *c, kl_tensor *logp, kl_tensor *targets, kl_tensor *steps,
                         kl_tensor *lengths)
{
    const char *at = c->at;
    kl_tensor *labels = with_blanks(c, as_rows(c, targets, lengths));
    c->skip = labels ? may_skip(c, labels) : NULL;
    c->low =
        kl_full_at(at, kl_shape(c->batch, 1), kl_arg_d(-INFINITY), kl_dtype_of(logp));
    kl_ints all = kl_shape(c->steps, c->batch, 2 * c->most + 1);
    kl_tensor *index = labels ? kl_expand_at(at, labels, all) : NULL;
    kl_tensor *a = index ? forward(c, kl_gather_at(at, logp, 2, index), steps) : NULL;
    if (!a)
        return NULL;
    kl_tensor *end = kl_unsqueeze_at(at, kl_mul_at(at, T(lengths), kl_arg_i(2)), 1);
    kl_tensor *before = kl_clamp_at(at, T(kl_sub_at(at, T(end), kl_arg_i(1))),
                                    kl_arg_i(0), kl_arg_none(NULL));
    kl_tensor *last[2] = {kl_gather_at(at, a, 1, end), kl_gather_at(at, a, 1, before)};
    last[1] = kl_where_at(at, kl_gt_at(at, T(end), kl_arg_i(0)), T(last[1]),
                          kl_arg_d(-INFINITY));
    kl_tensor *loss = kl_neg_at(at, T(log_sum(at, last, 2)));
    loss = loss ? kl_squeeze_at(at, loss, kl_axes(1)) : NULL;
    kl_tensor *on =
        kl_lt_at(at, T(kl_reshape_at(at, range(at, c->steps), kl_shape(-1, 1, 1))),
                 T(kl_reshape_at(at, steps, kl_shape(1, -1, 1))));
    kl_tensor *p = kl_where_at(at, on, T(kl_exp_at(at, T(logp))), kl_arg_d(0));
    p = p ? kl_sum_at(at, p, kl_axes(0, 2), false) : NULL;
    return p ? kl_add_at(at, T(loss), T(kl_sub_at(at, T(p), T(kl_detach_at(at, p)))))
             : NULL;
}

kl_tensor *kl_ctc_loss_at(const char *at, kl_tensor *logp, kl_tensor *targets,
                          kl_tensor *steps, kl_tensor *lengths, int64_t blank,
                          bool zero_infinity, kl_loss_options o)
{
    kl_call call = kl_compose(at);
    bool single = kl_rank(logp) == 2;
    kl_tensor *p = single ? kl_unsqueeze_at(at, logp, 1) : logp;
    if (kl_rank(p) != 3 || !kl_is_float(kl_dtype_of(p)) || !targets || !steps ||
        !lengths || kl_numel(steps) != kl_extent(p, 1) ||
        kl_numel(lengths) != kl_extent(p, 1) || kl_extent(p, 0) < 1 || blank < 0 ||
        blank >= kl_extent(p, 2)) {
        kl_fail(KL_ERR_ARG,
                "ctc_loss: log_probs [T, N, C], N input and target lengths, and "
                "a blank in label range are needed");
        return kl_composed(&call, NULL, NULL);
    }
    ctc c = {
        .at = at, .steps = kl_extent(p, 0), .batch = kl_extent(p, 1), .blank = blank};
    steps = kl_reshape_at(at, kl_to_at(at, steps, KL_I64), kl_shape(-1));
    lengths = kl_reshape_at(at, kl_to_at(at, lengths, KL_I64), kl_shape(-1));
    targets = kl_to_at(at, targets, KL_I64);
    if (single && kl_rank(targets) == 1)
        targets = kl_unsqueeze_at(at, targets, 0);
    c.most = lengths ? kl_item_int_at(at, kl_amax_at(at, lengths, kl_axes(), false)) : 0;
    kl_tensor *l = kl_failed() ? NULL : losses(&c, p, targets, steps, lengths);
    if (l && zero_infinity)
        l = kl_where_at(at, kl_isinf_at(at, T(l)), kl_arg_d(0), T(l));
    if (l && o.reduction == KL_REDUCE_MEAN) {
        kl_tensor *n = kl_clamp_at(at, T(lengths), kl_arg_i(1), kl_arg_none(NULL));
        l = kl_div_at(at, T(l), T(n ? kl_to_at(at, n, kl_dtype_of(l)) : NULL));
        l = l ? kl_mean_at(at, l, kl_axes(), false) : NULL;
    } else if (l && o.reduction == KL_REDUCE_SUM) {
        l = kl_sum_at(at, l, kl_axes(), false);
    } else if (l && single) {
        l = kl_select_at(at, l, 0, 0);
    }
    return kl_composed(&call, __func__, l);
}
