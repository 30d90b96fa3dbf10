// Operands of batch normalisation.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/batch_norm.h"

namespace eb {

template <class Ops, class T>
EB_INLINE BatchNormOperands<Ops, T> batch_norm_operands(const EbBatchNormArrays& a, const BatchNormShape& s,
                                                        double momentum, double epsilon) {
  using Input = typename Ops::template Activation<const T>;
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  const double length = static_cast<double>(s.N * s.S);
  return {Input(in<T>(a.x)),
          Weight(in<T>(a.weight)),
          Weight(in<T>(a.bias)),
          Input(in<T>(a.running_mean)),
          Input(in<T>(a.running_var)),
          Output(out<T>(a.y)),
          Output(out<T>(a.mean)),
          Output(out<T>(a.rstd)),
          Output(out<T>(a.new_mean)),
          Output(out<T>(a.new_var)),
          Number(length),
          Number(epsilon),
          Number(1 - momentum),
          Number(momentum),
          Number(momentum * length / (length - 1))};
}

template <class Ops, class T>
EB_INLINE BatchNormBackwardOperands<Ops, T> batch_norm_backward_operands(const EbBatchNormArrays& a,
                                                                         const BatchNormShape& s, double epsilon) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  return {Input(in<T>(a.grad)),
          Input(in<T>(a.x)),
          Input(in<T>(a.mean)),
          Input(in<T>(a.rstd)),
          typename Ops::template Weight<const T>(in<T>(a.weight)),
          Output(out<T>(a.y)),
          Output(out<T>(a.dweight)),
          Output(out<T>(a.dbias)),
          Number(static_cast<double>(s.N * s.S)),
          Number(epsilon)};
}

}  // namespace eb
