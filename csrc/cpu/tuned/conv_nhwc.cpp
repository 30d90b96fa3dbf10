// Tuned rung of the convolution with channels innermost: sums over patches, of which a number of the
// image is read where it lies, or, depthwise, sums of vectors of channels.
#include "kernels/conv_nhwc.h"

#include "cpu/rungs.h"
#include "cpu/tuned/patches.h"
#include "cpu/workspace.h"
#include "kernels/pool.h"
#include "operands/conv.h"

namespace eb::EB_ISA {
namespace {

// What the sums keep: packed weights, a block of images with their margins, and the table of taps.
template <class T>
struct PixelMemory {
  Index panels, images, tables;

  explicit PixelMemory(const PatchSums& p) {
    const auto whole = [](Index n) { return ceil_div(n, 64) * 64; };  // cache lines
    panels = whole(p.groups * ceil_div(p.outputs, kPatchColumns<T>) * kPatchColumns<T> * p.steps());
    images = p.in_place() ? 0 : whole(images_at_once(p) * p.image());
    tables = places_elements(p.steps());
  }
  std::size_t bytes() const {
    return sizeof(T) * static_cast<std::size_t>(panels + images) + sizeof(Index) * static_cast<std::size_t>(tables);
  }
};

// Images with channels innermost, with their margins or without: from row to row, and from image to image.
struct PixelRows {
  Index before_h, before_w, pitch, image;

