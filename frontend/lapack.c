/* lapack.c: LAPACK as native functions over dense row-major batches, one name a routine
 * and dtype: kl_lapack_sgetrf, kl_lapack_zgetrf, .. The library is opened by the first
 * call of any, never before; an artefact that calls one names it, and links libkiln.
 *
 * A row-major matrix is its transpose to LAPACK. Where a routine has a form for that
 * (Cholesky: the other triangle; SVD: U and V swapped; triangular systems: the other
 * side) nothing is turned; else the matrix is copied into columns and back.
 *
 *   int kl_lapack_spotrf(const void *a, const int64_t *sizes, void *l, int32_t *info,
 *                        const int64_t *const *shapes)
 *
 * info is LAPACK's, one a matrix: callers decide what it means. */
#include "lapack.h"

#include <dlfcn.h>

typedef void (*any)(void);
typedef struct scalar_type { /* what a dtype's routines are called and need */
    char letter;
    bool complex, wide;
    size_t size;
} scalar_type;
static const scalar_type types[4] = {{'s', false, false, 4},
                                     {'d', false, true, 8},
                                     {'c', true, false, 8},
                                     {'z', true, true, 16}};

/* ---- the library ---- */

typedef enum fortran {
    POTRF,
    GETRF,
    TRSM,
    GEQRF,
    ORGQR,
    GESDD,
    SYEVD,
    GEEV,
    GELSD,
    SYTRF,
    HETRF,
    SYTRS,
    HETRS,
    FORTRAN
} fortran;
static const char *const fortran_names[FORTRAN][2] =
    {/* real, complex */
     {"potrf", "potrf"}, {"getrf", "getrf"}, {"trsm", "trsm"},
     {"geqrf", "geqrf"}, {"orgqr", "ungqr"}, {"gesdd", "gesdd"},
     {"syevd", "heevd"}, {"geev", "geev"},   {"gelsd", "gelsd"},
     {"sytrf", "sytrf"}, {"sytrf", "hetrf"}, {"sytrs", "sytrs"},
     {"sytrs", "hetrs"}};
static any table[FORTRAN][4];
static bool opened;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool load(const char *file)
{
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    for (int r = 0; lib && r < FORTRAN; r++)
        for (int t = 0; t < 4; t++) {
            char name[16];
            snprintf(name, sizeof name, "%c%s_", types[t].letter,
                     fortran_names[r][types[t].complex]);
            void *at = dlsym(lib, name); /* of the library, or of a BLAS it needs */
            memcpy(&table[r][t], &at, sizeof at);
            if (!at)
                return false;
        }
    return lib != NULL;
}

kl_status kl_lapack_open(void)
{
    static const char *const files[] = {"liblapack.so.3", "libopenblas.so.0"};
    pthread_mutex_lock(&lock);
    for (size_t i = 0; !opened && i < sizeof files / sizeof *files; i++)
        opened = load(files[i]);
    bool ok = opened;
    pthread_mutex_unlock(&lock);
    return ok ? KL_OK
              : kl_fail(KL_ERR_UNSUPPORTED,
                        "linear algebra needs LAPACK, and neither liblapack.so.3 nor "
                        "libopenblas.so.0 was found: install Debian's liblapack3 or "
                        "libopenblas0");
}

/* ---- calling it ---- */

typedef struct job {
    int type; /* of types */
    const scalar_type *t;
    void **p; /* operands and results, without the sizes */
    const int64_t *n;
    int bad; /* out of memory, or another reason to give up */
} job;
typedef int integer; /* Fortran's */

/* The matrix number i of operand p. */
static void *at(const job *j, int p, int64_t i, int64_t elements, size_t size)
{
    return (char *)j->p[p] + (size_t)(i * elements) * size;
}

static void *room(job *j, int64_t elements, size_t size)
{
    void *p = kl_alloc((size_t)(elements > 0 ? elements : 1) * size);
    j->bad |= !p;
    return p;
}

static void drop(void *p, int64_t elements, size_t size)
{
    kl_free(p, (size_t)(elements > 0 ? elements : 1) * size);
}

