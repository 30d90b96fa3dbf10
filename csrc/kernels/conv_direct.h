// Convolution straight from the image, for few output channels that would share a patch: depthwise above all.
#pragma once

#include "common/unrolled.h"
#include "kernels/conv.h"
#include "kernels/patches.h"

namespace eb {

// Some neighbours in a row of output pixels, in the lanes [begin, end) of a vector.
struct PixelRun {
  Index begin, end, n, oh, ow;  // y[n,:,oh,ow + lane − begin]
};

// Lanes whose tap lies inside the image, and where the first of a run's lanes reads: x[n,c,ih,iw + (lane −
// begin)·stride]
struct TapRun {
  Index begin, end, ih, iw;

  EB_HD EB_FORCED Index lanes() const { return end - begin; }
};

EB_HD EB_FORCED Index round_up_quotient(Index a, Index b) { return b == 1 ? a : (a + b - 1) / b; }  // 0 ≤ a

EB_HD EB_FORCED TapRun tap_run(const ConvShape& s, const PixelRun& run, Index kh, Index kw) {
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

// conv2d_backward_input_direct: a row of dx, one channel; products in the order co, kh, kw.
template <int kLanes, class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_input_direct(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                                  const PatchSums& p, Index n, Index c, Index ih) {
  constexpr Lanes<kLanes> lanes{};
  const Index channels = s.C_in_per_group(), outputs = s.C_out_per_group(), group = c / channels;
  const Index H_out = s.H_out(), W_out = s.W_out();
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  const auto dx = a.dx.at(((n * s.C_in + c) * s.H + ih) * s.W);
  for (Index phase = 0; phase < p.w.phases(); ++phase) {
    const PatchPhase f = p.w.phase(phase);
    for (Index j = 0; j < f.pixels; j += kLanes) {
      const Index live = f.pixels - j < kLanes ? f.pixels - j : kLanes;
      auto sum = zeros;
      for (Index co = group * outputs; co < (group + 1) * outputs; ++co) {
        const auto dy = a.dy.at((n * s.C_out + co) * H_out * W_out);
        const auto w = a.w.at((co * channels + c - group * channels) * s.KH * s.KW);
        for (Index kh = 0; kh < s.KH; ++kh) {
          const Index row = ih + s.padding_h - kh * s.dilation_h;  // oh · stride
          if (row < 0 || row % s.stride_h != 0 || row / s.stride_h >= H_out) continue;
          for (Index t = 0; t < f.taps; ++t) {
            const Index ow = j + f.offset + t * f.tap_step;  // of lane 0
            const Index begin = ow < 0 ? -ow : 0, end = W_out - ow < live ? W_out - ow : live;
            if (begin >= end) continue;
            const auto taps = ops.load(zeros, dy, row / s.stride_h * W_out + ow, begin, end);
            const auto weight = ops.broadcast(lanes, ops.load(w, kh * s.KW + f.first + t * f.every));
            auto part = ops.first(end - begin);
            sum = part.mac(weight, taps, sum);
          }
        }
      }
      if (p.w.apart() == 1) {
        auto part = ops.first(live);
        part.store(dx, j, sum);
      } else {
        ops.scatter(dx, phase + j * p.w.apart(), p.w.apart(), sum, 0, live);
      }
    }
  }
}

// conv2d_backward_weight_direct: dw[co,ci,:,:], each a dot product over the pixels of the batch.
template <int kLanes, class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_weight_direct(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                                   Index co, Index ci) {
  constexpr Lanes<kLanes> lanes{};
  const Index channels = s.C_in_per_group(), c = co / s.C_out_per_group() * channels + ci;
  const Index H_out = s.H_out(), W_out = s.W_out();
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  for (Index kh = 0; kh < s.KH; ++kh) {
    for (Index kw = 0; kw < s.KW; ++kw) {
      auto nothing = ops.first(0);
      auto sum = nothing.dot(zeros, zeros);
      for (Index n = 0; n < s.N; ++n) {
        const auto plane = a.x.at((n * s.C_in + c) * s.H * s.W);
        for (Index oh = 0; oh < H_out; ++oh) {
          const auto dy = a.dy.at(((n * s.C_out + co) * H_out + oh) * W_out);
          for (Index ow = 0; ow < W_out; ow += kLanes) {
            const Index live = W_out - ow < kLanes ? W_out - ow : kLanes;
            const PixelRun run{0, live, n, oh, ow};
            const TapRun taps = tap_run(s, run, kh, kw);
            if (taps.lanes() == 0) {
              ops.template skip_macs<T>(live);
              continue;
            }
            auto part = ops.first(live, live - taps.lanes());
            const auto gradient = ops.load(zeros, dy, ow, taps.begin, taps.end);
            sum = part.mac(gradient, load_taps<kLanes>(ops, s, zeros, plane, run, taps), sum);
          }
        }
      }
      ops.store(a.dw, ((co * channels + ci) * s.KH + kh) * s.KW + kw, ops.fold(sum, ops.constant(Constant<T, 0>{})));
    }
  }
}

// conv2d_backward_bias: one element of db, over lanes.
template <int kLanes, class Ops, class T>
EB_HD EB_INLINE void conv2d_backward_bias(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s,
                                          Index co) {
  constexpr Lanes<kLanes> lanes{};
  const Index pixels = s.H_out() * s.W_out();
  auto total = ops.constant(Constant<T, 0>{});
  for (Index n = 0; n < s.N; ++n) {
    const auto dy = a.dy.at((n * s.C_out + co) * pixels);
    Index i = 0;
    if (pixels >= kLanes) {
      auto sum = ops.load(lanes, dy, 0);
      for (i = kLanes; i + kLanes <= pixels; i += kLanes) sum = ops.add(sum, ops.load(lanes, dy, i));
      total = ops.fold_add(sum, total);
    }
    if (i < pixels) {
      auto rest = ops.first(pixels - i);
      total = rest.fold_add(rest.load(lanes, dy, i), total);
    }
  }
  ops.store(a.db, co, total);
}

}  // namespace eb
