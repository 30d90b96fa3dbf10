// A matrix product on CUDA through shared memory: C[m,n] = Σ_k A[m,k] · B[k,n]. A block makes a tile of kTileRows ×
// kTileColumns of C, kTileDepth terms at a time: its threads copy both operands' parts into shared memory, wait, and
// each adds up kThreadRows × kThreadColumns outputs in registers. Products run in the order of k in fused multiply-adds
// that begin at zero, so an output has the naive rung's bits.
//
// Tallies are the CPU's tuned rungs' (kernels/gemm.h): shared memory is scratch and its loads and stores are issued
// traffic; what the tile works beside C, and zeros that stand for padding, are tile_macs and no MACs.
#pragma once

#include <cstddef>
#include <type_traits>

#include "common/ops.h"
#include "cuda/launches.h"
#include "cuda/shared.h"

namespace eb {

constexpr int kTileRows = 64, kTileColumns = 64, kTileDepth = 16;
constexpr int kThreadRows = 8, kThreadColumns = 4;
// A row of a tile in shared memory is longer than the tile, so that threads that store a column meet other banks.
constexpr int kTileStride = kTileRows + 4;
static_assert(kTileRows == kTileColumns, "one stride serves both operands");
static_assert(kTileRows / kThreadRows * (kTileColumns / kThreadColumns) == kBlock, "every thread has its outputs");

constexpr std::size_t tile_bytes(std::size_t element) { return 2 * kTileDepth * kTileStride * element; }

inline Index tiles_of(Index M, Index N) {
  return (M + kTileRows - 1) / kTileRows * ((N + kTileColumns - 1) / kTileColumns);
}

// M, N and K of the product, and where in C the tile begins.
struct TileShape {
  Index M, N, K, row, column;
};

// Copies kTileDepth (or what is left) × 64 elements into shared memory at [k][i]. `load(i, k)` is called for i < live;
// beyond it zeros are stored. `along_k` says that neighbours in memory are neighbours in k: then so are the threads'.
template <class T, class Ops, class Shared, class Load>
__device__ void fill_tile(Ops& ops, Shared tile, Index depth, Index live, bool along_k, const Load& load) {
  for (Index e = threadIdx.x; e < kTileDepth * kTileRows; e += kBlock) {
    const Index k = along_k ? e % kTileDepth : e / kTileRows, i = along_k ? e / kTileDepth : e % kTileRows;
    if (k >= depth) continue;
    if (i < live) {
      ops.store(tile, k * kTileStride + i, load(i, k));
    } else {
      ops.store(tile, k * kTileStride + i, ops.constant(Constant<T, 0>{}));
    }
  }
}

// One tile. `a(m, k)` and `b(k, n)` load a number, `padding(k, n, live)` says how many of b(k, n … n + live − 1) are
// zeros that stand for padding (asked by the counting kernel alone), and `finish(m, n, live, values)` takes `live`
// outputs of row m from column n on. Every thread of the block calls it.
template <class T, class Ops, class A, class B, class Padding, class Finish>
__device__ void gemm_tile(Ops& ops, const TileShape& s, bool a_along_k, const A& a, bool b_along_k, const B& b,
                          const Padding& padding, const Finish& finish) {
  constexpr Lanes<kThreadColumns> lanes{};
  const typename Ops::template Activation<T> tile_a(shared_memory<T>());
  const auto tile_b = tile_a.at(kTileDepth * kTileStride);
  constexpr int kAcross = kTileColumns / kThreadColumns;
  const Index my_row = threadIdx.x / kAcross * kThreadRows, my_column = threadIdx.x % kAcross * kThreadColumns;
  const Index rows = s.M - s.row - my_row;  // of this thread inside C; none where it is not positive
  Index live = s.N - s.column - my_column;
  live = live < 0 ? 0 : live > kThreadColumns ? kThreadColumns : live;
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kThreadRows];
  for (int r = 0; r < kThreadRows; ++r) sum[r] = zero;
  for (Index first = 0; first < s.K; first += kTileDepth) {
    const Index depth = s.K - first < kTileDepth ? s.K - first : kTileDepth;
    __syncthreads();  // the part before has been read
    fill_tile<T>(ops, tile_a, depth, s.M - s.row, a_along_k, [&](Index i, Index k) { return a(s.row + i, first + k); });
    fill_tile<T>(ops, tile_b, depth, s.N - s.column, b_along_k,
                 [&](Index i, Index k) { return b(first + k, s.column + i); });
    __syncthreads();
    for (Index k = 0; k < depth; ++k) {
      Index idle = 0;
      if constexpr (Ops::kCounting) idle = padding(first + k, s.column + my_column, live);
      const auto right = ops.load(lanes, tile_b, k * kTileStride + my_column);
      for (int r = 0; r < kThreadRows; ++r) {
        const auto left = ops.broadcast(lanes, ops.load(tile_a, k * kTileStride + my_row + r));
        auto part = ops.first(r < rows ? live : 0, r < rows ? idle : 0);
        sum[r] = part.mac(left, right, sum[r]);
      }
    }
  }
  for (int r = 0; r < kThreadRows; ++r) {
    if (r < rows && live > 0) finish(s.row + my_row + r, s.column + my_column, live, sum[r]);
  }
}

}  // namespace eb
