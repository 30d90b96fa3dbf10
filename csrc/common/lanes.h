// W numbers side by side: a vector register where the compiler has them, an array in device code. What Vec of ops.h
// holds; kernel bodies never see it.
#pragma once

#include "common/arithmetic.h"
#include "common/host_device.h"
#include "common/unrolled.h"
#include "common/vector_erf.h"
#include "common/x86.h"

#include <cstring>

namespace eb {

#if defined(__CUDACC__)
template <class T, int W>
struct Pack {
  T lane[W];
  EB_HD EB_FORCED T& operator[](int l) { return lane[l]; }
  EB_HD EB_FORCED T operator[](int l) const { return lane[l]; }
};
#else
template <class T, int W>
struct PackOf {
  typedef T Type __attribute__((vector_size(W * sizeof(T))));
};
// One lane is the number itself: the compiler would keep a vector of one in memory.
template <class T>
struct Single {
  T value;
  Single() = default;
  EB_FORCED Single(T v) : value(v) {}
  EB_FORCED operator T() const { return value; }
  EB_FORCED T& operator[](int) { return value; }
  EB_FORCED T operator[](int) const { return value; }
};
template <class T>
struct PackOf<T, 1> {
  typedef Single<T> Type;
};
template <class T, int W>
using Pack = typename PackOf<T, W>::Type;
#endif

namespace lanes {

// Lane by lane: what device code does, and the host where no instruction is at hand.
template <int W, class P, class F>
EB_HD EB_FORCED P each(P a, const F& function) {
  for (int l = 0; l < W; ++l) a[l] = function(l);
  return a;
}

#if defined(__CUDACC__)
#define EB_LANEWISE(name, expression)                             \
  template <int W, class P>                                       \
  EB_HD EB_FORCED P name(P x, P y) {                              \
    return each<W>(x, [&](int l) __attribute__((always_inline)) { \
      const auto a = x[l], b = y[l];                              \
      return expression;                                          \
    });                                                           \
  }
#else
#define EB_LANEWISE(name, expression) \
  template <int W, class P>           \
  EB_FORCED P name(P a, P b) {        \
    return expression;                \
  }
#endif
EB_LANEWISE(add, a + b)
EB_LANEWISE(sub, a - b)
EB_LANEWISE(mul, a* b)
EB_LANEWISE(div, a / b)
// The larger; `a` when they do not compare.
EB_LANEWISE(max, b > a ? b : a)
// The larger, or NaN when either is.
EB_LANEWISE(max_or_nan, (b <= a || a != a) ? a : b)
#undef EB_LANEWISE

// An integer as wide as T: what marks places beside a T.
template <class T>
using IndexOf = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

// The same number in every lane, or alone.
template <class M>
EB_HD EB_FORCED M all(Index value) {
  if constexpr (std::is_same_v<M, Index>) {
    return value;
  } else {
    M result{};
    for (unsigned l = 0; l < sizeof(M) / sizeof(result[0]); ++l) {
      result[static_cast<int>(l)] = static_cast<std::remove_reference_t<decltype(result[0])>>(value);
    }
    return result;
  }
}

#if defined(__CUDACC__)
#define EB_CHOICE(name, condition)                                \
  template <int W, class P>                                       \
  EB_HD EB_FORCED P name(P x, P y, P z) {                         \
    return each<W>(x, [&](int l) __attribute__((always_inline)) { \
      const auto a = x[l];                                        \
      return condition ? y[l] : z[l];                             \
    });                                                           \
  }
#else
#define EB_CHOICE(name, condition)  \
  template <int W, class P>         \
  EB_FORCED P name(P a, P y, P z) { \
    return condition ? y : z;       \
  }
#endif
EB_CHOICE(if_positive, a > 0)
EB_CHOICE(if_at_most_zero, a <= 0)
#undef EB_CHOICE

// Where x is larger than `value`, or NaN, it takes its place, and `where` that of the mark.
template <int W, class P, class M>
EB_HD EB_FORCED void keep_larger(P& value, M& mark, P x, Index where) {
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) {
    if (x[l] > value[l] || x[l] != x[l]) {
      value[l] = x[l];
      mark[l] = static_cast<std::remove_reference_t<decltype(mark[0])>>(where);
    }
  }
#else
  const auto taken = (x > value) | (x != x);  // lanes of a mask are all ones or zero
  value = taken ? x : value;
  mark = taken ? all<M>(where) : mark;
#endif
}

// ---- what an instruction set has beyond the four operations ---------------------------------------------------------
// The general case is lane by lane on a device, and two halves on the host until one fits a register.
template <class T, int W>
struct Native;

template <class T, int W>
struct LaneByLane {
  using P = Pack<T, W>;
  EB_HD EB_FORCED static P broadcast(T a) {
    P result{};
    for (int l = 0; l < W; ++l) result[l] = a;
    return result;
  }
  EB_HD EB_FORCED static P fma(P a, P b, P c) {
    for (int l = 0; l < W; ++l) c[l] = arithmetic::fma(a[l], b[l], c[l]);
    return c;
  }
#define EB_FUNCTION(name)                                      \
  EB_HD EB_FORCED static P name(P a) {                         \
    for (int l = 0; l < W; ++l) a[l] = arithmetic::name(a[l]); \
    return a;                                                  \
  }
  EB_FUNCTION(exp);
  EB_FUNCTION(tanh);
  EB_FUNCTION(erf);
  EB_FUNCTION(sqrt);
  EB_FUNCTION(log);
#undef EB_FUNCTION
  EB_HD EB_FORCED static P load_first(const T* address, Index live) {
    P result{};
    for (int l = 0; l < W; ++l) {
      if (l < live) result[l] = address[l];
    }
    return result;
  }
  EB_HD EB_FORCED static void store_first(T* address, P value, Index live) {
    for (int l = 0; l < W; ++l) {
      if (l < live) address[l] = value[l];
    }
  }
  // Lanes [begin, end) from memory, the others from `into`.
  EB_HD EB_FORCED static P load_between(P into, const T* address, Index begin, Index end) {
    for (int l = 0; l < W; ++l) {
      if (begin <= l && l < end) into[l] = address[l];
    }
    return into;
  }
  EB_HD EB_FORCED static void store_between(T* address, P value, Index begin, Index end) {
    for (int l = 0; l < W; ++l) {
      if (begin <= l && l < end) address[l] = value[l];
    }
  }
};

#if defined(__CUDACC__)
template <class T, int W>
struct Native : LaneByLane<T, W> {};
#else
template <class T, int W>
struct Native {
  using P = Pack<T, W>;
  using Half = Native<T, W / 2>;
  struct Halves {
    typename Half::P low, high;
  };
  EB_FORCED static Halves split(P a) { return __builtin_bit_cast(Halves, a); }
  EB_FORCED static P join(typename Half::P low, typename Half::P high) {
    return __builtin_bit_cast(P, Halves{low, high});
  }
  EB_FORCED static P broadcast(T a) { return join(Half::broadcast(a), Half::broadcast(a)); }
  EB_FORCED static P fma(P a, P b, P c) {
    const Halves x = split(a), y = split(b), z = split(c);
    return join(Half::fma(x.low, y.low, z.low), Half::fma(x.high, y.high, z.high));
  }
#define EB_FUNCTION(name)                               \
  EB_FORCED static P name(P a) {                        \
    const Halves x = split(a);                          \
    return join(Half::name(x.low), Half::name(x.high)); \
  }
  EB_FUNCTION(exp);
  EB_FUNCTION(tanh);
  EB_FUNCTION(erf);
  EB_FUNCTION(sqrt);
  EB_FUNCTION(log);
#undef EB_FUNCTION
  EB_FORCED static P load_first(const T* address, Index live) {
    return join(Half::load_first(address, live), Half::load_first(address + W / 2, live - W / 2));
  }
  EB_FORCED static void store_first(T* address, P value, Index live) {
    const Halves x = split(value);
    Half::store_first(address, x.low, live);
    Half::store_first(address + W / 2, x.high, live - W / 2);
  }
  EB_FORCED static P load_between(P into, const T* address, Index begin, Index end) {
    const Halves x = split(into);
    return join(Half::load_between(x.low, address, begin, end),
                Half::load_between(x.high, address + W / 2, begin - W / 2, end - W / 2));
  }
  EB_FORCED static void store_between(T* address, P value, Index begin, Index end) {
    const Halves x = split(value);
    Half::store_between(address, x.low, begin, end);
    Half::store_between(address + W / 2, x.high, begin - W / 2, end - W / 2);
  }
};
template <class T>
struct Native<T, 1> : LaneByLane<T, 1> {};

// libmvec, the vector half of the C library's mathematics (glibc 2.35 and newer have all of these on x86-64). Errors
// are up to 4 units in the last place, where the scalar functions have 1 or 2. Its erf of floats makes gelu slower than
// memory is; vector_erf.h has another.
#if defined(__AVX2__) && defined(__FMA__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
#define EB_LIBMVEC 1
#endif
#endif
#if defined(EB_LIBMVEC)
extern "C" {
#define EB_VECTOR(name)                        \
  x86::Float8 _ZGVdN8v_##name##f(x86::Float8); \
  x86::Double4 _ZGVdN4v_##name(x86::Double4);
EB_VECTOR(exp)
EB_VECTOR(tanh)
EB_VECTOR(log)
#undef EB_VECTOR
x86::Double4 _ZGVdN4v_erf(x86::Double4);
#if defined(__AVX512F__)
#define EB_VECTOR(name)                           \
  x86::Float16 _ZGVeN16v_##name##f(x86::Float16); \
  x86::Double8 _ZGVeN8v_##name(x86::Double8);
EB_VECTOR(exp)
EB_VECTOR(tanh)
EB_VECTOR(log)
#undef EB_VECTOR
x86::Double8 _ZGVeN8v_erf(x86::Double8);
#endif
}
#define EB_MATHEMATICS(P, exp_, tanh_, log_)        \
  EB_FORCED static P exp(P a) { return exp_(a); }   \
  EB_FORCED static P tanh(P a) { return tanh_(a); } \
  EB_FORCED static P log(P a) { return log_(a); }
#define EB_ERF(P, erf_) \
  EB_FORCED static P erf(P a) { return erf_(a); }
#else
#define EB_MATHEMATICS(P, exp_, tanh_, log_)
#define EB_ERF(P, erf_)
#endif

// AddressSanitizer does not look at what a masked instruction touches: under it, lanes are moved one by one.
#if defined(__AVX2__) && defined(__FMA__)
template <>
struct Native<float, 8> : LaneByLane<float, 8> {
  using P = Pack<float, 8>;
  EB_FORCED static P broadcast(float a) { return x86::all8(a); }
  EB_FORCED static P fma(P a, P b, P c) { return x86::fma(a, b, c); }
  EB_FORCED static P sqrt(P a) { return x86::sqrt(a); }
  EB_MATHEMATICS(P, _ZGVdN8v_expf, _ZGVdN8v_tanhf, _ZGVdN8v_logf)
  EB_FORCED static P pick(P table, Pack<std::int32_t, 8> lane) { return x86::pick(table, lane); }
  EB_FORCED static P erf(P a) { return polynomial_erf<Native, 8>(a); }
#if !defined(__SANITIZE_ADDRESS__)
  EB_FORCED static x86::Int8 mask(Index live) {
    return x86::kLane8 < (live < 0 ? 0 : live > 8 ? 8 : static_cast<int>(live));
  }
  EB_FORCED static x86::Int8 mask(Index begin, Index end) { return mask(end) & ~mask(begin); }
  EB_FORCED static P load_first(const float* address, Index live) { return x86::load(address, mask(live)); }
  EB_FORCED static void store_first(float* address, P value, Index live) { x86::store(address, mask(live), value); }
  EB_FORCED static P load_between(P into, const float* address, Index begin, Index end) {
    const auto lanes = mask(begin, end);
    return x86::choose(lanes, x86::load(address, lanes), into);
  }
  EB_FORCED static void store_between(float* address, P value, Index begin, Index end) {
    x86::store(address, mask(begin, end), value);
  }
#endif
};
template <>
struct Native<double, 4> : LaneByLane<double, 4> {
  using P = Pack<double, 4>;
  EB_FORCED static P broadcast(double a) { return x86::all4(a); }
  EB_FORCED static P fma(P a, P b, P c) { return x86::fma(a, b, c); }
  EB_FORCED static P sqrt(P a) { return x86::sqrt(a); }
  EB_MATHEMATICS(P, _ZGVdN4v_exp, _ZGVdN4v_tanh, _ZGVdN4v_log)
  EB_ERF(P, _ZGVdN4v_erf)
#if !defined(__SANITIZE_ADDRESS__)
  EB_FORCED static x86::Long4 mask(Index live) { return x86::kLane4 < static_cast<long long>(live); }
  EB_FORCED static x86::Long4 mask(Index begin, Index end) { return mask(end) & ~mask(begin); }
  EB_FORCED static P load_first(const double* address, Index live) { return x86::load(address, mask(live)); }
  EB_FORCED static void store_first(double* address, P value, Index live) { x86::store(address, mask(live), value); }
  EB_FORCED static P load_between(P into, const double* address, Index begin, Index end) {
    const auto lanes = mask(begin, end);
    return x86::choose(lanes, x86::load(address, lanes), into);
  }
  EB_FORCED static void store_between(double* address, P value, Index begin, Index end) {
    x86::store(address, mask(begin, end), value);
  }
#endif
};
#endif
#if defined(__AVX512F__)
// The lowest `live` of W bits.
template <int W>
EB_FORCED unsigned first_bits(Index live) {
  return live <= 0 ? 0u : live >= W ? (1u << W) - 1u : (1u << live) - 1u;
}
template <int W>
EB_FORCED unsigned bits_between(Index begin, Index end) {
  return first_bits<W>(end) & ~first_bits<W>(begin);
}
template <>
struct Native<float, 16> : LaneByLane<float, 16> {
  using P = Pack<float, 16>;
  EB_FORCED static P broadcast(float a) { return x86::all16(a); }
  EB_FORCED static P fma(P a, P b, P c) { return x86::fma(a, b, c); }
  EB_FORCED static P sqrt(P a) { return x86::sqrt(a); }
  EB_MATHEMATICS(P, _ZGVeN16v_expf, _ZGVeN16v_tanhf, _ZGVeN16v_logf)
  EB_FORCED static P pick(P table, Pack<std::int32_t, 16> lane) { return x86::pick(table, lane); }
  EB_FORCED static P erf(P a) { return polynomial_erf<Native, 16>(a); }
#if !defined(__SANITIZE_ADDRESS__)
  EB_FORCED static P load_first(const float* address, Index live) {
    return x86::load(P{}, address, first_bits<16>(live));
  }
  EB_FORCED static void store_first(float* address, P value, Index live) {
    x86::store(address, first_bits<16>(live), value);
  }
  EB_FORCED static P load_between(P into, const float* address, Index begin, Index end) {
    return x86::load(into, address, bits_between<16>(begin, end));
  }
  EB_FORCED static void store_between(float* address, P value, Index begin, Index end) {
    x86::store(address, bits_between<16>(begin, end), value);
  }
#endif
};
template <>
struct Native<double, 8> : LaneByLane<double, 8> {
  using P = Pack<double, 8>;
  EB_FORCED static P broadcast(double a) { return x86::all8(a); }
  EB_FORCED static P fma(P a, P b, P c) { return x86::fma(a, b, c); }
  EB_FORCED static P sqrt(P a) { return x86::sqrt(a); }
  EB_MATHEMATICS(P, _ZGVeN8v_exp, _ZGVeN8v_tanh, _ZGVeN8v_log)
  EB_ERF(P, _ZGVeN8v_erf)
#if !defined(__SANITIZE_ADDRESS__)
  EB_FORCED static P load_first(const double* address, Index live) {
    return x86::load(P{}, address, first_bits<8>(live));
  }
  EB_FORCED static void store_first(double* address, P value, Index live) {
    x86::store(address, first_bits<8>(live), value);
  }
  EB_FORCED static P load_between(P into, const double* address, Index begin, Index end) {
    return x86::load(into, address, bits_between<8>(begin, end));
  }
  EB_FORCED static void store_between(double* address, P value, Index begin, Index end) {
    x86::store(address, bits_between<8>(begin, end), value);
  }
#endif
};
#endif
#undef EB_MATHEMATICS
#undef EB_ERF
#endif  // host

// An unaligned load or store of W neighbours.
template <class T, int W>
EB_HD EB_FORCED Pack<T, W> load(const T* address) {
  Pack<T, W> result;
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) result[l] = address[l];
#else
  __builtin_memcpy(&result, address, sizeof result);
#endif
  return result;
}
template <class T, int W>
EB_HD EB_FORCED void store(T* address, Pack<T, W> value) {
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) address[l] = value[l];
#else
  __builtin_memcpy(address, &value, sizeof value);
