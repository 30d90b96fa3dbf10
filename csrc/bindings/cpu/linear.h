#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object linear(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                         const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 2 && w.ndim() == 2, "x and w must have two dimensions");
  const LinearShape s{x.shape(0), x.shape(1), w.shape(0), !bias.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbLinearArrays arrays{input(x, "x", dtype, {s.M, s.K}), input(w, "w", dtype, {s.N, s.K}),
                              input(bias, "bias", dtype, {s.N}), output(y, "y", dtype, {s.M, s.N})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_linear(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_linear(py::module_& module) {
  module.def("linear", &linear, "x"_a, "w"_a, "bias"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
