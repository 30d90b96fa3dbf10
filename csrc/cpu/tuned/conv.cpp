// Tuned rung of the convolution: a matrix product with implicit patches, or, where few output channels would share a
// patch (depthwise above all), sums made directly from the image.
#include "kernels/conv.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"

namespace eb::EB_ISA {
namespace {

// A window of one pixel that neither moves over the image in steps nor over its edge sees an image of one row.
ConvShape flattened(ConvShape s) {
  const bool pixelwise = s.KH == 1 && s.KW == 1 && s.stride_h == 1 && s.stride_w == 1;
  if (pixelwise && s.padding_h == 0 && s.padding_w == 0) s.W *= s.H, s.H = 1;
  return s;
}

template <class T>
GemmPlan<GemmShape<T>> plan_of(const ConvShape& s) {
  return {s.C_out_per_group(), s.N * s.H_out() * s.W_out(), s.C_in_per_group() * s.KH * s.KW};
}

template <class Ops, class T>
void conv2d_im2col(const ConvOperands<Ops, T>& a, const ConvShape& s, T* scratch, int threads, OpCounts* counts) {
  const auto plan = plan_of<T>(s);
  const typename Ops::template Activation<T> panels(scratch);
  const Index pixels = s.H_out() * s.W_out();
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index group = 0; group < s.groups; ++group) {
      const Index co = group * s.C_out_per_group();
      const Matrix<decltype(a.w)> w{a.w.at(co * plan.K), plan.K, 1};
      const Patches<decltype(a.x)> x{a.x.at(group * s.C_in_per_group() * s.H * s.W), s};
      const Planes<decltype(a.y)> y{a.y.at(co * pixels), pixels, pixels, s.C_out * pixels};
      gemm(ops, plan, w, x, panels, y, [&](Index row, Index, bool last) EB_ALWAYS_INLINE {
        return RowBias<decltype(a.bias)>{a.bias.at(co + row), last && s.has_bias};
      });
    }
    merge(ops, counts);
  }
}

// Output channels that share a load of x.
constexpr int kDirectRows = 4;

// A row of pixels of kRows channels: kMost vectors at a time, then half as many, then one; where the window moves in
// steps, one at a time.
template <int kRows, int kMost, class Ops, class T>
EB_INLINE void conv2d_direct_row(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, Index n, Index co,
                                 Index oh) {
  constexpr int L = kLanes<T>;
  Index ow = 0, vectors = ceil_div(s.W_out(), L);
  if (s.stride_w != 1) {
    for (; vectors > 0; --vectors, ow += L) conv2d_forward_direct<L, kRows, 1, true>(ops, a, s, n, co, oh, ow);
    return;
  }
  for (; vectors >= kMost; vectors -= kMost, ow += kMost * L) {
    conv2d_forward_direct<L, kRows, kMost, false>(ops, a, s, n, co, oh, ow);
  }
  if constexpr (kMost > 2) {
    if (vectors >= 2) conv2d_forward_direct<L, kRows, 2, false>(ops, a, s, n, co, oh, ow), vectors -= 2, ow += 2 * L;
  }
  if (vectors > 0) conv2d_forward_direct<L, kRows, 1, false>(ops, a, s, n, co, oh, ow);
}

template <class Ops, class T>
void conv2d_direct(const ConvOperands<Ops, T>& a, const ConvShape& s, int threads, OpCounts* counts) {
  const Index H_out = s.H_out(), channels = s.C_out_per_group(), whole = channels / kDirectRows;
  const Index blocks = whole + channels % kDirectRows;  // single channels last
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index task = 0; task < s.N * s.groups * blocks * H_out; ++task) {
      const Index oh = task % H_out, block = task / H_out % blocks, group = task / H_out / blocks % s.groups;
      const Index n = task / H_out / blocks / s.groups, co = group * channels;
      if (block < whole) {
        conv2d_direct_row<kDirectRows, 2>(ops, a, s, n, co + block * kDirectRows, oh);
      } else {
        conv2d_direct_row<1, 4>(ops, a, s, n, co + whole * kDirectRows + block - whole, oh);
      }
    }
    merge(ops, counts);
  }
}

}  // namespace

int conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    const ConvShape s = flattened(shape);
    if (s.direct) return conv2d_direct<Ops, T>(a, s, threads, counts), 0;
    void* scratch = workspace(sizeof(T) * plan_of<T>(s).panel_elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    return conv2d_im2col<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
