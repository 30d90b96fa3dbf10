// Naive rung of online attention: one thread a query.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "cpu/workspace.h"
#include "operands/attention_backward.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
int online_attention_of(Type<Ops>, Type<T>, const AttentionShape& s, const EbOnlineAttentionArrays& arrays,
                        double scale, int threads, OpCounts* counts, EbError* error) {
  void* memory = workspace(sizeof(T) * static_cast<std::size_t>(threads * kOnlineBlock));
  if (memory == nullptr) return refuse(error, "not enough memory for a block of scores");
  const typename Ops::template Activation<T> scratch(static_cast<T*>(memory));
  const auto a = operands<Ops, T>(arrays, scale);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const auto row = scratch.at(omp_get_thread_num() * kOnlineBlock);
#pragma omp for schedule(static)
    for (Index r = 0; r < s.B * s.Hn * s.S_q; ++r) online_attention_naive(ops, a, s, row, r / s.S_q, r % s.S_q);
    merge(ops, counts);
  }
  return 0;
}

}  // namespace

int online_attention(EbDtype dtype, const AttentionShape& shape, const EbOnlineAttentionArrays& arrays, double scale,
                     int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    return online_attention_of(ops, element, shape, arrays, scale, threads, counts, error);
  });
}

}  // namespace eb::EB_ISA
