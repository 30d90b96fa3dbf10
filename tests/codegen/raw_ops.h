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
  // Eight lanes as the compiler's own vector.
  typedef float Lane8 __attribute__((vector_size(32)));
  EB_INLINE Lane8 broadcast(eb::Lanes<8>, float a) const { return Lane8{a, a, a, a, a, a, a, a}; }
  EB_INLINE Lane8 load(eb::Lanes<8>, RawPtr<const float> p, eb::Index i) const {
    Lane8 result;
    __builtin_memcpy(&result, p.address + i, sizeof result);
    return result;
  }
  EB_INLINE Lane8 add(Lane8 a, Lane8 b) const { return a + b; }
  EB_INLINE float sum(Lane8 a) const {
    float result = a[0];
    for (int l = 1; l < 8; ++l) result = result + a[l];
    return result;
  }
#if defined(__FMA__)
  EB_INLINE Lane8 mac(Lane8 a, Lane8 b, Lane8 c) const {
    return (Lane8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  }
#endif
#endif
};
