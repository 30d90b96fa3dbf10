// What is done to every element alone, forward, backward and in optimiser steps. One body serves every rung: it is
// instantiated over numbers (naive) and over W lanes (the others).
#pragma once

#include "common/ops.h"
#include "kernels/activations.h"
#include "kernels/pointwise.h"

namespace eb {

// How a body takes its elements: one by one, or W at a time as Lanes<W>.
struct OneByOne {};

template <class Ops, class P>
EB_HD EB_INLINE auto load(Ops& ops, OneByOne, P p, Index i) {
  return ops.load(p, i);
}
template <int W, class Ops, class P>
EB_HD EB_INLINE auto load(Ops& ops, Lanes<W> lanes, P p, Index i) {
  return ops.load(lanes, p, i);
}

template <class Ops, class T>
struct ElementwiseOperands {
  typename Ops::template Weight<const T> w;            // the parameter that an optimiser steps
  typename Ops::template Activation<const T> a, b, c;  // what else is read, in the order of the functions below
  typename Ops::template Activation<T> y, y1, y2;      // what is written
  typename Ops::template Parameter<T> p0, p1, p2, p3, p4, p5, p6;

  // The same arrays from element i on; `b` stays where it is (what is added to every repeat).
  EB_HD EB_INLINE ElementwiseOperands repeat_at(Index i) const {
    return {w, a.at(i), b, c, y.at(i), y1, y2, p0, p1, p2, p3, p4, p5, p6};
  }
};

// y = f(a)
template <class Function>
struct OfOne {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    ops.store(o.y, i, Function::template of<T>(ops, load(ops, lanes, o.a, i)));
  }
};

// y = f(a, b)
template <class Function>
struct OfTwo {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    ops.store(o.y, i, Function::template of<T>(ops, load(ops, lanes, o.a, i), load(ops, lanes, o.b, i)));
  }
};

struct AddTwo {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S a, S b) {
    return ops.add(a, b);
  }
};

// x > 0 ? x : p0·x
struct LeakyRelu {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    const auto x = load(ops, lanes, o.a, i);
    ops.store(o.y, i, ops.if_positive(x, x, ops.mul(x, ops.parameter(x, o.p0))));
  }
};

// ---- gradients: a is the gradient of y, b what the forward pass kept
// y > 0 ? g : 0, and g where y is NaN, as in torch
struct ReluBackward {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S g, S y) {
    return ops.if_at_most_zero(y, ops.constant(g, Constant<T, 0>{}), g);
  }
};
// x > 0 ? g : p0·g
struct LeakyReluBackward {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    const auto g = load(ops, lanes, o.a, i);
    const auto x = load(ops, lanes, o.b, i);
    ops.store(o.y, i, ops.if_positive(x, g, ops.mul(g, ops.parameter(g, o.p0))));
  }
};
// g·y·(1 − y)
struct SigmoidBackward {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S g, S y) {
    return ops.mul(ops.mul(g, y), ops.sub(ops.constant(y, Constant<T, 1>{}), y));
  }
};
// g·(1 − y²)
struct TanhBackward {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S g, S y) {
    return ops.mul(g, ops.sub(ops.constant(y, Constant<T, 1>{}), ops.mul(y, y)));
  }
};
// g·(Φ(x) + x·φ(x)), Φ = ½(1 + erf(x/√2)), φ = exp(−x²/2)/√(2π)
struct GeluBackward {
  template <class T, class Ops, class S>
  EB_HD EB_INLINE static auto of(Ops& ops, S g, S x) {
    const auto inner = ops.erf(ops.mul(x, ops.constant(x, InverseRootTwo<T>{})));
    const auto below = ops.mul(ops.add(ops.constant(x, Constant<T, 1>{}), inner), ops.constant(x, Constant<T, 1, 2>{}));
    const auto bell = ops.exp(ops.mul(ops.mul(x, x), ops.constant(x, Constant<T, -1, 2>{})));
    const auto density = ops.mul(bell, ops.constant(x, InverseRootTwoPi<T>{}));
    return ops.mul(g, ops.add(below, ops.mul(x, density)));
  }
};

// ---- optimiser steps of a parameter w with gradient a; kDecay adds p1·w to the gradient first
template <bool kDecay, class Ops, class A, class S>
EB_HD EB_INLINE S decayed(Ops& ops, const A& o, S g, S w) {
  if constexpr (kDecay) return ops.add(g, ops.mul(ops.parameter(w, o.p1), w));
  return g;
}

// y = w − p0·g
template <bool kDecay>
struct SgdStep {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    const auto w = load(ops, lanes, o.w, i);
    const auto g = decayed<kDecay>(ops, o, load(ops, lanes, o.a, i), w);
    ops.store(o.y, i, ops.sub(w, ops.mul(ops.parameter(w, o.p0), g)));
  }
};
// y1 = p2·v + g, y = w − p0·y1, v in b
template <bool kDecay>
struct MomentumStep {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    const auto w = load(ops, lanes, o.w, i);
    const auto g = decayed<kDecay>(ops, o, load(ops, lanes, o.a, i), w);
    const auto v = ops.add(ops.mul(ops.parameter(w, o.p2), load(ops, lanes, o.b, i)), g);
    ops.store(o.y1, i, v);
    ops.store(o.y, i, ops.sub(w, ops.mul(ops.parameter(w, o.p0), v)));
  }
};
// y1 = m + p2·(g − m), y2 = p3·v + (1 − p3)·g², y = w − p0·y1/(√y2/p4 + p5): m in b, v in c, p2 = 1 − β₁, p3 = β₂,
// p0 = lr/(1 − β₁ᵗ), p4 = √(1 − β₂ᵗ), p5 = ε; p6 = 1 − β₂ is rounded once from double.
template <bool kDecay>
struct AdamStep {
  template <class T, class Ops, class A, class L>
  EB_HD EB_INLINE static void at(Ops& ops, const A& o, L lanes, Index i) {
    const auto w = load(ops, lanes, o.w, i);
    const auto g = decayed<kDecay>(ops, o, load(ops, lanes, o.a, i), w);
    const auto m0 = load(ops, lanes, o.b, i);
    const auto m = ops.add(m0, ops.mul(ops.parameter(w, o.p2), ops.sub(g, m0)));
    const auto squares = ops.mul(ops.parameter(w, o.p6), ops.mul(g, g));
    const auto v = ops.add(ops.mul(ops.parameter(w, o.p3), load(ops, lanes, o.c, i)), squares);
    const auto root = ops.add(ops.div(ops.sqrt(v), ops.parameter(w, o.p4)), ops.parameter(w, o.p5));
    ops.store(o.y1, i, m);
    ops.store(o.y2, i, v);
    ops.store(o.y, i, ops.sub(w, ops.div(ops.mul(ops.parameter(w, o.p0), m), root)));
  }
};

}  // namespace eb
