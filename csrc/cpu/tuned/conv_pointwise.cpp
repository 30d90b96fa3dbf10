// Tuned rung of the 1×1 convolution and of its gradients, for each image and group:
//
//   y[m, pixel] = Σ_c w[m, c] · x[c, pixel]     dx[c, pixel] = Σ_m w[m, c] · dy[m, pixel]
//   dw[m, c] = Σ_pixel dy[m, pixel] · x[c, pixel], added up image after image
//
// Pixels lie along the vectors of y and dx, so that neither needs a turn.
#include "cpu/tuned/conv_pointwise.h"

#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"
#include "kernels/conv_direct.h"
#include "operands/conv.h"

namespace eb::EB_ISA {
namespace {

template <class T>
using Plan = GemmPlan<GemmShape<T>>;
template <class T>
Plan<T> plan_of(const PatchSums& p) {
  return {p.outputs, p.h.size * p.w.size, p.channels};
}
template <class T>
Plan<T> weight_plan_of(const PatchSums& p) {
  return {p.outputs, p.channels, p.h.size * p.w.size};
}

// result[n, m, pixel] = Σ_c w(m, c) · source[n, c, pixel] + bias[m]. Ends in a barrier.
template <class T, class Ops, class Source, class W, class Out, class Panels>
EB_INLINE void pointwise_sums(Ops& ops, const PatchSums& p, Source source, W w, W bias, bool has_bias, Out result,
                              Panels panels) {
  const Plan<T> plan = plan_of<T>(p);
  for (Index image = 0; image < p.N * p.groups; ++image) {
    const Index group = image % p.groups;
    const Matrix<W> a{w.at(group * p.w_group), p.w_output, p.w_channel};
    const Matrix<Source> b{source.at(image * p.channels * plan.N), 1, plan.N};
    const auto shift = bias.at(group * p.outputs);
    gemm(ops, plan, a, b, panels, result.at(image * p.outputs * plan.N), plan.N,
         [&](Index row, Index, bool last) EB_ALWAYS_INLINE { return RowBias<W>{shift.at(row), last && has_bias}; });
  }
}

// dw of the forward sums p. Ends in a barrier.
template <class Ops, class T, class Panels>
EB_INLINE void pointwise_weight_gradient(Ops& ops, const PatchSums& p, const ConvBackwardOperands<Ops, T>& a,
                                         Panels panels) {
  const Plan<T> plan = weight_plan_of<T>(p);
  for (Index image = 0; image < p.N * p.groups; ++image) {
    const Matrix<decltype(a.dy)> dy{a.dy.at(image * p.outputs * plan.K), plan.K, 1};
    const Matrix<decltype(a.x)> x{a.x.at(image * p.channels * plan.K), plan.K, 1};
    gemm(
        ops, plan, dy, x, panels, a.dw.at(image % p.groups * p.outputs * p.channels), p.channels,
        [](Index, Index, bool) EB_ALWAYS_INLINE { return NoEpilogue{}; }, image < p.groups);
  }
}

}  // namespace

int pointwise_conv2d(EbDtype dtype, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
                     EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const PatchSums sums = forward_sums(s);
    void* memory = workspace(sizeof(T) * static_cast<std::size_t>(plan_of<T>(sums).panel_elements()));
    if (memory == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    const auto a = operands<Ops, T>(arrays);
    const typename Ops::template Activation<T> panels(static_cast<T*>(memory));
#pragma omp parallel num_threads(threads)
    {
      Ops ops;
      pointwise_sums<T>(ops, sums, a.x, a.w, a.bias, s.has_bias != 0, a.y, panels);
      merge(ops, counts);
    }
    return 0;
  });
}

int pointwise_conv2d_backward(EbDtype dtype, const ConvShape& s, const EbConv2dBackwardArrays& arrays, int threads,
                              OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const PatchSums forward = forward_sums(s), backward = input_gradient_sums(s);
    const Index elements = std::max(plan_of<T>(backward).panel_elements(), weight_plan_of<T>(forward).panel_elements());
    void* memory = workspace(sizeof(T) * static_cast<std::size_t>(elements));
    if (memory == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    const auto a = operands<Ops, T>(arrays);
    const typename Ops::template Activation<T> panels(static_cast<T*>(memory));
#pragma omp parallel num_threads(threads)
    {
      Ops ops;
      pointwise_sums<T>(ops, backward, a.dy, a.w, a.w, false, a.dx, panels);
      pointwise_weight_gradient(ops, forward, a, panels);
#pragma omp for schedule(static)
      for (Index co = 0; co < (s.has_bias ? s.C_out : 0); ++co) conv2d_backward_bias<kLanes<T>>(ops, a, s, co);
      merge(ops, counts);
    }
    return 0;
  });
}

}  // namespace eb::EB_ISA