/* What a workspace query has put into its first element. */
static int64_t asked(const job *j, const void *work)
{
    double d;
    float f;
    if (j->t->wide)
        return memcpy(&d, work, sizeof d), (int64_t)d;
    return memcpy(&f, work, sizeof f), (int64_t)f;
}

/* to[c, r] = from[r, c]: rows into columns or back. */
static void turn(size_t size, int64_t rows, int64_t cols, const void *from, void *to)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            memcpy((char *)to + (size_t)(c * rows + r) * size,
                   (const char *)from + (size_t)(r * cols + c) * size, size);
}

/* Every second part of pairs, negated. */
static void conjugate(const job *j, void *p, int64_t elements)
{
    for (int64_t i = 0; j->t->complex && i < elements; i++) {
        if (j->t->wide)
            ((double *)p)[2 * i + 1] *= -1;
        else
            ((float *)p)[2 * i + 1] *= -1;
    }
}

/* Nothing to do, and all is well. */
static bool empty(const job *j, int info, int64_t size)
{
    memset(j->p[info], 0, (size_t)j->n[KL_LA_BATCH] * sizeof(integer));
    return size == 0;
}

/* A real number of the dtype, as floating point or as a complex one. */
static void one(const job *j, void *p)
{
    memset(p, 0, j->t->size);
    if (j->t->wide)
        *(double *)p = 1;
    else
        *(float *)p = 1;
}

#define CALL(routine, prototype) ((prototype)table[routine][j->type])

/* ---- routines: p[] as said, i the number of the matrix ---- */

/* A -> L, info. Row-major lower is LAPACK's upper, of the conjugate: U = L^T. */
static void cholesky(job *j)
{
    typedef void (*fn)(const char *, integer *, void *, integer *, integer *, size_t);
    int64_t n = j->n[KL_LA_N];
    integer in = (integer)n;
    size_t size = j->t->size;
    if (empty(j, 2, n))
        return;
    memcpy(j->p[1], j->p[0], (size_t)(j->n[KL_LA_BATCH] * n * n) * size);
    for (int64_t i = 0; i < j->n[KL_LA_BATCH]; i++) {
        char *l = at(j, 1, i, n * n, size);
        CALL(POTRF, fn)("U", &in, l, &in, (integer *)j->p[2] + i, 1);
        for (int64_t r = 0; r < n; r++)
            memset(l + (size_t)(r * n + r + 1) * size, 0, (size_t)(n - r - 1) * size);
    }
}

/* A -> LU, pivots, info. */
static void lu(job *j)
{
    typedef void (*fn)(integer *, integer *, void *, integer *, integer *, integer *);
    int64_t m = j->n[KL_LA_M], n = j->n[KL_LA_N];
    integer im = (integer)m, in = (integer)n, k = im < in ? im : in;
    if (empty(j, 3, k))
        return;
    void *c = room(j, m * n, j->t->size);
    for (int64_t i = 0; c && i < j->n[KL_LA_BATCH]; i++) {
        turn(j->t->size, m, n, at(j, 0, i, m * n, j->t->size), c);
        CALL(GETRF, fn)
        (&im, &in, c, &im, (integer *)j->p[2] + i * k, (integer *)j->p[3] + i);
        turn(j->t->size, n, m, c, at(j, 1, i, m * n, j->t->size));
    }
    drop(c, m * n, j->t->size);
}

/* Pivots [k] -> rows i32 [m]: after exchanging i with pivots_i - 1, one after the other.
 */
static void exchanges(job *j)
{
    int64_t m = j->n[KL_LA_M], k = j->n[KL_LA_K];
    for (int64_t i = 0; i < j->n[KL_LA_BATCH]; i++) {
        const integer *pivot = (const integer *)j->p[0] + i * k;
        integer *row = (integer *)j->p[1] + i * m;
        for (int64_t r = 0; r < m; r++)
            row[r] = (integer)r;
        for (int64_t r = 0; r < k; r++) {
            integer other = pivot[r] - 1, was = row[r];
            if (other < 0 || other >= m)
                continue; /* no factorization has such a pivot */
            row[r] = row[other];
            row[other] = was;
        }
    }
}

