// Tuned rung of online attention: heads, their keys packed, then tiles of queries.
#include "kernels/online_attention.h"

#include <omp.h>

#include "cpu/rungs.h"
#include "cpu/tuned/attention.h"
#include "cpu/workspace.h"
#include "operands/attention_backward.h"

namespace eb::EB_ISA {
namespace {

template <class T>
struct OnlinePlan {
  const AttentionShape& s;
  int threads;
  Index heads() const { return s.B * s.Hn; }
  Index rows_at(Index thread) const {
    return Crew::places(heads(), threads) * packed_keys<T>(s) + thread * kQueries * kOnlineBlock;
  }
  Index elements() const { return rows_at(threads); }
};

template <class Ops, class T>
void online_attention_of(const OnlineAttentionOperands<Ops, T>& a, const AttentionShape& s, T* memory, int threads,
                         OpCounts* counts) {
  using Scratch = typename Ops::template Activation<T>;
  const OnlinePlan<T> plan{s, threads};
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
        const Index place = crew.place(e / tasks), head = first + e / tasks;
        const Index begin = e % tasks * kTask, end = std::min(s.S_q, begin + kTask);
        OnlineStates<typename Ops::template Scalar<T>, kTask> states(online_start<T>(ops));
        // Block by block, and all queries of the task meet it: its keys and values come into a first-level cache once.
        for (Index block = 0; block < s.visible_keys(end - 1); block += kOnlineBlock) {
          in_tiles(begin, end, [&](Index i, auto size) EB_ALWAYS_INLINE {
            constexpr Index kRows = decltype(size)::value;
            if (block >= s.visible_keys(i + kRows - 1)) return;
            online_attention_block<QueryShape<T>, kRows>(ops, a, s, scratch.at(place * packed_keys<T>(s)), rows, head,
                                                         i, block, states.row + (i - begin));
          });
        }
        for (Index i = begin; i < end; ++i) online_attention_finish(ops, a, s, head, i, states.row[i - begin]);
      });
      crew.meet();
    }
    merge(ops, counts);
  }
}

}  // namespace

int online_attention(EbDtype dtype, const AttentionShape& shape, const EbOnlineAttentionArrays& arrays, double scale,
                     int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    void* scratch = workspace(sizeof(T) * OnlinePlan<T>{shape, threads}.elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the packed keys of attention");
    const auto a = operands<Ops, T>(arrays, scale);
    return online_attention_of<Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
