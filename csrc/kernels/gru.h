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

}  // namespace eb
