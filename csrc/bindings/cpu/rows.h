#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object softmax(const py::array& x, const py::array& y, const std::string& variant, int threads,
                          bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  const RowShape s{x.shape(0), x.shape(1), 0, 0};
  const EbDtype dtype = dtype_of(x);
  const EbRowArrays arrays{input(x, "x", dtype, {s.rows, s.n}), nullptr, nullptr, output(y, "y", dtype, {s.rows, s.n})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_softmax(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object layer_norm(const py::array& x, const py::object& weight, const py::object& bias, const py::array& y,
                             double epsilon, const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  const RowShape s{x.shape(0), x.shape(1), !weight.is_none(), !bias.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbRowArrays arrays{input(x, "x", dtype, {s.rows, s.n}), input(weight, "weight", dtype, {s.n}),
                           input(bias, "bias", dtype, {s.n}), output(y, "y", dtype, {s.rows, s.n})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_layer_norm(rung, dtype, &s, &arrays, epsilon, threads, counts, error);
  });
}

inline void define_rows(py::module_& module) {
  module.def("softmax", &softmax, "x"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("layer_norm", &layer_norm, "x"_a, "weight"_a, "bias"_a, "y"_a, "epsilon"_a, "variant"_a, "threads"_a,
             "counting"_a);
}

}  // namespace eb::bindings
