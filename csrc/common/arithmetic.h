// The arithmetic behind the verbs of ops.h, on bare numbers. Kernel bodies never call it: they hold opaque types.
#pragma once

#include <cmath>

#include "common/host_device.h"

namespace eb::arithmetic {

// An explicit fused multiply-add: with contraction off (-ffp-contract=off, --fmad=false) every rounding is written.
EB_HD EB_FORCED float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
EB_HD EB_FORCED double fma(double a, double b, double c) { return ::fma(a, b, c); }
EB_HD EB_FORCED float exp(float x) { return ::expf(x); }
EB_HD EB_FORCED double exp(double x) { return ::exp(x); }
EB_HD EB_FORCED float tanh(float x) { return ::tanhf(x); }
EB_HD EB_FORCED double tanh(double x) { return ::tanh(x); }
EB_HD EB_FORCED float erf(float x) { return ::erff(x); }
EB_HD EB_FORCED double erf(double x) { return ::erf(x); }
EB_HD EB_FORCED float sqrt(float x) { return ::sqrtf(x); }
EB_HD EB_FORCED double sqrt(double x) { return ::sqrt(x); }
// Written as its definition: CUDA's rsqrt rounds differently from 1/sqrt, and the CPU has none.
EB_HD EB_FORCED float rsqrt(float x) { return 1.0f / ::sqrtf(x); }
EB_HD EB_FORCED double rsqrt(double x) { return 1.0 / ::sqrt(x); }
EB_HD EB_FORCED float log(float x) { return ::logf(x); }
EB_HD EB_FORCED double log(double x) { return ::log(x); }

}  // namespace eb::arithmetic
