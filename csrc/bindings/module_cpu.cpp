// energybench._cpu: numpy arrays in, results written into arrays that the caller owns. Checks and GIL only; compiled
// for the plain architecture, so that a processor the kernels cannot run on is told so instead of meeting SIGILL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>

#include "bindings/counts_dict.h"
#include "cpu/api.h"

namespace py = pybind11;

namespace {

using eb::Index;

EbDtype dtype_of(const py::array& array) {
#define EB_TYPE(name, type) \
  if (py::isinstance<py::array_t<type>>(array)) return EB_DTYPE_##name;
  EB_DTYPES(EB_TYPE)
#undef EB_TYPE
  throw py::type_error("unsupported element type " + std::string(py::str(array.dtype())));
}

// The data of a dense array of this shape and type; null for None.
void* data_of(const py::object& object, const char* name, EbDtype dtype, std::initializer_list<Index> shape,
              bool written) {
  if (object.is_none()) return nullptr;
  auto array = py::cast<py::array>(object);
  const int dense = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  bool fits = dtype_of(array) == dtype && (array.flags() & dense) == dense && (!written || array.writeable()) &&
              array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Index size : shape) fits = fits && array.shape(axis++) == size;
  if (!fits) throw py::value_error(std::string(name) + ": wrong shape, element type, layout or not writeable");
  return const_cast<void*>(array.data());
}

const void* input(const py::object& object, const char* name, EbDtype dtype, std::initializer_list<Index> shape) {
  return data_of(object, name, dtype, shape, false);
}

void* output(const py::object& object, const char* name, EbDtype dtype, std::initializer_list<Index> shape) {
  return data_of(object, name, dtype, shape, true);
}

void require(bool condition, const char* message) {
  if (!condition) throw py::value_error(message);
}

// Runs the kernel without the GIL; returns its counts, or None when it was not asked to count.
template <class Kernel>
py::object run(int threads, bool counting, const Kernel& kernel) {
  require(threads >= 1, "threads must be at least 1");
  eb::OpCounts counts;
  EbError error{};
  int status;
  {
    py::gil_scoped_release release;
    status = kernel(counting ? &counts : nullptr, &error);
  }
  if (status != 0) throw std::runtime_error(error.message);
  return counting ? py::object(eb::bindings::counts_dict(counts)) : py::object(py::none());
}

py::object conv2d(const py::array& x, const py::array& w, const py::object& bias, const py::array& y,
                  std::pair<Index, Index> stride, std::pair<Index, Index> padding, std::pair<Index, Index> dilation,
                  Index groups, int threads, bool counting) {
  require(x.ndim() == 4 && w.ndim() == 4, "x and w must have four dimensions");
  require(stride.first > 0 && stride.second > 0 && dilation.first > 0 && dilation.second > 0 && padding.first >= 0 &&
              padding.second >= 0 && groups > 0,
          "stride, dilation and groups must be positive, padding not negative");
  const eb::ConvShape s{x.shape(0),     x.shape(1),     x.shape(2),      x.shape(3),    w.shape(0),
                        w.shape(2),     w.shape(3),     stride.first,    stride.second, padding.first,
                        padding.second, dilation.first, dilation.second, groups,        bias.is_none() ? 0 : 1};
  require(s.KH > 0 && s.KW > 0 && s.C_in % groups == 0 && s.C_out % groups == 0, "channels and groups do not fit");
  const EbDtype dtype = dtype_of(x);
  const EbConv2dArrays arrays{
      input(x, "x", dtype, {s.N, s.C_in, s.H, s.W}), input(w, "w", dtype, {s.C_out, s.C_in_per_group(), s.KH, s.KW}),
      input(bias, "bias", dtype, {s.C_out}), output(y, "y", dtype, {s.N, s.C_out, s.H_out(), s.W_out()})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_conv2d(dtype, &s, &arrays, threads, counts, error);
  });
}

py::object gru(const py::array& x, const py::array& h0, const py::array& w_ih, const py::array& w_hh,
               const py::object& b_ih, const py::object& b_hh, const py::object& w_io, const py::object& w_ho,
               const py::object& b_io, const py::object& b_ho, const py::array& y, const py::array& h_n,
               const py::object& state, int threads, bool counting) {
  require(x.ndim() == 3 && h0.ndim() == 2, "x must have three dimensions and h0 two");
  const bool has_output_gate = !w_io.is_none();
  const bool has_bias = !b_ih.is_none();
  require(b_hh.is_none() != has_bias && w_ho.is_none() != has_output_gate && state.is_none() != has_output_gate,
          "biases come in pairs, and an output gate has two weights and a state");
  const bool has_output_bias = has_bias && has_output_gate;
  require(b_io.is_none() != has_output_bias && b_ho.is_none() != has_output_bias,
          "the output gate has biases exactly when the cell has");
  const eb::GruShape s{x.shape(0), x.shape(1), x.shape(2), h0.shape(1), has_bias, has_output_gate};
  const EbDtype dtype = dtype_of(x);
  const EbGruArrays arrays{input(x, "x", dtype, {s.T, s.B, s.I}),       input(h0, "h0", dtype, {s.B, s.H}),
                           input(w_ih, "w_ih", dtype, {3 * s.H, s.I}),  input(w_hh, "w_hh", dtype, {3 * s.H, s.H}),
                           input(b_ih, "b_ih", dtype, {3 * s.H}),       input(b_hh, "b_hh", dtype, {3 * s.H}),
                           input(w_io, "w_io", dtype, {s.H, s.I}),      input(w_ho, "w_ho", dtype, {s.H, s.H}),
                           input(b_io, "b_io", dtype, {s.H}),           input(b_ho, "b_ho", dtype, {s.H}),
                           output(y, "y", dtype, {s.T, s.B, s.H}),      output(h_n, "h_n", dtype, {s.B, s.H}),
                           output(state, "state", dtype, {2, s.B, s.H})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_gru(dtype, &s, &arrays, threads, counts, error);
  });
}

