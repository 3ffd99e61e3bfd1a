/* kiln/device.h */
#ifndef KILN_DEVICE_H
#define KILN_DEVICE_H
#include "kiln/tensor.h"
#endif
