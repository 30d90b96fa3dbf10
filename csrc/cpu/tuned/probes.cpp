// The multiply-add probe on this rung's vectors: what its arithmetic can do at most.
#include "kernels/probes.h"

#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/isa.h"

namespace eb::EB_ISA {

int probe_fma(EbDtype dtype, const FmaProbeShape& s, const void* x, void* y, int threads, OpCounts* counts,
              EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const typename Ops::template Activation<const T> source(in<T>(x));
    const typename Ops::template Activation<T> target(out<T>(y));
    in_parallel<Ops>(s.streams, threads, counts, [&](Ops& each, Index i) EB_ALWAYS_INLINE {
      probe_fma_stream<kLanes<T>, T>(each, source, target, s, i);
    });
  });
}

}  // namespace eb::EB_ISA
