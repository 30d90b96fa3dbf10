// Tuned rung of the 1×1 convolution: C[m, pixel] = Σ_c w(m, c) · source[c, pixel] for each
// image and group, so that pixels lie along the vectors and the result needs no turn.
#include "cpu/tuned/conv_pointwise.h"

#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"

namespace eb::EB_ISA {
namespace {

template <class T>
GemmPlan<GemmShape<T>> plan_of(const PatchSums& p) {
  return {p.outputs, p.h.size * p.w.size, p.channels};
}

template <class Ops, class T>
void multiply(const PatchSums& p, typename Ops::template Activation<const T> source,
              typename Ops::template Weight<const T> w, typename Ops::template Weight<const T> bias, bool has_bias,
              typename Ops::template Activation<T> out, T* memory, int threads, OpCounts* counts) {
  const auto plan = plan_of<T>(p);
  const typename Ops::template Activation<T> panels(memory);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index image = 0; image < p.N * p.groups; ++image) {
      const Index group = image % p.groups;
      const Matrix<decltype(w)> a{w.at(group * p.w_group), p.w_output, p.w_channel};
      const Matrix<decltype(source)> b{source.at(image * p.channels * plan.N), 1, plan.N};
      const auto shift = bias.at(group * p.outputs);
      gemm(ops, plan, a, b, panels, out.at(image * p.outputs * plan.N), plan.N,
           [&](Index row, Index, bool last)
               EB_ALWAYS_INLINE { return RowBias<decltype(bias)>{shift.at(row), last && has_bias}; });
    }
    merge(ops, counts);
  }
}

}  // namespace

int pointwise_sums(EbDtype dtype, const PatchSums& p, const void* source, const void* w, const void* bias, void* y,
                   int threads, OpCounts* counts, EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    using Weight = typename Ops::template Weight<const T>;
    void* memory = workspace(sizeof(T) * static_cast<std::size_t>(plan_of<T>(p).panel_elements()));
    if (memory == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    const typename Ops::template Activation<const T> x(in<T>(source));
    multiply<Ops, T>(p, x, Weight(in<T>(w)), Weight(in<T>(bias)), bias != nullptr,
                     typename Ops::template Activation<T>(out<T>(y)), static_cast<T*>(memory), threads, counts);
    return 0;
  });
}

}  // namespace eb::EB_ISA