  explicit PixelRows(const PatchSums& p, const ConvShape& s)
      : before_h(p.in_place() ? 0 : p.h.before),
        before_w(p.in_place() ? 0 : p.w.before),
        pitch((p.in_place() ? s.W : p.w.extent) * s.C_in),
        image((p.in_place() ? s.H : p.h.extent) * pitch) {}
};

// The taps of a patch in the order kh, kw, ci.
inline void list_pixel_taps(const PatchSums& p, const ConvShape& s, const PixelRows& rows, Index* offset, Index* row,
                            Index* column) {
  Index d = 0;
  for (Index kh = 0; kh < s.KH; ++kh) {
    for (Index kw = 0; kw < s.KW; ++kw) {
      for (Index ci = 0; ci < p.channels; ++ci, ++d) {
        row[d] = kh * s.dilation_h - s.padding_h, column[d] = kw * s.dilation_w - s.padding_w;
        offset[d] = (row[d] + rows.before_h) * rows.pitch + (column[d] + rows.before_w) * s.C_in + ci;
      }
    }
  }
}

// One tile with as many vectors as its columns need. A function of its own, for whole tiles and the last ones to share.
template <class T, class Ops, class Source, class Panel, class Out, class Bias>
__attribute__((noinline)) void pixel_tile(Ops& ops, Source source, const Places& pixel, const Index* slot,
                                          const Places& taps, Index depth, Panel panel, Out out, Index rows,
                                          Index columns, Bias bias, bool has_bias, const ImageBounds& inside) {
  constexpr int L = kLanes<T>, kColumns = kPatchColumns<T>;
  if (columns > L) {
    patch_tile<L, kPatchRows, kColumns / L, kColumns, T, true>(ops, source, pixel, slot, taps, depth, panel, out, rows,
                                                               columns, true, bias, has_bias, inside);
  } else {
    patch_tile<L, kPatchRows, 1, kColumns, T, true>(ops, source, pixel, slot, taps, depth, panel, out, rows, columns,
                                                    true, bias, has_bias, inside);
  }
}

// Sums of pixels [begin, end) of a block of images, for the columns of one strip: tile by tile, where they belong.
template <class T, class Ops, class Source, class Panel, class Out, class Bias>
EB_INLINE void pixel_chunk(Ops& ops, const PatchSums& p, const ConvShape& s, const PixelRows& rows, Source source,
                           const Places& taps, Panel panel, Out out, Index begin, Index end, Index columns, Bias bias) {
  const ImageBounds inside{s.H, s.W, true};
  Index n = begin / (p.h.size * p.w.size), oh = begin / p.w.size % p.h.size, ow = begin % p.w.size;
  for (Index pixel = begin; pixel < end; pixel += kPatchRows) {
    Index offset[kPatchRows] = {}, row[kPatchRows] = {}, column[kPatchRows] = {}, slot[kPatchRows] = {};
    const Index filled = std::min<Index>(kPatchRows, end - pixel);
    for (Index r = 0; r < filled; ++r) {
      row[r] = oh * s.stride_h, column[r] = ow * s.stride_w;
      offset[r] = n * rows.image + row[r] * rows.pitch + column[r] * s.C_in;
      slot[r] = (pixel + r) * s.C_out;
      if (++ow < p.w.size) continue;
      ow = 0;
      if (++oh < p.h.size) continue;
      oh = 0, ++n;
    }
    pixel_tile<T>(ops, source, Places{offset, row, column}, slot, taps, p.steps(), panel, out, filled, columns, bias,
                  s.has_bias != 0, inside);
  }
}

template <class Ops, class T>
void conv2d_nhwc_patches(const ConvOperands<Ops, T>& a, const ConvShape& s, T* memory, int threads, OpCounts* counts) {
  using Scratch = typename Ops::template Activation<T>;
  using Source = decltype(a.x);
  constexpr Index kColumns = kPatchColumns<T>, kChunk = kChunkTiles * kPatchRows;
  const PatchSums p = forward_sums(s);
  const PixelRows rows(p, s);
  const PixelMemory<T> sizes(p);
  const Scratch panels(memory), padded(memory + sizes.panels);
  Index* const table = reinterpret_cast<Index*>(memory + sizes.panels + sizes.images);
  const Index steps = p.steps(), strips = ceil_div(p.outputs, kColumns), pixels = p.h.size * p.w.size;
  const Places taps = places_in(table, steps);
  const bool weights_in_cache = static_cast<Index>(sizeof(T)) * strips * kColumns * steps <= kWeightsInCache;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp single nowait
    list_pixel_taps(p, s, rows, table, table + steps, table + 2 * steps);
#pragma omp for schedule(static) nowait
    for (Index strip = 0; strip < p.groups * strips; ++strip) {
      const Index output = strip % strips * kColumns;
      gemm_pack_strip<T, kColumns, kLanes<T>>(ops, Matrix<decltype(a.w)>{a.w, steps, 1},
                                              panels.at(strip * kColumns * steps), strip / strips * p.outputs + output,
                                              std::min(kColumns, p.outputs - output), 0, steps);
    }
    const Index at_once = images_at_once(p);
    for (Index n0 = 0; n0 < p.N; n0 += at_once) {
      const Index images = std::min(at_once, p.N - n0), image = s.H * s.W * s.C_in;
      const Index rows_to_pad = p.in_place() ? 0 : images * p.h.extent;
#pragma omp for schedule(static)
      for (Index i = 0; i < rows_to_pad; ++i) {
        const Index n = i / p.h.extent, r = i % p.h.extent;
        pad_plane<kLanes<T>, T>(ops, a.x.at((n0 + n) * image), s.H, s.W * s.C_in,
                                padded.at(n * rows.image + r * rows.pitch), rows.pitch, 1, rows.pitch, p.h.before - r,
                                p.w.before * s.C_in);
      }
      const Source from = p.in_place() ? a.x.at(n0 * image) : Source(memory + sizes.panels);
      const Index chunks = ceil_div(images * pixels, kChunk);
#pragma omp for schedule(static)
      for (Index task = 0; task < p.groups * strips * chunks; ++task) {
        const Index group = task / (strips * chunks), of_group = task % (strips * chunks);
        const Index strip = weights_in_cache ? of_group % strips : of_group / chunks;
        const Index chunk = weights_in_cache ? of_group / strips : of_group % chunks;
        const Index output = strip * kColumns, co = group * p.outputs + output;
        pixel_chunk<T>(ops, p, s, rows, from.at(group * p.channels), taps,
                       panels.at((group * strips + strip) * kColumns * steps), a.y.at(n0 * pixels * s.C_out + co),
                       chunk * kChunk, std::min(images * pixels, (chunk + 1) * kChunk),
                       std::min(kColumns, p.outputs - output), a.bias.at(co));
      }
    }
    merge(ops, counts);
  }
}

template <class T>
GemmPlan<GemmShape<T>> pointwise_plan(const PatchSums& p) {
  return {p.N * p.h.size * p.w.size, p.outputs, p.channels};
}

// One tap on every pixel: the matrix of pixels times the weights' transpose, as both lie.
template <class Ops, class T>
void conv2d_nhwc_pointwise(const ConvOperands<Ops, T>& a, const ConvShape& s, T* memory, int threads,
                           OpCounts* counts) {
  const PatchSums p = forward_sums(s);
  const auto plan = pointwise_plan<T>(p);
  const typename Ops::template Activation<T> panels(memory);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index group = 0; group < p.groups; ++group) {
      const Index co = group * p.outputs;
      const Matrix<decltype(a.x)> x{a.x.at(group * p.channels), s.C_in, 1};
      const Matrix<decltype(a.w)> w{a.w.at(co * p.channels), p.channels, 1};
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
    const PatchSums sums = forward_sums(s);
    const bool pointwise = sums.h.pointwise() && sums.w.pointwise();
    const Index elements = s.direct ? s.KH * s.KW * s.C_in : pointwise_plan<T>(sums).panel_elements();
    void* scratch = workspace(s.direct || pointwise ? sizeof(T) * static_cast<std::size_t>(elements)
                                                    : PixelMemory<T>(sums).bytes());
    if (scratch == nullptr) return refuse(error, "not enough memory for packed weights and padded images");
    if (!s.direct && pointwise) {
      return conv2d_nhwc_pointwise<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
    }
    if (s.direct) return conv2d_nhwc_depthwise_of<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
    return conv2d_nhwc_patches<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
