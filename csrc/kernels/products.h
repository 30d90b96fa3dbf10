// The inner loop of the tuned sequence kernels: a register tile of sums of products over a run of d.
#pragma once

#include "common/ops.h"
#include "common/unrolled.h"

namespace eb {

// sum[r][v] += Σ_d a(d, r) · b(d, v), in the order of d: `a` gives numbers, `b` vectors, and a vector of b is loaded
// once for all rows. `live(r, v)` lanes of each sum are wanted.
template <int kLanes, int kRows, int kVectors, class Ops, class A, class B, class V, class Live>
EB_HD EB_INLINE void add_products(Ops& ops, Index first, Index end, const A& a, const B& b, V (&sum)[kRows][kVectors],
                                  const Live& live) {
  for (Index d = first; d < end; ++d) {
    V value[kRows];
    unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE { value[r] = ops.broadcast(Lanes<kLanes>{}, a(d, r)); });
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      const V vector = b(d, v);
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        auto part = ops.first(live(r, v));
        sum[r][v] = part.mac(vector, value[r], sum[r][v]);
      });
    });
  }
}

}  // namespace eb
