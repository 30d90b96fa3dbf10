// A loop of a number of rounds known at compile time, unrolled before anything else is optimised, so that an array of
// registers indexed by its counter stays in registers.
#pragma once

#include <type_traits>
#include <utility>

#include "common/host_device.h"

namespace eb {

template <class F, Index... kIndex>
EB_HD EB_FORCED void unrolled_over(const F& body, std::integer_sequence<Index, kIndex...>) {
  (body(std::integral_constant<Index, kIndex>{}), ...);
}

// body(0), body(1), … body(kTimes − 1), the counter a compile-time constant.
template <int kTimes, class F>
EB_HD EB_FORCED void unrolled(const F& body) {
  unrolled_over(body, std::make_integer_sequence<Index, kTimes>{});
}

}  // namespace eb
