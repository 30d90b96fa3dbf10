// Operands of dropout.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/dropout.h"

namespace eb {

template <class Ops, class T>
EB_INLINE DropoutOperands<Ops, T> dropout_operands(const EbDropoutArrays& a, double keep, std::uint64_t seed) {
  using Number = typename Ops::template Parameter<T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Activation<std::uint8_t>(out<std::uint8_t>(a.mask)),
          Number(keep),
          Number(1 / keep),
          seed};
}

template <class Ops, class T>
EB_INLINE DropoutBackwardOperands<Ops, T> dropout_backward_operands(const EbDropoutArrays& a, double keep) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<const std::uint8_t>(in<std::uint8_t>(a.mask)),
          typename Ops::template Activation<T>(out<T>(a.y)), typename Ops::template Parameter<T>(1 / keep)};
}

}  // namespace eb
