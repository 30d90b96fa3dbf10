// RawOps: the verbs of ops.h over bare numbers, bare vectors and bare addresses, without opaque types and without a
// tally. Test only: it shows what a body would compile to if nothing were counted and nothing hidden. What the compiler
// has an operator for is written with it; below that both policies share lanes.h, the instructions themselves.
//
// EB_RAW_EXTRA is the negative control, what a store might cost too much: 1, a counter; 2, a multiplication.
#pragma once

#include "common/ops.h"

template <class T>
struct RawPtr {
  T* address;
  EB_HD explicit RawPtr(T* a, bool = false) : address(a) {}
  EB_HD EB_FORCED RawPtr at(eb::Index offset) const { return RawPtr(address + offset); }
};

#if EB_RAW_EXTRA == 1
__attribute__((used)) static eb::Index twin_counter;  // used: else g++ drops what nobody reads
#endif

template <class V, class M>
struct RawMarked {
  V value;
  M mark;
};

// kPart: the first `live` lanes of each vector alone are in use.
template <bool kPart>
struct RawPolicy;
using RawOps = RawPolicy<false>;

namespace raw {

template <class P>
using ElementOf = std::remove_cv_t<std::remove_reference_t<decltype(std::declval<P&>()[0])>>;
template <class P>
constexpr int kLanesOf = sizeof(P) / sizeof(ElementOf<P>);
template <class P>
using NativeOf = eb::lanes::Native<ElementOf<P>, kLanesOf<P>>;
template <class P>
constexpr bool kNumber = std::is_arithmetic_v<P>;

struct Whole {};
struct First {
  eb::Index live;
};

}  // namespace raw

template <bool kPart>
struct RawPolicy : std::conditional_t<kPart, raw::First, raw::Whole> {
  static constexpr bool kCounting = false;
  template <class T>
  using Scalar = T;
  template <class T, int W>
  using Vec = eb::Pack<T, W>;
  template <class T>
  using Activation = RawPtr<T>;
  template <class T>
  using Weight = RawPtr<T>;
  template <class T>
  using Either = RawPtr<T>;
  template <class T>
  using Parameter = T;

  EB_HD EB_FORCED RawPolicy<true> first(eb::Index n, eb::Index = 0) const {
    RawPolicy<true> part;
    part.live = n;
    return part;
  }
  template <int W>
  EB_HD EB_FORCED eb::Index in_use() const {
    if constexpr (kPart) {
      return this->live < 0 ? 0 : this->live > W ? W : this->live;
    } else {
      return W;
    }
  }

  // ---- values that cost nothing
  template <class T, long long N, long long D>
  EB_HD EB_FORCED T constant(eb::Constant<T, N, D>) const {
    return static_cast<T>(static_cast<double>(N) / static_cast<double>(D));
  }
  template <class T>
  EB_HD EB_FORCED T negative_infinity() const {
    return static_cast<T>(-HUGE_VAL);
  }
  template <class T>
  EB_HD EB_FORCED T lowest() const {
    constexpr T kLowest = std::numeric_limits<T>::lowest();
    return kLowest;
  }
  template <class T>
  EB_HD EB_FORCED T parameter(T p) const {
    return p;
  }
  template <class V>
  EB_HD EB_FORCED V negate(V a) const {
    return -a;
  }
  template <class V, class T, long long N, long long D>
  EB_HD EB_FORCED V constant(V like, eb::Constant<T, N, D> c) const {
    return parameter(like, constant(c));
  }
  template <class V, class T>
  EB_HD EB_FORCED V parameter(V, T p) const {
    if constexpr (raw::kNumber<V>) {
      return p;
    } else {
      return broadcast(eb::Lanes<raw::kLanesOf<V>>{}, p);
    }
  }
  template <int W, class T>
  EB_HD EB_FORCED auto broadcast(eb::Lanes<W>, T a) const {
    return eb::lanes::Native<T, W>::broadcast(a);
  }

