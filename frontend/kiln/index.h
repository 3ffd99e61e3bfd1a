/* kiln/index.h */
#ifndef KILN_INDEX_H
#define KILN_INDEX_H
#include "kiln/tensor.h"
#endif