py::object attention(const py::array& q, const py::array& k, const py::array& v, const py::array& y,
                     const py::array& scratch, double scale, bool causal, int threads, bool counting) {
  require(q.ndim() == 4 && k.ndim() == 4, "q and k must have four dimensions");
  const eb::AttentionShape s{q.shape(0), q.shape(1), q.shape(2), k.shape(2), q.shape(3), causal};
  const EbDtype dtype = dtype_of(q);
  require(scratch.ndim() == 2 && scratch.shape(0) >= threads && scratch.shape(1) >= s.S_k,
          "scratch needs a row of S_k scores for each thread");
  const EbAttentionArrays arrays{input(q, "q", dtype, {s.B, s.Hn, s.S_q, s.D}),
                                 input(k, "k", dtype, {s.B, s.Hn, s.S_k, s.D}),
                                 input(v, "v", dtype, {s.B, s.Hn, s.S_k, s.D}),
                                 output(y, "y", dtype, {s.B, s.Hn, s.S_q, s.D}),
                                 output(scratch, "scratch", dtype, {scratch.shape(0), scratch.shape(1)}),
                                 scratch.shape(1)};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_attention(dtype, &s, &arrays, scale, threads, counts, error);
  });
}

py::object linear(const py::array& x, const py::array& w, const py::object& bias, const py::array& y, int threads,
                  bool counting) {
  require(x.ndim() == 2 && w.ndim() == 2, "x and w must have two dimensions");
  const eb::LinearShape s{x.shape(0), x.shape(1), w.shape(0), !bias.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbLinearArrays arrays{input(x, "x", dtype, {s.M, s.K}), input(w, "w", dtype, {s.N, s.K}),
                              input(bias, "bias", dtype, {s.N}), output(y, "y", dtype, {s.M, s.N})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_linear(dtype, &s, &arrays, threads, counts, error);
  });
}

py::object softmax(const py::array& x, const py::array& y, int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  const eb::RowShape s{x.shape(0), x.shape(1), 0, 0};
  const EbDtype dtype = dtype_of(x);
  const EbRowArrays arrays{input(x, "x", dtype, {s.rows, s.n}), nullptr, nullptr, output(y, "y", dtype, {s.rows, s.n})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_softmax(dtype, &s, &arrays, threads, counts, error);
  });
}

py::object layer_norm(const py::array& x, const py::object& weight, const py::object& bias, const py::array& y,
                      double epsilon, int threads, bool counting) {
  require(x.ndim() == 2, "x must have two dimensions");
  const eb::RowShape s{x.shape(0), x.shape(1), !weight.is_none(), !bias.is_none()};
  const EbDtype dtype = dtype_of(x);
  const EbRowArrays arrays{input(x, "x", dtype, {s.rows, s.n}), input(weight, "weight", dtype, {s.n}),
                           input(bias, "bias", dtype, {s.n}), output(y, "y", dtype, {s.rows, s.n})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_layer_norm(dtype, &s, &arrays, epsilon, threads, counts, error);
  });
}

template <EbPointwise kFunction>
py::object pointwise(const py::array& x, const py::array& y, int threads, bool counting) {
  require(x.ndim() == 1, "x must have one dimension");
  const Index n = x.shape(0);
  const EbDtype dtype = dtype_of(x);
  const EbElementArrays arrays{input(x, "x", dtype, {n}), output(y, "y", dtype, {n})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_pointwise(kFunction, dtype, n, &arrays, threads, counts, error);
  });
}

