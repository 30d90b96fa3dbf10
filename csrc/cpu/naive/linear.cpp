// Naive rung of the fully connected layer and its gradients: one thread an output.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/linear.h"

namespace eb::EB_ISA {
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

// Two products and a sum of rows, each a launch of its own.
template <class Ops, class T>
void linear_backward_of(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearBackwardArrays& arrays, int threads,
                        OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
  in_parallel<Ops>(s.M * s.K, threads, counts,
                   [&](Ops& ops, Index e) { linear_backward_input_naive(ops, a, s, e / s.K, e % s.K); });
  in_parallel<Ops>(s.N * s.K, threads, counts,
                   [&](Ops& ops, Index e) { linear_backward_weight_naive(ops, a, s, e / s.K, e % s.K); });
  in_parallel<Ops>(s.has_bias ? s.N : 0, threads, counts,
                   [&](Ops& ops, Index n) { linear_backward_bias<1, 1>(ops, a, s, n); });
}

}  // namespace

int linear_backward(EbDtype dtype, const LinearShape& shape, const EbLinearBackwardArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  if (counts != nullptr) counts->launches += shape.has_bias ? 2 : 1;  // and the one that dispatch counts
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { linear_backward_of(ops, element, shape, arrays, threads, counts); });
}

int linear(EbDtype dtype, const LinearShape& shape, const EbLinearArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { linear_of(ops, element, shape, arrays, threads, counts); });
}

}  // namespace eb::EB_ISA
