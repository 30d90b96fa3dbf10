// Batch normalisation over a channel's elements in all images, x[n,c,s] with s the place in an image. With μ and the
// biased variance of the batch (training) or of before (inference), and m the number of elements of a channel:
//
//   training    y = (x − μ)·rstd·weight + bias,  rstd = 1/sqrt(var + ε)
//               running = (1 − momentum)·running + momentum·(μ, var·m/(m − 1))
//   inference   y = x·scale + shift,  scale = weight/sqrt(var + ε),  shift = bias − μ·scale
//
//   x̂ = (x − μ)·rstd:   training    dx = rstd·weight·(g − Σg/m − x̂·Σg·x̂/m)
//                       inference   dx = g·scale
//                       dweight = Σ g·x̂,  dbias = Σ g
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct BatchNormOperands {
  typename Ops::template Activation<const T> x;                          // x[n,c,s]
  typename Ops::template Weight<const T> weight, bias;                   // weight[c], bias[c]
  typename Ops::template Activation<const T> running_mean, running_var;  // of before
  typename Ops::template Activation<T> y;
  typename Ops::template Activation<T> mean, rstd;                  // of the batch, where statistics are kept
  typename Ops::template Activation<T> new_mean, new_var;           // running statistics after this batch
  typename Ops::template Parameter<T> length, epsilon;              // m
  typename Ops::template Parameter<T> stay, blend_mean, blend_var;  // 1 − momentum, momentum, momentum·m/(m − 1)
};

template <class Ops, class T>
struct BatchNormBackwardOperands {
  typename Ops::template Activation<const T> grad, x;
  typename Ops::template Activation<const T> mean, spread;  // training: rstd; inference: the variance
  typename Ops::template Weight<const T> weight;
  typename Ops::template Activation<T> dx, dweight, dbias;
  typename Ops::template Parameter<T> length, epsilon;
};

// The elements of channel c.
EB_HD EB_FORCED Runs channel_runs(const BatchNormShape& s, Index c) { return {c * s.S, s.N, s.C * s.S, s.S}; }

// One number for every lane; a number stays what it is.
template <int W, class Ops, class S>
EB_HD EB_INLINE auto in_lanes(Ops& ops, S a) {
  return ops.broadcast(Lanes<W>{}, a);
}

// batch_norm_training: one channel in three passes; the differences x − μ wait in y, so they are taken once.
// `Walk` is how a channel is walked: number by number (naive), or in W lanes.
template <class Walk, class Ops, class T>
EB_HD EB_INLINE void batch_norm_training(Ops& ops, const BatchNormOperands<Ops, T>& a, const BatchNormShape& s,
                                         Index c) {
  constexpr int W = Walk::kLanes;
  const Runs runs = channel_runs(s, c);
  const auto length = ops.parameter(a.length);
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  Walk::sum(ops, runs, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.load(lanes, a.x, i);
  });
  const auto mean = ops.div(total[0], length);
  const auto center = in_lanes<W>(ops, mean);
  typename Ops::template Scalar<T> squares[1] = {ops.constant(Constant<T, 0>{})};
  Walk::sum(ops, runs, squares, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    const auto difference = policy.sub(policy.load(lanes, a.x, i), center);
    policy.store(a.y, i, difference);
    value[0] = policy.mul(difference, difference);
  });
  const auto variance = ops.div(squares[0], length);
  const auto rstd = ops.rsqrt(ops.add(variance, ops.parameter(a.epsilon)));
  const auto zero = ops.constant(Constant<T, 0>{});
  const auto scale = in_lanes<W>(ops, rstd);
  const auto weight = in_lanes<W>(ops, s.has_weight ? ops.load(a.weight, c) : zero);
  const auto bias = in_lanes<W>(ops, s.has_bias ? ops.load(a.bias, c) : zero);
  each_run<W>(ops, runs, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    auto value = policy.mul(policy.load(lanes, a.y, i), scale);
    if (s.has_weight) value = policy.mul(value, weight);
    if (s.has_bias) value = policy.add(value, bias);
    policy.store(a.y, i, value);
  });
  if (s.keep_statistics) {
    ops.store(a.mean, c, mean);
    ops.store(a.rstd, c, rstd);
  }
  if (s.has_running) {
    const auto stay = ops.parameter(a.stay);
    const auto old_mean = ops.mul(stay, ops.load(a.running_mean, c));
    const auto old_var = ops.mul(stay, ops.load(a.running_var, c));
    ops.store(a.new_mean, c, ops.add(old_mean, ops.mul(ops.parameter(a.blend_mean), mean)));
    ops.store(a.new_var, c, ops.add(old_var, ops.mul(ops.parameter(a.blend_var), variance)));
  }
}

