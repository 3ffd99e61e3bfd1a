/* interp_contract.c: the general contraction by its definition (DESIGN.md, "One number").
 * Labels in both operands and the result are batch; in the result and one operand, M (a)
 * or N (b); the others are contracted and count as one axis k, in the order in which they
 * appear in a (then b). k comes in blocks of 4096, whose results fold in adjacent pairs.
 * In a block
 *
 *   M >= 4 and N >= 4:  acc = +0;  for k in order: acc = fma(a, b, acc)
 *   otherwise:          the same in 16 lanes of k (k mod 16), all folded by halves; a
 * lane that meets no k is +0
 *
 * at the result's dtype, to which operands are widened first. Integers multiply and add;
 * bool has and, or. A complex contraction is four real ones: re = aR.bR - aI.bI, im =
 * aR.bI + aI.bR. */
#include "ir/interp.h"

enum { BLOCK = 4096, LANES = 16, WIDE = 4 };

typedef struct axis {           /* one label */
    int64_t extent, sa, sb, sy; /* strides in elements; 0 where it does not occur */
    bool in_a, in_b, in_y;
} axis;

/* The labels by role: [batch.., m.., n.., k..] of each, and the products of their
 * extents. */
typedef struct job {
    axis axes[3 * KL_MAX_RANK];
    int naxes;
    int order[4][3 * KL_MAX_RANK], count[4];
    int64_t size[4];
    kl_dtype dt; /* the arithmetic's, real */
} job;
enum { BATCH, ROW, COL, DEPTH };

static axis *label_axis(job *j, int64_t *names, int64_t name)
{
    for (int i = 0; i < j->naxes; i++)
        if (names[i] == name)
            return &j->axes[i];
    names[j->naxes] = name;
    j->axes[j->naxes] = (axis){.extent = 1};
    return &j->axes[j->naxes++];
}

static void read_labels(job *j, const kl_row *w)
{
    int64_t names[3 * KL_MAX_RANK];
    const kl_buffer *bufs[3] = {w->src[0], w->src[1], w->y};
    const int64_t *label = w->attr + 3;
    for (int s = 0; s < 3; s++) {
        int64_t n = w->attr[s], stride = 1;
        for (int64_t i = 0; i < n; i++) {
            axis *x = label_axis(j, names, label[i]);
            x->extent = bufs[s]->shape[i];
            x->in_a |= s == 0, x->in_b |= s == 1, x->in_y |= s == 2;
        }
        for (int64_t i = n; i-- > 0; stride *= bufs[s]->shape[i]) {
            axis *x = label_axis(j, names, label[i]);
            *(s == 0 ? &x->sa : s == 1 ? &x->sb : &x->sy) += stride;
        }
        label += n;
    }
}

static void assign_roles(job *j)
{
    for (int role = 0; role < 4; role++)
        j->size[role] = 1;
    for (int i = 0; i < j->naxes; i++) {
        const axis *x = &j->axes[i];
        int role = !x->in_y ? DEPTH : x->in_a && x->in_b ? BATCH : x->in_a ? ROW : COL;
        j->order[role][j->count[role]++] = i;
        j->size[role] *= x->extent;
    }
}

/* One operand as a dense array [roles..] of j->dt; part: 0 real, 1 imaginary. */
static kl_status pack(const job *j, const kl_buffer *b, bool is_a, const int *roles,
                      int part, kl_buffer *out)
{
    int64_t shape[3 * KL_MAX_RANK], from[3 * KL_MAX_RANK], to[3 * KL_MAX_RANK], n = 1;
    kl_dtype dt = kl_dtypes[b->dtype].real;
    size_t whole = kl_dense_size(b), size = kl_dtypes[dt].size;
    int rank = 0;
    for (int q = 0; q < 3; q++)
        for (int i = 0; i < j->count[roles[q]]; i++) {
            const axis *x = &j->axes[j->order[roles[q]][i]];
            shape[rank] = x->extent;
            from[rank++] = (is_a ? x->sa : x->sb) * (int64_t)whole;
            n *= x->extent;
        }
    int64_t stride = (int64_t)size;
    for (int i = rank; i-- > 0; stride *= shape[i])
        to[i] = stride;
    kl_buffer raw;
    KL_TRY(kl_dense_new(dt, 1, &n, &raw));
    kl_status st = kl_dense_new(j->dt, 1, &n, out);
    if (st == KL_OK) {
        kl_copy_strided(rank, shape, size, kl_dense(&raw), to,
                        kl_dense(b) + (size_t)part * size, from);
        kl_eval_cast_n(j->dt, dt, n, kl_dense(out), kl_dense(&raw));
    }
    kl_memory_unref(raw.mem);
    return st;
}

