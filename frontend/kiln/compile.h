/* kiln/compile.h */
#ifndef KILN_COMPILE_H
#define KILN_COMPILE_H
#include "kiln/tensor.h"
#endif
