// The core of multi-head attention, forward: for each batch b, head hn and query i, over the keys j that i sees,
//
//   s[j] = scale · Σ_d q[i,d] k[j,d]      p[j] = exp(s[j] − max s) / Σ exp(s − max s)      y[i,d] = Σ_j p[j] v[j,d]
//
// Masked keys are skipped, not computed.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/attention_tiles.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct AttentionOperands {
  typename Ops::template Activation<const T> q;  // q[b,hn,i,d]
  typename Ops::template Activation<const T> k;  // k[b,hn,j,d]
  typename Ops::template Activation<const T> v;  // v[b,hn,j,d]
  typename Ops::template Activation<T> y;        // y[b,hn,i,d]
  typename Ops::template Parameter<T> scale;
};

// attention_forward_naive: one query row. `row` is scratch for its S_k scores; `head` is b·Hn + hn.
template <class Ops, class T>
EB_HD EB_INLINE void attention_forward_naive(Ops& ops, const AttentionOperands<Ops, T>& a, const AttentionShape& s,
                                             typename Ops::template Activation<T> row, Index head, Index i) {
  const auto q = a.q.at((head * s.S_q + i) * s.D);  // q[b,hn,i,:]
  const auto k = a.k.at(head * s.S_k * s.D);        // k[b,hn,:,:]
  const auto v = a.v.at(head * s.S_k * s.D);        // v[b,hn,:,:]
  const auto y = a.y.at((head * s.S_q + i) * s.D);  // y[b,hn,i,:]
  const Index keys = s.visible_keys(i);
  ops.template skip_macs<T>(2 * s.D * (s.S_k - keys));

  const auto scale = ops.parameter(a.scale);
  auto largest = ops.template negative_infinity<T>();
  for (Index j = 0; j < keys; ++j) {
    auto acc = ops.constant(Constant<T, 0>{});
    for (Index d = 0; d < s.D; ++d) acc = ops.mac(ops.load(q, d), ops.load(k, j * s.D + d), acc);
    const auto score = ops.mul(acc, scale);
    largest = ops.max(largest, score);
    ops.store(row, j, score);
  }
  auto total = ops.constant(Constant<T, 0>{});
  for (Index j = 0; j < keys; ++j) {
    const auto e = ops.exp(ops.sub(ops.load(row, j), largest));
    total = ops.add(total, e);
    ops.store(row, j, e);
  }
  for (Index j = 0; j < keys; ++j) ops.store(row, j, ops.div(ops.load(row, j), total));
  for (Index d = 0; d < s.D; ++d) {
    auto acc = ops.constant(Constant<T, 0>{});
    for (Index j = 0; j < keys; ++j) acc = ops.mac(ops.load(row, j), ops.load(v, j * s.D + d), acc);
    ops.store(y, d, acc);
  }
}

// ---- the tuned rungs ------------------------------------------------------------------------------------------------
// Tiles of Shape::kRows queries. Keys are packed a head at a time into strips of Shape::kColumns,
//
//   panel_k[strip][d][key]
//
// so that lanes run over keys in the scores and over d in the output, with v as it lies. Sums run in the order of d and
// of j, as the naive rung's do; the softmax between them has the same passes over a scratch row, in lanes.

// A row of scores becomes probabilities, in place.
template <int kLanes, class T, class Ops, class Scratch>
EB_HD EB_INLINE void attention_softmax(Ops& ops, Scratch row, Index keys) {
  typename Ops::template Scalar<T> largest[1] = {ops.template negative_infinity<T>()},
                                   total[1] = {ops.constant(Constant<T, 0>{})};
  reduce<Largest, kLanes>(ops, keys, largest, [&](auto& policy, auto lanes, Index j, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.load(lanes, row, j);
  });
  const auto shift = ops.broadcast(Lanes<kLanes>{}, largest[0]);
  reduce<Sum, kLanes>(ops, keys, total, [&](auto& policy, auto lanes, Index j, auto& value) EB_ALWAYS_INLINE {
    value[0] = policy.exp(policy.sub(policy.load(lanes, row, j), shift));
    policy.store(row, j, value[0]);
  });
  const auto divisor = ops.broadcast(Lanes<kLanes>{}, total[0]);
  each_vector<kLanes>(ops, keys, [&](auto& policy, auto lanes, Index j) EB_ALWAYS_INLINE {
    policy.store(row, j, policy.div(policy.load(lanes, row, j), divisor));
  });
}

// kRows queries from i on.
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_forward_tile(Ops& ops, const AttentionOperands<Ops, T>& a, const AttentionShape& s,
                                            Scratch panel_k, Scratch rows, Index stride, Index head, Index i) {
  constexpr int kLanes = Shape::kLanes;
  const auto zero = ops.broadcast(Lanes<kLanes>{}, ops.constant(Constant<T, 0>{}));
  const auto scale = ops.broadcast(Lanes<kLanes>{}, ops.parameter(a.scale));
  const auto q = a.q.at((head * s.S_q + i) * s.D);
  const auto y = a.y.at((head * s.S_q + i) * s.D);
  for (Index j = 0; j < s.visible_keys(i + kRows - 1); j += Shape::kColumns) {
    attention_strip<Shape, kRows>(
        ops, q, panel_k.at(j * s.D), s.D,
        [&](Index r, Index v) EB_ALWAYS_INLINE { return s.visible_keys(i + r) - j - v * kLanes; },
        [&](auto& part, Index r, Index v, auto sum)
            EB_ALWAYS_INLINE { part.store(rows, r * stride + j + v * kLanes, part.mul(sum, scale)); });
  }
  for (Index r = 0; r < kRows; ++r) {
    const Index keys = s.visible_keys(i + r);
    ops.template skip_macs<T>(2 * s.D * (s.S_k - keys));
    attention_softmax<kLanes, T>(ops, rows.at(r * stride), keys);
  }
  attention_sums<Shape, kRows, false>(
      ops, {0, s.visible_keys(i), s.visible_keys(i + kRows - 1)}, a.v.at(head * s.S_k * s.D), s.D,
      [&](Index j, Index r) EB_ALWAYS_INLINE { return ops.load(rows, r * stride + j); },
      [&](Index j, Index r) EB_ALWAYS_INLINE { return j < s.visible_keys(i + r); },
      [&](auto&, Index, Index) EB_ALWAYS_INLINE { return zero; },
      [&](auto& part, Index r, Index column, auto sum) EB_ALWAYS_INLINE { part.store(y, r * s.D + column, sum); });
}

}  // namespace eb
