// What the bindings of the CUDA kernels share: arguments checked, the GIL released, counts or None.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/counts_dict.h"
#include "cuda/api.h"

namespace eb::bindings {

namespace py = pybind11;

using Addresses = std::vector<std::uintptr_t>;

inline EbDtype dtype_named(const std::string& name) {
#define EB_TYPE(type_name, type) \
  if (name == #type_name) return EB_DTYPE_##type_name;
  EB_DTYPES(EB_TYPE)
#undef EB_TYPE
  throw py::type_error("unsupported element type " + name);
}

inline void* at(const Addresses& addresses, std::size_t i) { return reinterpret_cast<void*>(addresses[i]); }

inline void require(bool condition, const char* message) {
  if (!condition) throw py::value_error(message);
}

inline void require_sizes(const std::vector<Index>& sizes, std::size_t count, const Addresses& addresses,
                          std::size_t arrays) {
  require(sizes.size() == count && addresses.size() == arrays, "wrong number of sizes or arrays");
  for (const Index size : sizes) require(size >= 0, "sizes must not be negative");
}

// From N, C_in, H, W, C_out, KH, KW, and stride, padding and dilation for height and width, and groups.
inline ConvShape conv_shape(const std::vector<Index>& z, bool has_bias) {
  require(z[7] > 0 && z[8] > 0 && z[11] > 0 && z[12] > 0 && z[13] > 0, "stride, dilation and groups must be positive");
  return {z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7], z[8], z[9], z[10], z[11], z[12], z[13], has_bias, 0};
}

// Launches without the GIL; returns the counts, or None when not asked to count.
template <class Kernel>
py::object run(bool counting, const Kernel& kernel) {
  OpCounts counts;
  EbError error{};
  int status;
  {
    py::gil_scoped_release release;
    status = kernel(counting ? &counts : nullptr, &error);
  }
  if (status != 0) throw std::runtime_error(error.message);
  return counting ? py::object(counts_dict(counts)) : py::object(py::none());
}

// Kernels of other files, for the module to define.
void define_backward(py::module_& module);

}  // namespace eb::bindings
