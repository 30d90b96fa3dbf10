// From the untyped addresses of the C interface to the typed, opaque operands of a body. The bodies' only door.
#pragma once

#include "common/c_api.h"
#include "kernels/attention.h"
#include "kernels/batch_norm.h"
#include "kernels/conv.h"
#include "kernels/copies.h"
#include "kernels/dropout.h"
#include "kernels/gru.h"
#include "kernels/linear.h"
#include "kernels/losses.h"
#include "kernels/norm.h"
#include "kernels/pad.h"
#include "kernels/pointwise.h"
#include "kernels/pool.h"
#include "kernels/softmax.h"

namespace eb {

// A type as a value.
template <class T>
struct Type {
  using Of = T;
};

template <class T>
EB_FORCED const T* in(const void* address) {
  return static_cast<const T*>(address);
}
template <class T>
EB_FORCED T* out(void* address) {
  return static_cast<T*>(address);
}

template <class Ops, class T>
EB_INLINE ConvOperands<Ops, T> operands(const EbConv2dArrays& a) {
  using Weight = typename Ops::template Weight<const T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)), Weight(in<T>(a.w)), Weight(in<T>(a.bias)),
          typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE ConvBackwardOperands<Ops, T> operands(const EbConv2dBackwardArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.dy)),   Input(in<T>(a.x)),    typename Ops::template Weight<const T>(in<T>(a.w)),
          Output(out<T>(a.dx)), Output(out<T>(a.dw)), Output(out<T>(a.db))};
}

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

template <class Ops, class T>
EB_INLINE AttentionOperands<Ops, T> operands(const EbAttentionArrays& a, double scale) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.q)), Input(in<T>(a.k)), Input(in<T>(a.v)), typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Parameter<T>(scale)};
}

template <class Ops, class T>
EB_INLINE LinearOperands<Ops, T> operands(const EbLinearArrays& a) {
  using Weight = typename Ops::template Weight<const T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)), Weight(in<T>(a.w)), Weight(in<T>(a.bias)),
          typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE LinearBackwardOperands<Ops, T> operands(const EbLinearBackwardArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)), Input(in<T>(a.x)),    typename Ops::template Weight<const T>(in<T>(a.w)),
          Output(out<T>(a.dx)), Output(out<T>(a.dw)), Output(out<T>(a.db))};
}

template <class Ops, class T>
EB_INLINE SoftmaxOperands<Ops, T> softmax_operands(const EbSoftmaxArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE SoftmaxBackwardOperands<Ops, T> softmax_backward_operands(const EbSoftmaxArrays& a) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.x)), Input(in<T>(a.kept)), typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE LayerNormOperands<Ops, T> layer_norm_operands(const EbLayerNormArrays& a, const RowShape& s, double epsilon) {
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          Weight(in<T>(a.weight)),
          Weight(in<T>(a.bias)),
          Output(out<T>(a.y)),
          Output(out<T>(a.mean)),
          Output(out<T>(a.rstd)),
          Number(static_cast<double>(s.n)),
          Number(epsilon)};
}

template <class Ops, class T>
EB_INLINE LayerNormBackwardOperands<Ops, T> layer_norm_backward_operands(const EbLayerNormArrays& a,
                                                                         const RowShape& s) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  return {Input(in<T>(a.grad)),
          Input(in<T>(a.x)),
          Input(in<T>(a.mean)),
          Input(in<T>(a.rstd)),
          typename Ops::template Weight<const T>(in<T>(a.weight)),
          Output(out<T>(a.y)),
          Output(out<T>(a.dweight)),
          Output(out<T>(a.dbias)),
          typename Ops::template Parameter<T>(static_cast<double>(s.n))};
}

template <class Ops, class T>
EB_INLINE BatchNormOperands<Ops, T> batch_norm_operands(const EbBatchNormArrays& a, const BatchNormShape& s,
                                                        double momentum, double epsilon) {
  using Input = typename Ops::template Activation<const T>;
  using Weight = typename Ops::template Weight<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  const double length = static_cast<double>(s.N * s.S);
  return {Input(in<T>(a.x)),
          Weight(in<T>(a.weight)),
          Weight(in<T>(a.bias)),
          Input(in<T>(a.running_mean)),
          Input(in<T>(a.running_var)),
          Output(out<T>(a.y)),
          Output(out<T>(a.mean)),
          Output(out<T>(a.rstd)),
          Output(out<T>(a.new_mean)),
          Output(out<T>(a.new_var)),
          Number(length),
          Number(epsilon),
          Number(1 - momentum),
          Number(momentum),
          Number(momentum * length / (length - 1))};
}

