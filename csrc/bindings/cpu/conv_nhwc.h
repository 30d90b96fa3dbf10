#pragma once

#include <utility>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

// x[n,h,w,c] and w[co,kh,kw,ci]: channels innermost. `direct` is depthwise: an output channel for each input channel.
inline py::object conv2d_nhwc(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                              std::pair<Index, Index> stride, std::pair<Index, Index> padding,
                              std::pair<Index, Index> dilation, Index groups, const std::string& variant, int threads,
                              bool counting) {
  require(x.ndim() == 4 && w.ndim() == 4, "x and w must have four dimensions");
  require(stride.first > 0 && stride.second > 0 && dilation.first > 0 && dilation.second > 0 && padding.first >= 0 &&
              padding.second >= 0 && groups > 0,
          "stride, dilation and groups must be positive, padding not negative");
  ConvShape s{};
  s.N = x.shape(0), s.H = x.shape(1), s.W = x.shape(2), s.C_in = x.shape(3);
  s.C_out = w.shape(0), s.KH = w.shape(1), s.KW = w.shape(2);
  s.stride_h = stride.first, s.stride_w = stride.second;
  s.padding_h = padding.first, s.padding_w = padding.second;
  s.dilation_h = dilation.first, s.dilation_w = dilation.second;
  s.groups = groups;
  s.has_bias = bias.is_none() ? 0 : 1;
  s.direct = groups == s.C_in && groups == s.C_out ? 1 : 0;
  require(s.KH > 0 && s.KW > 0 && s.C_in % groups == 0 && s.C_out % groups == 0, "channels and groups do not fit");
  const EbDtype dtype = dtype_of(x);
  const EbConv2dArrays arrays{
      input(x, "x", dtype, {s.N, s.H, s.W, s.C_in}), input(w, "w", dtype, {s.C_out, s.KH, s.KW, s.C_in_per_group()}),
      input(bias, "bias", dtype, {s.C_out}), output(y, "y", dtype, {s.N, s.H_out(), s.W_out(), s.C_out})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d_nhwc(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_conv_nhwc(py::module_& module) {
  module.def("conv2d_nhwc", &conv2d_nhwc, "x"_a, "w"_a, "bias"_a, "y"_a, "stride"_a, "padding"_a, "dilation"_a,
             "groups"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
