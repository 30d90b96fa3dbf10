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

// A matrix in memory, an element at row · row_stride + column · column_stride. `P` is an Activation or a Weight.
template <class P>
struct Matrix {
  P data;
  Index row_stride, column_stride;

  EB_HD EB_FORCED Index at(Index row, Index column) const { return row * row_stride + column * column_stride; }
  EB_HD EB_FORCED Matrix transposed() const { return {data, column_stride, row_stride}; }
};

// How many of `lanes` columns of C from `column` on have a zero that stands for padding at k: of B's sources, implicit
// patches have some (kernels/conv.h). Asked by the counting kernel alone.
template <class P>
EB_HD EB_FORCED Index gemm_padding(const Matrix<P>&, Index, Index, Index) {
  return 0;
}

// The padding of a tile of C at a column of B, from k on.
template <class B>
struct TilePadding {
  const B& b;
  Index column, k;

  EB_HD EB_FORCED Index columns(Index d, Index at, Index lanes) const {
    return gemm_padding(b, column + at, k + d, lanes);
  }
};
struct NoPadding {
  EB_HD EB_FORCED Index columns(Index, Index, Index) const { return 0; }
};

// Copies rows [row, row + rows) of columns [k, k + depth) into a strip of kRows: panel[d · kRows + r] = source(row + r,
// k + d). Rows beyond `rows` are stored as zeros.
template <class T, int kRows, int kLanes, class Ops, class P, class PanelPtr>
EB_HD EB_INLINE void gemm_pack_strip(Ops& ops, const Matrix<P>& source, PanelPtr panel, Index row, Index rows, Index k,
                                     Index depth) {
  constexpr Lanes<kLanes> lanes{};
  const auto origin = source.data.at(row * source.row_stride + k * source.column_stride);
  const auto zero = ops.constant(Constant<T, 0>{});
  const auto zeros = ops.broadcast(lanes, zero);
  Index d = 0;
  if constexpr (kLanes > 1) {
    // Neighbours along the strip: whole vectors, and the lanes that are left.
    if (source.row_stride == 1) {
      for (; d < depth; ++d) {
        for (int r = 0; r < kRows; r += kLanes) {
          const Index i = d * source.column_stride + r;
          if (kRows - r >= kLanes && rows - r >= kLanes) {
            ops.store(panel, d * kRows + r, ops.load(lanes, origin, i));
          } else {
            ops.store(panel, d * kRows + r, ops.load(zeros, origin, i, 0, rows - r), 0, kRows - r);
          }
        }
      }
      return;
    }
    // Neighbours along k: squares of kLanes × kLanes, turned in registers.
    if (source.column_stride == 1) {
      for (; d + kLanes <= depth; d += kLanes) {
        unrolled<(kRows + kLanes - 1) / kLanes>([&](auto block) EB_ALWAYS_INLINE {
          constexpr int r = block * kLanes, kPart = kRows - r < kLanes ? kRows - r : kLanes;
          std::remove_const_t<decltype(zeros)> square[kLanes];
          unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE {
            square[l] = l < kPart && r + l < rows ? ops.load(lanes, origin, (r + l) * source.row_stride + d) : zeros;
          });
          ops.transpose(square);
          unrolled<kLanes>([&](auto l) EB_ALWAYS_INLINE {
            if constexpr (kPart == kLanes) {
              ops.store(panel, (d + l) * kRows + r, square[l]);
            } else {
              ops.store(panel, (d + l) * kRows + r, square[l], 0, kPart);
            }
          });
        });
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

// What the sums of kLanes columns from `column` on begin at: zero, unless the epilogue has an overload (ColumnStart).
template <class Ops, class Epilogue, int kLanes, class V>
EB_HD EB_INLINE V gemm_start(Ops&, const Epilogue&, Lanes<kLanes>, V zero, Index) {
  return zero;
}

// The sums begin at a bias for each column, which then costs no addition, and end as they are.
template <class P>
struct ColumnStart {
  P bias;  // of the tile's first column
  bool has_bias;
  template <class Ops, class L, class V>
  EB_HD EB_INLINE V operator()(Ops&, L, V sum, Index, Index) const {
    return sum;
  }
};
template <class Ops, class P, int kLanes, class V>
EB_HD EB_INLINE V gemm_start(Ops& ops, const ColumnStart<P>& begin, Lanes<kLanes> lanes, V zero, Index column) {
  return begin.has_bias ? ops.load(lanes, begin.bias, column) : zero;
}

// Where C lies: its columns are planes of `plane` neighbours, `plane_stride` apart (the pixels of a batch of images; a
// dense matrix is one plane).
template <class P>
struct Planes {
  P data;
  Index row_stride, plane, plane_stride;

  EB_HD EB_FORCED P at(Index row, Index column) const {
    return data.at(row * row_stride + column / plane * plane_stride + column % plane);
  }
  // Columns from `column` on that are in its plane.
  EB_HD EB_FORCED Index neighbours(Index column) const { return plane - column % plane; }
};

// One register tile, rows × columns of it inside C, at (row, column). `first` says that no partial sum waits in C yet.
// panel_a[d · kRows + r], panel_b[d · kColumns + c]; `padding` is TilePadding or NoPadding.
template <class Shape, class Ops, class A, class B, class P, class Epilogue, class Padding>
EB_HD EB_INLINE void gemm_tile(Ops& ops, A panel_a, B panel_b, Index depth, const Planes<P>& c, Index row, Index column,
                               Index rows, Index columns, bool first, const Epilogue& epilogue,
                               const Padding& padding) {
  constexpr int kRows = Shape::kRows, kVectors = Shape::kVectors, kLanes = Shape::kLanes;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<typename Shape::Element, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
  const bool whole = rows == kRows && columns == Shape::kColumns && c.neighbours(column) >= columns;
  // Columns of vector v that are inside C.
  const auto inside = [&](Index v) EB_ALWAYS_INLINE {
    const Index left = columns - v * kLanes;
    return left < 0 ? Index{0} : left < kLanes ? left : Index{kLanes};
  };
  // visit(address, begin, end) for each run of neighbours among the columns of vector v: lane l at address[l].
  const auto runs = [&](Index v, const auto& visit) EB_ALWAYS_INLINE {
    for (Index begin = 0; begin < inside(v);) {
      const Index at = column + v * kLanes + begin, next = begin + c.neighbours(at);
      const Index end = next < inside(v) ? next : inside(v);
      visit(c.at(row, at).at(-begin), begin, end);
      begin = end;
    }
  };

  unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
    auto part = ops.first(inside(v));
    const auto start = first ? gemm_start(part, epilogue, lanes, zero, v * kLanes) : zero;
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE { sum[r][v] = start; });
  });
  if (!first && whole) {
    const auto start = c.at(row, column);
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto v)
                             EB_ALWAYS_INLINE { sum[r][v] = ops.load(lanes, start, r * c.row_stride + v * kLanes); });
    });
  } else if (!first) {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      runs(v, [&](P start, Index begin, Index end) EB_ALWAYS_INLINE {
        unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
          if (r < rows) sum[r][v] = ops.load(sum[r][v], start, r * c.row_stride, begin, end);
        });
      });
    });
  }
  for (Index d = 0; d < depth; ++d) {
    decltype(ops.load(lanes, panel_b, 0)) b[kVectors];
    Index idle[kVectors] = {};
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      b[v] = ops.load(lanes, panel_b, d * Shape::kColumns + v * kLanes);
      if constexpr (Ops::kCounting) idle[v] = padding.columns(d, v * kLanes, inside(v));
    });
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      const auto a = ops.broadcast(lanes, ops.load(panel_a, d * kRows + r));
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        auto part = r < rows ? ops.first(inside(v), idle[v]) : ops.first(0);
        sum[r][v] = part.mac(a, b[v], sum[r][v]);
      });
    });
  }
  if (whole) {
    const auto end = c.at(row, column);
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        ops.store(end, r * c.row_stride + v * kLanes, epilogue(ops, lanes, sum[r][v], r, v * kLanes));
      });
    });
    return;
  }
  unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
    if (inside(v) == 0) return;
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      if (r < rows) sum[r][v] = epilogue(part, lanes, sum[r][v], r, v * kLanes);
    });
    runs(v, [&](P start, Index begin, Index end) EB_ALWAYS_INLINE {
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        if (r < rows) ops.store(start, r * c.row_stride, sum[r][v], begin, end);
      });
    });
  });
}

// The same in a dense matrix without padding: c(row, column) of the tile at row · stride + column.
template <class Shape, class Ops, class A, class B, class C, class Epilogue>
EB_HD EB_INLINE void gemm_tile(Ops& ops, A panel_a, B panel_b, Index depth, C c, Index stride, Index rows,
                               Index columns, bool first, const Epilogue& epilogue) {
  gemm_tile<Shape>(ops, panel_a, panel_b, depth, Planes<C>{c, stride, stride, 0}, 0, 0, rows, columns, first, epilogue,
                   NoPadding{});
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
