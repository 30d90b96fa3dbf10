// Operands of padding, layouts, parts laid side by side and rows of a table.
#pragma once

#include "common/address.h"
#include "common/c_api.h"
#include "kernels/copies.h"
#include "kernels/pad.h"

namespace eb {

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
