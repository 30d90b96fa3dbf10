// Two-dimensional convolution (cross-correlation, as every framework has it), forward.
//
//   y[n,co,oh,ow] = Σ_{ci,kh,kw} w[co,ci,kh,kw] · x[n, g·C_in/groups + ci, oh·s − p + kh·d, ow·s − p + kw·d] + bias[co]
//
// The naive rung skips the taps that fall on padding. The tuned rungs work vectors of output pixels and hold a zero in
// a lane whose tap is on padding: work of the tile (tile_macs) and no MAC. So an infinite weight there makes NaN on
// them. All add an output's products up in the order ci, kh, kw in fused multiply-adds, and the bias last: the same
// bits.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/gemm.h"

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

// Some neighbours in a row of output pixels, in the lanes [begin, end) of a vector.
struct PixelRun {
  Index begin, end, n, oh, ow;  // y[n,:,oh,ow + lane − begin]
};

// Lanes whose tap lies inside the image, and where the first of a run's lanes reads: x[n,c,ih,iw + (lane −
// begin)·stride]
struct TapRun {
  Index begin, end, ih, iw;

  EB_HD EB_INLINE Index lanes() const { return end - begin; }
};

EB_HD EB_INLINE Index round_up_quotient(Index a, Index b) { return b == 1 ? a : (a + b - 1) / b; }  // 0 ≤ a

EB_HD EB_INLINE TapRun tap_run(const ConvShape& s, const PixelRun& run, Index kh, Index kw) {
  const Index ih = run.oh * s.stride_h - s.padding_h + kh * s.dilation_h;
  const Index iw = run.ow * s.stride_w - s.padding_w + kw * s.dilation_w;
  TapRun taps{run.begin, run.end, ih, iw};
  if (ih < 0 || ih >= s.H || iw >= s.W) return {run.begin, run.begin, ih, iw};
  if (iw < 0) taps.begin += round_up_quotient(-iw, s.stride_w);
  if (iw + (run.end - run.begin - 1) * s.stride_w >= s.W) {
    taps.end = run.begin + round_up_quotient(s.W - iw, s.stride_w);
  }
  if (taps.begin > taps.end) taps.begin = taps.end;
  return taps;
}

// The taps of `run` at one (kh, kw) from the plane x[n,c,:,:], in the lanes that are inside the image; the other lanes
// as they are in `into`. `kStrided`: neighbours may read further apart than neighbours lie.
template <int kLanes, bool kStrided = true, class Ops, class V, class P>
EB_HD EB_INLINE V load_taps(Ops& ops, const ConvShape& s, V into, const P& plane, const PixelRun& run,
                            const TapRun& taps) {
  const Index origin = taps.ih * s.W + taps.iw - run.begin * s.stride_w;  // lane 0's
  if constexpr (kStrided) {
    if (s.stride_w != 1) return ops.gather(into, plane, origin, s.stride_w, taps.begin, taps.end);
  }
  if (taps.lanes() == kLanes) return ops.load(Lanes<kLanes>{}, plane, origin);
  return ops.load(into, plane, origin, taps.begin, taps.end);
}

// Implicit im2col: the matrix of patches, a row for each output pixel n, oh, ow of the batch and a column for each
// ci, kh, kw, of which nothing is ever in memory but the strips that a panel holds.
template <class P>
struct Patches {
  P x;  // x[0, first channel of the group, :, :]
  ConvShape s;

  // visit(run) for each run of `lanes` pixels from `pixel` on.
  template <class Visit>
  EB_HD EB_INLINE void runs(Index pixel, Index lanes, const Visit& visit) const {
    const Index W_out = s.W_out(), H_out = s.H_out();
    Index ow = pixel % W_out, oh = pixel / W_out % H_out, n = pixel / W_out / H_out;
    for (Index begin = 0; begin < lanes;) {
      const Index end = lanes - begin < W_out - ow ? lanes : begin + W_out - ow;
      visit(PixelRun{begin, end, n, oh, ow});
      begin = end, ow = 0;
      if (++oh == H_out) oh = 0, ++n;
    }
  }
};

// A column of the patches, moved along in order.
struct Tap {
  Index ci, kh, kw;

  EB_HD EB_INLINE Tap(const ConvShape& s, Index k) : ci(k / s.KW / s.KH), kh(k / s.KW % s.KH), kw(k % s.KW) {}
  EB_HD EB_INLINE void next(const ConvShape& s) {
    if (++kw < s.KW) return;
    kw = 0;
    if (++kh < s.KH) return;
    kh = 0, ++ci;
  }
};

