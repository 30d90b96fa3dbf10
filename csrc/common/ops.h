// The verbs in which every kernel body is written. A body takes an Ops policy and does all its arithmetic and memory
// traffic through it:
//
//   PlainOps      does the work and is inlined away: this is what is measured
//   CountingOps   does the same work and tallies it: this is what is counted
//
// Values are opaque (Scalar, Vec: no operators, no way to the number), memory is opaque (Ptr: only load and store reach
// it) and constants are compile-time, so an uncounted operation on data does not compile. Index arithmetic is plain.
// Tile verbs (mma, counted once per warp) and asynchronous copies join this list when a rung needs them.
#pragma once

#include "common/arithmetic.h"
#include "common/host_device.h"
#include "common/lanes.h"
#include "common/op_counts.h"

namespace eb {

// What a tensor holds: reads of weights are tallied apart from reads of activations.
enum class Role { kActivation, kWeight };

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
  template <class>
  friend class BasicOps;
  EB_HD explicit Vec(Pack<T, W> lanes) : lanes_(lanes) {}
  Pack<T, W> lanes_;
};

// An array in memory. `at` moves along it, which is index arithmetic; only ops.load and ops.store touch what it holds.
template <class T, Role kRole>
class Ptr {
 public:
  EB_HD explicit Ptr(T* address) : address_(address) {}
  EB_HD EB_INLINE Ptr at(Index offset) const { return Ptr(address_ + offset); }

 private:
  template <class>
  friend class BasicOps;
  T* address_;
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
#define EB_FIELD(name) \
  template <class T>   \
  EB_HD EB_INLINE void name(std::uint64_t) const {}
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
};

// Tallies in 64 bits, one object per thread.
struct Tally {
  static constexpr bool kCounting = true;
  OpCounts counts;
#define EB_FIELD(name)                             \
  template <class T>                               \
  EB_HD EB_INLINE void name(std::uint64_t times) { \
    counts.of<T>().name += times;                  \
  }
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
};

template <class TallyPolicy>
class BasicOps {
 public:
  static constexpr bool kCounting = TallyPolicy::kCounting;
  template <class T>
  using Scalar = eb::Scalar<T>;
  template <class T, int W>
  using Vec = eb::Vec<T, W>;
  template <class T>
  using Activation = Ptr<T, Role::kActivation>;
  template <class T>
  using Weight = Ptr<T, Role::kWeight>;
  template <class T>
  using Parameter = eb::Parameter<T>;

  EB_HD const TallyPolicy& tally() const { return tally_; }

