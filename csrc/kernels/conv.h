// Two-dimensional convolution (cross-correlation, as every framework has it), forward.
//
//   y[n,co,oh,ow] = Σ_{ci,kh,kw} w[co,ci,kh,kw] · x[n, g·C_in/groups + ci, oh·s − p + kh·d, ow·s − p + kw·d] + bias[co]
//
// Taps that fall on padding are skipped, not multiplied by zero.
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

}  // namespace eb