/* A, B -> X; flags: upper, unit diagonal, left. A X = B row-major is X A = B to it. */
static void triangular(job *j)
{
    typedef void (*fn)(const char *, const char *, const char *, const char *, integer *,
                       integer *, void *, void *, integer *, void *, integer *, size_t,
                       size_t, size_t, size_t);
    int64_t n = j->n[KL_LA_N], k = j->n[KL_LA_K];
    integer in = (integer)n, ik = (integer)k;
    bool left = j->n[KL_LA_FLAG2];
    integer *rows = left ? &ik : &in, *cols = left ? &in : &ik;
    double alpha[2];
    one(j, alpha);
    memcpy(j->p[2], j->p[1], (size_t)(j->n[KL_LA_BATCH] * n * k) * j->t->size);
    for (int64_t i = 0; n && k && i < j->n[KL_LA_BATCH]; i++)
        CALL(TRSM, fn)
    (left ? "R" : "L", j->n[KL_LA_FLAG0] ? "L" : "U", "N", j->n[KL_LA_FLAG1] ? "U" : "N",
     rows, cols, alpha, at(j, 0, i, n * n, j->t->size), &in,
     at(j, 2, i, n * k, j->t->size), rows, 1, 1, 1, 1);
}

/* A -> reflectors and R, their factors tau. */
static void householder(job *j)
{
    typedef void (*fn)(integer *, integer *, void *, integer *, void *, void *, integer *,
                       integer *);
    int64_t m = j->n[KL_LA_M], n = j->n[KL_LA_N], k = m < n ? m : n;
    integer im = (integer)m, in = (integer)n, ask = -1, info;
    size_t size = j->t->size;
    double query[2];
    if (k == 0)
        return;
    CALL(GEQRF, fn)(&im, &in, NULL, &im, NULL, query, &ask, &info);
    int64_t nwork = asked(j, query);
    integer lwork = (integer)nwork;
    void *c = room(j, m * n, size), *work = room(j, nwork, size);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        turn(size, m, n, at(j, 0, i, m * n, size), c);
        CALL(GEQRF, fn)(&im, &in, c, &im, at(j, 2, i, k, size), work, &lwork, &info);
        turn(size, n, m, c, at(j, 1, i, m * n, size));
    }
    drop(c, m * n, size);
    drop(work, nwork, size);
}

/* Reflectors [m, n], tau [k] -> the product of k reflectors, its first n columns. */
static void orthogonal(job *j)
{
    typedef void (*fn)(integer *, integer *, integer *, void *, integer *, void *, void *,
                       integer *, integer *);
    int64_t m = j->n[KL_LA_M], n = j->n[KL_LA_N], k = j->n[KL_LA_K];
    integer im = (integer)m, in = (integer)n, ik = (integer)k, ask = -1, info;
    size_t size = j->t->size;
    double query[2];
    if (m == 0 || n == 0)
        return;
    CALL(ORGQR, fn)(&im, &in, &ik, NULL, &im, NULL, query, &ask, &info);
    int64_t nwork = asked(j, query);
    integer lwork = (integer)nwork;
    void *c = room(j, m * n, size), *work = room(j, nwork, size);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        turn(size, m, n, at(j, 0, i, m * n, size), c);
        CALL(ORGQR, fn)(&im, &in, &ik, c, &im, at(j, 1, i, k, size), work, &lwork, &info);
        turn(size, n, m, c, at(j, 2, i, m * n, size));
    }
    drop(c, m * n, size);
    drop(work, nwork, size);
}

typedef struct spaces { /* work arrays of svd, eigh, lstsq */
    void *a, *work, *rwork;
    integer *iwork;
    int64_t na, nwork, nrwork, niwork;
} spaces;

static void make_spaces(job *j, spaces *s)
{
    size_t real = j->t->wide ? 8 : 4;
    s->a = room(j, s->na, j->t->size);
    s->work = room(j, s->nwork, j->t->size);
    s->rwork = room(j, s->nrwork, real);
    s->iwork = room(j, s->niwork, sizeof *s->iwork);
}

