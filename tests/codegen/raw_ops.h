// RawOps: the verbs of PlainOps over bare numbers and bare addresses. Test only: it shows what a body would compile to
// if nothing were opaque.
#pragma once

#include "common/ops.h"

template <class T>
struct RawPtr {
  T* address;
  EB_HD explicit RawPtr(T* a) : address(a) {}
  EB_HD EB_INLINE RawPtr at(eb::Index offset) const { return RawPtr(address + offset); }
};

struct RawOps {
  static constexpr bool kCounting = false;
  template <class T>
  using Activation = RawPtr<T>;
  template <class T>
  using Weight = RawPtr<T>;
  template <class T>
  using Parameter = T;

  template <class T, long long N, long long D>
  EB_HD EB_INLINE T constant(eb::Constant<T, N, D>) const {
    return static_cast<T>(static_cast<double>(N) / static_cast<double>(D));
  }
  template <class T>
  EB_HD EB_INLINE T negative_infinity() const {
    return static_cast<T>(-HUGE_VAL);
  }
  template <class T>
  EB_HD EB_INLINE T parameter(T p) const {
    return p;
  }
  template <class T, long long N, long long D>
  EB_HD EB_INLINE T constant(T, eb::Constant<T, N, D> c) const {
    return constant(c);
  }
  template <class T>
  EB_HD EB_INLINE T parameter(T, T p) const {
    return p;
  }
  template <class T>
  EB_HD EB_INLINE T negate(T a) const {
    return -a;
  }
  template <class T>
  EB_HD EB_INLINE auto load(RawPtr<const T> p, eb::Index i) const {
    return p.address[i];
  }
  template <class T>
  EB_HD EB_INLINE T load(RawPtr<T> p, eb::Index i) const {
    return p.address[i];
  }
  template <class T>
  EB_HD EB_INLINE void store(RawPtr<T> p, eb::Index i, T value) const {
    p.address[i] = value;
  }
  template <class T>
  EB_HD EB_INLINE void skip_macs(eb::Index) const {}
  EB_HD EB_INLINE float mac(float a, float b, float c) const { return fmaf(a, b, c); }
  EB_HD EB_INLINE float add(float a, float b) const { return a + b; }
  EB_HD EB_INLINE float sub(float a, float b) const { return a - b; }
  EB_HD EB_INLINE float mul(float a, float b) const { return a * b; }
  EB_HD EB_INLINE float div(float a, float b) const { return a / b; }
  EB_HD EB_INLINE float max(float a, float b) const { return b > a ? b : a; }
  EB_HD EB_INLINE float max_or_nan(float a, float b) const { return b <= a || a != a ? a : b; }
  EB_HD EB_INLINE float exp(float a) const { return expf(a); }
  EB_HD EB_INLINE float erf(float a) const { return erff(a); }
  EB_HD EB_INLINE float rsqrt(float a) const { return 1.0f / sqrtf(a); }
  EB_HD EB_INLINE float tanh(float a) const { return tanhf(a); }

#if !defined(__CUDACC__)
  // Vectors as the compiler's own, W lanes of P.
  template <class P>
  static constexpr int kLanes = sizeof(P) / sizeof(float);
  template <int W>
  EB_INLINE auto broadcast(eb::Lanes<W>, float a) const {
    return eb::lanes::Native<float, W>::broadcast(a);
  }
  template <int W>
  EB_INLINE auto load(eb::Lanes<W>, RawPtr<const float> p, eb::Index i) const {
    return eb::lanes::load<float, W>(p.address + i);
  }
  template <int W>
  EB_INLINE auto load(eb::Lanes<W>, RawPtr<float> p, eb::Index i) const {
    return eb::lanes::load<float, W>(p.address + i);
  }
  template <class P, std::enable_if_t<!std::is_arithmetic_v<P>, int> = 0>
  EB_INLINE void store(RawPtr<float> p, eb::Index i, P value) const {
    eb::lanes::store<float, kLanes<P>>(p.address + i, value);
  }
  template <class P>
  EB_INLINE P mac(P a, P b, P c) const {
    return eb::lanes::Native<float, kLanes<P>>::fma(a, b, c);
  }
  template <class P>
  EB_INLINE P add(P a, P b) const {
    return a + b;
  }
  template <class P>
  EB_INLINE P dot(P a, P b) const {
    return a * b;
  }
  template <class P>
  EB_INLINE P join(P a, P b) const {
    return a + b;
  }
  template <class P>
  EB_INLINE float fold(P a, float start) const {
    for (int l = 0; l < kLanes<P>; ++l) start = start + a[l];
    return start;
  }
  template <class P, std::enable_if_t<!std::is_arithmetic_v<P>, int> = 0>
  EB_INLINE P fold(P a, P start) const {
    return start + a;
  }
  template <class P, int W>
  EB_INLINE P fold(P (&dots)[W]) const {
    P packs[W], result = eb::lanes::Native<float, W>::broadcast(0);
    for (int d = 0; d < W; ++d) packs[d] = dots[d];
    eb::lanes::transpose<float, W>(packs);
    for (int l = 0; l < W; ++l) result = result + packs[l];
    return result;
  }
  template <class P>
  EB_INLINE float sum(P a) const {
    float result = a[0];
    for (int l = 1; l < kLanes<P>; ++l) result = result + a[l];
    return result;
  }
  struct Part;
  EB_INLINE Part first(eb::Index n, eb::Index idle = 0) const;
  template <class P, class T>
  EB_INLINE P load(P into, RawPtr<T> p, eb::Index i, eb::Index begin, eb::Index end) const {
    return eb::lanes::Native<float, kLanes<P>>::load_between(into, p.address + i, begin, end);
  }
  template <class P>
  EB_INLINE void store(RawPtr<float> p, eb::Index i, P value, eb::Index begin, eb::Index end) const {
    eb::lanes::Native<float, kLanes<P>>::store_between(p.address + i, value, begin, end);
  }
#endif
};

#if !defined(__CUDACC__)
// The first `live` lanes of each vector.
struct RawOps::Part : RawOps {
  eb::Index live;
  EB_INLINE explicit Part(eb::Index n) : live(n) {}
  template <int W, class T>
  EB_INLINE auto load(eb::Lanes<W>, RawPtr<T> p, eb::Index i) const {
    return eb::lanes::Native<float, W>::load_first(p.address + i, live);
  }
  template <class P>
  EB_INLINE void store(RawPtr<float> p, eb::Index i, P value) const {
    eb::lanes::Native<float, kLanes<P>>::store_first(p.address + i, value, live);
  }
};
EB_INLINE RawOps::Part RawOps::first(eb::Index n, eb::Index) const { return Part(n); }
#endif
