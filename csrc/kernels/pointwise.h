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
    return ops.max(x, ops.constant(x, Constant<T, 0>{}));
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
// 1/√2 and 1/√(2π), each by a convergent within 10⁻²¹ of it.
template <class T>
using InverseRootTwo = Constant<T, 44560482149, 63018038201>;
template <class T>
using InverseRootTwoPi = Constant<T, 2520802687, 6318715290>;

// ½x · (1 + erf(x/√2))
struct Gelu {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S x) {
    const auto inner = ops.erf(ops.mul(x, ops.constant(x, InverseRootTwo<T>{})));
    const auto half = ops.mul(x, ops.constant(x, Constant<T, 1, 2>{}));
    return ops.mul(half, ops.add(ops.constant(x, Constant<T, 1>{}), inner));
  }
};

// pointwise_forward_naive: one element.
template <class Function, class Ops, class T>
EB_HD EB_INLINE void pointwise_forward_naive(Ops& ops, const PointwiseOperands<Ops, T>& a, Index i) {
  ops.store(a.y, i, Function::template of<T>(ops, ops.load(a.x, i)));
}

}  // namespace eb
