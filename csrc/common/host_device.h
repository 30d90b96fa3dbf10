// Host and device qualifiers. The only file that asks which compiler is at work.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define EB_HD __host__ __device__
#define EB_INLINE __forceinline__
#else
#define EB_HD
#define EB_INLINE inline __attribute__((always_inline))
#endif
// For a lambda's body: after its parameters.
#define EB_ALWAYS_INLINE __attribute__((always_inline))

namespace eb {

// Index arithmetic is plain and 64-bit everywhere: no tensor that fits in memory overflows it. It is deliberately not
// counted, for it is address generation and not the network's work.
using Index = std::int64_t;

}  // namespace eb
