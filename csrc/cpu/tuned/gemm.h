// The loops around kernels/gemm.h for a team of threads: blocks, panels, tiles.
#pragma once

#include <omp.h>

#include <algorithm>

#include "cpu/tuned/isa.h"

namespace eb::EB_ISA {
namespace {

// A strip of B (256 × 16 floats) is half of a 32 KiB first-level cache; strips of A are in a second-level cache while
// it runs over them: kGroup of them, so that what a strip of B writes of C is still in a cache when the next one writes
// beside it, or all of up to kOneGroup. The panels of a block are at most 1536 · 256 + 1024 · 256 elements.
constexpr Index kBlockK = 256, kGroup = 4, kOneGroup = 16;
template <class Shape>
constexpr Index kBlockM = 1536 / Shape::kRows * Shape::kRows;
template <class Shape>
constexpr Index kBlockN = 1024 / Shape::kColumns * Shape::kColumns;

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// Whether `count` equal pieces of work leave no thread of a team idle for more than a tenth of the time.
constexpr bool shares_evenly(Index count, Index team) { return ceil_div(count, team) * team * 10 <= count * 11; }

template <class Shape>
struct GemmPlan {
  Index M, N, K;
  Index rows() const { return std::min(kBlockM<Shape>, ceil_div(M, Shape::kRows) * Shape::kRows); }
  Index columns() const { return std::min(kBlockN<Shape>, ceil_div(N, Shape::kColumns) * Shape::kColumns); }
  Index depth() const { return std::min(kBlockK, K); }
  Index panel_elements() const { return (rows() + columns()) * depth(); }
};

// Every thread of the team calls it with the same arguments. `a` and `b` have rows of C's rows and of C's columns (b is
// given transposed); anything that gemm_pack_strip takes. `epilogue(row, column, last)` makes a tile's epilogue.
// `panels` is scratch of panel_elements(). Unless `fresh`, C holds sums already, to which the product is added. Ends in
// a barrier.
template <class Shape, class Ops, class A, class B, class Panel, class C, class MakeEpilogue>
EB_INLINE void gemm(Ops& ops, const GemmPlan<Shape>& plan, const A& a, const B& b, Panel panels, const Planes<C>& c,
                    const MakeEpilogue& epilogue, bool fresh = true) {
  using T = typename Shape::Element;
  constexpr Index kRows = Shape::kRows, kColumns = Shape::kColumns;
  const Panel panel_a = panels, panel_b = panels.at(plan.rows() * plan.depth());
  const Index team = omp_get_num_threads(), thread = omp_get_thread_num();
  for (Index n0 = 0; n0 < plan.N; n0 += kBlockN<Shape>) {
    const Index columns = std::min(kBlockN<Shape>, plan.N - n0), b_strips = ceil_div(columns, kColumns);
    const Index first_packed = b_strips * thread / team, end_packed = b_strips * (thread + 1) / team;
    // Where that shares the work out evenly, a thread multiplies the strips of B that it has packed itself, and no
    // other: they lie in its own cache, and nobody waits for them.
    const bool own = shares_evenly(b_strips, team);
    const Index first_strip = own ? first_packed : 0, strips = own ? end_packed - first_packed : b_strips;
    for (Index k0 = 0; k0 < plan.K; k0 += kBlockK) {
      const Index depth = std::min(kBlockK, plan.K - k0);
      const bool first = fresh && k0 == 0, last = k0 + depth == plan.K;
      for (Index j = first_packed; j < end_packed; ++j) {
        gemm_pack_strip<T, kColumns, Shape::kLanes>(ops, b, panel_b.at(j * kColumns * depth), n0 + j * kColumns,
                                                    std::min(kColumns, columns - j * kColumns), k0, depth);
      }
      for (Index m0 = 0; m0 < plan.M; m0 += kBlockM<Shape>) {
        const Index rows = std::min(kBlockM<Shape>, plan.M - m0), a_strips = ceil_div(rows, kRows);
#pragma omp for schedule(static)
        for (Index i = 0; i < a_strips; ++i) {
          gemm_pack_strip<T, kRows, Shape::kLanes>(ops, a, panel_a.at(i * kRows * depth), m0 + i * kRows,
                                                   std::min(kRows, rows - i * kRows), k0, depth);
        }
        const Index group = own && a_strips <= kOneGroup ? a_strips : kGroup, groups = ceil_div(a_strips, group);
        // A group of strips of A times one strip of B, for each pair of both.
        const Index pairs = groups * strips;
        const Index first_pair = own ? 0 : pairs * thread / team;
        const Index end_pair = own ? pairs : pairs * (thread + 1) / team;
        for (Index pair = first_pair; pair < end_pair; ++pair) {
          const Index j = first_strip + pair % strips, column = n0 + j * kColumns;
          for (Index i = pair / strips * group; i < std::min(a_strips, (pair / strips + 1) * group); ++i) {
            const Index row = m0 + i * kRows;
            gemm_tile<Shape>(ops, panel_a.at(i * kRows * depth), panel_b.at(j * kColumns * depth), depth, c, row,
                             column, std::min(kRows, rows - i * kRows), std::min(kColumns, columns - j * kColumns),
                             first, epilogue(row, column, last), TilePadding<B>{b, column, k0});
          }
        }
#pragma omp barrier
      }
    }
  }
}

// The same with a dense matrix C, `c_stride` from row to row.
template <class Shape, class Ops, class A, class B, class Panel, class C, class MakeEpilogue>
EB_INLINE void gemm(Ops& ops, const GemmPlan<Shape>& plan, const A& a, const B& b, Panel panels, C c, Index c_stride,
                    const MakeEpilogue& epilogue, bool fresh = true) {
  gemm(ops, plan, a, b, panels, Planes<C>{c, c_stride, plan.N, 0}, epilogue, fresh);
}

}  // namespace
}  // namespace eb::EB_ISA
