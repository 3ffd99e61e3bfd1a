/* einsum.c: sums of products of any number of tensors by labels, as torch.einsum reads
 * them: repeated labels are diagonals, ".." the dimensions that no label names, an absent
 * result the labels that occur once, in order.
 *
 *   "bij,bjk,bk"  ->  contract(contract(a, b, "bij,bjk->bik"), c, "bik,bk->i") */
#include "front.h"

#include <ctype.h>

enum { OPERANDS = 32, LABELS = 128 };

/* The dimensions of "..": labels that no user can write. */
static const char dots[] = "0123456789@#$%&*";

typedef struct sum {
    int n, ellipsis; /* operands; dimensions of "..", the most of all */
    kl_lazy *x[OPERANDS];
    char label[OPERANDS][KL_MAX_RANK + 1], out[2 * KL_MAX_RANK + 1];
    int64_t extent[LABELS];
} sum;

static kl_status bad(const char *equation, const char *why)
{
    return kl_fail(KL_ERR_ARG, "einsum(): %s in \"%s\"", why, equation);
}

/* The labels of one term, up to a comma or the arrow; ".." as dots counted from the end.
 */
static kl_status term(const char *equation, const char **at, int rank, char *to,
                      int *ndots)
{
    const char *p = *at;
    int n = 0, letters = 0, here = -1;
    for (const char *q = p; *q && *q != ',' && *q != '-'; q++)
        letters += isalpha((unsigned char)*q) != 0;
    *ndots = 0;
    for (; *p && *p != ',' && *p != '-'; p++) {
        if (*p == ' ')
            continue;
        if (*p == '.') {
            if (strncmp(p, "...", 3) != 0 || here >= 0)
                return bad(equation, "found '.' that is not part of an ellipsis");
            here = n;
            *ndots = KL_MAX(rank - letters, 0);
            p += 2;
            for (int i = 0; i < *ndots && n < KL_MAX_RANK; i++)
                to[n++] = dots[KL_MAX_RANK - *ndots + i];
            continue;
        }
        if (!isalpha((unsigned char)*p))
            return bad(equation, "subscripts must be in [a-zA-Z]");
        if (n == KL_MAX_RANK)
            return bad(equation, "too many subscripts");
        to[n++] = *p;
    }
    to[n] = 0;
    *at = p;
    if (n != rank)
        return bad(equation, "the number of subscripts does not match the number of "
                             "dimensions of an operand");
    return KL_OK;
}

static kl_status operands(const char *equation, sum *s, const char **rest)
{
    const char *p = equation;
    for (int i = 0; i < s->n; i++) {
        int ndots;
        if (i > 0 && *p++ != ',')
            return bad(equation, "fewer operands in the equation than were given");
        KL_TRY(term(equation, &p, s->x[i]->rank, s->label[i], &ndots));
        s->ellipsis = KL_MAX(s->ellipsis, ndots);
    }
    if (*p == ',')
        return bad(equation, "more operands in the equation than were given");
    *rest = p;
    return KL_OK;
}

static int occurrences(const sum *s, char c)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        for (const char *p = s->label[i]; *p; p++)
            n += *p == c;
    return n;
}

static kl_status result(const char *equation, sum *s, const char *rest)
{
    int n = 0;
    if (*rest == 0) {
        for (int i = 0; i < s->ellipsis; i++)
            s->out[n++] = dots[KL_MAX_RANK - s->ellipsis + i];
        for (int c = 'A'; c <= 'z'; c++)
            if (isalpha(c) && occurrences(s, (char)c) == 1 && n < KL_MAX_RANK)
                s->out[n++] = (char)c;
        return KL_OK;
    }
    for (rest += 2; *rest; rest++) {
        if (*rest == ' ')
            continue;
        if (strncmp(rest, "...", 3) == 0) {
            for (int i = 0; i < s->ellipsis && n < KL_MAX_RANK; i++)
                s->out[n++] = dots[KL_MAX_RANK - s->ellipsis + i];
            rest += 2;
            continue;
        }
        if (n == KL_MAX_RANK || !occurrences(s, *rest) || strchr(s->out, *rest))
            return bad(equation, "an output subscript is repeated or not in any operand");
        s->out[n++] = *rest;
    }
    return KL_OK;
}

/* A label that occurs twice in one operand: its diagonal. */
static kl_lazy *diagonals(kl_lazy *x, char *label)
{
    for (int i = 0; x && label[i]; i++) {
        char *twin = strchr(label + i + 1, label[i]);
        if (!twin)
            continue;
        int j = (int)(twin - label);
        int64_t n = kl_lazy_shape(x)[i], shape[KL_MAX_RANK];
        if (kl_lazy_shape(x)[j] != n) {
            kl_fail(KL_ERR_SHAPE,
                    "einsum(): subscript %c is repeated but the sizes don't "
                    "match, %lld != %lld",
                    label[i], (long long)kl_lazy_shape(x)[j], (long long)n);
            return NULL;
        }
        for (int k = 0; k < x->rank; k++)
            shape[k] = k == i || k == j ? n : 1;
        kl_lazy *on = kl_n_bin(KL_OP_eq, kl_n_iota(KL_I64, x->rank, shape, i),
                               kl_n_iota(KL_I64, x->rank, shape, j));
        x = kl_n_where(on, x, kl_n_const((kl_dtype)x->dtype, 0));
        x = kl_n_reduce(KL_OP_add, x, UINT64_C(1) << j, false);
        memmove(twin, twin + 1, strlen(twin));
        i--;
    }
    return x;
}

