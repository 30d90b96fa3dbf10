// The launches of batch normalisation, cross-entropy and dropout: the same on every rung, in the namespace EB_ISA,
// with Walk<T> of that namespace as the way elements are walked (kernels/reduce.h).
#pragma once

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/batch_norm.h"
#include "operands/dropout.h"
#include "operands/losses.h"

namespace eb::EB_ISA {
namespace {

constexpr const char* kNoClass = "a target is no class";

// Whether every target is a class.
template <class Ops, class T>
EB_INLINE bool cross_entropy_of(const CrossEntropyOperands<Ops, T>& a, const RowShape& s, int threads,
                                OpCounts* counts) {
  bool inside = true;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) {
      if constexpr (std::is_same_v<Walk<T>, InOrder>) {
        log_softmax_forward_naive(ops, a.rows, s, r);
      } else {
        log_softmax_forward_lanes<Walk<T>::kLanes>(ops, a.rows, s, r);
      }
    }
#pragma omp single
    inside = cross_entropy_mean(ops, a, s);
    merge(ops, counts);
  }
  return inside;
}

}  // namespace
}  // namespace eb::EB_ISA

namespace eb::EB_ISA {

int batch_norm(EbDtype dtype, const BatchNormShape& s, const EbBatchNormArrays& arrays, double momentum, double epsilon,
               int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = batch_norm_operands<Ops, T>(arrays, s, momentum, epsilon);
    in_parallel<Ops>(s.C, threads, counts, [&](auto& ops, Index c) EB_ALWAYS_INLINE {
      if (s.training) return batch_norm_training<Walk<T>>(ops, a, s, c);
      batch_norm_inference<Walk<T>>(ops, a, s, c);
    });
  });
}

int batch_norm_backward(EbDtype dtype, const BatchNormShape& s, const EbBatchNormArrays& arrays, double epsilon,
                        int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = batch_norm_backward_operands<Ops, T>(arrays, s, epsilon);
    in_parallel<Ops>(s.C, threads, counts, [&](auto& ops, Index c) EB_ALWAYS_INLINE {
      if (s.training) return batch_norm_training_backward<Walk<T>>(ops, a, s, c);
      batch_norm_inference_backward<Walk<T>>(ops, a, s, c);
    });
  });
}

int cross_entropy(EbDtype dtype, const RowShape& s, const EbCrossEntropyArrays& arrays, int threads, OpCounts* counts,
                  EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const bool inside = cross_entropy_of<Ops, T>(cross_entropy_operands<Ops, T>(arrays, s), s, threads, counts);
    return inside ? 0 : refuse(error, kNoClass);
  });
}

int cross_entropy_backward(EbDtype dtype, const RowShape& s, const EbCrossEntropyArrays& arrays, int threads,
                           OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = cross_entropy_backward_operands<Ops, T>(arrays, s);
    bool inside = true;
    in_parallel<Ops>(s.rows, threads, counts, [&](auto& ops, Index r) EB_ALWAYS_INLINE {
      if (!cross_entropy_backward_row<Walk<T>::kLanes>(ops, a, s, r)) {
#pragma omp atomic write
        inside = false;
      }
    });
    return inside ? 0 : refuse(error, kNoClass);
  });
}

int dropout(EbDtype dtype, Index n, const EbDropoutArrays& arrays, double keep, std::uint64_t seed, int threads,
            OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = dropout_operands<Ops, T>(arrays, keep, seed);
    in_parallel<Ops>((n + kRandomBlock - 1) / kRandomBlock, threads, counts,
                     [&](auto& ops, Index block)
                         EB_ALWAYS_INLINE { dropout_block<Walk<T>::kLanes>(ops, a, n, block); });
  });
}

int dropout_backward(EbDtype dtype, Index n, const EbDropoutArrays& arrays, double keep, int threads, OpCounts* counts,
                     EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops_type, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops_type)::Of;
    using T = typename decltype(element)::Of;
    const auto a = dropout_backward_operands<Ops, T>(arrays, keep);
    in_parallel<Ops>((n + kRandomBlock - 1) / kRandomBlock, threads, counts,
                     [&](auto& ops, Index block) EB_ALWAYS_INLINE {
                       const Index first = block * kRandomBlock;
                       dropout_backward_elements<Walk<T>::kLanes>(ops, a, first,
                                                                  n - first < kRandomBlock ? n - first : kRandomBlock);
                     });
  });
}

}  // namespace eb::EB_ISA
