// Naive rung of the convolution: one thread a row of outputs.
#include <omp.h>

#include "cpu/dispatch.h"
#include "cpu/rungs.h"
#include "operands/conv.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void conv2d_of(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
  const Index H_out = s.H_out(), W_out = s.W_out(), rows = s.N * s.C_out * H_out;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index row = 0; row < rows; ++row) {
      const Index oh = row % H_out, co = row / H_out % s.C_out, n = row / H_out / s.C_out;
      for (Index ow = 0; ow < W_out; ++ow) conv2d_forward_naive(ops, a, s, n, co, oh, ow);
    }
    merge(ops, counts);
  }
}

template <class Ops, class T>
void conv2d_backward_of(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dBackwardArrays& arrays, int threads,
                        OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
  const Index rows = s.H + 2 * s.padding_h, columns = s.W + 2 * s.padding_w;
  const Index taps = s.C_in_per_group() * s.KH * s.KW;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static) nowait
    for (Index row = 0; row < s.N * s.C_in * rows; ++row) {
      const Index ih = row % rows - s.padding_h, c = row / rows % s.C_in, n = row / rows / s.C_in;
      for (Index column = 0; column < columns; ++column) {
        conv2d_backward_input_naive(ops, a, s, n, c, ih, column - s.padding_w);
      }
    }
#pragma omp for schedule(static) nowait
    for (Index e = 0; e < s.C_out * taps; ++e) {
      conv2d_backward_weight_naive(ops, a, s, e / taps, e % taps / s.KW / s.KH, e / s.KW % s.KH, e % s.KW);
    }
#pragma omp for schedule(static)
    for (Index co = 0; co < (s.has_bias ? s.C_out : 0); ++co) conv2d_backward_bias_naive(ops, a, s, co);
    merge(ops, counts);
  }
}

}  // namespace

int conv2d_backward(EbDtype dtype, const ConvShape& shape, const EbConv2dBackwardArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { conv2d_backward_of(ops, element, shape, arrays, threads, counts); });
}

int conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error,
                  [&](auto ops, auto element) { conv2d_of(ops, element, shape, arrays, threads, counts); });
}

}  // namespace eb::EB_ISA
