// Gated recurrent unit over a sequence, forward and backward. Weights have torch's layout: gates r, z, n stacked,
// w_ih[3H,I], w_hh[3H,H]. With h = h[t−1], x = x[t]:
//
//   r = σ(W_ir x + b_ir + W_hr h + b_hr)
//   z = σ(W_iz x + b_iz + W_hz h + b_hz)
//   n = tanh(W_in x + b_in + r ⊙ (W_hn h + b_hn))
//   h[t] = n + z ⊙ (h − n)                                  = (1 − z) ⊙ n + z ⊙ h
//   y[t] = h[t]                                             the standard cell
//   y[t] = σ(W_io x + b_io + W_ho h + b_ho) ⊙ tanh(h[t])     with the document's output gate [D11]
//
// A training forward keeps r, z, n and ĥ = W_hn h + b_hn, and o and h[t] where there is an output gate. Backward, with
// g the gradient of y[t] and d that of h[t], each gate's gradient is that of its sum, before σ or tanh:
//
//   do = g c o(1 − o),  d = g o (1 − c²) + carried        c = tanh(h[t]); without an output gate d = g + carried
//   dz = d (h − n) z(1 − z),  dn = d (1 − z)(1 − n²),  dr = dn ĥ r(1 − r),  dĥ = dn r
//   carried to t − 1 = d z + W_hrᵀ dr + W_hzᵀ dz + W_hnᵀ dĥ + W_hoᵀ do
//   dx = W_irᵀ dr + W_izᵀ dz + W_inᵀ dn + W_ioᵀ do;  weights and biases: sums over t and b of these times x, h, 1
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
  typename Ops::template Activation<T> gates;     // gates[t,b,kept,h], where they are kept
};

