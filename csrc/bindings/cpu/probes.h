#pragma once

#include "bindings/cpu/arrays.h"
#include "cpu/probes.h"

namespace eb::bindings {

inline py::object probe_fma(const py::array& x, const py::array& y, Index steps, const std::string& variant,
                            int threads, bool counting) {
  require(x.ndim() == 3 && steps >= 0, "x must have three dimensions and steps must not be negative");
  const EbDtype dtype = dtype_of(x);
  const Index narrow = dtype == EB_DTYPE_float32 ? 8 : 4;
  const int wide = x.shape(2) == 2 * narrow;
  const Index lanes = wide ? 2 * narrow : narrow;
  const FmaProbeShape s{x.shape(0), steps, wide};
  const void* source = input(x, "x", dtype, {s.streams, 14, lanes});
  void* target = output(y, "y", dtype, {s.streams});
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
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
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_probe_stream(rung, dtype, &s, source, target, threads, counts, error);
  });
}

inline EbProbe probe_named(const std::string& name) {
#define EB_NAME(kind) \
  if (name == #kind) return EB_PROBE_##kind;
  EB_PROBE_NAMES(EB_NAME)
#undef EB_NAME
  throw py::value_error("unknown probe " + name);
}

// Probes of one kind of work. A chase has int64 arrays (dtype is then that of no array); its cycle is `places`.
inline py::object probe(const std::string& kind, const py::object& x, const py::object& y, const py::object& places,
                        const py::object& ends, Index n, Index times, Index chains, const std::string& variant,
                        int threads, bool counting) {
  const EbProbe probe = probe_named(kind);
  require(n > 0 && times > 0 && chains > 0 && chains <= n, "sizes must be positive, and chains no more than places");
  require(variant == "naive", "probes have one rung");
  const EbProbeShape s{n, times, chains};
  const bool sums = probe == EB_PROBE_intensity || probe == EB_PROBE_read;
  const bool reads = probe != EB_PROBE_write && probe != EB_PROBE_launch && probe != EB_PROBE_chase;
  require(x.is_none() != reads && y.is_none() == (probe == EB_PROBE_launch || probe == EB_PROBE_chase) &&
              places.is_none() == (probe != EB_PROBE_chase) && ends.is_none() == (probe != EB_PROBE_chase),
          "this probe has other arrays");
  EbProbeArrays arrays{};
  EbDtype dtype = EB_DTYPE_float32;
  if (probe == EB_PROBE_chase) {
    require(py::isinstance<py::array_t<std::int64_t>>(places) && py::isinstance<py::array_t<std::int64_t>>(ends),
            "places must be int64");
    arrays.places = data_of(places, "places", {n}, false);
    arrays.ends = data_of(ends, "ends", {chains}, true);
  } else if (!y.is_none()) {
    dtype = dtype_of(py::cast<py::array>(y));
    arrays.x = input(x, "x", dtype, {n});
    arrays.y = output(y, "y", dtype, {sums ? (n + kProbeBlock - 1) / kProbeBlock : n});
  }
  return run(variant, threads, counting, [=](EbVariant, OpCounts* counts, EbError* error) {
    return eb_cpu_probe(probe, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_probes(py::module_& module) {
  module.def("probe", &probe, "kind"_a, "x"_a, "y"_a, "places"_a, "ends"_a, "n"_a, "times"_a, "chains"_a, "variant"_a,
             "threads"_a, "counting"_a);
  module.def("probe_fma", &probe_fma, "x"_a, "y"_a, "steps"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("probe_stream", &probe_stream, "x"_a, "y"_a, "repeats"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
