// What the CPU launches share: from the C interface's run-time choices to a body's compile-time ones.
#pragma once

#include <cstdio>
#include <type_traits>

#include "common/c_api.h"
#include "common/operands.h"
#include "common/ops.h"

namespace eb {

// Adds one thread's tallies to the total; nothing is left of it in the plain instantiation.
template <class Ops>
EB_INLINE void merge(const Ops& ops, OpCounts* counts) {
  if constexpr (Ops::kCounting) {
#pragma omp critical(eb_merge)
    *counts += ops.tally().counts;
  }
}

// body(ops, i) for every i < count, by a team of threads; the tallies of all go to `counts`.
template <class Ops, class Body>
EB_INLINE void in_parallel(Index count, int threads, OpCounts* counts, const Body& body) {
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index i = 0; i < count; ++i) body(ops, i);
    merge(ops, counts);
  }
}

EB_INLINE int refuse(EbError* error, const char* reason) {
  std::snprintf(error->message, sizeof error->message, "%s", reason);
  return 1;
}

// A launch that returns nothing cannot fail.
template <class Launch, class Ops, class T>
EB_INLINE int status_of(const Launch& launch, Type<Ops> ops, Type<T> element) {
  if constexpr (std::is_void_v<decltype(launch(ops, element))>) {
    launch(ops, element);
    return 0;
  } else {
    return launch(ops, element);
  }
}

// From run time to compile time, once: the element type, and plain or counting.
template <class Launch>
EB_INLINE int dispatch(EbDtype dtype, OpCounts* counts, EbError* error, const Launch& launch) {
  if (counts != nullptr) ++counts->launches;
  switch (dtype) {
#define EB_TYPE(name, type)                                                         \
  case EB_DTYPE_##name:                                                             \
    return counts != nullptr ? status_of(launch, Type<CountingOps>{}, Type<type>{}) \
                             : status_of(launch, Type<PlainOps>{}, Type<type>{});
    EB_DTYPES(EB_TYPE)
#undef EB_TYPE
  }
  return refuse(error, "unknown element type");
}

}  // namespace eb
