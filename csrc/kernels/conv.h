// Two-dimensional convolution (cross-correlation, as every framework has it) and its gradients: operands and oracle.
//
//   y[n,co,oh,ow] = Σ_{ci,kh,kw} w[co,ci,kh,kw] · x[n, g·C_in/groups + ci, oh·s − p + kh·d, ow·s − p + kw·d] + bias[co]
//   dx[n,c,ih,iw] = Σ_{co,kh,kw} w[co,ci,kh,kw] · dy[n,co,oh,ow]   over the outputs with oh·s − p + kh·d = ih, …
//   dw[co,ci,kh,kw] = Σ_{n,oh,ow} dy[n,co,oh,ow] · x[n, …, oh·s − p + kh·d, ow·s − p + kw·d]
//   db[co] = Σ_{n,oh,ow} dy[n,co,oh,ow]
//
// The naive rung skips the taps that fall on padding. The tuned rungs hold a zero there: work of the tile (tile_macs)
// and no MAC, and an infinite weight there makes NaN. All add an output's products up in the order ci, kh, kw in fused
// multiply-adds, and the bias last: the same bits; in dx in the order co, kh, kw, and in dw of the panels n, oh, ow.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

namespace eb {

template <class Ops, class T>
struct ConvOperands {
  typename Ops::template Activation<const T> x;
  typename Ops::template Weight<const T> w;
  typename Ops::template Weight<const T> bias;
  typename Ops::template Activation<T> y;
};

template <class Ops, class T>
struct ConvBackwardOperands {
  typename Ops::template Activation<const T> dy;
  typename Ops::template Activation<const T> x;
  typename Ops::template Weight<const T> w;
  typename Ops::template Activation<T> dx, dw, db;
};

// conv2d_forward_naive: one output element, taps in the order ci, kh, kw; the bias is added at the end.
template <class Ops, class T>
EB_HD EB_INLINE void conv2d_forward_naive(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, Index n,
                                          Index co, Index oh, Index ow) {
  const Index channels = s.C_in_per_group();
  const Index first_channel = co / s.C_out_per_group() * channels;
  const Index ih0 = oh * s.stride_h - s.padding_h;
  const Index iw0 = ow * s.stride_w - s.padding_w;
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index ci = 0; ci < channels; ++ci) {
    const auto x = a.x.at((n * s.C_in + first_channel + ci) * s.H * s.W);  // x[n,c,:,:]
    const auto w = a.w.at((co * channels + ci) * s.KH * s.KW);             // w[co,ci,:,:]
    for (Index kh = 0; kh < s.KH; ++kh) {
      const Index ih = ih0 + kh * s.dilation_h;
      if (ih < 0 || ih >= s.H) {
        ops.template skip_macs<T>(s.KW);
        continue;
      }
      for (Index kw = 0; kw < s.KW; ++kw) {
        const Index iw = iw0 + kw * s.dilation_w;
        if (iw < 0 || iw >= s.W) {
          ops.template skip_macs<T>(1);
          continue;
        }
        acc = ops.mac(ops.load(w, kh * s.KW + kw), ops.load(x, ih * s.W + iw), acc);
      }
    }
  }
  if (s.has_bias) acc = ops.add(acc, ops.load(a.bias, co));
  ops.store(a.y, ((n * s.C_out + co) * s.H_out() + oh) * s.W_out() + ow, acc);
}

// conv2d_backward_input_naive: one element of dx, products in the order co, kh, kw. (ih, iw) may lie on padding too, up
// to its whole width: nobody needs the gradient there, and its products are skipped.
template <class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_input_naive(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                                 Index n, Index c, Index ih, Index iw) {
  const Index channels = s.C_in_per_group(), outputs = s.C_out_per_group();
  const Index group = c / channels, H_out = s.H_out(), W_out = s.W_out();
  const bool inside = ih >= 0 && ih < s.H && iw >= 0 && iw < s.W;
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index co = group * outputs; co < (group + 1) * outputs; ++co) {
    const auto dy = a.dy.at((n * s.C_out + co) * H_out * W_out);                  // dy[n,co,:,:]
    const auto w = a.w.at((co * channels + c - group * channels) * s.KH * s.KW);  // w[co,ci,:,:]
    for (Index kh = 0; kh < s.KH; ++kh) {
      const Index row = ih + s.padding_h - kh * s.dilation_h;  // oh · stride
      if (row < 0 || row % s.stride_h != 0 || row / s.stride_h >= H_out) continue;
      for (Index kw = 0; kw < s.KW; ++kw) {
        const Index column = iw + s.padding_w - kw * s.dilation_w;
        if (column < 0 || column % s.stride_w != 0 || column / s.stride_w >= W_out) continue;
        if (inside) {
          const auto weight = ops.load(w, kh * s.KW + kw);
          acc = ops.mac(weight, ops.load(dy, row / s.stride_h * W_out + column / s.stride_w), acc);
        } else {
          ops.template skip_macs<T>(1);
        }
      }
    }
  }
  if (inside) ops.store(a.dx, ((n * s.C_in + c) * s.H + ih) * s.W + iw, acc);
}

// conv2d_backward_weight_naive: one element of dw, products in the order n, oh, ow.
template <class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_weight_naive(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                                  Index co, Index ci, Index kh, Index kw) {
  const Index channels = s.C_in_per_group(), H_out = s.H_out(), W_out = s.W_out();
  const Index c = co / s.C_out_per_group() * channels + ci;
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index n = 0; n < s.N; ++n) {
    const auto dy = a.dy.at((n * s.C_out + co) * H_out * W_out);  // dy[n,co,:,:]
    const auto x = a.x.at((n * s.C_in + c) * s.H * s.W);          // x[n,c,:,:]
    for (Index oh = 0; oh < H_out; ++oh) {
      const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
      for (Index ow = 0; ow < W_out; ++ow) {
        const Index iw = ow * s.stride_w - s.padding_w + kw * s.dilation_w;
        if (ih < 0 || ih >= s.H || iw < 0 || iw >= s.W) {
          ops.template skip_macs<T>(1);
        } else {
          acc = ops.mac(ops.load(dy, oh * W_out + ow), ops.load(x, ih * s.W + iw), acc);
        }
      }
    }
  }
  ops.store(a.dw, ((co * channels + ci) * s.KH + kh) * s.KW + kw, acc);
}

// conv2d_backward_bias_naive: one element of db.
template <class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_bias_naive(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                                Index co) {
  const Index pixels = s.H_out() * s.W_out();
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index n = 0; n < s.N; ++n) {
    for (Index i = 0; i < pixels; ++i) acc = ops.add(acc, ops.load(a.dy, (n * s.C_out + co) * pixels + i));
  }
  ops.store(a.db, co, acc);
}

}  // namespace eb
