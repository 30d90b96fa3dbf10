// One call's kernels on the caller's stream, with their tallies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "common/op_counts.h"
#include "cuda/check.h"
#include "cuda/grids.h"

namespace eb {

constexpr int kBlock = 128;
// Blocks beyond this only queue: 132 multiprocessors (H100) hold at most 16 blocks of 128 threads each.
constexpr Index kMostBlocks = 132 * 16;

inline Index blocks_for(Index elements) { return std::min((elements + kBlock - 1) / kBlock, kMostBlocks); }

// A kernel's last parameter is where it tallies: on the device, null in a plain call.
class Launches {
 public:
  Launches(OpCounts* counts, cudaStream_t stream) : counts_(counts), stream_(stream) {
    if (counts_ == nullptr) return;
    EB_CUDA_CHECK(cudaMallocAsync(reinterpret_cast<void**>(&device_), sizeof(OpCounts), stream_));
    EB_CUDA_CHECK(cudaMemsetAsync(device_, 0, sizeof(OpCounts), stream_));
  }
  ~Launches() {
    if (device_ != nullptr) cudaFreeAsync(device_, stream_);
  }
  Launches(const Launches&) = delete;
  Launches& operator=(const Launches&) = delete;

  // A thread for each of `elements`, or as many as are worth having; none without elements.
  template <class... Parameters, class... Arguments>
  void over(Index elements, void (*kernel)(Parameters...), const Arguments&... arguments) {
    blocks(blocks_for(elements), 0, kernel, arguments...);
  }
  // So many blocks of kBlock threads with so much shared memory each.
  template <class... Parameters, class... Arguments>
  void blocks(Index count, std::size_t shared_bytes, void (*kernel)(Parameters...), const Arguments&... arguments) {
    if (count == 0) return;
    std::tuple<Parameters...> values(arguments..., device_);
    std::apply(
        [&](auto&... value) {
          void* addresses[] = {static_cast<void*>(&value)...};
          EB_CUDA_CHECK(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(count)), dim3(kBlock), addresses,
                                         shared_bytes, stream_));
        },
        values);
    ++launches_;
    if (grid_log.wanted()) {
      int resident = 0;
      EB_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kBlock, shared_bytes));
      grid_log.add({count, kBlock, resident, 1});
    }
  }

  // Waits for the kernels and adds what they tallied; nothing in a plain call.
  void collect() {
    if (counts_ == nullptr) return;
    OpCounts total;
    EB_CUDA_CHECK(cudaMemcpyAsync(&total, device_, sizeof total, cudaMemcpyDeviceToHost, stream_));
    EB_CUDA_CHECK(cudaStreamSynchronize(stream_));
    total.launches = launches_;
    *counts_ += total;
  }

 private:
  OpCounts* counts_;
  cudaStream_t stream_;
  OpCounts* device_ = nullptr;
  std::uint64_t launches_ = 0;
};

}  // namespace eb
