// Sums over patches of images, which a convolution and both of its gradients are: the products of the "indirect
// convolution" (Dukhan, 2019), in which nothing but margins of zeros is ever copied of an image.
//
//   out[row][column] = Σ_d source[row's offset + step d's offset] · panel[d][column]
//
// A row is a pixel of the result and a step is a tap of its patch, columns being channels; for the gradient of the
// weights rows are taps and steps are pixels. A number of the source is read where it lies and multiplied with whole
// vectors of the panel, so that neither stride nor dilation costs anything.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "common/unrolled.h"

namespace eb {

// Places in a source with margins, a list of them: where each is in memory, and its row and column in the image.
struct Places {
  const Index *offset, *h, *w;

  EB_HD EB_FORCED Places from(Index i) const { return {offset + i, h + i, w + i}; }
};

// Of which image the places are: what lies outside of it is a zero. `padding` says that it is a layer's padding,
// nominal work; otherwise such a product is no part of the sum at all.
struct ImageBounds {
  Index H, W;
  bool padding;

  EB_HD EB_FORCED bool holds(const Places& row, Index r, const Places& step, Index d) const {
    const Index h = row.h[r] + step.h[d], w = row.w[r] + step.w[d];
    return h >= 0 && h < H && w >= 0 && w < W;
  }
};

// Rows [0, rows) of one register tile: kRows × kVectors vectors of sums, `columns` of them in use. `panel` and `out`
// have rows of kPitch columns; slot[r] is row r's place in `out`. Rows beyond `rows` have places like the others, and
// what they sum up is dropped. `first` says that no partial sum waits in `out`. Whole vectors are stored, unless
// kExact: then the columns in use alone.
template <int kLanes, int kRows, int kVectors, int kPitch, class T, bool kExact = false, class Ops, class Source,
          class Panel, class Out, class Bias>
EB_HD EB_INLINE void patch_tile(Ops& ops, Source source, const Places& row, const Index* slot, const Places& step,
                                Index depth, Panel panel, Out out, Index rows, Index columns, bool first, Bias bias,
                                bool has_bias, const ImageBounds& inside) {
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
  const auto used = [&](Index v) EB_ALWAYS_INLINE { return columns - v * kLanes; };  // of vector v; more than W is W
  unrolled<kRows>([&](auto r)
                      EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zero; }); });
  if (!first) {
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      if (r >= rows) return;
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = ops.load(lanes, out, slot[r] + v * kLanes); });
    });
  }
  for (Index d = 0; d < depth; ++d) {
    const auto at = source.at(step.offset[d]);
    std::remove_const_t<decltype(zero)> b[kVectors];
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { b[v] = ops.load(lanes, panel, d * kPitch + v * kLanes); });
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      const auto a = ops.broadcast(lanes, ops.load(at, row.offset[r]));
      Index outside = 0, absent = 0;
      if constexpr (Ops::kCounting) {
        if (r >= rows) {
          absent = kLanes;
        } else if (!inside.holds(row, r, step, d)) {
          (inside.padding ? outside : absent) = kLanes;
        }
      }
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        const Index live = absent > 0 ? 0 : used(v) < kLanes ? used(v) : Index{kLanes};
        auto part = ops.first(live, outside < live ? outside : live);
        sum[r][v] = part.mac(a, b[v], sum[r][v]);
      });
    });
  }
  if (has_bias) {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(used(v));
      const auto shift = part.load(lanes, bias, v * kLanes);
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        if (r < rows) sum[r][v] = part.add(sum[r][v], shift);
      });
    });
  }
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    if (r >= rows) return;
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      if (kExact && used(v) < kLanes) {
        ops.store(out, slot[r] + v * kLanes, sum[r][v], 0, used(v));
      } else {
        ops.store(out, slot[r] + v * kLanes, sum[r][v]);
      }
    });
  });
}

