/* layout.c: the order in which a result's axes lie in memory: an elementwise one's is
 * PyTorch's, that of the operands; any other is asked for.
 *
 *   x.t() * 2, x f32[2,3]          ->  shape (3,2), strides (1,3): as x.t() lies
 *   x.t() + y, y f32[3,2]          ->  as x.t(), which comes first
 *   kl_lay(x, kl_shape(0,2,3,1))   ->  x f32[2,3,4,5], strides (60,1,15,3)
 *
 * The value itself stays row-major; the storage's node is a permutation of it, made only
 * when somebody looks at the memory. */
#include "front.h"

/* A tensor's stride along each axis of the result; 0: it is repeated there. */
static void strides_in(kl_tensor *t, int rank, int64_t *out)
{
    for (int i = 0; i < rank; i++) {
        int k = i - (rank - t->rank);
        out[i] = k < 0 || kl_t_shape(t)[k] == 1 ? 0 : kl_t_stride(t)[k];
    }
}

/* Whether axis a lies inside axis b: 1 yes, -1 no, 0: no operand says. */
static int inside(int n, int64_t (*stride)[KL_MAX_RANK], const int64_t *shape, int a,
                  int b)
{
    for (int i = 0; i < n; i++) {
        int64_t x = stride[i][a], y = stride[i][b];
        if (x == 0 || y == 0)
            continue;
        if (x != y)
            return x < y ? 1 : -1;
        if (shape[b] > shape[a])
            return -1;
    }
    return 0;
}

/* perm: axes from the outermost to the innermost. false: row-major. */
static bool find_order(int n, int64_t (*stride)[KL_MAX_RANK], int rank,
                       const int64_t *shape, int *perm)
{
    bool moved = false;
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    for (int i = rank - 2; i >= 0; i--) /* into those behind it, which are in order */
        for (int at = i, k = i + 1; k < rank; k++) {
            int c = inside(n, stride, shape, perm[at], perm[k]);
            if (c < 0)
                break;
            if (c == 0)
                continue;
            int axis = perm[at];
            perm[at] = perm[k];
            perm[k] = axis;
            at = k;
            moved = true;
        }
    return moved;
}

static void strides_of(int rank, const int64_t *shape, const int *perm, int64_t *stride)
{
    int64_t step = 1;
    for (int i = rank; i-- > 0;) {
        stride[perm[i]] = step;
        step *= KL_MAX(shape[perm[i]], 1);
    }
}

kl_tensor *kl_tensor_wrap_in_order(kl_lazy *n, const int *perm)
{
    int64_t stride[KL_MAX_RANK];
    strides_of(n->rank, kl_lazy_shape(n), perm, stride);
    kl_tensor *whole = kl_tensor_wrap(kl_n_permute(n, perm));
    if (!whole)
        return NULL;
    kl_tensor *t = kl_tensor_view(whole, 0, n->rank, kl_lazy_shape(n), stride, NULL);
    if (t) {
        t->view = t->detached = 0; /* nobody else has the storage */
        t->cache = kl_lazy_ref(n);
        t->base = whole->storage->node;
        t->stamp = whole->storage->stamp;
    }
    kl_tensor_unref(whole);
    return t;
}

/* The order that the operands give a result of that shape; false: row-major. */
static bool order_after(int rank, const int64_t *shape, int n, kl_tensor *const *x,
                        int *perm)
{
    int64_t stride[KL_LAID_MOST][KL_MAX_RANK];
    int m = 0;
    bool plain = true;
    for (int i = 0; i < n; i++)
        plain &= !x[i] || x[i]->whole || x[i]->rank > rank;
    if (plain || kl_thread()->tracing)
        return false;
    for (int i = 0; i < n && m < KL_LAID_MOST; i++)
        if (x[i] && x[i]->rank <= rank)
            strides_in(x[i], rank, stride[m++]);
    return find_order(m, stride, rank, shape, perm);
}

kl_tensor *kl_call_end_laid(kl_call *c, kl_lazy *r, int n, const kl_arg *a)
{
    kl_tensor *x[KL_LAID_MOST];
    int perm[KL_MAX_RANK], m = 0;
    for (int i = 0; r && i < n && m < KL_LAID_MOST; i++)
        if (a[i].kind == KL_ARG_TENSOR)
            x[m++] = a[i].t;
    if (!r || !order_after(r->rank, kl_lazy_shape(r), m, x, perm))
        return kl_call_end(c, r);
    return kl_call_end_in_order(c, r, perm);
}

/* ---- asked for ---- */

static bool is_permutation(int n, const int *perm)
{
    uint64_t seen = 0;
    for (int i = 0; i < n; i++)
        seen |= perm[i] >= 0 && perm[i] < n ? UINT64_C(1) << perm[i] : 0;
    return seen == (UINT64_C(1) << n) - 1;
}

/* t as it is where it lies so, and while a function is traced: its results are dense. */
static kl_tensor *lay(const char *at, kl_tensor *t, const int *perm)
{
    int64_t stride[KL_MAX_RANK];
    strides_of(t->rank, kl_t_shape(t), perm, stride);
    kl_call c = kl_call_enter(at, t->fn ? t->fn : "kl_lay_at");
    if (kl_thread()->tracing ||
        memcmp(stride, kl_t_stride(t), (size_t)t->rank * sizeof *stride) == 0)
        return kl_call_view(&c, kl_tensor_ref(t));
    return kl_call_end_in_order(&c, kl_arg_tensor(t), perm);
}

kl_tensor *kl_lay_at(const char *at, kl_tensor *t, kl_ints order)
{
    char text[200];
    int perm[KL_MAX_RANK];
    kl_call c = kl_call_begin(at);
    if (!t)
        return kl_call_end(&c, kl_arg_tensor(t));
    for (int i = 0; i < order.n && i < KL_MAX_RANK; i++)
        perm[i] = order.v[i] == (int)order.v[i] ? (int)order.v[i] : -1;
    if (order.n != t->rank || !is_permutation(order.n, perm)) {
        kl_fail(KL_ERR_ARG, "lay: %s is not an order of %d axes",
                kl_ints_text(order, text, sizeof text), t->rank);
        return kl_call_end(&c, NULL);
    }
    kl_call_done(&c, KL_OK);
    return lay(at, t, perm);
}

kl_tensor *kl_lay_after_at(const char *at, kl_tensor *t, kl_tensor *const *x, int n)
{
    int perm[KL_MAX_RANK];
    kl_call c = kl_call_begin(at);
    if (!t || !kl_arg_given(x, n, "the list of tensors"))
        return kl_call_end(&c, t ? NULL : kl_arg_tensor(t));
    kl_call_done(&c, KL_OK);
    if (!order_after(t->rank, kl_t_shape(t), n, x, perm))
        for (int i = 0; i < t->rank; i++)
            perm[i] = i;
    return lay(at, t, perm);
}
