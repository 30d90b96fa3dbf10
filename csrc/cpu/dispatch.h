// What the CPU launches share: from the C interface's run-time choices to a body's compile-time ones.
#pragma once

#include <type_traits>

#include "common/address.h"
#include "common/ops.h"
#include "cpu/refuse.h"

#if !defined(EB_ISA) || !defined(EB_OPS)
#error "files of cpu/naive and cpu/tuned are compiled by setup.py, once for each policy"
#endif

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

#if defined(EB_COUNTING_UNIT)
// A tally of this unit's own: whatever is instantiated for it is local to the object, so that none of it can be
// mistaken for the code of another instruction set.
namespace {
struct UnitTally : Tally {};
}  // namespace
using UnitCountingOps = BasicOps<UnitTally>;
#endif

// From run time to compile time, once: the element type. The policy is the translation unit's: setup.py compiles every
// file of cpu/naive and cpu/tuned for each, and `counts` is null where that does not count.
template <class Launch>
EB_INLINE int dispatch(EbDtype dtype, OpCounts* counts, EbError* error, const Launch& launch) {
  if (counts != nullptr) ++counts->launches;
  switch (dtype) {
#define EB_TYPE(name, type) \
  case EB_DTYPE_##name:     \
    return status_of(launch, Type<EB_OPS>{}, Type<type>{});
    EB_DTYPES(EB_TYPE)
#undef EB_TYPE
  }
  return refuse(error, "unknown element type");
}

}  // namespace eb
