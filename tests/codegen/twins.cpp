// Each kernel as a function of bare addresses, over the policy that EB_OPS names; compiled once for each policy and
// compared. EB_EXTRA is the negative control: one operation more.
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/gru.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/pool.h"
#include "kernels/probes.h"
#include "kernels/softmax.h"
#include "raw_ops.h"

using Ops = EB_OPS;
using Input = Ops::Activation<const float>;
using Weight = Ops::Weight<const float>;
using Output = Ops::Activation<float>;
using Places = Ops::Activation<std::int64_t>;

#if defined(__CUDACC__)
#define EB_KERNEL extern "C" __global__ void
#define EB_FOR(i, n)                                                           \
  eb::Index i = static_cast<eb::Index>(blockIdx.x) * blockDim.x + threadIdx.x; \
  if (i < n)
#else
#define EB_KERNEL extern "C" void
#define EB_FOR(i, n) for (eb::Index i = 0; i < n; ++i)
#endif

EB_KERNEL conv2d_forward_naive(const float* x, const float* w, const float* bias, float* y, eb::ConvShape s) {
  Ops ops;
  const eb::ConvOperands<Ops, float> a{Input(x), Weight(w), Weight(bias), Output(y)};
  const eb::Index H_out = s.H_out(), W_out = s.W_out();
  EB_FOR(e, s.N * s.C_out * H_out * W_out) {
    const eb::Index ow = e % W_out, oh = e / W_out % H_out, co = e / W_out / H_out % s.C_out;
    eb::conv2d_forward_naive(ops, a, s, e / W_out / H_out / s.C_out, co, oh, ow);
#if EB_EXTRA
    y[e] = y[e] * 3.0f;
#endif
  }
}

EB_KERNEL gru_forward_naive(const float* x, const float* h0, const float* w_ih, const float* w_hh, const float* b_ih,
                            const float* b_hh, float* y, float* h_n, eb::GruShape s, eb::Index t) {
  Ops ops;
  const Weight none(nullptr);
  const eb::GruOperands<Ops, float> a{Input(x),     Input(h0),   Weight(w_ih), Weight(w_hh),   Weight(b_ih),
                                      Weight(b_hh), none,        none,         none,           none,
                                      Output(y),    Output(h_n), Output(h_n),  Output(nullptr)};
  EB_FOR(e, s.B * s.H) {
    eb::gru_forward_naive(ops, a, s, t, e / s.H, e % s.H);
#if EB_EXTRA
    y[e] = y[e] * 3.0f;
#endif
  }
}

EB_KERNEL attention_forward_naive(const float* q, const float* k, const float* v, float* y, float* scratch,
                                  Ops::Parameter<float> scale, eb::AttentionShape s) {
  Ops ops;
  const eb::AttentionOperands<Ops, float> a{Input(q), Input(k), Input(v), Output(y), scale};
  EB_FOR(r, s.B * s.Hn * s.S_q) {
    eb::attention_forward_naive(ops, a, s, Output(scratch).at(r * s.S_k), r / s.S_q, r % s.S_q);
#if EB_EXTRA
    y[r] = y[r] * 3.0f;
#endif
  }
}

#if EB_EXTRA
#define EB_ONE_MORE(y, e) y[e] = y[e] * 3.0f;
#else
#define EB_ONE_MORE(y, e)
#endif

EB_KERNEL linear_forward_naive(const float* x, const float* w, const float* bias, float* y, eb::LinearShape s) {
  Ops ops;
  const eb::LinearOperands<Ops, float> a{Input(x), Weight(w), Weight(bias), Output(y)};
  EB_FOR(e, s.M * s.N) {
    eb::linear_forward_naive(ops, a, s, e / s.N, e % s.N);
    EB_ONE_MORE(y, e)
  }
}

EB_KERNEL softmax_forward_naive(const float* x, float* y, eb::RowShape s) {
  Ops ops;
  const eb::SoftmaxOperands<Ops, float> a{Input(x), Output(y)};
  EB_FOR(r, s.rows) {
    eb::softmax_forward_naive(ops, a, s, r);
    EB_ONE_MORE(y, r)
  }
}

