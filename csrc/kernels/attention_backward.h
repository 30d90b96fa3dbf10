// Gradients of the core of multi-head attention, from its output and from the logarithms of its sums of exponentials
// (Dao et al. 2022): the probabilities are made again. For each batch and head, over the pairs of query i and key j
// that the mask leaves,
//
//   p[i,j] = exp(scale · q[i]·k[j] − lse[i])      δ[i] = Σ_d dy[i,d] · y[i,d]
//   ds[i,j] = p[i,j] · (dy[i]·v[j] − δ[i]) · scale
//   dq[i] = Σ_j ds[i,j] k[j]      dk[j] = Σ_i ds[i,j] q[i]      dv[j] = Σ_i p[i,j] dy[i]
//
// Five products a pair. Masked pairs are skipped, not computed.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/attention_tiles.h"
#include "kernels/reduce.h"

namespace eb {

template <class Ops, class T>
struct AttentionBackwardOperands {
  typename Ops::template Activation<const T> grad;  // grad[b,hn,i,d], the gradient of y
  typename Ops::template Activation<const T> q;     // q[b,hn,i,d]
  typename Ops::template Activation<const T> k;     // k[b,hn,j,d]
  typename Ops::template Activation<const T> v;     // v[b,hn,j,d]
  typename Ops::template Activation<const T> y;     // y[b,hn,i,d]
  typename Ops::template Activation<const T> lse;   // lse[b,hn,i]
  typename Ops::template Activation<T> dq, dk, dv;
  typename Ops::template Parameter<T> scale;

  // The same with one head's arrays at hand.
  EB_HD EB_INLINE AttentionBackwardOperands of_head(const AttentionShape& s, Index head) const {
    const Index queries = head * s.S_q * s.D, keys = head * s.S_k * s.D;
    return {grad.at(queries),     q.at(queries),  k.at(keys),  v.at(keys),  y.at(queries),
            lse.at(head * s.S_q), dq.at(queries), dk.at(keys), dv.at(keys), scale};
  }
};

// attention_backward_naive: one head, query by query; dk and dv gather in memory.
template <class Ops, class T>
EB_HD EB_INLINE void attention_backward_naive(Ops& ops, const AttentionBackwardOperands<Ops, T>& operands,
                                              const AttentionShape& s, Index head) {
  const auto a = operands.of_head(s, head);
  const auto zero = ops.constant(Constant<T, 0>{});
  const auto scale = ops.parameter(a.scale);
  for (Index e = 0; e < s.S_k * s.D; ++e) {
    ops.store(a.dk, e, zero);
    ops.store(a.dv, e, zero);
  }
  for (Index i = 0; i < s.S_q; ++i) {
    const auto q = a.q.at(i * s.D), grad = a.grad.at(i * s.D);
    const auto dq = a.dq.at(i * s.D);
    const Index keys = s.visible_keys(i);
    ops.template skip_macs<T>(5 * s.D * (s.S_k - keys));
    auto delta = zero;
    for (Index d = 0; d < s.D; ++d) delta = ops.add(delta, ops.mul(ops.load(grad, d), ops.load(a.y, i * s.D + d)));
    const auto lse = ops.load(a.lse, i);
    for (Index d = 0; d < s.D; ++d) ops.store(dq, d, zero);
    for (Index j = 0; j < keys; ++j) {
      const auto k = a.k.at(j * s.D), v = a.v.at(j * s.D);
      const auto dk = a.dk.at(j * s.D), dv = a.dv.at(j * s.D);
      auto score = zero, slope = zero;
      for (Index d = 0; d < s.D; ++d) score = ops.mac(ops.load(q, d), ops.load(k, d), score);
      for (Index d = 0; d < s.D; ++d) slope = ops.mac(ops.load(grad, d), ops.load(v, d), slope);
      const auto p = ops.exp(ops.sub(ops.mul(score, scale), lse));
      const auto ds = ops.mul(ops.mul(p, ops.sub(slope, delta)), scale);
      for (Index d = 0; d < s.D; ++d) {
        ops.store(dq, d, ops.mac(ops.load(k, d), ds, ops.load(dq, d)));
        ops.store(dk, d, ops.mac(ops.load(q, d), ds, ops.load(dk, d)));
        ops.store(dv, d, ops.mac(ops.load(grad, d), p, ops.load(dv, d)));
      }
    }
  }
}

// ---- the tuned rungs ------------------------------------------------------------------------------------------------
// A chunk of queries at a time. First tiles of kRows queries: probabilities and ds into scratch rows, and dq, against
// keys and values packed in strips (attention_tiles.h). Then tiles of kRows keys: the chunk's part of dk and of dv,
// whose sums wait in the gradients between two chunks. Every sum runs in the order of the naive rung.

// Where one head's packed keys and values and a chunk's rows of p and ds are; row i − first of the chunk at stride.
template <class Scratch>
struct AttentionBackwardScratch {
  Scratch keys, values, p, ds;
  Index stride;
};

// attention_backward_queries: kRows queries from i on, `row` of the chunk.
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_backward_queries(Ops& ops, const AttentionBackwardOperands<Ops, T>& a,
                                                const AttentionShape& s,
                                                const AttentionBackwardScratch<Scratch>& scratch, Index i, Index row) {
  constexpr int kLanes = Shape::kLanes, kColumns = Shape::kColumns;
  constexpr Lanes<kLanes> lanes{};
  const auto q = a.q.at(i * s.D), grad = a.grad.at(i * s.D), y = a.y.at(i * s.D);
  const auto p = scratch.p.at(row * scratch.stride), ds = scratch.ds.at(row * scratch.stride);
  const auto scale = ops.broadcast(lanes, ops.parameter(a.scale));
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zero)> lse[kRows], delta[kRows];
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    ops.template skip_macs<T>(5 * s.D * (s.S_k - s.visible_keys(i + r)));
    typename Ops::template Scalar<T> sum[1] = {ops.constant(Constant<T, 0>{})};
    reduce<Sum, kLanes>(ops, s.D, sum, [&](auto& policy, auto w, Index d, auto& value) EB_ALWAYS_INLINE {
      value[0] = policy.mul(policy.load(w, grad, r * s.D + d), policy.load(w, y, r * s.D + d));
    });
    delta[r] = ops.broadcast(lanes, sum[0]);
    lse[r] = ops.broadcast(lanes, ops.load(a.lse, i + r));
  });
  for (Index j = 0; j < s.visible_keys(i + kRows - 1); j += kColumns) {
    const auto live = [&](Index r, Index v) EB_ALWAYS_INLINE { return s.visible_keys(i + r) - j - v * kLanes; };
    attention_strip<Shape, kRows>(
        ops, q, scratch.keys.at(j * s.D), s.D, live, [&](auto& part, auto r, auto v, auto sum) EB_ALWAYS_INLINE {
          part.store(p, r * scratch.stride + j + v * kLanes, part.exp(part.sub(part.mul(sum, scale), lse[r])));
        });
    attention_strip<Shape, kRows>(ops, grad, scratch.values.at(j * s.D), s.D, live,
                                  [&](auto& part, auto r, auto v, auto sum) EB_ALWAYS_INLINE {
                                    const Index at = r * scratch.stride + j + v * kLanes;
                                    const auto slope = part.mul(part.load(lanes, p, at), part.sub(sum, delta[r]));
                                    part.store(ds, at, part.mul(slope, scale));
                                  });
  }
  attention_sums<Shape, kRows, false>(
      ops, {0, s.visible_keys(i), s.visible_keys(i + kRows - 1)}, a.k, s.D,
      [&](Index j, Index r) EB_ALWAYS_INLINE { return ops.load(ds, r * scratch.stride + j); },
      [&](Index j, Index r) EB_ALWAYS_INLINE { return j < s.visible_keys(i + r); },
      [&](auto&, Index, Index) EB_ALWAYS_INLINE { return zero; },
      [&](auto& part, Index r, Index column, auto sum)
          EB_ALWAYS_INLINE { part.store(a.dq, (i + r) * s.D + column, sum); });
}

