// What the CUDA kernels share on the device: their elements, their tallies.
#pragma once

#include <cuda_runtime.h>

#include "common/op_counts.h"
#include "common/ops.h"

namespace eb {

__device__ inline Index first_element() { return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline Index element_stride() { return static_cast<Index>(gridDim.x) * blockDim.x; }

// Sums one field over the warp, so that 32 threads make one atomic addition.
__device__ inline void add_over_warp(std::uint64_t* total, std::uint64_t mine) {
  unsigned long long sum = mine;
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0 && sum != 0) atomicAdd(reinterpret_cast<unsigned long long*>(total), sum);
}

// Adds this thread's tallies to the total; every thread of the block calls it. Nothing is left of it when plain.
template <class T, class Ops>
__device__ void merge(const Ops& ops, OpCounts* counts) {
  if constexpr (Ops::kCounting) {
    OpCounts mine = ops.tally().counts;
#define EB_FIELD(name) add_over_warp(&counts->of<T>().name, mine.of<T>().name);
    EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
  }
}

}  // namespace eb
