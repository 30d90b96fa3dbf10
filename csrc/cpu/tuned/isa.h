// The files of this folder are compiled twice for each rung above naive (setup.py has the list), from the same bodies:
// plain, and counting.
//
//   EB_ISA            what the rung is called, with _counting where it counts: the namespace its launches live in
//   EB_VECTOR_BYTES   bytes of its vectors; 0 is one number at a time
//   EB_OPS            the policy; EB_COUNTING_UNIT is defined where that counts
//
// The linker keeps one copy of a function that several objects define, whichever it likes: AVX-512 code would reach a
// processor without it. So launches stand in an unnamed namespace inside eb::EB_ISA, everything they use is inlined by
// force or depends on a type of this object alone, and the build refuses an object of this folder that defines a weak
// symbol.
#pragma once

#if !defined(EB_ISA) || !defined(EB_VECTOR_BYTES)
#error "files of cpu/tuned are compiled by setup.py, once for each instruction set"
#endif

#include "cpu/dispatch.h"
#include "kernels/gemm.h"

namespace eb::EB_ISA {

template <class T>
constexpr int kLanes = EB_VECTOR_BYTES == 0 ? 1 : EB_VECTOR_BYTES / static_cast<int>(sizeof(T));

// The register tile of a matrix product: AVX2 has 16 registers (12 sums, 2 columns, 1 row, 1 spare), AVX-512 has 32 (24
// sums), and single numbers leave 12 of 16 to sums.
#if EB_VECTOR_BYTES == 64 && !defined(__AVX512F__)
template <class T>
using GemmShape = Tile<T, kLanes<T>, 3, 2>;  // each vector is two registers
#elif EB_VECTOR_BYTES == 64
template <class T>
using GemmShape = Tile<T, kLanes<T>, 12, 2>;
#elif EB_VECTOR_BYTES == 32
template <class T>
using GemmShape = Tile<T, kLanes<T>, 6, 2>;
#else
template <class T>
using GemmShape = Tile<T, 1, 4, 3>;
#endif

}  // namespace eb::EB_ISA
