// What the CPU launches share: from the C interface's run-time choices to a body's compile-time ones.
#pragma once

#include <cstdio>

#include "common/c_api.h"
#include "common/operands.h"
#include "common/ops.h"

namespace eb {

// Lanes of a vector verb: 32 bytes, one AVX2 register.
template <class T>
constexpr int kLanes = 32 / static_cast<int>(sizeof(T));

// Adds one thread's tallies to the total; nothing is left of it in the plain instantiation.
template <class Ops>
void merge(const Ops& ops, OpCounts* counts) {
  if constexpr (Ops::kCounting) {
#pragma omp critical(eb_merge)
    *counts += ops.tally().counts;
  }
}

inline int refuse(EbError* error, const char* reason) {
  std::snprintf(error->message, sizeof error->message, "%s", reason);
  return 1;
}

// From run time to compile time, once: the element type, and plain or counting.
template <class Launch>
int dispatch(EbDtype dtype, OpCounts* counts, EbError* error, const Launch& launch) {
  if (counts != nullptr) ++counts->launches;
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
}

}  // namespace eb
