// Tuned rung of the fully connected layer and its gradients: products in panels, and w where it lies where there are
// few rows to share a panel.
#include "kernels/linear.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gemm.h"
#include "cpu/workspace.h"
#include "operands/linear.h"

namespace eb::EB_ISA {
namespace {

// The register tile of a product with few rows.
#if EB_VECTOR_BYTES == 64 && defined(__AVX512F__)
constexpr int kFewRowsVectors = 6;
#else
constexpr int kFewRowsVectors = 2;
#endif
template <class T>
using FewRowsShape = Tile<T, kLanes<T>, kLinearFewRows, kFewRowsVectors>;
// A row alone: columns whose sums stay in a first-level cache, and rows of b that are read side by side.
constexpr Index kRowColumns = 512;
constexpr int kRowTerms = 8;
// Products of fewer MACs take a few microseconds, which a second thread would need to begin and to wait.
constexpr Index kAloneMacs = Index{1} << 19;

template <class Ops, class T>
using Operand = Matrix<typename Ops::template Either<const T>>;

// The operand at an address, rows × columns, or lying the other way round.
template <class Ops, class T>
EB_INLINE Operand<Ops, T> operand(const void* address, Index rows, Index columns, bool transposed, bool weight) {
  return {typename Ops::template Either<const T>(in<T>(address), weight), transposed ? 1 : columns,
          transposed ? rows : 1};
}

// One of the products here: C's size and the summed index, the operands with rows of C's rows and of its columns.
template <class Ops, class T>
struct Product {
  GemmPlan<GemmShape<T>> plan;
  Operand<Ops, T> a, b;
  bool in_place;  // rows of bᵀ are neighbours in memory: few rows of C, or sums of few terms, have them where they lie
  typename Ops::template Activation<T> c;

