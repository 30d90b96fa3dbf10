// Two-dimensional convolution with channels innermost (NHWC), forward.
//
//   y[n,oh,ow,co] = Σ_{kh,kw,ci} w[co,kh,kw,ci] · x[n, oh·s − p + kh·d, ow·s − p + kw·d, g·C_in/groups + ci] + bias[co]
//
// A patch is KH·KW runs of channels that lie side by side. Rungs above naive make sums over patches (patches.h), a
// number of the image times vectors of output channels, which lie side by side in y; depthwise, they make sums of
// vectors of channels directly. All add an output's products up in the order kh, kw, ci in fused multiply-adds, and the
// bias last: the same bits.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/conv.h"
#include "kernels/reduce.h"

namespace eb {

// conv2d_nhwc_naive: one output element.
template <class Ops, class T>
EB_HD EB_INLINE void conv2d_nhwc_naive(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, Index n, Index oh,
                                       Index ow, Index co) {
  const Index channels = s.C_in_per_group(), first = co / s.C_out_per_group() * channels;
  auto acc = ops.constant(Constant<T, 0>{});
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) {
      ops.template skip_macs<T>(s.KW * channels);
      continue;
    }
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index iw = ow * s.stride_w - s.padding_w + kw * s.dilation_w;
      if (iw < 0 || iw >= s.W) {
        ops.template skip_macs<T>(channels);
        continue;
      }
      const auto x = a.x.at(((n * s.H + ih) * s.W + iw) * s.C_in + first);
      const auto w = a.w.at(((co * s.KH + kh) * s.KW + kw) * channels);
      for (Index ci = 0; ci < channels; ++ci) acc = ops.mac(ops.load(w, ci), ops.load(x, ci), acc);
    }
  }
  if (s.has_bias) acc = ops.add(acc, ops.load(a.bias, co));
  ops.store(a.y, ((n * s.H_out() + oh) * s.W_out() + ow) * s.C_out + co, acc);
}

// Depthwise weights w[c,kh,kw] with channels innermost: panel[(kh·KW + kw)·C + c], of one tap.
template <int W, class Ops, class T, class PanelPtr>
EB_HD EB_INLINE void depthwise_nhwc_pack(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, PanelPtr panel,
                                         Index tap) {
  const Index taps = s.KH * s.KW;
  each_vector<W>(ops, s.C_in, [&](auto& policy, auto lanes, Index c) EB_ALWAYS_INLINE {
    policy.store(panel, tap * s.C_in + c, policy.gather(lanes, a.w, c * taps + tap, taps));
  });
}

// conv2d_nhwc_depthwise: kPixels neighbours of a row of outputs from ow on, kVectors vectors of channels from c on; the
// last has `live` channels. A vector of weights serves all pixels. `kWhole`: no tap is outside the row.
template <int W, int kPixels, int kVectors, bool kWhole, class Ops, class T, class PanelPtr>
EB_HD EB_INLINE void conv2d_nhwc_depthwise(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s,
                                           PanelPtr weights, Index n, Index oh, Index ow, Index c, Index live) {
  constexpr Lanes<W> lanes{};
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  auto last = ops.first(live);
  const Index iw0 = ow * s.stride_w - s.padding_w, idle = (kVectors - 1) * W + live;
  // f(policy, v) for each vector, the last with its own policy.
  const auto each = [&](const auto& f) EB_ALWAYS_INLINE {
    unrolled<kVectors - 1>([&](auto v) EB_ALWAYS_INLINE { f(ops, v); });
    f(last, std::integral_constant<Index, kVectors - 1>{});
  };
  std::remove_const_t<decltype(zeros)> sum[kPixels][kVectors], weight[kVectors];
  unrolled<kPixels>([&](auto p)
                        EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[p][v] = zeros; }); });
  for (Index kh = 0; kh < s.KH; ++kh) {
    const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
    if (ih < 0 || ih >= s.H) {
      ops.template skip_macs<T>(s.KW * kPixels * idle);
      continue;
    }
    const auto row = a.x.at((n * s.H + ih) * s.W * s.C_in + c);
    for (Index kw = 0; kw < s.KW; ++kw) {
      const Index iw = iw0 + kw * s.dilation_w;
      if constexpr (!kWhole) {
        if (iw < 0 || iw >= s.W) {
          ops.template skip_macs<T>(kPixels * idle);
          continue;
        }
      }
      each([&](auto& policy, auto v)
               EB_ALWAYS_INLINE { weight[v] = policy.load(lanes, weights, (kh * s.KW + kw) * s.C_in + c + v * W); });
      unrolled<kPixels>([&](auto p) EB_ALWAYS_INLINE {
        const auto x = row.at((iw + p * s.stride_w) * s.C_in);
        each([&](auto& policy, auto v)
                 EB_ALWAYS_INLINE { sum[p][v] = policy.mac(weight[v], policy.load(lanes, x, v * W), sum[p][v]); });
      });
    }
  }
  const auto y = a.y.at(((n * s.H_out() + oh) * s.W_out() + ow) * s.C_out + c);
  each([&](auto& policy, auto v) EB_ALWAYS_INLINE {
    const auto bias = s.has_bias ? policy.load(lanes, a.bias, c + v * W) : zeros;
    unrolled<kPixels>([&](auto p) EB_ALWAYS_INLINE {
      policy.store(y, p * s.C_out + v * W, s.has_bias ? policy.add(sum[p][v], bias) : sum[p][v]);
    });
  });
}

}  // namespace eb
