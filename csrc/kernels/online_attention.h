// The core of multi-head attention with the softmax made online (Milakov and Gimelshein 2018; Dao et al. 2022): a query
// meets its keys kOnlineBlock at a time and keeps the largest score so far, the sum of exponentials below it and the
// sum of values that they weigh. When a block has a larger score, both sums are scaled. No row of scores is kept.
//
//   m' = max(m, s)   c = exp(m − m')   l' = c·l + Σ exp(s − m')   a' = c·a + Σ exp(s − m') v      y = a / l   lse = m +
//   log l
//
// The first block has nothing to scale. Masked keys are skipped, not computed. m begins at the lowest finite number and
// not at −∞: a first block whose scores are all −∞ then weighs nothing, where −∞ − −∞ would make NaN of the query.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/attention_tiles.h"
#include "kernels/reduce.h"

namespace eb {

// Keys of a block. Part of the operator, for a block more is work more: the same on every rung.
constexpr Index kOnlineBlock = 64;

template <class Ops, class T>
struct OnlineAttentionOperands {
  typename Ops::template Activation<const T> q;  // q[b,hn,i,d]
  typename Ops::template Activation<const T> k;  // k[b,hn,j,d]
  typename Ops::template Activation<const T> v;  // v[b,hn,j,d]
  typename Ops::template Activation<T> y;        // y[b,hn,i,d]
  typename Ops::template Activation<T> lse;      // lse[b,hn,i], logarithms of the sums of exponentials
  typename Ops::template Parameter<T> scale;
};

// online_attention_naive: one query row. `row` is scratch for a block's scores; `head` is b·Hn + hn.
template <class Ops, class T>
EB_HD EB_INLINE void online_attention_naive(Ops& ops, const OnlineAttentionOperands<Ops, T>& a, const AttentionShape& s,
                                            typename Ops::template Activation<T> row, Index head, Index i) {
  const auto q = a.q.at((head * s.S_q + i) * s.D);
  const auto k = a.k.at(head * s.S_k * s.D);
  const auto v = a.v.at(head * s.S_k * s.D);
  const auto y = a.y.at((head * s.S_q + i) * s.D);
  const Index keys = s.visible_keys(i);
  ops.template skip_macs<T>(2 * s.D * (s.S_k - keys));

  const auto scale = ops.parameter(a.scale);
  auto largest = ops.template lowest<T>();
  auto total = ops.constant(Constant<T, 0>{});
  auto correction = ops.constant(Constant<T, 1>{});
  for (Index first = 0; first < keys; first += kOnlineBlock) {
    const Index end = first + kOnlineBlock < keys ? first + kOnlineBlock : keys;
    const auto before = largest;
    for (Index j = first; j < end; ++j) {
      auto acc = ops.constant(Constant<T, 0>{});
      for (Index d = 0; d < s.D; ++d) acc = ops.mac(ops.load(q, d), ops.load(k, j * s.D + d), acc);
      const auto score = ops.mul(acc, scale);
      largest = ops.max(largest, score);
      ops.store(row, j - first, score);
    }
    if (first > 0) {
      correction = ops.exp(ops.sub(before, largest));
      total = ops.mul(total, correction);
    }
    for (Index j = first; j < end; ++j) {
      const auto e = ops.exp(ops.sub(ops.load(row, j - first), largest));
      total = ops.add(total, e);
      ops.store(row, j - first, e);
    }
    for (Index d = 0; d < s.D; ++d) {
      auto acc = ops.constant(Constant<T, 0>{});
      if (first > 0) acc = ops.mul(ops.load(y, d), correction);
      for (Index j = first; j < end; ++j) acc = ops.mac(ops.load(row, j - first), ops.load(v, j * s.D + d), acc);
      if (end == keys) acc = ops.div(acc, total);
      ops.store(y, d, acc);
    }
  }
  ops.store(a.lse, head * s.S_q + i, ops.add(largest, ops.log(total)));
}

// What a query keeps between two blocks.
template <class S>
struct OnlineState {
  S largest[1], total[1], correction;
};
template <class S, int kRows>
struct OnlineStates {
  OnlineState<S> row[kRows];

  EB_HD EB_FORCED explicit OnlineStates(const OnlineState<S>& start)
      : OnlineStates(start, std::make_integer_sequence<int, kRows>{}) {}

