// Fully connected layer (GEMM with a transposed second operand) and its gradients:
//
//   y[m,n] = Σ_k x[m,k] · w[n,k] + bias[n]
//   dx[m,k] = Σ_n dy[m,n] · w[n,k]      dw[n,k] = Σ_m dy[m,n] · x[m,k]      db[n] = Σ_m dy[m,n]
//
// x and w may be stored transposed; dx and dw lie as they do. The naive rung and the panels of gemm.h add up one
// output's products in the order of the summed index, in fused multiply-adds, and the bias last: the same bits. With
// few rows nothing shares a panel of w, and w is read where it lies: as dot products over lanes where k runs along it
// (linear_forward_dots, in another order), else as rows of it times numbers (linear_rows, in the naive order).
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "common/unrolled.h"
#include "kernels/gemm.h"
#include "kernels/products.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct LinearOperands {
  typename Ops::template Activation<const T> x;  // x[m,k]
  typename Ops::template Weight<const T> w;      // w[n,k]
  typename Ops::template Weight<const T> bias;   // bias[n]
  typename Ops::template Activation<T> y;        // y[m,n]
};

template <class Ops, class T>
struct LinearBackwardOperands {
  typename Ops::template Activation<const T> grad;  // grad[m,n], the gradient of y
  typename Ops::template Activation<const T> x;     // x[m,k]
  typename Ops::template Weight<const T> w;         // w[n,k]
  typename Ops::template Activation<T> dx, dw, db;
};

// x(m,k), or its gradient, and w(n,k), or its, however they are stored.
template <class P>
EB_HD EB_FORCED Matrix<P> linear_x(P x, const LinearShape& s) {
  return s.x_transposed ? Matrix<P>{x, 1, s.M} : Matrix<P>{x, s.K, 1};
}
template <class P>
EB_HD EB_FORCED Matrix<P> linear_w(P w, const LinearShape& s) {
  return s.w_transposed ? Matrix<P>{w, 1, s.N} : Matrix<P>{w, s.K, 1};
}

// linear_forward_naive: one output element.
template <class Ops, class T>
EB_HD EB_INLINE void linear_forward_naive(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index m,
                                          Index n) {
  const auto x = linear_x(a.x, s);
  const auto w = linear_w(a.w, s);
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index k = 0; k < s.K; ++k) acc = ops.mac(ops.load(w.data, w.at(n, k)), ops.load(x.data, x.at(m, k)), acc);
  if (s.has_bias) acc = ops.add(acc, ops.load(a.bias, n));
  ops.store(a.y, m * s.N + n, acc);
}

// linear_backward_input_naive: one element of dx.
template <class Ops, class T>
EB_HD EB_INLINE void linear_backward_input_naive(Ops& ops, const LinearBackwardOperands<Ops, T>& a,
                                                 const LinearShape& s, Index m, Index k) {
  const auto w = linear_w(a.w, s);
  const auto dx = linear_x(a.dx, s);
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index n = 0; n < s.N; ++n) acc = ops.mac(ops.load(w.data, w.at(n, k)), ops.load(a.grad, m * s.N + n), acc);
  ops.store(dx.data, dx.at(m, k), acc);
}

// linear_backward_weight_naive: one element of dw.
template <class Ops, class T>
EB_HD EB_INLINE void linear_backward_weight_naive(Ops& ops, const LinearBackwardOperands<Ops, T>& a,
                                                  const LinearShape& s, Index n, Index k) {
  const auto x = linear_x(a.x, s);
  const auto dw = linear_w(a.dw, s);
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index m = 0; m < s.M; ++m) acc = ops.mac(ops.load(a.grad, m * s.N + n), ops.load(x.data, x.at(m, k)), acc);
  ops.store(dw.data, dw.at(n, k), acc);
}

// linear_backward_bias: kLanes · kVectors elements of db from n on, or as many as there are, rows from first to last:
// the same bits for any of both.
template <int kLanes, int kVectors, class Ops, class T>
EB_HD EB_INLINE void linear_backward_bias(Ops& ops, const LinearBackwardOperands<Ops, T>& a, const LinearShape& s,
                                          Index n) {
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kVectors];
  unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[v] = zero; });
  for (Index m = 0; m < s.M; ++m) {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(s.N - n - v * kLanes);
      sum[v] = part.add(sum[v], part.load(lanes, a.grad, m * s.N + n + v * kLanes));
    });
  }
  unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
    auto part = ops.first(s.N - n - v * kLanes);
    part.store(a.db, n + v * kLanes, sum[v]);
  });
}

