// The verbs in which every kernel body is written. A body takes an Ops policy and does all its arithmetic and memory
// traffic through it:
//
//   PlainOps      does the work and is inlined away: this is what is measured
//   CountingOps   does the same work and tallies it: this is what is counted
//
// Values are opaque (Scalar, Vec, Dot: no operators, no way to the number), memory is opaque (Ptr: only load and store
// reach it) and constants are compile-time, so an uncounted operation on data does not compile. Index arithmetic is
// plain. A vector verb does W at once and is tallied as W; `ops.first(n)` is the same policy with only the first n
// lanes in use: it loads and stores those alone and tallies n. Tile verbs (mma, counted once per warp) and asynchronous
// copies join this list when a rung needs them.
#pragma once

#include "common/arithmetic.h"
#include "common/host_device.h"
#include "common/lanes.h"
#include "common/op_counts.h"
#include "common/prefetch.h"
#include "common/random.h"
#include "common/unrolled.h"

#include <limits>

namespace eb {

// What a tensor holds: reads of weights are tallied apart from reads of activations. Of kEither the pointer knows, so
// that one launch serves products that have their weights at different places.
enum class Role { kActivation, kWeight, kEither };

template <class Tally>
class BasicOps;

// One number in a register.
template <class T>
class Scalar {
  template <class>
  friend class BasicOps;
  EB_HD explicit constexpr Scalar(T value) : value_(value) {}
  T value_;
};

// W numbers in a register.
template <class T, int W>
class Vec {
 public:
  Vec() = default;  // not a number yet: an array of accumulators before its first values

 private:
  template <class>
  friend class BasicOps;
  EB_HD explicit Vec(Pack<T, W> lanes) : lanes_(lanes) {}
  Pack<T, W> lanes_;
};

// A dot product under way, W partial sums. Its first products are multiplied and not added to anything, so each is owed
// one addition; `join` and `fold` pay exactly those. However it is split, K products cost K multiplications and K
// additions: K MACs, tallied as they are multiplied.
template <class T, int W>
class Dot {
 public:
  Dot() = default;

 private:
  template <class>
  friend class BasicOps;
  EB_HD explicit Dot(Pack<T, W> lanes) : lanes_(lanes) {}
  Pack<T, W> lanes_;
};

// A running maximum (number or vector) with the place it was met at: a mark of the index kind, kept beside it.
template <class V, class M>
class Marked {
 private:
  template <class>
  friend class BasicOps;
  EB_HD Marked(V value, M mark) : value_(value), mark_(mark) {}
  V value_;
  M mark_;
};

// An array in memory. `at` moves along it, which is index arithmetic; only ops.load and ops.store touch what it holds.
template <class T, Role kRole>
class Ptr {
 public:
  EB_HD explicit Ptr(T* address) : address_(address) {}
  EB_HD EB_FORCED Ptr at(Index offset) const { return Ptr(address_ + offset); }
  EB_HD EB_FORCED static constexpr bool is_weight() { return kRole == Role::kWeight; }

 private:
  template <class>
  friend class BasicOps;
  T* address_;
};
template <class T>
class Ptr<T, Role::kEither> {
 public:
  EB_HD explicit Ptr(T* address, bool weight) : address_(address), weight_(weight) {}
  EB_HD EB_FORCED Ptr at(Index offset) const { return Ptr(address_ + offset, weight_); }
  EB_HD EB_FORCED bool is_weight() const { return weight_; }

 private:
  template <class>
  friend class BasicOps;
  T* address_;
  bool weight_;
};

// A number fixed before the launch, such as attention's scale: it reaches a body as a kernel argument.
template <class T>
class Parameter {
 public:
  explicit Parameter(double value) : value_(static_cast<T>(value)) {}

