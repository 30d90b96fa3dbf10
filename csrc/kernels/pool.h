// Two-dimensional pooling, forward and backward, over the taps of a window that lie inside the image:
//
//   max  y[n,c,oh,ow] = max x[n, c, oh·s − p + kh·d, ow·s − p + kw·d]                dx[winner] += grad
//   avg  y[n,c,oh,ow] = Σ   x[n, c, oh·s − p + kh,   ow·s − p + kw] / (KH·KW)        dx[tap] += grad / (KH·KW)
//
// An average counts padding as zeros. Every rung takes an output's taps in the same order: the same bits. Planes
// (n·C + c) are independent in both directions.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct PoolOperands {
  typename Ops::template Activation<const T> x;             // x[n,c,h,w]
  typename Ops::template Activation<T> y;                   // y[n,c,oh,ow]
  typename Ops::template Activation<std::int64_t> winners;  // winners[n,c,oh,ow], h·W + w; max pooling, if kept
  typename Ops::template Parameter<T> window;               // KH·KW as a number
};

template <class Ops, class T>
struct PoolBackwardOperands {
  typename Ops::template Activation<const T> grad;                // grad[n,c,oh,ow], the gradient of y
  typename Ops::template Activation<const std::int64_t> winners;  // of the forward pass; max pooling
  typename Ops::template Activation<T> dx;                        // dx[n,c,h,w]
  typename Ops::template Parameter<T> window;                     // KH·KW as a number
};

// A NaN in the window is the window's maximum, as in torch.
struct MaxPool {
  static constexpr bool kHasWinners = true;
  template <class T, class Ops>
  EB_HD EB_INLINE static auto start(Ops& ops) {
    return ops.template negative_infinity<T>();
  }
  template <class Ops, class S>
  EB_HD EB_INLINE static S take(Ops& ops, S acc, S x) {
    return ops.max_or_nan(acc, x);
  }
  template <class Ops, class S, class P>
  EB_HD EB_INLINE static S finish(Ops&, S acc, P) {
    return acc;
  }
};
struct AvgPool {
  static constexpr bool kHasWinners = false;
  template <class T, class Ops>
  EB_HD EB_INLINE static auto start(Ops& ops) {
    return ops.constant(Constant<T, 0>{});
  }
  template <class Ops, class S>
  EB_HD EB_INLINE static S take(Ops& ops, S acc, S x) {
    return ops.add(acc, x);
  }
  template <class Ops, class S, class P>
  EB_HD EB_INLINE static S finish(Ops& ops, S acc, P window) {
    return ops.div(acc, ops.parameter(acc, window));
  }
};

// pool2d_forward_naive: one output element; `plane` is n·C + c.
template <class Kind, class Ops, class T>
EB_HD EB_INLINE void pool2d_forward_naive(Ops& ops, const PoolOperands<Ops, T>& a, const PoolShape& s, Index plane,
                                          Index oh, Index ow) {
  const auto x = a.x.at(plane * s.H * s.W);
  auto acc = Kind::template start<T>(ops);
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) continue;
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index iw = ow * s.stride_w - s.padding_w + kw * s.dilation_w;
      if (iw < 0 || iw >= s.W) continue;
      acc = Kind::take(ops, acc, ops.load(x, ih * s.W + iw));
    }
  }
  ops.store(a.y, (plane * s.H_out() + oh) * s.W_out() + ow, Kind::finish(ops, acc, a.window));
}

// max_pool2d_forward_naive with the winners kept: of equals the first, of NaNs the last, as in torch.
template <class Ops, class T>
EB_HD EB_INLINE void max_pool2d_winners_naive(Ops& ops, const PoolOperands<Ops, T>& a, const PoolShape& s, Index plane,
                                              Index oh, Index ow) {
  const auto x = a.x.at(plane * s.H * s.W);
  auto best = ops.marked(MaxPool::start<T>(ops));
  bool first = true;
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) continue;
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index iw = ow * s.stride_w - s.padding_w + kw * s.dilation_w;
      if (iw < 0 || iw >= s.W) continue;
      if (first) best = ops.mark(best, ih * s.W + iw);
      first = false;
      best = ops.max_or_nan(best, ops.load(x, ih * s.W + iw), ih * s.W + iw);
    }
  }
  const Index output = (plane * s.H_out() + oh) * s.W_out() + ow;
  ops.store(a.y, output, ops.value(best));
  ops.store_mark(a.winners, output, best);
}

