// Naive rungs of pooling: one thread a row of outputs, and a plane backward.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/pool.h"

namespace eb::EB_ISA {
int pool2d(EbPool kind, EbDtype dtype, const PoolShape& s, const EbPoolArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays, s);
    const Index H_out = s.H_out(), W_out = s.W_out();
    in_parallel<Ops>(s.N * s.C * H_out, threads, counts, [&](auto& ops, Index row) {
      for (Index ow = 0; ow < W_out; ++ow) {
        if (kind == EB_POOL_avg) {
          pool2d_forward_naive<AvgPool>(ops, a, s, row / H_out, row % H_out, ow);
        } else if (s.keep_winners) {
          max_pool2d_winners_naive(ops, a, s, row / H_out, row % H_out, ow);
        } else {
          pool2d_forward_naive<MaxPool>(ops, a, s, row / H_out, row % H_out, ow);
        }
      }
    });
  });
}

int pool2d_backward(EbPool kind, EbDtype dtype, const PoolShape& s, const EbPoolArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = pool_backward_operands<Ops, T>(arrays, s);
    bool inside = true;
    in_parallel<Ops>(s.N * s.C, threads, counts, [&](auto& ops, Index plane) {
      if (kind == EB_POOL_avg) return avg_pool2d_backward_naive(ops, a, s, plane);
      if (!max_pool2d_backward_naive(ops, a, s, plane)) {
#pragma omp atomic write
        inside = false;
      }
    });
    return inside ? 0 : refuse(error, "a winner lies outside the image");
  });
}

}  // namespace eb::EB_ISA
