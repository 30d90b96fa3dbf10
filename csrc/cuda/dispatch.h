// What the CUDA launches share: grids, tallies on the device, and the way from run-time choices to compile-time ones.
#pragma once

#include <algorithm>
#include <cstdio>
#include <exception>

#include "common/c_api.h"
#include "common/operands.h"
#include "common/ops.h"
#include "cuda/check.h"

namespace eb {

constexpr int kBlock = 128;
// Blocks beyond this only queue: 132 multiprocessors (H100) hold at most 16 blocks of 128 threads each.
constexpr Index kMostBlocks = 132 * 16;

inline int blocks_for(Index elements) {
  return static_cast<int>(std::min((elements + kBlock - 1) / kBlock, kMostBlocks));
}

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

// Counts on the device for one call; null and without cost in a plain call.
class DeviceCounts {
 public:
  DeviceCounts(OpCounts* counts, cudaStream_t stream) : counts_(counts), stream_(stream) {
    if (counts_ == nullptr) return;
    EB_CUDA_CHECK(cudaMallocAsync(reinterpret_cast<void**>(&device_), sizeof(OpCounts), stream_));
    EB_CUDA_CHECK(cudaMemsetAsync(device_, 0, sizeof(OpCounts), stream_));
  }
  ~DeviceCounts() {
    if (device_ != nullptr) cudaFreeAsync(device_, stream_);
  }
  DeviceCounts(const DeviceCounts&) = delete;
  DeviceCounts& operator=(const DeviceCounts&) = delete;

  OpCounts* device() const { return device_; }

  // Waits for the kernels and adds what they tallied.
  void collect(std::uint64_t launches) {
    if (counts_ == nullptr) return;
    OpCounts total;
    EB_CUDA_CHECK(cudaMemcpyAsync(&total, device_, sizeof total, cudaMemcpyDeviceToHost, stream_));
    EB_CUDA_CHECK(cudaStreamSynchronize(stream_));
    total.launches = launches;
    *counts_ += total;
  }

 private:
  OpCounts* counts_;
  cudaStream_t stream_;
  OpCounts* device_ = nullptr;
};

// Makes `device` current and gives the caller's back.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    EB_CUDA_CHECK(cudaGetDevice(&before_));
    EB_CUDA_CHECK(cudaSetDevice(device));
  }
  ~DeviceGuard() { cudaSetDevice(before_); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
};

inline int refuse(EbError* error, const char* reason) {
  std::snprintf(error->message, sizeof error->message, "%s", reason);
  return 1;
}

// From run time to compile time, once: the element type, and plain or counting. No exception passes.
template <class Launch>
int dispatch(EbDtype dtype, int device, OpCounts* counts, EbError* error, const Launch& launch) {
  try {
    DeviceGuard guard(device);
    switch (dtype) {
#define EB_TYPE(name, type)                      \
  case EB_DTYPE_##name:                          \
    if (counts != nullptr) {                     \
      launch(Type<CountingOps>{}, Type<type>{}); \
    } else {                                     \
      launch(Type<PlainOps>{}, Type<type>{});    \
    }                                            \
    return 0;
      EB_DTYPES(EB_TYPE)
#undef EB_TYPE
    }
    return refuse(error, "unknown element type");
  } catch (const std::exception& reason) {
    return refuse(error, reason.what());
  }
}

}  // namespace eb
