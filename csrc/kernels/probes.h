// Calibration probes: work of one kind at a time, so that a fit can tell MACs from bytes.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

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

}  // namespace eb
