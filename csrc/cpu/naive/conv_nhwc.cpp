// Naive rung of the convolution with channels innermost: one thread a row of outputs.
#include "kernels/conv_nhwc.h"

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/conv.h"

namespace eb::EB_ISA {

int conv2d_nhwc(EbDtype dtype, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
                EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    const auto a = operands<Ops, typename decltype(element)::Of>(arrays);
    const Index H_out = s.H_out(), W_out = s.W_out();
    in_parallel<Ops>(s.N * H_out, threads, counts, [&](auto& ops, Index row) {
      for (Index ow = 0; ow < W_out; ++ow) {
        for (Index co = 0; co < s.C_out; ++co) conv2d_nhwc_naive(ops, a, s, row / H_out, row % H_out, ow, co);
      }
    });
  });
}

}  // namespace eb::EB_ISA