  // ---- memory
  template <class T>
  EB_HD EB_FORCED void prefetch(RawPtr<T> p, eb::Index i) const {
    eb::prefetch(p.address, i * static_cast<eb::Index>(sizeof(T)));
  }
  template <class T>
  EB_HD EB_FORCED auto load(RawPtr<T> p, eb::Index i) const {
    return p.address[i];
  }
  template <class T, class V>
  EB_HD EB_FORCED void store(RawPtr<T> p, eb::Index i, V value) const {
#if EB_RAW_EXTRA == 1
    ++twin_counter;
#elif EB_RAW_EXTRA == 2
    value = value * static_cast<T>(3);
#endif
    if constexpr (raw::kNumber<V>) {
      p.address[i] = value;
    } else if constexpr (kPart) {
      raw::NativeOf<V>::store_first(p.address + i, value, this->live);
    } else {
      eb::lanes::store<T, raw::kLanesOf<V>>(p.address + i, value);
    }
  }
  template <int W, class T>
  EB_HD EB_FORCED auto load(eb::Lanes<W>, RawPtr<T> p, eb::Index i) const {
    using Value = std::remove_const_t<T>;
    if constexpr (kPart) {
      return eb::lanes::Native<Value, W>::load_first(p.address + i, this->live);
    } else {
      return eb::lanes::load<Value, W>(p.address + i);
    }
  }
  template <class P, class T>
  EB_HD EB_FORCED P load(P into, RawPtr<T> p, eb::Index i, eb::Index begin, eb::Index end) const {
    return raw::NativeOf<P>::load_between(into, p.address + i, begin, end);
  }
  template <class P, class T>
  EB_HD EB_FORCED void store(RawPtr<T> p, eb::Index i, P value, eb::Index begin, eb::Index end) const {
    raw::NativeOf<P>::store_between(p.address + i, value, begin, end);
  }
  template <class P, class T>
  EB_HD EB_FORCED P gather(P into, RawPtr<T> p, eb::Index i, eb::Index stride, eb::Index begin, eb::Index end) const {
    for (int l = 0; l < raw::kLanesOf<P>; ++l) {
      if (begin <= l && l < end) into[l] = p.address[i + l * stride];
    }
    return into;
  }
  template <class P, class T>
  EB_HD EB_FORCED void scatter(RawPtr<T> p, eb::Index i, eb::Index stride, P value, eb::Index begin,
                               eb::Index end) const {
    for (int l = 0; l < raw::kLanesOf<P>; ++l) {
      if (begin <= l && l < end) p.address[i + l * stride] = value[l];
    }
  }
  template <int W, class T>
  EB_HD EB_FORCED auto gather(eb::Lanes<W>, RawPtr<T> p, eb::Index i, eb::Index stride) const {
    using Value = std::remove_const_t<T>;
    if constexpr (!kPart) {
      if (stride == 2) return eb::lanes::load_every_second<Value, W>(p.address + i);
    }
    eb::Pack<Value, W> result{};
    for (int l = 0; l < W; ++l) {
      if (l < in_use<W>()) result[l] = p.address[i + l * stride];
    }
    return result;
  }
  template <class P, int W>
  EB_HD EB_FORCED void transpose(P (&rows)[W]) const {
    eb::lanes::transpose<raw::ElementOf<P>, W>(rows);
  }
  template <class T>
  EB_HD EB_FORCED eb::Index load_index(RawPtr<T> p, eb::Index i) const {
    return p.address[i];
  }

  // ---- arithmetic, of numbers and of vectors
  template <class T>
  EB_HD EB_FORCED void skip_macs(eb::Index) const {}
  template <class V>
  EB_HD EB_FORCED V mac(V a, V b, V c) const {
    if constexpr (raw::kNumber<V>) {
      return eb::arithmetic::fma(a, b, c);
    } else {
      return raw::NativeOf<V>::fma(a, b, c);
    }
  }
#define EB_OPERATOR(name, expression)      \
  template <class V>                       \
  EB_HD EB_FORCED V name(V a, V b) const { \
    return expression;                     \
  }
  EB_OPERATOR(add, a + b)
  EB_OPERATOR(sub, a - b)
  EB_OPERATOR(mul, a* b)
  EB_OPERATOR(div, a / b)
  EB_OPERATOR(max, b > a ? b : a)
  EB_OPERATOR(max_or_nan, b <= a || a != a ? a : b)
  EB_OPERATOR(dot, a* b)
  EB_OPERATOR(join, a + b)
#undef EB_OPERATOR
  template <class V>
  EB_HD EB_FORCED V if_positive(V x, V a, V b) const {
    if constexpr (raw::kNumber<V>) {
      // Two objects to choose from, so that `b` is worked out whatever x is, as in ops.h: a loop of that becomes vectors.
      struct Number {
        V value;
      };
      const Number yes{a}, no{b};
      return (x > 0 ? yes : no).value;
    } else {
      return x > 0 ? a : b;
    }
  }
  template <class V>
  EB_HD EB_FORCED V if_at_most_zero(V x, V a, V b) const {
    return x <= 0 ? a : b;
  }
  template <class V>
  EB_HD EB_FORCED V if_less(V a, V b, V yes, V no) const {
    return a < b ? yes : no;
  }
#define EB_FUNCTION(name)               \
  template <class V>                    \
  EB_HD EB_FORCED V name(V a) const {   \
    if constexpr (raw::kNumber<V>) {    \
      return eb::arithmetic::name(a);   \
    } else {                            \
      return raw::NativeOf<V>::name(a); \
    }                                   \
  }
  EB_FUNCTION(exp)
  EB_FUNCTION(tanh)
  EB_FUNCTION(erf)
  EB_FUNCTION(sqrt)
  EB_FUNCTION(log)
#undef EB_FUNCTION
  template <class T>
  EB_HD EB_FORCED T rsqrt(T a) const {
    return eb::arithmetic::rsqrt(a);
  }