template <class Ops, class T>
EB_INLINE BatchNormBackwardOperands<Ops, T> batch_norm_backward_operands(const EbBatchNormArrays& a,
                                                                         const BatchNormShape& s, double epsilon) {
  using Input = typename Ops::template Activation<const T>;
  using Output = typename Ops::template Activation<T>;
  using Number = typename Ops::template Parameter<T>;
  return {Input(in<T>(a.grad)),
          Input(in<T>(a.x)),
          Input(in<T>(a.mean)),
          Input(in<T>(a.rstd)),
          typename Ops::template Weight<const T>(in<T>(a.weight)),
          Output(out<T>(a.y)),
          Output(out<T>(a.dweight)),
          Output(out<T>(a.dbias)),
          Number(static_cast<double>(s.N * s.S)),
          Number(epsilon)};
}

template <class Ops, class T>
EB_INLINE CrossEntropyOperands<Ops, T> cross_entropy_operands(const EbCrossEntropyArrays& a, const RowShape& s) {
  using Output = typename Ops::template Activation<T>;
  return {{typename Ops::template Activation<const T>(in<T>(a.x)), Output(out<T>(a.y))},
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.targets)),
          Output(out<T>(a.loss)),
          typename Ops::template Parameter<T>(static_cast<double>(s.rows))};
}

template <class Ops, class T>
EB_INLINE CrossEntropyBackwardOperands<Ops, T> cross_entropy_backward_operands(const EbCrossEntropyArrays& a,
                                                                               const RowShape& s) {
  using Input = typename Ops::template Activation<const T>;
  return {Input(in<T>(a.loss)), Input(in<T>(a.y)),
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.targets)),
          typename Ops::template Activation<T>(out<T>(a.dx)),
          typename Ops::template Parameter<T>(static_cast<double>(s.rows))};
}

template <class Ops, class T>
EB_INLINE DropoutOperands<Ops, T> dropout_operands(const EbDropoutArrays& a, double keep, std::uint64_t seed) {
  using Number = typename Ops::template Parameter<T>;
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Activation<std::uint8_t>(out<std::uint8_t>(a.mask)),
          Number(keep),
          Number(1 / keep),
          seed};
}

template <class Ops, class T>
EB_INLINE DropoutBackwardOperands<Ops, T> dropout_backward_operands(const EbDropoutArrays& a, double keep) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<const std::uint8_t>(in<std::uint8_t>(a.mask)),
          typename Ops::template Activation<T>(out<T>(a.y)), typename Ops::template Parameter<T>(1 / keep)};
}

template <class Ops, class T>
EB_INLINE PointwiseOperands<Ops, T> operands(const EbElementArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE PoolOperands<Ops, T> operands(const EbPoolArrays& a, const PoolShape& s) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Activation<std::int64_t>(out<std::int64_t>(a.winners)),
          typename Ops::template Parameter<T>(static_cast<double>(s.KH * s.KW))};
}

template <class Ops, class T>
EB_INLINE PoolBackwardOperands<Ops, T> pool_backward_operands(const EbPoolArrays& a, const PoolShape& s) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)),
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.winners)),
          typename Ops::template Activation<T>(out<T>(a.y)),
          typename Ops::template Parameter<T>(static_cast<double>(s.KH * s.KW))};
}

template <class Ops, class T>
EB_INLINE CopyOperands<Ops, T> operands(const EbPadArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

template <class Ops, class T>
EB_INLINE CopyOperands<Ops, T> operands(const EbTransposeArrays& a) {
  return {typename Ops::template Activation<const T>(in<T>(a.x)), typename Ops::template Activation<T>(out<T>(a.y))};
}

// Part `part`, and its first column of y.
template <class Ops, class T>
EB_INLINE CopyOperands<Ops, T> operands(const EbConcatArrays& a, Index part, Index column) {
  return {typename Ops::template Activation<const T>(in<T>(a.x[part])),
          typename Ops::template Activation<T>(out<T>(a.y) + column)};
}

template <class Ops, class T>
EB_INLINE GatherOperands<Ops, T> operands(const EbGatherArrays& a) {
  return {typename Ops::template Weight<const T>(in<T>(a.table)),
          typename Ops::template Activation<const std::int64_t>(in<std::int64_t>(a.index)),
          typename Ops::template Activation<T>(out<T>(a.y))};
}

}  // namespace eb
