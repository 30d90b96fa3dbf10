// Operands of the convolutions.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/conv.h"

namespace eb {

template <class Ops, class T>
EB_INLINE ConvOperands<Ops, T> operands(const EbConv2dArrays& a) {
  using Weight = typename Ops::template Weight<const T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)), Weight(in<T>(a.w)), Weight(in<T>(a.bias)),
          typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE ConvBackwardOperands<Ops, T> operands(const EbConv2dBackwardArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.dy)),   Input(in<T>(a.x)),    typename Ops::template Weight<const T>(in<T>(a.w)),
          Output(out<T>(a.dx)), Output(out<T>(a.dw)), Output(out<T>(a.db))};
}

}  // namespace eb
