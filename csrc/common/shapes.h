// Problem sizes, as the C interface passes them. Letters are the project's glossary: convolution N C_in H W C_out KH
// KW, GRU T B I H, attention B Hn S D. Whoever fills one has checked it (bindings/, energybench/kernels/families/).
#pragma once

#include "common/host_device.h"

namespace eb {

struct ConvShape {
  Index N, C_in, H, W;  // x[n,c,h,w]
  Index C_out, KH, KW;  // w[co,ci,kh,kw] with ci < C_in / groups
  Index stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w, groups;
  int has_bias;
  int direct;  // tuned rungs: straight from the image, not through panels of patches

  // floor((n + 2p − d(k−1) − 1) / s) + 1 [D9, corrected]
  EB_HD EB_FORCED Index H_out() const { return (H + 2 * padding_h - dilation_h * (KH - 1) - 1) / stride_h + 1; }
  EB_HD EB_FORCED Index W_out() const { return (W + 2 * padding_w - dilation_w * (KW - 1) - 1) / stride_w + 1; }
  EB_HD EB_FORCED Index C_in_per_group() const { return C_in / groups; }
  EB_HD EB_FORCED Index C_out_per_group() const { return C_out / groups; }
};

struct GruShape {
  Index T, B, I, H;  // x[t,b,i], h[b,h]
  int has_bias, has_output_gate;
  int keep_gates;  // forward: for the backward pass
  int has_grad_h;  // backward: the last state has a gradient of its own

  // Gates, and the values kept of each element: r z n ĥ, and o h[t] where there is an output gate.
  EB_HD EB_FORCED Index gates() const { return has_output_gate ? 4 : 3; }
  EB_HD EB_FORCED Index kept() const { return has_output_gate ? 6 : 4; }
};

struct AttentionShape {
  Index B, Hn, S_q, S_k, D;  // q[b,hn,i,d], k[b,hn,j,d]
  int causal;

  // Keys that query i sees: with a causal mask the first i + 1 (aligned at the top left, as torch's is_causal is).
  EB_HD EB_FORCED Index visible_keys(Index i) const { return causal && i + 1 < S_k ? i + 1 : S_k; }
};

struct LinearShape {
  Index M, K, N;  // x[m,k], w[n,k], y[m,n]
  int has_bias;
  int x_transposed, w_transposed;  // stored as x[k,m], as w[k,n]; gradients lie as what they are of
};

// Rows that are worked on one by one: x[rows, n]. Layer normalisation alone has weights, and statistics to keep.
struct RowShape {
  Index rows, n;
  int has_weight, has_bias, keep_statistics;
};

// x[n,c,s]: s is the place in an image of S.
struct BatchNormShape {
  Index N, C, S;
  int has_weight, has_bias, has_running, training, keep_statistics;
};

struct PoolShape {
  Index N, C, H, W, KH, KW;  // x[n,c,h,w]
  Index stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  int keep_winners;

  EB_HD EB_FORCED Index H_out() const { return (H + 2 * padding_h - dilation_h * (KH - 1) - 1) / stride_h + 1; }
  EB_HD EB_FORCED Index W_out() const { return (W + 2 * padding_w - dilation_w * (KW - 1) - 1) / stride_w + 1; }
};

// What stands beyond the edges of an image.
enum class PadMode { kZeros, kReflect, kReplicate, kCircular };

// x[plane,h,w] with rows and columns added at its edges.
struct PadShape {
  Index planes, H, W, top, bottom, left, right;
  PadMode mode;

  EB_HD EB_FORCED Index H_out() const { return H + top + bottom; }
  EB_HD EB_FORCED Index W_out() const { return W + left + right; }
};

// x[b,row,column,:] becomes y[b,column,row,:]; `run` neighbours stay together.
struct TransposeShape {
  Index batches, rows, columns, run;
};

// Rows of a table: y[i,:] = table[index[i],:], n columns.
struct GatherShape {
  Index count, rows, n;
};

// Multiply-adds that touch no memory: `streams` independent ones of `steps` rounds (kernels/probes.h).
struct FmaProbeShape {
  Index streams, steps;
  int wide;  // on vectors of 64 bytes instead of 32
};

// dst[i] = src[i] for n elements, `repeats` times.
struct StreamProbeShape {
  Index n, repeats;
};

}  // namespace eb
