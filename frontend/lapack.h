/* lapack.h: linear algebra's native functions: LAPACK behind C functions that graphs call
 * (lapack.c), and nodes that call them (lapack_node.c). */
#ifndef KL_LAPACK_H
#define KL_LAPACK_H

#include "front.h"

/* The sizes that a routine works with, its last operand but for the results: they are
 * data, since a native function is not told ranks. */
typedef enum kl_lapack_size {
    KL_LA_BATCH,
    KL_LA_M, /* rows and columns of the first operand */
    KL_LA_N,
    KL_LA_K, /* right-hand sides; reflectors */
    KL_LA_FLAG0,
    KL_LA_FLAG1,
    KL_LA_FLAG2,
    KL_LA_SIZES
} kl_lapack_size;

typedef enum kl_lapack_routine {
    KL_LA_CHOLESKY,
    KL_LA_LU,
    KL_LA_TRIANGULAR,
    KL_LA_HOUSEHOLDER,
    KL_LA_ORTHOGONAL,
    KL_LA_SVD,
    KL_LA_SVDVALS,
    KL_LA_EIGH,
    KL_LA_EIG,
    KL_LA_LSTSQ,
    KL_LA_EXCHANGES,
    KL_LA_LDL,
    KL_LA_LDL_SOLVE,
    KL_LA_ROUTINES
} kl_lapack_routine;

/* The library is there (opened now, if it was not), or the error names its packages. */
kl_status kl_lapack_open(void);

/* Register all functions, for a program from a file that may call some. */
kl_status kl_lapack_names(void);

/* Results of a call: dtype and shape of each. */
typedef struct kl_lapack_out {
    kl_dtype dt;
    int rank;
    int64_t shape[KL_MAX_RANK];
} kl_lapack_out;
/* Nodes of one call on in[nin] of dtype dt (the last of them may be of another); false:
 * an error. */
bool kl_lapack_call(kl_lapack_routine routine, kl_dtype dt, kl_lazy *const *in, int nin,
                    const int64_t sizes[KL_LA_SIZES], const kl_lapack_out *types,
                    int nout, kl_lazy **out);

#endif
