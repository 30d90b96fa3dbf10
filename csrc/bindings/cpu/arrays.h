// What the bindings of the CPU kernels share: numpy arrays in, addresses out, after checks; and the call without the
// GIL, or its frozen form.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

#include "bindings/counts_dict.h"
#include "bindings/cpu/frozen_call.h"
#include "cpu/api.h"

namespace eb::bindings {

namespace py = pybind11;
using namespace pybind11::literals;

inline EbDtype dtype_of(const py::array& array) {
#define EB_TYPE(name, type) \
  if (py::isinstance<py::array_t<type>>(array)) return EB_DTYPE_##name;
  EB_DTYPES(EB_TYPE)
#undef EB_TYPE
  throw py::type_error("unsupported element type " + std::string(py::str(array.dtype())));
}

// The data of a dense array of this shape.
inline void* data_of(const py::object& object, const char* name, std::initializer_list<Index> shape, bool written) {
  auto array = py::cast<py::array>(object);
  const int dense = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  bool fits = (array.flags() & dense) == dense && (!written || array.writeable()) &&
              array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Index size : shape) fits = fits && array.shape(axis++) == size;
  if (!fits) throw py::value_error(std::string(name) + ": wrong shape, element type, layout or not writeable");
  return const_cast<void*>(array.data());
}

// The same, of this element type; null for None.
inline void* data_of(const py::object& object, const char* name, EbDtype dtype, std::initializer_list<Index> shape,
                     bool written) {
  if (object.is_none()) return nullptr;
  if (dtype_of(py::cast<py::array>(object)) != dtype) {
    throw py::value_error(std::string(name) + ": wrong shape, element type, layout or not writeable");
  }
  return data_of(object, name, shape, written);
}

inline const void* input(const py::object& object, const char* name, EbDtype dtype,
                         std::initializer_list<Index> shape) {
  return data_of(object, name, dtype, shape, false);
}

inline void* output(const py::object& object, const char* name, EbDtype dtype, std::initializer_list<Index> shape) {
  return data_of(object, name, dtype, shape, true);
}

// An array of another element type than the call's, such as places (int64) or marks (uint8).
template <class E>
void* other_data_of(const py::object& object, const char* name, std::initializer_list<Index> shape, bool written) {
  if (!py::isinstance<py::array_t<E>>(object)) {
    throw py::value_error(std::string(name) + ": wrong shape, element type, layout or not writeable");
  }
  return data_of(object, name, shape, written);
}

inline void require(bool condition, const char* message) {
  if (!condition) throw py::value_error(message);
}

// The rung of that name. Raises where this processor cannot run it.
inline EbVariant variant_of(const std::string& name) {
  EbVariant variant = EB_VARIANT_naive;
  bool known = name == "naive";
#define EB_NAME(rung) \
  if (name == #rung) known = true, variant = EB_VARIANT_##rung;
  EB_TUNED_VARIANTS(EB_NAME)
#undef EB_NAME
  if (!known) throw py::value_error("unknown rung " + name);
  if (eb_cpu_supports(variant) == 0) throw py::value_error("this processor cannot run " + name);
  return variant;
}

// Runs the kernel without the GIL; returns its counts, or None when it was not asked to count.
// `kernel(variant, counts, error)` is the call of the C interface, which holds its shape and addresses by value: while
// someone freezes, it is kept and not run.
template <class Kernel>
py::object run(const std::string& variant, int threads, bool counting, const Kernel& kernel) {
  require(threads >= 1, "threads must be at least 1");
  const EbVariant rung = variant_of(variant);
  if (FrozenCall* into = freezing()) {
    require(!counting, "a counting call cannot be frozen");
    *into = FrozenCall(rung, kernel);
    return py::none();
  }
  eb::OpCounts counts;
  EbError error{};
  int status;
  {
    py::gil_scoped_release release;
    status = kernel(rung, counting ? &counts : nullptr, &error);
  }
  if (status != 0) throw std::runtime_error(error.message);
  return counting ? py::object(eb::bindings::counts_dict(counts)) : py::object(py::none());
}

}  // namespace eb::bindings
