#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

template <EbPointwise kFunction>
py::object pointwise(const py::array& x, const py::array& y, const std::string& variant, int threads, bool counting) {
  require(x.ndim() == 1, "x must have one dimension");
  const Index n = x.shape(0);
  const EbDtype dtype = dtype_of(x);
  const EbElementArrays arrays{input(x, "x", dtype, {n}), output(y, "y", dtype, {n})};
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_pointwise(rung, kFunction, dtype, n, &arrays, threads, counts, error);
  });
}

inline void define_pointwise(py::module_& module) {
#define EB_DEFINE(name) \
  module.def(#name, &pointwise<EB_POINTWISE_##name>, "x"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
  EB_DEFINE(relu)
  EB_DEFINE(sigmoid)
  EB_DEFINE(tanh)
  EB_DEFINE(gelu)
#undef EB_DEFINE
}

}  // namespace eb::bindings
