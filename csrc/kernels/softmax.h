// Softmax and its logarithm over the last dimension, forward and backward. Naive bodies work number by number; the
// others are the same passes over W lanes (reduce.h).
//
//   softmax       y[r,i] = exp(x[r,i] − max x[r,:]) / Σ exp(x[r,:] − max x[r,:])    dx = y·(g − Σ g·y)
//   log_softmax   y[r,i] = x[r,i] − max x[r,:] − log Σ exp(x[r,:] − max x[r,:])     dx = g − exp(y)·Σ g
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct SoftmaxOperands {
  typename Ops::template Activation<const T> x;  // x[r,i]
  typename Ops::template Activation<T> y;        // y[r,i]
};

template <class Ops, class T>
struct SoftmaxBackwardOperands {
  typename Ops::template Activation<const T> grad;  // grad[r,i], the gradient of y
  typename Ops::template Activation<const T> y;     // y[r,i]
  typename Ops::template Activation<T> dx;          // dx[r,i]
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

// The largest element of a row, in W lanes.
template <int W, class T, class Ops, class P>
EB_HD EB_INLINE auto largest_of(Ops& ops, P x, Index n) {
  typename Ops::template Scalar<T> largest[1] = {ops.template negative_infinity<T>()};
  reduce<Largest, W>(ops, n, largest, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.load(lanes, x, i);
  });
  return largest[0];
}

template <int W, class Ops, class T>
EB_HD EB_INLINE void softmax_forward_lanes(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  const auto largest = ops.broadcast(Lanes<W>{}, largest_of<W, T>(ops, x, s.n));
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.exp(policy.sub(policy.load(lanes, x, i), largest));
    policy.store(y, i, value[0]);
  });
  const auto divisor = ops.broadcast(Lanes<W>{}, total[0]);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(y, i, policy.div(policy.load(lanes, y, i), divisor));
  });
}

template <class Ops, class T>
EB_HD EB_INLINE void softmax_backward_naive(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s,
                                            Index r) {
  const auto grad = a.grad.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  auto total = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) total = ops.add(total, ops.mul(ops.load(grad, i), ops.load(y, i)));
  for (Index i = 0; i < s.n; ++i) {
    ops.store(a.dx, r * s.n + i, ops.mul(ops.load(y, i), ops.sub(ops.load(grad, i), total)));
  }
}

template <int W, class Ops, class T>
EB_HD EB_INLINE void softmax_backward_lanes(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s,
                                            Index r) {
  const auto grad = a.grad.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.mul(policy.load(lanes, grad, i), policy.load(lanes, y, i));
  });
  const auto sum = ops.broadcast(Lanes<W>{}, total[0]);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(a.dx, r * s.n + i, policy.mul(policy.load(lanes, y, i), policy.sub(policy.load(lanes, grad, i), sum)));
  });
}

// log_softmax_forward_naive: one row in three passes; the differences from the largest wait in y.
template <class Ops, class T>
EB_HD EB_INLINE void log_softmax_forward_naive(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  auto largest = ops.template negative_infinity<T>();
  for (Index i = 0; i < s.n; ++i) largest = ops.max(largest, ops.load(x, i));
  auto total = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) {
    const auto difference = ops.sub(ops.load(x, i), largest);
    total = ops.add(total, ops.exp(difference));
    ops.store(y, i, difference);
  }
  const auto log_total = ops.log(total);
  for (Index i = 0; i < s.n; ++i) ops.store(y, i, ops.sub(ops.load(y, i), log_total));
}

template <int W, class Ops, class T>
EB_HD EB_INLINE void log_softmax_forward_lanes(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  const auto largest = ops.broadcast(Lanes<W>{}, largest_of<W, T>(ops, x, s.n));
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    const auto difference = policy.sub(policy.load(lanes, x, i), largest);
    value[0] = policy.exp(difference);
    policy.store(y, i, difference);
  });
  const auto log_total = ops.broadcast(Lanes<W>{}, ops.log(total[0]));
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(y, i, policy.sub(policy.load(lanes, y, i), log_total));
  });
}

template <class Ops, class T>
EB_HD EB_INLINE void log_softmax_backward_naive(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s,
                                                Index r) {
  const auto grad = a.grad.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  auto total = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) total = ops.add(total, ops.load(grad, i));
  for (Index i = 0; i < s.n; ++i) {
    ops.store(a.dx, r * s.n + i, ops.sub(ops.load(grad, i), ops.mul(ops.exp(ops.load(y, i)), total)));
  }
}

template <int W, class Ops, class T>
EB_HD EB_INLINE void log_softmax_backward_lanes(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s,
                                                Index r) {
  const auto grad = a.grad.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.load(lanes, grad, i);
  });
  const auto sum = ops.broadcast(Lanes<W>{}, total[0]);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(a.dx, r * s.n + i,
                 policy.sub(policy.load(lanes, grad, i), policy.mul(policy.exp(policy.load(lanes, y, i)), sum)));
  });
}

}  // namespace eb
