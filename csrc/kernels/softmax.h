// Softmax over the last dimension, forward: y[r,i] = exp(x[r,i] − max x[r,:]) / Σ exp(x[r,:] − max x[r,:])
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

namespace eb {

template <class Ops, class T>
struct SoftmaxOperands {
  typename Ops::template Activation<const T> x;  // x[r,i]
  typename Ops::template Activation<T> y;        // y[r,i]
};

// softmax_forward_naive: one row in three passes; the exponentials wait in y.
template <class Ops, class T>
EB_HD EB_INLINE void softmax_forward_naive(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  auto largest = ops.template negative_infinity<T>();
  for (Index i = 0; i < s.n; ++i) largest = ops.max(largest, ops.load(x, i));
  auto total = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) {
    const auto e = ops.exp(ops.sub(ops.load(x, i), largest));
    total = ops.add(total, e);
    ops.store(y, i, e);
  }
  for (Index i = 0; i < s.n; ++i) ops.store(y, i, ops.div(ops.load(y, i), total));
}

}  // namespace eb
