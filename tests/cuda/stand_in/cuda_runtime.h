// A stand-in for CUDA's header, for tests alone: with this folder before CUDA's on the include path g++ compiles
// csrc/cuda/*.cu as they are, and a launch runs on the host, block after block, the threads of a block as fibers
// (machine.cpp). It shows that indices, barriers and tallies are right. It is no GPU: nothing that it runs is measured.
//
// What it is stricter in than a GPU: a barrier that not every thread of the block (shuffle: of the warp) reaches at one
// place fails the launch, so does a write beyond the shared memory that was asked for, and work on another stream than
// the caller's; shared memory and what cudaMallocAsync gives begin as NaN; a copy to the host arrives when its stream
// is waited for. What it cannot show: tensor cores, memory order between blocks, speed, the device compiler's rounding.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))

using cudaStream_t = struct CUstream_st*;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
struct cudaDeviceProp {
  char name[256];
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// The thread that runs now.
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_host {

constexpr unsigned kWarp = 32, kMostThreads = 1024;
constexpr std::size_t kMostShared = 48 * 1024;  // what a launch may ask for without a change of attributes

// Runs body(argument) as every thread of a grid.
cudaError_t run(void (*body)(void*), void* argument, dim3 grid, dim3 block, std::size_t shared_bytes,
                cudaStream_t stream);
// Waits for the block at `place`, or for the warp, and then gives what lane + offset put in (its own past the end).
void wait_for_block(const void* place);
std::uint64_t from_lane_below(const void* place, unsigned mask, std::uint64_t value, unsigned offset);

}  // namespace cuda_on_host

__attribute__((noinline)) inline void __syncthreads() { cuda_on_host::wait_for_block(__builtin_return_address(0)); }

template <class T>
__attribute__((noinline)) T __shfl_down_sync(unsigned mask, T value, unsigned offset) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t), "a shuffle moves at most eight bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = cuda_on_host::from_lane_below(__builtin_return_address(0), mask, bits, offset);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T atomicAdd(T* address, T value) {  // one fiber runs at a time, and changes only at a barrier
  const T before = *address;
  *address = before + value;
  return before;
}

cudaError_t cudaMallocAsync(void** address, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* address, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* address, int byte, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);

namespace cuda_on_host {

template <class... Parameters>
struct Bound {
  void (*kernel)(Parameters...);
  void** arguments;

  template <std::size_t... kIndex>
  void call(std::index_sequence<kIndex...>) const {
    kernel(*static_cast<std::remove_reference_t<Parameters>*>(arguments[kIndex])...);
  }
  static void run(void* self) {
    static_cast<const Bound*>(self)->call(std::make_index_sequence<sizeof...(Parameters)>{});
  }
};

}  // namespace cuda_on_host

// As if registers allowed 2,048 threads, and shared memory 228 KiB, a multiprocessor (H100).
template <class... Parameters>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*)(Parameters...), int threads,
                                                          std::size_t shared_bytes) {
  const int by_threads = 2048 / threads;
  const int by_memory = shared_bytes == 0 ? by_threads : static_cast<int>(228 * 1024 / shared_bytes);
  *blocks = by_memory < by_threads ? by_memory : by_threads;
  return cudaSuccess;
}

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  cuda_on_host::Bound<Parameters...> bound{kernel, arguments};
  return cuda_on_host::run(&bound.run, &bound, grid, block, shared_bytes, stream);
}
