// CUDA launches of the convolution's gradients: one thread an element of dx, of dw, of db.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/conv.h"

namespace eb {
namespace {

template <class Ops, class T>
__global__ void conv2d_input_gradient_kernel(ConvBackwardOperands<Ops, T> a, ConvShape s, OpCounts* counts) {
  Ops ops;
  const Index rows = s.H + 2 * s.padding_h, columns = s.W + 2 * s.padding_w;
  for (Index e = first_element(); e < s.N * s.C_in * rows * columns; e += element_stride()) {
    const Index row = e / columns % rows, c = e / columns / rows % s.C_in, n = e / columns / rows / s.C_in;
    conv2d_backward_input_naive(ops, a, s, n, c, row - s.padding_h, e % columns - s.padding_w);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void conv2d_weight_gradient_kernel(ConvBackwardOperands<Ops, T> a, ConvShape s, OpCounts* counts) {
  Ops ops;
  const Index channels = s.C_in_per_group();
  for (Index e = first_element(); e < s.C_out * channels * s.KH * s.KW; e += element_stride()) {
    const Index kw = e % s.KW, kh = e / s.KW % s.KH, ci = e / s.KW / s.KH % channels;
    conv2d_backward_weight_naive(ops, a, s, e / s.KW / s.KH / channels, ci, kh, kw);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void conv2d_bias_gradient_kernel(ConvBackwardOperands<Ops, T> a, ConvShape s, OpCounts* counts) {
  Ops ops;
  for (Index co = first_element(); co < s.C_out; co += element_stride()) conv2d_backward_bias_naive(ops, a, s, co);
  merge<T>(ops, counts);
}

template <class Ops, class T>
void conv2d_backward(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dBackwardArrays& arrays, Launches& launches) {
  const auto a = operands<Ops, T>(arrays);
  const Index pixels = (s.H + 2 * s.padding_h) * (s.W + 2 * s.padding_w);
  launches.over(s.N * s.C_in * pixels, conv2d_input_gradient_kernel<Ops, T>, a, s);
  launches.over(s.C_out * s.C_in_per_group() * s.KH * s.KW, conv2d_weight_gradient_kernel<Ops, T>, a, s);
  if (s.has_bias) launches.over(s.C_out, conv2d_bias_gradient_kernel<Ops, T>, a, s);
}

}  // namespace
}  // namespace eb

extern "C" int eb_cuda_conv2d_backward(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dBackwardArrays* arrays,
                                       int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::conv2d_backward(ops, element, *shape, *arrays, launches);
  });
}
