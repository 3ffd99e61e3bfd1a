/* kiln.h: the whole public interface. One subject a header; each can be included alone.
 */
#ifndef KILN_H
#define KILN_H

#include "kiln/base.h"
#include "kiln/stats.h"
#include "kiln/tensor.h"
#include "kiln/create.h"
#include "kiln/math.h"
#include "kiln/reduce.h"
#include "kiln/shape.h"
#include "kiln/autograd.h"
#include "kiln/linalg.h"
#include "kiln/fft.h"
#include "kiln/nn.h"
#include "kiln/rnn.h"
#include "kiln/loss.h"
#include "kiln/optim.h"
#include "kiln/index.h"
#include "kiln/io.h"
#include "kiln/compile.h"
#include "kiln/control.h"
#include "kiln/explain.h"
#include "kiln/native.h"
#include "kiln/device.h"

#endif
