// Operands of softmax and its logarithm.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/softmax.h"

namespace eb {

template <class Ops, class T>
EB_INLINE SoftmaxOperands<Ops, T> softmax_operands(const EbSoftmaxArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE SoftmaxBackwardOperands<Ops, T> softmax_backward_operands(const EbSoftmaxArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.x)), Input(in<T>(a.kept)), typename Ops::template Activation<T>(out<T>(a.y))};
}

}  // namespace eb
