#pragma once

#include <pybind11/stl.h>

#include <vector>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

// `inputs` and `outputs` are those of kernels/elementwise.h in order, all of n elements save inputs[0] and outputs[0],
// which have repeats · n.
template <EbElementwise kFunction>
py::object elementwise(const py::object& w, const py::list& inputs, const py::list& outputs,
                       const std::vector<double>& parameters, Index repeats, const std::string& variant, int threads,
                       bool counting) {
  require(inputs.size() <= 3 && outputs.size() >= 1 && outputs.size() <= 3 && parameters.size() <= 7 && repeats >= 1,
          "at most three inputs, one to three outputs, seven parameters and one repeat or more");
  const auto first = py::cast<py::array>(outputs[0]);
  require(first.ndim() == 1 && first.shape(0) % repeats == 0, "arrays must have one dimension, outputs[0] all repeats");
  const EbDtype dtype = dtype_of(first);
  const Index n = first.shape(0) / repeats;
  EbElementwiseArrays arrays{input(w, "w", dtype, {n}), {}, {}, {}, repeats};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    arrays.inputs[i] = input(inputs[i], "input", dtype, {i == 0 ? repeats * n : n});
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    arrays.outputs[i] = output(outputs[i], "output", dtype, {i == 0 ? repeats * n : n});
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) arrays.parameters[i] = parameters[i];
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_elementwise(rung, kFunction, dtype, n, &arrays, threads, counts, error);
  });
}

inline void define_elementwise(py::module_& module) {
#define EB_NAME(name)                                                                                                 \
  module.def(#name, &elementwise<EB_ELEMENTWISE_##name>, "w"_a, "inputs"_a, "outputs"_a, "parameters"_a, "repeats"_a, \
             "variant"_a, "threads"_a, "counting"_a);
  EB_ELEMENTWISE_NAMES(EB_NAME)
#undef EB_NAME
}

}  // namespace eb::bindings
