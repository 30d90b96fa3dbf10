// CUDA launches of the gradients of the layers between the big operators: one thread an element, a row or a column.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/layer_norm.h"
#include "operands/linear.h"

namespace eb {
namespace {

template <class Ops, class T>
__global__ void linear_input_gradient_kernel(LinearBackwardOperands<Ops, T> a, LinearShape s, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.M * s.K; e += element_stride()) {
    linear_backward_input_naive(ops, a, s, e / s.K, e % s.K);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void linear_weight_gradient_kernel(LinearBackwardOperands<Ops, T> a, LinearShape s, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.N * s.K; e += element_stride()) {
    linear_backward_weight_naive(ops, a, s, e / s.K, e % s.K);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void linear_bias_gradient_kernel(LinearBackwardOperands<Ops, T> a, LinearShape s, OpCounts* counts) {
  Ops ops;
  for (Index n = first_element(); n < s.N; n += element_stride()) linear_backward_bias<1, 1>(ops, a, s, n);
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void layer_norm_normalise_kernel(LayerNormBackwardOperands<Ops, T> a, RowShape s, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.rows; r += element_stride()) layer_norm_backward_naive_normalise(ops, a, s, r);
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void layer_norm_column_kernel(LayerNormBackwardOperands<Ops, T> a, RowShape s, OpCounts* counts) {
  Ops ops;
  for (Index i = first_element(); i < s.n; i += element_stride()) layer_norm_backward_naive_column(ops, a, s, i);
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void layer_norm_row_kernel(LayerNormBackwardOperands<Ops, T> a, RowShape s,
                                      typename Ops::template Activation<T> scratch, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.rows; r += element_stride()) {
    layer_norm_backward_naive_row(ops, a, s, scratch.at(r * s.n), r);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void linear_backward(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearBackwardArrays& arrays,
                     Launches& launches) {
  const auto a = operands<Ops, T>(arrays);
  launches.over(s.M * s.K, linear_input_gradient_kernel<Ops, T>, a, s);
  launches.over(s.N * s.K, linear_weight_gradient_kernel<Ops, T>, a, s);
  if (s.has_bias) launches.over(s.N, linear_bias_gradient_kernel<Ops, T>, a, s);
}

// x̂ waits in dx between the launches.
template <class Ops, class T>
void layer_norm_backward(Type<Ops>, Type<T>, const RowShape& s, const EbLayerNormArrays& arrays, void* scratch,
                         Launches& launches) {
  const auto a = layer_norm_backward_operands<Ops, T>(arrays, s);
  launches.over(s.rows, layer_norm_normalise_kernel<Ops, T>, a, s);
  if (s.has_weight || s.has_bias) launches.over(s.n, layer_norm_column_kernel<Ops, T>, a, s);
  const typename Ops::template Activation<T> rows(out<T>(scratch));
  launches.over(s.rows, layer_norm_row_kernel<Ops, T>, a, s, rows);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_linear_backward(EbDtype dtype, const eb::LinearShape* shape, const EbLinearBackwardArrays* arrays,
                            int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::linear_backward(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_layer_norm_backward(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays,
                                void* scratch, int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::layer_norm_backward(ops, element, *shape, *arrays, scratch, launches);
  });
}

}  // extern "C"
