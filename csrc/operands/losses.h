// Operands of cross-entropy.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/losses.h"

namespace eb {

template <class Ops, class T>
EB_INLINE CrossEntropyOperands<Ops, T> cross_entropy_operands(const EbCrossEntropyArrays& a, const RowShape& s) {
  using Output = typename Ops::template Activation<T>;
  return {{typename Ops::template Activation<const T>(in<T>(a.x)), Output(out<T>(a.y))},
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.targets)),
          Output(out<T>(a.loss)),
          typename Ops::template Parameter<T>(static_cast<double>(s.rows))};
}

template <class Ops, class T>
EB_INLINE CrossEntropyBackwardOperands<Ops, T> cross_entropy_backward_operands(const EbCrossEntropyArrays& a,
                                                                               const RowShape& s) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.loss)), Input(in<T>(a.y)),
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.targets)),
          typename Ops::template Activation<T>(out<T>(a.dx)),
          typename Ops::template Parameter<T>(static_cast<double>(s.rows))};
}

}  // namespace eb
