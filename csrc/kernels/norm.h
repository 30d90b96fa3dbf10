// Layer normalisation over the last dimension, forward and backward, with μ and the biased variance of the row:
//
//   y[r,i] = (x[r,i] − μ) · rstd · weight[i] + bias[i],   rstd = 1/sqrt(var + ε)
//
//   x̂ = (x − μ)·rstd,  g = grad·weight:   dx = rstd·(g − Σg/n − x̂·Σg·x̂/n),  dweight = Σ_r grad·x̂,  dbias = Σ_r grad
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct LayerNormOperands {
  typename Ops::template Activation<const T> x;   // x[r,i]
  typename Ops::template Weight<const T> weight;  // weight[i]
  typename Ops::template Weight<const T> bias;    // bias[i]
  typename Ops::template Activation<T> y;         // y[r,i]
  typename Ops::template Activation<T> mean;      // mean[r], where statistics are kept
  typename Ops::template Activation<T> rstd;      // rstd[r]
  typename Ops::template Parameter<T> length;     // n as a number
  typename Ops::template Parameter<T> epsilon;
};

template <class Ops, class T>
struct LayerNormBackwardOperands {
  typename Ops::template Activation<const T> grad;  // grad[r,i], the gradient of y
  typename Ops::template Activation<const T> x;     // x[r,i]
  typename Ops::template Activation<const T> mean;  // mean[r]
  typename Ops::template Activation<const T> rstd;  // rstd[r]
  typename Ops::template Weight<const T> weight;    // weight[i]
  typename Ops::template Activation<T> dx;          // dx[r,i]
  typename Ops::template Activation<T> dweight;     // dweight[i]
  typename Ops::template Activation<T> dbias;       // dbias[i]
  typename Ops::template Parameter<T> length;       // n as a number
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
  if (s.keep_statistics) {
    ops.store(a.mean, r, mean);
    ops.store(a.rstd, r, scale);
  }
}

// The same passes in W lanes.
template <int W, class Ops, class T>
EB_HD EB_INLINE void layer_norm_forward_lanes(Ops& ops, const LayerNormOperands<Ops, T>& a, const RowShape& s,
                                              Index r) {
  const auto x = a.x.at(r * s.n);
  const auto y = a.y.at(r * s.n);
  const auto length = ops.parameter(a.length);
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.load(lanes, x, i);
  });
  const auto mean = ops.div(total[0], length);
  const auto center = ops.broadcast(Lanes<W>{}, mean);
  typename Ops::template Scalar<T> squares[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Sum, W>(ops, s.n, squares, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    const auto difference = policy.sub(policy.load(lanes, x, i), center);
    policy.store(y, i, difference);
    value[0] = policy.mul(difference, difference);
  });
  const auto rstd = ops.rsqrt(ops.add(ops.div(squares[0], length), ops.parameter(a.epsilon)));
  const auto scale = ops.broadcast(Lanes<W>{}, rstd);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    auto value = policy.mul(policy.load(lanes, y, i), scale);
    if (s.has_weight) value = policy.mul(value, policy.load(lanes, a.weight, i));
    if (s.has_bias) value = policy.add(value, policy.load(lanes, a.bias, i));
    policy.store(y, i, value);
  });
  if (s.keep_statistics) {
    ops.store(a.mean, r, mean);
    ops.store(a.rstd, r, rstd);
  }
}

// ---- layer_norm_backward_naive, in three phases with every row or column of one before any of the next: x̂ waits in
// dx, and a row's g in `row` where there are weights.
template <class Ops, class T>
EB_HD EB_INLINE void layer_norm_backward_naive_normalise(Ops& ops, const LayerNormBackwardOperands<Ops, T>& a,
                                                         const RowShape& s, Index r) {
  const auto mean = ops.load(a.mean, r);
  const auto rstd = ops.load(a.rstd, r);
  for (Index i = r * s.n; i < (r + 1) * s.n; ++i) {
    ops.store(a.dx, i, ops.mul(ops.sub(ops.load(a.x, i), mean), rstd));
  }
}
template <class Ops, class T>
EB_HD EB_INLINE void layer_norm_backward_naive_column(Ops& ops, const LayerNormBackwardOperands<Ops, T>& a,
                                                      const RowShape& s, Index i) {
  auto dweight = ops.constant(Constant<T, 0>{});
  auto dbias = ops.constant(Constant<T, 0>{});
  for (Index r = 0; r < s.rows; ++r) {
    const auto grad = ops.load(a.grad, r * s.n + i);
    if (s.has_weight) dweight = ops.add(dweight, ops.mul(grad, ops.load(a.dx, r * s.n + i)));
    if (s.has_bias) dbias = ops.add(dbias, grad);
  }
  if (s.has_weight) ops.store(a.dweight, i, dweight);
  if (s.has_bias) ops.store(a.dbias, i, dbias);
}
template <class Ops, class T, class Row>
EB_HD EB_INLINE void layer_norm_backward_naive_row(Ops& ops, const LayerNormBackwardOperands<Ops, T>& a,
                                                   const RowShape& s, Row row, Index r) {
  const auto grad = a.grad.at(r * s.n);
  const auto dx = a.dx.at(r * s.n);
  auto total = ops.constant(Constant<T, 0>{});
  auto projected = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.n; ++i) {
    auto g = ops.load(grad, i);
    if (s.has_weight) {
      g = ops.mul(g, ops.load(a.weight, i));
      ops.store(row, i, g);
    }
    total = ops.add(total, g);
    projected = ops.add(projected, ops.mul(g, ops.load(dx, i)));
  }
  const auto mean_g = ops.div(total, ops.parameter(a.length));
  const auto mean_gx = ops.div(projected, ops.parameter(a.length));
  const auto rstd = ops.load(a.rstd, r);
  for (Index i = 0; i < s.n; ++i) {
    const auto g = s.has_weight ? ops.load(row, i) : ops.load(grad, i);
    const auto rest = ops.sub(ops.sub(g, mean_g), ops.mul(ops.load(dx, i), mean_gx));
    ops.store(dx, i, ops.mul(rstd, rest));
  }
}

