// Dropout with a mask from a counter-based generator (common/random.h), so that element i is dropped or not whatever
// the rung and the number of threads:
//
//   mask[i] = uniform(seed, i) < keep     y[i] = mask[i] ? x[i]/keep : x[i]·0     dx[i] = likewise, of grad
#pragma once

#include "common/ops.h"
#include "common/random.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct DropoutOperands {
  typename Ops::template Activation<const T> x;
  typename Ops::template Activation<T> y;
  typename Ops::template Activation<std::uint8_t> mask;
  typename Ops::template Parameter<T> keep, scale;  // keep, 1/keep
  std::uint64_t seed;
};

template <class Ops, class T>
struct DropoutBackwardOperands {
  typename Ops::template Activation<const T> grad;
  typename Ops::template Activation<const std::uint8_t> mask;
  typename Ops::template Activation<T> dx;
  typename Ops::template Parameter<T> scale;
};

// Elements of one block of random numbers, those before n, in W lanes.
template <int W, class Ops, class T>
EB_HD EB_INLINE void dropout_block(Ops& ops, const DropoutOperands<Ops, T>& a, Index n, Index block) {
  RandomBlock numbers;
  fill<W* static_cast<int>(sizeof(T))>(numbers, a.seed, static_cast<std::uint64_t>(block));
  const Index first = block * kRandomBlock, left = n - first;
  const auto keep = ops.broadcast(Lanes<W>{}, ops.parameter(a.keep));
  const auto scale = ops.broadcast(Lanes<W>{}, ops.parameter(a.scale));
  const auto zero = ops.broadcast(Lanes<W>{}, ops.constant(Constant<T, 0>{}));
  each_vector<W>(ops, left < kRandomBlock ? left : kRandomBlock,
                 [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
                   const auto number = policy.template uniform<T>(lanes, numbers, i);
                   const auto factor = policy.if_less(number, keep, scale, zero);
                   policy.store_flags(a.mask, first + i, factor);
                   policy.store(a.y, first + i, policy.mul(policy.load(lanes, a.x, first + i), factor));
                 });
}

// Elements [first, first + n), in W lanes.
template <int W, class Ops, class T>
EB_HD EB_INLINE void dropout_backward_elements(Ops& ops, const DropoutBackwardOperands<Ops, T>& a, Index first,
                                               Index n) {
  const auto scale = ops.broadcast(Lanes<W>{}, ops.parameter(a.scale));
  each_vector<W>(ops, n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    const auto factor = policy.load_flags(lanes, a.mask, first + i, scale);
    policy.store(a.dx, first + i, policy.mul(policy.load(lanes, a.grad, first + i), factor));
  });
}

}  // namespace eb
