// Tuned rung of the convolution: sums over patches in panels, or, where few output channels would share a patch, sums
// made directly from the image; depthwise with a window of 3×3 has a way of its own.
#include "kernels/depthwise.h"

#include "cpu/rungs.h"
#include "cpu/tuned/conv_pointwise.h"
#include "cpu/tuned/patches.h"
#include "cpu/workspace.h"
#include "operands/conv.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void conv2d_im2col(const ConvOperands<Ops, T>& a, const ConvShape& s, T* memory, int threads, OpCounts* counts) {
  const PatchSums sums = forward_sums(s);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    patch_sums<T>(ops, sums, threads, a.x, a.w, a.bias, s.has_bias != 0, a.y, memory);
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

// Plane by plane: a copy with padding, and from it every output channel of its group.
template <int kStride, class Ops, class T>
EB_INLINE void conv2d_depthwise3(Ops& ops, const ConvOperands<Ops, T>& a, const ConvShape& s, T* memory) {
  constexpr int L = kLanes<T>;
  const DepthwisePlane size(s.H_out(), s.W_out(), kStride, L);
  const typename Ops::template Activation<T> padded(memory);
  const auto zero = ops.broadcast(Lanes<L>{}, ops.constant(Constant<T, 0>{}));
  const Index outputs = s.C_out_per_group();
#pragma omp for schedule(static)
  for (Index task = 0; task < s.N * s.groups; ++task) {
    pad_plane<L, T>(ops, a.x.at(task * s.H * s.W), s.H, s.W, padded, size.pitch, size.rows, size.pitch, s.padding_h,
                    s.padding_w);
    for (Index m = 0; m < outputs; ++m) {
      const Index co = task % s.groups * outputs + m;
      std::remove_const_t<decltype(zero)> weight[kDepthwiseTaps * kDepthwiseTaps];
      depthwise3_weights<L>(ops, a.w.at(co * kDepthwiseTaps * kDepthwiseTaps), false, weight);
      const auto bias = s.has_bias ? ops.broadcast(Lanes<L>{}, ops.load(a.bias, co)) : zero;
      depthwise3_plane<L, kStride, false>(ops, s, padded, size.pitch, weight, bias,
                                          a.y.at((task * outputs + m) * s.H_out() * s.W_out()), Type<T>{});
    }
  }
}

template <class Ops, class T>
void conv2d_depthwise(const ConvOperands<Ops, T>& a, const ConvShape& s, T* memory, int threads, OpCounts* counts) {
  const Index each = DepthwisePlane(s.H_out(), s.W_out(), s.stride_h, kLanes<T>).elements();
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    T* const own = memory + omp_get_thread_num() * each;
    if (s.stride_h == 1) {
      conv2d_depthwise3<1>(ops, a, s, own);
    } else {
      conv2d_depthwise3<2>(ops, a, s, own);
    }
    merge(ops, counts);
  }
}

}  // namespace

int conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  const PatchSums sums = forward_sums(shape);
  if (!shape.direct && sums.pointwise()) return pointwise_conv2d(dtype, shape, arrays, threads, counts, error);
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    const bool depthwise = shape.direct && is_depthwise3(shape);
    if (shape.direct && !depthwise) return conv2d_direct<Ops, T>(a, shape, threads, counts), 0;
    const DepthwisePlane plane(shape.H_out(), shape.W_out(), shape.stride_h, kLanes<T>);
    void* memory = workspace(depthwise ? sizeof(T) * static_cast<std::size_t>(threads * plane.elements())
                                       : PatchMemory<T>(sums, threads).bytes());
    if (memory == nullptr) return refuse(error, "not enough memory for packed weights and padded images");
    if (depthwise) return conv2d_depthwise<Ops, T>(a, shape, static_cast<T*>(memory), threads, counts), 0;
    return conv2d_im2col<Ops, T>(a, shape, static_cast<T*>(memory), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
