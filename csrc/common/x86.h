// The x86 instructions for which the compiler's vectors have no operator, under g++'s own names. <immintrin.h> has them
// under Intel's, but g++ takes 0.7 s to read it, and more than a hundred translation units would.
#pragma once

#include <cstdint>

#include "common/host_device.h"

#if defined(__AVX2__) && defined(__FMA__) && !defined(__CUDACC__)
namespace eb::x86 {

typedef float Float8 __attribute__((vector_size(32)));
typedef double Double4 __attribute__((vector_size(32)));
typedef int Int8 __attribute__((vector_size(32)));
typedef long long Long4 __attribute__((vector_size(32)));
typedef unsigned long long Word4 __attribute__((vector_size(32)));

// Lanes numbered from 0, as masked loads and stores compare them.
constexpr Int8 kLane8 = {0, 1, 2, 3, 4, 5, 6, 7};
constexpr Long4 kLane4 = {0, 1, 2, 3};

// Every lane the same.
EB_FORCED Float8 all8(float a) { return Float8{a, a, a, a, a, a, a, a}; }
EB_FORCED Double4 all4(double a) { return Double4{a, a, a, a}; }

EB_FORCED Float8 fma(Float8 a, Float8 b, Float8 c) { return __builtin_ia32_vfmaddps256(a, b, c); }
EB_FORCED Double4 fma(Double4 a, Double4 b, Double4 c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
EB_FORCED Float8 sqrt(Float8 a) { return __builtin_ia32_sqrtps256(a); }
EB_FORCED Double4 sqrt(Double4 a) { return __builtin_ia32_sqrtpd256(a); }

// Lanes whose mask is set (all ones); a load has zeros in the others, and no lane of theirs is touched in memory.
EB_FORCED Float8 load(const float* address, Int8 mask) {
  return __builtin_ia32_maskloadps256(reinterpret_cast<const Float8*>(address), mask);
}
EB_FORCED Double4 load(const double* address, Long4 mask) {
  return __builtin_ia32_maskloadpd256(reinterpret_cast<const Double4*>(address), mask);
}
EB_FORCED void store(float* address, Int8 mask, Float8 value) {
  __builtin_ia32_maskstoreps256(reinterpret_cast<Float8*>(address), mask, value);
}
EB_FORCED void store(double* address, Long4 mask, Double4 value) {
  __builtin_ia32_maskstorepd256(reinterpret_cast<Double4*>(address), mask, value);
}
// yes where the mask is set, else no.
EB_FORCED Float8 choose(Int8 mask, Float8 yes, Float8 no) { return __builtin_ia32_blendvps256(no, yes, (Float8)mask); }
EB_FORCED Double4 choose(Long4 mask, Double4 yes, Double4 no) {
  return __builtin_ia32_blendvpd256(no, yes, (Double4)mask);
}

// Lane l has number lane[l], modulo the lanes, of a table.
EB_FORCED Float8 pick(Float8 table, Int8 lane) { return __builtin_ia32_permvarsf256(table, lane); }

// Products of the lanes' lower halves.
EB_FORCED Word4 multiply_low(Word4 a, Word4 b) { return (Word4)__builtin_ia32_pmuludq256((Int8)a, (Int8)b); }

#if defined(__AVX512F__)
typedef float Float16 __attribute__((vector_size(64)));
typedef double Double8 __attribute__((vector_size(64)));
typedef int Int16 __attribute__((vector_size(64)));
constexpr int kRoundAsSet = 4;  // by the processor's mode (_MM_FROUND_CUR_DIRECTION)

EB_FORCED Float16 all16(float a) { return Float16{a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a}; }
EB_FORCED Double8 all8(double a) { return Double8{a, a, a, a, a, a, a, a}; }

EB_FORCED Float16 fma(Float16 a, Float16 b, Float16 c) {
  return __builtin_ia32_vfmaddps512_mask(a, b, c, 0xffff, kRoundAsSet);
}
EB_FORCED Double8 fma(Double8 a, Double8 b, Double8 c) {
  return __builtin_ia32_vfmaddpd512_mask(a, b, c, 0xff, kRoundAsSet);
}
EB_FORCED Float16 sqrt(Float16 a) { return __builtin_ia32_sqrtps512_mask(a, Float16{}, 0xffff, kRoundAsSet); }
EB_FORCED Double8 sqrt(Double8 a) { return __builtin_ia32_sqrtpd512_mask(a, Double8{}, 0xff, kRoundAsSet); }

EB_FORCED Float16 pick(Float16 table, Int16 lane) {
  return __builtin_ia32_permvarsf512_mask(table, lane, Float16{}, 0xffff);
}

// Lanes whose bit is set; the others of `into`, and untouched in memory.
EB_FORCED Float16 load(Float16 into, const float* address, unsigned bits) {
  return __builtin_ia32_loadups512_mask(address, into, static_cast<std::uint16_t>(bits));
}
EB_FORCED Double8 load(Double8 into, const double* address, unsigned bits) {
  return __builtin_ia32_loadupd512_mask(address, into, static_cast<std::uint8_t>(bits));
}
EB_FORCED void store(float* address, unsigned bits, Float16 value) {
  __builtin_ia32_storeups512_mask(address, value, static_cast<std::uint16_t>(bits));
}
EB_FORCED void store(double* address, unsigned bits, Double8 value) {
  __builtin_ia32_storeupd512_mask(address, value, static_cast<std::uint8_t>(bits));
}
#endif

}  // namespace eb::x86
#endif
