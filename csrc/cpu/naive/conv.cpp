// Naive rung of the convolution: one thread a row of outputs.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Ops, class T>
void conv2d_of(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
  const Index H_out = s.H_out(), W_out = s.W_out(), rows = s.N * s.C_out * H_out;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index row = 0; row < rows; ++row) {
      const Index oh = row % H_out, co = row / H_out % s.C_out, n = row / H_out / s.C_out;
      for (Index ow = 0; ow < W_out; ++ow) conv2d_forward_naive(ops, a, s, n, co, oh, ow);
    }
    merge(ops, counts);
  }
}

}  // namespace

int conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { conv2d_of(ops, element, shape, arrays, threads, counts); });
}

}  // namespace eb::naive
