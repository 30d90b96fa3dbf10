// Activations that several kernels share.
#pragma once

#include "common/ops.h"

namespace eb {

// 1 / (1 + exp(−a)): one special, one add, one div.
template <class T, class Ops, class S>
EB_HD EB_INLINE auto sigmoid(Ops& ops, S a) {
  const auto one = ops.constant(a, Constant<T, 1>{});
  return ops.div(one, ops.add(one, ops.exp(ops.negate(a))));
}

}  // namespace eb
