#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline py::object probe_fma(const py::array& x, const py::array& y, Index steps, const std::string& variant,
                            int threads, bool counting) {
  require(x.ndim() == 3 && steps >= 0, "x must have three dimensions and steps must not be negative");
  const EbDtype dtype = dtype_of(x);
  const Index lanes = dtype == EB_DTYPE_float32 ? 8 : 4;
  const FmaProbeShape s{x.shape(0), steps};
  const void* source = input(x, "x", dtype, {s.streams, 14, lanes});
  void* target = output(y, "y", dtype, {s.streams});
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_probe_fma(rung, dtype, &s, source, target, threads, counts, error);
  });
}

inline py::object probe_stream(const py::array& x, const py::array& y, Index repeats, const std::string& variant,
                               int threads, bool counting) {
  require(x.ndim() == 1 && repeats >= 0, "x must have one dimension and repeats must not be negative");
  const EbDtype dtype = dtype_of(x);
  const StreamProbeShape s{x.shape(0), repeats};
  const void* source = input(x, "x", dtype, {s.n});
  void* target = output(y, "y", dtype, {s.n});
  return run(variant, threads, counting, [&](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_probe_stream(rung, dtype, &s, source, target, threads, counts, error);
  });
}

inline void define_probes(py::module_& module) {
  module.def("probe_fma", &probe_fma, "x"_a, "y"_a, "steps"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("probe_stream", &probe_stream, "x"_a, "y"_a, "repeats"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