// attention_backward_keys: kRows keys from j on, of the queries [first, end) of a chunk.
template <class Shape, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void attention_backward_keys(Ops& ops, const AttentionBackwardOperands<Ops, T>& a,
                                             const AttentionShape& s, const AttentionBackwardScratch<Scratch>& scratch,
                                             Index j, Index first, Index end) {
  constexpr Lanes<Shape::kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  // The first query that sees key j + r: key j + r itself under a mask, and there may be none.
  const auto seen_from = [&](Index key) EB_ALWAYS_INLINE {
    const Index query = s.causal && key > first ? key : first;
    return query < end ? query : end;
  };
  const SharedTerms terms{seen_from(j + kRows - 1), end, seen_from(j)};
  for (const bool of_values : {false, true}) {
    const auto rows = of_values ? a.grad : a.q;
    const auto weights = of_values ? scratch.p : scratch.ds;
    const auto result = of_values ? a.dv : a.dk;
    attention_sums<Shape, kRows, true>(
        ops, terms, rows, s.D,
        [&](Index i, Index r) EB_ALWAYS_INLINE { return ops.load(weights, (i - first) * scratch.stride + j + r); },
        [&](Index i, Index r) EB_ALWAYS_INLINE { return j + r <= i; },
        [&](auto& part, Index r, Index column)
            EB_ALWAYS_INLINE { return first == 0 ? zero : part.load(lanes, result, (j + r) * s.D + column); },
        [&](auto& part, Index r, Index column, auto sum)
            EB_ALWAYS_INLINE { part.store(result, (j + r) * s.D + column, sum); });
  }
}

}  // namespace eb
