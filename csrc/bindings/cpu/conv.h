#pragma once

#include <utility>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

using Pair = std::pair<Index, Index>;

// A shape that was read from a call. Raises where it cannot be convolved.
inline ConvShape checked(const ConvShape& s) {
  require(s.stride_h > 0 && s.stride_w > 0 && s.dilation_h > 0 && s.dilation_w > 0 && s.padding_h >= 0 &&
              s.padding_w >= 0 && s.groups > 0,
          "stride, dilation and groups must be positive, padding not negative");
  require(s.KH > 0 && s.KW > 0 && s.C_in % s.groups == 0 && s.C_out % s.groups == 0, "channels and groups do not fit");
  return s;
}

// The shape of a convolution of images of x's sizes with weights of w's.
inline ConvShape conv_shape(const py::array& x, const py::array& w, bool has_bias, Pair stride, Pair padding,
                            Pair dilation, Index groups, bool direct) {
  require(x.ndim() == 4 && w.ndim() == 4, "x and w must have four dimensions");
  return checked({x.shape(0), x.shape(1), x.shape(2), x.shape(3), w.shape(0), w.shape(2), w.shape(3), stride.first,
                  stride.second, padding.first, padding.second, dilation.first, dilation.second, groups,
                  has_bias ? 1 : 0, direct ? 1 : 0});
}

inline py::object conv2d(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                         Pair stride, Pair padding, Pair dilation, Index groups, bool direct,
                         const std::string& variant, int threads, bool counting) {
  const ConvShape s = conv_shape(x, w, !bias.is_none(), stride, padding, dilation, groups, direct);
  const EbDtype dtype = dtype_of(x);
  const EbConv2dArrays arrays{
      input(x, "x", dtype, {s.N, s.C_in, s.H, s.W}), input(w, "w", dtype, {s.C_out, s.C_in_per_group(), s.KH, s.KW}),
      input(bias, "bias", dtype, {s.C_out}), output(y, "y", dtype, {s.N, s.C_out, s.H_out(), s.W_out()})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object conv2d_backward(const py::array& dy, const py::array& x, const py::array& w, const py::array& dx,
                                  const py::array& dw, const py::object& db, Pair stride, Pair padding, Pair dilation,
                                  Index groups, bool direct, const std::string& variant, int threads, bool counting) {
  const ConvShape s = conv_shape(x, w, !db.is_none(), stride, padding, dilation, groups, direct);
  const EbDtype dtype = dtype_of(x);
  const EbConv2dBackwardArrays arrays{input(dy, "dy", dtype, {s.N, s.C_out, s.H_out(), s.W_out()}),
                                      input(x, "x", dtype, {s.N, s.C_in, s.H, s.W}),
                                      input(w, "w", dtype, {s.C_out, s.C_in_per_group(), s.KH, s.KW}),
                                      output(dx, "dx", dtype, {s.N, s.C_in, s.H, s.W}),
                                      output(dw, "dw", dtype, {s.C_out, s.C_in_per_group(), s.KH, s.KW}),
                                      output(db, "db", dtype, {s.C_out})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d_backward(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_conv(py::module_& module) {
  module.def("conv2d", &conv2d, "x"_a, "w"_a, "bias"_a, "y"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
             "direct"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("conv2d_backward", &conv2d_backward, "dy"_a, "x"_a, "w"_a, "dx"_a, "dw"_a, "db"_a, "stride"_a, "padding"_a,
             "dilation"_a, "groups"_a, "direct"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