/* acc += a * b over n elements; tmp holds n. */
static void madd(kl_dtype dt, int64_t n, char *acc, const char *a, const char *b,
                 char *tmp)
{
    if (kl_is_float(dt)) {
        kl_eval_n(KL_OP_fma, dt, n, acc, a, b, acc);
        return;
    }
    kl_eval_n(KL_OP_mul, dt, n, tmp, a, b, NULL);
    kl_eval_n(KL_OP_add, dt, n, acc, acc, tmp, NULL);
}

/* One row of the result, y[n], from a[k] and b[k, n]; sums: [blocks, n]; rep, tmp: [n].
 */
static void row_in_order(const job *j, const char *a, const char *b, char *y, char *sums,
                         char *rep, char *tmp)
{
    int64_t k = j->size[DEPTH], n = j->size[COL], blocks = (k + BLOCK - 1) / BLOCK;
    size_t size = kl_dtypes[j->dt].size, row = (size_t)n * size;
    for (int64_t i = 0; i < k; i++, b += row) {
        char *acc = sums + (size_t)(i / BLOCK) * row;
        if (i % BLOCK == 0)
            memset(acc, 0, row);
        for (int64_t c = 0; c < n; c++)
            memcpy(rep + (size_t)c * size, a + (size_t)i * size, size);
        madd(j->dt, n, acc, rep, b, tmp);
    }
    kl_fold_pairs(KL_OP_add, j->dt, blocks, n, sums);
    if (k == 0)
        memset(y, 0, row);
    else
        memcpy(y, sums, row);
}

/* One element of the result from a[k] and b[k]; sums: [blocks]. */
static void dot_in_lanes(const job *j, const char *a, const char *b, char *y, char *sums)
{
    int64_t k = j->size[DEPTH], blocks = (k + BLOCK - 1) / BLOCK;
    size_t size = kl_dtypes[j->dt].size;
    memset(y, 0, size);
    for (int64_t t = 0; t < blocks; t++) {
        _Alignas(16) char lanes[LANES * 8] = {0}, tmp[LANES * 8];
        int64_t end = KL_MIN(k, (t + 1) * BLOCK);
        for (int64_t i = t * BLOCK; i < end; i += LANES)
            madd(j->dt, KL_MIN(end - i, LANES), lanes, a + (size_t)i * size,
                 b + (size_t)i * size, tmp);
        for (int64_t half = LANES / 2; half > 0; half /= 2)
            kl_eval_n(KL_OP_add, j->dt, half, lanes, lanes, lanes + (size_t)half * size,
                      NULL);
        memcpy(sums + (size_t)t * size, lanes, size);
    }
    kl_fold_pairs(KL_OP_add, j->dt, blocks, 1, sums);
    if (blocks)
        memcpy(y, sums, size);
}

