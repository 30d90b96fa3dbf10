#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object gru(const py::array& x, const py::array& h0, const py::array& w_ih, const py::array& w_hh,
                      const py::object& b_ih, const py::object& b_hh, const py::object& w_io, const py::object& w_ho,
                      const py::object& b_io, const py::object& b_ho, const py::array& y, const py::array& h_n,
                      const py::object& state, const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 3 && h0.ndim() == 2, "x must have three dimensions and h0 two");
  const bool has_output_gate = !w_io.is_none();
  const bool has_bias = !b_ih.is_none();
  require(b_hh.is_none() != has_bias && w_ho.is_none() != has_output_gate && state.is_none() != has_output_gate,
          "biases come in pairs, and an output gate has two weights and a state");
  const bool has_output_bias = has_bias && has_output_gate;
  require(b_io.is_none() != has_output_bias && b_ho.is_none() != has_output_bias,
          "the output gate has biases exactly when the cell has");
  const GruShape s{x.shape(0), x.shape(1), x.shape(2), h0.shape(1), has_bias, has_output_gate};
  const EbDtype dtype = dtype_of(x);
  const EbGruArrays arrays{input(x, "x", dtype, {s.T, s.B, s.I}),       input(h0, "h0", dtype, {s.B, s.H}),
                           input(w_ih, "w_ih", dtype, {3 * s.H, s.I}),  input(w_hh, "w_hh", dtype, {3 * s.H, s.H}),
                           input(b_ih, "b_ih", dtype, {3 * s.H}),       input(b_hh, "b_hh", dtype, {3 * s.H}),
                           input(w_io, "w_io", dtype, {s.H, s.I}),      input(w_ho, "w_ho", dtype, {s.H, s.H}),
                           input(b_io, "b_io", dtype, {s.H}),           input(b_ho, "b_ho", dtype, {s.H}),
                           output(y, "y", dtype, {s.T, s.B, s.H}),      output(h_n, "h_n", dtype, {s.B, s.H}),
                           output(state, "state", dtype, {2, s.B, s.H})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_gru(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_gru(py::module_& module) {
  module.def("gru", &gru, "x"_a, "h0"_a, "w_ih"_a, "w_hh"_a, "b_ih"_a, "b_hh"_a, "w_io"_a, "w_ho"_a, "b_io"_a, "b_ho"_a,
             "y"_a, "h_n"_a, "state"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
