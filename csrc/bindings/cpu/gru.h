#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object gru(const py::array& x, const py::array& h0, const py::array& w_ih, const py::array& w_hh,
                      const py::object& b_ih, const py::object& b_hh, const py::object& w_io, const py::object& w_ho,
                      const py::object& b_io, const py::object& b_ho, const py::array& y, const py::array& h_n,
                      const py::object& state, const py::object& gates, const std::string& variant, int threads,
                      bool counting) {
  require(x.ndim() == 3 && h0.ndim() == 2, "x must have three dimensions and h0 two");
  const bool has_output_gate = !w_io.is_none();
  const bool has_bias = !b_ih.is_none();
  require(b_hh.is_none() != has_bias && w_ho.is_none() != has_output_gate && state.is_none() != has_output_gate,
          "biases come in pairs, and an output gate has two weights and a state");
  const bool has_output_bias = has_bias && has_output_gate;
  require(b_io.is_none() != has_output_bias && b_ho.is_none() != has_output_bias,
          "the output gate has biases exactly when the cell has");
  const GruShape s{x.shape(0), x.shape(1), x.shape(2), h0.shape(1), has_bias, has_output_gate, !gates.is_none(), 0};
  const EbDtype dtype = dtype_of(x);
  const EbGruArrays arrays{input(x, "x", dtype, {s.T, s.B, s.I}),
                           input(h0, "h0", dtype, {s.B, s.H}),
                           input(w_ih, "w_ih", dtype, {3 * s.H, s.I}),
                           input(w_hh, "w_hh", dtype, {3 * s.H, s.H}),
                           input(b_ih, "b_ih", dtype, {3 * s.H}),
                           input(b_hh, "b_hh", dtype, {3 * s.H}),
                           input(w_io, "w_io", dtype, {s.H, s.I}),
                           input(w_ho, "w_ho", dtype, {s.H, s.H}),
                           input(b_io, "b_io", dtype, {s.H}),
                           input(b_ho, "b_ho", dtype, {s.H}),
                           output(y, "y", dtype, {s.T, s.B, s.H}),
                           output(h_n, "h_n", dtype, {s.B, s.H}),
                           output(state, "state", dtype, {2, s.B, s.H}),
                           output(gates, "gates", dtype, {s.T, s.B, s.kept(), s.H})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_gru(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object gru_backward(const py::array& grad, const py::object& grad_h, const py::array& x, const py::array& h0,
                               const py::object& y, const py::array& gates, const py::array& w_ih,
                               const py::array& w_hh, const py::object& w_io, const py::object& w_ho,
                               const py::array& dx, const py::array& dh0, const py::array& dw_ih,
                               const py::array& dw_hh, const py::object& db_ih, const py::object& db_hh,
                               const py::object& dw_io, const py::object& dw_ho, const py::object& db_io,
                               const py::object& db_ho, const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 3 && h0.ndim() == 2, "x must have three dimensions and h0 two");
  const bool has_output_gate = !w_io.is_none();
  const bool has_bias = !db_ih.is_none();
  const bool has_output_bias = has_bias && has_output_gate;
  require(w_ho.is_none() != has_output_gate && dw_io.is_none() != has_output_gate &&
              dw_ho.is_none() != has_output_gate && y.is_none() == has_output_gate,
          "an output gate has two weights and their gradients, and takes the place of y");
  require(db_hh.is_none() != has_bias && db_io.is_none() != has_output_bias && db_ho.is_none() != has_output_bias,
          "the biases' gradients come together");
  const GruShape s{x.shape(0), x.shape(1), x.shape(2), h0.shape(1), has_bias, has_output_gate, 0, !grad_h.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbGruBackwardArrays arrays{
      input(grad, "grad", dtype, {s.T, s.B, s.H}),   input(grad_h, "grad_h", dtype, {s.B, s.H}),
      input(x, "x", dtype, {s.T, s.B, s.I}),         input(h0, "h0", dtype, {s.B, s.H}),
      input(y, "y", dtype, {s.T, s.B, s.H}),         input(gates, "gates", dtype, {s.T, s.B, s.kept(), s.H}),
      input(w_ih, "w_ih", dtype, {3 * s.H, s.I}),    input(w_hh, "w_hh", dtype, {3 * s.H, s.H}),
      input(w_io, "w_io", dtype, {s.H, s.I}),        input(w_ho, "w_ho", dtype, {s.H, s.H}),
      output(dx, "dx", dtype, {s.T, s.B, s.I}),      output(dh0, "dh0", dtype, {s.B, s.H}),
      output(dw_ih, "dw_ih", dtype, {3 * s.H, s.I}), output(dw_hh, "dw_hh", dtype, {3 * s.H, s.H}),
      output(db_ih, "db_ih", dtype, {3 * s.H}),      output(db_hh, "db_hh", dtype, {3 * s.H}),
      output(dw_io, "dw_io", dtype, {s.H, s.I}),     output(dw_ho, "dw_ho", dtype, {s.H, s.H}),
      output(db_io, "db_io", dtype, {s.H}),          output(db_ho, "db_ho", dtype, {s.H})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_gru_backward(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_gru(py::module_& module) {
  module.def("gru", &gru, "x"_a, "h0"_a, "w_ih"_a, "w_hh"_a, "b_ih"_a, "b_hh"_a, "w_io"_a, "w_ho"_a, "b_io"_a, "b_ho"_a,
             "y"_a, "h_n"_a, "state"_a, "gates"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("gru_backward", &gru_backward, "grad"_a, "grad_h"_a, "x"_a, "h0"_a, "y"_a, "gates"_a, "w_ih"_a, "w_hh"_a,
             "w_io"_a, "w_ho"_a, "dx"_a, "dh0"_a, "dw_ih"_a, "dw_hh"_a, "db_ih"_a, "db_hh"_a, "dw_io"_a, "dw_ho"_a,
             "db_io"_a, "db_ho"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