#endif
}

// Elements 0, 2, 4, … 2W − 2 from two vectors, the second one element back: nothing beyond the last is touched.
template <class T, int W>
EB_HD EB_FORCED Pack<T, W> load_every_second(const T* address) {
#if defined(__CUDACC__)
  Pack<T, W> result;
  for (int l = 0; l < W; ++l) result[l] = address[2 * l];
  return result;
#else
  if constexpr (W == 1) {
    return load<T, W>(address);
  } else {
    Pack<IndexOf<T>, W> pick;
    for (int l = 0; l < W; ++l) pick[l] = static_cast<IndexOf<T>>(l < W / 2 ? 2 * l : 2 * l + 1);
    return __builtin_shuffle(load<T, W>(address), load<T, W>(address + W - 1), pick);
  }
#endif
}

// Of a round that exchanges blocks of s lanes, where each lane of a row comes from in the pair (row, partner): the row
// keeps its lower halves and takes the partner's, the partner (`upper`) takes the row's upper halves and keeps its own.
template <class Integer, int W>
EB_HD constexpr LaneTable<Integer, W> exchanged(int s, bool upper) {
  LaneTable<Integer, W> from{};
  for (int l = 0; l < W; ++l)
    from.lane[l] = static_cast<Integer>((l & s) != 0 ? (upper ? W + l : W + l - s) : (upper ? l + s : l));
  return from;
}
constexpr int rounds_of(int W) { return W <= 1 ? 0 : 1 + rounds_of(W / 2); }