template <class Walk, class Ops, class T>
EB_HD EB_INLINE void batch_norm_inference(Ops& ops, const BatchNormOperands<Ops, T>& a, const BatchNormShape& s,
                                          Index c) {
  constexpr int W = Walk::kLanes;
  auto factor = ops.rsqrt(ops.add(ops.load(a.running_var, c), ops.parameter(a.epsilon)));
  if (s.has_weight) factor = ops.mul(ops.load(a.weight, c), factor);
  const auto moved = ops.mul(ops.load(a.running_mean, c), factor);
  const auto scale = in_lanes<W>(ops, factor);
  const auto shift = in_lanes<W>(ops, s.has_bias ? ops.sub(ops.load(a.bias, c), moved) : ops.negate(moved));
  each_run<W>(ops, channel_runs(s, c), [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(a.y, i, policy.add(policy.mul(policy.load(lanes, a.x, i), scale), shift));
  });
}

// batch_norm_training_backward: one channel in two passes; x̂ waits in dx.
template <class Walk, class Ops, class T>
EB_HD EB_INLINE void batch_norm_training_backward(Ops& ops, const BatchNormBackwardOperands<Ops, T>& a,
                                                  const BatchNormShape& s, Index c) {
  constexpr int W = Walk::kLanes;
  const Runs runs = channel_runs(s, c);
  const auto spread = ops.load(a.spread, c);
  const auto center = in_lanes<W>(ops, ops.load(a.mean, c));
  const auto rstd = in_lanes<W>(ops, spread);
  const auto zero = ops.constant(Constant<T, 0>{});
  typename Ops::template Scalar<T> total[2] = {zero, zero};
  Walk::sum(ops, runs, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
    const auto hat = policy.mul(policy.sub(policy.load(lanes, a.x, i), center), rstd);
    policy.store(a.dx, i, hat);
    value[0] = policy.load(lanes, a.grad, i);
    value[1] = policy.mul(value[0], hat);
  });
  const auto length = ops.parameter(a.length);
  const auto mean_g = in_lanes<W>(ops, ops.div(total[0], length));
  const auto mean_gx = in_lanes<W>(ops, ops.div(total[1], length));
  const auto scale = in_lanes<W>(ops, s.has_weight ? ops.mul(spread, ops.load(a.weight, c)) : spread);
  each_run<W>(ops, runs, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    const auto rest =
        policy.sub(policy.sub(policy.load(lanes, a.grad, i), mean_g), policy.mul(policy.load(lanes, a.dx, i), mean_gx));
    policy.store(a.dx, i, policy.mul(scale, rest));
  });
  if (s.has_weight) ops.store(a.dweight, c, total[1]);
  if (s.has_bias) ops.store(a.dbias, c, total[0]);
}

template <class Walk, class Ops, class T>
EB_HD EB_INLINE void batch_norm_inference_backward(Ops& ops, const BatchNormBackwardOperands<Ops, T>& a,
                                                   const BatchNormShape& s, Index c) {
  constexpr int W = Walk::kLanes;
  const Runs runs = channel_runs(s, c);
  const auto rstd = ops.rsqrt(ops.add(ops.load(a.spread, c), ops.parameter(a.epsilon)));
  const auto scale = in_lanes<W>(ops, s.has_weight ? ops.mul(ops.load(a.weight, c), rstd) : rstd);
  const auto zero = ops.constant(Constant<T, 0>{});
  if (s.has_weight) {
    const auto center = in_lanes<W>(ops, ops.load(a.mean, c));
    typename Ops::template Scalar<T> projected[1] = {zero};
    Walk::sum(ops, runs, projected, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
      const auto difference = policy.sub(policy.load(lanes, a.x, i), center);
      value[0] = policy.mul(policy.load(lanes, a.grad, i), difference);
    });
    ops.store(a.dweight, c, ops.mul(rstd, projected[0]));
  }
  if (s.has_bias) {
    typename Ops::template Scalar<T> total[1] = {zero};
    Walk::sum(ops, runs, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
      value[0] = policy.load(lanes, a.grad, i);
    });
    ops.store(a.dbias, c, total[0]);
  }
  each_run<W>(ops, runs, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(a.dx, i, policy.mul(policy.load(lanes, a.grad, i), scale));
  });
}

}  // namespace eb