static void drop_spaces(const job *j, spaces *s)
{
    drop(s->a, s->na, j->t->size);
    drop(s->work, s->nwork, j->t->size);
    drop(s->rwork, s->nrwork, j->t->wide ? 8 : 4);
    drop(s->iwork, s->niwork, sizeof *s->iwork);
}

static void identities(const job *j, void *to, int64_t n)
{
    for (int64_t i = 0; to && i < j->n[KL_LA_BATCH] * n; i++) {
        char *r = (char *)to + (size_t)(i * n) * j->t->size;
        memset(r, 0, (size_t)n * j->t->size);
        one(j, r + (size_t)(i % n) * j->t->size);
    }
}

/* gesdd of the transpose, n x m: its U is our V^H turned, its V^H our U turned. */
static void svd_with(job *j, const char *how, void *s_of, void *u_of, void *vh_of,
                     integer *info)
{
    typedef void (*real)(const char *, integer *, integer *, void *, integer *, void *,
                         void *, integer *, void *, integer *, void *, integer *,
                         integer *, integer *, size_t);
    typedef void (*complex)(const char *, integer *, integer *, void *, integer *, void *,
                            void *, integer *, void *, integer *, void *, integer *,
                            void *, integer *, integer *, size_t);
    int64_t m = j->n[KL_LA_M], n = j->n[KL_LA_N], k = m < n ? m : n, most = m + n - k;
    int64_t wide = how[0] == 'A' ? m : k, tall = how[0] == 'A' ? n : k;
    integer im = (integer)m, in = (integer)n, ask = -1, ldu = in, ldvt = (integer)wide;
    size_t size = j->t->size, part = j->t->wide ? 8 : 4;
    double query[2];
    if (k == 0) {
        memset(info, 0, (size_t)j->n[KL_LA_BATCH] * sizeof *info);
        identities(j, u_of, how[0] == 'A' ? m : 0);
        identities(j, vh_of, how[0] == 'A' ? n : 0);
        return;
    }
    spaces s = {.na = m * n, .niwork = 8 * k};
    s.nrwork =
        j->t->complex
            ? k * (5 * k + 7 > 2 * most + 2 * k + 1 ? 5 * k + 7 : 2 * most + 2 * k + 1)
            : 0;
    if (j->t->complex)
        CALL(GESDD, complex)
    (how, &in, &im, NULL, &in, NULL, NULL, &ldu, NULL, &ldvt, query, &ask, NULL, NULL,
     info, 1);
    else CALL(GESDD, real)(how, &in, &im, NULL, &in, NULL, NULL, &ldu, NULL, &ldvt, query,
                           &ask, NULL, info, 1);
    s.nwork = asked(j, query);
    integer lwork = (integer)s.nwork;
    make_spaces(j, &s);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        void *w = (char *)s_of + (size_t)(i * k) * part;
        void *u = u_of ? (char *)u_of + (size_t)(i * m * wide) * size : NULL;
        void *vh = vh_of ? (char *)vh_of + (size_t)(i * n * tall) * size : NULL;
        memcpy(s.a, at(j, 0, i, m * n, size), (size_t)(m * n) * size);
        if (j->t->complex)
            CALL(GESDD, complex)
        (how, &in, &im, s.a, &in, w, vh, &ldu, u, &ldvt, s.work, &lwork, s.rwork, s.iwork,
         info + i, 1);
        else CALL(GESDD, real)(how, &in, &im, s.a, &in, w, vh, &ldu, u, &ldvt, s.work,
                               &lwork, s.iwork, info + i, 1);
    }
    drop_spaces(j, &s);
}

/* A -> U, S, V^H, info; flag: square U and V. */
static void svd(job *j)
{
    svd_with(j, j->n[KL_LA_FLAG0] ? "A" : "S", j->p[2], j->p[1], j->p[3], j->p[4]);
}

/* A -> S, info. */
static void svdvals(job *j)
{
    svd_with(j, "N", j->p[1], NULL, NULL, j->p[2]);
}