template <class Ops, class T>
struct GruBackwardOperands {
  typename Ops::template Activation<const T> grad;    // grad[t,b,h], of y
  typename Ops::template Activation<const T> grad_h;  // grad_h[b,h], of h_n, where it has one
  typename Ops::template Activation<const T> x, h0;
  typename Ops::template Activation<const T> y;      // standard cell only
  typename Ops::template Activation<const T> gates;  // kept by the forward pass
  typename Ops::template Weight<const T> w_ih, w_hh, w_io, w_ho;
  typename Ops::template Activation<T> dx, dh0, dw_ih, dw_hh, db_ih, db_hh, dw_io, dw_ho, db_io, db_ho;
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
  const auto kept = a.gates.at((t * s.B + b) * s.kept() * s.H + j);
  if (s.keep_gates) {
    ops.store(kept, 0, r);
    ops.store(kept, s.H, z);
    ops.store(kept, 2 * s.H, n);
    ops.store(kept, 3 * s.H, hn);
  }
  if (s.has_output_gate) {
    const auto o = sigmoid<T>(ops, ops.add(io, ho));
    if (s.keep_gates) {
      ops.store(kept, 4 * s.H, o);
      ops.store(kept, 5 * s.H, blended);
    }
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
template <class Operands>
EB_HD EB_INLINE auto gru_gate_weights(const Operands& a, const GruShape& s, Index gate) {
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
    const auto keep = [&](Index slot, const auto& value) EB_ALWAYS_INLINE {
      if (s.keep_gates) part.store(a.gates, ((t * s.B + b + r) * s.kept() + slot) * s.H + j, value);
    };
    keep(0, reset);
    keep(1, update);
    keep(2, n);
    keep(3, recurrent(2));
    if constexpr (kGates == 4) {
      const auto o = sigmoid<T>(part, part.add(input(3), recurrent(3)));
      keep(4, o);
      keep(5, blended);
      part.store(a.state, t % 2 * s.B * s.H + element, blended);
      part.store(a.y, t * s.B * s.H + element, part.mul(o, part.tanh(blended)));
    } else {
      part.store(a.y, t * s.B * s.H + element, blended);
    }
    if (t == s.T - 1) part.store(a.h_n, element, blended);
  }
}

// ---- backward through time ------------------------------------------------------------------------------------------
// Scratch: the gradients of the gates' sums, sums[t,b,gates + 1,h] in the order r, z, n, (o,) ĥ, so that the input
// side's are neighbours; and carry[b,h] = d z of the step before.

// Place of a gate among them: on the recurrent side the candidate's is ĥ.
EB_HD EB_FORCED Index gru_recurrent_slot(const GruShape& s, Index gate) { return gate == 2 ? s.gates() : gate; }

// h[t] for every row t·B + b, after the first state.
template <class Ops, class T>
EB_HD EB_INLINE auto gru_states(const GruBackwardOperands<Ops, T>& a, const GruShape& s) {
  return s.has_output_gate ? Matrix<decltype(a.y)>{a.gates.at(5 * s.H), 6 * s.H, 1}
                           : Matrix<decltype(a.y)>{a.y, s.H, 1};
}
// h[t−1,b,:].
template <class Ops, class T>
EB_HD EB_INLINE auto gru_state_before(const GruBackwardOperands<Ops, T>& a, const GruShape& s, Index t, Index b) {
  const auto states = gru_states(a, s);
  return t == 0 ? a.h0.at(b * s.H) : states.data.at(((t - 1) * s.B + b) * states.row_stride);
}

// At one place (or W of them): the gradients of the gates' sums into put(slot, value); returns what is carried along
// the update gate. `kept(slot)` is what the forward pass kept.
template <class T, class Ops, class V, class Kept, class Put>
EB_HD EB_INLINE V gru_gate_gradients(Ops& ops, const GruShape& s, V grad, V carried, V before, const Kept& kept,
                                     const Put& put) {
  const V r = kept(0), z = kept(1), n = kept(2);
  const V one = ops.constant(r, Constant<T, 1>{});
  V into = grad;
  if (s.has_output_gate) {
    const V o = kept(4), c = ops.tanh(kept(5));
    put(3, ops.mul(ops.mul(grad, c), ops.mul(o, ops.sub(one, o))));
    into = ops.mul(ops.mul(grad, o), ops.sub(one, ops.mul(c, c)));
  }
  const V d = ops.add(into, carried);
  const V stays = ops.sub(one, z);
  put(1, ops.mul(ops.mul(d, ops.sub(before, n)), ops.mul(z, stays)));
  const V candidate = ops.mul(ops.mul(d, stays), ops.sub(one, ops.mul(n, n)));
  put(2, candidate);
  put(0, ops.mul(ops.mul(candidate, kept(3)), ops.mul(r, ops.sub(one, r))));
  put(s.gates(), ops.mul(candidate, r));
  return ops.mul(d, z);
}

// gru_backward_naive: element (b,j) of step t, or of the first state where t is −1. Step t + 1 is done.
template <class Ops, class T, class Scratch>
EB_HD EB_INLINE void gru_backward_naive_step(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s,
                                             Scratch sums, Scratch carry, Index t, Index b, Index j) {
  const Index slots = s.gates() + 1;
  auto carried = ops.constant(Constant<T, 0>{});
  if (t < s.T - 1) {
    carried = ops.load(carry, b * s.H + j);
    const auto later = sums.at(((t + 1) * s.B + b) * slots * s.H);
    for (Index gate = 0; gate < s.gates(); ++gate) {
      const auto w = gru_gate_weights(a, s, gate).data;
      for (Index k = 0; k < s.H; ++k) {
        const auto gradient = ops.load(later, gru_recurrent_slot(s, gate) * s.H + k);
        carried = ops.mac(ops.load(w, k * s.H + j), gradient, carried);
      }
    }
  } else if (s.has_grad_h) {
    carried = ops.load(a.grad_h, b * s.H + j);
  }
  if (t < 0) {
    ops.store(a.dh0, b * s.H + j, carried);
    return;
  }
  const Index row = t * s.B + b;
  const auto kept = [&](Index slot) EB_ALWAYS_INLINE { return ops.load(a.gates, (row * s.kept() + slot) * s.H + j); };
  const auto put = [&](Index slot, auto value)
                       EB_ALWAYS_INLINE { ops.store(sums, (row * slots + slot) * s.H + j, value); };
  const auto before = ops.load(gru_state_before(a, s, t, b), j);
  const auto grad = ops.load(a.grad, row * s.H + j);
  ops.store(carry, b * s.H + j, gru_gate_gradients<T>(ops, s, grad, carried, before, kept, put));
}
// dx[row,i].
template <class Ops, class T, class Scratch>
EB_HD EB_INLINE void gru_backward_naive_input(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s,
                                              Scratch sums, Index row, Index i) {
  auto total = ops.constant(Constant<T, 0>{});
  for (Index k = 0; k < s.gates() * s.H; ++k) {
    const auto w = k < 3 * s.H ? ops.load(a.w_ih, k * s.I + i) : ops.load(a.w_io, (k - 3 * s.H) * s.I + i);
    total = ops.mac(w, ops.load(sums, row * (s.gates() + 1) * s.H + k), total);
  }
  ops.store(a.dx, row * s.I + i, total);
}
// Gradients of the weights of hidden unit j of one gate, and of its biases.
template <class Ops, class T, class Scratch>
EB_HD EB_INLINE void gru_backward_naive_weights(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s,
                                                Scratch sums, Index gate, Index j) {
  const Index stride = (s.gates() + 1) * s.H, rows = s.T * s.B;
  const auto input = sums.at(gate * s.H + j), recurrent = sums.at(gru_recurrent_slot(s, gate) * s.H + j);
  const auto of_input = gate == 3 ? a.dw_io : a.dw_ih.at(gate * s.H * s.I);
  const auto of_state = gate == 3 ? a.dw_ho : a.dw_hh.at(gate * s.H * s.H);
  const auto zero = ops.constant(Constant<T, 0>{});
  for (Index i = 0; i < s.I; ++i) {
    auto total = zero;
    for (Index row = 0; row < rows; ++row) {
      total = ops.mac(ops.load(input, row * stride), ops.load(a.x, row * s.I + i), total);
    }
    ops.store(of_input, j * s.I + i, total);
  }
  for (Index i = 0; i < s.H; ++i) {
    auto total = zero;
    for (Index row = 0; row < rows; ++row) {
      const auto before = ops.load(gru_state_before(a, s, row / s.B, row % s.B), i);
      total = ops.mac(ops.load(recurrent, row * stride), before, total);
    }
    ops.store(of_state, j * s.H + i, total);
  }
}
// Gradients of the biases of W hidden units from j on: sums over all rows of one slot. Both biases of a gate have the
// same, but for the candidate's.
template <int W, class T, class Ops, class Operands, class Scratch>
EB_HD EB_INLINE void gru_backward_biases(Ops& ops, const Operands& a, const GruShape& s, Scratch sums, Index slot,
                                         Index j) {
  constexpr Lanes<W> lanes{};
  auto total = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  for (Index row = 0; row < s.T * s.B; ++row) {
    total = ops.add(total, ops.load(lanes, sums, (row * (s.gates() + 1) + slot) * s.H + j));
  }
  if (slot == s.gates()) {
    ops.store(a.db_hh, 2 * s.H + j, total);
  } else if (slot == 3) {
    ops.store(a.db_io, j, total);
    ops.store(a.db_ho, j, total);
  } else {
    ops.store(a.db_ih, slot * s.H + j, total);
    if (slot != 2) ops.store(a.db_hh, slot * s.H + j, total);
  }
}

// The tuned rungs' products. Two matrices one above the other along k, the second from `split` on: the first state and
// those that follow it; w_ih and w_io.
template <class P>
struct Stacked {
  Matrix<P> top, bottom;
  Index split;
};
template <class P>
EB_HD EB_FORCED Index gemm_padding(const Stacked<P>&, Index, Index, Index) {
  return 0;
}
template <class T, int kRows, int kLanes, class Ops, class P, class PanelPtr>
EB_HD EB_INLINE void gemm_pack_strip(Ops& ops, const Stacked<P>& source, PanelPtr panel, Index row, Index rows, Index k,
                                     Index depth) {
  const Index left = source.split - k, above = left < 0 ? 0 : left < depth ? left : depth;
  for (int part = 0; part < 2; ++part) {
    const Index from = part == 0 ? 0 : above, end = part == 0 ? above : depth;
    if (from == end) continue;  // a part that may not be there: w_io of a cell without an output gate is null
    gemm_pack_strip<T, kRows, kLanes>(ops, part == 0 ? source.top : source.bottom, panel.at(from * kRows), row, rows,
                                      part == 0 ? k : k + from - source.split, end - from);
  }
}

// kRows sequences from b on, one strip of hidden units: step t, or the first state where t is −1. `panel` is the
// strip's of the transposed recurrent weights, panel[gate][k][unit], k a unit of step t + 1. Each gate's products are a
// sum of their own: as many independent chains as the forward pass has.
template <class Shape, int kGates, int kRows, class Ops, class T, class Scratch>
EB_HD EB_INLINE void gru_backward_tile(Ops& ops, const GruBackwardOperands<Ops, T>& a, const GruShape& s, Scratch sums,
                                       Scratch carry, Scratch panel, Index t, Index b, Index strip) {
  constexpr int kLanes = Shape::kLanes, kVectors = Shape::kVectors, kColumns = Shape::kColumns;
  constexpr int kSlots = kGates + 1;
  constexpr Lanes<kLanes> lanes{};
  const Index first = strip * kColumns;  // hidden unit
  const auto inside = [&](Index v) EB_ALWAYS_INLINE { return s.H - first - v * kLanes; };
  const auto zero = ops.broadcast(lanes, ops.constant(Constant<T, 0>{}));
  using V = std::remove_const_t<decltype(zero)>;
  V arrived[kRows][kVectors];

  if (t < s.T - 1) {
    decltype(ops.dot(zero, zero)) sum[kRows][kGates * kVectors];
    const auto later = sums.at(((t + 1) * s.B + b) * kSlots * s.H);
    const auto products = [&](Index k, auto is_first) EB_ALWAYS_INLINE {
      unrolled<kGates>([&](auto gate) EB_ALWAYS_INLINE {
        constexpr Index slot = gate == 2 ? kGates : static_cast<int>(gate);
        V w[kVectors];
        unrolled<kVectors>(
            [&](auto v) EB_ALWAYS_INLINE { w[v] = ops.load(lanes, panel, (gate * s.H + k) * kColumns + v * kLanes); });
        unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
          const auto gradient = ops.broadcast(lanes, ops.load(later, (r * kSlots + slot) * s.H + k));
          unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
            auto part = ops.first(inside(v));
            auto& chain = sum[r][gate * kVectors + v];
            if constexpr (decltype(is_first)::value) {
              chain = part.dot(w[v], gradient);
            } else {
              chain = part.mac(w[v], gradient, chain);
            }
          });
        });
      });
    };
    products(0, std::true_type{});
    for (Index k = 1; k < s.H; ++k) products(k, std::false_type{});
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        auto total = ops.join(ops.join(sum[r][v], sum[r][kVectors + v]), sum[r][2 * kVectors + v]);
        if constexpr (kGates == 4) total = ops.join(total, sum[r][3 * kVectors + v]);
        arrived[r][v] = ops.fold(total, part.load(lanes, carry, (b + r) * s.H + first + v * kLanes));
      });
    });
  } else {
    unrolled<kVectors>([&](auto v) EB_ALWAYS_INLINE {
      auto part = ops.first(inside(v));
      unrolled<kRows>([&](auto r) EB_ALWAYS_INLINE {
        arrived[r][v] = s.has_grad_h ? part.load(lanes, a.grad_h, (b + r) * s.H + first + v * kLanes) : zero;
      });
    });
  }
  for (Index e = 0; e < kRows * kVectors; ++e) {
    const Index r = e / kVectors, v = e % kVectors, live = inside(v);
    if (live <= 0) continue;
    auto part = ops.first(live);
    const Index j = first + v * kLanes, row = t * s.B + b + r;
    if (t < 0) {
      part.store(a.dh0, (b + r) * s.H + j, arrived[r][v]);
      continue;
    }
    const auto kept = [&](Index slot)
                          EB_ALWAYS_INLINE { return part.load(lanes, a.gates, (row * s.kept() + slot) * s.H + j); };
    const auto put = [&](Index slot, const auto& value)
                         EB_ALWAYS_INLINE { part.store(sums, (row * kSlots + slot) * s.H + j, value); };
    const auto before = part.load(lanes, gru_state_before(a, s, t, b + r), j);
    const auto grad = part.load(lanes, a.grad, row * s.H + j);
    part.store(carry, (b + r) * s.H + j, gru_gate_gradients<T>(part, s, grad, arrived[r][v], before, kept, put));
  }
}

}  // namespace eb
