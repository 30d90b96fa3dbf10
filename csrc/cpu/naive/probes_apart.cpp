// Probes of one kind of work: MACs at an intensity, reads, writes, dependent loads, special functions, nothing.
#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "kernels/probes.h"

namespace eb::EB_ISA {
namespace {

// Lanes of a vector verb: 32 bytes, one AVX2 register.
template <class T>
constexpr int kLanes = 32 / static_cast<int>(sizeof(T));

template <class Function, class Ops, class T>
void special_of(const EbProbeShape& s, typename Ops::template Activation<const T> x,
                typename Ops::template Activation<T> y, int threads, OpCounts* counts) {
  in_parallel<Ops>((s.n + kProbeBlock - 1) / kProbeBlock, threads, counts, [&](auto& ops, Index block) {
    for (Index repeat = 0; repeat < s.times; ++repeat) {
      probe_special_block<Function, kLanes<T>>(ops, x, y, s.n, block);
    }
  });
}

// A team of threads that meets and parts.
void nothing(int threads) {
#pragma omp parallel num_threads(threads)
  {
#pragma omp barrier
  }
}

}  // namespace

int probe(EbProbe kind, EbDtype dtype, const EbProbeShape& s, const EbProbeArrays& arrays, int threads,
          OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    constexpr int W = kLanes<T>;
    const typename Ops::template Activation<const T> x(in<T>(arrays.x));
    const typename Ops::template Activation<T> y(out<T>(arrays.y));
    const typename Ops::template Activation<const std::int64_t> places(in<std::int64_t>(arrays.places));
    const typename Ops::template Activation<std::int64_t> ends(out<std::int64_t>(arrays.ends));
    const Index blocks = (s.n + kProbeBlock - 1) / kProbeBlock;
    switch (kind) {
      case EB_PROBE_intensity:
      case EB_PROBE_read:
        in_parallel<Ops>(blocks, threads, counts, [&](auto& ops, Index block) {
          probe_intensity_block<W, T>(ops, x, y, s.n, kind == EB_PROBE_read ? 0 : s.times, block);
        });
        return 0;
      case EB_PROBE_write:
        in_parallel<Ops>(blocks, threads, counts,
                         [&](auto& ops, Index block) { probe_write_block<W, T>(ops, y, s.n, block); });
        return 0;
      case EB_PROBE_chase:
        in_parallel<Ops>(s.chains, threads, counts, [&](auto& ops, Index chain) {
          probe_chase(ops, places, ends, s.n, s.times, chain, s.n / s.chains * chain);
        });
        for (Index chain = 0; chain < s.chains; ++chain) {
          if (static_cast<const std::int64_t*>(arrays.ends)[chain] < 0) {
            return refuse(error, "a place lies outside the array");
          }
        }
        return 0;
#define EB_CASE(name)                                          \
  case EB_PROBE_##name:                                        \
    special_of<probe::name, Ops, T>(s, x, y, threads, counts); \
    return 0;
        EB_CASE(exp)
        EB_CASE(tanh)
        EB_CASE(erf)
        EB_CASE(sqrt)
        EB_CASE(log)
#undef EB_CASE
      case EB_PROBE_launch:
        nothing(threads);
        return 0;
    }
    return refuse(error, "unknown probe");
  });
}

}  // namespace eb::EB_ISA