  // ---- values that cost nothing: constants, kernel arguments, a change of sign (an operand modifier)
  template <class T, long long N, long long D>
  EB_HD EB_INLINE Scalar<T> constant(Constant<T, N, D>) const {
    return Scalar<T>(Constant<T, N, D>::kValue);
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> negative_infinity() const {
    return Scalar<T>(static_cast<T>(-HUGE_VAL));
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> parameter(const Parameter<T>& p) const {
    return Scalar<T>(p.value_);
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> negate(Scalar<T> a) const {
    return Scalar<T>(-a.value_);
  }

  // ---- memory
  template <class T, Role kRole>
  EB_HD EB_INLINE auto load(Ptr<T, kRole> p, Index i) {
    using Value = typename Bare<T>::Type;
    count_load<Value, kRole>(1);
    return Scalar<Value>(p.address_[i]);
  }
  template <class T, Role kRole>
  EB_HD EB_INLINE void store(Ptr<T, kRole> p, Index i, Scalar<T> value) {
    count_store<T>(1);
    p.address_[i] = value.value_;
  }

  // ---- arithmetic
  // a·b + c in one rounding.
  template <class T>
  EB_HD EB_INLINE Scalar<T> mac(Scalar<T> a, Scalar<T> b, Scalar<T> c) {
    count_macs<T>(1);
    return Scalar<T>(arithmetic::fma(a.value_, b.value_, c.value_));
  }
  // MACs that padding or a mask makes unnecessary: nominal work, not done.
  template <class T>
  EB_HD EB_INLINE void skip_macs(Index times) {
    tally_.template nominal_macs<T>(static_cast<std::uint64_t>(times));
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> add(Scalar<T> a, Scalar<T> b) {
    tally_.template adds<T>(1);
    return Scalar<T>(a.value_ + b.value_);
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> sub(Scalar<T> a, Scalar<T> b) {
    tally_.template adds<T>(1);
    return Scalar<T>(a.value_ - b.value_);
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> mul(Scalar<T> a, Scalar<T> b) {
    tally_.template muls<T>(1);
    return Scalar<T>(a.value_ * b.value_);
  }
  template <class T>
  EB_HD EB_INLINE Scalar<T> div(Scalar<T> a, Scalar<T> b) {
    tally_.template divs<T>(1);
    return Scalar<T>(a.value_ / b.value_);
  }
  // The larger; `a` when they do not compare.
  template <class T>
  EB_HD EB_INLINE Scalar<T> max(Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return Scalar<T>(b.value_ > a.value_ ? b.value_ : a.value_);
  }
  // The larger, or NaN when either is.
  template <class T>
  EB_HD EB_INLINE Scalar<T> max_or_nan(Scalar<T> a, Scalar<T> b) {
    tally_.template compares<T>(1);
    return Scalar<T>(b.value_ <= a.value_ || a.value_ != a.value_ ? a.value_ : b.value_);
  }
#define EB_SPECIAL(name)                          \
  template <class T>                              \
  EB_HD EB_INLINE Scalar<T> name(Scalar<T> a) {   \
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
  EB_HD EB_INLINE Vec<T, W> broadcast(Lanes<W>, Scalar<T> a) const {
    Pack<T, W> result{};
    for (int l = 0; l < W; ++l) result[l] = a.value_;
    return Vec<T, W>(result);
  }
  template <int W, class T, Role kRole>
  EB_HD EB_INLINE auto load(Lanes<W>, Ptr<T, kRole> p, Index i) {
    using Value = typename Bare<T>::Type;
    count_load<Value, kRole>(W);
    return Vec<Value, W>(lanes::load<Value, W>(p.address_ + i));
  }
  template <class T, int W, Role kRole>
  EB_HD EB_INLINE void store(Ptr<T, kRole> p, Index i, Vec<T, W> value) {
    count_store<T>(W);
    lanes::store<T, W>(p.address_ + i, value.lanes_);
  }
  template <class T, int W>
  EB_HD EB_INLINE Vec<T, W> mac(Vec<T, W> a, Vec<T, W> b, Vec<T, W> c) {
    count_macs<T>(W);
    return Vec<T, W>(lanes::fma<W>(a.lanes_, b.lanes_, c.lanes_));
  }
  template <class T, int W>
  EB_HD EB_INLINE Vec<T, W> add(Vec<T, W> a, Vec<T, W> b) {
    tally_.template adds<T>(W);
    return Vec<T, W>(lanes::add<W>(a.lanes_, b.lanes_));
  }
  // The lanes' sum, first to last: W − 1 adds.
  template <class T, int W>
  EB_HD EB_INLINE Scalar<T> sum(Vec<T, W> a) {
    tally_.template adds<T>(W - 1);
    T result = a.lanes_[0];
    for (int l = 1; l < W; ++l) result = result + a.lanes_[l];
    return Scalar<T>(result);
  }

 private:
  template <class T>
  struct Bare {
    using Type = T;
  };
  template <class T>
  struct Bare<const T> {
    using Type = T;
  };

  template <class T>
  EB_HD EB_INLINE void count_macs(std::uint64_t times) {
    tally_.template macs<T>(times);
    tally_.template nominal_macs<T>(times);
  }
  template <class T, Role kRole>
  EB_HD EB_INLINE void count_load(std::uint64_t elements) {
    tally_.template loads<T>(elements);
    tally_.template load_bytes<T>(elements * sizeof(T));
    if constexpr (kRole == Role::kWeight) tally_.template weight_load_bytes<T>(elements * sizeof(T));
  }
  template <class T>
  EB_HD EB_INLINE void count_store(std::uint64_t elements) {
    tally_.template stores<T>(elements);
    tally_.template store_bytes<T>(elements * sizeof(T));
  }

  TallyPolicy tally_;
};

using PlainOps = BasicOps<NoTally>;
using CountingOps = BasicOps<Tally>;

}  // namespace eb
