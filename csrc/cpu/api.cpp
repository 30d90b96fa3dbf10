// The CPU kernels' C interface: each call goes to its rung.
#include "cpu/api.h"

#include <omp.h>

#include "cpu/refuse.h"
#include "cpu/rungs.h"
#include "cpu/workspace.h"

namespace {

int no_such_rung(EbError* error) { return eb::refuse(error, "the operator has no such rung"); }

}  // namespace

// The launch of the rung that `variant` names; every rung of a tuned operator has it.
#define EB_CALL(rung, call) counts != nullptr ? eb::rung##_counting::call : eb::rung::call
#define EB_CASE(rung, call) \
  case EB_VARIANT_##rung:   \
    return EB_CALL(rung, call);
#if defined(__x86_64__)
#define EB_TUNED_CASES(call) \
  EB_CASE(blocked, call) EB_CASE(avx2, call) EB_CASE(avx512, call) EB_CASE(avx512_emulated, call)
#else
#define EB_TUNED_CASES(call) EB_CASE(blocked, call)
#endif
#define EB_ON_LADDER(call) \
  switch (variant) {       \
    EB_CASE(naive, call)   \
    EB_TUNED_CASES(call)   \
  }                        \
  return no_such_rung(error);
#define EB_NAIVE_ONLY(call)                                     \
  if (variant == EB_VARIANT_naive) return EB_CALL(naive, call); \
  return no_such_rung(error);