// ---- few rows: w where it lies --------------------------------------------------------------------------------------

// linear_rows: C(m,c) = Σ_d a(m,d) · b(d,c), kRows rows from m on and a tile's columns from `column` on, of N; rows of
// b are neighbours. `epilogue` as in gemm.h.
template <class Shape, int kRows, class Ops, class A, class B, class C, class Epilogue>
EB_HD EB_INLINE void linear_rows(Ops& ops, const Matrix<A>& a, const Matrix<B>& b, C c, Index N, Index depth, Index m,
                                 Index column, const Epilogue& epilogue) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<typename Shape::Element, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
  unrolled<kRows>([&](auto r)
                      EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zero; }); });
  const auto inside = [&](Index v) EB_ALWAYS_INLINE { return N - column - v * kLanes; };
  const auto origin = b.data.at(column);
  const auto run = [&](const auto& vector) EB_ALWAYS_INLINE {
    add_products<kLanes>(
        ops, 0, depth, [&](Index d, Index r) EB_ALWAYS_INLINE { return ops.load(a.data, a.at(m + r, d)); }, vector, sum,
        [&](Index, Index v) EB_ALWAYS_INLINE { return inside(v); });
  };
  if (N - column >= Shape::kColumns) {
    run([&](Index d, Index v) EB_ALWAYS_INLINE { return ops.load(lanes, origin, d * b.row_stride + v * kLanes); });
  } else {
    run([&](Index d, Index v) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      return part.load(lanes, origin, d * b.row_stride + v * kLanes);
    });
  }
  unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
    auto part = ops.first(inside(v));
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      part.store(c, (m + r) * N + column + v * kLanes, epilogue(part, lanes, sum[r][v], r, v * kLanes));
    });
  });
}

// linear_row_stream: one row m of the same, columns [column, end): kTerms rows of b at a time from end to end, the sums
// waiting in C, so that b is read in long runs. `epilogue(column)` makes that of a column.
template <int kLanes, int kTerms, class T, class Ops, class A, class B, class C, class MakeEpilogue>
EB_HD EB_INLINE void linear_row_stream(Ops& ops, const Matrix<A>& a, const Matrix<B>& b, C c, Index N, Index depth,
                                       Index m, Index column, Index end, const MakeEpilogue& epilogue) {
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  const auto out = c.at(m * N);
  const auto terms = [&](Index d, auto count) EB_ALWAYS_INLINE {
    std::remove_const_t<decltype(zero)> value[count];
    unrolled<count>([&](auto t)
                        EB_ALWAYS_INLINE { value[t] = ops.broadcast(lanes, ops.load(a.data, a.at(m, d + t))); });
    const auto rows = b.data.at(d * b.row_stride);
    each_vector<kLanes>(ops, end - column, [&](auto& policy, auto, Index i) EB_ALWAYS_INLINE {
      const Index n = column + i;
      auto sum = d == 0 ? zero : policy.load(lanes, out, n);
      unrolled<count>([&](auto t) EB_ALWAYS_INLINE {
        sum = policy.mac(policy.load(lanes, rows, t * b.row_stride + n), value[t], sum);
      });
      if (d + count == depth) sum = epilogue(n)(policy, lanes, sum, 0, 0);
      policy.store(out, n, sum);
    });
  };
  Index d = 0;
  for (; d + kTerms <= depth; d += kTerms) terms(d, std::integral_constant<int, kTerms>{});
  for (; d < depth; ++d) terms(d, std::integral_constant<int, 1>{});
}

// Up to this many rows are too few to share a panel of w, and as many share its loads where they are more; up to so
// many have it where it lies, if its rows are neighbours, and so do sums of so few terms. Where k runs along w, so many
// rows of so much depth are dot products, whose sums over lanes are paid for by then. So many columns share a load of
// x.
constexpr Index kLinearFewRows = 4, kLinearInPlaceRows = 32, kLinearFewTerms = 4, kLinearDotRows = 32,
                kLinearDotDepth = 256, kLinearDotColumns = 4;

