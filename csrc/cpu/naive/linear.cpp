// Naive rung of the fully connected layer: one thread an output.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Ops, class T>
void linear_of(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index e = 0; e < s.M * s.N; ++e) linear_forward_naive(ops, a, s, e / s.N, e % s.N);
    merge(ops, counts);
  }
}

}  // namespace

int linear(EbDtype dtype, const LinearShape& shape, const EbLinearArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { linear_of(ops, element, shape, arrays, threads, counts); });
}

}  // namespace eb::naive
