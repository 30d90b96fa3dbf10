// Functions of one element, forward: y[i] = f(x[i])
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/activations.h"

namespace eb {

template <class Ops, class T>
struct PointwiseOperands {
  typename Ops::template Activation<const T> x;  // x[i]
  typename Ops::template Activation<T> y;        // y[i]
};

// max(x, 0); NaN stays NaN
struct Relu {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S x) {
    return ops.max(x, ops.constant(Constant<T, 0>{}));
  }
};
struct Sigmoid {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S x) {
    return sigmoid<T>(ops, x);
  }
};
struct Tanh {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S x) {
    return ops.tanh(x);
  }
};
// ½x · (1 + erf(x/√2)). 63018038201/44560482149 is a convergent of √2, within 10⁻²¹ of it.
struct Gelu {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S x) {
    const auto inner = ops.erf(ops.mul(x, ops.constant(Constant<T, 44560482149, 63018038201>{})));
    const auto half = ops.mul(x, ops.constant(Constant<T, 1, 2>{}));
    return ops.mul(half, ops.add(ops.constant(Constant<T, 1>{}), inner));
  }
};

// pointwise_forward_naive: one element.
template <class Function, class Ops, class T>
EB_HD EB_INLINE void pointwise_forward_naive(Ops& ops, const PointwiseOperands<Ops, T>& a, Index i) {
  ops.store(a.y, i, Function::template of<T>(ops, ops.load(a.x, i)));
}

}  // namespace eb
