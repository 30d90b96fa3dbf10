// A sum over patches of one tap that is on every pixel: a product of matrices where they lie.
#pragma once

#include "cpu/tuned/isa.h"
#include "kernels/patches.h"

namespace eb::EB_ISA {

// out[n, m, pixel] = Σ_c w(m, c) · source[n, c, pixel] + bias[m], `bias` null for none. One launch.
int pointwise_sums(EbDtype dtype, const PatchSums& sums, const void* source, const void* w, const void* bias, void* out,
                   int threads, OpCounts* counts, EbError* error);

}  // namespace eb::EB_ISA
