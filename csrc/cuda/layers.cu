// CUDA launches of the layers between the big operators: linear, softmax, layer normalisation, pointwise, pooling. One
// thread makes one output element, or one row.
#include <type_traits>

#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/layer_norm.h"
#include "operands/linear.h"
#include "operands/pointwise.h"
#include "operands/pool.h"
#include "operands/softmax.h"

namespace eb {
namespace {

template <class Ops, class T>
__global__ void linear_kernel(LinearOperands<Ops, T> a, LinearShape s, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.M * s.N; e += element_stride()) {
    linear_forward_naive(ops, a, s, e / s.N, e % s.N);
  }
  merge<T>(ops, counts);
}

// Functions of a row: softmax and its logarithm, forward and backward.
struct SoftmaxForward {
  template <class Ops, class T>
  static auto operands(Type<Ops>, Type<T>, const EbSoftmaxArrays& arrays) {
    return softmax_operands<Ops, T>(arrays);
  }
  template <class Ops, class T>
  EB_HD EB_INLINE static void row(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
    softmax_forward_naive(ops, a, s, r);
  }
};
struct LogSoftmaxForward : SoftmaxForward {
  template <class Ops, class T>
  EB_HD EB_INLINE static void row(Ops& ops, const SoftmaxOperands<Ops, T>& a, const RowShape& s, Index r) {
    log_softmax_forward_naive(ops, a, s, r);
  }
};
struct SoftmaxBackward {
  template <class Ops, class T>
  static auto operands(Type<Ops>, Type<T>, const EbSoftmaxArrays& arrays) {
    return softmax_backward_operands<Ops, T>(arrays);
  }
  template <class Ops, class T>
  EB_HD EB_INLINE static void row(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s, Index r) {
    softmax_backward_naive(ops, a, s, r);
  }
};
struct LogSoftmaxBackward : SoftmaxBackward {
  template <class Ops, class T>
  EB_HD EB_INLINE static void row(Ops& ops, const SoftmaxBackwardOperands<Ops, T>& a, const RowShape& s, Index r) {
    log_softmax_backward_naive(ops, a, s, r);
  }
};

template <class Function, class Ops, class T, class Operands>
__global__ void softmax_kernel(Operands a, RowShape s, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.rows; r += element_stride()) Function::row(ops, a, s, r);
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void layer_norm_kernel(LayerNormOperands<Ops, T> a, RowShape s, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.rows; r += element_stride()) layer_norm_forward_naive(ops, a, s, r);
  merge<T>(ops, counts);
}

template <class Function, class Ops, class T>
__global__ void pointwise_kernel(PointwiseOperands<Ops, T> a, Index n, OpCounts* counts) {
  Ops ops;
  for (Index i = first_element(); i < n; i += element_stride()) pointwise_forward_naive<Function>(ops, a, i);
  merge<T>(ops, counts);
}

template <class Kind, class Ops, class T>
__global__ void pool2d_kernel(PoolOperands<Ops, T> a, PoolShape s, OpCounts* counts) {
  Ops ops;
  const Index H_out = s.H_out(), W_out = s.W_out();
  for (Index e = first_element(); e < s.N * s.C * H_out * W_out; e += element_stride()) {
    pool2d_forward_naive<Kind>(ops, a, s, e / W_out / H_out, e / W_out % H_out, e % W_out);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void linear(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearArrays& arrays, Launches& launches) {
  launches.over(s.M * s.N, linear_kernel<Ops, T>, operands<Ops, T>(arrays), s);
}

template <class Function, class Ops, class T>
void softmax(Type<Ops> ops, Type<T> element, const RowShape& s, const EbSoftmaxArrays& arrays, Launches& launches) {
  const auto a = Function::operands(ops, element, arrays);
  launches.over(s.rows, softmax_kernel<Function, Ops, T, std::remove_const_t<decltype(a)>>, a, s);
}

template <class Ops, class T>
void layer_norm(Type<Ops>, Type<T>, const RowShape& s, const EbLayerNormArrays& arrays, double epsilon,
                Launches& launches) {
  launches.over(s.rows, layer_norm_kernel<Ops, T>, layer_norm_operands<Ops, T>(arrays, s, epsilon), s);
}

template <class Function, class Ops, class T>
void pointwise(Type<Ops>, Type<T>, Index n, const EbElementArrays& arrays, Launches& launches) {
  launches.over(n, pointwise_kernel<Function, Ops, T>, operands<Ops, T>(arrays), n);
}

template <class Kind, class Ops, class T>
void pool2d(Type<Ops>, Type<T>, const PoolShape& s, const EbPoolArrays& arrays, Launches& launches) {
  launches.over(s.N * s.C * s.H_out() * s.W_out(), pool2d_kernel<Kind, Ops, T>, operands<Ops, T>(arrays, s), s);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_linear(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int device, void* stream,
                   eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::linear(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_softmax(EbSoftmax function, EbDtype dtype, const eb::RowShape* shape, const EbSoftmaxArrays* arrays,
                    int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    switch (function) {
      case EB_SOFTMAX_softmax_forward:
        return eb::softmax<eb::SoftmaxForward>(ops, element, *shape, *arrays, launches);
      case EB_SOFTMAX_softmax_backward:
        return eb::softmax<eb::SoftmaxBackward>(ops, element, *shape, *arrays, launches);
      case EB_SOFTMAX_log_softmax_forward:
        return eb::softmax<eb::LogSoftmaxForward>(ops, element, *shape, *arrays, launches);
      case EB_SOFTMAX_log_softmax_backward:
        return eb::softmax<eb::LogSoftmaxBackward>(ops, element, *shape, *arrays, launches);
    }
  });
}

int eb_cuda_layer_norm(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays, double epsilon,
                       int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::layer_norm(ops, element, *shape, *arrays, epsilon, launches);
  });
}

int eb_cuda_pointwise(EbPointwise function, EbDtype dtype, eb::Index n, const EbElementArrays* arrays, int device,
                      void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    switch (function) {
      case EB_POINTWISE_relu:
        return eb::pointwise<eb::Relu>(ops, element, n, *arrays, launches);
      case EB_POINTWISE_sigmoid:
        return eb::pointwise<eb::Sigmoid>(ops, element, n, *arrays, launches);
      case EB_POINTWISE_tanh:
        return eb::pointwise<eb::Tanh>(ops, element, n, *arrays, launches);
      case EB_POINTWISE_gelu:
        return eb::pointwise<eb::Gelu>(ops, element, n, *arrays, launches);
    }
  });
}

int eb_cuda_pool2d(EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbPoolArrays* arrays, int device,
                   void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    switch (kind) {
      case EB_POOL_max:
        return eb::pool2d<eb::MaxPool>(ops, element, *shape, *arrays, launches);
      case EB_POOL_avg:
        return eb::pool2d<eb::AvgPool>(ops, element, *shape, *arrays, launches);
    }
  });
}

}  // extern "C"
