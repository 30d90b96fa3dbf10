// Depthwise convolution with a window of 3×3, plane by plane: the weights wait in registers, a copy of the plane with
// its padding knows no edges, and each loaded vector of it serves every output row that it is a tap of.
#pragma once

#include "common/unrolled.h"
#include "kernels/conv_direct.h"
#include "kernels/patches.h"

namespace eb {

constexpr int kDepthwiseTaps = 3;

// Whether a shape is one of these: one channel a group, whole pixels or every second, no dilation.
EB_HD EB_FORCED bool is_depthwise3(const ConvShape& s) {
  return s.groups > 1 && s.C_in_per_group() == 1 && s.KH == 3 && s.KW == 3 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.stride_h == s.stride_w && s.stride_h <= 2;
}

// A plane with its padding: as many rows as are met, columns for whole vectors of outputs.
struct DepthwisePlane {
  Index rows, pitch;

  EB_HD EB_FORCED DepthwisePlane(Index H_out, Index W_out, Index stride, int lanes)
      : rows((H_out - 1) * stride + kDepthwiseTaps), pitch((W_out + lanes - 1) / lanes * lanes * stride + 2) {
    pitch = (pitch + lanes - 1) / lanes * lanes;
  }
  EB_HD EB_FORCED Index elements() const { return rows * pitch; }
};

// Of `live` outputs from (oh, ow) on, those whose tap (t, u) is inside the image. Asked by the counting kernel alone,
// and kept out of its line for the compiler's sake.
[[maybe_unused]] static __attribute__((noinline)) Index depthwise3_inside(const ConvShape& s, Index live, Index oh,
                                                                          Index ow, Index t, Index u) {
  return tap_run(s, PixelRun{0, live, 0, oh, ow}, t, u).lanes();
}

// The window's weights, each in all lanes; of a gradient from last to first.
template <int kLanes, class Ops, class W, class V>
EB_HD EB_INLINE void depthwise3_weights(Ops& ops, W w, bool reversed, V (&weight)[kDepthwiseTaps * kDepthwiseTaps]) {
  constexpr int kAll = kDepthwiseTaps * kDepthwiseTaps;
  unrolled<kAll>([&](auto t) EB_ALWAYS_INLINE {
    weight[t] = ops.broadcast(Lanes<kLanes>{}, ops.load(w, reversed ? kAll - 1 - t : Index{t}));
  });
}

// depthwise3_rows: kRows rows of outputs from oh on, `plane` at the first row of their windows. `s` says where the
// padding is: nominal work, or in a gradient (`kAbsent`) no part of the sum.
template <int kLanes, int kStride, int kRows, bool kAbsent, class Ops, class T, class V, class Plane, class Y>
EB_HD EB_INLINE void depthwise3_rows(Ops& ops, const ConvShape& s, Plane plane, Index pitch,
                                     const V (&weight)[kDepthwiseTaps * kDepthwiseTaps], V bias, Index oh, Y y, T) {
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<typename T::Of, 0>{}));
  const Index W_out = s.W_out();
  for (Index ow = 0; ow < W_out; ow += kLanes) {
    const Index live = W_out - ow < kLanes ? W_out - ow : kLanes;
    V sum[kRows];
    unrolled<kRows>([&](auto o) EB_ALWAYS_INLINE { sum[o] = zero; });
    unrolled<(kRows - 1) * kStride + kDepthwiseTaps>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kDepthwiseTaps>([&](auto u) EB_ALWAYS_INLINE {
        const Index at = r * pitch + ow * kStride + u;
        V taps = zero;
        if constexpr (kStride == 1) {
          taps = ops.load(lanes, plane, at);
        } else {
          taps = ops.gather(lanes, plane, at, kStride);
        }
        unrolled<kRows>([&](auto o) EB_ALWAYS_INLINE {
          constexpr Index t = r - o * kStride;
          if constexpr (t >= 0 && t < kDepthwiseTaps) {
            Index inside = live;
            if constexpr (Ops::kCounting) inside = depthwise3_inside(s, live, oh + o, ow, t, u);
            auto part = kAbsent ? ops.first(inside) : ops.first(live, live - inside);
            sum[o] = part.mac(weight[t * kDepthwiseTaps + u], taps, sum[o]);
          }
        });
      });
    });
    unrolled<kRows>([&](auto o) EB_ALWAYS_INLINE {
      auto part = ops.first(live);
      const auto result = !kAbsent && s.has_bias ? part.add(sum[o], bias) : sum[o];
      if (live == kLanes) {
        ops.store(y, o * W_out + ow, result);
      } else {
        part.store(y, o * W_out + ow, result);
      }
    });
  }
}

// depthwise3_plane: all rows of a plane of outputs, kRows at a time and then one by one.
template <int kLanes, int kStride, bool kAbsent, class Ops, class T, class V, class Plane, class Y>
EB_HD EB_INLINE void depthwise3_plane(Ops& ops, const ConvShape& s, Plane plane, Index pitch,
                                      const V (&weight)[kDepthwiseTaps * kDepthwiseTaps], V bias, Y y, T type) {
  constexpr int kRows = 4;
  const Index H_out = s.H_out(), W_out = s.W_out();
  Index oh = 0;
  for (; oh + kRows <= H_out; oh += kRows) {
    depthwise3_rows<kLanes, kStride, kRows, kAbsent>(ops, s, plane.at(oh * kStride * pitch), pitch, weight, bias, oh,
                                                     y.at(oh * W_out), type);
  }
  for (; oh < H_out; ++oh) {
    depthwise3_rows<kLanes, kStride, 1, kAbsent>(ops, s, plane.at(oh * kStride * pitch), pitch, weight, bias, oh,
                                                 y.at(oh * W_out), type);
  }
}

// depthwise3_weight_gradient: the nine dot products of a plane of dy with one of x, added to `sum`.
template <int kLanes, int kStride, class Ops, class D, class Plane, class Grad>
EB_HD EB_INLINE void depthwise3_weight_gradient(Ops& ops, const ConvShape& s, Plane plane, Index pitch, Grad grad,
                                                D (&sum)[kDepthwiseTaps * kDepthwiseTaps]) {
  constexpr Lanes<kLanes> lanes{};
  const Index H_out = s.H_out(), W_out = s.W_out();
  for (Index oh = 0; oh < H_out; ++oh) {
    for (Index ow = 0; ow < W_out; ow += kLanes) {
      const Index live = W_out - ow < kLanes ? W_out - ow : kLanes;
      auto some = ops.first(live);
      const auto dy = live == kLanes ? ops.load(lanes, grad, oh * W_out + ow) : some.load(lanes, grad, oh * W_out + ow);
      unrolled<kDepthwiseTaps>([&](auto t) EB_ALWAYS_INLINE {
        unrolled<kDepthwiseTaps>([&](auto u) EB_ALWAYS_INLINE {
          const Index at = (oh * kStride + t) * pitch + ow * kStride + u;
          Index inside = live;
          if constexpr (Ops::kCounting) inside = depthwise3_inside(s, live, oh, ow, t, u);
          auto part = ops.first(live, live - inside);
          constexpr int k = t * kDepthwiseTaps + u;
          if constexpr (kStride == 1) {
            sum[k] = part.mac(dy, ops.load(lanes, plane, at), sum[k]);
          } else {
            sum[k] = part.mac(dy, ops.gather(lanes, plane, at, kStride), sum[k]);
          }
        });
      });
    }
  }
}

}  // namespace eb
