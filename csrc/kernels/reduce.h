// Walking a row in lanes: maps and reductions with as many operations as the scalar loop makes.
//
// What a walk does at element i it is given as f(ops, lanes, i, …), once for whole vectors and once for the part vector
// at the row's end, whose policy uses the first lanes alone.
#pragma once

#include "common/ops.h"
#include "common/unrolled.h"

namespace eb {

// f(ops, lanes, i) for every vector of a row of n.
template <int W, class Ops, class F>
EB_HD EB_INLINE void each_vector(Ops& ops, Index n, const F& f) {
  constexpr Lanes<W> lanes{};
  const Index whole = n / W * W;
  for (Index i = 0; i < whole; i += W) f(ops, lanes, i);
  if (whole < n) {
    auto part = ops.first(n - whole);
    f(part, lanes, whole);
  }
}

// Zeros in W lanes.
template <int W, class T, class Ops, class P>
EB_HD EB_INLINE void fill_zeros(Ops& ops, P p, Index n) {
  each_vector<W>(ops, n, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
    policy.store(p, i, policy.broadcast(lanes, policy.constant(Constant<T, 0>{})));
  });
}

// W of a policy's numbers side by side, whatever these are to it.
template <class Ops, class S, int W>
using InLanesOf = decltype(std::declval<Ops&>().broadcast(Lanes<W>{}, std::declval<S>()));

struct Sum {
  template <class Ops, class V>
  EB_HD EB_INLINE static V join(Ops& ops, V a, V b) {
    return ops.add(a, b);
  }
  template <class Ops, class V, class S>
  EB_HD EB_INLINE static S fold(Ops& ops, V lanes, S start) {
    return ops.fold_add(lanes, start);
  }
};
struct Largest {
  template <class Ops, class V>
  EB_HD EB_INLINE static V join(Ops& ops, V a, V b) {
    return ops.max(a, b);
  }
  template <class Ops, class V, class S>
  EB_HD EB_INLINE static S fold(Ops& ops, V lanes, S start) {
    return ops.fold_max(lanes, start);
  }
};

// Reduces kCount values of every element into `result`, which holds the starts: f(ops, lanes, i, values) fills values.
// Four accumulators hide the latency of the operation; each begins as its first vector and is folded into the start at
// the end, so n elements cost n operations.
template <class Reduction, int W, class S, int kCount, class Ops, class F>
EB_HD EB_INLINE void reduce(Ops& ops, Index n, S (&result)[kCount], const F& f) {
  using V = InLanesOf<Ops, S, W>;
  constexpr Lanes<W> lanes{};
  constexpr int kChains = 4;
  const Index whole = n / W;
  if (whole >= kChains) {
    V chain[kChains][kCount], value[kCount];
    unrolled<kChains>([&](auto c) EB_ALWAYS_INLINE { f(ops, lanes, c * W, chain[c]); });
    Index v = kChains;
    for (; v + kChains <= whole; v += kChains) {
      unrolled<kChains>([&](auto c) EB_ALWAYS_INLINE {
        f(ops, lanes, (v + c) * W, value);
        unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { chain[c][k] = Reduction::join(ops, chain[c][k], value[k]); });
      });
    }
    for (; v < whole; ++v) {
      f(ops, lanes, v * W, value);
      unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { chain[0][k] = Reduction::join(ops, chain[0][k], value[k]); });
    }
    unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE {
      const auto low = Reduction::join(ops, chain[0][k], chain[1][k]);
      const auto high = Reduction::join(ops, chain[2][k], chain[3][k]);
      result[k] = Reduction::fold(ops, Reduction::join(ops, low, high), result[k]);
    });
  } else {
    for (Index v = 0; v < whole; ++v) {
      V value[kCount];
      f(ops, lanes, v * W, value);
      unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { result[k] = Reduction::fold(ops, value[k], result[k]); });
    }
  }
  if (whole * W < n) {
    V value[kCount];
    auto part = ops.first(n - whole * W);
    f(part, lanes, whole * W, value);
    unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { result[k] = Reduction::fold(part, value[k], result[k]); });
  }
}

// Runs of neighbours that belong together, such as a channel's planes in a batch of images.
struct Runs {
  Index first, count, stride, length;  // run k is [first + k · stride, … + length)
};

// f(ops, lanes, i) for every vector of every run; i is the place in the whole.
template <int W, class Ops, class F>
EB_HD EB_INLINE void each_run(Ops& ops, const Runs& runs, const F& f) {
  for (Index run = 0; run < runs.count; ++run) {
    const Index base = runs.first + run * runs.stride;
    each_vector<W>(ops, runs.length,
                   [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE { f(policy, lanes, base + i); });
  }
}

// How sums over runs are taken. Number by number, in order: the oracle.
struct InOrder {
  static constexpr int kLanes = 1;
  template <class S, int kCount, class Ops, class F>
  EB_HD EB_INLINE static void sum(Ops& ops, const Runs& runs, S (&result)[kCount], const F& f) {
    each_run<1>(ops, runs, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
      InLanesOf<Ops, S, 1> value[kCount];
      f(policy, lanes, i, value);
      unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { result[k] = policy.fold_add(value[k], result[k]); });
    });
  }
};

// In W lanes: four accumulators for whole vectors and one for the part vectors at the runs' ends, all kept from run to
// run; each begins as its first vector and is folded at the end, so n elements cost n additions (as `reduce`).
template <int W>
struct InLanes {
  static constexpr int kLanes = W;
  template <class S, int kCount, class Ops, class F>
  EB_HD EB_INLINE static void sum(Ops& ops, const Runs& runs, S (&result)[kCount], const F& f) {
    using V = InLanesOf<Ops, S, W>;
    constexpr Lanes<W> lanes{};
    constexpr int kChains = 4;
    const Index whole = runs.length / W, rest = runs.length - whole * W;
    auto part = ops.first(rest);
    // The zeros are never read: which chains have begun is known at run time, and the compiler warns.
    V chain[kChains][kCount]{}, tail[kCount]{}, value[kCount];
    const auto add_up = [&](Index i, auto c) EB_ALWAYS_INLINE {
      f(ops, lanes, i, value);
      unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { chain[c][k] = ops.add(chain[c][k], value[k]); });
    };
    for (Index run = 0; run < runs.count; ++run) {
      const Index base = runs.first + run * runs.stride;
      Index v = 0;
      if (run == 0) {
        unrolled<kChains>([&](auto c) EB_ALWAYS_INLINE {
          if (c < whole) f(ops, lanes, base + c * W, chain[c]);
        });
        v = whole < kChains ? whole : kChains;
      }
      for (; v + kChains <= whole; v += kChains) {
        unrolled<kChains>([&](auto c) EB_ALWAYS_INLINE { add_up(base + (v + c) * W, c); });
      }
      unrolled<kChains - 1>([&](auto c) EB_ALWAYS_INLINE {
        if (v + c < whole) add_up(base + (v + c) * W, c);
      });
      if (rest > 0) {
        f(part, lanes, base + whole * W, value);
        unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE { tail[k] = run == 0 ? value[k] : part.add(tail[k], value[k]); });
      }
    }
    unrolled<kCount>([&](auto k) EB_ALWAYS_INLINE {
      unrolled<kChains - 1>([&](auto c) EB_ALWAYS_INLINE {
        if (c + 1 < whole) chain[0][k] = ops.add(chain[0][k], chain[c + 1][k]);
      });
      if (whole > 0) result[k] = ops.fold_add(chain[0][k], result[k]);
      if (rest > 0) result[k] = part.fold_add(tail[k], result[k]);
    });
  }
};

}  // namespace eb
