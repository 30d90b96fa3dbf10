// Naive rungs of pooling: one thread a row of outputs.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Kind, class Ops, class T>
void pool2d_of(Type<Ops>, Type<T>, const PoolShape& s, const EbElementArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays, s);
  const Index H_out = s.H_out(), W_out = s.W_out();
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index row = 0; row < s.N * s.C * H_out; ++row) {
      for (Index ow = 0; ow < W_out; ++ow) pool2d_forward_naive<Kind>(ops, a, s, row / H_out, row % H_out, ow);
    }
    merge(ops, counts);
  }
}

}  // namespace

int pool2d(EbPool kind, EbDtype dtype, const PoolShape& shape, const EbElementArrays& arrays, int threads,
           OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    switch (kind) {
      case EB_POOL_max:
        return pool2d_of<MaxPool>(ops, element, shape, arrays, threads, counts);
      case EB_POOL_avg:
        return pool2d_of<AvgPool>(ops, element, shape, arrays, threads, counts);
    }
  });
}

}  // namespace eb::naive
