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

struct EbGruArrays {
  const void *x, *h0, *w_ih, *w_hh, *b_ih, *b_hh;  // biases may be null
  const void *w_io, *w_ho, *b_io, *b_ho;           // null without an output gate
  void *y, *h_n;
  void* state;  // [2,B,H], output gate only
};

struct EbAttentionArrays {
  const void *q, *k, *v;
  void* y;
  void* scratch;  // rows of row_stride ≥ S_k elements: one per thread (CPU), one per query (CUDA)
  eb::Index row_stride;
};

struct EbLinearArrays {
  const void *x, *w, *bias;  // bias may be null
  void* y;
};

struct EbRowArrays {
  const void *x, *weight, *bias;  // weight and bias: layer normalisation only, may be null
  void* y;
};

struct EbElementArrays {
  const void* x;
  void* y;
};

enum EbPointwise { EB_POINTWISE_relu, EB_POINTWISE_sigmoid, EB_POINTWISE_tanh, EB_POINTWISE_gelu };
enum EbPool { EB_POOL_max, EB_POOL_avg };

}  // extern "C"
