// Naive rungs of what works on rows: softmax, layer normalisation.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Ops, class T>
void softmax_of(Type<Ops>, Type<T>, const RowShape& s, const EbRowArrays& arrays, int threads, OpCounts* counts) {
  const auto a = softmax_operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) softmax_forward_naive(ops, a, s, r);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void layer_norm_of(Type<Ops>, Type<T>, const RowShape& s, const EbRowArrays& arrays, double epsilon, int threads,
                   OpCounts* counts) {
  const auto a = layer_norm_operands<Ops, T>(arrays, s, epsilon);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) layer_norm_forward_naive(ops, a, s, r);
    merge(ops, counts);
  }
}

}  // namespace

int softmax(EbDtype dtype, const RowShape& shape, const EbRowArrays& arrays, int threads, OpCounts* counts,
            EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { softmax_of(ops, element, shape, arrays, threads, counts); });
}

int layer_norm(EbDtype dtype, const RowShape& shape, const EbRowArrays& arrays, double epsilon, int threads,
               OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    layer_norm_of(ops, element, shape, arrays, epsilon, threads, counts);
  });
}

}  // namespace eb::naive