EB_KERNEL layer_norm_forward_naive(const float* x, const float* weight, const float* bias, float* y,
                                   Ops::Parameter<float> length, Ops::Parameter<float> epsilon, eb::RowShape s) {
  Ops ops;
  const eb::LayerNormOperands<Ops, float> a{Input(x),        Weight(weight),  Weight(bias), Output(y),
                                            Output(nullptr), Output(nullptr), length,       epsilon};
  EB_FOR(r, s.rows) {
    eb::layer_norm_forward_naive(ops, a, s, r);
    EB_ONE_MORE(y, r)
  }
}

EB_KERNEL gelu_forward_naive(const float* x, float* y, eb::Index n) {
  Ops ops;
  const eb::PointwiseOperands<Ops, float> a{Input(x), Output(y)};
  EB_FOR(i, n) {
    eb::pointwise_forward_naive<eb::Gelu>(ops, a, i);
    EB_ONE_MORE(y, i)
  }
}

EB_KERNEL max_pool2d_forward_naive(const float* x, float* y, Ops::Parameter<float> window, eb::PoolShape s) {
  Ops ops;
  const eb::PoolOperands<Ops, float> a{Input(x), Output(y), Places(nullptr), window};
  const eb::Index H_out = s.H_out(), W_out = s.W_out();
  EB_FOR(e, s.N * s.C * H_out * W_out) {
    eb::pool2d_forward_naive<eb::MaxPool>(ops, a, s, e / W_out / H_out, e / W_out % H_out, e % W_out);
    EB_ONE_MORE(y, e)
  }
}

#if !defined(__CUDACC__)
EB_KERNEL probe_fma(const float* x, float* y, eb::FmaProbeShape s) {
  Ops ops;
  EB_FOR(i, s.streams) {
    eb::probe_fma_stream<8, float>(ops, Input(x), Output(y), s, i);
#if EB_EXTRA
    y[i] = y[i] * 3.0f;
#endif
  }
}

// The anchor: the convolution as a person would write it, no policy and no wrapper anywhere.
extern "C" void conv2d_by_hand(const float* x, const float* w, const float* bias, float* y, eb::ConvShape s) {
#else
extern "C" __global__ void conv2d_by_hand(const float* x, const float* w, const float* bias, float* y,
                                          eb::ConvShape s) {
#endif
  const eb::Index H_out = s.H_out(), W_out = s.W_out();
  EB_FOR(e, s.N * s.C_out * H_out * W_out) {
    const eb::Index ow = e % W_out, oh = e / W_out % H_out, co = e / W_out / H_out % s.C_out;
    const eb::Index n = e / W_out / H_out / s.C_out;
    const eb::Index channels = s.C_in / s.groups;
    const eb::Index first_channel = co / (s.C_out / s.groups) * channels;
    const eb::Index ih0 = oh * s.stride_h - s.padding_h, iw0 = ow * s.stride_w - s.padding_w;
    float acc = 0.0f;
    for (eb::Index ci = 0; ci < channels; ++ci) {
      const float* xc = x + (n * s.C_in + first_channel + ci) * s.H * s.W;
      const float* wc = w + (co * channels + ci) * s.KH * s.KW;
      for (eb::Index kh = 0; kh < s.KH; ++kh) {
        const eb::Index ih = ih0 + kh * s.dilation_h;
        if (ih < 0 || ih >= s.H) continue;
        for (eb::Index kw = 0; kw < s.KW; ++kw) {
          const eb::Index iw = iw0 + kw * s.dilation_w;
          if (iw < 0 || iw >= s.W) continue;
          acc = fmaf(wc[kh * s.KW + kw], xc[ih * s.W + iw], acc);
        }
      }
    }
    if (s.has_bias) acc = acc + bias[co];
    y[((n * s.C_out + co) * H_out + oh) * W_out + ow] = acc;
  }
}
