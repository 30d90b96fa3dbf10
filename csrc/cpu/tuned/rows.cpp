// Tuned rungs of what works on rows: softmax and its logarithm, layer normalisation.
#include <omp.h>

#include <algorithm>

#include "cpu/rungs.h"
#include "cpu/tuned/isa.h"
#include "cpu/workspace.h"
#include "operands/layer_norm.h"
#include "operands/softmax.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
EB_INLINE void layer_norm_backward_of(const LayerNormBackwardOperands<Ops, T>& a, const RowShape& s, T* scratch,
                                      int threads, OpCounts* counts) {
  constexpr int W = kLanes<T>;
  using Memory = typename Ops::template Activation<T>;
  const Index chunks = (s.rows + kNormChunk - 1) / kNormChunk;
  const Memory sums(scratch), normalised(scratch + chunks * 2 * s.n);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index c = 0; c < chunks; ++c) {
      layer_norm_backward_lanes<W>(ops, a, s, normalised.at(omp_get_thread_num() * kNormChunk * s.n),
                                   sums.at(c * 2 * s.n), c * kNormChunk, std::min(kNormChunk, s.rows - c * kNormChunk));
    }
    const Index vectors = (s.n + W - 1) / W;
    if (s.has_weight) {
#pragma omp for schedule(static) nowait
      for (Index v = 0; v < vectors; ++v) add_up_chunks<W, T>(ops, sums, a.dweight, s.n, chunks, v * W);
    }
    if (s.has_bias) {
#pragma omp for schedule(static)
      for (Index v = 0; v < vectors; ++v) add_up_chunks<W, T>(ops, sums.at(s.n), a.dbias, s.n, chunks, v * W);
    }
    merge(ops, counts);
  }
}

}  // namespace

int softmax(EbSoftmax kind, EbDtype dtype, const RowShape& s, const EbSoftmaxArrays& arrays, int threads,
            OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    constexpr int W = kLanes<T>;
    const auto a = softmax_operands<Ops, T>(arrays);
    const auto b = softmax_backward_operands<Ops, T>(arrays);
    switch (kind) {
#define EB_CASE(name, operands)                      \
  case EB_SOFTMAX_##name:                            \
    return in_parallel<Ops>(s.rows, threads, counts, \
                            [&](auto& ops, Index r) EB_ALWAYS_INLINE { name##_lanes<W>(ops, operands, s, r); });
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
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = layer_norm_operands<Ops, T>(arrays, s, epsilon);
    in_parallel<Ops>(s.rows, threads, counts,
                     [&](auto& ops, Index r) EB_ALWAYS_INLINE { layer_norm_forward_lanes<kLanes<T>>(ops, a, s, r); });
  });
}

int layer_norm_backward(EbDtype dtype, const RowShape& s, const EbLayerNormArrays& arrays, int threads,
                        OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const Index chunks = (s.rows + kNormChunk - 1) / kNormChunk;
    void* scratch = workspace(sizeof(T) * static_cast<std::size_t>(s.n * (2 * chunks + threads * kNormChunk)));
    if (scratch == nullptr) return refuse(error, "not enough memory for the sums of a layer normalisation");
    const auto a = layer_norm_backward_operands<Ops, T>(arrays, s);
    return layer_norm_backward_of<Ops, T>(a, s, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
