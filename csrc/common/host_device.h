// Host and device qualifiers. The only file that asks which compiler is at work.
#pragma once

#include <cstdint>

// EB_FORCED    inlined by force, everywhere
// EB_INLINE    the same for kernel bodies, except in a unit that only counts, or that sanitizers look at: that may
//              be slow, and compiles in half the time so, or less. There every body depends on the unit's own policy,
//              so its code is the unit's own too.
// EB_ALWAYS_INLINE    EB_INLINE for a lambda's body: after its parameters
#if defined(__CUDACC__)
#define EB_HD __host__ __device__
#define EB_FORCED __forceinline__
#else
#define EB_HD
#define EB_FORCED inline __attribute__((always_inline))
#endif
#if defined(EB_COUNTING_UNIT) || defined(EB_SANITIZED_UNIT)
#define EB_INLINE inline
#define EB_ALWAYS_INLINE
#else
#define EB_INLINE EB_FORCED
#define EB_ALWAYS_INLINE __attribute__((always_inline))
#endif

namespace eb {

// Index arithmetic is plain and 64-bit everywhere: no tensor that fits in memory overflows it. It is deliberately not
// counted, for it is address generation and not the network's work.
using Index = std::int64_t;

}  // namespace eb
