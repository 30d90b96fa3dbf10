// The core of multi-head attention, forward: for each batch b, head hn and query i, over the keys j that i sees,
//
//   s[j] = scale · Σ_d q[i,d] k[j,d]      p[j] = exp(s[j] − max s) / Σ exp(s − max s)      y[i,d] = Σ_j p[j] v[j,d]
//
// Masked keys are skipped, not computed.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/gemm.h"
#include "kernels/products.h"

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

// The scores of kRows queries from i on with all the keys they see: scores[r · stride + j].
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_scores(Ops& ops, const AttentionOperands<Ops, T>& a, const AttentionShape& s,
                                      Scratch panel_k, Scratch scores, Index stride, Index head, Index i) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kColumns = Shape::kColumns;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  const auto scale = ops.broadcast(lanes, ops.parameter(a.scale));
  const auto q = a.q.at((head * s.S_q + i) * s.D);
  for (Index j = 0; j < s.visible_keys(i + kRows - 1); j += kColumns) {
    const auto panel = panel_k.at(j * s.D);
    // Keys of vector v that query r sees.
    const auto live = [&](Index r, Index v) EB_ALWAYS_INLINE { return s.visible_keys(i + r) - j - v * kLanes; };
    std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
    unrolled<kRows>([&](auto r)
                        EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zero; }); });
    add_products<kLanes>(
        ops, 0, s.D, [&](Index d, Index r) EB_ALWAYS_INLINE { return ops.load(q, r * s.D + d); },
        [&](Index d, Index v) EB_ALWAYS_INLINE { return ops.load(lanes, panel, d * kColumns + v * kLanes); }, sum,
        live);
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
        auto part = ops.first(live(r, v));
        part.store(scores, r * stride + j + v * kLanes, part.mul(sum[r][v], scale));
      });
    });
  }
}

// A row of scores becomes probabilities, in place.
template <int kLanes, class T, class Ops, class Scratch>
EB_HD EB_INLINE void attention_softmax(Ops& ops, Scratch row, Index keys) {
  constexpr Lanes<kLanes> lanes{};
  const Index whole = keys / kLanes * kLanes;
  auto rest = ops.first(keys - whole);
  auto largest = ops.template negative_infinity<T>();
  if (whole > 0) {
    auto most = ops.load(lanes, row, 0);
    for (Index j = kLanes; j < whole; j += kLanes) most = ops.max(most, ops.load(lanes, row, j));
    largest = ops.fold_max(most, largest);
  }
  if (whole < keys) largest = rest.fold_max(rest.load(lanes, row, whole), largest);

  const auto shift = ops.broadcast(lanes, largest);
  const auto exponential = [&](auto& policy, Index j) EB_ALWAYS_INLINE {
    const auto e = policy.exp(policy.sub(policy.load(lanes, row, j), shift));
    policy.store(row, j, e);
    return e;
  };
  auto total = ops.constant(Constant<T, 0>{});
  if (whole > 0) {
    auto sum = exponential(ops, 0);
    for (Index j = kLanes; j < whole; j += kLanes) sum = ops.add(sum, exponential(ops, j));
    total = ops.fold_add(sum, total);
  }
  if (whole < keys) total = rest.fold_add(exponential(rest, whole), total);

  const auto divisor = ops.broadcast(lanes, total);
  for (Index j = 0; j < whole; j += kLanes) ops.store(row, j, ops.div(ops.load(lanes, row, j), divisor));
  if (whole < keys) rest.store(row, whole, rest.div(rest.load(lanes, row, whole), divisor));
}

// The outputs of kRows queries from i on, from their probabilities p[r · stride + j].
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_outputs(Ops& ops, const AttentionOperands<Ops, T>& a, const AttentionShape& s, Scratch p,
                                       Index stride, Index head, Index i) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kColumns = Shape::kColumns;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  const Index shared = s.visible_keys(i);  // keys that all kRows queries see
  for (Index column = 0; column < s.D; column += kColumns) {
    const auto v = a.v.at(head * s.S_k * s.D + column);
    const auto inside = [&](Index c) EB_ALWAYS_INLINE { return s.D - column - c * kLanes; };
    std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
    unrolled<kRows>([&](auto r)
                        EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE { sum[r][c] = zero; }); });
    const auto value = [&](Index j, Index c) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(c));
      return part.load(lanes, v, j * s.D + c * kLanes);
    };
    const auto run = [&](const auto& b) EB_ALWAYS_INLINE {
      add_products<kLanes>(
          ops, 0, shared, [&](Index j, Index r) EB_ALWAYS_INLINE { return ops.load(p, r * stride + j); }, b, sum,
          [&](Index, Index c) EB_ALWAYS_INLINE { return inside(c); });
    };
    if (s.D - column >= kColumns) {
      run([&](Index j, Index c) EB_ALWAYS_INLINE { return ops.load(lanes, v, j * s.D + c * kLanes); });
    } else {
      run(value);
    }
    // The diagonal: keys that only the later queries see; the others must not meet even their NaNs.
    for (Index j = shared; j < s.visible_keys(i + kRows - 1); ++j) {
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        if (j < s.visible_keys(i + r)) {
          const auto weight = ops.broadcast(lanes, ops.load(p, r * stride + j));
          unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE {
            auto part = ops.first(inside(c));
            sum[r][c] = part.mac(value(j, c), weight, sum[r][c]);
          });
        }
      });
    }
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE {
        auto part = ops.first(inside(c));
        part.store(a.y, (head * s.S_q + i + r) * s.D + column + c * kLanes, sum[r][c]);
      });
    });
  }
}

// kRows queries from i on.
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_forward_tile(Ops& ops, const AttentionOperands<Ops, T>& a, const AttentionShape& s,
                                            Scratch panel_k, Scratch rows, Index stride, Index head, Index i) {
  attention_scores<Shape, kRows>(ops, a, s, panel_k, rows, stride, head, i);
  for (Index r = 0; r < kRows; ++r) {
    const Index keys = s.visible_keys(i + r);
    ops.template skip_macs<T>(2 * s.D * (s.S_k - keys));
    attention_softmax<Shape::kLanes, T>(ops, rows.at(r * stride), keys);
  }
  attention_outputs<Shape, kRows>(ops, a, s, rows, stride, head, i);
}

}  // namespace eb
