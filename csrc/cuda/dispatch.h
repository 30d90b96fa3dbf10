// From run-time choices to compile-time ones, for every CUDA entry point.
#pragma once

#include <cstdio>
#include <exception>

#include "common/address.h"
#include "common/c_api.h"
#include "common/ops.h"
#include "cuda/check.h"
#include "cuda/device.h"
#include "cuda/launches.h"

namespace eb {

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

// The element type, and plain or counting; `launch` gets both and where to launch. No exception passes.
template <class Launch>
int dispatch(EbDtype dtype, int device, void* stream, OpCounts* counts, EbError* error, const Launch& launch) {
  try {
    DeviceGuard guard(device);
    Launches launches(counts, static_cast<cudaStream_t>(stream));
    switch (dtype) {
#define EB_TYPE(name, type)                                \
  case EB_DTYPE_##name:                                    \
    if (counts != nullptr) {                               \
      launch(Type<CountingOps>{}, Type<type>{}, launches); \
    } else {                                               \
      launch(Type<PlainOps>{}, Type<type>{}, launches);    \
    }                                                      \
    break;
      EB_DTYPES(EB_TYPE)
#undef EB_TYPE
      default:
        return refuse(error, "unknown element type");
    }
    launches.collect();
    return 0;
  } catch (const std::exception& reason) {
    return refuse(error, reason.what());
  }
}

}  // namespace eb
