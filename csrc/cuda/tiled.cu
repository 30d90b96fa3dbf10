// The tiled rung on CUDA: the fully connected layer, and the convolution as a product with its implicit patches,
// through shared memory (gemm_tile.h). A block makes a tile of outputs.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "cuda/gemm_tile.h"
#include "operands/conv.h"
#include "operands/linear.h"

namespace eb {
namespace {

// Blocks beyond this take several tiles each.
constexpr Index kMostTiles = Index{1} << 30;

template <class Ops, class T>
__global__ void linear_tiled_kernel(LinearOperands<Ops, T> a, LinearShape s, Index tiles, OpCounts* counts) {
  Ops ops;
  const auto x = linear_x(a.x, s);
  const auto w = linear_w(a.w, s);
  const Index across = (s.N + kTileColumns - 1) / kTileColumns;
  for (Index tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    gemm_tile<T>(
        ops, {s.M, s.N, s.K, tile / across * kTileRows, tile % across * kTileColumns}, !s.x_transposed,
        [&](Index m, Index k) { return ops.load(x.data, x.at(m, k)); }, !s.w_transposed,
        [&](Index k, Index n) { return ops.load(w.data, w.at(n, k)); }, [](Index, Index, Index) { return Index{0}; },
        [&](Index m, Index n, Index live, auto value) {
          auto part = ops.first(live);
          if (s.has_bias) value = part.add(value, part.load(Lanes<kThreadColumns>{}, a.bias, n));
          part.store(a.y, m * s.N + n, value);
        });
  }
  merge<T>(ops, counts);
}

// A pixel of the outputs, and a tap of the kernel: where in the image of its channel they meet.
struct Patch {
  Index image, channel, row, column;  // n, ci within the group, ih, iw

  __device__ Patch(const ConvShape& s, Index tap, Index pixel) {
    const Index W_out = s.W_out(), pixels = s.H_out() * W_out;
    image = pixel / pixels;
    channel = tap / s.KW / s.KH;
    row = pixel % pixels / W_out * s.stride_h - s.padding_h + tap / s.KW % s.KH * s.dilation_h;
    column = pixel % W_out * s.stride_w - s.padding_w + tap % s.KW * s.dilation_w;
  }
  __device__ bool inside(const ConvShape& s) const { return row >= 0 && row < s.H && column >= 0 && column < s.W; }
};

// C[co, pixel] of each group: weights as they lie, patches as they are met, the pixels of all images side by side.
template <class Ops, class T>
__global__ void conv2d_tiled_kernel(ConvOperands<Ops, T> a, ConvShape s, Index tiles, OpCounts* counts) {
  Ops ops;
  const Index channels = s.C_in_per_group(), rows = s.C_out_per_group(), depth = channels * s.KH * s.KW;
  const Index pixels = s.H_out() * s.W_out(), columns = s.N * pixels;
  const Index across = (columns + kTileColumns - 1) / kTileColumns;
  for (Index e = blockIdx.x; e < s.groups * tiles; e += gridDim.x) {
    const Index group = e / tiles, tile = e % tiles;
    const auto w = a.w.at(group * rows * depth);
    gemm_tile<T>(
        ops, {rows, columns, depth, tile / across * kTileRows, tile % across * kTileColumns}, true,
        [&](Index co, Index k) { return ops.load(w, co * depth + k); }, false,
        [&](Index k, Index pixel) {
          const Patch at(s, k, pixel);
          if (!at.inside(s)) return ops.constant(Constant<T, 0>{});
          return ops.load(a.x, ((at.image * s.C_in + group * channels + at.channel) * s.H + at.row) * s.W + at.column);
        },
        [&](Index k, Index pixel, Index live) {
          Index outside = 0;
          for (Index p = pixel; p < pixel + live; ++p) outside += Patch(s, k, p).inside(s) ? 0 : 1;
          return outside;
        },
        [&](Index row, Index pixel, Index live, auto value) {
          const Index co = group * rows + row;
          if (s.has_bias) {
            auto part = ops.first(live);
            value = part.add(value, ops.broadcast(Lanes<kThreadColumns>{}, ops.load(a.bias, co)));
          }
          for (Index p = 0; p < live;) {  // outputs of one image are neighbours
            const Index image = (pixel + p) / pixels, place = (pixel + p) % pixels;
            const Index end = p + pixels - place < live ? p + pixels - place : live;
            ops.store(a.y, (image * s.C_out + co) * pixels + place - p, value, p, end);
            p = end;
          }
        });
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void linear_tiled(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearArrays& arrays, Launches& launches) {
  const Index tiles = tiles_of(s.M, s.N);
  launches.blocks(std::min(tiles, kMostTiles), tile_bytes(sizeof(T)), linear_tiled_kernel<Ops, T>,
                  operands<Ops, T>(arrays), s, tiles);
}

template <class Ops, class T>
void conv2d_tiled(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, Launches& launches) {
  const Index tiles = tiles_of(s.C_out_per_group(), s.N * s.H_out() * s.W_out());
  launches.blocks(std::min(s.groups * tiles, kMostTiles), tile_bytes(sizeof(T)), conv2d_tiled_kernel<Ops, T>,
                  operands<Ops, T>(arrays), s, tiles);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_linear_tiled(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int device,
                         void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::linear_tiled(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_conv2d_tiled(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int device,
                         void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::conv2d_tiled(ops, element, *shape, *arrays, launches);
  });
}

}  // extern "C"
