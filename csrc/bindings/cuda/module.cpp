// energybench._cuda: device addresses, sizes, device and stream in. Whoever calls has checked that the addresses hold
// arrays of these sizes (energybench/kernels/call.py). Loads without a GPU or a driver; only a call can fail.
#include "bindings/cuda/call.h"

namespace {

using namespace eb::bindings;
using eb::Index;

template <auto kLaunch>
py::object conv2d(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& addresses, int device,
                  std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 14, addresses, 4);
  const eb::ConvShape s = conv_shape(sizes, addresses[2] != 0);
  const EbConv2dArrays arrays{at(addresses, 0), at(addresses, 1), at(addresses, 2), at(addresses, 3)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return kLaunch(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object gru(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
               std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 4, a, 14);
  const eb::GruShape s{sizes[0], sizes[1], sizes[2], sizes[3], a[4] != 0, a[6] != 0, a[13] != 0, 0};
  const EbGruArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3),  at(a, 4),  at(a, 5),  at(a, 6),
                           at(a, 7), at(a, 8), at(a, 9), at(a, 10), at(a, 11), at(a, 12), at(a, 13)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cuda_gru(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object attention(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, double scale,
                     int device, std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 6, a, 5);
  const eb::AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] != 0};
  const EbAttentionArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4), s.S_k};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cuda_attention(type, &s, &arrays, scale, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

template <auto kLaunch>
py::object linear(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                  std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 5, a, 4);
  const eb::LinearShape s{sizes[0], sizes[1], sizes[2], a[2] != 0, sizes[3] != 0, sizes[4] != 0};
  const EbLinearArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return kLaunch(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

// The one entry point of four functions, as one of them.
template <EbSoftmax kFunction>
int softmax_naive(EbDtype dtype, const eb::RowShape* shape, const EbSoftmaxArrays* arrays, int device, void* stream,
                  eb::OpCounts* counts, EbError* error) {
  return eb_cuda_softmax(kFunction, dtype, shape, arrays, device, stream, counts, error);
}

template <auto kLaunch>
py::object softmax(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                   std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 2, a, 3);
  const eb::RowShape s{sizes[0], sizes[1], 0, 0, 0};
  const EbSoftmaxArrays arrays{at(a, 0), at(a, 1), at(a, 2)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return kLaunch(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

template <auto kLaunch>
py::object layer_norm(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, double epsilon,
                      int device, std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 2, a, 6);
  const eb::RowShape s{sizes[0], sizes[1], a[1] != 0, a[2] != 0, a[4] != 0};
  const EbLayerNormArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4), at(a, 5), nullptr, nullptr, nullptr};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return kLaunch(type, &s, &arrays, epsilon, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

template <EbPointwise kFunction>
py::object pointwise(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                     std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 1, a, 2);
  const EbElementArrays arrays{at(a, 0), at(a, 1)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cuda_pointwise(kFunction, type, sizes[0], &arrays, device, reinterpret_cast<void*>(stream), counts,
                             error);
  });
}

template <EbPool kKind>
py::object pool2d(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                  std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 12, a, 2);
  const Index* z = sizes.data();
  require(z[6] > 0 && z[7] > 0, "stride must be positive");
  const eb::PoolShape s{z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7], z[8], z[9], z[10], z[11], 0};
  const EbPoolArrays arrays{at(a, 0), at(a, 1), nullptr};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](eb::OpCounts* counts, EbError* error) {
    return eb_cuda_pool2d(kKind, type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::tuple device_count() {
  EbError error{};
  const int count = eb_cuda_device_count(&error);
  return py::make_tuple(count, std::string(error.message));
}

py::list end_grids() {
  py::list grids;
  const auto append = [](void* to, EbGrid grid) {
    static_cast<py::list*>(to)->append(py::make_tuple(grid.blocks, grid.threads, grid.resident, grid.launches));
  };
  eb_cuda_end_grids(append, &grids);
  return grids;
}

std::string device_name(int device) {
  EbError error{};
  char name[256];
  if (eb_cuda_device_name(device, name, sizeof name, &error) != 0) throw std::runtime_error(error.message);
  return name;
}

}  // namespace

PYBIND11_MODULE(_cuda, module) {
  module.doc() = "Instrumented CUDA kernels; use them through energybench.kernels with CUDA tensors.";
  module.attr("count_fields") = eb::bindings::count_fields();
  module.attr("compile_flags") = EB_CUDA_FLAGS;
  module.attr("architectures") = EB_CUDA_ARCHITECTURES;
  module.def("device_count", &device_count, "Usable devices, and the reason when there is none.");
  module.def("begin_grids", &eb_cuda_begin_grids, "From here on this thread keeps the grids of its launches.");
  module.def("end_grids", &end_grids, "They, as (blocks, threads, resident, launches), and no more are kept.");
  using namespace py::literals;
  module.def("device_name", &device_name, "device"_a, "What the driver calls it.");
  module.def("gru", &gru, "dtype"_a, "sizes"_a, "addresses"_a, "device"_a, "stream"_a, "counting"_a);
  module.def("attention", &attention, "dtype"_a, "sizes"_a, "addresses"_a, "scale"_a, "device"_a, "stream"_a,
             "counting"_a);
#define EB_DEFINE(name, function) \
  module.def(name, &function, "dtype"_a, "sizes"_a, "addresses"_a, "epsilon"_a, "device"_a, "stream"_a, "counting"_a);
  EB_DEFINE("layer_norm", layer_norm<&eb_cuda_layer_norm>)
  EB_DEFINE("layer_norm_block", layer_norm<&eb_cuda_layer_norm_block>)
#undef EB_DEFINE
#define EB_DEFINE(name, function) \
  module.def(name, &function, "dtype"_a, "sizes"_a, "addresses"_a, "device"_a, "stream"_a, "counting"_a);
  EB_DEFINE("conv2d", conv2d<&eb_cuda_conv2d>)
  EB_DEFINE("conv2d_tiled", conv2d<&eb_cuda_conv2d_tiled>)
  EB_DEFINE("linear", linear<&eb_cuda_linear>)
  EB_DEFINE("linear_tiled", linear<&eb_cuda_linear_tiled>)
  EB_DEFINE("softmax_block", softmax<&eb_cuda_softmax_block>)
  EB_DEFINE("softmax", softmax<&softmax_naive<EB_SOFTMAX_softmax_forward>>)
  EB_DEFINE("softmax_backward", softmax<&softmax_naive<EB_SOFTMAX_softmax_backward>>)
  EB_DEFINE("log_softmax", softmax<&softmax_naive<EB_SOFTMAX_log_softmax_forward>>)
  EB_DEFINE("log_softmax_backward", softmax<&softmax_naive<EB_SOFTMAX_log_softmax_backward>>)
  EB_DEFINE("relu", pointwise<EB_POINTWISE_relu>)
  EB_DEFINE("sigmoid", pointwise<EB_POINTWISE_sigmoid>)
  EB_DEFINE("tanh", pointwise<EB_POINTWISE_tanh>)
  EB_DEFINE("gelu", pointwise<EB_POINTWISE_gelu>)
  EB_DEFINE("max_pool2d", pool2d<EB_POOL_max>)
  EB_DEFINE("avg_pool2d", pool2d<EB_POOL_avg>)
#undef EB_DEFINE
  define_backward(module);
}
