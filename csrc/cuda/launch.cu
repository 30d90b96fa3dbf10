// CUDA launches: grids over the same bodies as cpu/launch.cpp, each instantiated plain and counting. One thread makes
// one output element (attention: one query row) in grid-stride loops, so that any size fits any grid.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/attention.h"
#include "operands/conv.h"
#include "operands/gru.h"

namespace eb {
namespace {

template <class Ops, class T>
__global__ void conv2d_kernel(ConvOperands<Ops, T> a, ConvShape s, OpCounts* counts) {
  Ops ops;
  const Index H_out = s.H_out(), W_out = s.W_out(), outputs = s.N * s.C_out * H_out * W_out;
  for (Index e = first_element(); e < outputs; e += element_stride()) {
    const Index ow = e % W_out, oh = e / W_out % H_out, co = e / W_out / H_out % s.C_out;
    conv2d_forward_naive(ops, a, s, e / W_out / H_out / s.C_out, co, oh, ow);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void gru_kernel(GruOperands<Ops, T> a, GruShape s, Index t, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.B * s.H; e += element_stride()) {
    gru_forward_naive(ops, a, s, t, e / s.H, e % s.H);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void attention_kernel(AttentionOperands<Ops, T> a, AttentionShape s,
                                 typename Ops::template Activation<T> scratch, Index row_stride, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.B * s.Hn * s.S_q; r += element_stride()) {
    attention_forward_naive(ops, a, s, scratch.at(r * row_stride), r / s.S_q, r % s.S_q);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void conv2d(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, Launches& launches) {
  launches.over(s.N * s.C_out * s.H_out() * s.W_out(), conv2d_kernel<Ops, T>, operands<Ops, T>(arrays), s);
}

template <class Ops, class T>
void gru(Type<Ops>, Type<T>, const GruShape& s, const EbGruArrays& arrays, Launches& launches) {
  const auto a = operands<Ops, T>(arrays);
  // a launch for each step: the next reads what every block wrote
  for (Index t = 0; t < s.T; ++t) launches.over(s.B * s.H, gru_kernel<Ops, T>, a, s, t);
}

template <class Ops, class T>
void attention(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionArrays& arrays, double scale,
               Launches& launches) {
  const typename Ops::template Activation<T> scratch(out<T>(arrays.scratch));
  launches.over(s.B * s.Hn * s.S_q, attention_kernel<Ops, T>, operands<Ops, T>(arrays, scale), s, scratch,
                arrays.row_stride);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_conv2d(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int device, void* stream,
                   eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::conv2d(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_gru(EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int device, void* stream,
                eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::gru(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays, double scale,
                      int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::attention(ops, element, *shape, *arrays, scale, launches);
  });
}

void eb_cuda_begin_grids() { eb::grid_log.begin(); }

void eb_cuda_end_grids(void (*take)(void* to, EbGrid grid), void* to) {
  for (const EbGrid grid : eb::grid_log.end()) take(to, grid);
}

int eb_cuda_device_count(EbError* error) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  eb::refuse(error, status == cudaSuccess ? "no CUDA device is visible" : cudaGetErrorString(status));
  return 0;
}

int eb_cuda_device_name(int device, char* name, std::size_t size, EbError* error) {
  cudaDeviceProp properties;
  const cudaError_t status = cudaGetDeviceProperties(&properties, device);
  if (status != cudaSuccess) return eb::refuse(error, cudaGetErrorString(status));
  std::snprintf(name, size, "%s", properties.name);
  return 0;
}

}  // extern "C"