// ---- layer_norm_backward_lanes: kNormChunk rows at a time, so that they are in a cache when the columns are summed.
constexpr Index kNormChunk = 32;

// dx of the rows [first, first + rows), their x̂ in scratch[rows · n], and their part of dweight and dbias in
// sums[2 · n]: the columns of one chunk, each begun with its first row.
template <int W, class Ops, class T, class P>
EB_HD EB_INLINE void layer_norm_backward_lanes(Ops& ops, const LayerNormBackwardOperands<Ops, T>& a, const RowShape& s,
                                               P scratch, P sums, Index first, Index rows) {
  constexpr Lanes<W> lanes_of{};
  for (Index r = first; r < first + rows; ++r) {
    const auto x = a.x.at(r * s.n);
    const auto grad = a.grad.at(r * s.n);
    const auto dx = a.dx.at(r * s.n);
    const auto normalised = scratch.at((r - first) * s.n);
    const auto center = ops.broadcast(lanes_of, ops.load(a.mean, r));
    const auto rstd = ops.broadcast(lanes_of, ops.load(a.rstd, r));
    const auto zero = ops.constant(Constant<T, 0>{});
    typename Ops::template Scalar<T> total[2] = {zero, zero};
    reduce<Sum, W>(ops, s.n, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
      const auto hat = policy.mul(policy.sub(policy.load(lanes, x, i), center), rstd);
      policy.store(normalised, i, hat);
      auto g = policy.load(lanes, grad, i);
      if (s.has_weight) {
        g = policy.mul(g, policy.load(lanes, a.weight, i));
        policy.store(dx, i, g);
      }
      value[0] = g;
      value[1] = policy.mul(g, hat);
    });
    const auto mean_g = ops.broadcast(lanes_of, ops.div(total[0], ops.parameter(a.length)));
    const auto mean_gx = ops.broadcast(lanes_of, ops.div(total[1], ops.parameter(a.length)));
    each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
      const auto g = s.has_weight ? policy.load(lanes, dx, i) : policy.load(lanes, grad, i);
      const auto rest = policy.sub(policy.sub(g, mean_g), policy.mul(policy.load(lanes, normalised, i), mean_gx));
      policy.store(dx, i, policy.mul(rstd, rest));
    });
  }
  if (!s.has_weight && !s.has_bias) return;
  const auto grads = a.grad.at(first * s.n);
  each_vector<W>(ops, s.n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    auto dbias = policy.load(lanes, grads, i);
    auto dweight = dbias;
    if (s.has_weight) dweight = policy.mul(dbias, policy.load(lanes, scratch, i));
    for (Index r = 1; r < rows; ++r) {
      const auto grad = policy.load(lanes, grads, r * s.n + i);
      if (s.has_weight) dweight = policy.add(dweight, policy.mul(grad, policy.load(lanes, scratch, r * s.n + i)));
      if (s.has_bias) dbias = policy.add(dbias, grad);
    }
    if (s.has_weight) policy.store(sums, i, dweight);
    if (s.has_bias) policy.store(sums, s.n + i, dbias);
  });
}

// The chunks' parts of one vector of dweight or dbias, added up from zero.
template <int W, class T, class Ops, class P, class Q>
EB_HD EB_INLINE void add_up_chunks(Ops& ops, P sums, Q result, Index n, Index chunks, Index i) {
  const auto add_up = [&](auto& policy) EB_ALWAYS_INLINE {
    auto total = policy.broadcast(Lanes<W>{}, policy.constant(Constant<T, 0>{}));
    for (Index c = 0; c < chunks; ++c) total = policy.add(total, policy.load(Lanes<W>{}, sums, c * 2 * n + i));
    policy.store(result, i, total);
  };
  if (i + W <= n) {
    add_up(ops);
  } else {
    auto part = ops.first(n - i);
    add_up(part);
  }
}

}  // namespace eb
