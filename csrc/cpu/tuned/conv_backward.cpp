// Tuned rung of the convolution's gradients: sums over patches in panels, or, where few channels would share a patch,
// straight from the images.
#include "kernels/depthwise.h"

#include "cpu/rungs.h"
#include "cpu/tuned/conv_pointwise.h"
#include "cpu/tuned/patches.h"
#include "cpu/workspace.h"
#include "operands/conv.h"

namespace eb::EB_ISA {
namespace {

// Of the forward pass, by one dimension: pairs of an output and a tap that are inside the image.
EB_INLINE Index pairs_inside(const PatchAxis& axis) {
  Index pairs = 0;
  for (Index k = 0; k < axis.kernel; ++k) {
    for (Index o = 0; o < axis.size; ++o) {
      const Index at = o * axis.stride - axis.padding + k * axis.dilation;
      pairs += at >= 0 && at < axis.source;
    }
  }
  return pairs;
}

// The products of dx that fall on padding: nobody needs them, and no rung above naive meets them.
template <class T, class Ops>
EB_INLINE void skip_padding(Ops& ops, const ConvShape& s, const PatchSums& forward) {
  if constexpr (Ops::kCounting) {
#pragma omp single nowait
    {
      const Index nominal = s.H_out() * s.KH * s.W_out() * s.KW;
      const Index padding = nominal - pairs_inside(forward.h) * pairs_inside(forward.w);
      ops.template skip_macs<T>(s.N * s.C_out * s.C_in_per_group() * padding);
    }
  }
}

// What the weights' gradient keeps: panels of dy, a block of padded images, sums, and tables of taps and of pixels.
template <class T>
struct WeightGradientMemory {
  Index strips, steps, panels, images, sums, tables;

