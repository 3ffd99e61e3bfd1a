/* factor.h: what the files linalg_*.c share: matrices as handles, calls of LAPACK on
 * them, and results whose derivative is composed by hand (linalg_rule.c). at is the place
 * of the user's call; NULL in, NULL out. */
#ifndef KL_FACTOR_H
#define KL_FACTOR_H

#include "handles.h"
#include "lapack.h"

/* ---- linalg_rule.c ---- */

/* What a rule is given. dx is what it sets: a gradient of each operand. */
typedef struct kl_diff {
    const char *at;
    kl_tensor *const *in, *const *out, *const *dy; /* dy NULL: none came */
    kl_tensor **dx;
    const int64_t *opt;
} kl_diff;
/* Results from operands, and the derivative of the first ndiff of them. forward records
 * nothing. back is composed of ordinary calls; where it is recorded itself, its results
 * are forward's again, by the rule: so derivatives have derivatives. */
typedef struct kl_factor {
    int nin, nout, ndiff;
    bool (*forward)(const char *at, kl_tensor *const *in, const int64_t *opt,
                    kl_tensor **out);
    void (*back)(const kl_diff *d);
} kl_factor;
enum { KL_FACTOR_IN = 3, KL_FACTOR_OUT = 4, KL_FACTOR_OPT = 3 };
bool kl_factor_apply(const char *at, const kl_factor *r, kl_tensor *const *in,
                     const int64_t opt[KL_FACTOR_OPT], kl_tensor **out);
/* LAPACK on handles. */
bool kl_lapack_tensors(const char *at, kl_lapack_routine routine, kl_tensor *const *in,
                       int nin, const int64_t sizes[KL_LA_SIZES],
                       const kl_lapack_out *types, int nout, kl_tensor **out);
/* A result of LAPACK's: a's batch, then rank more extents. */
kl_lapack_out kl_lapack_like(kl_tensor *a, kl_dtype dt, int rank, int64_t x, int64_t y);
/* { batch, m, n, k, .. } of a. */
void kl_lapack_sizes(kl_tensor *a, int64_t k, int64_t sizes[KL_LA_SIZES]);
/* Compute these now, and the first matrix whose info is not 0, with that info; -1: all
 * are well, or the function is being traced, where no value can be looked at. */
int64_t kl_info_first(const char *at, kl_tensor *info, kl_tensor *const *with, int n,
                      int *value);
/* "(Batch element 3): ", or nothing for one matrix. */
const char *kl_info_batch(kl_tensor *info, int64_t which, char buf[40]);
/* Of two dimensions or more, of a dtype that LAPACK knows, square if asked. */
kl_status kl_check_matrix(const char *fn, kl_tensor *a, bool square);
/* The results of a composed call, kept. */
bool kl_composed_all(kl_call *c, const char *fn, bool ok, kl_tensor **out, int n);

/* ---- matrices ---- */

static inline kl_dtype real_of(const kl_tensor *t)
{
    return t ? kl_dtypes[t->dtype].real : KL_F32;
}
static inline kl_tensor *mT(const char *at, kl_tensor *a)
{
    return a ? kl_transpose_at(at, a, -2, -1) : NULL;
}
static inline kl_tensor *conj_of(const char *at, kl_tensor *a)
{
    return is_complex(a) ? kl_conj_at(at, a) : a;
}
static inline kl_tensor *mH(const char *at, kl_tensor *a)
{
    return conj_of(at, mT(at, a));
}
static inline kl_tensor *mm(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_matmul_at(at, a, b) : NULL;
}
static inline kl_tensor *column(const char *at, kl_tensor *v) /* [.., n, 1] */
{
    return v ? kl_unsqueeze_at(at, v, -1) : NULL;
}
static inline kl_tensor *row(const char *at, kl_tensor *v) /* [.., 1, n] */
{
    return v ? kl_unsqueeze_at(at, v, -2) : NULL;
}
static inline kl_tensor *diagonal(const char *at, kl_tensor *a)
{
    return a ? kl_diagonal_at(at, a, 0, -2, -1) : NULL;
}
static inline kl_tensor *diagonals(const char *at, kl_tensor *v) /* matrices of them */
{
    return v ? kl_diag_embed_at(at, v, 0, -2, -1) : NULL;
}
static inline kl_tensor *lower(const char *at, kl_tensor *a, int64_t k)
{
    return a ? kl_tril_at(at, a, k) : NULL;
}
static inline kl_tensor *upper(const char *at, kl_tensor *a, int64_t k)
{
    return a ? kl_triu_at(at, a, k) : NULL;
}
static inline kl_tensor *part(const char *at, kl_tensor *a, int dim, int64_t from,
                              int64_t to)
{
    return a ? kl_slice_at(at, a, dim, from, to, 1) : NULL;
}
/* What there is of two sums. */
static inline kl_tensor *either(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? plus(at, a, b) : a ? a : b;
}
kl_tensor *kl_identity_like(const char *at, kl_tensor *a); /* of a's square shape */

/* ---- linalg_solve.c: without checks, for rules ---- */

/* Operands of one batch shape. */
bool kl_join_batches(const char *at, kl_tensor **a, kl_tensor **b);
kl_tensor *kl_triangular(const char *at, kl_tensor *a, kl_tensor *b, bool is_upper,
                         bool left, bool unit);
kl_tensor *kl_solve_square(const char *at, kl_tensor *a, kl_tensor *b); /* A X = B */

#endif