  bool few_terms() const { return in_place && plan.K <= kLinearFewTerms; }
  bool few_rows() const { return in_place && plan.M <= kLinearInPlaceRows; }
  Index scratch() const { return few_terms() || few_rows() ? 0 : plan.panel_elements(); }
};

template <class Ops, class T>
void multiply(const Product<Ops, T>& p, typename Ops::template Weight<const T> bias, bool has_bias, T* scratch,
              int threads, OpCounts* counts) {
  const auto epilogue = [&](Index, Index column, bool last)
                            EB_ALWAYS_INLINE { return ColumnBias<decltype(bias)>{bias.at(column), last && has_bias}; };
  const Operand<Ops, T> b = p.b.transposed();
  const Index M = p.plan.M, N = p.plan.N, blocks = M / kLinearFewRows;
  constexpr Index kFew = FewRowsShape<T>::kColumns;
  const auto few = [&](Ops& ops, Index block, Index j) EB_ALWAYS_INLINE {
    linear_rows<FewRowsShape<T>, kLinearFewRows>(ops, p.a, b, p.c, N, p.plan.K, block * kLinearFewRows, j * kFew,
                                                 epilogue(0, j * kFew, true));
  };
  const auto one = [&](Ops& ops, Index m, Index j) EB_ALWAYS_INLINE {
    linear_row_stream<kLanes<T>, kRowTerms, T>(ops, p.a, b, p.c, N, p.plan.K, m, j * kRowColumns,
                                               std::min(N, (j + 1) * kRowColumns),
                                               [&](Index n) EB_ALWAYS_INLINE { return epilogue(0, n, true); });
  };
  if (M * N < kAloneMacs / p.plan.K) threads = 1;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    if (p.few_terms()) {  // row by row, as C lies
#pragma omp for schedule(static)
      for (Index block = 0; block < blocks + M % kLinearFewRows; ++block) {
        if (block < blocks) {
          for (Index j = 0; j < ceil_div(N, kFew); ++j) few(ops, block, j);
        } else {
          for (Index j = 0; j < ceil_div(N, kRowColumns); ++j) one(ops, block - blocks + blocks * kLinearFewRows, j);
        }
      }
    } else if (p.few_rows()) {  // columns by columns, which stay in a cache from rows to rows
#pragma omp for schedule(static) nowait
      for (Index j = 0; j < (blocks > 0 ? ceil_div(N, kFew) : 0); ++j) {
        for (Index block = 0; block < blocks; ++block) few(ops, block, j);
      }
#pragma omp for schedule(static)
      for (Index j = 0; j < (M % kLinearFewRows > 0 ? ceil_div(N, kRowColumns) : 0); ++j) {
        for (Index m = blocks * kLinearFewRows; m < M; ++m) one(ops, m, j);
      }
    } else {
      gemm(ops, p.plan, p.a, p.b, typename Ops::template Activation<T>(scratch), p.c, p.plan.N, epilogue);
    }
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

// The sum of grad's rows.
template <class Ops, class T>
void sum_rows(const LinearBackwardOperands<Ops, T>& a, const LinearShape& s, int threads, OpCounts* counts) {
  constexpr int kVectors = 4;
  constexpr Index kColumns = kVectors * kLanes<T>;
  in_parallel<Ops>(ceil_div(s.N, kColumns), threads, counts, [&](Ops& ops, Index i) EB_ALWAYS_INLINE {
    linear_backward_bias<kLanes<T>, kVectors>(ops, a, s, i * kColumns);
  });
}

}  // namespace

int linear(EbDtype dtype, const LinearShape& shape, const EbLinearArrays& arrays, int threads, OpCounts* counts,
           EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const LinearShape& s = shape;
    const auto a = operands<Ops, T>(arrays);
    if (linear_by_dots(s)) return linear_dots<Ops, T>(a, s, threads, counts), 0;
    const Product<Ops, T> product{{s.M, s.N, s.K},
                                  operand<Ops, T>(arrays.x, s.M, s.K, s.x_transposed, false),
                                  operand<Ops, T>(arrays.w, s.N, s.K, s.w_transposed, true),
                                  s.w_transposed != 0,
                                  a.y};
    void* scratch = workspace(sizeof(T) * product.scratch());
    if (scratch == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    return multiply(product, a.bias, s.has_bias, static_cast<T*>(scratch), threads, counts), 0;
  });
}

// Two products and a sum of rows, each a launch of its own. A gradient that lies transposed is the transposed product.
int linear_backward(EbDtype dtype, const LinearShape& shape, const EbLinearBackwardArrays& arrays, int threads,
                    OpCounts* counts, EbError* error) {
  if (counts != nullptr) counts->launches += shape.has_bias ? 2 : 1;  // and the one that dispatch counts
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const LinearShape& s = shape;
    const auto a = operands<Ops, T>(arrays);
    const auto grad = operand<Ops, T>(arrays.grad, s.M, s.N, false, false);
    const auto x = operand<Ops, T>(arrays.x, s.M, s.K, s.x_transposed, false).transposed();
    const auto w = operand<Ops, T>(arrays.w, s.N, s.K, s.w_transposed, true).transposed();
    using Products = Product<Ops, T>;
    const Products products[] = {s.x_transposed ? Products{{s.K, s.M, s.N}, w, grad, false, a.dx}
                                                : Products{{s.M, s.K, s.N}, grad, w, !s.w_transposed, a.dx},
                                 s.w_transposed
                                     ? Products{{s.K, s.N, s.M}, x, grad.transposed(), true, a.dw}
                                     : Products{{s.N, s.K, s.M}, grad.transposed(), x, !s.x_transposed, a.dw}};
    void* scratch = workspace(sizeof(T) * std::max(products[0].scratch(), products[1].scratch()));
    if (scratch == nullptr) return refuse(error, "not enough memory for the panels of a matrix product");
    for (const Products& product : products) multiply(product, a.w, false, static_cast<T*>(scratch), threads, counts);
    if (s.has_bias) sum_rows(a, s, threads, counts);
    return 0;
  });
}

}  // namespace eb::EB_ISA
