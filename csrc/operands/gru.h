// Operands of the GRU.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/gru.h"

namespace eb {

template <class Ops, class T>
EB_INLINE GruOperands<Ops, T> operands(const EbGruArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.x)),       Input(in<T>(a.h0)),     Weight(in<T>(a.w_ih)), Weight(in<T>(a.w_hh)),
          Weight(in<T>(a.b_ih)),   Weight(in<T>(a.b_hh)),  Weight(in<T>(a.w_io)), Weight(in<T>(a.w_ho)),
          Weight(in<T>(a.b_io)),   Weight(in<T>(a.b_ho)),  Output(out<T>(a.y)),   Output(out<T>(a.h_n)),
          Output(out<T>(a.state)), Output(out<T>(a.gates))};
}

template <class Ops, class T>
EB_INLINE GruBackwardOperands<Ops, T> operands(const EbGruBackwardArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)),    Input(in<T>(a.grad_h)),  Input(in<T>(a.x)),       Input(in<T>(a.h0)),
          Input(in<T>(a.y)),       Input(in<T>(a.gates)),   Weight(in<T>(a.w_ih)),   Weight(in<T>(a.w_hh)),
          Weight(in<T>(a.w_io)),   Weight(in<T>(a.w_ho)),   Output(out<T>(a.dx)),    Output(out<T>(a.dh0)),
          Output(out<T>(a.dw_ih)), Output(out<T>(a.dw_hh)), Output(out<T>(a.db_ih)), Output(out<T>(a.db_hh)),
          Output(out<T>(a.dw_io)), Output(out<T>(a.dw_ho)), Output(out<T>(a.db_io)), Output(out<T>(a.db_ho))};
}

}  // namespace eb
