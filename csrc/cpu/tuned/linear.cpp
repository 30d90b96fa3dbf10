// Tuned rung of the fully connected layer: panels, or dot products where there are few rows to share a panel.
#include "kernels/linear.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"

namespace eb::EB_ISA {
namespace {

template <class Ops, class T>
void linear_panels(const LinearOperands<Ops, T>& a, const LinearShape& s, T* scratch, int threads, OpCounts* counts) {
  using Shape = GemmShape<T>;
  const GemmPlan<Shape> plan{s.M, s.N, s.K};
  const typename Ops::template Activation<T> panels(scratch);
  const Matrix<typename Ops::template Activation<const T>> x{a.x, s.K, 1};
  const Matrix<typename Ops::template Weight<const T>> w{a.w, s.K, 1};
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    gemm(ops, plan, x, w, panels, a.y, s.N, [&](Index, Index column, bool last) EB_ALWAYS_INLINE {
      return ColumnBias<decltype(a.bias)>{a.bias.at(column), last && s.has_bias};
    });
    merge(ops, counts);
  }
}

template <class Ops, class T>
void linear_dots(const LinearOperands<Ops, T>& a, const LinearShape& s, int threads, OpCounts* counts) {
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index n = 0; n < ceil_div(s.N, kLinearDotColumns); ++n) {
      linear_forward_dots<kLanes<T>>(ops, a, s, n * kLinearDotColumns);
    }
    merge(ops, counts);
  }
}

}  // namespace

int linear(EbDtype dtype, const LinearShape& shape, const EbLinearArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    if (shape.M <= kLinearFewRows) return linear_dots<Ops, T>(a, shape, threads, counts), 0;
    void* scratch = workspace(sizeof(T) * GemmPlan<GemmShape<T>>{shape.M, shape.N, shape.K}.panel_elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    return linear_panels<Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
