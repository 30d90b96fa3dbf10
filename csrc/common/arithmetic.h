// The arithmetic behind the verbs of ops.h, on bare numbers. Kernel bodies never call it: they hold opaque types.
#pragma once

#include <cmath>

#include "common/host_device.h"

namespace eb::arithmetic {

// An explicit fused multiply-add: with contraction off (-ffp-contract=off, --fmad=false) every rounding is written.
EB_HD EB_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
EB_HD EB_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }
EB_HD EB_INLINE float exp(float x) { return ::expf(x); }
EB_HD EB_INLINE double exp(double x) { return ::exp(x); }
EB_HD EB_INLINE float tanh(float x) { return ::tanhf(x); }
EB_HD EB_INLINE double tanh(double x) { return ::tanh(x); }
EB_HD EB_INLINE float erf(float x) { return ::erff(x); }
EB_HD EB_INLINE double erf(double x) { return ::erf(x); }
EB_HD EB_INLINE float sqrt(float x) { return ::sqrtf(x); }
EB_HD EB_INLINE double sqrt(double x) { return ::sqrt(x); }
// Written as its definition: CUDA's rsqrt rounds differently from 1/sqrt, and the CPU has none.
EB_HD EB_INLINE float rsqrt(float x) { return 1.0f / ::sqrtf(x); }
EB_HD EB_INLINE double rsqrt(double x) { return 1.0 / ::sqrt(x); }
EB_HD EB_INLINE float log(float x) { return ::logf(x); }
EB_HD EB_INLINE double log(double x) { return ::log(x); }

}  // namespace eb::arithmetic
