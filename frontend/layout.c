/* layout.c: the order in which an elementwise result's axes lie in memory: PyTorch's,
 * that of the operands.
 *
 *   x.t() * 2, x f32[2,3]   ->  shape (3,2), strides (1,3): as x.t() lies
 *   x.t() + y, y f32[3,2]   ->  as x.t(), which comes first
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

kl_tensor *kl_tensor_wrap_in_order(kl_lazy *n, const int *perm)
{
    int64_t stride[KL_MAX_RANK], step = 1;
    for (int i = n->rank; i-- > 0;) {
        stride[perm[i]] = step;
        step *= kl_lazy_shape(n)[perm[i]];
    }
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

kl_tensor *kl_call_end_laid(kl_call *c, kl_lazy *r, int n, const kl_arg *a)
{
    int64_t stride[3][KL_MAX_RANK];
    int perm[KL_MAX_RANK], m = 0;
    bool plain = true;
    for (int i = 0; r && i < n && i < 3; i++) {
        kl_tensor *t = a[i].kind == KL_ARG_TENSOR ? a[i].t : NULL;
        if (!t || t->rank > r->rank)
            continue;
        plain &= t->whole;
        strides_in(t, r->rank, stride[m++]);
    }
    if (plain || kl_thread()->tracing ||
        !find_order(m, stride, r->rank, kl_lazy_shape(r), perm))
        return kl_call_end(c, r);
    return kl_call_end_in_order(c, r, perm);
}