 private:
  template <class>
  friend class BasicOps;
  T value_;
};

// A number fixed at compile time: kNumerator / kDenominator.
template <class T, long long kNumerator, long long kDenominator = 1>
struct Constant {
  // Divided in double, so that a long numerator is rounded to float once.
  static constexpr T kValue = static_cast<T>(static_cast<double>(kNumerator) / static_cast<double>(kDenominator));
};

// The number of lanes of a vector verb, as a value: ops.load(Lanes<8>{}, x, i).
template <int W>
struct Lanes {};

// Tallies nothing; every call vanishes.
struct NoTally {
  static constexpr bool kCounting = false;
  static constexpr bool kPart = false;
#define EB_FIELD(name) \
  template <class T>   \
  EB_HD EB_FORCED void name(std::uint64_t) const {}
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
};

// Tallies in 64 bits, one object per thread.
struct Tally {
  static constexpr bool kCounting = true;
  static constexpr bool kPart = false;
  OpCounts counts;
#define EB_FIELD(name)                             \
  template <class T>                               \
  EB_HD EB_FORCED void name(std::uint64_t times) { \
    counts.of<T>().name += times;                  \
  }
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
};

// The tally of a policy that uses the first `live` lanes of its vectors.
template <class Whole>
struct Part {
  static constexpr bool kCounting = Whole::kCounting;
  static constexpr bool kPart = true;
  Whole* whole;
  Index live;
  Index idle;  // lanes in use that hold padding
#define EB_FIELD(name)                             \
  template <class T>                               \
  EB_HD EB_FORCED void name(std::uint64_t times) { \
    whole->template name<T>(times);                \
  }
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
};

template <class TallyPolicy>
class BasicOps {
 public:
  static constexpr bool kCounting = TallyPolicy::kCounting;
  BasicOps() = default;

  // The same policy with the first n lanes of each vector in use, 0 ≤ n; more than W is W.
  // `idle` of them hold zeros that stand for padding: their MACs are nominal work, not done.
  EB_HD EB_FORCED BasicOps<Part<TallyPolicy>> first(Index n, Index idle = 0) {
    return BasicOps<Part<TallyPolicy>>(Part<TallyPolicy>{&tally_, n, idle});
  }
  template <class T>
  using Scalar = eb::Scalar<T>;
  template <class T, int W>
  using Vec = eb::Vec<T, W>;
  template <class T>
  using Activation = Ptr<T, Role::kActivation>;
  template <class T>
  using Weight = Ptr<T, Role::kWeight>;
  template <class T>
  using Either = Ptr<T, Role::kEither>;
  template <class T>
  using Parameter = eb::Parameter<T>;

  EB_HD const TallyPolicy& tally() const { return tally_; }

