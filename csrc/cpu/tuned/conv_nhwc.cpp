// Tuned rung of the convolution with channels innermost: a matrix product with implicit patches in its rows, or,
// depthwise, sums of vectors of channels.
#include "kernels/conv_nhwc.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"
#include "kernels/pool.h"

namespace eb::EB_ISA {
namespace {

template <class T>
GemmPlan<GemmShape<T>> nhwc_plan(const ConvShape& s) {
  return {s.N * s.H_out() * s.W_out(), s.C_out_per_group(), s.C_in_per_group() * s.KH * s.KW};
}

template <class Ops, class T>
void conv2d_nhwc_patches(const ConvOperands<Ops, T>& a, const ConvShape& s, T* scratch, int threads, OpCounts* counts) {
  const auto plan = nhwc_plan<T>(s);
  const typename Ops::template Activation<T> panels(scratch);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index group = 0; group < s.groups; ++group) {
      const Index co = group * s.C_out_per_group();
      const PixelPatches<decltype(a.x)> x{a.x.at(group * s.C_in_per_group()), s};
      const Matrix<decltype(a.w)> w{a.w.at(co * plan.K), plan.K, 1};
      gemm(ops, plan, x, w, panels, a.y.at(co), s.C_out, [&](Index, Index column, bool last) EB_ALWAYS_INLINE {
        return ColumnBias<decltype(a.bias)>{a.bias.at(co + column), last && s.has_bias};
      });
    }
    merge(ops, counts);
  }
}

// Pixels that share a load of the weights, and vectors of channels that share the place of a tap.
constexpr int kPixels = 4, kVectors = 2;

// One row of outputs: the pixels whose taps are all inside it kPixels at a time, the others one by one.
template <int kTogether, class Ops, class T, class PanelPtr>
EB_INLINE void depthwise_row(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, PanelPtr weights,
                             const Inside& whole, Index n, Index oh, Index c, Index live) {
  constexpr int W = kLanes<T>;
  Index ow = 0;
  while (ow < s.W_out()) {
    if (ow >= whole.from && ow + kPixels <= whole.to) {
      conv2d_nhwc_depthwise<W, kPixels, kTogether, true>(ops, a, s, weights, n, oh, ow, c, live);
      ow += kPixels;
    } else {
      conv2d_nhwc_depthwise<W, 1, kTogether, false>(ops, a, s, weights, n, oh, ow, c, live);
      ++ow;
    }
  }
}

template <class Ops, class T>
void conv2d_nhwc_depthwise_of(const ConvOperands<Ops, T>& a, const ConvShape& s, T* scratch, int threads,
                              OpCounts* counts) {
  constexpr int W = kLanes<T>;
  const typename Ops::template Activation<T> weights(scratch);
  const Inside whole = whole_windows(s.W, s.KW, s.stride_w, s.padding_w, s.dilation_w, s.W_out());
  const Index H_out = s.H_out();
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index tap = 0; tap < s.KH * s.KW; ++tap) depthwise_nhwc_pack<W>(ops, a, s, weights, tap);
#pragma omp for schedule(static)
    for (Index row = 0; row < s.N * H_out; ++row) {
      const Index n = row / H_out, oh = row % H_out;
      Index c = 0;
      for (; c + kVectors * W <= s.C_in; c += kVectors * W) {
        depthwise_row<kVectors>(ops, a, s, weights, whole, n, oh, c, W);
      }
      for (; c < s.C_in; c += W) {
        depthwise_row<1>(ops, a, s, weights, whole, n, oh, c, s.C_in - c < W ? s.C_in - c : W);
      }
    }
    merge(ops, counts);
  }
}

}  // namespace

int conv2d_nhwc(EbDtype dtype, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
                EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    const Index elements = s.direct ? s.KH * s.KW * s.C_in : nhwc_plan<T>(s).panel_elements();
    void* scratch = workspace(sizeof(T) * static_cast<std::size_t>(elements));
    if (scratch == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    if (s.direct) return conv2d_nhwc_depthwise_of<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
    return conv2d_nhwc_patches<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
