#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object batch_norm(const py::array& x, const py::object& weight, const py::object& bias,
                             const py::object& running_mean, const py::object& running_var, const py::array& y,
                             const py::object& mean, const py::object& rstd, const py::object& new_mean,
                             const py::object& new_var, double momentum, double epsilon, bool training,
                             const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 3, "x must have three dimensions");
  require(running_mean.is_none() == running_var.is_none() && mean.is_none() == rstd.is_none(),
          "means and variances come together");
  const bool has_running = !running_mean.is_none(), updated = has_running && training;
  require(training || has_running, "inference needs running statistics");
  require(new_mean.is_none() != updated && new_var.is_none() != updated && (training || mean.is_none()),
          "training writes the new running statistics, inference keeps none");
  const BatchNormShape s{x.shape(0),      x.shape(1),  x.shape(2), !weight.is_none(),
                         !bias.is_none(), has_running, training,   !mean.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbBatchNormArrays arrays{input(x, "x", dtype, {s.N, s.C, s.S}),
                                 input(weight, "weight", dtype, {s.C}),
                                 input(bias, "bias", dtype, {s.C}),
                                 input(running_mean, "running_mean", dtype, {s.C}),
                                 input(running_var, "running_var", dtype, {s.C}),
                                 output(y, "y", dtype, {s.N, s.C, s.S}),
                                 output(mean, "mean", dtype, {s.C}),
                                 output(rstd, "rstd", dtype, {s.C}),
                                 output(new_mean, "new_mean", dtype, {s.C}),
                                 output(new_var, "new_var", dtype, {s.C}),
                                 nullptr,
                                 nullptr,
                                 nullptr};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_batch_norm(rung, dtype, &s, &arrays, momentum, epsilon, threads, counts, error);
  });
}

inline py::object batch_norm_backward(const py::array& grad, const py::array& x, const py::object& mean,
                                      const py::array& spread, const py::object& weight, const py::array& dx,
                                      const py::object& dweight, const py::object& dbias, double epsilon, bool training,
                                      const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 3, "x must have three dimensions");
  require(weight.is_none() == dweight.is_none(), "a weight has a gradient");
  require(!mean.is_none(), "the backward pass needs the mean");
  const BatchNormShape s{x.shape(0), x.shape(1), x.shape(2), !weight.is_none(), !dbias.is_none(), 0, training, 0};
  const EbDtype dtype = dtype_of(x);
  const EbBatchNormArrays arrays{input(x, "x", dtype, {s.N, s.C, s.S}),
                                 input(weight, "weight", dtype, {s.C}),
                                 nullptr,
                                 nullptr,
                                 nullptr,
                                 output(dx, "dx", dtype, {s.N, s.C, s.S}),
                                 const_cast<void*>(input(mean, "mean", dtype, {s.C})),
                                 const_cast<void*>(input(spread, "rstd or var", dtype, {s.C})),
                                 nullptr,
                                 nullptr,
                                 input(grad, "grad", dtype, {s.N, s.C, s.S}),
                                 output(dweight, "dweight", dtype, {s.C}),
                                 output(dbias, "dbias", dtype, {s.C})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_batch_norm_backward(rung, dtype, &s, &arrays, epsilon, threads, counts, error);
  });
}

inline py::object cross_entropy(const py::array& x, const py::array& targets, const py::array& y, const py::array& loss,
                                const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  const RowShape s{x.shape(0), x.shape(1), 0, 0, 0};
  const EbDtype dtype = dtype_of(x);
  const EbCrossEntropyArrays arrays{input(x, "x", dtype, {s.rows, s.n}),
                                    other_data_of<std::int64_t>(targets, "targets", {s.rows}, false),
                                    output(y, "y", dtype, {s.rows, s.n}), output(loss, "loss", dtype, {1}), nullptr};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_cross_entropy(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object cross_entropy_backward(const py::array& grad, const py::array& y, const py::array& targets,
                                         const py::array& dx, const std::string& variant, int threads, bool counting) {
  require(y.ndim() == 2, "y must have two dimensions");
  const RowShape s{y.shape(0), y.shape(1), 0, 0, 0};
  const EbDtype dtype = dtype_of(y);
  const EbCrossEntropyArrays arrays{nullptr, other_data_of<std::int64_t>(targets, "targets", {s.rows}, false),
                                    const_cast<void*>(input(y, "y", dtype, {s.rows, s.n})),
                                    const_cast<void*>(input(grad, "grad", dtype, {1})),
                                    output(dx, "dx", dtype, {s.rows, s.n})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_cross_entropy_backward(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object dropout(const py::array& x, const py::array& y, const py::array& mask, double keep,
                          std::uint64_t seed, const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 1, "x must have one dimension");
  require(keep > 0 && keep <= 1, "keep must be a probability that is not zero");
  const EbDtype dtype = dtype_of(x);
  const Index n = x.shape(0);
  const EbDropoutArrays arrays{input(x, "x", dtype, {n}), output(y, "y", dtype, {n}),
                               other_data_of<std::uint8_t>(mask, "mask", {n}, true)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_dropout(rung, dtype, n, &arrays, keep, seed, threads, counts, error);
  });
}

inline py::object dropout_backward(const py::array& grad, const py::array& mask, const py::array& dx, double keep,
                                   const std::string& variant, int threads, bool counting) {
  require(grad.ndim() == 1, "grad must have one dimension");
  require(keep > 0 && keep <= 1, "keep must be a probability that is not zero");
  const EbDtype dtype = dtype_of(grad);
  const Index n = grad.shape(0);
  const EbDropoutArrays arrays{input(grad, "grad", dtype, {n}), output(dx, "dx", dtype, {n}),
                               other_data_of<std::uint8_t>(mask, "mask", {n}, false)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_dropout_backward(rung, dtype, n, &arrays, keep, threads, counts, error);
  });
}

inline void define_training(py::module_& module) {
  module.def("batch_norm", &batch_norm, "x"_a, "weight"_a, "bias"_a, "running_mean"_a, "running_var"_a, "y"_a, "mean"_a,
             "rstd"_a, "new_mean"_a, "new_var"_a, "momentum"_a, "epsilon"_a, "training"_a, "variant"_a, "threads"_a,
             "counting"_a);
  module.def("batch_norm_backward", &batch_norm_backward, "grad"_a, "x"_a, "mean"_a, "spread"_a, "weight"_a, "dx"_a,
             "dweight"_a, "dbias"_a, "epsilon"_a, "training"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("cross_entropy", &cross_entropy, "x"_a, "targets"_a, "y"_a, "loss"_a, "variant"_a, "threads"_a,
             "counting"_a);
  module.def("cross_entropy_backward", &cross_entropy_backward, "grad"_a, "y"_a, "targets"_a, "dx"_a, "variant"_a,
             "threads"_a, "counting"_a);
  module.def("dropout", &dropout, "x"_a, "y"_a, "mask"_a, "keep"_a, "seed"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("dropout_backward", &dropout_backward, "grad"_a, "mask"_a, "dx"_a, "keep"_a, "variant"_a, "threads"_a,
             "counting"_a);
}

}  // namespace eb::bindings
