// Naive rungs of what training adds: batch normalisation, cross-entropy, dropout.
#include "kernels/reduce.h"

namespace eb::EB_ISA {
template <class T>
using Walk = InOrder;
}  // namespace eb::EB_ISA

#include "cpu/training_launches.h"