// Outputs [from, to) along one dimension whose windows lie inside the image whole.
struct Inside {
  Index from, to;
};
EB_HD EB_FORCED Inside whole_windows(Index size, Index window, Index stride, Index padding, Index dilation,
                                     Index outputs) {
  const Index last = size - 1 + padding - (window - 1) * dilation;  // of position · stride
  const Index from = (padding + stride - 1) / stride, to = last < 0 ? 0 : last / stride + 1;
  return {from < outputs ? from : outputs, to < from ? (from < outputs ? from : outputs) : to < outputs ? to : outputs};
}

// W outputs of a row from ow on, all of whose windows are inside the image from left to right.
template <class Kind, int W, class Ops, class T, class Whole>
EB_HD EB_INLINE void pool2d_forward_vector(Ops& ops, const PoolOperands<Whole, T>& a, const PoolShape& s, Index plane,
                                           Index oh, Index ow) {
  constexpr Lanes<W> lanes{};
  const auto x = a.x.at(plane * s.H * s.W + ow * s.stride_w - s.padding_w);
  auto acc = ops.broadcast(lanes, Kind::template start<T>(ops));
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) continue;
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index tap = ih * s.W + kw * s.dilation_w;
      acc = Kind::take(ops, acc, s.stride_w == 1 ? ops.load(lanes, x, tap) : ops.gather(lanes, x, tap, s.stride_w));
    }
  }
  ops.store(a.y, (plane * s.H_out() + oh) * s.W_out() + ow, Kind::finish(ops, acc, a.window));
}

template <int W, class Ops, class T, class Whole>
EB_HD EB_INLINE void max_pool2d_winners_vector(Ops& ops, const PoolOperands<Whole, T>& a, const PoolShape& s,
                                               Index plane, Index oh, Index ow) {
  constexpr Lanes<W> lanes{};
  const Index column = ow * s.stride_w - s.padding_w;
  const auto x = a.x.at(plane * s.H * s.W + column);
  auto best = ops.marked(ops.broadcast(lanes, MaxPool::start<T>(ops)));
  bool first = true;
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) continue;
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index tap = ih * s.W + kw * s.dilation_w;
      if (first) best = ops.mark(best, tap);
      first = false;
      best =
          ops.max_or_nan(best, s.stride_w == 1 ? ops.load(lanes, x, tap) : ops.gather(lanes, x, tap, s.stride_w), tap);
    }
  }
  const Index output = (plane * s.H_out() + oh) * s.W_out() + ow;
  ops.store(a.y, output, ops.value(best));
  ops.store_mark(a.winners, output, best, column, s.stride_w);  // lane l's window begins l · stride further on
}

// One row of outputs: its edges number by number, what lies between in W lanes.
template <class Kind, int W, class Ops, class T>
EB_HD EB_INLINE void pool2d_forward_lanes(Ops& ops, const PoolOperands<Ops, T>& a, const PoolShape& s, Index plane,
                                          Index oh) {
  const Index W_out = s.W_out();
  const Inside whole = whole_windows(s.W, s.KW, s.stride_w, s.padding_w, s.dilation_w, W_out);
  const auto edge = [&](Index ow) EB_ALWAYS_INLINE {
    if constexpr (Kind::kHasWinners) {
      if (s.keep_winners) return max_pool2d_winners_naive(ops, a, s, plane, oh, ow);
    }
    pool2d_forward_naive<Kind>(ops, a, s, plane, oh, ow);
  };
  for (Index ow = 0; ow < whole.from; ++ow) edge(ow);
  each_vector<W>(ops, whole.to - whole.from, [&](auto& policy, auto, Index i) EB_ALWAYS_INLINE {
    if constexpr (Kind::kHasWinners) {
      if (s.keep_winners) return max_pool2d_winners_vector<W>(policy, a, s, plane, oh, whole.from + i);
    }
    pool2d_forward_vector<Kind, W>(policy, a, s, plane, oh, whole.from + i);
  });
  for (Index ow = whole.to; ow < W_out; ++ow) edge(ow);
}

// ---- backward: one plane, which begins as zeros
// Adds each gradient to its winner. Returns whether all winners lie inside the plane; one outside is left out.
template <class Ops, class T>
EB_HD EB_INLINE bool add_to_winners(Ops& ops, const PoolBackwardOperands<Ops, T>& a, const PoolShape& s, Index plane) {
  const auto dx = a.dx.at(plane * s.H * s.W);
  const Index outputs = s.H_out() * s.W_out();
  bool inside = true;
  for (Index o = plane * outputs; o < (plane + 1) * outputs; ++o) {
    const Index winner = ops.load_index(a.winners, o);
    if (winner < 0 || winner >= s.H * s.W) {
      inside = false;
      continue;
    }
    ops.store(dx, winner, ops.add(ops.load(dx, winner), ops.load(a.grad, o)));
  }
  return inside;
}

