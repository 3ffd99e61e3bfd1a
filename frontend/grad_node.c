/* grad_node.c: a tensor's grad_fn: PyTorch's name of the function that made it, and what
 * that function was given.
 *
 *   kl_tanh(x)          ->  TanhBackward0          a function's own name
 *   kl_linear(x, w, b)  ->  AddmmBackward0         another one, by a row below
 *   kl_sum_to(x, ..)    ->  SumBackward1           and by the result's dimensions
 *
 * PyTorch names the last of its own operations that a function consists of, and numbers
 * the forms that one operation has. */
#include "front.h"

#include <string.h>

/* fn: without kl_ and _at. scalar, vector, matrix, more: the name for a result of 0, 1,
 * 2, or more dimensions; NULL: the one before. */
typedef struct row {
    const char *fn, *scalar, *vector, *matrix, *more;
} row;
static const row rows[] = {
    /* products */
    {"linear", "Addmm0", "UnsafeView0", "Addmm0", "UnsafeView0"},
    {"linear_plain", "Mm0", "Squeeze4", "Mm0", "UnsafeView0"},
    {"matmul", "Dot0", "Mv0", "Mm0", "UnsafeView0"},
    {"outer", "Mul0", NULL, NULL, NULL},
    {"attention", "ScaledDotProductFlashAttentionForCpu0", NULL, NULL, NULL},
    {"linalg_inv", "LinalgInvEx0", NULL, NULL, NULL},
    {"linalg_solve", "LinalgSolveEx0", NULL, NULL, NULL},
    /* losses: a mean of what the operation gives, or that itself */
    {"cross_entropy", "NllLoss0", NULL, NULL, NULL},
    {"bce_loss", "BinaryCrossEntropy0", NULL, NULL, NULL},
    {"bce_with_logits", "BinaryCrossEntropyWithLogits0", NULL, NULL, NULL},
    {"l1_loss", "Mean0", "Abs0", NULL, NULL},
    {"hinge_embedding_loss", "Mean0", NULL, NULL, NULL},
    {"triplet_margin_loss", "Mean0", NULL, NULL, NULL},
    {"cosine_embedding_loss", "Mean0", NULL, NULL, NULL},
    {"margin_ranking_loss", "Mean0", NULL, NULL, NULL},
    /* reductions: of all elements, or along dimensions */
    {"sum", "Sum0", "Sum1", NULL, NULL},
    {"mean", "Mean0", "Mean1", NULL, NULL},
    {"prod", "Prod0", "Prod1", NULL, NULL},
    {"amax", "Max1", "Amax0", NULL, NULL},
    {"amin", "Min1", "Amin0", NULL, NULL},
    {"max", "Maximum0", NULL, NULL, NULL},
    {"min", "Minimum0", NULL, NULL, NULL},
    {"norm", "LinalgVectorNorm0", NULL, NULL, NULL},
    {"linalg_norm", "LinalgVectorNorm0", NULL, NULL, NULL},
    {"cosine_similarity", "Sum1", NULL, NULL, NULL},
    /* elementwise */
    {"clamp", "Clamp1", NULL, NULL, NULL},
    {"square", "Pow0", NULL, NULL, NULL},
    {"to", "ToCopy0", NULL, NULL, NULL},
    {"elu_by", "Elu0", NULL, NULL, NULL},
    {"selu", "Elu0", NULL, NULL, NULL},
    {"softplus_by", "Softplus0", NULL, NULL, NULL},
    {"relu6", "Hardtanh0", NULL, NULL, NULL},
    {"prelu", "PreluKernel0", NULL, NULL, NULL},
    {"logsigmoid", "LogSigmoid0", NULL, NULL, NULL},
    {"softsign", "Div0", NULL, NULL, NULL},
    {"dropout", "Mul0", NULL, NULL, NULL},
    {"dropout_by", "Mul0", NULL, NULL, NULL},
    {"normalize", "Div0", NULL, NULL, NULL},
    {"rms_norm", "Mul0", NULL, NULL, NULL},
    /* shapes */
    {"reshape", "View0", NULL, NULL, NULL},
    {"flatten", "View0", NULL, NULL, NULL},
    {"contiguous", "Clone0", NULL, NULL, NULL},
    {"narrow", "Slice0", NULL, NULL, NULL},
    {"pad", "ConstantPadNd0", NULL, NULL, NULL},
    /* layers; pooling as that of images */
    {"batch_norm", "NativeBatchNorm0", NULL, NULL, NULL},
    {"layer_norm", "NativeLayerNorm0", NULL, NULL, NULL},
    {"group_norm", "NativeGroupNorm0", NULL, NULL, NULL},
    {"instance_norm", "View0", NULL, NULL, NULL},
    {"bilinear", "View0", NULL, NULL, NULL},
    {"max_pool_axes", "MaxPool2DWithIndices0", NULL, NULL, NULL},
    {"avg_pool_axes", "AvgPool2D0", NULL, NULL, NULL},
    {"adaptive_avg_pool", "AdaptiveAvgPool2D0", NULL, NULL, NULL},
    {"affine_grid", "AffineGridGenerator0", NULL, NULL, NULL},
    {"im2col", "Im2Col0", NULL, NULL, NULL},
};

