// Naive rungs of copies: padding, change of layout, joins, rows of a table.
#include "operands/copies.h"
#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::EB_ISA {

int pad2d(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    const auto a = operands<Ops, typename decltype(element)::Of>(arrays);
    const Index H_out = s.H_out(), W_out = s.W_out();
    in_parallel<Ops>(s.planes * H_out, threads, counts, [&](auto& ops, Index row) {
      for (Index ow = 0; ow < W_out; ++ow) pad2d_forward_naive(ops, a, s, row / H_out, row % H_out, ow);
    });
  });
}

int pad2d_backward(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts,
                   EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    const auto a = operands<Ops, typename decltype(element)::Of>(arrays);
    in_parallel<Ops>(s.planes, threads, counts,
                     [&](auto& ops, Index plane) { pad2d_backward_naive(ops, a, s, plane); });
  });
}

int transpose(EbDtype dtype, const TransposeShape& s, const EbTransposeArrays& arrays, int threads, OpCounts* counts,
              EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    const auto a = operands<Ops, typename decltype(element)::Of>(arrays);
    in_parallel<Ops>(s.batches * s.columns, threads, counts, [&](auto& ops, Index i) {
      for (Index row = 0; row < s.rows; ++row) transpose_naive(ops, a, s, i / s.columns, i % s.columns, row);
    });
  });
}

int concat(EbDtype dtype, const EbConcatArrays& arrays, int threads, OpCounts* counts, EbError* error) {
  Index width = 0;
  for (Index part = 0; part < arrays.parts; ++part) width += arrays.widths[part];
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    Index column = 0;
    for (Index part = 0; part < arrays.parts; ++part) {
      const auto a = operands<Ops, typename decltype(element)::Of>(arrays, part, column);
      const Index n = arrays.widths[part];
      in_parallel<Ops>(arrays.rows * n, threads, counts,
                       [&](auto& ops, Index i) { ops.store(a.y, i / n * width + i % n, ops.load(a.x, i)); });
      column += n;
    }
  });
}

int gather(EbDtype dtype, const GatherShape& s, const EbGatherArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    const auto a = operands<Ops, typename decltype(element)::Of>(arrays);
    bool inside = true;
    in_parallel<Ops>(s.count, threads, counts, [&](auto& ops, Index i) {
      if (!gather_naive(ops, a, s, i)) {
#pragma omp atomic write
        inside = false;
      }
    });
    return inside ? 0 : refuse(error, "an index is no row of the table");
  });
}

}  // namespace eb::EB_ISA
