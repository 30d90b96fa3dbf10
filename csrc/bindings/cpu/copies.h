#pragma once

#include <utility>

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline PadMode pad_mode(const std::string& name) {
  if (name == "zeros") return PadMode::kZeros;
  if (name == "reflect") return PadMode::kReflect;
  if (name == "replicate") return PadMode::kReplicate;
  require(name == "circular", "mode must be zeros, reflect, replicate or circular");
  return PadMode::kCircular;
}

// `small` are images, `large` their padded ones; the forward pass writes the large ones and the backward pass the small
// ones.
inline py::object pad2d(bool forward, const py::array& small, const py::array& large, std::pair<Index, Index> rows,
                        std::pair<Index, Index> columns, const std::string& mode, const std::string& variant,
                        int threads, bool counting) {
  require(small.ndim() == 4, "x must have four dimensions");
  const Index N = small.shape(0), C = small.shape(1), H = small.shape(2), W = small.shape(3);
  const PadShape s{N * C, H, W, rows.first, rows.second, columns.first, columns.second, pad_mode(mode)};
  require(s.top >= 0 && s.bottom >= 0 && s.left >= 0 && s.right >= 0, "padding must not be negative");
  const Index tallest = s.mode == PadMode::kReflect ? H - 1 : H, widest = s.mode == PadMode::kReflect ? W - 1 : W;
  const bool mirrored = s.mode == PadMode::kReflect || s.mode == PadMode::kCircular;
  require(!mirrored || (s.top <= tallest && s.bottom <= tallest && s.left <= widest && s.right <= widest),
          "padding goes further than the image");
  const EbDtype dtype = dtype_of(small);
  const auto of_small = data_of(small, "x", dtype, {N, C, H, W}, !forward);
  const auto of_large = data_of(large, "y", dtype, {N, C, s.H_out(), s.W_out()}, forward);
  const EbPadArrays arrays{forward ? of_small : of_large, forward ? of_large : of_small};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return (forward ? eb_cpu_pad2d : eb_cpu_pad2d_backward)(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object pad2d_forward(const py::array& x, const py::array& y, std::pair<Index, Index> rows,
                                std::pair<Index, Index> columns, const std::string& mode, const std::string& variant,
                                int threads, bool counting) {
  return pad2d(true, x, y, rows, columns, mode, variant, threads, counting);
}

inline py::object pad2d_backward(const py::array& grad, const py::array& dx, std::pair<Index, Index> rows,
                                 std::pair<Index, Index> columns, const std::string& mode, const std::string& variant,
                                 int threads, bool counting) {
  return pad2d(false, dx, grad, rows, columns, mode, variant, threads, counting);
}

inline py::object transpose(const py::array& x, const py::array& y, const std::string& variant, int threads,
                            bool counting) {
  require(x.ndim() == 4, "x must have four dimensions: batches, rows, columns and a run of neighbours");
  const TransposeShape s{x.shape(0), x.shape(1), x.shape(2), x.shape(3)};
  const EbDtype dtype = dtype_of(x);
  const EbTransposeArrays arrays{input(x, "x", dtype, {s.batches, s.rows, s.columns, s.run}),
                                 output(y, "y", dtype, {s.batches, s.columns, s.rows, s.run})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_transpose(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline py::object concat(const py::list& parts, const py::array& y, const std::string& variant, int threads,
                         bool counting) {
  require(y.ndim() == 2 && !parts.empty() && parts.size() <= EB_MOST_PARTS,
          "y must have two dimensions, and of parts there must be 1 to 16");
  const EbDtype dtype = dtype_of(y);
  EbConcatArrays arrays{};
  arrays.rows = y.shape(0);
  arrays.parts = static_cast<Index>(parts.size());
  Index width = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto part = py::cast<py::array>(parts[i]);
    require(part.ndim() == 2, "a part must have two dimensions");
    arrays.widths[i] = part.shape(1);
    arrays.x[i] = input(part, "part", dtype, {arrays.rows, part.shape(1)});
    width += part.shape(1);
  }
  arrays.y = output(y, "y", dtype, {arrays.rows, width});
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_concat(rung, dtype, &arrays, threads, counts, error);
  });
}

inline py::object gather(const py::array& table, const py::array& index, const py::array& y, const std::string& variant,
                         int threads, bool counting) {
  require(table.ndim() == 2 && index.ndim() == 1, "table must have two dimensions and index one");
  require(py::isinstance<py::array_t<std::int64_t>>(index), "index must be int64");
  const GatherShape s{index.shape(0), table.shape(0), table.shape(1)};
  const EbDtype dtype = dtype_of(table);
  const EbGatherArrays arrays{input(table, "table", dtype, {s.rows, s.n}), data_of(index, "index", {s.count}, false),
                              output(y, "y", dtype, {s.count, s.n})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_gather(rung, dtype, &s, &arrays, threads, counts, error);
  });
}

inline void define_copies(py::module_& module) {
  module.def("pad2d", &pad2d_forward, "x"_a, "y"_a, "rows"_a, "columns"_a, "mode"_a, "variant"_a, "threads"_a,
             "counting"_a);
  module.def("pad2d_backward", &pad2d_backward, "grad"_a, "dx"_a, "rows"_a, "columns"_a, "mode"_a, "variant"_a,
             "threads"_a, "counting"_a);
  module.def("transpose", &transpose, "x"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("concat", &concat, "parts"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("gather", &gather, "table"_a, "index"_a, "y"_a, "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
