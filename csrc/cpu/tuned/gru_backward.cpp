// Tuned rungs of the GRU's backward pass: the recurrence from the last step to the first, strip by strip with a barrier
// between steps; then the gradients of the input and of the weights as matrix products over all steps.
#include "kernels/gru.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gru_tile.h"
#include "cpu/workspace.h"
#include "operands/gru.h"

namespace eb::EB_ISA {
namespace {

// What a call needs of scratch memory, and where each part of it lies: the packed recurrent weights, the gradients of
// the gates' sums, what is carried to the step before, panels.
template <class T>
struct GruBackwardPlan {
  using Shape = StepShape<T>;
  const GruShape& s;
  Index rows() const { return s.T * s.B; }
  Index slots() const { return s.gates() + 1; }
  Index strips() const { return ceil_div(s.H, Shape::kColumns); }
  Index strip_elements() const { return s.gates() * s.H * Shape::kColumns; }

  Index sums_at() const { return strips() * strip_elements(); }
  Index carry_at() const { return sums_at() + rows() * slots() * s.H; }
  Index panels_at() const { return carry_at() + s.B * s.H; }
  Index elements() const {
    const GemmPlan<GemmShape<T>> of_input{rows(), s.I, s.gates() * s.H},
        of_weights{3 * s.H, std::max(s.I, s.H), rows()};
    return panels_at() + std::max(of_input.panel_elements(), of_weights.panel_elements());
  }
};

// Every thread of the team calls it: sums of all steps, and dh0.
template <int kGates, class Ops, class T, class Scratch>
EB_INLINE void gru_recurrence(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s, Scratch scratch) {
  using Shape = StepShape<T>;
  const GruBackwardPlan<T> plan{s};
#pragma omp for schedule(static)
  for (Index e = 0; e < plan.strips() * kGates; ++e) {
    pack_gate_strip<Shape, T>(ops, gru_gate_weights(a, s, e % kGates).transposed(), s.H, scratch, e / kGates,
                              e % kGates, kGates);
  }
  const auto step = [&](Index t, Index strip) EB_ALWAYS_INLINE {
    each_sequence_tile<kSequences<kGates>>(0, s.B, [&](auto count, Index b) EB_ALWAYS_INLINE {
      gru_backward_tile<Shape, kGates, count>(ops, a, s, scratch.at(plan.sums_at()), scratch.at(plan.carry_at()),
                                              scratch.at(strip * plan.strip_elements()), t, b, strip);
    });
  };
  if (s.B * kGates * s.H * s.H >= kTeamMacs) {
    for (Index t = s.T - 1; t >= -1; --t) {
#pragma omp for schedule(static)  // ends in a barrier: step t − 1 reads what every thread wrote
      for (Index strip = 0; strip < plan.strips(); ++strip) step(t, strip);
    }
  } else {
#pragma omp single
    for (Index e = 0; e < (s.T + 1) * plan.strips(); ++e) step(s.T - 1 - e / plan.strips(), e % plan.strips());
  }
}

// Likewise: dx, and the gradients of weights and biases, from the sums.
template <class Ops, class T, class Scratch>
void gru_products(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s, Scratch sums, Scratch panels) {
  constexpr int W = kLanes<T>;
  using Activations = Matrix<typename Ops::template Activation<const T>>;
  using Weights = Matrix<typename Ops::template Weight<const T>>;
  using Results = typename Ops::template Activation<T>;
  const auto no_epilogue = [](Index, Index, bool) EB_ALWAYS_INLINE { return NoEpilogue{}; };
  const GruBackwardPlan<T> plan{s};
  const Index stride = plan.slots() * s.H, rows = plan.rows();

  const Stacked<typename Ops::template Weight<const T>> weights{Weights{a.w_ih, 1, s.I}, Weights{a.w_io, 1, s.I},
                                                                3 * s.H};
  gemm(ops, GemmPlan<GemmShape<T>>{rows, s.I, s.gates() * s.H}, Matrix<Scratch>{sums, stride, 1}, weights, panels, a.dx,
       s.I, no_epilogue);

  // dw[unit, i] = Σ over rows of sums[row, unit] · input[row, i]. The states before: h0, then all but the last.
  const auto states = gru_states(a, s);
  const Stacked<typename Ops::template Activation<const T>> x{Activations{a.x, 1, s.I}, Activations{a.x, 1, s.I}, rows};
  const Stacked<typename Ops::template Activation<const T>> before{Activations{a.h0, 1, s.H}, states.transposed(), s.B};
  const Index none = s.has_output_gate ? s.H : 0;
  struct Product {
    bool of_state;
    Index slot, units;
    Results result;
  };
  const Product products[] = {{false, 0, 3 * s.H, a.dw_ih},
                              {false, 3, none, a.dw_io},
                              {true, 0, 2 * s.H, a.dw_hh},
                              {true, s.gates(), s.H, a.dw_hh.at(2 * s.H * s.H)},
                              {true, 3, none, a.dw_ho}};
  for (const Product& p : products) {
    if (p.units == 0) continue;
    const Index columns = p.of_state ? s.H : s.I;
    gemm(ops, GemmPlan<GemmShape<T>>{p.units, columns, rows}, Matrix<Scratch>{sums.at(p.slot * s.H), 1, stride},
         p.of_state ? before : x, panels, p.result, columns, no_epilogue);
  }

  if (!s.has_bias) return;
  const Index vectors = ceil_div(s.H, W);
#pragma omp for schedule(static)
  for (Index e = 0; e < plan.slots() * vectors; ++e) {
    const Index slot = e / vectors, j = e % vectors * W;
    if (j + W <= s.H) {
      gru_backward_biases<W, T>(ops, a, s, sums, slot, j);
    } else {
      auto part = ops.first(s.H - j);
      gru_backward_biases<W, T>(part, a, s, sums, slot, j);
    }
  }
}

template <class Ops, class T>
void gru_gradients(const GruBackwardOperands<Ops, T>& a, const GruShape& s, T* memory, int threads, OpCounts* counts) {
  const GruBackwardPlan<T> plan{s};
  const typename Ops::template Activation<T> scratch(memory);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    if (s.has_output_gate) {
      gru_recurrence<4>(ops, a, s, scratch);
    } else {
      gru_recurrence<3>(ops, a, s, scratch);
    }
    gru_products(ops, a, s, scratch.at(plan.sums_at()), scratch.at(plan.panels_at()));
    merge(ops, counts);
  }
}

}  // namespace

int gru_backward(EbDtype dtype, const GruShape& shape, const EbGruBackwardArrays& arrays, int threads, OpCounts* counts,
                 EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    void* scratch = workspace(sizeof(T) * GruBackwardPlan<T>{shape}.elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the gates' gradients of a GRU");
    return gru_gradients<Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
