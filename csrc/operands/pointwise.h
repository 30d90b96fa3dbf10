// Operands of functions of one element.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/pointwise.h"

namespace eb {

template <class Ops, class T>
EB_INLINE PointwiseOperands<Ops, T> operands(const EbElementArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

}  // namespace eb
