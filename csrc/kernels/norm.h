// Layer normalisation over the last dimension, forward, with μ and the biased variance of the row:
//
//   y[r,i] = (x[r,i] − μ) / sqrt(var + ε) · weight[i] + bias[i]
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

namespace eb {

template <class Ops, class T>
struct LayerNormOperands {
  typename Ops::template Activation<const T> x;   // x[r,i]
  typename Ops::template Weight<const T> weight;  // weight[i]
  typename Ops::template Weight<const T> bias;    // bias[i]
  typename Ops::template Activation<T> y;         // y[r,i]
  typename Ops::template Parameter<T> length;     // n as a number
  typename Ops::template Parameter<T> epsilon;
};

// layer_norm_forward_naive: one row in three passes; the differences x − μ wait in y, so they are taken once.
template <class Ops, class T>
EB_HD EB_INLINE void layer_norm_forward_naive(Ops& ops, const LayerNormOperands<Ops, T>& a, const RowShape& s,
                                              Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  const auto length = ops.parameter(a.length);
  auto total = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) total = ops.add(total, ops.load(x, i));
  const auto mean = ops.div(total, length);
  auto squares = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) {
    const auto difference = ops.sub(ops.load(x, i), mean);
    squares = ops.add(squares, ops.mul(difference, difference));
    ops.store(y, i, difference);
  }
  const auto variance = ops.div(squares, length);
  const auto scale = ops.rsqrt(ops.add(variance, ops.parameter(a.epsilon)));
  for (Index i = 0; i < s.n; ++i) {
    auto value = ops.mul(ops.load(y, i), scale);
    if (s.has_weight) value = ops.mul(value, ops.load(a.weight, i));
    if (s.has_bias) value = ops.add(value, ops.load(a.bias, i));
    ops.store(y, i, value);
  }
}

}  // namespace eb
