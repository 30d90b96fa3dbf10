// Two-dimensional convolution with channels innermost (NHWC), forward.
//
//   y[n,oh,ow,co] = Σ_{kh,kw,ci} w[co,kh,kw,ci] · x[n, oh·s − p + kh·d, ow·s − p + kw·d, g·C_in/groups + ci] + bias[co]
//
// A patch is KH·KW runs of channels that lie side by side. Rungs above naive multiply the matrix of patches, a row for
// each output pixel, by the weights' transpose; depthwise, they make sums of vectors of channels directly. All add an
// output's products up in the order kh, kw, ci in fused multiply-adds, and the bias last: the same bits.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/conv.h"
#include "kernels/gemm.h"
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

// The matrix of patches with a row for each output pixel n, oh, ow and a column for each kh, kw, ci, of which nothing
// is ever in memory but the strips that a panel holds.
template <class P>
struct PixelPatches {
  P x;  // x[0,0,0,first channel of the group]
  ConvShape s;

  // Where an output pixel's patch begins; part of it may be outside the image.
  struct Corner {
    Index n, ih, iw;
  };
  EB_HD EB_INLINE Corner corner(Index pixel) const {
    const Index W_out = s.W_out(), H_out = s.H_out(), row = pixel / W_out;
    return {row / H_out, row % H_out * s.stride_h - s.padding_h, pixel % W_out * s.stride_w - s.padding_w};
  }
  // The element of x that a tap of a patch begins at; −1 on padding.
  EB_HD EB_INLINE Index tap(const Corner& c, Index kh, Index kw) const {
    const Index ih = c.ih + kh * s.dilation_h, iw = c.iw + kw * s.dilation_w;
    return ih < 0 || ih >= s.H || iw < 0 || iw >= s.W ? -1 : ((c.n * s.H + ih) * s.W + iw) * s.C_in;
  }
};

template <class P>
EB_HD EB_INLINE bool gemm_row_is_padding(const PixelPatches<P>& a, Index pixel, Index k) {
  const Index tap = k / a.s.C_in_per_group();
  return a.tap(a.corner(pixel), tap / a.s.KW, tap % a.s.KW) < 0;
}

// Neighbours along k are neighbours in memory within a tap: squares of kLanes × kLanes, turned in registers.
template <class T, int kRows, int kLanes, class Ops, class P, class PanelPtr>
EB_HD EB_INLINE void gemm_pack_strip(Ops& ops, const PixelPatches<P>& source, PanelPtr panel, Index pixel, Index rows,
                                     Index k, Index depth) {
  constexpr Lanes<kLanes> lanes{};
  const ConvShape& s = source.s;
  const Index channels = s.C_in_per_group();
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  typename PixelPatches<P>::Corner corner[kRows] = {};
  for (Index r = 0; r < rows; ++r) corner[r] = source.corner(pixel + r);
  Index kh = k / channels / s.KW, kw = k / channels % s.KW, ci = k % channels;
  for (Index d = 0; d < depth;) {
    const Index left = channels - ci, run = left < depth - d ? left : depth - d;
    Index at[kRows] = {};
    for (Index r = 0; r < rows; ++r) at[r] = source.tap(corner[r], kh, kw);
    for (Index i = 0; i < run; i += kLanes) {
      const Index live = run - i < kLanes ? run - i : kLanes;
      unrolled<(kRows + kLanes - 1) / kLanes>([&](auto block) EB_ALWAYS_INLINE {
        constexpr int r = block * kLanes, kPart = kRows - r < kLanes ? kRows - r : kLanes;
        std::remove_const_t<decltype(zeros)> square[kLanes];
        unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE {
          square[l] = zeros;
          if constexpr (l < kPart) {
            if (r + l < rows && at[r + l] >= 0) {
              const auto tap = source.x.at(at[r + l] + ci + i);
              square[l] = live == kLanes ? ops.load(lanes, tap, 0) : ops.load(zeros, tap, 0, 0, live);
            }
          }
        });
        if constexpr (kLanes > 1) ops.transpose(square);
        unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE {
          if (l >= live) return;
          if constexpr (kPart == kLanes) {
            ops.store(panel, (d + i + l) * kRows + r, square[l]);
          } else {
            ops.store(panel, (d + i + l) * kRows + r, square[l], 0, kPart);
          }
        });
      });
    }
    d += run, ci = 0;
    if (++kw == s.KW) kw = 0, ++kh;
  }
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
