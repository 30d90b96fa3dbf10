// Tuned rung of what is done to every element alone.
#include "kernels/elementwise.h"

#include <omp.h>

#include "cpu/elementwise_functions.h"
#include "cpu/rungs.h"
#include "cpu/tuned/isa.h"
#include "kernels/reduce.h"

namespace eb::EB_ISA {
namespace {

// Elements that are asked for ahead of their turn. A thread asks for none beyond its own run: another may be writing
// it.
constexpr Index kAhead = 512;

// Each thread takes a run of whole vectors, the last one also what is left; a run of its own for every repeat.
template <class Function, class Ops, class T>
EB_INLINE void elementwise_of(const ElementwiseOperands<Ops, T>& o, Index n, Index repeats, int threads,
                              OpCounts* counts) {
  constexpr int W = kLanes<T>;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Index thread = omp_get_thread_num(), team = omp_get_num_threads(), vectors = n / W;
    const Index first = vectors * thread / team * W;
    const Index end = thread == team - 1 ? n : vectors * (thread + 1) / team * W;
    for (Index repeat = 0; repeat < repeats; ++repeat) {
      const auto here = o.repeat_at(repeat * n);
      const Index far = end - first > kAhead ? (end - first - kAhead) / W * W : 0;
      each_vector<W>(ops, far, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
        policy.prefetch(here.a, first + i + kAhead);
        policy.prefetch(here.y, first + i + kAhead);
        Function::template at<T>(policy, here, lanes, first + i);
      });
      each_vector<W>(ops, end - first - far, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
        Function::template at<T>(policy, here, lanes, first + far + i);
      });
    }
    merge(ops, counts);
  }
}

}  // namespace

int elementwise(EbElementwise function, EbDtype dtype, Index n, const EbElementwiseArrays& arrays, int threads,
                OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
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
