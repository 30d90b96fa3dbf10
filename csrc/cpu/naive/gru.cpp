// Naive rung of the GRU, forward and backward: a barrier between time steps.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "cpu/workspace.h"
#include "operands/gru.h"

namespace eb::EB_ISA {
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

template <class Ops, class T>
void gru_backward_of(const GruBackwardOperands<Ops, T>& a, const GruShape& s, T* memory, int threads,
                     OpCounts* counts) {
  const Index slots = s.gates() + 1;
  const typename Ops::template Activation<T> sums(memory), carry(memory + s.T * s.B * slots * s.H);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index t = s.T - 1; t >= -1; --t) {
#pragma omp for schedule(static)  // ends in a barrier: step t − 1 reads what every thread wrote
      for (Index e = 0; e < s.B * s.H; ++e) gru_backward_naive_step(ops, a, s, sums, carry, t, e / s.H, e % s.H);
    }
#pragma omp for schedule(static) nowait
    for (Index e = 0; e < s.T * s.B * s.I; ++e) gru_backward_naive_input(ops, a, s, sums, e / s.I, e % s.I);
#pragma omp for schedule(static) nowait
    for (Index e = 0; e < s.gates() * s.H; ++e) gru_backward_naive_weights(ops, a, s, sums, e / s.H, e % s.H);
    if (s.has_bias) {
#pragma omp for schedule(static)
      for (Index e = 0; e < slots * s.H; ++e) gru_backward_biases<1, T>(ops, a, s, sums, e / s.H, e % s.H);
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

int gru_backward(EbDtype dtype, const GruShape& s, const EbGruBackwardArrays& arrays, int threads, OpCounts* counts,
                 EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    void* scratch = workspace(sizeof(T) * static_cast<std::size_t>(s.B * s.H * (s.T * (s.gates() + 1) + 1)));
    if (scratch == nullptr) return refuse(error, "not enough memory for the gates' gradients of a GRU");
    const auto a = operands<Ops, T>(arrays);
    return gru_backward_of<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
