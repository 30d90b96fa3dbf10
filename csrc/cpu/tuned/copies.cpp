// Tuned rungs of copies: padding, change of layout, joins, rows of a table.
#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/isa.h"
#include "operands/copies.h"

namespace eb::EB_ISA {
namespace {

// body(ops, outer, inner) for every pair of outer < outers and inner < inners, in order, each thread a run of them: one
// division a thread, where a row may take less time than a division.
template <class Ops, class Body>
EB_INLINE void in_runs(Index outers, Index inners, int threads, OpCounts* counts, const Body& body) {
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Index thread = omp_get_thread_num(), team = omp_get_num_threads(), all = outers * inners;
    const Index first = all * thread / team, end = all * (thread + 1) / team;
    Index outer = first / inners, inner = first % inners;
    for (Index i = first; i < end; ++i) {
      body(ops, outer, inner);
      if (++inner == inners) inner = 0, ++outer;
    }
    merge(ops, counts);
  }
}

// Part by part, each thread a run of whole vectors of every row, the last one also what is left.
template <class Ops, class T>
EB_INLINE void concat_of(const EbConcatArrays& arrays, Index width, int threads, OpCounts* counts) {
  constexpr int W = kLanes<T>;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Index thread = omp_get_thread_num(), team = omp_get_num_threads();
    Index column = 0;
    for (Index part = 0; part < arrays.parts; ++part) {
      const auto a = operands<Ops, T>(arrays, part, column);
      const Index n = arrays.widths[part], vectors = n / W;
      const Index first = vectors * thread / team * W;
      const Index end = thread == team - 1 ? n : vectors * (thread + 1) / team * W;
      for (Index row = 0; row < arrays.rows; ++row) {
        copy_run<W>(ops, a.x.at(row * n + first), a.y.at(row * width + first), end - first);
      }
      column += n;
    }
    merge(ops, counts);
  }
}

}  // namespace

int pad2d(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    in_runs<Ops>(s.planes, s.H_out(), threads, counts, [&](auto& ops, Index plane, Index oh) EB_ALWAYS_INLINE {
      pad2d_forward_lanes<kLanes<T>>(ops, a, s, plane, oh);
    });
  });
}

int pad2d_backward(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts,
                   EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    in_parallel<Ops>(s.planes, threads, counts, [&](auto& ops, Index plane) EB_ALWAYS_INLINE {
      pad2d_backward_lanes<kLanes<T>>(ops, a, s, plane);
    });
  });
}

int transpose(EbDtype dtype, const TransposeShape& s, const EbTransposeArrays& arrays, int threads, OpCounts* counts,
              EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    constexpr int W = kLanes<T>;
    const auto a = operands<Ops, T>(arrays);
    in_runs<Ops>(s.batches, (s.columns + W - 1) / W, threads, counts,
                 [&](auto& ops, Index b, Index strip)
                     EB_ALWAYS_INLINE { transpose_lanes<W>(ops, a, s, b, strip * W); });
  });
}

int concat(EbDtype dtype, const EbConcatArrays& arrays, int threads, OpCounts* counts, EbError* error) {
  Index width = 0;
  for (Index part = 0; part < arrays.parts; ++part) width += arrays.widths[part];
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    concat_of<typename decltype(ops_type)::Of, typename decltype(element)::Of>(arrays, width, threads, counts);
  });
}

int gather(EbDtype dtype, const GatherShape& s, const EbGatherArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    bool inside = true;
    in_parallel<Ops>(s.count, threads, counts, [&](auto& ops, Index i) EB_ALWAYS_INLINE {
      if (!gather_lanes<kLanes<T>>(ops, a, s, i)) {
#pragma omp atomic write
        inside = false;
      }
    });
    return inside ? 0 : refuse(error, "an index is no row of the table");
  });
}

}  // namespace eb::EB_ISA