  explicit WeightGradientMemory(const PatchSums& p)
      : strips(p.groups * ceil_div(p.outputs, kPatchColumns<T>)), steps(0), panels(0), images(0), sums(0), tables(0) {
    const auto whole = [](Index n) { return ceil_div(n, 64) * 64; };  // cache lines
    steps = std::min(kBlockSteps, images_at_once(p) * p.h.size * p.w.size);
    panels = whole(strips * kPatchColumns<T> * steps);
    images = p.in_place() ? 0 : whole(images_at_once(p) * p.image());
    sums = whole(strips * kPatchColumns<T> * p.steps());
    tables = places_elements(p.steps()) + places_elements(steps);
  }
  std::size_t bytes() const {
    return sizeof(T) * static_cast<std::size_t>(panels + images + sums) +
           sizeof(Index) * static_cast<std::size_t>(tables);
  }
};

// dw as a product of dy and patches of x: a tile has taps as rows and channels of dy as columns, and sums up pixels.
// `memory` is WeightGradientMemory's. Ends in a barrier. A function of its own, as patch_sums is.
template <class T, class Ops>
EB_SHARED void weight_gradient(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const PatchSums& p, T* memory) {
  using Scratch = typename Ops::template Activation<T>;
  using Source = typename Ops::template Activation<const T>;
  constexpr Index kColumns = kPatchColumns<T>, kPiece = 256;
  const WeightGradientMemory<T> sizes(p);
  const Scratch panels(memory), padded(memory + sizes.panels), sums(memory + sizes.panels + sizes.images);
  const Index taps = p.steps(), pixels = p.h.size * p.w.size, strips = ceil_div(p.outputs, kColumns);
  Index* const tap_table = reinterpret_cast<Index*>(memory + sizes.panels + sizes.images + sizes.sums);
  Index* const pixel_table = tap_table + places_elements(taps);
  const Places pixel = places_in(pixel_table, sizes.steps);
  const ImageBounds inside{p.h.source, p.w.source, true};
#pragma omp single nowait
  list_taps(p, p.h.phase(0), p.w.phase(0), tap_table, tap_table + taps, tap_table + 2 * taps);
  const Index at_once = images_at_once(p), image = p.groups * p.channels * p.h.source * p.w.source;
  for (Index n0 = 0; n0 < p.N; n0 += at_once) {
    const Index images = std::min(at_once, p.N - n0);
    if (!p.in_place()) pad_images<T>(ops, p, a.x.at(n0 * image), images, padded);
    const Source source = p.in_place() ? a.x : Source(memory + sizes.panels);
    for (Index q0 = 0; q0 < images * pixels; q0 += sizes.steps) {
      const Index steps = std::min(sizes.steps, images * pixels - q0), pieces = ceil_div(steps, kPiece);
#pragma omp for schedule(static) nowait
      for (Index q = 0; q < steps; ++q) {
        const Index n = (q0 + q) / pixels, h = (q0 + q) % pixels / p.w.size * p.h.step();
        const Index w = (q0 + q) % p.w.size * p.w.step();
        pixel_table[q] = n * p.image() + h * p.pitch() + w;
        pixel_table[sizes.steps + q] = h, pixel_table[2 * sizes.steps + q] = w;
      }
#pragma omp for schedule(static)
      for (Index task = 0; task < sizes.strips * pieces; ++task) {
        const Index strip = task / pieces, group = strip / strips, output = strip % strips * kColumns;
        const Index end = std::min(steps, (task % pieces + 1) * kPiece);
        for (Index q = task % pieces * kPiece; q < end;) {
          const Index n = (q0 + q) / pixels, at = (q0 + q) % pixels, run = std::min(end - q, pixels - at);
          const Matrix<Source> dy{a.dy.at(((n0 + n) * p.groups + group) * p.outputs * pixels), pixels, 1};
          gemm_pack_strip<T, kColumns, kLanes<T>>(ops, dy, panels.at((strip * sizes.steps + q) * kColumns), output,
                                                  std::min(kColumns, p.outputs - output), at, run);
          q += run;
        }
      }
      const Index tiles = ceil_div(taps, kPatchRows);
#pragma omp for schedule(static)
      for (Index task = 0; task < sizes.strips * tiles; ++task) {
        const Index strip = task / tiles, group = strip / strips, output = strip % strips * kColumns;
        const Index k = task % tiles * kPatchRows, rows = std::min<Index>(kPatchRows, taps - k);
        Index offset[kPatchRows] = {}, row[kPatchRows] = {}, column[kPatchRows] = {}, slot[kPatchRows] = {};
        for (Index r = 0; r < rows; ++r) {
          offset[r] = tap_table[k + r], row[r] = tap_table[taps + k + r], column[r] = tap_table[2 * taps + k + r];
          slot[r] = (k + r) * kColumns;
        }
        any_patch_tile<T>(ops, source.at(group * p.channels * p.plane()), Places{offset, row, column}, slot, pixel,
                          steps, panels.at(strip * sizes.steps * kColumns), sums.at(strip * taps * kColumns), rows,
                          std::min(kColumns, p.outputs - output), n0 == 0 && q0 == 0, a.w, false, inside);
      }
    }
  }
  const Index pieces = ceil_div(taps, kPiece);
#pragma omp for schedule(static)
  for (Index task = 0; task < sizes.strips * pieces; ++task) {
    const Index strip = task / pieces, group = strip / strips, output = strip % strips * kColumns;
    const Index k = task % pieces * kPiece;
    any_turn<T>(ops, sums.at((strip * taps + k) * kColumns), std::min(kPiece, taps - k),
                std::min(kColumns, p.outputs - output), a.dw.at((group * p.outputs + output) * taps + k), taps);
  }
}

// The gradients of a depthwise convolution with a window of 3×3: dx of whole pixels is such a convolution of dy, with
// the window turned round; dw is nine dot products at once. Padding wider than the window leaves edges of dy that no dx
// meets: the turned padding is then negative, and the copy of the plane begins inside it.
EB_INLINE bool dx_is_depthwise3(const ConvShape& s) {
  return is_depthwise3(s) && s.stride_h == 1 && s.C_out_per_group() == 1;
}
EB_INLINE ConvShape turned_round(ConvShape s) {
  const Index H_out = s.H_out(), W_out = s.W_out();
  s.padding_h = kDepthwiseTaps - 1 - s.padding_h, s.padding_w = kDepthwiseTaps - 1 - s.padding_w;
  s.H = H_out, s.W = W_out;
  return s;
}
template <class T>
Index depthwise_scratch(const ConvShape& s) {
  if (!is_depthwise3(s)) return 0;
  const Index of_x = DepthwisePlane(s.H_out(), s.W_out(), s.stride_h, kLanes<T>).elements();
  return dx_is_depthwise3(s) ? std::max(of_x, DepthwisePlane(s.H, s.W, 1, kLanes<T>).elements()) : of_x;
}

template <class Ops, class T>
EB_INLINE void depthwise_dx(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s, T* memory) {
  constexpr int L = kLanes<T>;
  const ConvShape g = turned_round(s);
  const DepthwisePlane size(s.H, s.W, 1, L);
  const typename Ops::template Activation<T> padded(memory);
  const auto zero = ops.broadcast(Lanes<L>{}, ops.constant(Constant<T, 0>{}));
#pragma omp for schedule(static) nowait
  for (Index task = 0; task < s.N * s.groups; ++task) {
    pad_plane<L, T>(ops, a.dy.at(task * g.H * g.W), g.H, g.W, padded, size.pitch, size.rows, size.pitch, g.padding_h,
                    g.padding_w);
    std::remove_const_t<decltype(zero)> weight[kDepthwiseTaps * kDepthwiseTaps];
    depthwise3_weights<L>(ops, a.w.at(task % s.groups * kDepthwiseTaps * kDepthwiseTaps), true, weight);
    depthwise3_plane<L, 1, true>(ops, g, padded, size.pitch, weight, zero, a.dx.at(task * s.H * s.W), Type<T>{});
  }
}

template <int kStride, class Ops, class T>
EB_INLINE void depthwise_dw(Ops& ops, const ConvBackwardOperands<Ops, T>& a, const ConvShape& s, T* memory) {
  constexpr int L = kLanes<T>, kAll = kDepthwiseTaps * kDepthwiseTaps;
  const DepthwisePlane size(s.H_out(), s.W_out(), kStride, L);
  const typename Ops::template Activation<T> padded(memory);
  const auto zero = ops.constant(Constant<T, 0>{});
  const auto zeros = ops.broadcast(Lanes<L>{}, zero);
#pragma omp for schedule(static) nowait
  for (Index co = 0; co < s.C_out; ++co) {
    auto nothing = ops.first(0);
    std::remove_const_t<decltype(nothing.dot(zeros, zeros))> sum[kAll];
    unrolled<kAll>([&](auto k) EB_ALWAYS_INLINE { sum[k] = nothing.dot(zeros, zeros); });
    for (Index n = 0; n < s.N; ++n) {
      const auto x = a.x.at((n * s.C_in + co / s.C_out_per_group()) * s.H * s.W);
      pad_plane<L, T>(ops, x, s.H, s.W, padded, size.pitch, size.rows, size.pitch, s.padding_h, s.padding_w);
      depthwise3_weight_gradient<L, kStride>(ops, s, padded, size.pitch,
                                             a.dy.at((n * s.C_out + co) * s.H_out() * s.W_out()), sum);
    }
    unrolled<kAll>([&](auto k) EB_ALWAYS_INLINE { ops.store(a.dw, co * kAll + k, ops.fold(sum[k], zero)); });
  }
}

template <class Ops, class T>
void conv2d_gradients(const ConvBackwardOperands<Ops, T>& a, const ConvShape& s, T* memory, int threads,
                      OpCounts* counts) {
  const PatchSums forward = forward_sums(s), backward = input_gradient_sums(s);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    skip_padding<T>(ops, s, forward);
    T* const own = memory + omp_get_thread_num() * depthwise_scratch<T>(s);
    if (s.direct && dx_is_depthwise3(s)) {
      depthwise_dx(ops, a, s, own);
    } else if (s.direct) {
#pragma omp for schedule(static) nowait
      for (Index row = 0; row < s.N * s.C_in * s.H; ++row) {
        conv2d_backward_input_direct<kLanes<T>>(ops, a, s, backward, row / s.H / s.C_in, row / s.H % s.C_in, row % s.H);
      }
    } else {
      patch_sums<T>(ops, backward, threads, a.dy, a.w, a.w, false, a.dx, memory);
    }
    if (s.direct && is_depthwise3(s)) {
      if (s.stride_h == 1) {
        depthwise_dw<1>(ops, a, s, own);
      } else {
        depthwise_dw<2>(ops, a, s, own);
      }
    } else if (s.direct) {
      const Index channels = s.C_in_per_group();
#pragma omp for schedule(static) nowait
      for (Index e = 0; e < s.C_out * channels; ++e) {
        conv2d_backward_weight_direct<kLanes<T>>(ops, a, s, e / channels, e % channels);
      }
    } else {
      weight_gradient<T>(ops, a, forward, memory);
    }
#pragma omp for schedule(static)
    for (Index co = 0; co < (s.has_bias ? s.C_out : 0); ++co) conv2d_backward_bias<kLanes<T>>(ops, a, s, co);
    merge(ops, counts);
  }
}

}  // namespace

int conv2d_backward(EbDtype dtype, const ConvShape& shape, const EbConv2dBackwardArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  if (!shape.direct && forward_sums(shape).pointwise()) {
    return pointwise_conv2d_backward(dtype, shape, arrays, threads, counts, error);
  }
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    std::size_t bytes = sizeof(T) * static_cast<std::size_t>(threads * depthwise_scratch<T>(shape));
    if (!shape.direct) {
      bytes = std::max(PatchMemory<T>(input_gradient_sums(shape), threads).bytes(),
                       WeightGradientMemory<T>(forward_sums(shape)).bytes());
    }
    void* memory = workspace(bytes);
    if (memory == nullptr) return refuse(error, "not enough memory for packed weights and padded images");
    return conv2d_gradients<Ops, T>(operands<Ops, T>(arrays), shape, static_cast<T*>(memory), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
