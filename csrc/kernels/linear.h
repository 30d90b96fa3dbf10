// Fully connected layer (GEMM with a transposed second operand), forward:
//
//   y[m,n] = Σ_k x[m,k] · w[n,k] + bias[n]
//
// The naive rung and the panels of gemm.h add up one output's products in the order of k, in fused multiply-adds, and
// the bias last: the same bits. With few rows nothing shares a panel of w, and the product is read once either way:
// then each output is a dot product over lanes (linear_forward_dots), in another order.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "common/unrolled.h"

namespace eb {

template <class Ops, class T>
struct LinearOperands {
  typename Ops::template Activation<const T> x;  // x[m,k]
  typename Ops::template Weight<const T> w;      // w[n,k]
  typename Ops::template Weight<const T> bias;   // bias[n]
  typename Ops::template Activation<T> y;        // y[m,n]
};

// linear_forward_naive: one output element.
template <class Ops, class T>
EB_HD EB_INLINE void linear_forward_naive(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index m,
                                          Index n) {
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index k = 0; k < s.K; ++k) acc = ops.mac(ops.load(a.w, n * s.K + k), ops.load(a.x, m * s.K + k), acc);
  if (s.has_bias) acc = ops.add(acc, ops.load(a.bias, n));
  ops.store(a.y, m * s.N + n, acc);
}

// Up to this many rows of x go by dot products, and so many columns share a load of x.
constexpr Index kLinearFewRows = 4, kLinearDotColumns = 4;

// kRows × kColumns outputs from (m, n) on. Each is two chains of partial sums, so that eight of them hide the latency
// of the fused multiply-add.
template <int kLanes, int kRows, int kColumns, class Ops, class T>
EB_HD EB_INLINE void linear_dot_block(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index m,
                                      Index n) {
  constexpr Lanes<kLanes> lanes{};
  const auto x = a.x.at(m * s.K);  // x[m:,:]
  const auto w = a.w.at(n * s.K);  // w[n:,:]
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  decltype(ops.dot(zero, zero)) sum[kRows][kColumns], second[kRows][kColumns];
  // One step of kLanes products for all, begun (first time) or added up.
  const auto step = [&](auto& policy, auto& into, bool begun, Index k) EB_ALWAYS_INLINE {
    decltype(ops.load(lanes, x, 0)) row[kRows];
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE { row[r] = policy.load(lanes, x, r * s.K + k); });
    unrolled<kColumns>([&](auto c) EB_ALWAYS_INLINE {
      const auto column = policy.load(lanes, w, c * s.K + k);
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        into[r][c] = begun ? policy.mac(row[r], column, into[r][c]) : policy.dot(row[r], column);
      });
    });
  };
  auto few = ops.first(s.K);
  Index k = 0;
  if (s.K < kLanes) {
    step(few, sum, false, 0);
    k = s.K;
  } else if (s.K < 2 * kLanes) {
    step(ops, sum, false, 0);
    k = kLanes;
  } else {
    step(ops, sum, false, 0);
    step(ops, second, false, kLanes);
    for (k = 2 * kLanes; k + 2 * kLanes <= s.K; k += 2 * kLanes) {
      step(ops, sum, true, k);
      step(ops, second, true, k + kLanes);
    }
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kColumns>([&](auto c) EB_ALWAYS_INLINE { sum[r][c] = ops.join(sum[r][c], second[r][c]); });
    });
    if (k + kLanes <= s.K) {
      step(ops, sum, true, k);
      k += kLanes;
    }
  }
  if (k < s.K) {
    auto rest = ops.first(s.K - k);
    step(rest, sum, true, k);
  }
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    unrolled<kColumns>([&](auto c) EB_ALWAYS_INLINE {
      auto value = ops.fold(sum[r][c], ops.constant(Constant<T, 0>{}));
      if (s.has_bias) value = ops.add(value, ops.load(a.bias, n + c));
      ops.store(a.y, (m + r) * s.N + n + c, value);
    });
  });
}

template <int kLanes, int kColumns, class Ops, class T>
EB_HD EB_INLINE void linear_dot_columns(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index n) {
  Index m = 0;
  for (; m + 2 <= s.M; m += 2) linear_dot_block<kLanes, 2, kColumns>(ops, a, s, m, n);
  if (m < s.M) linear_dot_block<kLanes, 1, kColumns>(ops, a, s, m, n);
}

// linear_forward_dots: kLinearDotColumns columns of y from n on, all rows.
template <int kLanes, class Ops, class T>
EB_HD EB_INLINE void linear_forward_dots(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index n) {
  if (n + kLinearDotColumns <= s.N) {
    linear_dot_columns<kLanes, kLinearDotColumns>(ops, a, s, n);
  } else {
    for (; n < s.N; ++n) linear_dot_columns<kLanes, 1>(ops, a, s, n);
  }
}

}  // namespace eb
