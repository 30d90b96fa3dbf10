// Naive rungs of functions of one element.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::naive {
namespace {

template <class Function, class Ops, class T>
void pointwise_of(Type<Ops>, Type<T>, Index n, const EbElementArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index i = 0; i < n; ++i) pointwise_forward_naive<Function>(ops, a, i);
    merge(ops, counts);
  }
}

}  // namespace

int pointwise(EbPointwise function, EbDtype dtype, Index n, const EbElementArrays& arrays, int threads,
              OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    switch (function) {
      case EB_POINTWISE_relu:
        return pointwise_of<Relu>(ops, element, n, arrays, threads, counts);
      case EB_POINTWISE_sigmoid:
        return pointwise_of<Sigmoid>(ops, element, n, arrays, threads, counts);
      case EB_POINTWISE_tanh:
        return pointwise_of<Tanh>(ops, element, n, arrays, threads, counts);
      case EB_POINTWISE_gelu:
        return pointwise_of<Gelu>(ops, element, n, arrays, threads, counts);
    }
  });
}

}  // namespace eb::naive