template <EbPool kKind>
py::object pool2d(const py::array& x, const py::array& y, std::pair<Index, Index> window,
                  std::pair<Index, Index> stride, std::pair<Index, Index> padding, std::pair<Index, Index> dilation,
                  int threads, bool counting) {
  require(x.ndim() == 4, "x must have four dimensions");
  require(window.first > 0 && window.second > 0 && stride.first > 0 && stride.second > 0 && dilation.first > 0 &&
              dilation.second > 0 && padding.first >= 0 && padding.second >= 0,
          "window, stride and dilation must be positive, padding not negative");
  const eb::PoolShape s{x.shape(0),   x.shape(1),    x.shape(2),    x.shape(3),     window.first,   window.second,
                        stride.first, stride.second, padding.first, padding.second, dilation.first, dilation.second};
  const EbDtype dtype = dtype_of(x);
  const EbElementArrays arrays{input(x, "x", dtype, {s.N, s.C, s.H, s.W}),
                               output(y, "y", dtype, {s.N, s.C, s.H_out(), s.W_out()})};
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_pool2d(kKind, dtype, &s, &arrays, threads, counts, error);
  });
}

py::object probe_fma(const py::array& x, const py::array& y, Index steps, int threads, bool counting) {
  require(x.ndim() == 3 && steps >= 0, "x must have three dimensions and steps must not be negative");
  const EbDtype dtype = dtype_of(x);
  const Index lanes = dtype == EB_DTYPE_float32 ? 8 : 4;
  const eb::FmaProbeShape s{x.shape(0), steps};
  const void* source = input(x, "x", dtype, {s.streams, 14, lanes});
  void* target = output(y, "y", dtype, {s.streams});
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_probe_fma(dtype, &s, source, target, threads, counts, error);
  });
}

py::object probe_stream(const py::array& x, const py::array& y, Index repeats, int threads, bool counting) {
  require(x.ndim() == 1 && repeats >= 0, "x must have one dimension and repeats must not be negative");
  const EbDtype dtype = dtype_of(x);
  const eb::StreamProbeShape s{x.shape(0), repeats};
  const void* source = input(x, "x", dtype, {s.n});
  void* target = output(y, "y", dtype, {s.n});
  return run(threads, counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cpu_probe_stream(dtype, &s, source, target, threads, counts, error);
  });
}

#if defined(__x86_64__)
bool processor_supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
bool processor_supported() { return true; }
#endif

}  // namespace

PYBIND11_MODULE(_cpu, module) {
  if (!processor_supported()) {
    throw py::import_error(
        "energybench._cpu was built for processors with AVX2 and FMA, and this one has not both; "
        "build it here with ENERGYBENCH_CPU_FLAGS=-O3 pip install --force-reinstall energybench");
  }
  module.doc() = "Instrumented CPU kernels; use them through energybench.kernels.";
  module.attr("count_fields") = eb::bindings::count_fields();
  module.attr("compile_flags") = EB_COMPILE_FLAGS;
  module.def("default_threads", &eb_cpu_default_threads, "OMP_NUM_THREADS, else the processors at hand.");
  module.def("release_threads", &eb_cpu_release_threads, py::call_guard<py::gil_scoped_release>(),
             "End the idle workers of the OpenMP pool; 0 when done.");
  using namespace py::literals;
  module.def("conv2d", &conv2d, "x"_a, "w"_a, "bias"_a, "y"_a, "stride"_a, "padding"_a, "dilation"_a, "groups"_a,
             "threads"_a, "counting"_a);
  module.def("gru", &gru, "x"_a, "h0"_a, "w_ih"_a, "w_hh"_a, "b_ih"_a, "b_hh"_a, "w_io"_a, "w_ho"_a, "b_io"_a, "b_ho"_a,
             "y"_a, "h_n"_a, "state"_a, "threads"_a, "counting"_a);
  module.def("attention", &attention, "q"_a, "k"_a, "v"_a, "y"_a, "scratch"_a, "scale"_a, "causal"_a, "threads"_a,
             "counting"_a);
  module.def("linear", &linear, "x"_a, "w"_a, "bias"_a, "y"_a, "threads"_a, "counting"_a);
  module.def("softmax", &softmax, "x"_a, "y"_a, "threads"_a, "counting"_a);
  module.def("layer_norm", &layer_norm, "x"_a, "weight"_a, "bias"_a, "y"_a, "epsilon"_a, "threads"_a, "counting"_a);
#define EB_DEFINE(name) module.def(#name, &pointwise<EB_POINTWISE_##name>, "x"_a, "y"_a, "threads"_a, "counting"_a);
  EB_DEFINE(relu)
  EB_DEFINE(sigmoid)
  EB_DEFINE(tanh)
  EB_DEFINE(gelu)
#undef EB_DEFINE
  module.def("max_pool2d", &pool2d<EB_POOL_max>, "x"_a, "y"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
             "threads"_a, "counting"_a);
  module.def("avg_pool2d", &pool2d<EB_POOL_avg>, "x"_a, "y"_a, "kernel_size"_a, "stride"_a, "padding"_a, "dilation"_a,
             "threads"_a, "counting"_a);
  module.def("probe_fma", &probe_fma, "x"_a, "y"_a, "steps"_a, "threads"_a, "counting"_a);
  module.def("probe_stream", &probe_stream, "x"_a, "y"_a, "repeats"_a, "threads"_a, "counting"_a);
}
