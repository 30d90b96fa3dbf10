// CUDA launches of the GRU's gradients: back through time a launch a step, then a thread for each element of dx, each
// hidden unit of a gate's weights, and each bias.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/gru.h"

namespace eb {
namespace {

template <class Ops, class T>
using Scratch = typename Ops::template Activation<T>;

template <class Ops, class T>
__global__ void gru_backward_step_kernel(GruBackwardOperands<Ops, T> a, GruShape s, Scratch<Ops, T> sums,
                                         Scratch<Ops, T> carry, Index t, OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.B * s.H; e += element_stride()) {
    gru_backward_naive_step(ops, a, s, sums, carry, t, e / s.H, e % s.H);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void gru_input_gradient_kernel(GruBackwardOperands<Ops, T> a, GruShape s, Scratch<Ops, T> sums,
                                          OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.T * s.B * s.I; e += element_stride()) {
    gru_backward_naive_input(ops, a, s, sums, e / s.I, e % s.I);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void gru_weight_gradient_kernel(GruBackwardOperands<Ops, T> a, GruShape s, Scratch<Ops, T> sums,
                                           OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < s.gates() * s.H; e += element_stride()) {
    gru_backward_naive_weights(ops, a, s, sums, e / s.H, e % s.H);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void gru_bias_gradient_kernel(GruBackwardOperands<Ops, T> a, GruShape s, Scratch<Ops, T> sums,
                                         OpCounts* counts) {
  Ops ops;
  for (Index e = first_element(); e < (s.gates() + 1) * s.H; e += element_stride()) {
    gru_backward_biases<1, T>(ops, a, s, sums, e / s.H, e % s.H);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void gru_backward(Type<Ops>, Type<T>, const GruShape& s, const EbGruBackwardArrays& arrays, void* scratch,
                  Launches& launches) {
  const auto a = operands<Ops, T>(arrays);
  const Index slots = s.gates() + 1;
  const Scratch<Ops, T> sums(out<T>(scratch)), carry = sums.at(s.T * s.B * slots * s.H);
  for (Index t = s.T - 1; t >= -1; --t) {  // step t − 1 reads what every block wrote
    launches.over(s.B * s.H, gru_backward_step_kernel<Ops, T>, a, s, sums, carry, t);
  }
  launches.over(s.T * s.B * s.I, gru_input_gradient_kernel<Ops, T>, a, s, sums);
  launches.over(s.gates() * s.H, gru_weight_gradient_kernel<Ops, T>, a, s, sums);
  if (s.has_bias) launches.over(slots * s.H, gru_bias_gradient_kernel<Ops, T>, a, s, sums);
}

}  // namespace
}  // namespace eb

extern "C" int eb_cuda_gru_backward(EbDtype dtype, const eb::GruShape* shape, const EbGruBackwardArrays* arrays,
                                    void* scratch, int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::gru_backward(ops, element, *shape, *arrays, scratch, launches);
  });
}
