// Naive rungs of what training adds: batch normalisation, cross-entropy, dropout.
#include "kernels/reduce.h"

namespace eb::naive {
template <class T>
using Walk = InOrder;
}  // namespace eb::naive

#define EB_RUNG naive
#include "cpu/training_launches.h"
