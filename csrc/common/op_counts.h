// OpCounts: exact tallies of arithmetic and memory traffic by element type. The field list is energybench's
// (energybench/records/op_counts.py, DtypeCounts); a test holds the two lists equal.
#pragma once

#include <cstdint>

#include "common/host_device.h"

// macs                 one multiply with its accumulate that is executed
// nominal_macs         the same and those that padding or a mask lets the kernel skip
// tile_macs            what a tile instruction multiplies, its padding included
// adds … specials      work outside MACs; specials are exp, tanh, erf, sqrt, rsqrt
// loads … store_bytes  elements moved and their size; weight_load_bytes is the part of load_bytes that reads weights
#define EB_COUNT_FIELDS(X) \
  X(macs)                  \
  X(nominal_macs)          \
  X(tile_macs)             \
  X(adds) X(muls) X(divs) X(compares) X(specials) X(loads) X(stores) X(load_bytes) X(store_bytes) X(weight_load_bytes)

// The element types a kernel may be instantiated for: name as in Python, C++ type.
#define EB_DTYPES(X) X(float32, float) X(float64, double)

// The same and those that a kernel moves besides: places, as torch has them, and masks of a byte.
#define EB_COUNTED_TYPES(X) EB_DTYPES(X) X(int64, std::int64_t) X(uint8, std::uint8_t)

namespace eb {

struct TypeCounts {
#define EB_FIELD(name) std::uint64_t name = 0;
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD

  EB_HD EB_FORCED TypeCounts& operator+=(const TypeCounts& other) {
#define EB_FIELD(name) name += other.name;
    EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
    return *this;
  }
};

struct OpCounts {
#define EB_TYPE(name, type) TypeCounts name;
  EB_COUNTED_TYPES(EB_TYPE)
#undef EB_TYPE
  std::uint64_t launches = 0;  // parallel regions on the CPU, kernel launches on a GPU; counted by the launch code

  template <class T>
  EB_HD EB_FORCED TypeCounts& of();

  EB_HD EB_FORCED OpCounts& operator+=(const OpCounts& other) {
#define EB_TYPE(name, type) name += other.name;
    EB_COUNTED_TYPES(EB_TYPE)
#undef EB_TYPE
    launches += other.launches;
    return *this;
  }
};

#define EB_TYPE(name, type)                          \
  template <>                                        \
  EB_HD EB_FORCED TypeCounts& OpCounts::of<type>() { \
    return name;                                     \
  }
EB_COUNTED_TYPES(EB_TYPE)
#undef EB_TYPE

}  // namespace eb
