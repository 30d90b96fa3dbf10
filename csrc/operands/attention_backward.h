// Operands of attention's backward pass and of its online form, for every device.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/attention_backward.h"
#include "kernels/online_attention.h"

namespace eb {

template <class Ops, class T>
EB_INLINE AttentionBackwardOperands<Ops, T> operands(const EbAttentionBackwardArrays& a, double scale) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)), Input(in<T>(a.q)),
          Input(in<T>(a.k)),    Input(in<T>(a.v)),
          Input(in<T>(a.y)),    Input(in<T>(a.lse)),
          Output(out<T>(a.dq)), Output(out<T>(a.dk)),
          Output(out<T>(a.dv)), typename Ops::template Parameter<T>(scale)};
}

template <class Ops, class T>
EB_INLINE OnlineAttentionOperands<Ops, T> operands(const EbOnlineAttentionArrays& a, double scale) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.q)),   Input(in<T>(a.k)),     Input(in<T>(a.v)),
          Output(out<T>(a.y)), Output(out<T>(a.lse)), typename Ops::template Parameter<T>(scale)};
}

}  // namespace eb
