// Naive rung of attention's gradients: one thread a head.
#include "operands/attention_backward.h"
#include "cpu/dispatch.h"
#include "cpu/rungs.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void attention_backward_of(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionBackwardArrays& arrays,
                           double scale, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays, scale);
  in_parallel<Ops>(s.B * s.Hn, threads, counts,
                   [&](Ops& ops, Index head) { attention_backward_naive(ops, a, s, head); });
}

}  // namespace

int attention_backward(EbDtype dtype, const AttentionShape& shape, const EbAttentionBackwardArrays& arrays,
                       double scale, int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) {
    attention_backward_of(ops, element, shape, arrays, scale, threads, counts);
  });
}

}  // namespace eb::EB_ISA
