// Naive rung of the GRU: a barrier between time steps.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Ops, class T>
void gru_of(Type<Ops>, Type<T>, const GruShape& s, const EbGruArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index t = 0; t < s.T; ++t) {
#pragma omp for schedule(static)  // ends in a barrier: step t + 1 reads what every thread wrote
      for (Index e = 0; e < s.B * s.H; ++e) gru_forward_naive(ops, a, s, t, e / s.H, e % s.H);
    }
    merge(ops, counts);
  }
}

}  // namespace

int gru(EbDtype dtype, const GruShape& shape, const EbGruArrays& arrays, int threads, OpCounts* counts,
        EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { gru_of(ops, element, shape, arrays, threads, counts); });
}

}  // namespace eb::naive
