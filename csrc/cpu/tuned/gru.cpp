// Tuned rungs of the GRU: the input side as matrix products, the recurrent side strip by strip, a barrier between
// steps.
#include "kernels/gru.h"

#include "cpu/rungs.h"
#include "cpu/tuned/gru_tile.h"
#include "cpu/workspace.h"
#include "operands/gru.h"

namespace eb::EB_ISA {
namespace {

// Rows (step, sequence) whose input side is worked out at a time: bounds the scratch memory, and packs w_ih seldom
// enough to cost little.
constexpr Index kChunkRows = 1024;
// What a call needs of scratch memory, and where each part of it lies.
template <class T>
struct GruPlan {
  using Shape = StepShape<T>;
  const GruShape& s;
  Index gates() const { return s.has_output_gate ? 4 : 3; }
  Index strips() const { return ceil_div(s.H, Shape::kColumns); }
  Index strip_elements() const { return gates() * s.H * Shape::kColumns; }
  Index chunk_steps() const { return std::min(s.T, std::max<Index>(1, kChunkRows / s.B)); }

  Index inputs_at() const { return strips() * strip_elements(); }
  Index first_state_at() const { return inputs_at() + chunk_steps() * s.B * gates() * s.H; }
  Index panels_at() const { return first_state_at() + s.B * s.H; }
  Index elements() const {
    return panels_at() + GemmPlan<GemmShape<T>>{chunk_steps() * s.B, 3 * s.H, s.I}.panel_elements();
  }
};

template <bool kOutputGate, class Ops, class T>
void gru_sequence(const GruOperands<Ops, T>& a, const GruShape& s, T* memory, int threads, OpCounts* counts) {
  constexpr int kGates = kGruGates<kOutputGate>;
  using Shape = StepShape<T>;
  using Scratch = typename Ops::template Activation<T>;
  const GruPlan<T> plan{s};
  const Scratch scratch(memory), inputs = scratch.at(plan.inputs_at()), first_state = scratch.at(plan.first_state_at()),
                                 panels = scratch.at(plan.panels_at());
  const bool in_team = s.B * kGates * s.H * s.H >= kTeamMacs;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    // h[t−1] of all sequences.
    const auto state_before = [&](Index t) EB_ALWAYS_INLINE {
      if (t == 0) return first_state;
      return kOutputGate ? a.state.at((t - 1) % 2 * s.B * s.H) : a.y.at((t - 1) * s.B * s.H);
    };
#pragma omp for schedule(static) nowait
    for (Index e = 0; e < plan.strips() * kGates; ++e) {
      pack_gate_strip<Shape, T>(ops, gru_gate_weights(a, s, e % kGates), s.H, scratch, e / kGates, e % kGates, kGates);
    }
#pragma omp for schedule(static) nowait
    for (Index e = 0; e < s.B * s.H; ++e) ops.store(first_state, e, ops.load(a.h0, e));

    for (Index t0 = 0; t0 < s.T; t0 += plan.chunk_steps()) {
      const Index steps = std::min(plan.chunk_steps(), s.T - t0);
      const Matrix<decltype(a.x)> x{a.x.at(t0 * s.B * s.I), s.I, 1};
      for (int gate = 0; gate < kGates; gate += 3) {  // r, z, n; then o, whose weights are their own
        const auto bias = gate == 3 ? a.b_io : a.b_ih;
        const Matrix<decltype(a.w_ih)> w{gate == 3 ? a.w_io : a.w_ih, s.I, 1};
        const GemmPlan<GemmShape<T>> product{steps * s.B, gate == 3 ? s.H : 3 * s.H, s.I};
        gemm(ops, product, x, w, panels, inputs.at(gate * s.H), kGates * s.H,
             [&](Index, Index n, bool)
                 EB_ALWAYS_INLINE { return ColumnStart<decltype(a.b_ih)>{bias.at(n), s.has_bias != 0}; });
      }
      const auto step = [&](Index t, Index strip) EB_ALWAYS_INLINE {
        each_sequence_tile<kSequences<kGates>>(0, s.B, [&](auto count, Index b) EB_ALWAYS_INLINE {
          gru_step_tile<Shape, kGates, count>(ops, a, s, inputs.at((t - t0) * s.B * kGates * s.H),
                                              scratch.at(strip * plan.strip_elements()), state_before(t), t, b, strip);
        });
      };
      if (in_team) {
        for (Index t = t0; t < t0 + steps; ++t) {
#pragma omp for schedule(static)  // ends in a barrier: step t + 1 reads what every thread wrote
          for (Index strip = 0; strip < plan.strips(); ++strip) step(t, strip);
        }
      } else {
#pragma omp single
        for (Index e = 0; e < steps * plan.strips(); ++e) step(t0 + e / plan.strips(), e % plan.strips());
      }
    }
    merge(ops, counts);
  }
}

}  // namespace

int gru(EbDtype dtype, const GruShape& shape, const EbGruArrays& arrays, int threads, OpCounts* counts,
        EbError* error) {
  return dispatch(dtype, counts, error, [&](auto ops, auto element) EB_ALWAYS_INLINE {
    using Ops = typename decltype(ops)::Of;
    using T = typename decltype(element)::Of;
    const auto a = operands<Ops, T>(arrays);
    void* scratch = workspace(sizeof(T) * GruPlan<T>{shape}.elements());
    if (scratch == nullptr) return refuse(error, "not enough memory for the packed weights of a GRU");
    if (shape.has_output_gate) {
      return gru_sequence<true, Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
    }
    return gru_sequence<false, Ops, T>(a, shape, static_cast<T*>(scratch), threads, counts), 0;
  });
}

}  // namespace eb::EB_ISA