/* A -> values, vectors, info; flags: lower, vectors wanted. Of the conjugate, so that its
 * vectors are conjugated. */
static void eigh(job *j)
{
    typedef void (*real)(const char *, const char *, integer *, void *, integer *, void *,
                         void *, integer *, integer *, integer *, integer *, size_t,
                         size_t);
    typedef void (*complex)(const char *, const char *, integer *, void *, integer *,
                            void *, void *, integer *, void *, integer *, integer *,
                            integer *, integer *, size_t, size_t);
    int64_t n = j->n[KL_LA_N];
    const char *what = j->n[KL_LA_FLAG1] ? "V" : "N",
               *half = j->n[KL_LA_FLAG0] ? "U" : "L";
    integer in = (integer)n, *info = j->p[3];
    if (empty(j, 3, n))
        return;
    size_t size = j->t->size, part = j->t->wide ? 8 : 4;
    spaces s = {.na = n * n,
                .nwork = j->t->complex ? 2 * n + n * n : 1 + 6 * n + 2 * n * n,
                .nrwork = j->t->complex ? 1 + 5 * n + 2 * n * n : 0,
                .niwork = 3 + 5 * n};
    integer lwork = (integer)s.nwork, lrwork = (integer)s.nrwork,
            liwork = (integer)s.niwork;
    make_spaces(j, &s);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        void *w = (char *)j->p[1] + (size_t)(i * n) * part;
        memcpy(s.a, at(j, 0, i, n * n, size), (size_t)(n * n) * size);
        if (j->t->complex)
            CALL(SYEVD, complex)
        (what, half, &in, s.a, &in, w, s.work, &lwork, s.rwork, &lrwork, s.iwork, &liwork,
         info + i, 1, 1);
        else CALL(SYEVD, real)(what, half, &in, s.a, &in, w, s.work, &lwork, s.iwork,
                               &liwork, info + i, 1, 1);
        turn(size, n, n, s.a, at(j, 2, i, n * n, size));
        conjugate(j, at(j, 2, i, n * n, size), n * n);
    }
    drop_spaces(j, &s);
}

static double get(const job *j, const void *p, int64_t i)
{
    return j->t->wide ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put(const job *j, void *p, int64_t i, double re, double im)
{
    if (j->t->wide)
        ((double *)p)[2 * i] = re, ((double *)p)[2 * i + 1] = im;
    else
        ((float *)p)[2 * i] = (float)re, ((float *)p)[2 * i + 1] = (float)im;
}

/* A real matrix's values and vectors as complex ones: a pair of conjugates has real and
 * imaginary parts in two columns of v. w: real parts, then imaginary ones. */
static void pairs(const job *j, int64_t n, const void *w, const void *v, void *values,
                  void *vectors)
{
    for (int64_t c = 0; c < n; c++) {
        double im = get(j, w, n + c);
        int64_t re_at = im < 0 ? c - 1 : c, im_at = im > 0 ? c + 1 : c;
        put(j, values, c, get(j, w, c), im);
        for (int64_t r = 0; r < n; r++)
            put(j, vectors, r * n + c, get(j, v, re_at * n + r),
                im == 0  ? 0
                : im > 0 ? get(j, v, im_at * n + r)
                         : -get(j, v, c * n + r));
    }
}

/* A -> values, vectors, info, both complex. */
static void eig(job *j)
{
    typedef void (*real)(const char *, const char *, integer *, void *, integer *, void *,
                         void *, void *, integer *, void *, integer *, void *, integer *,
                         integer *, size_t, size_t);
    typedef void (*complex)(const char *, const char *, integer *, void *, integer *,
                            void *, void *, integer *, void *, integer *, void *,
                            integer *, void *, integer *, size_t, size_t);
    int64_t n = j->n[KL_LA_N], wsize = 2 * n;
    integer in = (integer)n, *info = j->p[3];
    if (empty(j, 3, n))
        return;
    size_t size = j->t->size, part = j->t->wide ? 8 : 4;
    spaces s = {.na = n * n, .nwork = 8 * n, .nrwork = 2 * n};
    integer lwork = (integer)s.nwork;
    void *v = room(j, n * n, size), *w = room(j, wsize, size);
    make_spaces(j, &s);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        void *values = (char *)j->p[1] + (size_t)(i * n) * 2 * part;
        void *vectors = (char *)j->p[2] + (size_t)(i * n * n) * 2 * part;
        turn(size, n, n, at(j, 0, i, n * n, size), s.a);
        if (j->t->complex) {
            CALL(GEEV, complex)
            ("N", "V", &in, s.a, &in, values, NULL, &in, v, &in, s.work, &lwork, s.rwork,
             info + i, 1, 1);
            turn(size, n, n, v, vectors);
        } else {
            CALL(GEEV, real)
            ("N", "V", &in, s.a, &in, w, (char *)w + (size_t)n * part, NULL, &in, v, &in,
             s.work, &lwork, info + i, 1, 1);
            pairs(j, n, w, v, values, vectors);
        }
    }
    drop_spaces(j, &s);
    drop(v, n * n, size);
    drop(w, wsize, size);
}

