#pragma once

#include "bindings/cpu/arrays.h"
#include "bindings/cpu/conv.h"

namespace eb::bindings {

// The shape of a convolution of x[n,h,w,c] with w[co,kh,kw,ci], channels innermost.
inline ConvShape conv_nhwc_shape(const py::array& x, const py::array& w, bool has_bias, Pair stride, Pair padding,
                                 Pair dilation, Index groups, bool direct) {
  require(x.ndim() == 4 && w.ndim() == 4, "x and w must have four dimensions");
  return checked({x.shape(0), x.shape(3), x.shape(1), x.shape(2), w.shape(0), w.shape(1), w.shape(2), stride.first,
                  stride.second, padding.first, padding.second, dilation.first, dilation.second, groups,
                  has_bias ? 1 : 0, direct ? 1 : 0});
}

// A tuned rung works `direct` where it is depthwise: an output channel for each input channel.
inline py::object conv2d_nhwc(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                              Pair stride, Pair padding, Pair dilation, Index groups, const std::string& variant,
                              int threads, bool counting) {
  ConvShape s = conv_nhwc_shape(x, w, !bias.is_none(), stride, padding, dilation, groups, false);
  s.direct = groups == s.C_in && groups == s.C_out ? 1 : 0;
  const EbDtype dtype = dtype_of(x);
  const EbConv2dArrays arrays{
      input(x, "x", dtype, {s.N, s.H, s.W, s.C_in}), input(w, "w", dtype, {s.C_out, s.KH, s.KW, s.C_in_per_group()}),
      input(bias, "bias", dtype, {s.C_out}), output(y, "y", dtype, {s.N, s.H_out(), s.W_out(), s.C_out})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d_nhwc(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object conv2d_nhwc_backward(const py::array& dy, const py::array& x, const py::array& w, const py::array& dx,
                                       const py::array& dw, const py::object& db, const py::object& scratch,
                                       Pair stride, Pair padding, Pair dilation, Index groups, bool direct,
                                       const std::string& variant, int threads, bool counting) {
  const ConvShape s = conv_nhwc_shape(x, w, !db.is_none(), stride, padding, dilation, groups, direct);
  const EbDtype dtype = dtype_of(x);
  const EbConv2dBackwardArrays arrays{input(dy, "dy", dtype, {s.N, s.H_out(), s.W_out(), s.C_out}),
                                      input(x, "x", dtype, {s.N, s.H, s.W, s.C_in}),
                                      input(w, "w", dtype, {s.C_out, s.KH, s.KW, s.C_in_per_group()}),
                                      output(dx, "dx", dtype, {s.N, s.H, s.W, s.C_in}),
                                      output(dw, "dw", dtype, {s.C_out, s.KH, s.KW, s.C_in_per_group()}),
                                      output(db, "db", dtype, {s.C_out})};
  const Index elements = eb_cpu_conv2d_nhwc_scratch(&s);
  require(elements == 0 || !scratch.is_none(), "scratch: memory for copies is missing");
  void* memory = output(scratch, "scratch", dtype, {elements});
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d_nhwc_backward(rung, dtype, &s, &arrays, memory, threads, counts, error);
  });
}

inline void define_conv_nhwc(py::module_& module) {
  module.def("conv2d_nhwc", &conv2d_nhwc, "x"_a, "w"_a, "bias"_a, "y"_a, "stride"_a, "padding"_a, "dilation"_a,
             "groups"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("conv2d_nhwc_backward", &conv2d_nhwc_backward, "dy"_a, "x"_a, "w"_a, "dx"_a, "dw"_a, "db"_a, "scratch"_a,
             "stride"_a, "padding"_a, "dilation"_a, "groups"_a, "direct"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
