// The functions of kernels/elementwise.h by the names of the C interface, and their operands.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/elementwise.h"

#define EB_ELEMENTWISE_FUNCTIONS(X)           \
  X(relu, OfOne<Relu>)                        \
  X(leaky_relu, LeakyRelu)                    \
  X(sigmoid, OfOne<Sigmoid>)                  \
  X(tanh, OfOne<Tanh>)                        \
  X(gelu, OfOne<Gelu>)                        \
  X(add, OfTwo<AddTwo>)                       \
  X(relu_backward, OfTwo<ReluBackward>)       \
  X(leaky_relu_backward, LeakyReluBackward)   \
  X(sigmoid_backward, OfTwo<SigmoidBackward>) \
  X(tanh_backward, OfTwo<TanhBackward>)       \
  X(gelu_backward, OfTwo<GeluBackward>)       \
  X(sgd_step, SgdStep<false>)                 \
  X(sgd_decay_step, SgdStep<true>)            \
  X(momentum_step, MomentumStep<false>)       \
  X(momentum_decay_step, MomentumStep<true>)  \
  X(adam_step, AdamStep<false>)               \
  X(adam_decay_step, AdamStep<true>)

namespace eb {

template <class Ops, class T>
EB_INLINE ElementwiseOperands<Ops, T> elementwise_operands(const EbElementwiseArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  return {typename Ops::template Weight<const T>(in<T>(a.w)),
          Input(in<T>(a.inputs[0])),
          Input(in<T>(a.inputs[1])),
          Input(in<T>(a.inputs[2])),
          Output(out<T>(a.outputs[0])),
          Output(out<T>(a.outputs[1])),
          Output(out<T>(a.outputs[2])),
          Number(a.parameters[0]),
          Number(a.parameters[1]),
          Number(a.parameters[2]),
          Number(a.parameters[3]),
          Number(a.parameters[4]),
          Number(a.parameters[5]),
          Number(a.parameters[6])};
}

}  // namespace eb
