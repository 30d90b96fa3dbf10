// Tuned rungs of what training adds: batch normalisation, cross-entropy, dropout.
#include "cpu/tuned/isa.h"
#include "kernels/reduce.h"

namespace eb::EB_ISA {
template <class T>
using Walk = InLanes<kLanes<T>>;
}  // namespace eb::EB_ISA

#include "cpu/training_launches.h"
