// W numbers side by side: a vector register where the compiler has them, an array in device code. What Vec of ops.h
// holds; kernel bodies never see it.
#pragma once

#include "common/arithmetic.h"
#include "common/host_device.h"
#include "common/unrolled.h"
#include "common/vector_erf.h"

#include <cstring>

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

namespace eb {

#if defined(__CUDACC__)
template <class T, int W>
struct Pack {
  T lane[W];
  EB_HD EB_INLINE T& operator[](int l) { return lane[l]; }
  EB_HD EB_INLINE T operator[](int l) const { return lane[l]; }
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
  EB_INLINE Single(T v) : value(v) {}
  EB_INLINE operator T() const { return value; }
  EB_INLINE T& operator[](int) { return value; }
  EB_INLINE T operator[](int) const { return value; }
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
EB_HD EB_INLINE P each(P a, const F& function) {
  for (int l = 0; l < W; ++l) a[l] = function(l);
  return a;
}

#if defined(__CUDACC__)
#define EB_LANEWISE(name, expression)                             \
  template <int W, class P>                                       \
  EB_HD EB_INLINE P name(P x, P y) {                              \
    return each<W>(x, [&](int l) __attribute__((always_inline)) { \
      const auto a = x[l], b = y[l];                              \
      return expression;                                          \
    });                                                           \
  }
#else
#define EB_LANEWISE(name, expression) \
  template <int W, class P>           \
  EB_INLINE P name(P a, P b) {        \
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
EB_HD EB_INLINE M all(Index value) {
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
  EB_HD EB_INLINE P name(P x, P y, P z) {                         \
    return each<W>(x, [&](int l) __attribute__((always_inline)) { \
      const auto a = x[l];                                        \
      return condition ? y[l] : z[l];                             \
    });                                                           \
  }
#else
#define EB_CHOICE(name, condition)  \
  template <int W, class P>         \
  EB_INLINE P name(P a, P y, P z) { \
    return condition ? y : z;       \
  }
#endif
EB_CHOICE(if_positive, a > 0)
EB_CHOICE(if_at_most_zero, a <= 0)
#undef EB_CHOICE

// Where x is larger than `value`, or NaN, it takes its place, and `where` that of the mark.
template <int W, class P, class M>
EB_HD EB_INLINE void keep_larger(P& value, M& mark, P x, Index where) {
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
  EB_HD EB_INLINE static P broadcast(T a) {
    P result{};
    for (int l = 0; l < W; ++l) result[l] = a;
    return result;
  }
  EB_HD EB_INLINE static P fma(P a, P b, P c) {
    for (int l = 0; l < W; ++l) c[l] = arithmetic::fma(a[l], b[l], c[l]);
    return c;
  }
#define EB_FUNCTION(name)                                      \
  EB_HD EB_INLINE static P name(P a) {                         \
    for (int l = 0; l < W; ++l) a[l] = arithmetic::name(a[l]); \
    return a;                                                  \
  }
  EB_FUNCTION(exp);
  EB_FUNCTION(tanh);
  EB_FUNCTION(erf);
  EB_FUNCTION(sqrt);
  EB_FUNCTION(log);
#undef EB_FUNCTION
  EB_HD EB_INLINE static P load_first(const T* address, Index live) {
    P result{};
    for (int l = 0; l < W; ++l) {
      if (l < live) result[l] = address[l];
    }
    return result;
  }
  EB_HD EB_INLINE static void store_first(T* address, P value, Index live) {
    for (int l = 0; l < W; ++l) {
      if (l < live) address[l] = value[l];
    }
  }
  // Lanes [begin, end) from memory, the others from `into`.
  EB_HD EB_INLINE static P load_between(P into, const T* address, Index begin, Index end) {
    for (int l = 0; l < W; ++l) {
      if (begin <= l && l < end) into[l] = address[l];
    }
    return into;
  }
  EB_HD EB_INLINE static void store_between(T* address, P value, Index begin, Index end) {
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
  EB_INLINE static Halves split(P a) { return __builtin_bit_cast(Halves, a); }
  EB_INLINE static P join(typename Half::P low, typename Half::P high) {
    return __builtin_bit_cast(P, Halves{low, high});
  }
  EB_INLINE static P broadcast(T a) { return join(Half::broadcast(a), Half::broadcast(a)); }
  EB_INLINE static P fma(P a, P b, P c) {
    const Halves x = split(a), y = split(b), z = split(c);
    return join(Half::fma(x.low, y.low, z.low), Half::fma(x.high, y.high, z.high));
  }
#define EB_FUNCTION(name)                               \
  EB_INLINE static P name(P a) {                        \
    const Halves x = split(a);                          \
    return join(Half::name(x.low), Half::name(x.high)); \
  }
  EB_FUNCTION(exp);
  EB_FUNCTION(tanh);
  EB_FUNCTION(erf);
  EB_FUNCTION(sqrt);
  EB_FUNCTION(log);
#undef EB_FUNCTION
  EB_INLINE static P load_first(const T* address, Index live) {
    return join(Half::load_first(address, live), Half::load_first(address + W / 2, live - W / 2));
  }
  EB_INLINE static void store_first(T* address, P value, Index live) {
    const Halves x = split(value);
    Half::store_first(address, x.low, live);
    Half::store_first(address + W / 2, x.high, live - W / 2);
  }
  EB_INLINE static P load_between(P into, const T* address, Index begin, Index end) {
    const Halves x = split(into);
    return join(Half::load_between(x.low, address, begin, end),
                Half::load_between(x.high, address + W / 2, begin - W / 2, end - W / 2));
  }
  EB_INLINE static void store_between(T* address, P value, Index begin, Index end) {
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
#define EB_VECTOR(name)              \
  __m256 _ZGVdN8v_##name##f(__m256); \
  __m256d _ZGVdN4v_##name(__m256d);
EB_VECTOR(exp)
EB_VECTOR(tanh)
EB_VECTOR(log)
#undef EB_VECTOR
__m256d _ZGVdN4v_erf(__m256d);
#if defined(__AVX512F__)
#define EB_VECTOR(name)               \
  __m512 _ZGVeN16v_##name##f(__m512); \
  __m512d _ZGVeN8v_##name(__m512d);
EB_VECTOR(exp)
EB_VECTOR(tanh)
EB_VECTOR(log)
#undef EB_VECTOR
__m512d _ZGVeN8v_erf(__m512d);
#endif
}
#define EB_MATHEMATICS(P, exp_, tanh_, log_)           \
  EB_INLINE static P exp(P a) { return (P)exp_(a); }   \
  EB_INLINE static P tanh(P a) { return (P)tanh_(a); } \
  EB_INLINE static P log(P a) { return (P)log_(a); }
#define EB_ERF(P, erf_) \
  EB_INLINE static P erf(P a) { return (P)erf_(a); }
#else
#define EB_MATHEMATICS(P, exp_, tanh_, log_)
#define EB_ERF(P, erf_)
#endif

#if defined(__AVX2__) && defined(__FMA__)
template <>
struct Native<float, 8> : LaneByLane<float, 8> {
  using P = Pack<float, 8>;
  EB_INLINE static P broadcast(float a) { return (P)_mm256_set1_ps(a); }
  EB_INLINE static P fma(P a, P b, P c) { return (P)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
  EB_INLINE static P sqrt(P a) { return (P)_mm256_sqrt_ps((__m256)a); }
  EB_MATHEMATICS(P, _ZGVdN8v_expf, _ZGVdN8v_tanhf, _ZGVdN8v_logf)
  EB_INLINE static P pick(P table, Pack<std::int32_t, 8> lane) {
    return (P)_mm256_permutevar8x32_ps((__m256)table, (__m256i)lane);
  }
  EB_INLINE static P erf(P a) { return polynomial_erf<Native, 8>(a); }
  EB_INLINE static __m256i mask(Index live) {
    const int lanes = live < 0 ? 0 : live > 8 ? 8 : static_cast<int>(live);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  EB_INLINE static P load_first(const float* address, Index live) { return (P)_mm256_maskload_ps(address, mask(live)); }
  EB_INLINE static void store_first(float* address, P value, Index live) {
    _mm256_maskstore_ps(address, mask(live), (__m256)value);
  }
  EB_INLINE static __m256i mask(Index begin, Index end) { return _mm256_andnot_si256(mask(begin), mask(end)); }
  EB_INLINE static P load_between(P into, const float* address, Index begin, Index end) {
    const __m256i lanes = mask(begin, end);
    return (P)_mm256_blendv_ps((__m256)into, _mm256_maskload_ps(address, lanes), (__m256)lanes);
  }
  EB_INLINE static void store_between(float* address, P value, Index begin, Index end) {
    _mm256_maskstore_ps(address, mask(begin, end), (__m256)value);
  }
};
template <>
struct Native<double, 4> : LaneByLane<double, 4> {
  using P = Pack<double, 4>;
  EB_INLINE static P broadcast(double a) { return (P)_mm256_set1_pd(a); }
  EB_INLINE static P fma(P a, P b, P c) { return (P)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
  EB_INLINE static P sqrt(P a) { return (P)_mm256_sqrt_pd((__m256d)a); }
  EB_MATHEMATICS(P, _ZGVdN4v_exp, _ZGVdN4v_tanh, _ZGVdN4v_log)
  EB_ERF(P, _ZGVdN4v_erf)
  EB_INLINE static __m256i mask(Index live) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(live), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  EB_INLINE static P load_first(const double* address, Index live) {
    return (P)_mm256_maskload_pd(address, mask(live));
  }
  EB_INLINE static void store_first(double* address, P value, Index live) {
    _mm256_maskstore_pd(address, mask(live), (__m256d)value);
  }
  EB_INLINE static __m256i mask(Index begin, Index end) { return _mm256_andnot_si256(mask(begin), mask(end)); }
  EB_INLINE static P load_between(P into, const double* address, Index begin, Index end) {
    const __m256i lanes = mask(begin, end);
    return (P)_mm256_blendv_pd((__m256d)into, _mm256_maskload_pd(address, lanes), (__m256d)lanes);
  }
  EB_INLINE static void store_between(double* address, P value, Index begin, Index end) {
    _mm256_maskstore_pd(address, mask(begin, end), (__m256d)value);
  }
};
#endif
#if defined(__AVX512F__)
// The lowest `live` of W bits.
template <int W>
EB_INLINE unsigned first_bits(Index live) {
  return live <= 0 ? 0u : live >= W ? (1u << W) - 1u : (1u << live) - 1u;
}
template <int W>
EB_INLINE unsigned bits_between(Index begin, Index end) {
  return first_bits<W>(end) & ~first_bits<W>(begin);
}
template <>
struct Native<float, 16> : LaneByLane<float, 16> {
  using P = Pack<float, 16>;
  EB_INLINE static P broadcast(float a) { return (P)_mm512_set1_ps(a); }
  EB_INLINE static P fma(P a, P b, P c) { return (P)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
  EB_INLINE static P sqrt(P a) { return (P)_mm512_maskz_sqrt_ps(0xffff, (__m512)a); }
  EB_MATHEMATICS(P, _ZGVeN16v_expf, _ZGVeN16v_tanhf, _ZGVeN16v_logf)
  EB_INLINE static P pick(P table, Pack<std::int32_t, 16> lane) {
    return (P)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)lane, (__m512)table);
  }
  EB_INLINE static P erf(P a) { return polynomial_erf<Native, 16>(a); }
  EB_INLINE static P load_first(const float* address, Index live) {
    return (P)_mm512_maskz_loadu_ps(static_cast<__mmask16>(first_bits<16>(live)), address);
  }
  EB_INLINE static void store_first(float* address, P value, Index live) {
    _mm512_mask_storeu_ps(address, static_cast<__mmask16>(first_bits<16>(live)), (__m512)value);
  }
  EB_INLINE static P load_between(P into, const float* address, Index begin, Index end) {
    const auto lanes = static_cast<__mmask16>(bits_between<16>(begin, end));
    return (P)_mm512_mask_loadu_ps((__m512)into, lanes, address);
  }
  EB_INLINE static void store_between(float* address, P value, Index begin, Index end) {
    _mm512_mask_storeu_ps(address, static_cast<__mmask16>(bits_between<16>(begin, end)), (__m512)value);
  }
};
template <>
struct Native<double, 8> : LaneByLane<double, 8> {
  using P = Pack<double, 8>;
  EB_INLINE static P broadcast(double a) { return (P)_mm512_set1_pd(a); }
  EB_INLINE static P fma(P a, P b, P c) { return (P)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
  EB_INLINE static P sqrt(P a) { return (P)_mm512_maskz_sqrt_pd(0xff, (__m512d)a); }
  EB_MATHEMATICS(P, _ZGVeN8v_exp, _ZGVeN8v_tanh, _ZGVeN8v_log)
  EB_ERF(P, _ZGVeN8v_erf)
  EB_INLINE static P load_first(const double* address, Index live) {
    return (P)_mm512_maskz_loadu_pd(static_cast<__mmask8>(first_bits<8>(live)), address);
  }
  EB_INLINE static void store_first(double* address, P value, Index live) {
    _mm512_mask_storeu_pd(address, static_cast<__mmask8>(first_bits<8>(live)), (__m512d)value);
  }
  EB_INLINE static P load_between(P into, const double* address, Index begin, Index end) {
    const auto lanes = static_cast<__mmask8>(bits_between<8>(begin, end));
    return (P)_mm512_mask_loadu_pd((__m512d)into, lanes, address);
  }
  EB_INLINE static void store_between(double* address, P value, Index begin, Index end) {
    _mm512_mask_storeu_pd(address, static_cast<__mmask8>(bits_between<8>(begin, end)), (__m512d)value);
  }
};
#endif
#undef EB_MATHEMATICS
#undef EB_ERF
#endif  // host

// An unaligned load or store of W neighbours.
template <class T, int W>
EB_HD EB_INLINE Pack<T, W> load(const T* address) {
  Pack<T, W> result;
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) result[l] = address[l];
#else
  __builtin_memcpy(&result, address, sizeof result);
#endif
  return result;
}
template <class T, int W>
EB_HD EB_INLINE void store(T* address, Pack<T, W> value) {
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) address[l] = value[l];
#else
  __builtin_memcpy(address, &value, sizeof value);
#endif
}

// Elements 0, 2, 4, … 2W − 2 from two vectors, the second one element back: nothing beyond the last is touched.
template <class T, int W>
EB_HD EB_INLINE Pack<T, W> load_every_second(const T* address) {
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
EB_HD EB_INLINE void transpose(Pack<T, W> (&rows)[W]) {
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
    unrolled<rounds_of(W)>([&](auto round) EB_ALWAYS_INLINE {
      constexpr int s = 1 << round;
      constexpr auto low_lanes = exchanged<IndexOf<T>, W>(s, false), high_lanes = exchanged<IndexOf<T>, W>(s, true);
      Pack<IndexOf<T>, W> low, high;
      __builtin_memcpy(&low, &low_lanes, sizeof low);
      __builtin_memcpy(&high, &high_lanes, sizeof high);
      unrolled<W>([&](auto r) EB_ALWAYS_INLINE {
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
EB_HD EB_INLINE Pack<T, W> fractions(const std::uint32_t* words) {
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
EB_HD EB_INLINE P if_less(P a, P b, P yes, P no) {
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
EB_HD EB_INLINE void store_flags(std::uint8_t* address, Pack<T, W> value, Index live) {
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
EB_HD EB_INLINE Pack<T, W> load_flags(const std::uint8_t* address, Pack<T, W> value, Index live) {
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
