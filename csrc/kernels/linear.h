// Fully connected layer (GEMM with a transposed second operand), forward:
//
//   y[m,n] = Σ_k x[m,k] · w[n,k] + bias[n]
//
// Every rung adds up one output's products in the order of k, in fused multiply-adds, and the bias last: all rungs give
// the same bits.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

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

}  // namespace eb