/* y[batch, m, n] from a[batch, m, k] and b[batch, k, n] (in order) or b[batch, n, k]. */
static kl_status multiply(const job *j, bool in_order, const kl_buffer *a,
                          const kl_buffer *b, char *y)
{
    int64_t m = j->size[ROW], n = j->size[COL], k = j->size[DEPTH];
    int64_t blocks = (k + BLOCK - 1) / BLOCK, need = (blocks + 2) * n + blocks;
    size_t size = kl_dtypes[j->dt].size;
    kl_buffer work;
    KL_TRY(kl_dense_new(j->dt, 1, &need, &work));
    char *rep = kl_dense(&work), *tmp = rep + (size_t)n * size;
    char *sums = tmp + (size_t)n * size;
    for (int64_t i = 0; i < j->size[BATCH] * m; i++) {
        const char *ar = kl_dense(a) + (size_t)(i * k) * size;
        const char *bb = kl_dense(b) + (size_t)(i / m * k * n) * size;
        char *yr = y + (size_t)(i * n) * size;
        if (in_order)
            row_in_order(j, ar, bb, yr, sums, rep, tmp);
        for (int64_t c = 0; c < n && !in_order; c++)
            dot_in_lanes(j, ar, bb + (size_t)(c * k) * size, yr + (size_t)c * size, sums);
    }
    kl_memory_unref(work.mem);
    return KL_OK;
}

/* One real contraction of the given parts, into y as [batch, m, n]. */
static kl_status contract_parts(const job *j, const kl_row *w, int pa, int pb, char *y)
{
    bool in_order =
        (j->size[ROW] >= WIDE && j->size[COL] >= WIDE) || kl_env_get()->batch_invariant;
    const int ra[3] = {BATCH, ROW, DEPTH}, rb[3] = {BATCH, DEPTH, COL};
    const int rt[3] = {BATCH, COL, DEPTH};
    kl_buffer a, b;
    KL_TRY(pack(j, w->src[0], true, ra, pa, &a));
    kl_status st = pack(j, w->src[1], false, in_order ? rb : rt, pb, &b);
    if (st == KL_OK) {
        st = multiply(j, in_order, &a, &b, y);
        kl_memory_unref(b.mem);
    }
    kl_memory_unref(a.mem);
    return st;
}

/* From [batch, m, n] of j->dt into the result's own order of axes, part by part. */
static void unpack(const job *j, const kl_row *w, const char *from, int part)
{
    int64_t shape[3 * KL_MAX_RANK], fs[3 * KL_MAX_RANK], ts[3 * KL_MAX_RANK];
    size_t size = kl_dtypes[j->dt].size, whole = kl_dense_size(w->y);
    int rank = 0;
    for (int role = BATCH; role <= COL; role++)
        for (int i = 0; i < j->count[role]; i++) {
            const axis *x = &j->axes[j->order[role][i]];
            shape[rank] = x->extent;
            ts[rank++] = x->sy * (int64_t)whole;
        }
    int64_t stride = (int64_t)size;
    for (int i = rank; i-- > 0; stride *= shape[i])
        fs[i] = stride;
    kl_copy_strided(rank, shape, size, kl_dense(w->y) + (size_t)part * size, ts, from,
                    fs);
}

static kl_status contract_complex(const job *j, const kl_row *w, char *t, int64_t count)
{
    char *u = t + (size_t)count * kl_dtypes[j->dt].size;
    KL_TRY(contract_parts(j, w, 0, 0, t));
    KL_TRY(contract_parts(j, w, 1, 1, u));
    kl_eval_n(KL_OP_sub, j->dt, count, t, t, u, NULL);
    unpack(j, w, t, 0);
    KL_TRY(contract_parts(j, w, 0, 1, t));
    KL_TRY(contract_parts(j, w, 1, 0, u));
    kl_eval_n(KL_OP_add, j->dt, count, t, t, u, NULL);
    unpack(j, w, t, 1);
    return KL_OK;
}

kl_status kl_interp_contract(const kl_row *w)
{
    job j = {.dt = kl_dtypes[w->y->dtype].real};
    read_labels(&j, w);
    assign_roles(&j);
    int64_t count = kl_dense_count(w->y), twice = 2 * count;
    kl_buffer t;
    KL_TRY(kl_dense_new(j.dt, 1, &twice, &t));
    kl_status st;
    if (kl_is_complex(w->y->dtype)) {
        st = contract_complex(&j, w, kl_dense(&t), count);
    } else {
        st = contract_parts(&j, w, 0, 0, kl_dense(&t));
        if (st == KL_OK)
            unpack(&j, w, kl_dense(&t), 0);
    }
    kl_memory_unref(t.mem);
    return st;
}
