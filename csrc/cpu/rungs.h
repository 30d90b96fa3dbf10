// The rungs of every operator's ladder, each a namespace with the same launches: naive, and those of cpu/tuned for each
// instruction set; plain (`counts` is null) and counting (which adds to `counts`) are namespaces apart.
#pragma once

#include "common/c_api.h"
#include "cpu/probes.h"

namespace eb {

// The operators that have a rung in cpu/tuned.
#define EB_TUNED_LAUNCHES                                                                                              \
  int conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,       \
             EbError* error);                                                                                          \
  int conv2d_backward(EbDtype dtype, const ConvShape& shape, const EbConv2dBackwardArrays& arrays, int threads,        \
                      OpCounts* counts, EbError* error);                                                               \
  int linear(EbDtype dtype, const LinearShape& shape, const EbLinearArrays& arrays, int threads, OpCounts* counts,     \
             EbError* error);                                                                                          \
  int linear_backward(EbDtype dtype, const LinearShape& shape, const EbLinearBackwardArrays& arrays, int threads,      \
                      OpCounts* counts, EbError* error);                                                               \
  int attention_backward(EbDtype dtype, const AttentionShape& shape, const EbAttentionBackwardArrays& arrays,          \
                         double scale, int threads, OpCounts* counts, EbError* error);                                 \
  int online_attention(EbDtype dtype, const AttentionShape& shape, const EbOnlineAttentionArrays& arrays,              \
                       double scale, int threads, OpCounts* counts, EbError* error);                                   \
  int elementwise(EbElementwise function, EbDtype dtype, Index n, const EbElementwiseArrays& arrays, int threads,      \
                  OpCounts* counts, EbError* error);                                                                   \
  int softmax(EbSoftmax kind, EbDtype dtype, const RowShape& shape, const EbSoftmaxArrays& arrays, int threads,        \
              OpCounts* counts, EbError* error);                                                                       \
  int layer_norm(EbDtype dtype, const RowShape& shape, const EbLayerNormArrays& arrays, double epsilon, int threads,   \
                 OpCounts* counts, EbError* error);                                                                    \
  int layer_norm_backward(EbDtype dtype, const RowShape& shape, const EbLayerNormArrays& arrays, int threads,          \
                          OpCounts* counts, EbError* error);                                                           \
  int batch_norm(EbDtype dtype, const BatchNormShape& shape, const EbBatchNormArrays& arrays, double momentum,         \
                 double epsilon, int threads, OpCounts* counts, EbError* error);                                       \
  int batch_norm_backward(EbDtype dtype, const BatchNormShape& shape, const EbBatchNormArrays& arrays, double epsilon, \
                          int threads, OpCounts* counts, EbError* error);                                              \
  int cross_entropy(EbDtype dtype, const RowShape& shape, const EbCrossEntropyArrays& arrays, int threads,             \
                    OpCounts* counts, EbError* error);                                                                 \
  int cross_entropy_backward(EbDtype dtype, const RowShape& shape, const EbCrossEntropyArrays& arrays, int threads,    \
                             OpCounts* counts, EbError* error);                                                        \
  int dropout(EbDtype dtype, Index n, const EbDropoutArrays& arrays, double keep, std::uint64_t seed, int threads,     \
              OpCounts* counts, EbError* error);                                                                       \
  int dropout_backward(EbDtype dtype, Index n, const EbDropoutArrays& arrays, double keep, int threads,                \
                       OpCounts* counts, EbError* error);                                                              \
  int gru_backward(EbDtype dtype, const GruShape& shape, const EbGruBackwardArrays& arrays, int threads,               \
                   OpCounts* counts, EbError* error);                                                                  \
  int pool2d(EbPool kind, EbDtype dtype, const PoolShape& shape, const EbPoolArrays& arrays, int threads,              \
             OpCounts* counts, EbError* error);                                                                        \
  int pool2d_backward(EbPool kind, EbDtype dtype, const PoolShape& shape, const EbPoolArrays& arrays, int threads,     \
                      OpCounts* counts, EbError* error);                                                               \
  int gru(EbDtype dtype, const GruShape& shape, const EbGruArrays& arrays, int threads, OpCounts* counts,              \
          EbError* error);                                                                                             \
  int conv2d_nhwc(EbDtype dtype, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts,      \
                  EbError* error);                                                                                     \
  int pad2d(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts,                \
            EbError* error);                                                                                           \
  int pad2d_backward(EbDtype dtype, const PadShape& s, const EbPadArrays& arrays, int threads, OpCounts* counts,       \
                     EbError* error);                                                                                  \
  int transpose(EbDtype dtype, const TransposeShape& s, const EbTransposeArrays& arrays, int threads,                  \
                OpCounts* counts, EbError* error);                                                                     \
  int concat(EbDtype dtype, const EbConcatArrays& arrays, int threads, OpCounts* counts, EbError* error);              \
  int gather(EbDtype dtype, const GatherShape& s, const EbGatherArrays& arrays, int threads, OpCounts* counts,         \
             EbError* error);                                                                                          \
  int attention(EbDtype dtype, const AttentionShape& shape, const EbAttentionArrays& arrays, double scale,             \
                int threads, OpCounts* counts, EbError* error);                                                        \
  int probe_fma(EbDtype dtype, const FmaProbeShape& s, const void* x, void* y, int threads, OpCounts* counts,          \
                EbError* error);

// Those that have the naive one alone.
#define EB_NAIVE_LAUNCHES                                                                                     \
  int probe_stream(EbDtype dtype, const StreamProbeShape& shape, const void* x, void* y, int threads,         \
                   OpCounts* counts, EbError* error);                                                         \
  int probe(EbProbe kind, EbDtype dtype, const EbProbeShape& shape, const EbProbeArrays& arrays, int threads, \
            OpCounts* counts, EbError* error);

#define EB_RUNG(rung, launches) \
  namespace rung {              \
  launches                      \
  }                             \
  namespace rung##_counting {   \
    launches                    \
  }
EB_RUNG(naive, EB_TUNED_LAUNCHES EB_NAIVE_LAUNCHES)
#define EB_VARIANT(rung) EB_RUNG(rung, EB_TUNED_LAUNCHES)
EB_TUNED_VARIANTS(EB_VARIANT)
#undef EB_VARIANT
#undef EB_RUNG

}  // namespace eb
