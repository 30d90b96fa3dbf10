// Operands of matrix products.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/linear.h"

namespace eb {

template <class Ops, class T>
EB_INLINE LinearOperands<Ops, T> operands(const EbLinearArrays& a) {
  using Weight = typename Ops::template Weight<const T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)), Weight(in<T>(a.w)), Weight(in<T>(a.bias)),
          typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE LinearBackwardOperands<Ops, T> operands(const EbLinearBackwardArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)), Input(in<T>(a.x)),    typename Ops::template Weight<const T>(in<T>(a.w)),
          Output(out<T>(a.dx)), Output(out<T>(a.dw)), Output(out<T>(a.db))};
}

}  // namespace eb
