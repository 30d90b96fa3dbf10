// Operands of attention.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/attention.h"

namespace eb {

template <class Ops, class T>
EB_INLINE AttentionOperands<Ops, T> operands(const EbAttentionArrays& a, double scale) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.q)), Input(in<T>(a.k)), Input(in<T>(a.v)), typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Parameter<T>(scale)};
}

}  // namespace eb
