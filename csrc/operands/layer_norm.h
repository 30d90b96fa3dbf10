// Operands of layer normalisation.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/norm.h"

namespace eb {

template <class Ops, class T>
EB_INLINE LayerNormOperands<Ops, T> layer_norm_operands(const EbLayerNormArrays& a, const RowShape& s, double epsilon) {
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          Weight(in<T>(a.weight)),
          Weight(in<T>(a.bias)),
          Output(out<T>(a.y)),
          Output(out<T>(a.mean)),
          Output(out<T>(a.rstd)),
          Number(static_cast<double>(s.n)),
          Number(epsilon)};
}

template <class Ops, class T>
EB_INLINE LayerNormBackwardOperands<Ops, T> layer_norm_backward_operands(const EbLayerNormArrays& a,
                                                                         const RowShape& s) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)),
          Input(in<T>(a.x)),
          Input(in<T>(a.mean)),
          Input(in<T>(a.rstd)),
          typename Ops::template Weight<const T>(in<T>(a.weight)),
          Output(out<T>(a.y)),
          Output(out<T>(a.dweight)),
          Output(out<T>(a.dbias)),
          typename Ops::template Parameter<T>(static_cast<double>(s.n))};
}

}  // namespace eb