template <class Ops, class T>
EB_HD EB_INLINE bool max_pool2d_backward_naive(Ops& ops, const PoolBackwardOperands<Ops, T>& a, const PoolShape& s,
                                               Index plane) {
  for (Index i = 0; i < s.H * s.W; ++i) ops.store(a.dx, plane * s.H * s.W + i, ops.constant(Constant<T, 0>{}));
  return add_to_winners(ops, a, s, plane);
}

template <class Ops, class T>
EB_HD EB_INLINE void avg_pool2d_backward_naive(Ops& ops, const PoolBackwardOperands<Ops, T>& a, const PoolShape& s,
                                               Index plane) {
  const auto dx = a.dx.at(plane * s.H * s.W);
  for (Index i = 0; i < s.H * s.W; ++i) ops.store(dx, i, ops.constant(Constant<T, 0>{}));
  for (Index oh = 0; oh < s.H_out(); ++oh) {
    for (Index ow = 0; ow < s.W_out(); ++ow) {
      const auto share = ops.div(ops.load(a.grad, (plane * s.H_out() + oh) * s.W_out() + ow), ops.parameter(a.window));
      for (Index kh = 0; kh < s.KH; ++kh) {
        const Index ih = oh * s.stride_h - s.padding_h + kh;
        if (ih < 0 || ih >= s.H) continue;
        for (Index kw = 0; kw < s.KW; ++kw) {
          const Index iw = ow * s.stride_w - s.padding_w + kw;
          if (iw < 0 || iw >= s.W) continue;
          ops.store(dx, ih * s.W + iw, ops.add(ops.load(dx, ih * s.W + iw), share));
        }
      }
    }
  }
}

// The winners lie where they lie: W lanes serve the zeros alone.
template <int W, class Ops, class T>
EB_HD EB_INLINE bool max_pool2d_backward_lanes(Ops& ops, const PoolBackwardOperands<Ops, T>& a, const PoolShape& s,
                                               Index plane) {
  fill_zeros<W, T>(ops, a.dx.at(plane * s.H * s.W), s.H * s.W);
  return add_to_winners(ops, a, s, plane);
}

// Shares of a row of outputs wait in `row`; each tap then adds a row of them to a row of dx: neighbours where the
// stride is one.
template <int W, class Ops, class T, class P>
EB_HD EB_INLINE void avg_pool2d_backward_lanes(Ops& ops, const PoolBackwardOperands<Ops, T>& a, const PoolShape& s,
                                               P row, Index plane) {
  const auto dx = a.dx.at(plane * s.H * s.W);
  const Index W_out = s.W_out();
  fill_zeros<W, T>(ops, dx, s.H * s.W);
  const auto window = ops.broadcast(Lanes<W>{}, ops.parameter(a.window));
  for (Index oh = 0; oh < s.H_out(); ++oh) {
    const auto grad = a.grad.at((plane * s.H_out() + oh) * W_out);
    each_vector<W>(ops, W_out, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
      policy.store(row, i, policy.div(policy.load(lanes, grad, i), window));
    });
    for (Index kh = 0; kh < s.KH; ++kh) {
      const Index ih = oh * s.stride_h - s.padding_h + kh;
      if (ih < 0 || ih >= s.H) continue;
      for (Index kw = 0; kw < s.KW; ++kw) {
        const Inside taps = whole_windows(s.W, 1, s.stride_w, s.padding_w - kw, 1, W_out);
        const Index from = taps.from < 0 ? 0 : taps.from;
        const auto shares = row.at(from);
        const auto target = dx.at(ih * s.W + from * s.stride_w - s.padding_w + kw);
        if (s.stride_w == 1) {
          each_vector<W>(ops, taps.to - from, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
            policy.store(target, i, policy.add(policy.load(lanes, target, i), policy.load(lanes, shares, i)));
          });
        } else {
          for (Index i = 0; i < taps.to - from; ++i) {
            ops.store(target, i * s.stride_w, ops.add(ops.load(target, i * s.stride_w), ops.load(shares, i)));
          }
        }
      }
    }
  }
}

}  // namespace eb
