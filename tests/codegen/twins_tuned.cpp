// The inner bodies of the tuned rungs as functions of bare addresses, over the policy that EB_OPS names, for vectors of
// EB_VECTOR_BYTES; compiled once for each policy and instruction set, and compared. EB_EXTRA is the negative control:
// one operation more.
#define EB_ISA twins
#include "cpu/tuned/isa.h"
#include "kernels/conv_nhwc.h"
#include "kernels/linear.h"
#include "raw_ops.h"

using Ops = EB_OPS;
using Input = Ops::Activation<const float>;
using Weight = Ops::Weight<const float>;
using Output = Ops::Activation<float>;

#if EB_EXTRA
#define EB_ONE_MORE(y, e) y[e] = y[e] / 3.0f;  // few bodies divide: seen whatever else there is
#else
#define EB_ONE_MORE(y, e)
#endif

extern "C" void gemm_tile(const float* a, const float* b, float* c, eb::Index depth, eb::Index stride, eb::Index rows,
                          eb::Index columns, bool first) {
  Ops ops;
  eb::gemm_tile<eb::twins::GemmShape<float>>(ops, Input(a), Input(b), depth, Output(c), stride, rows, columns, first,
                                             eb::NoEpilogue{});
  EB_ONE_MORE(c, 0)
}

extern "C" void linear_rows(const float* a, const float* b, float* c, eb::LinearShape s, eb::Index column) {
  Ops ops;
  const eb::Matrix<Input> of_a{Input(a), s.K, 1};
  const eb::Matrix<Weight> of_b{Weight(b), s.N, 1};
  eb::linear_rows<eb::Tile<float, eb::twins::kLanes<float>, 4, 2>, 4>(ops, of_a, of_b, Output(c), s.N, s.K, 0, column,
                                                                      eb::NoEpilogue{});
  EB_ONE_MORE(c, 0)
}

extern "C" void linear_dots(const float* x, const float* w, const float* bias, float* y, eb::LinearShape s,
                            eb::Index n) {
  Ops ops;
  const eb::LinearOperands<Ops, float> a{Input(x), Weight(w), Weight(bias), Output(y)};
  eb::linear_forward_dots<eb::twins::kLanes<float>>(ops, a, s, n);
  EB_ONE_MORE(y, 0)
}

extern "C" void nhwc_depthwise(const float* x, const float* w, const float* bias, const float* panel, float* y,
                               eb::ConvShape s, eb::Index oh, eb::Index ow, eb::Index c) {
  constexpr int W = eb::twins::kLanes<float>;
  Ops ops;
  const eb::ConvOperands<Ops, float> a{Input(x), Weight(w), Weight(bias), Output(y)};
  eb::conv2d_nhwc_depthwise<W, 4, 2, true>(ops, a, s, Input(panel), 0, oh, ow, c, W);
  EB_ONE_MORE(y, 0)
}