// Rows become columns: rows[r][c] ↔ rows[c][r]. Moves between registers, log2(W) rounds of them: round s exchanges the
// upper half of row r's blocks of 2s lanes with the lower half of row r + s's.
template <class T, int W>
EB_HD EB_FORCED void transpose(Pack<T, W> (&rows)[W]) {
#if defined(__CUDACC__)
  for (int r = 0; r < W; ++r) {
    for (int c = 0; c < r; ++c) {
      const T kept = rows[r][c];
      rows[r][c] = rows[c][r];
      rows[c][r] = kept;
    }
  }
#else
#if defined(__AVX512F__)
  constexpr int kRegister = 64;
#else
  constexpr int kRegister = 32;
#endif
  if constexpr (W * sizeof(T) > kRegister) {  // exchanges of emulated lanes would be number by number anyway
    T all[W][W];
    __builtin_memcpy(all, rows, sizeof all);
#pragma GCC unroll 1
    for (int r = 0; r < W; ++r) {
#pragma GCC unroll 1
      for (int c = 0; c < r; ++c) {
        const T kept = all[r][c];
        all[r][c] = all[c][r];
        all[c][r] = kept;
      }
    }
    __builtin_memcpy(rows, all, sizeof all);
  } else if constexpr (W > 1) {
    unrolled<rounds_of(W)>([&](auto round) __attribute__((always_inline)) {
      constexpr int s = 1 << round;
      constexpr auto low_lanes = exchanged<IndexOf<T>, W>(s, false), high_lanes = exchanged<IndexOf<T>, W>(s, true);
      Pack<IndexOf<T>, W> low, high;
      __builtin_memcpy(&low, &low_lanes, sizeof low);
      __builtin_memcpy(&high, &high_lanes, sizeof high);
      unrolled<W>([&](auto r) __attribute__((always_inline)) {
        if constexpr ((r & s) == 0) {
          const Pack<T, W> a = rows[r], b = rows[r + s];
          rows[r] = __builtin_shuffle(a, b, low);
          rows[r + s] = __builtin_shuffle(a, b, high);
        }
      });
    });
  }
#endif
}

