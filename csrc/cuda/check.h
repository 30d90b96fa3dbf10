// CUDA errors as exceptions that carry place, call and reason; they end at the C interface, as a message.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace eb {

class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that can be cleared must not surface in the next call
  throw CudaError(std::string(cudaGetErrorString(status)) + " in " + call + " at " + file + ":" + std::to_string(line));
}

}  // namespace eb

#define EB_CUDA_CHECK(call) ::eb::check_cuda((call), #call, __FILE__, __LINE__)
