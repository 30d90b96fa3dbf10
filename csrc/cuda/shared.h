// The block's shared memory: as many bytes as the launch asked for, one array at a time.
#pragma once

#include <cuda_runtime.h>

namespace eb {

template <class T>
__device__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char eb_shared[];
  return reinterpret_cast<T*>(eb_shared);
}

}  // namespace eb
