// From the untyped addresses of the C interface to typed ones. `operands/` makes opaque operands of them: the bodies'
// only door.
#pragma once

#include "common/host_device.h"

namespace eb {

// A type as a value.
template <class T>
struct Type {
  using Of = T;
};

template <class T>
EB_FORCED const T* in(const void* address) {
  return static_cast<const T*>(address);
}
template <class T>
EB_FORCED T* out(void* address) {
  return static_cast<T*>(address);
}

}  // namespace eb
