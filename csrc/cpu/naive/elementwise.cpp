// Naive rung of what is done to every element alone: one number after the other.
#include "cpu/dispatch.h"
#include "cpu/elementwise_functions.h"
#include "cpu/rungs.h"

namespace eb::EB_ISA {
namespace {

template <class Function, class Ops, class T>
void elementwise_of(const ElementwiseOperands<Ops, T>& o, Index n, Index repeats, int threads, OpCounts* counts) {
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index repeat = 0; repeat < repeats; ++repeat) {
      const auto here = o.repeat_at(repeat * n);
#pragma omp for schedule(static)
      for (Index i = 0; i < n; ++i) Function::template at<T>(ops, here, OneByOne{}, i);
    }
    merge(ops, counts);
  }
}

}  // namespace

int elementwise(EbElementwise function, EbDtype dtype, Index n, const EbElementwiseArrays& arrays, int threads,
                OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto o = elementwise_operands<Ops, T>(arrays);
    switch (function) {
#define EB_CASE(name, Function) \
  case EB_ELEMENTWISE_##name:   \
    return elementwise_of<Function>(o, n, arrays.repeats, threads, counts);
      EB_ELEMENTWISE_FUNCTIONS(EB_CASE)
#undef EB_CASE
    }
  });
}

}  // namespace eb::EB_ISA