template <class P>
EB_HD EB_INLINE Index gemm_padding(const Patches<P>& b, Index pixel, Index k, Index lanes) {
  const Tap tap(b.s, k);
  Index padding = lanes;
  b.runs(pixel, lanes,
         [&](const PixelRun& run) EB_ALWAYS_INLINE { padding -= tap_run(b.s, run, tap.kh, tap.kw).lanes(); });
  return padding;
}

template <class T, int kRows, int kLanes, class Ops, class P, class PanelPtr>
EB_HD EB_INLINE void gemm_pack_strip(Ops& ops, const Patches<P>& source, PanelPtr panel, Index pixel, Index rows,
                                     Index k, Index depth) {
  static_assert(kRows % kLanes == 0);
  const ConvShape& s = source.s;
  const auto zeros = ops.broadcast(Lanes<kLanes>{}, ops.constant(Constant<T, 0>{}));
  for (Index r = 0; r < kRows; r += kLanes) {
    PixelRun runs[kLanes] = {};
    Index count = 0;
    source.runs(pixel + r, rows - r < kLanes ? rows - r : kLanes,
                [&](const PixelRun& run) EB_ALWAYS_INLINE { runs[count++] = run; });
    Tap tap(s, k);
    for (Index d = 0; d < depth; ++d, tap.next(s)) {
      auto value = zeros;
      for (Index i = 0; i < count; ++i) {
        const TapRun taps = tap_run(s, runs[i], tap.kh, tap.kw);
        const auto plane = source.x.at((runs[i].n * s.C_in + tap.ci) * s.H * s.W);
        if (taps.lanes() > 0) value = load_taps<kLanes>(ops, s, value, plane, runs[i], taps);
      }
      ops.store(panel, d * kRows + r, value);
    }
  }
}

// conv2d_forward_direct: kRows output channels from co on (of one group), of the output pixels (n, oh, ow …) as many as
// kVectors vectors hold and the row has; all but the last vector are full. Nothing is copied: each vector of taps is
// read where it lies and serves the kRows channels.
template <int kLanes, int kRows, int kVectors, bool kStrided, class Ops, class T>
EB_HD EB_INLINE void conv2d_forward_direct(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, Index n,
                                           Index co, Index oh, Index ow) {
  constexpr Lanes<kLanes> lanes{};
  const Index channels = s.C_in_per_group(), row = s.W_out() - ow;
  const auto x = a.x.at((n * s.C_in + co / s.C_out_per_group() * channels) * s.H * s.W);  // x[n,first,:,:]
  const auto w = a.w.at(co * channels * s.KH * s.KW);                                     // w[co,:,:,:]
  const auto y = a.y.at(((n * s.C_out + co) * s.H_out() + oh) * s.W_out() + ow);
  const Index plane = s.H_out() * s.W_out();
  const auto inside = [&](Index v) EB_ALWAYS_INLINE {
    return v + 1 < kVectors || row - v * kLanes > kLanes ? Index{kLanes} : row - v * kLanes;
  };
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zeros)> sum[kRows][kVectors];
  unrolled<kRows>([&](auto r)
                      EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zeros; }); });
  for (Index ci = 0; ci < channels; ++ci) {
    const auto image = x.at(ci * s.H * s.W);
    for (Index kh = 0; kh < s.KH; ++kh) {
      const Index ih = oh * s.stride_h - s.padding_h + kh * s.dilation_h;
      if (ih < 0 || ih >= s.H) {
        ops.template skip_macs<T>(s.KW * kRows * (row < kVectors * kLanes ? row : kVectors * kLanes));
        continue;
      }
      for (Index kw = 0; kw < s.KW; ++kw) {
        std::remove_const_t<decltype(zeros)> taps[kVectors];
        Index idle[kVectors];
        unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
          const PixelRun run{0, inside(v), n, oh, ow + v * kLanes};
          const TapRun of = tap_run(s, run, kh, kw);
          taps[v] = of.lanes() > 0 ? load_taps<kLanes, kStrided>(ops, s, zeros, image, run, of) : zeros;
          idle[v] = inside(v) - of.lanes();
        });
        unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
          const auto weight = ops.broadcast(lanes, ops.load(w, ((r * channels + ci) * s.KH + kh) * s.KW + kw));
          unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
            auto part = ops.first(inside(v), idle[v]);
            sum[r][v] = part.mac(weight, taps[v], sum[r][v]);
          });
        });
      }
    }
  }
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    const auto bias = s.has_bias ? ops.broadcast(lanes, ops.load(a.bias, co + r)) : zeros;
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      part.store(y, r * plane + v * kLanes, s.has_bias ? part.add(sum[r][v], bias) : sum[r][v]);
    });
  });
}

}  // namespace eb
