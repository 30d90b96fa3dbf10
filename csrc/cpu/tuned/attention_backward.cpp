// Tuned rung of attention's gradients: heads, their keys and values packed; then chunks of
// queries, tiles of queries and tiles of keys.
#include "kernels/attention_backward.h"

#include "cpu/rungs.h"
#include "cpu/tuned/attention.h"
#include "cpu/workspace.h"
#include "operands/attention_backward.h"

namespace eb::EB_ISA {
namespace {

// Queries of a chunk: their rows of p and ds are in a second-level cache, or near it, between the two passes.
constexpr Index kChunk = 4 * kTask;

template <class T>
struct BackwardPlan {
  const AttentionShape& s;
  int threads;
  Index heads() const { return s.B * s.Hn; }
  Index rows() const { return std::min(kChunk, s.S_q) * row_of_scores(s); }
  Index of_head() const { return 2 * (packed_keys<T>(s) + rows()); }
  Index places() const { return Crew::places(heads(), threads); }
  Index elements() const { return places() * of_head(); }
};

template <class Ops, class T>
void attention_backward_of(const AttentionBackwardOperands<Ops, T>& a, const AttentionShape& s, T* memory, int threads,
                           OpCounts* counts) {
  using Scratch = typename Ops::template Activation<T>;
  using Shape = QueryShape<T>;
  const BackwardPlan<T> plan{s, threads};
  const Scratch keys(memory);
  const Index panels = plan.places() * packed_keys<T>(s);
  const Scratch values = keys.at(panels), rows = values.at(panels);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Crew crew(plan.heads());
    const auto scratch_of = [&](Index head) EB_ALWAYS_INLINE {
      const Index place = crew.place(head);
      const Scratch p = rows.at(2 * place * plan.rows());
      return AttentionBackwardScratch<Scratch>{keys.at(place * packed_keys<T>(s)), values.at(place * packed_keys<T>(s)),
                                               p, p.at(plan.rows()), row_of_scores(s)};
    };
    for (Index group = crew.first; group < crew.end; group += crew.heads) {
      const Index heads = std::min(crew.heads, crew.end - group);
      pack_keys<T>(ops, crew, a.k, s, group, heads, keys);
      pack_keys<T>(ops, crew, a.v, s, group, heads, values);
      crew.meet();
      for (Index first = 0; first < s.S_q; first += kChunk) {
        const Index end = std::min(s.S_q, first + kChunk), query_tasks = ceil_div(end - first, kTask);
        crew.each(heads * query_tasks, [&](Index e) EB_ALWAYS_INLINE {
          const Index head = e / query_tasks, begin = first + e % query_tasks * kTask;
          in_tiles(begin, std::min(end, begin + kTask), [&](Index i, auto size) EB_ALWAYS_INLINE {
            attention_backward_queries<Shape, decltype(size)::value>(ops, a.of_head(s, group + head), s,
                                                                     scratch_of(head), i, i - first);
          });
        });
        crew.meet();
        // The first chunk writes all keys; a later one adds to those that it sees.
        const Index seen = first == 0 ? s.S_k : s.visible_keys(end - 1), key_tasks = ceil_div(seen, kTask);
        crew.each(heads * key_tasks, [&](Index e) EB_ALWAYS_INLINE {
          const Index head = e / key_tasks, begin = e % key_tasks * kTask;
          in_tiles(begin, std::min(seen, begin + kTask), [&](Index j, auto size) EB_ALWAYS_INLINE {
            attention_backward_keys<Shape, decltype(size)::value>(ops, a.of_head(s, group + head), s, scratch_of(head),
                                                                  j, first, end);
          });
        });
        crew.meet();
      }
    }
    merge(ops, counts);
  }
}

}  // namespace

int attention_backward(EbDtype dtype, const AttentionShape& shape, const EbAttentionBackwardArrays& arrays,
                       double scale, int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    void* scratch = workspace(sizeof(T) * BackwardPlan<T>{shape, threads}.elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the packed keys of attention");
    const auto a = operands<Ops, T>(arrays, scale);
    return attention_backward_of<Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