EB_HD EB_FORCED bool linear_by_dots(const LinearShape& s) {
  const Index rows = s.K < kLinearDotDepth ? kLinearFewRows : kLinearDotRows;
  return s.M <= rows && !s.x_transposed && !s.w_transposed;
}

// kRows × kColumns outputs from (m, n) on, each in kChains chains of partial sums: enough of them hide the latency of
// the fused multiply-add.
template <int kLanes, int kRows, int kColumns, int kChains, class Ops, class T>
EB_HD EB_INLINE void linear_dot_block(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index m,
                                      Index n) {
  constexpr Lanes<kLanes> lanes{};
  const auto x = a.x.at(m * s.K);  // x[m:,:]
  const auto w = a.w.at(n * s.K);  // w[n:,:]
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  decltype(ops.dot(zero, zero)) sum[kChains][kRows * kColumns];
  // One step of kLanes products for all, begun (first time) or added up.
  const auto step = [&](auto& policy, auto& into, bool begun, Index k) EB_ALWAYS_INLINE {
    decltype(ops.load(lanes, x, 0)) row[kRows];
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE { row[r] = policy.load(lanes, x, r * s.K + k); });
    unrolled<kColumns>([&](auto c) EB_ALWAYS_INLINE {
      const auto column = policy.load(lanes, w, c * s.K + k);
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        auto& one = into[r * kColumns + c];
        one = begun ? policy.mac(row[r], column, one) : policy.dot(row[r], column);
      });
    });
  };
  constexpr Index kStep = kChains * kLanes;
  Index k = 0;
  if (s.K < kLanes) {
    auto few = ops.first(s.K);
    step(few, sum[0], false, 0);
    k = s.K;
  } else if (s.K < kStep) {
    step(ops, sum[0], false, 0);
    k = kLanes;
  } else {
    unrolled<kChains>([&](auto chain) EB_ALWAYS_INLINE { step(ops, sum[chain], false, chain * kLanes); });
    for (k = kStep; k + kStep <= s.K; k += kStep) {
      unrolled<kChains>([&](auto chain) EB_ALWAYS_INLINE { step(ops, sum[chain], true, k + chain * kLanes); });
    }
    if constexpr (kChains == 2) {
      unrolled<kRows * kColumns>([&](auto e) EB_ALWAYS_INLINE { sum[0][e] = ops.join(sum[0][e], sum[1][e]); });
    }
  }
  for (; k + kLanes <= s.K; k += kLanes) step(ops, sum[0], true, k);
  if (k < s.K) {
    auto rest = ops.first(s.K - k);
    step(rest, sum[0], true, k);
  }
  const auto y = a.y.at(m * s.N + n);
  if constexpr (kRows * kColumns == kLanes) {  // lane r · kColumns + c has output (m + r, n + c)
    auto value = ops.fold(sum[0]);
    if (s.has_bias) {
      auto bias = value;
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        bias = ops.load(bias, a.bias, n - r * kColumns, r * kColumns, (r + 1) * kColumns);
      });
      value = ops.add(value, bias);
    }
    unrolled<kRows>(
        [&](auto r) EB_ALWAYS_INLINE { ops.store(y, r * (s.N - kColumns), value, r * kColumns, (r + 1) * kColumns); });
  } else {
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kColumns>([&](auto c) EB_ALWAYS_INLINE {
        auto value = ops.fold(sum[0][r * kColumns + c], ops.constant(Constant<T, 0>{}));
        if (s.has_bias) value = ops.add(value, ops.load(a.bias, n + c));
        ops.store(y, r * s.N + c, value);
      });
    });
  }
}

// All rows of kColumns columns: as many at a time as make, with four columns, a product for each lane.
template <int kLanes, int kColumns, class Ops, class T>
EB_HD EB_INLINE void linear_dot_columns(Ops& ops, const LinearOperands<Ops, T>& a, const LinearShape& s, Index n) {
  constexpr int kSquare = kLanes / 4;
  Index m = 0;
  if constexpr (kSquare > 2) {
    for (; m + kSquare <= s.M; m += kSquare) linear_dot_block<kLanes, kSquare, kColumns, 1>(ops, a, s, m, n);
  }
  for (; m + 2 <= s.M; m += 2) linear_dot_block<kLanes, 2, kColumns, kSquare == 2 ? 1 : 2>(ops, a, s, m, n);
  if (m < s.M) linear_dot_block<kLanes, 1, kColumns, 2>(ops, a, s, m, n);
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
