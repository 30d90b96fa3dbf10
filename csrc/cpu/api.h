// The CPU kernels' C interface. `counts` null: the plain kernel runs; otherwise the counting one, which adds to it.
#pragma once

#include "common/c_api.h"

extern "C" {

int eb_cpu_conv2d(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error);
int eb_cpu_gru(EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int threads, eb::OpCounts* counts,
               EbError* error);
int eb_cpu_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays, double scale,
                     int threads, eb::OpCounts* counts, EbError* error);
int eb_cpu_linear(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error);
int eb_cpu_softmax(EbDtype dtype, const eb::RowShape* shape, const EbRowArrays* arrays, int threads,
                   eb::OpCounts* counts, EbError* error);
int eb_cpu_layer_norm(EbDtype dtype, const eb::RowShape* shape, const EbRowArrays* arrays, double epsilon, int threads,
                      eb::OpCounts* counts, EbError* error);
int eb_cpu_pointwise(EbPointwise function, EbDtype dtype, eb::Index n, const EbElementArrays* arrays, int threads,
                     eb::OpCounts* counts, EbError* error);
int eb_cpu_pool2d(EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbElementArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error);
int eb_cpu_probe_fma(EbDtype dtype, const eb::FmaProbeShape* shape, const void* x, void* y, int threads,
                     eb::OpCounts* counts, EbError* error);
int eb_cpu_probe_stream(EbDtype dtype, const eb::StreamProbeShape* shape, const void* x, void* y, int threads,
                        eb::OpCounts* counts, EbError* error);

// Threads a parallel region gets when none are asked for: OMP_NUM_THREADS, else the processors at hand.
int eb_cpu_default_threads();
// Ends the idle workers of the OpenMP pool, so that none can spin; the next region starts them again.
int eb_cpu_release_threads();

}  // extern "C"
