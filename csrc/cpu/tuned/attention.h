// What the tuned attention kernels share: tiles of queries, groups of heads, packed keys.
#pragma once

#include <algorithm>

#include "cpu/tuned/gemm.h"

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
// Heads whose keys a team packs at a time: bounds the scratch memory.
constexpr Index kHeads = 8;
// Queries, or keys, a thread takes at a time.
constexpr Index kTask = 4 * kQueries;

// A scratch row, and a cache line between it and the next, that rows of 2ⁿ scores do not meet in the same cache sets.
EB_INLINE Index row_of_scores(const AttentionShape& s) { return ceil_div(s.S_k, 16) * 16 + 16; }

// Strips of the keys that some query sees.
template <class T>
EB_INLINE Index key_strips(const AttentionShape& s) {
  return ceil_div(s.visible_keys(s.S_q - 1), QueryShape<T>::kColumns);
}
// Elements of one head's packed keys.
template <class T>
EB_INLINE Index packed_keys(const AttentionShape& s) {
  return ceil_div(s.S_k, QueryShape<T>::kColumns) * QueryShape<T>::kColumns * s.D;
}

// Who works on which heads. Where they share out evenly, a thread has heads of its own, one after the other: what it
// packed and what it wrote is in its own cache, and nobody waits. Else the whole team works on kHeads at a time.
struct Crew {
  Index first, end, heads;  // the heads, and how many at a time
  Index member, members;    // which of those that share a head's tasks

  explicit Crew(Index all) {
    const Index team = omp_get_num_threads(), thread = omp_get_thread_num();
    const bool own = all >= team && shares_evenly(all, team);
    first = own ? all * thread / team : 0, end = own ? all * (thread + 1) / team : all;
    heads = own ? 1 : kHeads;
    member = own ? 0 : thread, members = own ? 1 : team;
    place_ = own ? thread : 0;
  }
  // Where in the scratch memory a head of a group lies, and how many places there are for any team of so many threads.
  Index place(Index head) const { return place_ + head; }
  static Index places(Index all, Index threads) { return std::min(all, std::max(kHeads, threads)); }

  // task(e) for this thread's part of `count` tasks, spread so that a causal mask's short and long ones are shared too.
  template <class Task>
  EB_INLINE void each(Index count, const Task& task) const {
    for (Index e = member; e < count; e += members) task(e);
  }
  EB_INLINE void meet() const {
    if (members > 1) {
#pragma omp barrier
    }
  }

 private:
  Index place_;
};

// Packs the keys (or the values) of `heads` heads from `first` on, each to its place.
template <class T, class Ops, class Keys, class Scratch>
EB_INLINE void pack_keys(Ops& ops, const Crew& crew, Keys keys, const AttentionShape& s, Index first, Index heads,
                         Scratch panels) {
  using Shape = QueryShape<T>;
  const Index strips = key_strips<T>(s);
  crew.each(heads * strips, [&](Index e) EB_ALWAYS_INLINE {
    const Index head = e / strips, key = e % strips * Shape::kColumns;
    const Matrix<Keys> k{keys.at((first + head) * s.S_k * s.D), s.D, 1};
    gemm_pack_strip<T, Shape::kColumns, Shape::kLanes>(ops, k,
                                                       panels.at(crew.place(head) * packed_keys<T>(s) + key * s.D), key,
                                                       std::min<Index>(Shape::kColumns, s.S_k - key), 0, s.D);
  });
}

// The rows [first, end) in tiles: tile(i, Rows) with Rows{} of kQueries rows and then of one.
template <Index kRows>
using Rows = std::integral_constant<Index, kRows>;
template <class F>
EB_INLINE void in_tiles(Index first, Index end, const F& tile) {
  for (; first + kQueries <= end; first += kQueries) tile(first, Rows<kQueries>{});
  for (; first < end; ++first) tile(first, Rows<1>{});
}

}  // namespace
}  // namespace eb::EB_ISA
