// Calibration probes: work of one kind at a time, so that a fit can tell MACs from bytes.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "cpu/probes.h"
#include "kernels/reduce.h"

namespace eb {

// MACs without memory traffic. One stream is `steps` rounds of 14 MACs on W lanes: seven points that turn on an
// ellipse,
//   p ← p + a·q,  q ← q + b·p   with b = −a, |a| < 2,
// which preserves area: values stay bounded and never settle, as a contraction would (still operands cost less energy).
// Seven independent points keep two pipes of latency four busy to 7/8. Every lane starts at its own value in memory,
// x[stream, 14, W], for a compiler computes equal lanes once. The stream ends in one stored sum.
template <int W, class T, class Ops>
EB_HD EB_INLINE void probe_fma_stream(Ops& ops, typename Ops::template Activation<const T> x,
                                      typename Ops::template Activation<T> y, const FmaProbeShape& s, Index stream) {
  constexpr Lanes<W> lanes{};
  const auto a = ops.broadcast(lanes, ops.constant(Constant<T, 1, 2>{}));
  const auto b = ops.broadcast(lanes, ops.constant(Constant<T, -1, 2>{}));
  const auto start = x.at(stream * 14 * W);
  auto p0 = ops.load(lanes, start, 0 * W), q0 = ops.load(lanes, start, 1 * W);
  auto p1 = ops.load(lanes, start, 2 * W), q1 = ops.load(lanes, start, 3 * W);
  auto p2 = ops.load(lanes, start, 4 * W), q2 = ops.load(lanes, start, 5 * W);
  auto p3 = ops.load(lanes, start, 6 * W), q3 = ops.load(lanes, start, 7 * W);
  auto p4 = ops.load(lanes, start, 8 * W), q4 = ops.load(lanes, start, 9 * W);
  auto p5 = ops.load(lanes, start, 10 * W), q5 = ops.load(lanes, start, 11 * W);
  auto p6 = ops.load(lanes, start, 12 * W), q6 = ops.load(lanes, start, 13 * W);
  for (Index i = 0; i < s.steps; ++i) {
    p0 = ops.mac(a, q0, p0);
    p1 = ops.mac(a, q1, p1);
    p2 = ops.mac(a, q2, p2);
    p3 = ops.mac(a, q3, p3);
    p4 = ops.mac(a, q4, p4);
    p5 = ops.mac(a, q5, p5);
    p6 = ops.mac(a, q6, p6);
    q0 = ops.mac(b, p0, q0);
    q1 = ops.mac(b, p1, q1);
    q2 = ops.mac(b, p2, q2);
    q3 = ops.mac(b, p3, q3);
    q4 = ops.mac(b, p4, q4);
    q5 = ops.mac(b, p5, q5);
    q6 = ops.mac(b, p6, q6);
  }
  const auto p = ops.add(ops.add(ops.add(p0, p1), ops.add(p2, p3)), ops.add(ops.add(p4, p5), p6));
  const auto q = ops.add(ops.add(ops.add(q0, q1), ops.add(q2, q3)), ops.add(ops.add(q4, q5), q6));
  ops.store(y, stream, ops.sum(ops.add(p, q)));
}

// Bytes without arithmetic: y[i…i+W) = x[i…i+W).
template <int W, class T, class Ops>
EB_HD EB_INLINE void probe_stream_lanes(Ops& ops, typename Ops::template Activation<const T> x,
                                        typename Ops::template Activation<T> y, Index i) {
  ops.store(y, i, ops.load(Lanes<W>{}, x, i));
}
template <class T, class Ops>
EB_HD EB_INLINE void probe_stream_element(Ops& ops, typename Ops::template Activation<const T> x,
                                          typename Ops::template Activation<T> y, Index i) {
  ops.store(y, i, ops.load(x, i));
}

// ---- one kind of work each. Arrays are walked in blocks of kProbeBlock elements (cpu/probes.h), each block with an
// output of its own, so that neither counts nor results depend on the number of threads.

// MACs beside loads: every element x is loaded once, goes through `macs` rounds of p ← p·½ + ¼ and is added to its
// block's sum y[block]. With no rounds it is a stream of reads.
template <int W, class T, class Ops>
EB_HD EB_INLINE void probe_intensity_block(Ops& ops, typename Ops::template Activation<const T> x,
                                           typename Ops::template Activation<T> y, Index n, Index macs, Index block) {
  const Index first = block * kProbeBlock, count = n - first < kProbeBlock ? n - first : kProbeBlock;
  const auto half = ops.broadcast(Lanes<W>{}, ops.constant(Constant<T, 1, 2>{}));
  const auto quarter = ops.broadcast(Lanes<W>{}, ops.constant(Constant<T, 1, 4>{}));
  typename Ops::template Scalar<T> total[1] = {ops.constant(Constant<T, 0>{})};
  if (macs == 0) {
    reduce<Sum, W>(ops, count, total, [&](auto& policy, auto lanes, Index i, auto& value) EB_ALWAYS_INLINE {
      value[0] = policy.load(lanes, x, first + i);
    });
  } else {
    // eight vectors at a time hide the latency of the fused multiply-add
    constexpr int kVectors = 8;
    Index i = 0;
    for (; i + kVectors * W <= count; i += kVectors * W) {
      typename Ops::template Vec<T, W> p[kVectors];
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { p[v] = ops.load(Lanes<W>{}, x, first + i + v * W); });
      for (Index round = 0; round < macs; ++round) {
        unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { p[v] = ops.mac(p[v], half, quarter); });
      }
      const auto low = ops.add(ops.add(p[0], p[1]), ops.add(p[2], p[3]));
      const auto high = ops.add(ops.add(p[4], p[5]), ops.add(p[6], p[7]));
      total[0] = ops.fold_add(ops.add(low, high), total[0]);
    }
    each_vector<W>(ops, count - i, [&](auto& policy, auto lanes, Index rest) EB_ALWAYS_INLINE {
      auto p = policy.load(lanes, x, first + i + rest);
      for (Index round = 0; round < macs; ++round) p = policy.mac(p, half, quarter);
      total[0] = policy.fold_add(p, total[0]);
    });
  }
  ops.store(y, block, total[0]);
}

