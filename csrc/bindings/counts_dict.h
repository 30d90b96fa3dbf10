// OpCounts as Python's energybench.records.OpCounts.to_dict writes it: {"launches": n, "by_dtype": {"float32": {…}}}.
#pragma once

#include <pybind11/pybind11.h>

#include "common/op_counts.h"

namespace eb::bindings {

inline pybind11::dict counts_dict(const OpCounts& counts) {
  namespace py = pybind11;
  py::dict by_dtype;
#define EB_FIELD(name) \
  if (counts_of_type.name != 0) fields[#name] = counts_of_type.name;
#define EB_TYPE(type_name, type)                             \
  {                                                          \
    const TypeCounts& counts_of_type = counts.type_name;     \
    py::dict fields;                                         \
    EB_COUNT_FIELDS(EB_FIELD)                                          \
    if (py::len(fields) != 0) by_dtype[#type_name] = fields; \
  }
  EB_COUNTED_TYPES(EB_TYPE)
#undef EB_TYPE
#undef EB_FIELD
  py::dict result;
  result["launches"] = counts.launches;
  result["by_dtype"] = by_dtype;
  return result;
}

inline pybind11::tuple count_fields() {
  pybind11::list names;
#define EB_FIELD(name) names.append(#name);
  EB_COUNT_FIELDS(EB_FIELD)
#undef EB_FIELD
  return pybind11::tuple(names);
}

}  // namespace eb::bindings