// Random words as fractions of one, to 24 bits, which both element types hold exactly.
template <class T, int W>
EB_HD EB_FORCED Pack<T, W> fractions(const std::uint32_t* words) {
  constexpr T kStep = static_cast<T>(1.0 / (1 << 24));
#if !defined(__CUDACC__)
  if constexpr (W > 1) {
    Pack<std::int32_t, W> integers;
    std::memcpy(&integers, words, sizeof integers);
    return __builtin_convertvector((integers >> 8) & 0xFFFFFF, Pack<T, W>) * kStep;
  }
#endif
  Pack<T, W> result{};
  for (int l = 0; l < W; ++l) result[l] = static_cast<T>(words[l] >> 8) * kStep;
  return result;
}

template <int W, class P>
EB_HD EB_FORCED P if_less(P a, P b, P yes, P no) {
#if !defined(__CUDACC__)
  if constexpr (W > 1) return a < b ? yes : no;
#endif
  P result = no;
  for (int l = 0; l < W; ++l) {
    if (a[l] < b[l]) result[l] = yes[l];
  }
  return result;
}

// The first `live` lanes as bytes: 1 where they are not zero; and back, `value` where a byte is not zero.
template <class T, int W>
EB_HD EB_FORCED void store_flags(std::uint8_t* address, Pack<T, W> value, Index live) {
#if !defined(__CUDACC__)
  if constexpr (W > 1) {
    const auto bytes = __builtin_convertvector(value != 0, Pack<std::int8_t, W>) & 1;
    if (live == W) {
      std::memcpy(address, &bytes, W);
      return;
    }
  }
#endif
  for (int l = 0; l < W; ++l) {
    if (l < live) address[l] = value[l] != 0;
  }
}
template <class T, int W>
EB_HD EB_FORCED Pack<T, W> load_flags(const std::uint8_t* address, Pack<T, W> value, Index live) {
#if !defined(__CUDACC__)
  if constexpr (W > 1) {
    if (live == W) {
      Pack<std::int8_t, W> bytes;
      std::memcpy(&bytes, address, W);
      return __builtin_convertvector(bytes, Pack<IndexOf<T>, W>) != 0 ? value : Pack<T, W>{};
    }
  }
#endif
  Pack<T, W> result{};
  for (int l = 0; l < W; ++l) {
    if (l < live && address[l] != 0) result[l] = value[l];
  }
  return result;
}

}  // namespace lanes
}  // namespace eb
