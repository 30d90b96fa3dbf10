#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

// Sizes from x and w as they are stored.
inline LinearShape linear_shape(const py::array& x, const py::array& w, bool has_bias, bool x_transposed,
                                bool w_transposed) {
  require(x.ndim() == 2 && w.ndim() == 2, "x and w must have two dimensions");
  const LinearShape s{x.shape(x_transposed), x.shape(!x_transposed), w.shape(w_transposed), has_bias, x_transposed,
                      w_transposed};
  require(w.shape(!w_transposed) == s.K, "x and w must have one K");
  return s;
}

inline py::object linear(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                         bool x_transposed, bool w_transposed, const std::string& variant, int threads, bool counting) {
  const LinearShape s = linear_shape(x, w, !bias.is_none(), x_transposed, w_transposed);
  const EbDtype dtype = dtype_of(x);
  const EbLinearArrays arrays{input(x, "x", dtype, {x.shape(0), x.shape(1)}),
                              input(w, "w", dtype, {w.shape(0), w.shape(1)}), input(bias, "bias", dtype, {s.N}),
                              output(y, "y", dtype, {s.M, s.N})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_linear(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object linear_backward(const py::array& grad, const py::array& x, const py::array& w, const py::array& dx,
                                  const py::array& dw, const py::object& db, bool x_transposed, bool w_transposed,
                                  const std::string& variant, int threads, bool counting) {
  const LinearShape s = linear_shape(x, w, !db.is_none(), x_transposed, w_transposed);
  const EbDtype dtype = dtype_of(x);
  const EbLinearBackwardArrays arrays{input(grad, "grad", dtype, {s.M, s.N}),
                                      input(x, "x", dtype, {x.shape(0), x.shape(1)}),
                                      input(w, "w", dtype, {w.shape(0), w.shape(1)}),
                                      output(dx, "dx", dtype, {x.shape(0), x.shape(1)}),
                                      output(dw, "dw", dtype, {w.shape(0), w.shape(1)}),
                                      output(db, "db", dtype, {s.N})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_linear_backward(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_linear(py::module_& module) {
  module.def("linear", &linear, "x"_a, "w"_a, "bias"_a, "y"_a, "x_transposed"_a, "w_transposed"_a, "variant"_a,
             "threads"_a, "counting"_a);
  module.def("linear_backward", &linear_backward, "grad"_a, "x"_a, "w"_a, "dx"_a, "dw"_a, "db"_a, "x_transposed"_a,
             "w_transposed"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
