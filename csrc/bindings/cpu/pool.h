#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

template <EbPool kKind>
py::object pool2d(const py::array& x, const py::array& y, std::pair<Index, Index> window,
                  std::pair<Index, Index> stride, std::pair<Index, Index> padding, std::pair<Index, Index> dilation,
                  const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 4, "x must have four dimensions");
  require(window.first > 0 && window.second > 0 && stride.first > 0 && stride.second > 0 && dilation.first > 0 &&
              dilation.second > 0 && padding.first >= 0 && padding.second >= 0,
          "window, stride and dilation must be positive, padding not negative");
  const PoolShape s{x.shape(0),   x.shape(1),    x.shape(2),    x.shape(3),     window.first,   window.second,
                    stride.first, stride.second, padding.first, padding.second, dilation.first, dilation.second};
  const EbDtype dtype = dtype_of(x);
  const EbElementArrays arrays{input(x, "x", dtype, {s.N, s.C, s.H, s.W}),
                               output(y, "y", dtype, {s.N, s.C, s.H_out(), s.W_out()})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_pool2d(rung, kKind, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_pool(py::module_& module) {
  module.def("max_pool2d", &pool2d<EB_POOL_max>, "x"_a, "y"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
             "variant"_a, "threads"_a, "counting"_a);
  module.def("avg_pool2d", &pool2d<EB_POOL_avg>, "x"_a, "y"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
             "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
