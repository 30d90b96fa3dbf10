// Register tiles that the tuned attention kernels share: kRows rows (queries, or keys) against vectors.
#pragma once

#include "common/ops.h"
#include "common/unrolled.h"
#include "kernels/products.h"

namespace eb {

// Products of kRows rows of D numbers with a strip of packed rows, strip[d][column]: finish(policy, r, v, sum) for each
// vector of columns, `live(r, v)` of them wanted.
template <class Shape, int kRows, class Ops, class Rows, class Strip, class Live, class Finish>
EB_HD EB_INLINE void attention_strip(Ops& ops, Rows rows, Strip strip, Index D, const Live& live,
                                     const Finish& finish) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors;
  constexpr Lanes<kLanes> lanes{};
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<typename Shape::Element, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kVectors];
  unrolled<kRows>([&](auto r)
                      EB_ALWAYS_INLINE { unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE { sum[r][v] = zero; }); });
  add_products<kLanes>(
      ops, 0, D, [&](Index d, Index r) EB_ALWAYS_INLINE { return ops.load(rows, r * D + d); },
      [&](Index d, Index v) EB_ALWAYS_INLINE { return ops.load(lanes, strip, d * Shape::kColumns + v * kLanes); }, sum,
      live);
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(live(r, v));
      finish(part, r, v, sum[r][v]);
    });
  });
}

// The terms of kRows sums: all have those of [first, end); the others, which only some have, come before or after.
struct SharedTerms {
  Index first, end;
  Index others;  // where the others begin, before `first`, or end, after `end`
};

// sum[r] = start + Σ_t weight(t, r) · rows[t, :], in the order of t, for kRows sums of D numbers. `has(t, r)` says
// which sums have a term that not all share: the others must not meet even its NaNs. `start(policy, r, column)` gives a
// vector and finish(policy, r, column, sum) takes one.
template <class Shape, int kRows, bool kOthersFirst, class Ops, class Rows, class Weight, class Has, class Start,
          class Finish>
EB_HD EB_INLINE void attention_sums(Ops& ops, const SharedTerms& terms, Rows rows, Index D, const Weight& weight,
                                    const Has& has, const Start& start, const Finish& finish) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kColumns = Shape::kColumns;
  constexpr Lanes<kLanes> lanes{};
  for (Index column = 0; column < D; column += kColumns) {
    const auto at = rows.at(column);
    const auto inside = [&](Index c) EB_ALWAYS_INLINE { return D - column - c * kLanes; };
    decltype(ops.broadcast(lanes, ops.constant(Constant<typename Shape::Element, 0>{}))) sum[kRows][kVectors];
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE {
        auto part = ops.first(inside(c));
        sum[r][c] = start(part, r, column + c * kLanes);
      });
    });
    const auto value = [&](Index t, Index c) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(c));
      return part.load(lanes, at, t * D + c * kLanes);
    };
    const auto others = [&](Index t, Index end) EB_ALWAYS_INLINE {
      for (; t < end; ++t) {
        unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
          if (has(t, r)) {
            const auto factor = ops.broadcast(lanes, weight(t, r));
            unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE {
              auto part = ops.first(inside(c));
              sum[r][c] = part.mac(value(t, c), factor, sum[r][c]);
            });
          }
        });
      }
    };
    const auto shared = [&](const auto& vector) EB_ALWAYS_INLINE {
      add_products<kLanes>(ops, terms.first, terms.end, weight, vector, sum,
                           [&](Index, Index c) EB_ALWAYS_INLINE { return inside(c); });
    };
    if constexpr (kRows > 1 && kOthersFirst) others(terms.others, terms.first);
    if (!Ops::kCounting && D - column >= kColumns) {  // who counts may as well ask for each lane
      shared([&](Index t, Index c) EB_ALWAYS_INLINE { return ops.load(lanes, at, t * D + c * kLanes); });
    } else {
      shared(value);
    }
    if constexpr (kRows > 1 && !kOthersFirst) others(terms.end, terms.others);
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
      unrolled<kVectors>([&](auto c) EB_ALWAYS_INLINE {
        auto part = ops.first(inside(c));
        finish(part, r, column + c * kLanes, sum[r][c]);
      });
    });
  }
}

}  // namespace eb