/* A [m, n], B [max(m, n), k], rcond f64 -> X [max(m, n), k], rank, singular values,
 * info. */
static void lstsq(job *j)
{
    typedef void (*real)(integer *, integer *, integer *, void *, integer *, void *,
                         integer *, void *, void *, integer *, void *, integer *,
                         integer *, integer *);
    typedef void (*complex)(integer *, integer *, integer *, void *, integer *, void *,
                            integer *, void *, void *, integer *, void *, integer *,
                            void *, integer *, integer *);
    int64_t m = j->n[KL_LA_M], n = j->n[KL_LA_N], k = j->n[KL_LA_K];
    int64_t least = m < n ? m : n, most = m + n - least;
    integer im = (integer)m, in = (integer)n, ik = (integer)k, ld = (integer)most,
            ask = -1;
    integer *rank = j->p[4], *info = j->p[6], isize = 0;
    size_t size = j->t->size, part = j->t->wide ? 8 : 4;
    double rcond = *(const double *)j->p[2], query[2], rquery = 0;
    float narrow = (float)rcond;
    void *rc = j->t->wide ? (void *)&rcond : (void *)&narrow;
    memset(rank, 0, (size_t)j->n[KL_LA_BATCH] * sizeof *rank);
    memset(j->p[3], 0, (size_t)(j->n[KL_LA_BATCH] * most * k) * size);
    if (empty(j, 6, least * k))
        return;
    if (j->t->complex)
        CALL(GELSD, complex)
    (&im, &in, &ik, NULL, &im, NULL, &ld, NULL, rc, rank, query, &ask, &rquery, &isize,
     info);
    else CALL(GELSD, real)(&im, &in, &ik, NULL, &im, NULL, &ld, NULL, rc, rank, query,
                           &ask, &isize, info);
    spaces s = {.na = m * n, .nwork = asked(j, query), .niwork = isize};
    s.nrwork = j->t->complex ? asked(j, &rquery) : 0;
    integer lwork = (integer)s.nwork;
    void *b = room(j, most * k, size);
    make_spaces(j, &s);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        void *w = (char *)j->p[5] + (size_t)(i * least) * part;
        turn(size, m, n, at(j, 0, i, m * n, size), s.a);
        turn(size, most, k, at(j, 1, i, most * k, size), b);
        if (j->t->complex)
            CALL(GELSD, complex)
        (&im, &in, &ik, s.a, &im, b, &ld, w, rc, rank + i, s.work, &lwork, s.rwork,
         s.iwork, info + i);
        else CALL(GELSD, real)(&im, &in, &ik, s.a, &im, b, &ld, w, rc, rank + i, s.work,
                               &lwork, s.iwork, info + i);
        turn(size, k, most, b, at(j, 3, i, most * k, size));
    }
    drop_spaces(j, &s);
    drop(b, most * k, size);
}

