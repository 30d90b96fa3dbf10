// Operands of pooling.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/pool.h"

namespace eb {

template <class Ops, class T>
EB_INLINE PoolOperands<Ops, T> operands(const EbPoolArrays& a, const PoolShape& s) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Activation<std::int64_t>(out<std::int64_t>(a.winners)),
          typename Ops::template Parameter<T>(static_cast<double>(s.KH * s.KW))};
}

template <class Ops, class T>
EB_INLINE PoolBackwardOperands<Ops, T> pool_backward_operands(const EbPoolArrays& a, const PoolShape& s) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.winners)),
          typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Parameter<T>(static_cast<double>(s.KH * s.KW))};
}

}  // namespace eb
