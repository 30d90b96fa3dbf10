// Gradients, and the online form of attention that keeps what they need.
#include "bindings/cuda/call.h"

namespace eb::bindings {
namespace {

py::object conv2d_backward(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                           std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 14, a, 6);
  const ConvShape s = conv_shape(sizes, a[5] != 0);
  const EbConv2dBackwardArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4), at(a, 5)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_conv2d_backward(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object gru_backward(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                        std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 4, a, 21);
  const GruShape s{sizes[0], sizes[1], sizes[2], sizes[3], a[14] != 0, a[8] != 0, 1, a[1] != 0};
  const EbGruBackwardArrays arrays{at(a, 0),  at(a, 1),  at(a, 2),  at(a, 3),  at(a, 4),  at(a, 5),  at(a, 6),
                                   at(a, 7),  at(a, 8),  at(a, 9),  at(a, 10), at(a, 11), at(a, 12), at(a, 13),
                                   at(a, 14), at(a, 15), at(a, 16), at(a, 17), at(a, 18), at(a, 19)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_gru_backward(type, &s, &arrays, at(a, 20), device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object online_attention(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, double scale,
                            int device, std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 6, a, 6);
  const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] != 0};
  const EbOnlineAttentionArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_online_attention(type, &s, &arrays, at(a, 5), scale, device, reinterpret_cast<void*>(stream), counts,
                                    error);
  });
}

py::object attention_backward(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a,
                              double scale, int device, std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 6, a, 9);
  const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] != 0};
  const EbAttentionBackwardArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4),
                                         at(a, 5), at(a, 6), at(a, 7), at(a, 8)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_attention_backward(type, &s, &arrays, scale, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object linear_backward(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a, int device,
                           std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 5, a, 6);
  const LinearShape s{sizes[0], sizes[1], sizes[2], a[5] != 0, sizes[3] != 0, sizes[4] != 0};
  const EbLinearBackwardArrays arrays{at(a, 0), at(a, 1), at(a, 2), at(a, 3), at(a, 4), at(a, 5)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_linear_backward(type, &s, &arrays, device, reinterpret_cast<void*>(stream), counts, error);
  });
}

py::object layer_norm_backward(const std::string& dtype, const std::vector<Index>& sizes, const Addresses& a,
                               int device, std::uintptr_t stream, bool counting) {
  require_sizes(sizes, 2, a, 9);
  const RowShape s{sizes[0], sizes[1], a[4] != 0, a[7] != 0, 0};
  const EbLayerNormArrays arrays{at(a, 1), at(a, 4), nullptr,  at(a, 5), at(a, 2),
                                 at(a, 3), at(a, 0), at(a, 6), at(a, 7)};
  const EbDtype type = dtype_named(dtype);
  return run(counting, [&](OpCounts* counts, EbError* error) {
    return eb_cuda_layer_norm_backward(type, &s, &arrays, at(a, 8), device, reinterpret_cast<void*>(stream), counts,
                                       error);
  });
}

}  // namespace

void define_backward(py::module_& module) {
  using namespace py::literals;
#define EB_DEFINE(name) \
  module.def(#name, &name, "dtype"_a, "sizes"_a, "addresses"_a, "device"_a, "stream"_a, "counting"_a);
  EB_DEFINE(conv2d_backward)
  EB_DEFINE(gru_backward)
  EB_DEFINE(linear_backward)
  EB_DEFINE(layer_norm_backward)
#undef EB_DEFINE
#define EB_DEFINE(name) \
  module.def(#name, &name, "dtype"_a, "sizes"_a, "addresses"_a, "scale"_a, "device"_a, "stream"_a, "counting"_a);
  EB_DEFINE(online_attention)
  EB_DEFINE(attention_backward)
#undef EB_DEFINE
}

}  // namespace eb::bindings
