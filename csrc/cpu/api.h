// The CPU kernels' C interface. `counts` null: the plain kernel runs; otherwise the counting one, which adds to it.
#pragma once

#include "common/c_api.h"

extern "C" {

int eb_cpu_conv2d(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_conv2d_backward(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape,
                           const EbConv2dBackwardArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_gru(EbVariant variant, EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int threads,
               eb::OpCounts* counts, EbError* error);
int eb_cpu_gru_backward(EbVariant variant, EbDtype dtype, const eb::GruShape* shape, const EbGruBackwardArrays* arrays,
                        int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_attention(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays,
                     double scale, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_attention_backward(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape,
                              const EbAttentionBackwardArrays* arrays, double scale, int threads, eb::OpCounts* counts,
                              EbError* error);
int eb_cpu_online_attention(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape,
                            const EbOnlineAttentionArrays* arrays, double scale, int threads, eb::OpCounts* counts,
                            EbError* error);
int eb_cpu_linear(EbVariant variant, EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_linear_backward(EbVariant variant, EbDtype dtype, const eb::LinearShape* shape,
                           const EbLinearBackwardArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_elementwise(EbVariant variant, EbElementwise function, EbDtype dtype, eb::Index n,
                       const EbElementwiseArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_softmax(EbVariant variant, EbSoftmax kind, EbDtype dtype, const eb::RowShape* shape,
                   const EbSoftmaxArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_layer_norm(EbVariant variant, EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays,
                      double epsilon, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_layer_norm_backward(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                               const EbLayerNormArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_batch_norm(EbVariant variant, EbDtype dtype, const eb::BatchNormShape* shape,
                      const EbBatchNormArrays* arrays, double momentum, double epsilon, int threads,
                      eb::OpCounts* counts, EbError* error);
int eb_cpu_batch_norm_backward(EbVariant variant, EbDtype dtype, const eb::BatchNormShape* shape,
                               const EbBatchNormArrays* arrays, double epsilon, int threads, eb::OpCounts* counts,
                               EbError* error);
int eb_cpu_cross_entropy(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                         const EbCrossEntropyArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_cross_entropy_backward(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                                  const EbCrossEntropyArrays* arrays, int threads, eb::OpCounts* counts,
                                  EbError* error);
int eb_cpu_dropout(EbVariant variant, EbDtype dtype, eb::Index n, const EbDropoutArrays* arrays, double keep,
                   std::uint64_t seed, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_dropout_backward(EbVariant variant, EbDtype dtype, eb::Index n, const EbDropoutArrays* arrays, double keep,
                            int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_pool2d(EbVariant variant, EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbPoolArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_pool2d_backward(EbVariant variant, EbPool kind, EbDtype dtype, const eb::PoolShape* shape,
                           const EbPoolArrays* arrays, int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_conv2d_nhwc(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays,
                       int threads, eb::OpCounts* counts, EbError* error);
// The gradients of x[n,h,w,c] with w[co,kh,kw,ci], of copies with a plane for each channel, which lie in `scratch`, of
// eb_cpu_conv2d_nhwc_scratch elements. One launch.
int eb_cpu_conv2d_nhwc_backward(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape,
                                const EbConv2dBackwardArrays* arrays, void* scratch, int threads, eb::OpCounts* counts,
                                EbError* error);
eb::Index eb_cpu_conv2d_nhwc_scratch(const eb::ConvShape* shape);
int eb_cpu_pad2d(EbVariant variant, EbDtype dtype, const eb::PadShape* shape, const EbPadArrays* arrays, int threads,
                 eb::OpCounts* counts, EbError* error);
int eb_cpu_pad2d_backward(EbVariant variant, EbDtype dtype, const eb::PadShape* shape, const EbPadArrays* arrays,
                          int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_transpose(EbVariant variant, EbDtype dtype, const eb::TransposeShape* shape, const EbTransposeArrays* arrays,
                     int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_concat(EbVariant variant, EbDtype dtype, const EbConcatArrays* arrays, int threads, eb::OpCounts* counts,
                  EbError* error);
int eb_cpu_gather(EbVariant variant, EbDtype dtype, const eb::GatherShape* shape, const EbGatherArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_probe_fma(EbVariant variant, EbDtype dtype, const eb::FmaProbeShape* shape, const void* x, void* y,
                     int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_probe_stream(EbVariant variant, EbDtype dtype, const eb::StreamProbeShape* shape, const void* x, void* y,
                        int threads, eb::OpCounts* counts, EbError* error);

// Whether this processor has the instructions of a rung.
int eb_cpu_supports(EbVariant variant);
// Gives the calling thread's scratch memory back; bytes it had.
eb::Index eb_cpu_release_workspace();
// Threads a parallel region gets when none are asked for: OMP_NUM_THREADS, else the processors at hand.
int eb_cpu_default_threads();
// Ends the idle workers of the OpenMP pool, so that none can spin; the next region starts them again.
int eb_cpu_release_threads();

}  // extern "C"
