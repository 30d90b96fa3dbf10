// Tuned rungs of pooling: rows of outputs forward, planes backward.
#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/isa.h"
#include "cpu/workspace.h"
#include "operands/pool.h"

namespace eb::EB_ISA {
namespace {

template <class Kind, class Ops, class T>
EB_INLINE void pool2d_of(const PoolOperands<Ops, T>& a, const PoolShape& s, int threads, OpCounts* counts) {
  const Index H_out = s.H_out();
  in_parallel<Ops>(s.N * s.C * H_out, threads, counts, [&](auto& ops, Index row) EB_ALWAYS_INLINE {
    pool2d_forward_lanes<Kind, kLanes<T>>(ops, a, s, row / H_out, row % H_out);
  });
}

template <class Ops, class T>
EB_INLINE bool max_pool2d_backward_of(const PoolBackwardOperands<Ops, T>& a, const PoolShape& s, int threads,
                                      OpCounts* counts) {
  bool inside = true;
  in_parallel<Ops>(s.N * s.C, threads, counts, [&](auto& ops, Index plane) EB_ALWAYS_INLINE {
    if (!max_pool2d_backward_lanes<kLanes<T>>(ops, a, s, plane)) {
#pragma omp atomic write
      inside = false;
    }
  });
  return inside;
}

template <class Ops, class T>
EB_INLINE void avg_pool2d_backward_of(const PoolBackwardOperands<Ops, T>& a, const PoolShape& s, T* scratch,
                                      Index row_stride, int threads, OpCounts* counts) {
  const typename Ops::template Activation<T> rows(scratch);
  in_parallel<Ops>(s.N * s.C, threads, counts, [&](auto& ops, Index plane) EB_ALWAYS_INLINE {
    avg_pool2d_backward_lanes<kLanes<T>>(ops, a, s, rows.at(omp_get_thread_num() * row_stride), plane);
  });
}

}  // namespace

int pool2d(EbPool kind, EbDtype dtype, const PoolShape& shape, const EbPoolArrays& arrays, int threads,
           OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays, shape);
    if (kind == EB_POOL_max) return pool2d_of<MaxPool>(a, shape, threads, counts);
    pool2d_of<AvgPool>(a, shape, threads, counts);
  });
}

int pool2d_backward(EbPool kind, EbDtype dtype, const PoolShape& shape, const EbPoolArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = pool_backward_operands<Ops, T>(arrays, shape);
    if (kind == EB_POOL_max) {
      return max_pool2d_backward_of(a, shape, threads, counts) ? 0 : refuse(error, "a winner lies outside the image");
    }
    const Index row_stride = shape.W_out() + 64 / static_cast<Index>(sizeof(T));  // no two threads in one cache line
    void* scratch = workspace(sizeof(T) * static_cast<std::size_t>(row_stride * threads));
    if (scratch == nullptr) return refuse(error, "not enough memory for a row of outputs");
    return avg_pool2d_backward_of(a, shape, static_cast<T*>(scratch), row_stride, threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