 private:
  template <int... kRow>
  EB_HD EB_FORCED OnlineStates(const OnlineState<S>& start, std::integer_sequence<int, kRow...>)
      : row{(static_cast<void>(kRow), start)...} {}
};
template <class T, class Ops>
EB_HD EB_FORCED OnlineState<typename Ops::template Scalar<T>> online_start(Ops& ops) {
  return {{ops.template lowest<T>()}, {ops.constant(Constant<T, 0>{})}, ops.constant(Constant<T, 1>{})};
}

// online_attention_block: kRows queries from i on meet the keys of one block, from `first` on, packed in strips of
// Shape::kColumns; the last of them sees some. `rows` is scratch for kRows blocks of scores. Between two blocks the sum
// of values waits in y.
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void online_attention_block(Ops& ops, const OnlineAttentionOperands<Ops, T>& a, const AttentionShape& s,
                                            Scratch panel, Scratch rows, Index head, Index i, Index first,
                                            OnlineState<typename Ops::template Scalar<T>>* states) {
  constexpr int kLanes = Shape::kLanes, kColumns = Shape::kColumns;
  static_assert(kOnlineBlock % kColumns == 0, "a block is whole strips");
  constexpr Lanes<kLanes> lanes{};
  const auto q = a.q.at((head * s.S_q + i) * s.D);
  const auto v = a.v.at(head * s.S_k * s.D);
  const auto y = a.y.at((head * s.S_q + i) * s.D);
  const auto scale = ops.broadcast(lanes, ops.parameter(a.scale));
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  // Keys of the block that query r sees; none for the earlier queries where the mask ends with a block.
  const auto seen = [&](Index r) EB_ALWAYS_INLINE {
    const Index keys = s.visible_keys(i + r) - first;
    return keys < 0 ? Index{0} : keys < kOnlineBlock ? keys : kOnlineBlock;
  };
  for (Index j = 0; j < seen(kRows - 1); j += kColumns) {
    attention_strip<Shape, kRows>(
        ops, q, panel.at((first + j) * s.D), s.D,
        [&](Index r, Index c) EB_ALWAYS_INLINE { return seen(r) - j - c * kLanes; },
        [&](auto& part, Index r, Index c, auto sum)
            EB_ALWAYS_INLINE { part.store(rows, r * kOnlineBlock + j + c * kLanes, part.mul(sum, scale)); });
  }
  for (Index r = 0; r < kRows; ++r) {
    const auto row = rows.at(r * kOnlineBlock);
    auto& state = states[r];
    const auto before = state.largest[0];
    if (seen(r) == 0) continue;
    reduce<Largest, kLanes>(ops, seen(r), state.largest,
                            [&](auto& policy, auto w, Index j, auto& value)
                                EB_ALWAYS_INLINE { value[0] = policy.load(w, row, j); });
    if (first > 0) {
      state.correction = ops.exp(ops.sub(before, state.largest[0]));
      state.total[0] = ops.mul(state.total[0], state.correction);
    }
  }
  // Apart from the loop above, so that no row's exponentials wait for the row before to fold its scores.
  for (Index r = 0; r < kRows; ++r) {
    if (seen(r) == 0) continue;
    const auto row = rows.at(r * kOnlineBlock);
    auto& state = states[r];
    const auto shift = ops.broadcast(lanes, state.largest[0]);
    reduce<Sum, kLanes>(ops, seen(r), state.total, [&](auto& policy, auto w, Index j, auto& value) EB_ALWAYS_INLINE {
      value[0] = policy.exp(policy.sub(policy.load(w, row, j), shift));
      policy.store(row, j, value[0]);
    });
  }
  attention_sums<Shape, kRows, false>(
      ops, {0, seen(0), seen(kRows - 1)}, v.at(first * s.D), s.D,
      [&](Index j, Index r) EB_ALWAYS_INLINE { return ops.load(rows, r * kOnlineBlock + j); },
      [&](Index j, Index r) EB_ALWAYS_INLINE { return j < seen(r); },
      [&](auto& part, Index r, Index column) EB_ALWAYS_INLINE {
        if (first == 0 || seen(r) == 0) return zero;
        return part.mul(part.load(lanes, y, r * s.D + column), ops.broadcast(lanes, states[r].correction));
      },
      [&](auto& part, Index r, Index column, auto sum) EB_ALWAYS_INLINE {
        if (seen(r) == 0) return;
        const bool last = first + seen(r) == s.visible_keys(i + r);
        part.store(y, r * s.D + column, last ? part.div(sum, ops.broadcast(lanes, states[r].total[0])) : sum);
      });
}

// The logarithm of a query's sum of exponentials, after its last block.
template <class Ops, class T>
EB_HD EB_INLINE void online_attention_finish(Ops& ops, const OnlineAttentionOperands<Ops, T>& a,
                                             const AttentionShape& s, Index head, Index i,
                                             const OnlineState<typename Ops::template Scalar<T>>& state) {
  ops.template skip_macs<T>(2 * s.D * (s.S_k - s.visible_keys(i)));
  ops.store(a.lse, head * s.S_q + i, ops.add(state.largest[0], ops.log(state.total[0])));
}

}  // namespace eb
