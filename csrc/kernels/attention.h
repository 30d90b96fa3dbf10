// The core of multi-head attention, forward: for each batch b, head hn and query i, over the keys j that i sees,
//
//   s[j] = scale · Σ_d q[i,d] k[j,d]      p[j] = exp(s[j] − max s) / Σ exp(s − max s)      y[i,d] = Σ_j p[j] v[j,d]
//
// Masked keys are skipped, not computed.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"

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

}  // namespace eb