// Writes alone: y[i] = ½.
template <int W, class T, class Ops>
EB_HD EB_INLINE void probe_write_block(Ops& ops, typename Ops::template Activation<T> y, Index n, Index block) {
  const Index first = block * kProbeBlock, count = n - first < kProbeBlock ? n - first : kProbeBlock;
  each_vector<W>(ops, count, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(y, first + i, policy.broadcast(lanes, policy.constant(Constant<T, 1, 2>{})));
  });
}

// Loads that wait for each other: `steps` times the place that the last place holds. The cycle decides which cache
// answers. The last place is stored, so that nothing is left out; −1 where one lay outside the n.
template <class Ops, class Places, class Ends>
EB_HD EB_INLINE void probe_chase(Ops& ops, Places places, Ends ends, Index n, Index steps, Index chain, Index start) {
  Index at = start;
  for (Index step = 0; step < steps && at >= 0; ++step) {
    at = ops.load_index(places, at);
    if (at >= n) at = -1;
  }
  ops.store_mark(ends, chain, ops.mark(ops.marked(ops.constant(Constant<float, 0>{})), at < 0 ? -1 : at));
}

namespace probe {
#define EB_FUNCTION(name)                        \
  struct name {                                  \
    template <class Ops, class V>                \
    EB_HD EB_INLINE static V of(Ops& ops, V x) { \
      return ops.name(x);                        \
    }                                            \
  };
EB_FUNCTION(exp)
EB_FUNCTION(tanh)
EB_FUNCTION(erf)
EB_FUNCTION(sqrt)
EB_FUNCTION(log)
#undef EB_FUNCTION
}  // namespace probe

// One special function of each element: y[i] = f(x[i]).
template <class Function, int W, class Ops, class X, class Y>
EB_HD EB_INLINE void probe_special_block(Ops& ops, X x, Y y, Index n, Index block) {
  const Index first = block * kProbeBlock, count = n - first < kProbeBlock ? n - first : kProbeBlock;
  each_vector<W>(ops, count, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(y, first + i, Function::of(policy, policy.load(lanes, x, first + i)));
  });
}

}  // namespace eb
