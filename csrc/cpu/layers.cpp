// CPU launches of the layers between the big operators: linear, softmax, layer normalisation, pointwise, pooling.
#include <omp.h>

#include "common/operands.h"
#include "cpu/api.h"
#include "cpu/dispatch.h"

namespace eb {
namespace {

template <class Ops, class T>
void linear(Type<Ops>, Type<T>, const LinearShape& s, const EbLinearArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index e = 0; e < s.M * s.N; ++e) linear_forward_naive(ops, a, s, e / s.N, e % s.N);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void softmax(Type<Ops>, Type<T>, const RowShape& s, const EbRowArrays& arrays, int threads, OpCounts* counts) {
  const auto a = softmax_operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) softmax_forward_naive(ops, a, s, r);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void layer_norm(Type<Ops>, Type<T>, const RowShape& s, const EbRowArrays& arrays, double epsilon, int threads,
                OpCounts* counts) {
  const auto a = layer_norm_operands<Ops, T>(arrays, s, epsilon);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index r = 0; r < s.rows; ++r) layer_norm_forward_naive(ops, a, s, r);
    merge(ops, counts);
  }
}

template <class Function, class Ops, class T>
void pointwise(Type<Ops>, Type<T>, Index n, const EbElementArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index i = 0; i < n; ++i) pointwise_forward_naive<Function>(ops, a, i);
    merge(ops, counts);
  }
}

template <class Kind, class Ops, class T>
void pool2d(Type<Ops>, Type<T>, const PoolShape& s, const EbElementArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays, s);
  const Index H_out = s.H_out(), W_out = s.W_out();
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index row = 0; row < s.N * s.C * H_out; ++row) {
      for (Index ow = 0; ow < W_out; ++ow) pool2d_forward_naive<Kind>(ops, a, s, row / H_out, row % H_out, ow);
    }
    merge(ops, counts);
  }
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cpu_linear(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::linear(ops, element, *shape, *arrays, threads, counts); });
}

int eb_cpu_softmax(EbDtype dtype, const eb::RowShape* shape, const EbRowArrays* arrays, int threads,
                   eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::softmax(ops, element, *shape, *arrays, threads, counts); });
}

int eb_cpu_layer_norm(EbDtype dtype, const eb::RowShape* shape, const EbRowArrays* arrays, double epsilon, int threads,
                      eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error, [&](auto ops, auto element) {
    eb::layer_norm(ops, element, *shape, *arrays, epsilon, threads, counts);
  });
}

int eb_cpu_pointwise(EbPointwise function, EbDtype dtype, eb::Index n, const EbElementArrays* arrays, int threads,
                     eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error, [&](auto ops, auto element) {
    switch (function) {
      case EB_POINTWISE_relu:
        return eb::pointwise<eb::Relu>(ops, element, n, *arrays, threads, counts);
      case EB_POINTWISE_sigmoid:
        return eb::pointwise<eb::Sigmoid>(ops, element, n, *arrays, threads, counts);
      case EB_POINTWISE_tanh:
        return eb::pointwise<eb::Tanh>(ops, element, n, *arrays, threads, counts);
      case EB_POINTWISE_gelu:
        return eb::pointwise<eb::Gelu>(ops, element, n, *arrays, threads, counts);
    }
  });
}

int eb_cpu_pool2d(EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbElementArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error, [&](auto ops, auto element) {
    switch (kind) {
      case EB_POOL_max:
        return eb::pool2d<eb::MaxPool>(ops, element, *shape, *arrays, threads, counts);
      case EB_POOL_avg:
        return eb::pool2d<eb::AvgPool>(ops, element, *shape, *arrays, threads, counts);
    }
  });
}

}  // extern "C"
