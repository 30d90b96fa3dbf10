// Two-dimensional pooling, forward, over the taps of a window that lie inside the image:
//
//   max  y[n,c,oh,ow] = max x[n, c, oh·s − p + kh·d, ow·s − p + kw·d]
//   avg  y[n,c,oh,ow] = Σ   x[n, c, oh·s − p + kh,   ow·s − p + kw] / (KH·KW)        padding counts as zeros
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

namespace eb {

template <class Ops, class T>
struct PoolOperands {
  typename Ops::template Activation<const T> x;  // x[n,c,h,w]
  typename Ops::template Activation<T> y;        // y[n,c,oh,ow]
  typename Ops::template Parameter<T> window;    // KH·KW as a number
};

// A NaN in the window is the window's maximum, as in torch.
struct MaxPool {
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
    return ops.div(acc, ops.parameter(window));
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

}  // namespace eb