extern "C" {

int eb_cpu_conv2d(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(conv2d(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_conv2d_backward(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape,
                           const EbConv2dBackwardArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(conv2d_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_gru(EbVariant variant, EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int threads,
               eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(gru(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_gru_backward(EbVariant variant, EbDtype dtype, const eb::GruShape* shape, const EbGruBackwardArrays* arrays,
                        int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(gru_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_attention(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays,
                     double scale, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(attention(dtype, *shape, *arrays, scale, threads, counts, error))
}

int eb_cpu_attention_backward(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape,
                              const EbAttentionBackwardArrays* arrays, double scale, int threads, eb::OpCounts* counts,
                              EbError* error) {
  EB_ON_LADDER(attention_backward(dtype, *shape, *arrays, scale, threads, counts, error))
}

int eb_cpu_online_attention(EbVariant variant, EbDtype dtype, const eb::AttentionShape* shape,
                            const EbOnlineAttentionArrays* arrays, double scale, int threads, eb::OpCounts* counts,
                            EbError* error) {
  EB_ON_LADDER(online_attention(dtype, *shape, *arrays, scale, threads, counts, error))
}

int eb_cpu_linear(EbVariant variant, EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(linear(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_linear_backward(EbVariant variant, EbDtype dtype, const eb::LinearShape* shape,
                           const EbLinearBackwardArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(linear_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_elementwise(EbVariant variant, EbElementwise function, EbDtype dtype, eb::Index n,
                       const EbElementwiseArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(elementwise(function, dtype, n, *arrays, threads, counts, error))
}

int eb_cpu_softmax(EbVariant variant, EbSoftmax kind, EbDtype dtype, const eb::RowShape* shape,
                   const EbSoftmaxArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(softmax(kind, dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_layer_norm(EbVariant variant, EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays,
                      double epsilon, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(layer_norm(dtype, *shape, *arrays, epsilon, threads, counts, error))
}

int eb_cpu_layer_norm_backward(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                               const EbLayerNormArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(layer_norm_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_batch_norm(EbVariant variant, EbDtype dtype, const eb::BatchNormShape* shape,
                      const EbBatchNormArrays* arrays, double momentum, double epsilon, int threads,
                      eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(batch_norm(dtype, *shape, *arrays, momentum, epsilon, threads, counts, error))
}

int eb_cpu_batch_norm_backward(EbVariant variant, EbDtype dtype, const eb::BatchNormShape* shape,
                               const EbBatchNormArrays* arrays, double epsilon, int threads, eb::OpCounts* counts,
                               EbError* error) {
  EB_ON_LADDER(batch_norm_backward(dtype, *shape, *arrays, epsilon, threads, counts, error))
}

int eb_cpu_cross_entropy(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                         const EbCrossEntropyArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(cross_entropy(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_cross_entropy_backward(EbVariant variant, EbDtype dtype, const eb::RowShape* shape,
                                  const EbCrossEntropyArrays* arrays, int threads, eb::OpCounts* counts,
                                  EbError* error) {
  EB_ON_LADDER(cross_entropy_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_dropout(EbVariant variant, EbDtype dtype, eb::Index n, const EbDropoutArrays* arrays, double keep,
                   std::uint64_t seed, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(dropout(dtype, n, *arrays, keep, seed, threads, counts, error))
}

int eb_cpu_dropout_backward(EbVariant variant, EbDtype dtype, eb::Index n, const EbDropoutArrays* arrays, double keep,
                            int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(dropout_backward(dtype, n, *arrays, keep, threads, counts, error))
}

int eb_cpu_pool2d(EbVariant variant, EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbPoolArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(pool2d(kind, dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_pool2d_backward(EbVariant variant, EbPool kind, EbDtype dtype, const eb::PoolShape* shape,
                           const EbPoolArrays* arrays, int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(pool2d_backward(kind, dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_conv2d_nhwc(EbVariant variant, EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays,
                       int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(conv2d_nhwc(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_pad2d(EbVariant variant, EbDtype dtype, const eb::PadShape* shape, const EbPadArrays* arrays, int threads,
                 eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(pad2d(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_pad2d_backward(EbVariant variant, EbDtype dtype, const eb::PadShape* shape, const EbPadArrays* arrays,
                          int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(pad2d_backward(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_transpose(EbVariant variant, EbDtype dtype, const eb::TransposeShape* shape, const EbTransposeArrays* arrays,
                     int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(transpose(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_concat(EbVariant variant, EbDtype dtype, const EbConcatArrays* arrays, int threads, eb::OpCounts* counts,
                  EbError* error) {
  EB_ON_LADDER(concat(dtype, *arrays, threads, counts, error))
}

int eb_cpu_gather(EbVariant variant, EbDtype dtype, const eb::GatherShape* shape, const EbGatherArrays* arrays,
                  int threads, eb::OpCounts* counts, EbError* error) {
  EB_ON_LADDER(gather(dtype, *shape, *arrays, threads, counts, error))
}

int eb_cpu_probe_fma(EbVariant variant, EbDtype dtype, const eb::FmaProbeShape* shape, const void* x, void* y,
                     int threads, eb::OpCounts* counts, EbError* error) {
#if defined(__x86_64__)
  // The width is the caller's and no rung: of 64 bytes, in two registers where the processor has none so wide.
  if (variant == EB_VARIANT_naive && shape->wide) {
    if (eb_cpu_supports(EB_VARIANT_avx512)) {
      return EB_CALL(avx512, probe_fma(dtype, *shape, x, y, threads, counts, error));
    }
    return EB_CALL(avx512_emulated, probe_fma(dtype, *shape, x, y, threads, counts, error));
  }
#endif
  if (shape->wide) return no_such_rung(error);
  EB_NAIVE_ONLY(probe_fma(dtype, *shape, x, y, threads, counts, error))
}

int eb_cpu_probe_stream(EbVariant variant, EbDtype dtype, const eb::StreamProbeShape* shape, const void* x, void* y,
                        int threads, eb::OpCounts* counts, EbError* error) {
  EB_NAIVE_ONLY(probe_stream(dtype, *shape, x, y, threads, counts, error))
}

int eb_cpu_probe(EbProbe kind, EbDtype dtype, const EbProbeShape* shape, const EbProbeArrays* arrays, int threads,
                 eb::OpCounts* counts, EbError* error) {
  return EB_CALL(naive, probe(kind, dtype, *shape, *arrays, threads, counts, error));
}

#if defined(__x86_64__)
int eb_cpu_supports(EbVariant variant) {
  switch (variant) {
    case EB_VARIANT_naive:
    case EB_VARIANT_blocked:
      return 1;
    case EB_VARIANT_avx2:
    case EB_VARIANT_avx512_emulated:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case EB_VARIANT_avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return 0;
}
#else
int eb_cpu_supports(EbVariant) { return 1; }
#endif

eb::Index eb_cpu_release_workspace() {
  const auto bytes = static_cast<eb::Index>(eb::workspace_bytes());
  eb::release_workspace();
  return bytes;
}

int eb_cpu_default_threads() { return omp_get_max_threads(); }

int eb_cpu_release_threads() { return omp_pause_resource_all(omp_pause_soft); }

}  // extern "C"
