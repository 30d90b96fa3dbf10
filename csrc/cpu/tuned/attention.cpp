// Tuned rung of attention: heads, their keys packed, then tiles of queries.
#include "kernels/attention.h"

#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/attention.h"
#include "cpu/workspace.h"
#include "operands/attention.h"

namespace eb::EB_ISA {
namespace {

template <class T>
struct AttentionPlan {
  const AttentionShape& s;
  int threads;
  Index heads() const { return s.B * s.Hn; }
  Index rows_at(Index thread) const {
    return Crew::places(heads(), threads) * packed_keys<T>(s) + thread * kQueries * row_of_scores(s);
  }
  Index elements() const { return rows_at(threads); }
};

template <class Ops, class T>
void attention_of(const AttentionOperands<Ops, T>& a, const AttentionShape& s, T* memory, int threads,
                  OpCounts* counts) {
  using Scratch = typename Ops::template Activation<T>;
  const AttentionPlan<T> plan{s, threads};
  const Scratch scratch(memory);
  const Index tasks = ceil_div(s.S_q, kTask);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const Scratch rows = scratch.at(plan.rows_at(omp_get_thread_num()));
    const Crew crew(plan.heads());
    for (Index first = crew.first; first < crew.end; first += crew.heads) {
      const Index heads = std::min(crew.heads, crew.end - first);
      pack_keys<T>(ops, crew, a.k, s, first, heads, scratch);
      crew.meet();
      crew.each(heads * tasks, [&](Index e) EB_ALWAYS_INLINE {
        const Index head = e / tasks;
        in_tiles(e % tasks * kTask, std::min(s.S_q, (e % tasks + 1) * kTask), [&](Index i, auto size) EB_ALWAYS_INLINE {
          attention_forward_tile<QueryShape<T>, decltype(size)::value>(
              ops, a, s, scratch.at(crew.place(head) * packed_keys<T>(s)), rows, row_of_scores(s), first + head, i);
        });
      });
      crew.meet();
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
