// A hint to the memory system.
#pragma once

#include "common/host_device.h"

namespace eb {

// Asks for the line `bytes` from `address` on, which may lie beyond the array. Nothing is read: no more than a hint,
// and on a device none, for its threads hide what they wait for by themselves.
EB_HD EB_FORCED void prefetch([[maybe_unused]] const void* address, [[maybe_unused]] Index bytes) {
#if !defined(__CUDA_ARCH__)
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::intptr_t>(address) + bytes));
#endif
}

}  // namespace eb
