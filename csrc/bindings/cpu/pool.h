#pragma once

#include <utility>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

using Pair = std::pair<Index, Index>;

// The shape of a pool over images of x's sizes.
inline PoolShape pool_shape(const py::array& x, Pair window, Pair stride, Pair padding, Pair dilation,
                            bool keep_winners) {
  require(x.ndim() == 4, "x must have four dimensions");
  require(window.first > 0 && window.second > 0 && stride.first > 0 && stride.second > 0 && dilation.first > 0 &&
              dilation.second > 0 && padding.first >= 0 && padding.second >= 0,
          "window, stride and dilation must be positive, padding not negative");
  return {x.shape(0),    x.shape(1),    x.shape(2),     x.shape(3),     window.first,    window.second, stride.first,
          stride.second, padding.first, padding.second, dilation.first, dilation.second, keep_winners};
}

// Places, which numpy keeps as int64.
inline void* places(const py::object& object, const char* name, const PoolShape& s, bool written) {
  if (object.is_none()) return nullptr;
  require(py::isinstance<py::array_t<std::int64_t>>(object), "places must be int64");
  return data_of(object, name, {s.N, s.C, s.H_out(), s.W_out()}, written);
}

template <EbPool kKind>
py::object pool2d(const py::array& x, const py::array& y, const py::object& winners, Pair window, Pair stride,
                  Pair padding, Pair dilation, const std::string& variant, int threads, bool counting) {
  const PoolShape s = pool_shape(x, window, stride, padding, dilation, !winners.is_none());
  require(winners.is_none() || kKind == EB_POOL_max, "an average has no winners");
  const EbDtype dtype = dtype_of(x);
  const EbPoolArrays arrays{input(x, "x", dtype, {s.N, s.C, s.H, s.W}),
                            output(y, "y", dtype, {s.N, s.C, s.H_out(), s.W_out()}),
                            places(winners, "winners", s, true)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_pool2d(rung, kKind, dtype, &s, &arrays, threads, counts, error);
  });
}

template <EbPool kKind>
py::object pool2d_backward(const py::array& grad, const py::object& winners, const py::array& dx, Pair window,
                           Pair stride, Pair padding, Pair dilation, const std::string& variant, int threads,
                           bool counting) {
  const PoolShape s = pool_shape(dx, window, stride, padding, dilation, !winners.is_none());
  require(winners.is_none() == (kKind == EB_POOL_avg), "a maximum has winners, an average has none");
  const EbDtype dtype = dtype_of(dx);
  const EbPoolArrays arrays{input(grad, "grad", dtype, {s.N, s.C, s.H_out(), s.W_out()}),
                            output(dx, "dx", dtype, {s.N, s.C, s.H, s.W}), places(winners, "winners", s, false)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_pool2d_backward(rung, kKind, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_pool(py::module_& module) {
#define EB_DEFINE(kind)                                                                                        \
  module.def(#kind "_pool2d", &pool2d<EB_POOL_##kind>, "x"_a, "y"_a, "winners"_a, "kernel_size"_a, "stride"_a, \
             "padding"_a, "dilation"_a, "variant"_a, "threads"_a, "counting"_a);                               \
  module.def(#kind "_pool2d_backward", &pool2d_backward<EB_POOL_##kind>, "grad"_a, "winners"_a, "dx"_a,        \
             "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a, "variant"_a, "threads"_a, "counting"_a);
  EB_DEFINE(max)
  EB_DEFINE(avg)
#undef EB_DEFINE
}

}  // namespace eb::bindings
