// Naive rungs of what works on rows: softmax and its logarithm, layer normalisation.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "cpu/workspace.h"
#include "operands/layer_norm.h"
#include "operands/softmax.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void layer_norm_backward_of(const LayerNormBackwardOperands<Ops, T>& a, const RowShape& s, T* scratch, int threads,
                            OpCounts* counts) {
  const typename Ops::template Activation<T> rows(scratch);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) layer_norm_backward_naive_normalise(ops, a, s, r);
    if (s.has_weight || s.has_bias) {
#pragma omp for schedule(static)
      for (Index i = 0; i < s.n; ++i) layer_norm_backward_naive_column(ops, a, s, i);
    }
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) {
      layer_norm_backward_naive_row(ops, a, s, rows.at(omp_get_thread_num() * s.n), r);
    }
    merge(ops, counts);
  }
}

}  // namespace

int softmax(EbSoftmax kind, EbDtype dtype, const RowShape& s, const EbSoftmaxArrays& arrays, int threads,
            OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = softmax_operands<Ops, T>(arrays);
    const auto b = softmax_backward_operands<Ops, T>(arrays);
    switch (kind) {
#define EB_CASE(name, operands) \
  case EB_SOFTMAX_##name:       \
    return in_parallel<Ops>(s.rows, threads, counts, [&](auto& ops, Index r) { name##_naive(ops, operands, s, r); });
      EB_CASE(softmax_forward, a)
      EB_CASE(softmax_backward, b)
      EB_CASE(log_softmax_forward, a)
      EB_CASE(log_softmax_backward, b)
#undef EB_CASE
    }
  });
}

int layer_norm(EbDtype dtype, const RowShape& s, const EbLayerNormArrays& arrays, double epsilon, int threads,
               OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = layer_norm_operands<Ops, T>(arrays, s, epsilon);
    in_parallel<Ops>(s.rows, threads, counts, [&](auto& ops, Index r) { layer_norm_forward_naive(ops, a, s, r); });
  });
}

int layer_norm_backward(EbDtype dtype, const RowShape& s, const EbLayerNormArrays& arrays, int threads,
                        OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    void* scratch = workspace(sizeof(T) * static_cast<std::size_t>(s.n * threads));
    if (scratch == nullptr) return refuse(error, "not enough memory for the rows of a layer normalisation");
    const auto a = layer_norm_backward_operands<Ops, T>(arrays, s);
    return layer_norm_backward_of<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
