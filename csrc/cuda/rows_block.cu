// The block rung on CUDA of functions of a row: a block takes a row, its threads every kBlock-th element, and what they
// hold of a reduction is put together in shared memory, half by half. Work is the naive rung's: a reduction of n
// elements is n operations, for an accumulator begins as its first element and the start is joined at the end.
//
// Partial values pass through shared memory and are tallied as issued traffic, as all scratch is. Shuffles between the
// registers of a warp would cost none of it; ops.h has no verb for them yet.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "cuda/shared.h"
#include "operands/layer_norm.h"
#include "operands/softmax.h"

namespace eb {
namespace {

// How two values of a reduction become one, and what it starts from.
struct Maximum {
  template <class T, class Ops>
  __device__ static auto start(Ops& ops) {
    return ops.template negative_infinity<T>();
  }
  template <class Ops, class V>
  __device__ static V join(Ops& ops, V a, V b) {
    return ops.max(a, b);
  }
};
struct Total {
  template <class T, class Ops>
  __device__ static auto start(Ops& ops) {
    return ops.constant(Constant<T, 0>{});
  }
  template <class Ops, class V>
  __device__ static V join(Ops& ops, V a, V b) {
    return ops.add(a, b);
  }
};

// Threads that have an element of a row.
__device__ inline Index active_threads(Index n) { return n < kBlock ? n : kBlock; }

// Joins element(0) … element(n − 1), and gives finish(of that) to every thread that has an element (another thread gets
// its own start). Every thread of the block calls it.
template <class How, class T, class Ops, class Element, class Finish>
__device__ Scalar<T> over_block(Ops& ops, Index n, const Element& element, const Finish& finish) {
  const typename Ops::template Activation<T> shared(shared_memory<T>());
  const Index t = threadIdx.x, active = active_threads(n);
  __syncthreads();  // a reduction before has been read
  if (t < active) {
    auto mine = element(t);
    for (Index i = t + kBlock; i < n; i += kBlock) mine = How::join(ops, mine, element(i));
    ops.store(shared, t, mine);
  }
  for (Index width = active; width > 1;) {
    const Index half = (width + 1) / 2;
    __syncthreads();
    if (t + half < width) ops.store(shared, t, How::join(ops, ops.load(shared, t), ops.load(shared, t + half)));
    width = half;
  }
  __syncthreads();
  if (t == 0) ops.store(shared, 0, finish(How::join(ops, How::template start<T>(ops), ops.load(shared, 0))));
  __syncthreads();
  return t < active ? ops.load(shared, 0) : How::template start<T>(ops);
}

template <class Ops, class T>
__global__ void softmax_block_kernel(SoftmaxOperands<Ops, T> a, RowShape s, OpCounts* counts) {
  Ops ops;
  const auto as_it_is = [](auto value) { return value; };
  for (Index r = blockIdx.x; r < s.rows; r += gridDim.x) {
    const auto x = a.x.at(r * s.n);
    const auto y = a.y.at(r * s.n);
    const auto largest = over_block<Maximum, T>(ops, s.n, [&](Index i) { return ops.load(x, i); }, as_it_is);
    const auto exponential = [&](Index i) {
      const auto e = ops.exp(ops.sub(ops.load(x, i), largest));
      ops.store(y, i, e);
      return e;
    };
    const auto total = over_block<Total, T>(ops, s.n, exponential, as_it_is);
    for (Index i = threadIdx.x; i < s.n; i += kBlock) ops.store(y, i, ops.div(ops.load(y, i), total));
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void layer_norm_block_kernel(LayerNormOperands<Ops, T> a, RowShape s, OpCounts* counts) {
  Ops ops;
  const auto length = ops.parameter(a.length);
  for (Index r = blockIdx.x; r < s.rows; r += gridDim.x) {
    const auto x = a.x.at(r * s.n);
    const auto y = a.y.at(r * s.n);
    const auto mean = over_block<Total, T>(
        ops, s.n, [&](Index i) { return ops.load(x, i); }, [&](auto total) { return ops.div(total, length); });
    const auto square = [&](Index i) {
      const auto difference = ops.sub(ops.load(x, i), mean);
      ops.store(y, i, difference);
      return ops.mul(difference, difference);
    };
    const auto rstd = over_block<Total, T>(ops, s.n, square, [&](auto squares) {
      return ops.rsqrt(ops.add(ops.div(squares, length), ops.parameter(a.epsilon)));
    });
    for (Index i = threadIdx.x; i < s.n; i += kBlock) {
      auto value = ops.mul(ops.load(y, i), rstd);
      if (s.has_weight) value = ops.mul(value, ops.load(a.weight, i));
      if (s.has_bias) value = ops.add(value, ops.load(a.bias, i));
      ops.store(y, i, value);
    }
    if (s.keep_statistics && threadIdx.x == 0) {
      ops.store(a.mean, r, mean);
      ops.store(a.rstd, r, rstd);
    }
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void softmax_block(Type<Ops>, Type<T>, const RowShape& s, const EbSoftmaxArrays& arrays, Launches& launches) {
  launches.blocks(std::min(s.rows, kMostBlocks), kBlock * sizeof(T), softmax_block_kernel<Ops, T>,
                  softmax_operands<Ops, T>(arrays), s);
}

template <class Ops, class T>
void layer_norm_block(Type<Ops>, Type<T>, const RowShape& s, const EbLayerNormArrays& arrays, double epsilon,
                      Launches& launches) {
  launches.blocks(std::min(s.rows, kMostBlocks), kBlock * sizeof(T), layer_norm_block_kernel<Ops, T>,
                  layer_norm_operands<Ops, T>(arrays, s, epsilon), s);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_softmax_block(EbDtype dtype, const eb::RowShape* shape, const EbSoftmaxArrays* arrays, int device,
                          void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::softmax_block(ops, element, *shape, *arrays, launches);
  });
}

int eb_cuda_layer_norm_block(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays, double epsilon,
                             int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::layer_norm_block(ops, element, *shape, *arrays, epsilon, launches);
  });
}

}  // extern "C"
