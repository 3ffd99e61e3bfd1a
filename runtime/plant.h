/* plant.h: faults planted on purpose, so that the tests can be shown to notice them.
 *
 *   if (!KL_PLANTED(tile_last))
 *       kl_b_barrier(&in);
 *
 * In the builds that users get KL_PLANTED is the constant false and nothing of this is
 * left. With -Dplant=true plant.def's faults can be chosen, one a process, before its
 * first call (tests/plant/plant.c does). */
#ifndef KL_PLANT_H
#define KL_PLANT_H

#ifdef KILN_PLANT

typedef enum kl_fault {
#define KL_PLANT(name, per, tests, what) KL_PLANT_##name,
#include "runtime/plant.def"
#undef KL_PLANT
    KL_PLANT_COUNT
} kl_fault;

typedef struct kl_planting {
    kl_fault fault;
    int at;    /* which row: the table's index, KL_PLANT_CELL of it and a class */
    int other; /* the row that stands in; -1: the last two operands change places */
    const char *was, *now; /* a text of the table, and the one that stands in */
} kl_planting;
extern kl_planting kl_planted;

#define KL_PLANT_CELL(row, cls) ((int)(row)*8 + (int)(cls))
#define KL_PLANTED(name) (kl_planted.fault == KL_PLANT_##name)
#define KL_PLANTED_AT(name, i) (KL_PLANTED(name) && kl_planted.at == (int)(i))
/* Another row for op, or operands exchanged: a and b of two, b and c of three. */
#define KL_PLANT_ROW(name, op, dt, a, b, c)                                              \
    do {                                                                                 \
        if (!KL_PLANTED_AT(name, KL_PLANT_CELL(op, kl_dtypes[dt].cls)))                  \
            break;                                                                       \
        bool three = kl_ops[op].arity == 3;                                              \
        __typeof__(a) *first = three ? &b : &a, *last = three ? &c : &b, kept = *first;  \
        if (kl_planted.other >= 0)                                                       \
            op = (kl_op)kl_planted.other;                                                \
        else                                                                             \
            *first = *last, *last = kept;                                                \
    } while (0)
#define KL_PLANT_TEXT(name, i, text)                                                     \
    (KL_PLANTED_AT(name, i) && kl_planted.was == (text) ? kl_planted.now : (text))

#else

#define KL_PLANTED(name) false
#define KL_PLANTED_AT(name, i) false
#define KL_PLANT_ROW(name, op, dt, a, b, c) ((void)0)
#define KL_PLANT_TEXT(name, i, text) (text)

#endif
#endif
