// What the two C interfaces (cpu/api.h, cuda/api.h) share. Every function returns 0, or 1 with the reason in `error`.
// Sizes in a shape have been checked by the caller; pointers are to dense, row-major arrays of `dtype`.
#pragma once

#include "common/op_counts.h"
#include "common/shapes.h"

extern "C" {

enum EbDtype {
#define EB_TYPE(name, type) EB_DTYPE_##name,
  EB_DTYPES(EB_TYPE)
#undef EB_TYPE
};

// A ladder's rungs above naive: one number at a time, 8 lanes, 16 lanes, and 16 lanes where a processor has 8.
#if defined(__x86_64__)
#define EB_TUNED_VARIANTS(X) X(blocked) X(avx2) X(avx512) X(avx512_emulated)
#else
#define EB_TUNED_VARIANTS(X) X(blocked)
#endif
enum EbVariant {
  EB_VARIANT_naive,
#define EB_NAME(name) EB_VARIANT_##name,
  EB_TUNED_VARIANTS(EB_NAME)
#undef EB_NAME
};

struct EbError {
  char message[256];
};

struct EbConv2dArrays {
  const void *x, *w, *bias;  // bias may be null
  void* y;
};

struct EbConv2dBackwardArrays {
  const void *dy, *x, *w;
  void *dx, *dw, *db;  // db null without a bias
};

struct EbGruArrays {
  const void *x, *h0, *w_ih, *w_hh, *b_ih, *b_hh;  // biases may be null
  const void *w_io, *w_ho, *b_io, *b_ho;           // null without an output gate
  void *y, *h_n;
  void* state;  // [2,B,H], output gate only
  void* gates;  // [T,B,4 or 6,H], where they are kept
};

// Gradients of a GRU; `grad_h` may be null. y is null with an output gate, dw_io … db_ho without one.
struct EbGruBackwardArrays {
  const void *grad, *grad_h, *x, *h0, *y, *gates;
  const void *w_ih, *w_hh, *w_io, *w_ho;
  void *dx, *dh0, *dw_ih, *dw_hh, *db_ih, *db_hh;
  void *dw_io, *dw_ho, *db_io, *db_ho;
};

struct EbAttentionArrays {
  const void *q, *k, *v;
  void* y;
  void* scratch;  // rows of row_stride ≥ S_k elements: one per thread (CPU), one per query (CUDA)
  eb::Index row_stride;
};

struct EbAttentionBackwardArrays {
  const void *grad, *q, *k, *v, *y, *lse;
  void *dq, *dk, *dv;
};

struct EbOnlineAttentionArrays {
  const void *q, *k, *v;
  void *y, *lse;
};

struct EbLinearArrays {
  const void *x, *w, *bias;  // bias may be null
  void* y;
};

struct EbLinearBackwardArrays {
  const void *grad, *x, *w;
  void *dx, *dw, *db;  // db null without a bias
};

// Forward: x, and y is written. Backward: x is the gradient of y, `kept` is y, and dx is written.
struct EbSoftmaxArrays {
  const void *x, *kept;
  void* y;
};

// Forward: x, weight and bias, which may be null; y, and mean and rstd where statistics are kept.
// Backward: grad, x, mean, rstd and weight; dx in `y`, dweight, and dbias.
struct EbLayerNormArrays {
  const void *x, *weight, *bias;
  void *y, *mean, *rstd;
  const void* grad;
  void *dweight, *dbias;
};

// Forward: x, weight and bias, which may be null; running_mean and running_var, null where none are kept; y, and mean,
// rstd, new_mean and new_var, which may be null. Backward: grad, x, mean and rstd (inference: the variance) and weight;
// dx in `y`, dweight, and dbias.
struct EbBatchNormArrays {
  const void *x, *weight, *bias, *running_mean, *running_var;
  void *y, *mean, *rstd, *new_mean, *new_var;
  const void* grad;
  void *dweight, *dbias;
};

// Forward: x and targets (int64); y, the logarithms of the probabilities, and the loss are written.
// Backward: the loss's gradient in `loss`, y and targets; dx.
struct EbCrossEntropyArrays {
  const void *x, *targets;
  void *y, *loss, *dx;
};

// Forward: x; y and the mask (uint8) are written. Backward: x is the gradient of y, the mask; dx in `y`.
struct EbDropoutArrays {
  const void* x;
  void *y, *mask;
};

// Forward: x, and y and, where they are kept, the winners of a maximum (int64) are written. Backward: x is the gradient
// of y, dx is written to `y`.
struct EbPoolArrays {
  const void* x;
  void *y, *winners;
};

// Forward: x, and y is written. Backward: x is the gradient of y, and dx is written to `y`.
struct EbPadArrays {
  const void* x;
  void* y;
};

struct EbTransposeArrays {
  const void* x;
  void* y;
};

// Part p of `parts` has `widths[p]` columns; all have `rows` rows, whose parts stand side by side in y.
enum { EB_MOST_PARTS = 16 };
struct EbConcatArrays {
  const void* x[EB_MOST_PARTS];
  eb::Index widths[EB_MOST_PARTS];
  eb::Index rows, parts;
  void* y;
};

struct EbGatherArrays {
  const void *table, *index;  // index: int64
  void* y;
};

struct EbElementArrays {
  const void* x;
  void* y;
};

// What kernels/elementwise.h reads and writes; what a function does not use is null, or any number.
struct EbElementwiseArrays {
  const void* w;
  const void* inputs[3];
  void* outputs[3];
  double parameters[7];
  eb::Index repeats;  // inputs[0] and outputs[0] are so many runs of n elements, the others one
};

// clang-format off: it moves the backslashes at every run
#define EB_ELEMENTWISE_NAMES(X)                                                                 \
  X(relu) X(leaky_relu) X(sigmoid) X(tanh) X(gelu) X(add)                                       \
  X(relu_backward) X(leaky_relu_backward) X(sigmoid_backward) X(tanh_backward) X(gelu_backward) \
  X(sgd_step) X(sgd_decay_step) X(momentum_step) X(momentum_decay_step)                         \
  X(adam_step) X(adam_decay_step)
// clang-format on
enum EbElementwise {
#define EB_NAME(name) EB_ELEMENTWISE_##name,
  EB_ELEMENTWISE_NAMES(EB_NAME)
#undef EB_NAME
};
enum EbSoftmax {
  EB_SOFTMAX_softmax_forward,
  EB_SOFTMAX_softmax_backward,
  EB_SOFTMAX_log_softmax_forward,
  EB_SOFTMAX_log_softmax_backward
};
enum EbPointwise { EB_POINTWISE_relu, EB_POINTWISE_sigmoid, EB_POINTWISE_tanh, EB_POINTWISE_gelu };
enum EbPool { EB_POOL_max, EB_POOL_avg };

}  // extern "C"
