// Calibration probes.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "kernels/probes.h"

namespace eb::EB_ISA {
namespace {

// Lanes of a vector verb: 32 bytes, one AVX2 register.
template <class T>
constexpr int kLanes = 32 / static_cast<int>(sizeof(T));

template <class Ops, class T>
void probe_fma_of(Type<Ops>, Type<T>, const FmaProbeShape& s, const void* x, void* y, int threads, OpCounts* counts) {
  const typename Ops::template Activation<const T> source(in<T>(x));
  const typename Ops::template Activation<T> target(out<T>(y));
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index i = 0; i < s.streams; ++i) probe_fma_stream<kLanes<T>, T>(ops, source, target, s, i);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void probe_stream_of(Type<Ops>, Type<T>, const StreamProbeShape& s, const void* x, void* y, int threads,
                     OpCounts* counts) {
  const typename Ops::template Activation<const T> source(in<T>(x));
  const typename Ops::template Activation<T> target(out<T>(y));
  constexpr Index lanes = kLanes<T>;
  const Index whole = s.n / lanes;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index repeat = 0; repeat < s.repeats; ++repeat) {
#pragma omp for schedule(static) nowait
      for (Index i = 0; i < whole; ++i) probe_stream_lanes<kLanes<T>, T>(ops, source, target, i * lanes);
#pragma omp single
      for (Index i = whole * lanes; i < s.n; ++i) probe_stream_element<T>(ops, source, target, i);
    }
    merge(ops, counts);
  }
}

}  // namespace

int probe_fma(EbDtype dtype, const FmaProbeShape& shape, const void* x, void* y, int threads, OpCounts* counts,
              EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { probe_fma_of(ops, element, shape, x, y, threads, counts); });
}

int probe_stream(EbDtype dtype, const StreamProbeShape& shape, const void* x, void* y, int threads, OpCounts* counts,
                 EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { probe_stream_of(ops, element, shape, x, y, threads, counts); });
}

}  // namespace eb::EB_ISA