  // ---- lanes into one
  template <class P>
  EB_HD EB_FORCED auto sum(P a) const {
    auto result = a[0];
    for (int l = 1; l < raw::kLanesOf<P>; ++l) result = result + a[l];
    return result;
  }
  template <class P, class T>
  EB_HD EB_FORCED T fold_add(P a, T start) const {
    constexpr int W = raw::kLanesOf<P>;
    for (int l = 0; l < W; ++l) {
      if (l < in_use<W>()) start = start + a[l];
    }
    return start;
  }
  template <class P, class T>
  EB_HD EB_FORCED T fold_max(P a, T start) const {
    constexpr int W = raw::kLanesOf<P>;
    for (int l = 0; l < W; ++l) {
      if (l < in_use<W>()) start = a[l] > start ? a[l] : start;
    }
    return start;
  }
  template <class P, class S>
  EB_HD EB_FORCED S fold(P a, S start) const {
    if constexpr (!raw::kNumber<S>) {
      return start + a;
    } else {
      for (int l = 0; l < raw::kLanesOf<P>; ++l) start = start + a[l];
      return start;
    }
  }
  template <class P, int W>
  EB_HD EB_FORCED P fold(P (&dots)[W]) const {
    P packs[W], result = raw::NativeOf<P>::broadcast(0);
    for (int d = 0; d < W; ++d) packs[d] = dots[d];
    eb::lanes::transpose<raw::ElementOf<P>, W>(packs);
    for (int l = 0; l < W; ++l) result = result + packs[l];
    return result;
  }

  // ---- a maximum and where it was met
  template <class V>
  EB_HD EB_FORCED auto marked(V start) const {
    if constexpr (raw::kNumber<V>) {
      return RawMarked<V, eb::Index>{start, 0};
    } else {
      using M = eb::Pack<eb::lanes::IndexOf<raw::ElementOf<V>>, raw::kLanesOf<V>>;
      return RawMarked<V, M>{start, M{}};
    }
  }
  template <class V, class M>
  EB_HD EB_FORCED auto mark(RawMarked<V, M> a, eb::Index where) const {
    return RawMarked<V, M>{a.value, eb::lanes::all<M>(where)};
  }
  template <class V, class M>
  EB_HD EB_FORCED auto max_or_nan(RawMarked<V, M> a, V x, eb::Index where) const {
    if constexpr (raw::kNumber<V>) {
      return x > a.value || x != x ? RawMarked<V, M>{x, where} : a;
    } else {
      eb::lanes::keep_larger<raw::kLanesOf<V>>(a.value, a.mark, x, where);
      return a;
    }
  }
  template <class V, class M>
  EB_HD EB_FORCED V value(RawMarked<V, M> a) const {
    return a.value;
  }
  template <class V>
  EB_HD EB_FORCED void store_mark(RawPtr<std::int64_t> p, eb::Index i, RawMarked<V, eb::Index> a) const {
    p.address[i] = a.mark;
  }
  template <class V, class M>
  EB_HD EB_FORCED void store_mark(RawPtr<std::int64_t> p, eb::Index i, RawMarked<V, M> a, eb::Index first_mark,
                                  eb::Index step) const {
    constexpr int W = raw::kLanesOf<V>;
    const eb::Index lanes = in_use<W>();
    for (int l = 0; l < W; ++l) {
      if (l < lanes) p.address[i + l] = a.mark[l] + first_mark + l * step;
    }
  }

  // ---- random numbers, and marks of a byte
  template <class T, int W>
  EB_HD EB_FORCED auto uniform(eb::Lanes<W>, const eb::RandomBlock& numbers, eb::Index i) const {
    return eb::lanes::fractions<T, W>(numbers.word + i);
  }
  template <class P>
  EB_HD EB_FORCED void store_flags(RawPtr<std::uint8_t> p, eb::Index i, P value) const {
    constexpr int W = raw::kLanesOf<P>;
    eb::lanes::store_flags<raw::ElementOf<P>, W>(p.address + i, value, in_use<W>());
  }
  template <int W, class P>
  EB_HD EB_FORCED P load_flags(eb::Lanes<W>, RawPtr<const std::uint8_t> p, eb::Index i, P value) const {
    return eb::lanes::load_flags<raw::ElementOf<P>, W>(p.address + i, value, in_use<W>());
  }
};
