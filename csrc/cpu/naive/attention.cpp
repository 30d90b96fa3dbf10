// Naive rung of attention: one thread a query.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/attention.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void attention_of(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionArrays& arrays, double scale,
                  int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays, scale);
  const Index rows = s.B * s.Hn * s.S_q;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const auto row =
        typename Ops::template Activation<T>(out<T>(arrays.scratch)).at(omp_get_thread_num() * arrays.row_stride);
#pragma omp for schedule(static)
    for (Index r = 0; r < rows; ++r) attention_forward_naive(ops, a, s, row, r / s.S_q, r % s.S_q);
    merge(ops, counts);
  }
}

}  // namespace

int attention(EbDtype dtype, const AttentionShape& shape, const EbAttentionArrays& arrays, double scale, int threads,
              OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { attention_of(ops, element, shape, arrays, scale, threads, counts); });
}

}  // namespace eb::EB_ISA
