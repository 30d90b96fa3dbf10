// The register tile of a GRU's step, forward and backward, and the walk over the sequences of a batch.
#pragma once

#include "cpu/tuned/gemm.h"

namespace eb::EB_ISA {
namespace {

// MACs of the recurrent side below which a step is worth no barrier: one thread takes them all.
constexpr Index kTeamMacs = 1 << 16;

// The tile of a step, for one sequence: two vectors for each gate, so that the multiply-adds' latency is hidden. More
// sequences share the weights: up to kSequences of them.
template <class T>
using StepShape = Tile<T, kLanes<T>, 1, 2>;
#if EB_VECTOR_BYTES == 64 && defined(__AVX512F__)
template <int kGates>
constexpr int kSequences = kGates == 3 ? 4 : 2;  // 24 or 16 sums of 32 registers
#elif EB_VECTOR_BYTES == 64
template <int kGates>
constexpr int kSequences = 1;
#else
template <int kGates>
constexpr int kSequences = kGates == 3 ? 2 : 1;  // 12 or 8 sums of 16 registers
#endif

// tile(count, b) for every sequence: kRows at a time, and half as many where fewer are left.
template <int kRows, class Body>
EB_INLINE void each_sequence_tile(Index b, Index batch, const Body& tile) {
  for (; b + kRows <= batch; b += kRows) tile(std::integral_constant<int, kRows>{}, b);
  if constexpr (kRows > 1) each_sequence_tile<kRows / 2>(b, batch, tile);
}

// Strip `strip` of the recurrent weights, gate by gate: panel[gate][k][unit].
template <class Shape, class T, class Ops, class Weights, class Panel>
EB_INLINE void pack_gate_strip(Ops& ops, const Weights& weights, Index H, Panel panels, Index strip, Index gate,
                               Index gates) {
  const Index unit = strip * Shape::kColumns;
  gemm_pack_strip<T, Shape::kColumns, Shape::kLanes>(ops, weights,
                                                     panels.at((strip * gates + gate) * H * Shape::kColumns), unit,
                                                     std::min<Index>(Shape::kColumns, H - unit), 0, H);
}

}  // namespace
}  // namespace eb::EB_ISA
