#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

template <EbSoftmax kKind>
py::object softmax(const py::array& x, const py::object& kept, const py::array& y, const std::string& variant,
                   int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  require(kept.is_none() == (kKind == EB_SOFTMAX_softmax_forward || kKind == EB_SOFTMAX_log_softmax_forward),
          "the backward pass needs y, the forward pass has none");
  const RowShape s{x.shape(0), x.shape(1), 0, 0, 0};
  const EbDtype dtype = dtype_of(x);
  const EbSoftmaxArrays arrays{input(x, "x", dtype, {s.rows, s.n}), input(kept, "kept", dtype, {s.rows, s.n}),
                               output(y, "y", dtype, {s.rows, s.n})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_softmax(rung, kKind, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object layer_norm(const py::array& x, const py::object& weight, const py::object& bias, const py::array& y,
                             const py::object& mean, const py::object& rstd, double epsilon, const std::string& variant,
                             int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  require(mean.is_none() == rstd.is_none(), "mean and rstd come together");
  const RowShape s{x.shape(0), x.shape(1), !weight.is_none(), !bias.is_none(), !mean.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbLayerNormArrays arrays{input(x, "x", dtype, {s.rows, s.n}),
                                 input(weight, "weight", dtype, {s.n}),
                                 input(bias, "bias", dtype, {s.n}),
                                 output(y, "y", dtype, {s.rows, s.n}),
                                 output(mean, "mean", dtype, {s.rows}),
                                 output(rstd, "rstd", dtype, {s.rows}),
                                 nullptr,
                                 nullptr,
                                 nullptr};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_layer_norm(rung, dtype, &s, &arrays, epsilon, threads, counts, error);
  });
}

inline py::object layer_norm_backward(const py::array& grad, const py::array& x, const py::array& mean,
                                      const py::array& rstd, const py::object& weight, const py::array& dx,
                                      const py::object& dweight, const py::object& dbias, const std::string& variant,
                                      int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  require(weight.is_none() == dweight.is_none(), "a weight has a gradient");
  const RowShape s{x.shape(0), x.shape(1), !weight.is_none(), !dbias.is_none(), 1};
  const EbDtype dtype = dtype_of(x);
  const EbLayerNormArrays arrays{input(x, "x", dtype, {s.rows, s.n}),
                                 input(weight, "weight", dtype, {s.n}),
                                 nullptr,
                                 output(dx, "dx", dtype, {s.rows, s.n}),
                                 const_cast<void*>(input(mean, "mean", dtype, {s.rows})),
                                 const_cast<void*>(input(rstd, "rstd", dtype, {s.rows})),
                                 input(grad, "grad", dtype, {s.rows, s.n}),
                                 output(dweight, "dweight", dtype, {s.n}),
                                 output(dbias, "dbias", dtype, {s.n})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_layer_norm_backward(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_rows(py::module_& module) {
#define EB_DEFINE(name, kind) \
  module.def(name, &softmax<kind>, "x"_a, "kept"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
  EB_DEFINE("softmax", EB_SOFTMAX_softmax_forward)
  EB_DEFINE("softmax_backward", EB_SOFTMAX_softmax_backward)
  EB_DEFINE("log_softmax", EB_SOFTMAX_log_softmax_forward)
  EB_DEFINE("log_softmax_backward", EB_SOFTMAX_log_softmax_backward)
#undef EB_DEFINE
  module.def("layer_norm", &layer_norm, "x"_a, "weight"_a, "bias"_a, "y"_a, "mean"_a, "rstd"_a, "epsilon"_a,
             "variant"_a, "threads"_a, "counting"_a);
  module.def("layer_norm_backward", &layer_norm_backward, "grad"_a, "x"_a, "mean"_a, "rstd"_a, "weight"_a, "dx"_a,
             "dweight"_a, "dbias"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
