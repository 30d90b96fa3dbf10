// Traffic without arithmetic: a change of layout, a join, rows of a table.
//
// Every element is loaded once and stored once on every rung, so both bases of traffic agree.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct CopyOperands {
  typename Ops::template Activation<const T> x;
  typename Ops::template Activation<T> y;
};

template <class Ops, class T>
struct GatherOperands {
  typename Ops::template Weight<const T> table;                 // table[row,:]
  typename Ops::template Activation<const std::int64_t> index;  // a row for each i
  typename Ops::template Activation<T> y;                       // y[i,:]
};

// n neighbours in W lanes.
template <int W, class Ops, class From, class To>
EB_HD EB_INLINE void copy_run(Ops& ops, From from, To to, Index n) {
  each_vector<W>(ops, n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(to, i, policy.load(lanes, from, i));
  });
}

// transpose_naive: row (b, column, row) of y, an element at a time.
template <class Ops, class T>
EB_HD EB_INLINE void transpose_naive(Ops& ops, const CopyOperands<Ops, T>& a, const TransposeShape& s, Index b,
                                     Index column, Index row) {
  const auto x = a.x.at(((b * s.rows + row) * s.columns + column) * s.run);
  const auto y = a.y.at(((b * s.columns + column) * s.rows + row) * s.run);
  for (Index i = 0; i < s.run; ++i) ops.store(y, i, ops.load(x, i));
}

// The W columns of x[b,:,:] from `column` on, which are rows of y: squares of W × W, turned in registers; runs of
// neighbours are copied as they are.
template <int W, class Ops, class T>
EB_HD EB_INLINE void transpose_lanes(Ops& ops, const CopyOperands<Ops, T>& a, const TransposeShape& s, Index b,
                                     Index column) {
  const Index columns = s.columns - column < W ? s.columns - column : W;
  const auto x = a.x.at((b * s.rows * s.columns + column) * s.run);
  const auto y = a.y.at((b * s.columns + column) * s.rows * s.run);
  if (W == 1 || s.run > 1) {
    for (Index c = 0; c < columns; ++c) {
      for (Index r = 0; r < s.rows; ++r) {
        copy_run<W>(ops, x.at((r * s.columns + c) * s.run), y.at((c * s.rows + r) * s.run), s.run);
      }
    }
    return;
  }
  if constexpr (W > 1) {
    constexpr Lanes<W> lanes{};
    const auto zeros = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
    for (Index row = 0; row < s.rows; row += W) {
      const Index rows = s.rows - row < W ? s.rows - row : W;
      std::remove_const_t<decltype(zeros)> square[W];
      if (rows == W && columns == W) {
        unrolled<W>([&](auto r) EB_ALWAYS_INLINE { square[r] = ops.load(lanes, x, (row + r) * s.columns); });
        ops.transpose(square);
        unrolled<W>([&](auto c) EB_ALWAYS_INLINE { ops.store(y, c * s.rows + row, square[c]); });
        continue;
      }
      unrolled<W>([&](auto r) EB_ALWAYS_INLINE {
        square[r] = r < rows ? ops.load(zeros, x, (row + r) * s.columns, 0, columns) : zeros;
      });
      ops.transpose(square);
      unrolled<W>([&](auto c) EB_ALWAYS_INLINE {
        if (c < columns) ops.store(y, c * s.rows + row, square[c], 0, rows);
      });
    }
  }
}

// gather_lanes: one row of y. Returns whether the index is a row of the table; one that is not leaves y as it was.
template <int W, class Ops, class T>
EB_HD EB_INLINE bool gather_lanes(Ops& ops, const GatherOperands<Ops, T>& a, const GatherShape& s, Index i) {
  const Index row = ops.load_index(a.index, i);
  if (row < 0 || row >= s.rows) return false;
  copy_run<W>(ops, a.table.at(row * s.n), a.y.at(i * s.n), s.n);
  return true;
}

// gather_naive: the same, an element at a time.
template <class Ops, class T>
EB_HD EB_INLINE bool gather_naive(Ops& ops, const GatherOperands<Ops, T>& a, const GatherShape& s, Index i) {
  const Index row = ops.load_index(a.index, i);
  if (row < 0 || row >= s.rows) return false;
  for (Index d = 0; d < s.n; ++d) ops.store(a.y, i * s.n + d, ops.load(a.table, row * s.n + d));
  return true;
}

}  // namespace eb