  // ---- values that cost nothing: constants, kernel arguments, a change of sign (an operand modifier)
  template <class T, long long N, long long D>
  EB_HD EB_FORCED Scalar<T> constant(Constant<T, N, D>) const {
    return Scalar<T>(Constant<T, N, D>::kValue);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> negative_infinity() const {
    return Scalar<T>(static_cast<T>(-HUGE_VAL));
  }
  // The finite number below all others: where a running maximum begins that is subtracted before any is found.
  template <class T>
  EB_HD EB_FORCED Scalar<T> lowest() const {
    constexpr T kLowest = std::numeric_limits<T>::lowest();
    return Scalar<T>(kLowest);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> parameter(const Parameter<T>& p) const {
    return Scalar<T>(p.value_);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> negate(Scalar<T> a) const {
    return Scalar<T>(-a.value_);
  }

  // ---- memory
  template <class T, Role kRole>
  EB_HD EB_FORCED auto load(Ptr<T, kRole> p, Index i) {
    using Value = typename Bare<T>::Type;
    count_load<Value>(p.is_weight(), 1);
    return Scalar<Value>(p.address_[i]);
  }
  template <class T, Role kRole>
  EB_HD EB_FORCED void store(Ptr<T, kRole> p, Index i, Scalar<T> value) {
    count_store<T>(1);
    p.address_[i] = value.value_;
  }

  // Asks for the line that holds p[i], which may lie beyond the array, before it is loaded or stored. No traffic of its
  // own: what it brings is tallied by the verb that uses it.
  template <class T, Role kRole>
  EB_HD EB_FORCED void prefetch(Ptr<T, kRole> p, Index i) const {
    eb::prefetch(p.address_, i * static_cast<Index>(sizeof(T)));
  }

  // ---- arithmetic
  // a·b + c in one rounding.
  template <class T>
  EB_HD EB_FORCED Scalar<T> mac(Scalar<T> a, Scalar<T> b, Scalar<T> c) {
    count_macs<T>(1);
    return Scalar<T>(arithmetic::fma(a.value_, b.value_, c.value_));
  }
  // MACs that padding or a mask makes unnecessary: nominal work, not done.
  template <class T>
  EB_HD EB_FORCED void skip_macs(Index times) {
    tally_.template nominal_macs<T>(static_cast<std::uint64_t>(times));
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> add(Scalar<T> a, Scalar<T> b) {
    tally_.template adds<T>(1);
    return Scalar<T>(a.value_ + b.value_);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> sub(Scalar<T> a, Scalar<T> b) {
    tally_.template adds<T>(1);
    return Scalar<T>(a.value_ - b.value_);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> mul(Scalar<T> a, Scalar<T> b) {
    tally_.template muls<T>(1);
    return Scalar<T>(a.value_ * b.value_);
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> div(Scalar<T> a, Scalar<T> b) {
    tally_.template divs<T>(1);
    return Scalar<T>(a.value_ / b.value_);
  }
  // The larger; `a` when they do not compare.
  template <class T>
  EB_HD EB_FORCED Scalar<T> max(Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return Scalar<T>(b.value_ > a.value_ ? b.value_ : a.value_);
  }
  // The larger, or NaN when either is.
  template <class T>
  EB_HD EB_FORCED Scalar<T> max_or_nan(Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return Scalar<T>(b.value_ <= a.value_ || a.value_ != a.value_ ? a.value_ : b.value_);
  }
  // x > 0 ? a : b, and x <= 0 ? a : b: they differ where x is NaN.
  template <class T>
  EB_HD EB_FORCED Scalar<T> if_positive(Scalar<T> x, Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return x.value_ > 0 ? a : b;
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> if_at_most_zero(Scalar<T> x, Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return x.value_ <= 0 ? a : b;
  }
#define EB_SPECIAL(name)                          \
  template <class T>                              \
  EB_HD EB_FORCED Scalar<T> name(Scalar<T> a) {   \
    tally_.template specials<T>(1);               \
    return Scalar<T>(arithmetic::name(a.value_)); \
  }
  EB_SPECIAL(exp)
  EB_SPECIAL(tanh)
  EB_SPECIAL(erf)
  EB_SPECIAL(sqrt)
  EB_SPECIAL(rsqrt)
  EB_SPECIAL(log)
#undef EB_SPECIAL

  // ---- vector verbs: W of the same, tallied as W
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> broadcast(Lanes<W>, Scalar<T> a) const {
    return Vec<T, W>(lanes::Native<T, W>::broadcast(a.value_));
  }
  // A constant or a launch's parameter in the shape of `like`, so that one body serves numbers and vectors.
  template <class T, long long N, long long D>
  EB_HD EB_FORCED Scalar<T> constant(Scalar<T>, Constant<T, N, D> c) const {
    return constant(c);
  }
  template <class T, int W, long long N, long long D>
  EB_HD EB_FORCED Vec<T, W> constant(Vec<T, W>, Constant<T, N, D> c) const {
    return broadcast(Lanes<W>{}, constant(c));
  }
  template <class T>
  EB_HD EB_FORCED Scalar<T> parameter(Scalar<T>, const Parameter<T>& p) const {
    return parameter(p);
  }
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> parameter(Vec<T, W>, const Parameter<T>& p) const {
    return broadcast(Lanes<W>{}, parameter(p));
  }
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> negate(Vec<T, W> a) const {
    return Vec<T, W>(-a.lanes_);
  }
  template <int W, class T, Role kRole>
  EB_HD EB_FORCED auto load(Lanes<W>, Ptr<T, kRole> p, Index i) {
    using Value = typename Bare<T>::Type;
    count_load<Value>(p.is_weight(), live<W>());
    if constexpr (TallyPolicy::kPart) {
      return Vec<Value, W>(lanes::Native<Value, W>::load_first(p.address_ + i, tally_.live));
    } else {
      return Vec<Value, W>(lanes::load<Value, W>(p.address_ + i));
    }
  }
  template <class T, int W, Role kRole>
  EB_HD EB_FORCED void store(Ptr<T, kRole> p, Index i, Vec<T, W> value) {
    count_store<T>(live<W>());
    if constexpr (TallyPolicy::kPart) {
      lanes::Native<T, W>::store_first(p.address_ + i, value.lanes_, tally_.live);
    } else {
      lanes::store<T, W>(p.address_ + i, value.lanes_);
    }
  }
  // Lanes [begin, end) from p[i + lane], the others of `into`; as many loads or stores. None of the others is touched.
  template <class T, int W, class Element, Role kRole>
  EB_HD EB_FORCED Vec<T, W> load(Vec<T, W> into, Ptr<Element, kRole> p, Index i, Index begin, Index end) {
    count_load<T>(p.is_weight(), between<W>(begin, end));
    return Vec<T, W>(lanes::Native<T, W>::load_between(into.lanes_, p.address_ + i, begin, end));
  }
  template <class T, int W, Role kRole>
  EB_HD EB_FORCED void store(Ptr<T, kRole> p, Index i, Vec<T, W> value, Index begin, Index end) {
    count_store<T>(between<W>(begin, end));
    lanes::Native<T, W>::store_between(p.address_ + i, value.lanes_, begin, end);
  }
  // The same with lane l at p[i + l · stride].
  template <class T, int W, class Element, Role kRole>
  EB_HD EB_FORCED Vec<T, W> gather(Vec<T, W> into, Ptr<Element, kRole> p, Index i, Index stride, Index begin,
                                   Index end) {
    count_load<T>(p.is_weight(), between<W>(begin, end));
    for (int l = 0; l < W; ++l) {
      if (begin <= l && l < end) into.lanes_[l] = p.address_[i + l * stride];
    }
    return into;
  }
  template <class T, int W, Role kRole>
  EB_HD EB_FORCED void scatter(Ptr<T, kRole> p, Index i, Index stride, Vec<T, W> value, Index begin, Index end) {
    count_store<T>(between<W>(begin, end));
    for (int l = 0; l < W; ++l) {
      if (begin <= l && l < end) p.address_[i + l * stride] = value.lanes_[l];
    }
  }
  // W elements `stride` apart: as many loads or stores as lanes in use.
  template <int W, class T, Role kRole>
  EB_HD EB_FORCED auto gather(Lanes<W>, Ptr<T, kRole> p, Index i, Index stride) {
    using Value = typename Bare<T>::Type;
    count_load<Value>(p.is_weight(), live<W>());
    if constexpr (!TallyPolicy::kPart) {
      if (stride == 2) return Vec<Value, W>(lanes::load_every_second<Value, W>(p.address_ + i));
    }
    Pack<Value, W> result{};
    for (int l = 0; l < W; ++l) {
      if (l < static_cast<Index>(live<W>())) result[l] = p.address_[i + l * stride];
    }
    return Vec<Value, W>(result);
  }
  // Rows become columns: moves between registers, no work and no traffic. Unrolled before anything is optimised, or the
  // rows would lie in memory.
  template <class T, int W>
  EB_HD EB_FORCED void transpose(Vec<T, W> (&rows)[W]) const {
    Pack<T, W> packs[W];
    unrolled<W>([&](auto r) __attribute__((always_inline)) { packs[r] = rows[r].lanes_; });
    lanes::transpose<T, W>(packs);
    unrolled<W>([&](auto r) __attribute__((always_inline)) { rows[r] = Vec<T, W>(packs[r]); });
  }
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> mac(Vec<T, W> a, Vec<T, W> b, Vec<T, W> c) {
    count_vector_macs<T, W>();
    return Vec<T, W>(lanes::Native<T, W>::fma(a.lanes_, b.lanes_, c.lanes_));
  }
#define EB_VECTOR_VERB(name, field, instruction)                 \
  template <class T, int W>                                      \
  EB_HD EB_FORCED Vec<T, W> name(Vec<T, W> a, Vec<T, W> b) {     \
    tally_.template field<T>(live<W>());                         \
    return Vec<T, W>(lanes::instruction<W>(a.lanes_, b.lanes_)); \
  }
  EB_VECTOR_VERB(add, adds, add)
  EB_VECTOR_VERB(sub, adds, sub)
  EB_VECTOR_VERB(mul, muls, mul)
  EB_VECTOR_VERB(div, divs, div)
  EB_VECTOR_VERB(max, compares, max)
  EB_VECTOR_VERB(max_or_nan, compares, max_or_nan)
#undef EB_VECTOR_VERB
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> if_positive(Vec<T, W> x, Vec<T, W> a, Vec<T, W> b) {
    tally_.template compares<T>(live<W>());
    return Vec<T, W>(lanes::if_positive<W>(x.lanes_, a.lanes_, b.lanes_));
  }
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> if_at_most_zero(Vec<T, W> x, Vec<T, W> a, Vec<T, W> b) {
    tally_.template compares<T>(live<W>());
    return Vec<T, W>(lanes::if_at_most_zero<W>(x.lanes_, a.lanes_, b.lanes_));
  }
#define EB_VECTOR_SPECIAL(name)                            \
  template <class T, int W>                                \
  EB_HD EB_FORCED Vec<T, W> name(Vec<T, W> a) {            \
    tally_.template specials<T>(live<W>());                \
    return Vec<T, W>(lanes::Native<T, W>::name(a.lanes_)); \
  }
  EB_VECTOR_SPECIAL(exp)
  EB_VECTOR_SPECIAL(tanh)
  EB_VECTOR_SPECIAL(erf)
  EB_VECTOR_SPECIAL(sqrt)
  EB_VECTOR_SPECIAL(log)
#undef EB_VECTOR_SPECIAL
  // The lanes' sum, first to last: W − 1 adds.
  template <class T, int W>
  EB_HD EB_FORCED Scalar<T> sum(Vec<T, W> a) {
    tally_.template adds<T>(W - 1);
    T result = a.lanes_[0];
    for (int l = 1; l < W; ++l) result = result + a.lanes_[l];
    return Scalar<T>(result);
  }
  // `start` and then the lanes in use, first to last: as many adds (compares) as lanes. An accumulator that begins as
  // its first vector and ends here makes n operations of n elements, as the scalar loop does.
  template <class T, int W>
  EB_HD EB_FORCED Scalar<T> fold_add(Vec<T, W> a, Scalar<T> start) {
    const std::uint64_t lanes = live<W>();
    tally_.template adds<T>(lanes);
    for (int l = 0; l < W; ++l) {
      if (l < static_cast<Index>(lanes)) start.value_ = start.value_ + a.lanes_[l];
    }
    return start;
  }
  template <class T, int W>
  EB_HD EB_FORCED Scalar<T> fold_max(Vec<T, W> a, Scalar<T> start) {
    const std::uint64_t lanes = live<W>();
    tally_.template compares<T>(lanes);
    for (int l = 0; l < W; ++l) {
      if (l < static_cast<Index>(lanes)) start.value_ = a.lanes_[l] > start.value_ ? a.lanes_[l] : start.value_;
    }
    return start;
  }

  // ---- a maximum and where it was met. Marks are indices: they cost nothing until they are stored.
  template <class T>
  EB_HD EB_FORCED auto marked(Scalar<T> start) const {
    return Marked<Scalar<T>, Index>(start, 0);
  }
  template <class T, int W>
  EB_HD EB_FORCED auto marked(Vec<T, W> start) const {
    return Marked<Vec<T, W>, Pack<lanes::IndexOf<T>, W>>(start, Pack<lanes::IndexOf<T>, W>{});
  }
  template <class V, class M>
  EB_HD EB_FORCED auto mark(Marked<V, M> a, Index where) const {
    return Marked<V, M>(a.value_, lanes::all<M>(where));
  }
  // The larger of `a` and `x`, `x` met at `where`; a NaN is larger than all, the last of them the largest.
  template <class T>
  EB_HD EB_FORCED auto max_or_nan(Marked<Scalar<T>, Index> a, Scalar<T> x, Index where) {
    tally_.template compares<T>(1);
    return x.value_ > a.value_.value_ || x.value_ != x.value_ ? Marked<Scalar<T>, Index>(x, where) : a;
  }
  template <class T, int W, class M>
  EB_HD EB_FORCED auto max_or_nan(Marked<Vec<T, W>, M> a, Vec<T, W> x, Index where) {
    tally_.template compares<T>(live<W>());
    lanes::keep_larger<W>(a.value_.lanes_, a.mark_, x.lanes_, where);
    return a;
  }
  template <class V, class M>
  EB_HD EB_FORCED V value(Marked<V, M> a) const {
    return a.value_;
  }
  template <Role kRole, class V>
  EB_HD EB_FORCED void store_mark(Ptr<std::int64_t, kRole> p, Index i, Marked<V, Index> a) {
    count_store<std::int64_t>(1);
    p.address_[i] = a.mark_;
  }
  // Of lane l the mark and first + l · step.
  template <Role kRole, class T, int W, class M>
  EB_HD EB_FORCED void store_mark(Ptr<std::int64_t, kRole> p, Index i, Marked<Vec<T, W>, M> a, Index first,
                                  Index step) {
    const Index lanes = static_cast<Index>(live<W>());
    count_store<std::int64_t>(static_cast<std::uint64_t>(lanes));
    for (int l = 0; l < W; ++l) {
      if (l < lanes) p.address_[i + l] = a.mark_[l] + first + l * step;
    }
  }
  // An index in memory becomes an address.
  template <Role kRole>
  EB_HD EB_FORCED Index load_index(Ptr<const std::int64_t, kRole> p, Index i) {
    count_load<std::int64_t>(p.is_weight(), 1);
    return p.address_[i];
  }

  // ---- random numbers, and marks of a byte
  // Numbers i, i + 1, … of a block, in [0, 1) in steps of 2⁻²⁴ whatever T is: as many specials.
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> uniform(Lanes<W>, const RandomBlock& numbers, Index i) {
    tally_.template specials<T>(live<W>());
    return Vec<T, W>(lanes::fractions<T, W>(numbers.word + i));
  }
  // a < b ? yes : no.
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> if_less(Vec<T, W> a, Vec<T, W> b, Vec<T, W> yes, Vec<T, W> no) {
    tally_.template compares<T>(live<W>());
    return Vec<T, W>(lanes::if_less<W>(a.lanes_, b.lanes_, yes.lanes_, no.lanes_));
  }
  // Which lanes are not zero, a byte of 1 or 0 each; and `value` in those lanes, zero in the others: moves.
  template <class T, int W, Role kRole>
  EB_HD EB_FORCED void store_flags(Ptr<std::uint8_t, kRole> p, Index i, Vec<T, W> value) {
    count_store<std::uint8_t>(live<W>());
    lanes::store_flags<T, W>(p.address_ + i, value.lanes_, static_cast<Index>(live<W>()));
  }
  template <class T, int W, Role kRole>
  EB_HD EB_FORCED Vec<T, W> load_flags(Lanes<W>, Ptr<const std::uint8_t, kRole> p, Index i, Vec<T, W> value) {
    count_load<std::uint8_t>(p.is_weight(), live<W>());
    return Vec<T, W>(lanes::load_flags<T, W>(p.address_ + i, value.lanes_, static_cast<Index>(live<W>())));
  }

  // ---- dot products over lanes
  template <class T, int W>
  EB_HD EB_FORCED Dot<T, W> dot(Vec<T, W> a, Vec<T, W> b) {
    count_vector_macs<T, W>();
    return Dot<T, W>(lanes::mul<W>(a.lanes_, b.lanes_));
  }
  template <class T, int W>
  EB_HD EB_FORCED Dot<T, W> mac(Vec<T, W> a, Vec<T, W> b, Dot<T, W> c) {
    count_vector_macs<T, W>();
    return Dot<T, W>(lanes::Native<T, W>::fma(a.lanes_, b.lanes_, c.lanes_));
  }
  template <class T, int W>
  EB_HD EB_FORCED Dot<T, W> join(Dot<T, W> a, Dot<T, W> b) const {
    return Dot<T, W>(lanes::add<W>(a.lanes_, b.lanes_));
  }
  template <class T, int W>
  EB_HD EB_FORCED Scalar<T> fold(Dot<T, W> a, Scalar<T> start) const {
    for (int l = 0; l < W; ++l) start.value_ = start.value_ + a.lanes_[l];
    return start;
  }
  // Each lane on its own: W dot products end, and every one pays the addition it owes.
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> fold(Dot<T, W> a, Vec<T, W> start) const {
    return Vec<T, W>(lanes::add<W>(start.lanes_, a.lanes_));
  }
  // As many dot products as lanes, each folded from zero: lane l has dots[l].
  template <class T, int W>
  EB_HD EB_FORCED Vec<T, W> fold(Dot<T, W> (&dots)[W]) const {
    Pack<T, W> packs[W], sum = lanes::Native<T, W>::broadcast(0);
    for (int d = 0; d < W; ++d) packs[d] = dots[d].lanes_;
    lanes::transpose<T, W>(packs);
    for (int l = 0; l < W; ++l) sum = lanes::add<W>(sum, packs[l]);
    return Vec<T, W>(sum);
  }

 private:
  template <class>
  friend class BasicOps;
  EB_HD EB_FORCED explicit BasicOps(TallyPolicy tally) : tally_(tally) {}

  template <class T>
  struct Bare {
    using Type = T;
  };
  template <class T>
  struct Bare<const T> {
    using Type = T;
  };

  // Lanes in use of W.
  template <int W>
  EB_HD EB_FORCED std::uint64_t live() const {
    if constexpr (TallyPolicy::kPart) {
      return static_cast<std::uint64_t>(tally_.live < 0 ? 0 : tally_.live > W ? W : tally_.live);
    } else {
      return W;
    }
  }
  template <int W>
  EB_HD EB_FORCED static std::uint64_t between(Index begin, Index end) {
    const Index from = begin < 0 ? 0 : begin, to = end > W ? W : end;
    return static_cast<std::uint64_t>(to > from ? to - from : 0);
  }
  template <class T, int W>
  EB_HD EB_FORCED void count_vector_macs() {
    std::uint64_t worked = live<W>();
    tally_.template nominal_macs<T>(worked);
    if constexpr (TallyPolicy::kPart) worked -= static_cast<std::uint64_t>(tally_.idle);
    tally_.template macs<T>(worked);
    tally_.template tile_macs<T>(W);
  }
  template <class T>
  EB_HD EB_FORCED void count_macs(std::uint64_t times) {
    tally_.template macs<T>(times);
    tally_.template nominal_macs<T>(times);
  }
  template <class T>
  EB_HD EB_FORCED void count_load(bool weight, std::uint64_t elements) {
    tally_.template loads<T>(elements);
    tally_.template load_bytes<T>(elements * sizeof(T));
    if (weight) tally_.template weight_load_bytes<T>(elements * sizeof(T));
  }
  template <class T>
  EB_HD EB_FORCED void count_store(std::uint64_t elements) {
    tally_.template stores<T>(elements);
    tally_.template store_bytes<T>(elements * sizeof(T));
  }

  TallyPolicy tally_;
};

using PlainOps = BasicOps<NoTally>;
using CountingOps = BasicOps<Tally>;

}  // namespace eb

// PlainOps of one translation unit alone, whose bodies are not inlined by force: see cpu/dispatch.h on UnitCountingOps.
#if defined(EB_SANITIZED_UNIT)
namespace eb {
namespace {
struct UnitNoTally : NoTally {};
}  // namespace
using UnitPlainOps = BasicOps<UnitNoTally>;
}  // namespace eb
#endif
