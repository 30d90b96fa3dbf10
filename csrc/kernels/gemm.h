// Matrix product in panels, the core of every dense rung above naive: C[m,n] = Σ_k A[m,k] · B[k,n], then an epilogue.
//
// Strips of A (kRows rows) and of B (kColumns columns) are copied side by side into panels, k after k, so that the
// inner loop reads both in order; a tile of kRows × kColumns of C stays in registers while k runs. Blocks bound what
// the panels take: kBlockK values of k at a time, kBlockM rows and kBlockN columns. Every element of C adds its
// products up in the order of k in fused multiply-adds, its partial sum waiting in C between two blocks of k: the same
// bits as the naive loop's, on every rung and for any number of threads.
//
// The panels' strips are filled up with zeros to whole tiles. Products with those are worked (tile_macs) and are no
// MACs.
#pragma once

#include "common/ops.h"
#include "common/unrolled.h"

namespace eb {

// One of the two shapes of a register tile: W lanes, kRows × kVectors vectors of accumulators.
template <class T, int kLanes_, int kRows_, int kVectors_>
struct Tile {
  using Element = T;
  static constexpr int kLanes = kLanes_;
  static constexpr int kRows = kRows_;
  static constexpr int kVectors = kVectors_;
  static constexpr int kColumns = kLanes * kVectors;
};

// Elements of A and B that are in panels at a time.
struct GemmBlocks {
  Index m, n, k;
};

// A matrix in memory, an element at row · row_stride + column · column_stride. `P` is an Activation or a Weight.
template <class P>
struct Matrix {
  P data;
  Index row_stride, column_stride;

  EB_HD EB_INLINE Matrix transposed() const { return {data, column_stride, row_stride}; }
};

// Copies rows [row, row + rows) of columns [k, k + depth) into a strip of kRows: panel[d · kRows + r] = source(row + r,
// k + d). Rows beyond `rows` are stored as zeros.
template <class T, int kRows, int kLanes, class Ops, class P, class PanelPtr>
EB_HD EB_INLINE void gemm_pack_strip(Ops& ops, const Matrix<P>& source, PanelPtr panel, Index row, Index rows, Index k,
                                     Index depth) {
  constexpr Lanes<kLanes> lanes{};
  const auto origin = source.data.at(row * source.row_stride + k * source.column_stride);
  const auto zero = ops.constant(Constant<T, 0>{});
  Index d = 0;
  if constexpr (kLanes > 1 && kRows % kLanes == 0) {
    // Neighbours along the strip: whole vectors.
    if (source.row_stride == 1 && rows == kRows) {
      for (; d < depth; ++d) {
        for (int r = 0; r < kRows; r += kLanes) {
          ops.store(panel, d * kRows + r, ops.load(lanes, origin, d * source.column_stride + r));
        }
      }
      return;
    }
    // Neighbours along k: squares of kLanes × kLanes, turned in registers.
    if (source.column_stride == 1 && rows == kRows) {
      for (; d + kLanes <= depth; d += kLanes) {
        for (int r = 0; r < kRows; r += kLanes) {
          decltype(ops.load(lanes, origin, 0)) square[kLanes];
          unrolled<kLanes>(
              [&](auto l) EB_ALWAYS_INLINE { square[l] = ops.load(lanes, origin, (r + l) * source.row_stride + d); });
          ops.transpose(square);
          unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE { ops.store(panel, (d + l) * kRows + r, square[l]); });
        }
      }
    }
  }
  for (; d < depth; ++d) {
    for (Index r = 0; r < kRows; ++r) {
      const auto value = r < rows ? ops.load(origin, r * source.row_stride + d * source.column_stride) : zero;
      ops.store(panel, d * kRows + r, value);
    }
  }
}

// One register tile: rows × columns of it are inside C. `first` says that no partial sum waits in C yet.
// panel_a[d · kRows + r], panel_b[d · kColumns + c], c(row, column) at row · stride + column.
template <class Shape, class Ops, class A, class B, class C, class Epilogue>
EB_HD EB_INLINE void gemm_tile(Ops& ops, A panel_a, B panel_b, Index depth, C c, Index stride, Index rows,
                               Index columns, bool first, const Epilogue& epilogue) {
  constexpr int kRows = Shape::kRows, kVectors = Shape::kVectors, kLanes = Shape::kLanes;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<typename Shape::Element, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
  const bool whole = rows == kRows && columns == Shape::kColumns;
  // Columns of vector v that are inside C, for a row that is.
  const auto inside = [&](Index v) EB_ALWAYS_INLINE { return columns - v * kLanes; };

  unrolled<kRows>([&](auto r)
                      EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zero; }); });
  if (!first) {
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        if (whole) {
          sum[r][v] = ops.load(lanes, c, r * stride + v * kLanes);
        } else if (r < rows && inside(v) > 0) {
          auto part = ops.first(inside(v));
          sum[r][v] = part.load(lanes, c, r * stride + v * kLanes);
        }
      });
    });
  }
  for (Index d = 0; d < depth; ++d) {
    decltype(ops.load(lanes, panel_b, 0)) b[kVectors];
    unrolled<kVectors>([&](auto v)
                           EB_ALWAYS_INLINE { b[v] = ops.load(lanes, panel_b, d * Shape::kColumns + v * kLanes); });
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      const auto a = ops.broadcast(lanes, ops.load(panel_a, d * kRows + r));
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        auto part = ops.first(r < rows ? inside(v) : 0);
        sum[r][v] = part.mac(a, b[v], sum[r][v]);
      });
    });
  }
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      if (whole) {
        ops.store(c, r * stride + v * kLanes, epilogue(ops, lanes, sum[r][v], r, v * kLanes));
      } else if (r < rows && inside(v) > 0) {
        auto part = ops.first(inside(v));
        part.store(c, r * stride + v * kLanes, epilogue(part, lanes, sum[r][v], r, v * kLanes));
      }
    });
  });
}

// What becomes of a finished sum: nothing, a bias for each column, or one for each row.
struct NoEpilogue {
  template <class Ops, class L, class V>
  EB_HD EB_INLINE V operator()(Ops&, L, V sum, Index, Index) const {
    return sum;
  }
};
template <class P>
struct ColumnBias {
  P bias;     // of the tile's first column
  bool last;  // the sum is whole
  template <class Ops, class L, class V>
  EB_HD EB_INLINE V operator()(Ops& ops, L lanes, V sum, Index, Index column) const {
    return last ? ops.add(sum, ops.load(lanes, bias, column)) : sum;
  }
};
template <class P>
struct RowBias {
  P bias;     // of the tile's first row
  bool last;  // the sum is whole
  template <class Ops, class L, class V>
  EB_HD EB_INLINE V operator()(Ops& ops, L lanes, V sum, Index row, Index) const {
    return last ? ops.add(sum, ops.broadcast(lanes, ops.load(bias, row))) : sum;
  }
};

}  // namespace eb
