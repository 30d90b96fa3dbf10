// erf of a vector of floats, within 2.4 units in the last place of any float (tests/parity/test_special_functions.py).
//
// |x| is cut into eight intervals of ½, beyond 4 erf rounds to 1. On each a polynomial of degree 7 in t = |x| − middle
// (the first in t = |x|, without a constant, so that it is accurate beside zero) of least largest error: found by the
// Remez exchange in 40 digits, |p − erf| ≤ 7·10⁻¹⁰ and on the first |p/erf − 1| ≤ 8·10⁻⁹, then rounded to float. The
// coefficients of a lane are picked from registers that hold those of all intervals.
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/unrolled.h"

namespace eb::lanes {

// A number for each lane, of the compiler's making: filled in lane by lane at run time it would cost more than its use.
template <class T, int W>
struct LaneTable {
  T lane[W];
};

#if !defined(__CUDACC__)
namespace erf_table {
constexpr int kIntervals = 8, kDegree = 7;
constexpr float kMiddle[kIntervals] = {0.0f, 0.75f, 1.25f, 1.75f, 2.25f, 2.75f, 3.25f, 3.75f};
constexpr float kCoefficient[kDegree + 1][kIntervals] = {
    {0.0f, 0.711155653f, 0.92290014f, 0.986671686f, 0.998537302f, 0.999899387f, 0.999995708f, 0.999999881f},
    {1.12837923f, 0.642931044f, 0.236521125f, 0.0527749956f, 0.00714231934f, 0.00058627734f, 2.9189001e-05f,
     8.81426217e-07f},
    {-1.58099272e-06f, -0.482198149f, -0.295651734f, -0.092356205f, -0.0160701573f, -0.00161226734f, -9.48693269e-05f,
     -3.30607054e-06f},
    {-0.376077384f, 0.0267881546f, 0.167535931f, 0.0901574343f, 0.0217244942f, 0.00276037655f, 0.000195813991f,
     7.97066241e-06f},
    {-0.00056491734f, 0.150675759f, -0.00613205554f, -0.0481054895f, -0.0190882534f, -0.00325771305f, -0.000286169554f,
     -1.37854267e-05f},
    {0.115878411f, -0.0532107688f, -0.0471879542f, 0.00661702733f, 0.0106606698f, 0.00275641237f, 0.000313585449f,
     1.83193661e-05f},
    {-0.0080060577f, -0.0265842453f, 0.0205979571f, 0.00904912222f, -0.00277960044f, -0.0016678219f, -0.000273757003f,
     -2.06922359e-05f},
    {-0.017976962f, 0.0178274177f, 0.00375790568f, -0.00591979129f, -0.000727108913f, 0.000634699594f, 0.000173993307f,
     1.72424734e-05f}};

// A row of the tables once for each eight lanes.
template <int W>
constexpr LaneTable<float, W> repeated(const float (&row)[kIntervals]) {
  LaneTable<float, W> table{};
  for (int l = 0; l < W; ++l) table.lane[l] = row[l % kIntervals];
  return table;
}
}  // namespace erf_table

// Native is the instruction set's; its vectors have eight lanes or a multiple of them.
template <class Native, int W, class P>
EB_FORCED P polynomial_erf(P x) {
  typedef std::int32_t Bits __attribute__((vector_size(sizeof(P))));
  static_assert(W % erf_table::kIntervals == 0);
  const Bits sign = reinterpret_cast<Bits>(x) & INT32_MIN;
  P t = reinterpret_cast<P>(reinterpret_cast<Bits>(x) & INT32_MAX);
  constexpr float kLast = 3.9999998f;  // below 4, in the last interval: its polynomial is 1 there
  t = t > kLast ? P{} + kLast : t;     // NaN stays
  const Bits interval = __builtin_convertvector(t + t, Bits);
  const auto pick = [&](const LaneTable<float, W>& row) __attribute__((always_inline)) {
    P lanes;
    __builtin_memcpy(&lanes, &row, sizeof lanes);
    return Native::pick(lanes, interval);
  };
  constexpr auto kMiddle = erf_table::repeated<W>(erf_table::kMiddle);
  t = t - pick(kMiddle);
  constexpr auto kHighest = erf_table::repeated<W>(erf_table::kCoefficient[erf_table::kDegree]);
  P sum = pick(kHighest);
  unrolled<erf_table::kDegree>([&](auto d) __attribute__((always_inline)) {
    constexpr auto kRow = erf_table::repeated<W>(erf_table::kCoefficient[erf_table::kDegree - 1 - d]);
    sum = Native::fma(sum, t, pick(kRow));
  });
  return reinterpret_cast<P>(reinterpret_cast<Bits>(sum) | sign);
}
#endif  // host

}  // namespace eb::lanes
