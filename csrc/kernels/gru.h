// Gated recurrent unit over a sequence, forward. Weights have torch's layout: gates r, z, n stacked, w_ih[3H,I],
// w_hh[3H,H]. With h = h[t−1], x = x[t]:
//
//   r = σ(W_ir x + b_ir + W_hr h + b_hr)
//   z = σ(W_iz x + b_iz + W_hz h + b_hz)
//   n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
//   h[t] = n + z ⊙ (h − n)                                  = (1 − z) ⊙ n + z ⊙ h
//   y[t] = h[t]                                             the standard cell
//   y[t] = σ(W_io x + b_io + W_ho h + b_ho) ⊙ tanh(h[t])     with the document's output gate [D11]
#pragma once

#include "common/ops.h"
#include "common/shapes.h"
#include "kernels/activations.h"
#include "kernels/gemm.h"
#include "kernels/products.h"

namespace eb {

template <class Ops, class T>
struct GruOperands {
  typename Ops::template Activation<const T> x;   // x[t,b,i]
  typename Ops::template Activation<const T> h0;  // h0[b,h]
  typename Ops::template Weight<const T> w_ih;    // w_ih[3H,i]
  typename Ops::template Weight<const T> w_hh;    // w_hh[3H,h]
  typename Ops::template Weight<const T> b_ih;    // b_ih[3H]
  typename Ops::template Weight<const T> b_hh;    // b_hh[3H]
  typename Ops::template Weight<const T> w_io;    // w_io[H,i]   output gate only
  typename Ops::template Weight<const T> w_ho;    // w_ho[H,h]
  typename Ops::template Weight<const T> b_io;    // b_io[H]
  typename Ops::template Weight<const T> b_ho;    // b_ho[H]
  typename Ops::template Activation<T> y;         // y[t,b,h]
  typename Ops::template Activation<T> h_n;       // h_n[b,h]
  typename Ops::template Activation<T> state;     // state[2,b,h]: h[t] where y[t] is not h[t]
};

template <class T, class Ops>
EB_HD EB_INLINE auto bias_or_zero(Ops& ops, typename Ops::template Weight<const T> bias, Index i, int has_bias) {
  return has_bias ? ops.load(bias, i) : ops.constant(Constant<T, 0>{});
}

// gru_forward_naive: element (b,h) of step t. An accumulator starts at its bias, so a bias costs a load and no add.
// `h` is h[t−1,b,:].
template <class Ops, class T, class Previous>
EB_HD EB_INLINE void gru_step(Ops& ops, const GruOperands<Ops, T>& a, const GruShape& s, Previous h, Index t, Index b,
                              Index j) {
  const auto x = a.x.at((t * s.B + b) * s.I);  // x[t,b,:]
  const Index jr = j, jz = s.H + j, jn = 2 * s.H + j;
  auto ir = bias_or_zero<T>(ops, a.b_ih, jr, s.has_bias);
  auto iz = bias_or_zero<T>(ops, a.b_ih, jz, s.has_bias);
  auto in = bias_or_zero<T>(ops, a.b_ih, jn, s.has_bias);
  auto io = ops.constant(Constant<T, 0>{});
  if (s.has_output_gate) io = bias_or_zero<T>(ops, a.b_io, j, s.has_bias);
  for (Index i = 0; i < s.I; ++i) {
    const auto xi = ops.load(x, i);
    ir = ops.mac(ops.load(a.w_ih, jr * s.I + i), xi, ir);
    iz = ops.mac(ops.load(a.w_ih, jz * s.I + i), xi, iz);
    in = ops.mac(ops.load(a.w_ih, jn * s.I + i), xi, in);
    if (s.has_output_gate) io = ops.mac(ops.load(a.w_io, j * s.I + i), xi, io);
  }
  auto hr = bias_or_zero<T>(ops, a.b_hh, jr, s.has_bias);
  auto hz = bias_or_zero<T>(ops, a.b_hh, jz, s.has_bias);
  auto hn = bias_or_zero<T>(ops, a.b_hh, jn, s.has_bias);
  auto ho = ops.constant(Constant<T, 0>{});
  if (s.has_output_gate) ho = bias_or_zero<T>(ops, a.b_ho, j, s.has_bias);
  for (Index i = 0; i < s.H; ++i) {
    const auto hi = ops.load(h, i);
    hr = ops.mac(ops.load(a.w_hh, jr * s.H + i), hi, hr);
    hz = ops.mac(ops.load(a.w_hh, jz * s.H + i), hi, hz);
    hn = ops.mac(ops.load(a.w_hh, jn * s.H + i), hi, hn);
    if (s.has_output_gate) ho = ops.mac(ops.load(a.w_ho, j * s.H + i), hi, ho);
  }
  const auto r = sigmoid<T>(ops, ops.add(ir, hr));
  const auto z = sigmoid<T>(ops, ops.add(iz, hz));
  const auto n = ops.tanh(ops.add(in, ops.mul(r, hn)));
  const auto blended = ops.add(n, ops.mul(z, ops.sub(ops.load(h, j), n)));
  if (s.has_output_gate) {
    const auto o = sigmoid<T>(ops, ops.add(io, ho));
    ops.store(a.state, (t % 2 * s.B + b) * s.H + j, blended);
    ops.store(a.y, (t * s.B + b) * s.H + j, ops.mul(o, ops.tanh(blended)));
  } else {
    ops.store(a.y, (t * s.B + b) * s.H + j, blended);
  }
  if (t == s.T - 1) ops.store(a.h_n, b * s.H + j, blended);
}

// Chooses where h[t−1] is read: y itself holds the states of the standard cell.
template <class Ops, class T>
EB_HD EB_INLINE void gru_forward_naive(Ops& ops, const GruOperands<Ops, T>& a, const GruShape& s, Index t, Index b,
                                       Index j) {
  if (t == 0) {
    gru_step(ops, a, s, a.h0.at(b * s.H), t, b, j);
  } else if (s.has_output_gate) {
    gru_step(ops, a, s, a.state.at(((t - 1) % 2 * s.B + b) * s.H), t, b, j);
  } else {
    gru_step(ops, a, s, a.y.at(((t - 1) * s.B + b) * s.H), t, b, j);
  }
}

// ---- the tuned rungs ------------------------------------------------------------------------------------------------
// The input side of many steps is one matrix product (gemm.h). The recurrent side cannot be: each step needs the one
// before. Its weights are packed once a sequence into strips of Shape::kColumns hidden units, gate by gate,
//
//   panel[strip][gate][k][unit]
//
// so that lanes run over hidden units and k over the state, and a thread meets the same strips at every step. Sums
// begin at their bias and run in the order of k, as the naive rung's do.

// Gates r, z, n, and o where there is an output gate.
template <bool kOutputGate>
constexpr int kGruGates = kOutputGate ? 4 : 3;

// The recurrent weights and the recurrent bias of a gate.
template <class Ops, class T>
EB_HD EB_INLINE auto gru_gate_weights(const GruOperands<Ops, T>& a, const GruShape& s, Index gate) {
  return Matrix<decltype(a.w_hh)>{gate == 3 ? a.w_ho : a.w_hh.at(gate * s.H * s.H), s.H, 1};
}
template <class Ops, class T>
EB_HD EB_INLINE auto gru_gate_bias(const GruOperands<Ops, T>& a, const GruShape& s, Index gate) {
  return gate == 3 ? a.b_ho : a.b_hh.at(gate * s.H);
}

// kRows sequences from b on, one strip of hidden units, step t. `inputs` holds the input side's sums of step t,
// inputs[b, gate·H + j]; `h` is h[t−1,:,:]; `panel` is the strip's.
template <class Shape, int kGates, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void gru_step_tile(Ops& ops, const GruOperands<Ops, T>& a, const GruShape& s, Scratch inputs,
                                   Scratch panel, Scratch h, Index t, Index b, Index strip) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kColumns = Shape::kColumns;
  constexpr Lanes<kLanes> lanes{};
  const Index first = strip * kColumns;  // hidden unit
  // Units of vector v that there are.
  const auto inside = [&](Index v) EB_ALWAYS_INLINE { return s.H - first - v * kLanes; };
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  std::remove_const_t<decltype(zero)> sum[kRows][kGates * kVectors];

