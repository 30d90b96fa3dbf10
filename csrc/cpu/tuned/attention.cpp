// Tuned rung of attention: a group of heads at a time, their keys packed, then tiles of queries.
#include "kernels/attention.h"

#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"

namespace eb::EB_ISA {
namespace {

// Queries of a tile; those that are left over go one by one. AVX-512 has registers for 16 sums, AVX2 for 8.
constexpr Index kQueries = 4;
#if EB_VECTOR_BYTES == 64 && defined(__AVX512F__)
template <class T>
using QueryShape = Tile<T, kLanes<T>, kQueries, 4>;
#else
template <class T>
using QueryShape = Tile<T, kLanes<T>, kQueries, 2>;
#endif
// Heads whose keys are packed at a time: bounds the scratch memory.
constexpr Index kHeads = 8;
// Queries a thread takes at a time.
constexpr Index kTask = 4 * kQueries;

template <class T>
struct AttentionPlan {
  const AttentionShape& s;
  int threads;
  Index heads() const { return s.B * s.Hn; }
  Index panel_elements() const { return ceil_div(s.S_k, QueryShape<T>::kColumns) * QueryShape<T>::kColumns * s.D; }
  // A scratch row, and a cache line between it and the next, that rows of 2ⁿ scores do not meet in the same cache sets.
  Index row_stride() const { return ceil_div(s.S_k, 16) * 16 + 16; }
  Index rows_at(Index thread) const {
    return std::min(heads(), kHeads) * panel_elements() + thread * kQueries * row_stride();
  }
  Index elements() const { return rows_at(threads); }
};

template <class Ops, class T>
void attention_of(const AttentionOperands<Ops, T>& a, const AttentionShape& s, T* memory, int threads,
                  OpCounts* counts) {
  using Shape = QueryShape<T>;
  using Scratch = typename Ops::template Activation<T>;
  const AttentionPlan<T> plan{s, threads};
  const Scratch scratch(memory);
  const Index strips = ceil_div(s.visible_keys(s.S_q - 1), Shape::kColumns), tasks = ceil_div(s.S_q, kTask);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Scratch rows = scratch.at(plan.rows_at(omp_get_thread_num()));
    for (Index first = 0; first < plan.heads(); first += kHeads) {
      const Index heads = std::min(kHeads, plan.heads() - first);
#pragma omp for schedule(static)
      for (Index e = 0; e < heads * strips; ++e) {
        const Index head = e / strips, key = e % strips * Shape::kColumns;
        const Matrix<decltype(a.k)> k{a.k.at((first + head) * s.S_k * s.D), s.D, 1};
        gemm_pack_strip<T, Shape::kColumns, Shape::kLanes>(ops, k, scratch.at(head * plan.panel_elements() + key * s.D),
                                                           key, std::min<Index>(Shape::kColumns, s.S_k - key), 0, s.D);
      }
#pragma omp for schedule(dynamic)
      for (Index e = 0; e < heads * tasks; ++e) {
        const Index head = e / tasks, end = std::min(s.S_q, (e % tasks + 1) * kTask);
        const Scratch panel = scratch.at(head * plan.panel_elements());
        Index i = e % tasks * kTask;
        for (; i + kQueries <= end; i += kQueries) {
          attention_forward_tile<Shape, kQueries>(ops, a, s, panel, rows, plan.row_stride(), first + head, i);
        }
        for (; i < end; ++i) {
          attention_forward_tile<Shape, 1>(ops, a, s, panel, rows, plan.row_stride(), first + head, i);
        }
      }
    }
    merge(ops, counts);
  }
}

}  // namespace

int attention(EbDtype dtype, const AttentionShape& shape, const EbAttentionArrays& arrays, double scale, int threads,
              OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    void* scratch = workspace(sizeof(T) * AttentionPlan<T>{shape, threads}.elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the packed keys of attention");
    const auto a = operands<Ops, T>(arrays, scale);
    return attention_of<Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