static const char *by_rank(const row *r, int rank)
{
    const char *names[] = {r->scalar, r->vector, r->matrix, r->more};
    int i = KL_MIN(rank, 3);
    while (!names[i])
        i--;
    return names[i];
}

static const row *find(const char *s, size_t len)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strlen(rows[i].fn) == len && memcmp(rows[i].fn, s, len) == 0)
            return &rows[i];
    return NULL;
}

/* bce_loss -> BceLoss; returns its length. */
static size_t camel(const char *s, size_t len, char *name, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n < cap; i++) {
        bool first = i == 0 || s[i - 1] == '_';
        if (s[i] != '_')
            name[n++] = first && s[i] >= 'a' && s[i] <= 'z' ? (char)(s[i] - 32) : s[i];
    }
    return n;
}

const char *kl_grad_fn(kl_tensor *t)
{
    static __thread char name[96];
    if (!t || !kl_tracks(t) || (t->leaf && !t->view))
        return NULL;
    const char *s = t->fn ? t->fn : "copy";
    s += strncmp(s, "kl_", 3) == 0 ? 3 : 0;
    size_t len = strlen(s);
    if (len > 8 && strcmp(s + len - 8, "Backward") == 0)
        return s; /* the name of a user's own function */
    len -= len > 3 && strcmp(s + len - 3, "_at") == 0 ? 3 : 0;
    const row *r = find(s, len);
    const char *own = r ? by_rank(r, t->rank) : NULL;
    size_t n = own ? strlen(own) - 1 : 0;
    if (own)
        memcpy(name, own, n);
    else
        n = camel(s, len, name, sizeof name - 16);
    memcpy(name + n, "Backward0", sizeof "Backward0");
    name[n + 8] = own ? own[n] : '0';
    return name;
}

void kl_tensor_named(kl_tensor *t, const char *fn)
{
    kl_lazy *n = kl_storage_node(t->storage);
    t->fn = fn;
    if (t->whole && n->track)
        n->fn = fn;
    kl_lazy_unref(n);
}

/* ---- operands ---- */

/* A walk from a function's result through the nodes that it consists of. */
typedef struct walk {
    kl_lazy *seen[1024];
    int n;
    kl_tensor **out;
    int count, cap;
} walk;

static bool first_time(walk *w, kl_lazy *n)
{
    for (int i = 0; i < w->n; i++)
        if (w->seen[i] == n)
            return false;
    if (w->n == sizeof w->seen / sizeof *w->seen)
        return false;
    w->seen[w->n++] = n;
    return true;
}

/* The end of the walk: another function's result, or a variable, whose leaf it gets. */
static kl_status take(walk *w, kl_lazy *n)
{
    if (w->count == w->cap)
        return KL_OK;
    kl_tensor *t = kl_tensor_wrap(n);
    if (!t || kl_scope_add(t) != KL_OK)
        return KL_ERR_OOM;
    t->fn = n->fn;
    if (!n->fn && n->leaf)
        t->leaf = kl_leaf_ref(n->leaf);
    w->out[w->count++] = t;
    return KL_OK;
}

static kl_status spread(walk *w, kl_lazy *n, int depth)
{
    kl_status st = KL_OK;
    const kl_cut *c = n->leaf ? n->leaf->cut : NULL;
    bool own = c && !c->hook; /* a user's function: its operands are the cut's */
    int count = own ? c->nin : n->nsrc;
    for (int i = 0; i < count && st == KL_OK; i++) {
        kl_lazy *s = own ? c->in[i] : kl_lazy_src(n, i);
        bool end = s->fn || s->leaf;
        if (!s->track || (!first_time(w, s) && !(end && depth == 0)))
            continue;
        if (end)
            st = take(w, s);
        else if (depth < 64)
            st = spread(w, s, depth + 1);
    }
    return st;
}

/* The node of the function that made t; its tensors may be copies of the result. */
static kl_lazy *made(kl_tensor *t)
{
    kl_lazy *n = kl_tensor_read(t);
    while (n && !n->fn && n->op == KL_OP_cast && kl_lazy_src(n, 0)->fn)
        n = kl_lazy_src(n, 0);
    return n;
}

uint64_t kl_grad_id(kl_tensor *t)
{
    if (!t || !kl_tracks(t))
        return 0;
    if (t->leaf && !t->view)
        return (uint64_t)(uintptr_t)t->leaf;
    kl_call c = kl_call_enter(kl_place(), __func__);
    kl_lazy *n = made(t);
    kl_call_done(&c, n ? KL_OK : KL_ERR_ARG);
    return (uint64_t)(uintptr_t)n;
}

int kl_grad_operands(kl_tensor *t, kl_tensor **out, int cap)
{
    if (!t || !kl_tracks(t))
        return 0;
    kl_call c = kl_call_enter(kl_place(), __func__);
    walk w = {.out = out, .cap = cap};
    kl_lazy *n = made(t);
    bool same = n && t->view && n->leaf && !n->leaf->of_node; /* x.view_as(x) */
    kl_status st = same ? take(&w, n) : n ? spread(&w, n, 0) : KL_ERR_ARG;
    if (kl_call_done(&c, st) != KL_OK)
        return -1;
    return w.count;
}
