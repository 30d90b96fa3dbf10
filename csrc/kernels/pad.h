// Padding of images, forward and backward: what an output beyond the edge stands for depends on the mode.
//
//   zeros      nothing: it is 0
//   reflect    its mirror image, the edge itself not repeated
//   replicate  the nearest pixel
//   circular   the pixel one image further on
//
// Backward, each gradient is added to the pixel that its output stood for, in the order of the outputs: the same bits
// on every rung.
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/copies.h"
#include "kernels/reduce.h"

namespace eb {

// The place in [0, size) that place i of a padded line stands for, counted from the first that is not padding; −1:
// none. Padding is less than the line where it is reflected, and no longer where it is circular.
EB_HD EB_FORCED Index pad_source(PadMode mode, Index i, Index size) {
  if (0 <= i && i < size) return i;
  if (mode == PadMode::kReflect) return i < 0 ? -i : 2 * (size - 1) - i;
  if (mode == PadMode::kReplicate) return i < 0 ? 0 : size - 1;
  if (mode == PadMode::kCircular) return i < 0 ? i + size : i - size;
  return -1;
}

// pad2d_forward_naive: one output.
template <class Ops, class T>
EB_HD EB_INLINE void pad2d_forward_naive(Ops& ops, const CopyOperands<Ops, T>& a, const PadShape& s, Index plane,
                                         Index oh, Index ow) {
  const Index ih = pad_source(s.mode, oh - s.top, s.H), iw = pad_source(s.mode, ow - s.left, s.W);
  const auto y = a.y.at((plane * s.H_out() + oh) * s.W_out());
  if (ih < 0 || iw < 0) {
    ops.store(y, ow, ops.constant(Constant<T, 0>{}));
  } else {
    ops.store(y, ow, ops.load(a.x, (plane * s.H + ih) * s.W + iw));
  }
}

// A row of outputs: its edges number by number, what lies between in W lanes.
template <int W, class Ops, class T>
EB_HD EB_INLINE void pad2d_forward_lanes(Ops& ops, const CopyOperands<Ops, T>& a, const PadShape& s, Index plane,
                                         Index oh) {
  const Index ih = pad_source(s.mode, oh - s.top, s.H);
  const auto y = a.y.at((plane * s.H_out() + oh) * s.W_out());
  if (ih < 0) return fill_zeros<W, T>(ops, y, s.W_out());
  const auto x = a.x.at((plane * s.H + ih) * s.W);
  const auto edge = [&](Index from, Index to) EB_ALWAYS_INLINE {
    for (Index ow = from; ow < to; ++ow) {
      const Index iw = pad_source(s.mode, ow - s.left, s.W);
      if (iw < 0) {
        ops.store(y, ow, ops.constant(Constant<T, 0>{}));
      } else {
        ops.store(y, ow, ops.load(x, iw));
      }
    }
  };
  edge(0, s.left);
  copy_run<W>(ops, x, y.at(s.left), s.W);
  edge(s.left + s.W, s.W_out());
}

// dx[pixel] += grad[output] of the outputs [from, to) of a row, number by number.
template <class Ops, class T>
EB_HD EB_INLINE void add_to_sources(Ops& ops, const CopyOperands<Ops, T>& a, const PadShape& s, Index plane, Index oh,
                                    Index ih, Index from, Index to) {
  const auto grad = a.x.at((plane * s.H_out() + oh) * s.W_out());
  const auto dx = a.y.at((plane * s.H + ih) * s.W);
  for (Index ow = from; ow < to; ++ow) {
    const Index iw = pad_source(s.mode, ow - s.left, s.W);
    ops.store(dx, iw, ops.add(ops.load(dx, iw), ops.load(grad, ow)));
  }
}

// pad2d_backward_naive: one plane. Zeros pass no gradient on, so theirs is a copy of what lies inside.
template <class Ops, class T>
EB_HD EB_INLINE void pad2d_backward_naive(Ops& ops, const CopyOperands<Ops, T>& a, const PadShape& s, Index plane) {
  const auto dx = a.y.at(plane * s.H * s.W);
  if (s.mode == PadMode::kZeros) {
    for (Index ih = 0; ih < s.H; ++ih) {
      const auto grad = a.x.at((plane * s.H_out() + s.top + ih) * s.W_out() + s.left);
      for (Index iw = 0; iw < s.W; ++iw) ops.store(dx, ih * s.W + iw, ops.load(grad, iw));
    }
    return;
  }
  for (Index i = 0; i < s.H * s.W; ++i) ops.store(dx, i, ops.constant(Constant<T, 0>{}));
  for (Index oh = 0; oh < s.H_out(); ++oh) {
    add_to_sources(ops, a, s, plane, oh, pad_source(s.mode, oh - s.top, s.H), 0, s.W_out());
  }
}

template <int W, class Ops, class T>
EB_HD EB_INLINE void pad2d_backward_lanes(Ops& ops, const CopyOperands<Ops, T>& a, const PadShape& s, Index plane) {
  const auto dx = a.y.at(plane * s.H * s.W);
  if (s.mode == PadMode::kZeros) {
    for (Index ih = 0; ih < s.H; ++ih) {
      copy_run<W>(ops, a.x.at((plane * s.H_out() + s.top + ih) * s.W_out() + s.left), dx.at(ih * s.W), s.W);
    }
    return;
  }
  fill_zeros<W, T>(ops, dx, s.H * s.W);
  for (Index oh = 0; oh < s.H_out(); ++oh) {
    const Index ih = pad_source(s.mode, oh - s.top, s.H);
    const auto grad = a.x.at((plane * s.H_out() + oh) * s.W_out() + s.left);
    const auto row = dx.at(ih * s.W);
    add_to_sources(ops, a, s, plane, oh, ih, 0, s.left);
    each_vector<W>(ops, s.W, [&](auto& policy, auto lanes, Index i) EB_ALWAYS_INLINE {
      policy.store(row, i, policy.add(policy.load(lanes, row, i), policy.load(lanes, grad, i)));
    });
    add_to_sources(ops, a, s, plane, oh, ih, s.left + s.W, s.W_out());
  }
}

}  // namespace eb
