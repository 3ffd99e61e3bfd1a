/* only.h: KILN_TEST_ROW keeps a test that walks a table to one row, and to one class of
 * dtypes where one is named: what to run after a change of that row, and how
 * plant/run.py lets a row's fault be noticed soon.
 *
 *   KILN_TEST_ROW=floordiv:sint build/tests/test_llvm_emit */
#ifndef KL_TEST_ONLY_H
#define KL_TEST_ONLY_H

#include "ir/ir.h"

#include <stdlib.h>

static inline bool only_dtype(kl_dtype dt)
{
    static const char *const classes[] = {[KL_CLS_BOOL] = "bool",
                                          [KL_CLS_UINT] = "uint",
                                          [KL_CLS_SINT] = "sint",
                                          [KL_CLS_FLOAT] = "float",
                                          [KL_CLS_COMPLEX] = "complex"};
    const char *row = getenv("KILN_TEST_ROW"), *cls = row ? strchr(row, ':') : NULL;
    return !cls || strcmp(cls + 1, classes[kl_dtypes[dt].cls]) == 0;
}

static inline bool only_row(const char *name)
{
    const char *row = getenv("KILN_TEST_ROW");
    size_t n = strlen(name);
    return !row || (strncmp(row, name, n) == 0 && (row[n] == 0 || row[n] == ':'));
}

#endif