  unrolled<kGates>([&](auto g) EB_ALWAYS_INLINE {
    const auto bias = gru_gate_bias(a, s, g);
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      const auto start = s.has_bias ? part.load(lanes, bias, first + v * kLanes) : zero;
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE { sum[r][g * kVectors + v] = start; });
    });
  });
  const auto state = h.at(b * s.H);
  add_products<kLanes>(
      ops, 0, s.H, [&](Index k, Index r) EB_ALWAYS_INLINE { return ops.load(state, r * s.H + k); },
      [&](Index k, Index i) EB_ALWAYS_INLINE {
        return ops.load(lanes, panel, (i / kVectors * s.H + k) * kColumns + i % kVectors * kLanes);
      },
      sum, [&](Index, Index i) EB_ALWAYS_INLINE { return inside(i % kVectors); });
  // The functions are calls that leave no register alone, so that from here on the sums live in memory: loops.
  std::remove_const_t<decltype(zero)> kept[kRows][kGates * kVectors];
  unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
    unrolled<kGates * kVectors>([&](auto i) EB_ALWAYS_INLINE { kept[r][i] = sum[r][i]; });
  });
  for (Index e = 0; e < kRows * kVectors; ++e) {
    const Index r = e / kVectors, v = e % kVectors, live = inside(v);
    if (live <= 0) continue;
    auto part = ops.first(live);
    const auto recurrent = [&](Index gate) EB_ALWAYS_INLINE { return kept[r][gate * kVectors + v]; };
    const Index j = first + v * kLanes, element = (b + r) * s.H + j;
    const auto input = [&](Index gate)
                           EB_ALWAYS_INLINE { return part.load(lanes, inputs, ((b + r) * kGates + gate) * s.H + j); };
    const auto reset = sigmoid<T>(part, part.add(input(0), recurrent(0)));
    const auto update = sigmoid<T>(part, part.add(input(1), recurrent(1)));
    const auto n = part.tanh(part.add(input(2), part.mul(reset, recurrent(2))));
    const auto blended = part.add(n, part.mul(update, part.sub(part.load(lanes, h, element), n)));
    if constexpr (kGates == 4) {
      const auto o = sigmoid<T>(part, part.add(input(3), recurrent(3)));
      part.store(a.state, t % 2 * s.B * s.H + element, blended);
      part.store(a.y, t * s.B * s.H + element, part.mul(o, part.tanh(blended)));
    } else {
      part.store(a.y, t * s.B * s.H + element, blended);
    }
    if (t == s.T - 1) part.store(a.h_n, element, blended);
  }
}

}  // namespace eb