// Rows become columns: out[column · stride + row] = in[row · pitch + column]. Whole vectors of columns are read.
template <int kLanes, class T, class Ops, class In, class Out>
EB_HD EB_INLINE void turn(Ops& ops, In in, Index pitch, Index rows, Index columns, Out out, Index stride) {
  constexpr Lanes<kLanes> lanes{};
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  for (Index c = 0; c < columns; c += kLanes) {
    for (Index i = 0; i < rows; i += kLanes) {
      std::remove_const_t<decltype(zeros)> square[kLanes];
      const bool whole = rows - i >= kLanes && columns - c >= kLanes;
      if (whole) {
        unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE { square[l] = ops.load(lanes, in, (i + l) * pitch + c); });
        ops.transpose(square);
        unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE { ops.store(out, (c + l) * stride + i, square[l]); });
      } else {
        for (Index l = 0; l < kLanes; ++l) {
          square[l] = i + l < rows ? ops.load(lanes, in, (i + l) * pitch + c) : zeros;
        }
        ops.transpose(square);
        auto part = ops.first(rows - i);
        for (Index l = 0; l < kLanes && c + l < columns; ++l) part.store(out, (c + l) * stride + i, square[l]);
      }
    }
  }
}

// Elements that a copy of a plane asks for ahead: two rows of a large image, on the way while one is copied.
constexpr Index kPlaneAhead = 1024;

// One plane with margins: padded[r · pitch + q] = plane[r − before_h][q − before_w], zero outside the plane.
template <int kLanes, class T, class Ops, class In, class Out>
EB_HD EB_INLINE void pad_plane(Ops& ops, In plane, Index H, Index W, Out padded, Index pitch, Index rows, Index columns,
                               Index before_h, Index before_w) {
  constexpr Lanes<kLanes> lanes{};
  const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  for (Index r = 0; r < rows; ++r) {
    const Index h = r - before_h;
    const bool in = h >= 0 && h < H;
    for (Index q = 0; q < columns; q += kLanes) {
      const Index w = q - before_w, end = columns - q;
      auto value = zeros;
      if (in && w >= 0 && w + kLanes <= W && end >= kLanes) {
        ops.prefetch(plane, h * W + w + kPlaneAhead);
        ops.store(padded, r * pitch + q, ops.load(lanes, plane, h * W + w));
        continue;
      }
      if (in && w < W && w > -kLanes) value = ops.load(value, plane, h * W + w, -w, W - w < end ? W - w : end);
      ops.store(padded, r * pitch + q, value, 0, end);
    }
  }
}

// ---- geometry -------------------------------------------------------------------------------------------------------
// One dimension of the pixels i of a phase, and of the taps t that each of them sums up:
//   result[i · apart + phase] takes kernel[first + t · every] from source[i · step + offset + t · tap_step]
struct PatchPhase {
  Index pixels, taps, first, every, offset, tap_step;
};

// One dimension of a convolution's forward pass, or of the gradient of its input. Forward has one phase. In a gradient
// the results whose distance is the stride meet the same taps, and the outputs they meet lie beside each other.
struct PatchAxis {
  Index size, source, kernel, stride, padding, dilation;
  bool gradient;
  Index before, extent;  // margin, and size with the margins

  EB_HD EB_FORCED PatchAxis(Index result, Index from, Index taps, Index stride_, Index padding_, Index dilation_,
                            bool gradient_)
      : size(result),
        source(from),
        kernel(taps),
        stride(stride_),
        padding(padding_),
        dilation(dilation_),
        gradient(gradient_),
        before(0),
        extent(1) {
    for (Index p = 0; p < phases(); ++p) {
      const PatchPhase f = phase(p);
      if (f.taps == 0) continue;
      const Index last = (f.taps - 1) * f.tap_step;
      const Index lowest = f.offset + (last < 0 ? last : 0), highest = f.offset + (last > 0 ? last : 0);
      if (-lowest > before) before = -lowest;
      if (highest + (f.pixels - 1) * step() + 1 > extent) extent = highest + (f.pixels - 1) * step() + 1;
    }
    extent += before;
  }

