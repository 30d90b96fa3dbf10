// W numbers side by side: a vector register where the compiler has them, an array in device code. What Vec of ops.h
// holds; kernel bodies never see it.
#pragma once

#include "common/arithmetic.h"
#include "common/host_device.h"

#if defined(__FMA__) && !defined(__CUDACC__)
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
template <class T, int W>
using Pack = typename PackOf<T, W>::Type;
#endif

namespace lanes {

template <int W, class P>
EB_HD EB_INLINE P add(P a, P b) {
#if defined(__CUDACC__)
  for (int l = 0; l < W; ++l) a[l] = a[l] + b[l];
  return a;
#else
  return a + b;
#endif
}

// Lane by lane, where no instruction is at hand.
template <int W, class P>
EB_HD EB_INLINE P fma(P a, P b, P c) {
  for (int l = 0; l < W; ++l) c[l] = arithmetic::fma(a[l], b[l], c[l]);
  return c;
}
#if defined(__FMA__) && !defined(__CUDACC__)
template <>
EB_INLINE Pack<float, 8> fma<8>(Pack<float, 8> a, Pack<float, 8> b, Pack<float, 8> c) {
  return (Pack<float, 8>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
template <>
EB_INLINE Pack<double, 4> fma<4>(Pack<double, 4> a, Pack<double, 4> b, Pack<double, 4> c) {
  return (Pack<double, 4>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#endif

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

}  // namespace lanes
}  // namespace eb
