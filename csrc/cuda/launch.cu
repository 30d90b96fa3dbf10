// CUDA launches: grids over the same bodies as cpu/launch.cpp, each instantiated plain and counting. One thread makes
// one output element (attention: one query row) in grid-stride loops, so that any size fits any grid.
#include <algorithm>
#include <cstdio>
#include <exception>

#include "common/operands.h"
#include "cuda/api.h"
#include "cuda/check.h"

namespace eb {
namespace {

constexpr int kBlock = 128;
// Blocks beyond this only queue: 132 multiprocessors (H100) hold at most 16 blocks of 128 threads each.
constexpr Index kMostBlocks = 132 * 16;

int blocks_for(Index elements) { return static_cast<int>(std::min((elements + kBlock - 1) / kBlock, kMostBlocks)); }

__device__ Index first_element() { return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ Index element_stride() { return static_cast<Index>(gridDim.x) * blockDim.x; }

// Sums one field over the warp, so that 32 threads make one atomic addition.
__device__ void add_over_warp(std::uint64_t* total, std::uint64_t mine) {
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

template <class Ops, class T>
__global__ void conv2d_kernel(ConvOperands<Ops, T> a, ConvShape s, OpCounts* counts) {
  Ops ops;
  const Index H_out = s.H_out(), W_out = s.W_out(), outputs = s.N * s.C_out * H_out * W_out;
  for (Index e = first_element(); e < outputs; e += element_stride()) {
    const Index ow = e % W_out, oh = e / W_out % H_out, co = e / W_out / H_out % s.C_out;
    conv2d_forward_naive(ops, a, s, e / W_out / H_out / s.C_out, co, oh, ow);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void gru_kernel(GruOperands<Ops, T> a, GruShape s, Index t, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.B * s.H; e += element_stride()) {
    gru_forward_naive(ops, a, s, t, e / s.H, e % s.H);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void attention_kernel(AttentionOperands<Ops, T> a, AttentionShape s,
                                 typename Ops::template Activation<T> scratch, Index row_stride, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.B * s.Hn * s.S_q; r += element_stride()) {
    attention_forward_naive(ops, a, s, scratch.at(r * row_stride), r / s.S_q, r % s.S_q);
  }
  merge<T>(ops, counts);
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

template <class Ops, class T>
void conv2d(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, cudaStream_t stream,
            OpCounts* counts) {
  DeviceCounts tallies(counts, stream);
  const int blocks = blocks_for(s.N * s.C_out * s.H_out() * s.W_out());
  conv2d_kernel<Ops, T><<<blocks, kBlock, 0, stream>>>(operands<Ops, T>(arrays), s, tallies.device());
  EB_CUDA_CHECK(cudaGetLastError());
  tallies.collect(1);
}

template <class Ops, class T>
void gru(Type<Ops>, Type<T>, const GruShape& s, const EbGruArrays& arrays, cudaStream_t stream, OpCounts* counts) {
  DeviceCounts tallies(counts, stream);
  const auto a = operands<Ops, T>(arrays);
  for (Index t = 0; t < s.T; ++t) {  // a launch for each step: the next reads what every block wrote
    gru_kernel<Ops, T><<<blocks_for(s.B * s.H), kBlock, 0, stream>>>(a, s, t, tallies.device());
    EB_CUDA_CHECK(cudaGetLastError());
  }
  tallies.collect(static_cast<std::uint64_t>(s.T));
}

template <class Ops, class T>
void attention(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionArrays& arrays, double scale,
               cudaStream_t stream, OpCounts* counts) {
  DeviceCounts tallies(counts, stream);
  const typename Ops::template Activation<T> scratch(out<T>(arrays.scratch));
  attention_kernel<Ops, T><<<blocks_for(s.B * s.Hn * s.S_q), kBlock, 0, stream>>>(
      operands<Ops, T>(arrays, scale), s, scratch, arrays.row_stride, tallies.device());
  EB_CUDA_CHECK(cudaGetLastError());
  tallies.collect(1);
}

int refuse(EbError* error, const char* reason) {
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

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_conv2d(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int device, void* stream,
                   eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, counts, error, [&](auto ops, auto element) {
    eb::conv2d(ops, element, *shape, *arrays, static_cast<cudaStream_t>(stream), counts);
  });
}

int eb_cuda_gru(EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int device, void* stream,
                eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, counts, error, [&](auto ops, auto element) {
    eb::gru(ops, element, *shape, *arrays, static_cast<cudaStream_t>(stream), counts);
  });
}

int eb_cuda_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays, double scale,
                      int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, counts, error, [&](auto ops, auto element) {
    eb::attention(ops, element, *shape, *arrays, scale, static_cast<cudaStream_t>(stream), counts);
  });
}

int eb_cuda_device_count(EbError* error) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  eb::refuse(error, status == cudaSuccess ? "no CUDA device is visible" : cudaGetErrorString(status));
  return 0;
}

}  // extern "C"