/* Extents by label; where one operand has 1 and another more, the 1 goes. */
static kl_status extents(sum *s)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < s->n; i++)
            for (int k = s->x[i]->rank; k-- > 0;) {
                char *l = s->label[i];
                int64_t n = kl_lazy_shape(s->x[i])[k], *e = &s->extent[(int)l[k]];
                if (pass == 0 && n != 1 && *e > 1 && *e != n)
                    return kl_fail(KL_ERR_SHAPE,
                                   "einsum(): subscript %c has size %lld which does not "
                                   "broadcast with previously seen size %lld",
                                   l[k], (long long)n, (long long)*e);
                if (pass == 0)
                    *e = *e == 1 || *e == 0 ? n : *e;
                else if (n == 1 && *e != 1) {
                    s->x[i] = kl_n_reduce(KL_OP_add, s->x[i], UINT64_C(1) << k, false);
                    memmove(l + k, l + k + 1, strlen(l + k));
                }
                if (!s->x[i])
                    return kl_error_status();
            }
    return KL_OK;
}

/* What of a and b is still asked for: by the result, or by operands from `next` on. */
static void left_over(const sum *s, const char *a, const char *b, int next, char *out)
{
    int n = 0;
    for (int half = 0; half < 2; half++)
        for (const char *p = half ? b : a; *p; p++) {
            bool wanted = strchr(s->out, *p) != NULL;
            for (int i = next; i < s->n && !wanted; i++)
                wanted = strchr(s->label[i], *p) != NULL;
            if (wanted && !memchr(out, *p, (size_t)n) && n < KL_MAX_RANK)
                out[n++] = *p;
        }
    out[n] = 0;
}

static kl_lazy *ordered(kl_lazy *x, const char *have, const char *want)
{
    int perm[KL_MAX_RANK], n = 0;
    uint64_t axes = 0;
    char left[KL_MAX_RANK + 1] = "";
    for (int i = 0; have[i]; i++) {
        if (strchr(want, have[i]))
            left[n++] = have[i];
        else
            axes |= UINT64_C(1) << i;
    }
    for (int i = 0; want[i]; i++)
        perm[i] = (int)(strchr(left, want[i]) - left);
    return kl_n_permute(kl_n_reduce(KL_OP_add, x, axes, false), perm);
}

static kl_lazy *contracted(sum *s, kl_dtype acc)
{
    kl_lazy *x = s->x[0];
    char have[KL_MAX_RANK + 1], out[KL_MAX_RANK + 1], text[3 * KL_MAX_RANK + 8];
    memcpy(have, s->label[0], sizeof have);
    for (int i = 1; i < s->n && x; i++) {
        left_over(s, have, s->label[i], i + 1, out);
        snprintf(text, sizeof text, "%s,%s->%s", have, s->label[i], out);
        x = kl_n_contract(x, kl_n_cast(s->x[i], (kl_dtype)x->dtype), text, acc);
        memcpy(have, out, sizeof have);
    }
    return x ? ordered(x, have, s->out) : NULL;
}

kl_tensor *kl_einsum_n_at(const char *at, const char *equation, kl_tensor *const *t,
                          int n)
{
    kl_call c = kl_call_begin(at);
    sum s = {.n = n};
    const char *rest = NULL;
    if (n < 1 || n > OPERANDS) {
        kl_fail(KL_ERR_ARG, "einsum(): must provide 1 to %d operands", OPERANDS);
        return kl_call_end(&c, NULL);
    }
    if (!kl_arg_given(t, n, "the list of tensors") ||
        !kl_arg_given(equation, 1, "the equation"))
        return kl_call_end(&c, NULL);
    for (int i = 0; i < n; i++) {
        s.x[i] = kl_arg_tensor(t[i]);
        if (!s.x[i])
            return kl_call_end(&c, NULL);
        if (s.x[i]->dtype != s.x[0]->dtype) {
            kl_fail(KL_ERR_DTYPE,
                    "einsum(): expected all operands to have the same dtype");
            return kl_call_end(&c, NULL);
        }
    }
    if (operands(equation, &s, &rest) || result(equation, &s, rest))
        return kl_call_end(&c, NULL);
    for (int i = 0; i < n; i++) {
        s.x[i] = diagonals(s.x[i], s.label[i]);
        if (!s.x[i])
            return kl_call_end(&c, NULL);
    }
    if (extents(&s))
        return kl_call_end(&c, NULL);
    kl_dtype dt = (kl_dtype)s.x[0]->dtype,
             acc = kl_n_widen(s.x[0]) == s.x[0] ? dt : KL_F32;
    return kl_call_end(&c, kl_n_cast(contracted(&s, acc), dt));
}