  EB_HD EB_FORCED Index phases() const { return !gradient ? 1 : stride < size ? stride : size; }
  EB_HD EB_FORCED Index apart() const { return gradient ? stride : 1; }
  EB_HD EB_FORCED Index step() const { return gradient ? 1 : stride; }
  EB_HD EB_FORCED bool pointwise() const { return kernel == 1 && stride == 1 && padding == 0; }
  EB_HD EB_FORCED bool inside() const { return before == 0 && extent <= source; }
  EB_HD EB_FORCED PatchPhase phase(Index p) const {
    if (!gradient) return {size, kernel, 0, 1, -padding, dilation};
    PatchPhase f{(size - p + stride - 1) / stride, 0, 0, 1, 0, 0};
    while (f.first < kernel && (p + padding - f.first * dilation) % stride != 0) ++f.first;
    if (f.first >= kernel) return f;
    while (f.every < kernel && f.every * dilation % stride != 0) ++f.every;  // beyond, no second tap meets it
    f.taps = (kernel - f.first + f.every - 1) / f.every;
    f.offset = (p + padding - f.first * dilation) / stride;
    f.tap_step = -(f.every * dilation / stride);
    return f;
  }
};

// Pixels of an image from which on the part-filled vectors at its end cost less than turning its results.
constexpr Index kPointwisePixels = 128;

// Sums over patches for every group of channels: result[n, g·outputs + m, …] = Σ_{c,taps} w · source[n, g·channels + c,
// …]
struct PatchSums {
  Index N, groups, outputs, channels;
  PatchAxis h, w;
  Index w_output, w_channel, w_group;  // strides in w; a row of the kernel has w.kernel neighbours

  EB_HD EB_FORCED bool in_place() const { return h.inside() && w.inside(); }
  // From row to row and from channel to channel. With margins a row of all channels is one piece, so that the patches
  // of a row of results are a few such pieces, read from end to end.
  EB_HD EB_FORCED Index pitch() const { return in_place() ? w.source : groups * channels * w.extent; }
  EB_HD EB_FORCED Index plane() const { return in_place() ? h.source * w.source : w.extent; }
  EB_HD EB_FORCED Index image() const {
    return groups * channels * (in_place() ? h.source * w.source : h.extent * w.extent);
  }
  // One tap, which is on every pixel of images that are large enough to fill vectors with pixels.
  EB_HD EB_FORCED bool pointwise() const {
    return h.pointwise() && w.pointwise() && h.size * w.size >= kPointwisePixels;
  }
  EB_HD EB_FORCED Index steps() const { return channels * h.kernel * w.kernel; }  // of all phases
};

// The forward pass, and the gradient of its input: a sum over patches of dy.
EB_HD EB_FORCED PatchSums forward_sums(const ConvShape& s) {
  const Index outputs = s.C_out_per_group(), channels = s.C_in_per_group(), taps = s.KH * s.KW;
  return {s.N,
          s.groups,
          outputs,
          channels,
          PatchAxis(s.H_out(), s.H, s.KH, s.stride_h, s.padding_h, s.dilation_h, false),
          PatchAxis(s.W_out(), s.W, s.KW, s.stride_w, s.padding_w, s.dilation_w, false),
          channels * taps,
          taps,
          outputs * channels * taps};
}
EB_HD EB_FORCED PatchSums input_gradient_sums(const ConvShape& s) {
  const Index outputs = s.C_out_per_group(), channels = s.C_in_per_group(), taps = s.KH * s.KW;
  return {s.N,
          s.groups,
          channels,
          outputs,
          PatchAxis(s.H, s.H_out(), s.KH, s.stride_h, s.padding_h, s.dilation_h, true),
          PatchAxis(s.W, s.W_out(), s.KW, s.stride_w, s.padding_w, s.dilation_w, true),
          taps,
          channels * taps,
          outputs * channels * taps};
}

}  // namespace eb
