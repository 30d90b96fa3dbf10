// Cross-entropy of logits and class indices, the mean over the rows; the logarithms of the probabilities (softmax.h)
// are kept for the backward pass:
//
//   y[r,i] = x[r,i] − max x[r,:] − log Σ exp(x[r,:] − max x[r,:])
//   loss   = −Σ_r y[r, target[r]] / rows                             dx = (exp(y) − [i = target[r]])·grad/rows
#pragma once

#include "kernels/softmax.h"

namespace eb {

template <class Ops, class T>
struct CrossEntropyOperands {
  SoftmaxOperands<Ops, T> rows;                                   // x[r,i], y[r,i]
  typename Ops::template Activation<const std::int64_t> targets;  // targets[r]
  typename Ops::template Activation<T> loss;                      // loss[0]
  typename Ops::template Parameter<T> count;                      // rows as a number
};

template <class Ops, class T>
struct CrossEntropyBackwardOperands {
  typename Ops::template Activation<const T> grad;                // grad[0], of the loss
  typename Ops::template Activation<const T> y;                   // y[r,i] of the forward pass
  typename Ops::template Activation<const std::int64_t> targets;  // targets[r]
  typename Ops::template Activation<T> dx;                        // dx[r,i]
  typename Ops::template Parameter<T> count;
};

// The mean, after all rows. Returns whether every target is a class; the loss is not written otherwise.
template <class Ops, class T>
EB_HD EB_INLINE bool cross_entropy_mean(Ops& ops, const CrossEntropyOperands<Ops, T>& a, const RowShape& s) {
  auto total = ops.constant(Constant<T, 0>{});
  for (Index r = 0; r < s.rows; ++r) {
    const Index target = ops.load_index(a.targets, r);
    if (target < 0 || target >= s.n) return false;
    total = ops.add(total, ops.load(a.rows.y, r * s.n + target));
  }
  ops.store(a.loss, 0, ops.div(ops.negate(total), ops.parameter(a.count)));
  return true;
}

// One row, in W lanes; 1 is the oracle. Returns whether its target is a class; the row is not written otherwise.
template <int W, class Ops, class T>
EB_HD EB_INLINE bool cross_entropy_backward_row(Ops& ops, const CrossEntropyBackwardOperands<Ops, T>& a,
                                                const RowShape& s, Index r) {
  const Index target = ops.load_index(a.targets, r);
  if (target < 0 || target >= s.n) return false;
  const auto dx = a.dx.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  const auto share = ops.div(ops.load(a.grad, 0), ops.parameter(a.count));
  const auto shares = ops.broadcast(Lanes<W>{}, share);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(dx, i, policy.mul(policy.exp(policy.load(lanes, y, i)), shares));
  });
  ops.store(dx, target, ops.sub(ops.load(dx, target), share));
  return true;
}

}  // namespace eb