/* A -> LD, pivots, info; flag: A is Hermitian. */
static void ldl(job *j)
{
    typedef void (*fn)(const char *, integer *, void *, integer *, integer *, void *,
                       integer *, integer *, size_t);
    int64_t n = j->n[KL_LA_N];
    integer in = (integer)n, ask = -1, info;
    fortran f = j->n[KL_LA_FLAG0] ? HETRF : SYTRF;
    size_t size = j->t->size;
    double query[2];
    if (empty(j, 3, n))
        return;
    CALL(f, fn)("L", &in, NULL, &in, NULL, query, &ask, &info, 1);
    int64_t nwork = asked(j, query);
    integer lwork = (integer)nwork;
    void *c = room(j, n * n, size), *work = room(j, nwork, size);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        char *ld = at(j, 1, i, n * n, size);
        turn(size, n, n, at(j, 0, i, n * n, size), c);
        CALL(f, fn)
        ("L", &in, c, &in, (integer *)j->p[2] + i * n, work, &lwork,
         (integer *)j->p[3] + i, 1);
        turn(size, n, n, c, ld);
        for (int64_t r = 0; r < n; r++)
            memset(ld + (size_t)(r * n + r + 1) * size, 0, (size_t)(n - r - 1) * size);
    }
    drop(c, n * n, size);
    drop(work, nwork, size);
}

/* LD, pivots, B -> X of A X = B; flag: A is Hermitian. */
static void ldl_solve(job *j)
{
    typedef void (*fn)(const char *, integer *, integer *, void *, integer *, integer *,
                       void *, integer *, integer *, size_t);
    int64_t n = j->n[KL_LA_N], k = j->n[KL_LA_K];
    integer in = (integer)n, ik = (integer)k, info;
    size_t size = j->t->size;
    if (n == 0 || k == 0)
        return;
    void *c = room(j, n * n, size), *b = room(j, n * k, size);
    for (int64_t i = 0; !j->bad && i < j->n[KL_LA_BATCH]; i++) {
        turn(size, n, n, at(j, 0, i, n * n, size), c);
        turn(size, n, k, at(j, 2, i, n * k, size), b);
        CALL(j->n[KL_LA_FLAG0] ? HETRS : SYTRS, fn)
        ("L", &in, &ik, c, &in, (integer *)j->p[1] + i * n, b, &in, &info, 1);
        turn(size, k, n, b, at(j, 3, i, n * k, size));
    }
    drop(c, n * n, size);
    drop(b, n * k, size);
}

/* ---- names ---- */

static int enter(void (*routine)(job *), int type, int nin, int n, void **p)
{
    job j = {.type = type, .t = &types[type], .p = p, .n = p[nin - 1]};
    if (kl_lapack_open() != KL_OK)
        return -1;
    memmove(p + nin - 1, p + nin, (size_t)(n - nin) * sizeof *p);
    if (j.n[KL_LA_BATCH] == 0) /* nothing to write, nor memory for it */
        return 0;
    routine(&j);
    return j.bad ? -2 : 0;
}

/* clang-format off */
#define P3 void *a, void *b, void *c
#define A3 a, b, c
#define P4 void *a, void *b, void *c, void *d
#define A4 a, b, c, d
#define P5 P4, void *e
#define A5 A4, e
#define P6 P5, void *f
#define A6 A5, f
#define P8 P6, void *g, void *h
#define A8 A6, g, h
/* name, function here, inputs with the sizes, parameters */
#define ROUTINES(F, letter, type) \
    F(potrf, cholesky, 2, 4, letter, type) F(getrf, lu, 2, 5, letter, type) \
    F(trsm, triangular, 3, 4, letter, type) F(geqrf, householder, 2, 4, letter, type) \
    F(orgqr, orthogonal, 3, 4, letter, type) F(gesdd, svd, 2, 6, letter, type) \
    F(gesddn, svdvals, 2, 4, letter, type) F(syevd, eigh, 2, 5, letter, type) \
    F(geev, eig, 2, 5, letter, type) F(gelsd, lstsq, 4, 8, letter, type) \
    F(laswp, exchanges, 2, 3, letter, type) F(sytrf, ldl, 2, 5, letter, type) \
    F(sytrs, ldl_solve, 4, 5, letter, type)
