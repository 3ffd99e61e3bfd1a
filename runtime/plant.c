/* plant.c: the fault that is active, in a build with planted faults (plant.h). */
#include "runtime/runtime.h"

#ifdef KILN_PLANT
kl_planting kl_planted;
#else
typedef int kl_nothing_planted; /* ISO C wants something in a file */
#endif