/* clang-format on */
#define DEFINE(name, routine, nin, n, letter, type)                                      \
    KL_API int kl_lapack_##letter##name(P##n, const int64_t *const *shapes);             \
    int kl_lapack_##letter##name(P##n, const int64_t *const *shapes)                     \
    {                                                                                    \
        void *p[] = {A##n};                                                              \
        (void)shapes;                                                                    \
        return enter(routine, type, nin, n, p);                                          \
    }
ROUTINES(DEFINE, s, 0)
ROUTINES(DEFINE, d, 1)
ROUTINES(DEFINE, c, 2)
ROUTINES(DEFINE, z, 3)

#define ROW(name, routine, nin, n, letter, type)                                         \
    {"kl_lapack_" #letter #name, (kl_c_function)kl_lapack_##letter##name},
static const struct {
    const char *name;
    kl_c_function fn;
} rows[4][KL_LA_ROUTINES] = {{ROUTINES(ROW, s, 0)},
                             {ROUTINES(ROW, d, 1)},
                             {ROUTINES(ROW, c, 2)},
                             {ROUTINES(ROW, z, 3)}};

/* ---- nodes ---- */

static int type_of(kl_dtype dt)
{
    return dt == KL_F32 ? 0 : dt == KL_F64 ? 1 : dt == KL_C64 ? 2 : 3;
}

kl_status kl_lapack_names(void)
{
    for (int t = 0; t < 4; t++)
        for (int r = 0; r < KL_LA_ROUTINES; r++)
            KL_TRY(kl_native(rows[t][r].name, rows[t][r].fn));
    return KL_OK;
}

/* Graphs find the functions by name. */
static kl_status name_of(kl_lapack_routine r, kl_dtype dt, const char **name)
{
    int type = type_of(dt);
    KL_TRY(kl_lapack_open());
    *name = rows[type][r].name;
    return kl_native(*name, rows[type][r].fn);
}

static kl_lazy *call_node(const char *name, kl_lazy *const *in, int nin,
                          const kl_lapack_out *types_of, int nout)
{
    int64_t attr[3 + 5 * (2 + KL_MAX_RANK)] = {(int64_t)(uintptr_t)kl_intern(name), nout,
                                               0};
    int n = 3;
    for (int i = 0; i < nout; i++) {
        attr[n++] = types_of[i].dt;
        attr[n++] = types_of[i].rank;
        for (int k = 0; k < types_of[i].rank; k++)
            attr[n++] = types_of[i].shape[k];
    }
    return kl_lazy_make(&(kl_make){KL_OP_call, types_of->dt, types_of->rank,
                                   types_of->shape, in, nin, attr, n});
}

static kl_lazy *on_host(kl_lazy *n)
{
    return n && n->device != 0 && n->device != KL_FREE ? kl_lazy_to(n, 0) : n;
}

bool kl_lapack_call(kl_lapack_routine routine, kl_dtype dt, kl_lazy *const *in, int nin,
                    const int64_t sizes[KL_LA_SIZES], const kl_lapack_out *types_of,
                    int nout, kl_lazy **out)
{
    const char *name;
    kl_lazy *src[4];
    int device = nin > 0 && in[0] ? in[0]->device : KL_FREE;
    if (name_of(routine, dt, &name))
        return false;
    for (int i = 0; i < nin; i++)
        if (!(src[i] = on_host(in[i])))
            return false;
    src[nin] = kl_lazy_small(KL_I64, 1, (const int64_t[]){KL_LA_SIZES}, sizes);
    kl_lazy *c = src[nin] ? call_node(name, src, nin + 1, types_of, nout) : NULL;
    for (int64_t i = 0; i < nout; i++) {
        const kl_lapack_out *t = &types_of[i];
        out[i] = c ? kl_lazy_make(
                         &(kl_make){KL_OP_pick, t->dt, t->rank, t->shape, &c, 1, &i, 1})
                   : NULL;
        if (out[i] && device != KL_FREE && device != 0)
            out[i] = kl_lazy_to(out[i], device);
        if (!out[i])
            return false;
    }
    return true;
}
