// The CUDA kernels' C interface. Device and stream are the caller's; a plain kernel is left running on the stream, a
// counting one (`counts` not null) is waited for. Loads without a driver: only a call can fail.
#pragma once

#include <cstddef>

#include "common/c_api.h"

extern "C" {

int eb_cuda_conv2d(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int device, void* stream,
                   eb::OpCounts* counts, EbError* error);
int eb_cuda_gru(EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int device, void* stream,
                eb::OpCounts* counts, EbError* error);
int eb_cuda_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays, double scale,
                      int device, void* stream, eb::OpCounts* counts, EbError* error);

int eb_cuda_linear(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int device, void* stream,
                   eb::OpCounts* counts, EbError* error);
int eb_cuda_softmax(EbSoftmax function, EbDtype dtype, const eb::RowShape* shape, const EbSoftmaxArrays* arrays,
                    int device, void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_layer_norm(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays, double epsilon,
                       int device, void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_pointwise(EbPointwise function, EbDtype dtype, eb::Index n, const EbElementArrays* arrays, int device,
                      void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_pool2d(EbPool kind, EbDtype dtype, const eb::PoolShape* shape, const EbPoolArrays* arrays, int device,
                   void* stream, eb::OpCounts* counts, EbError* error);

int eb_cuda_conv2d_backward(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dBackwardArrays* arrays, int device,
                            void* stream, eb::OpCounts* counts, EbError* error);
// scratch: B·H·(T·(gates + 1) + 1) elements.
int eb_cuda_gru_backward(EbDtype dtype, const eb::GruShape* shape, const EbGruBackwardArrays* arrays, void* scratch,
                         int device, void* stream, eb::OpCounts* counts, EbError* error);
// scratch: kOnlineBlock elements for each query.
int eb_cuda_online_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbOnlineAttentionArrays* arrays,
                             void* scratch, double scale, int device, void* stream, eb::OpCounts* counts,
                             EbError* error);
int eb_cuda_attention_backward(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionBackwardArrays* arrays,
                               double scale, int device, void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_linear_backward(EbDtype dtype, const eb::LinearShape* shape, const EbLinearBackwardArrays* arrays,
                            int device, void* stream, eb::OpCounts* counts, EbError* error);
// scratch: rows·n elements, null without weights.
int eb_cuda_layer_norm_backward(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays,
                                void* scratch, int device, void* stream, eb::OpCounts* counts, EbError* error);

// Tuned rungs, after which they are named.
int eb_cuda_linear_tiled(EbDtype dtype, const eb::LinearShape* shape, const EbLinearArrays* arrays, int device,
                         void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_conv2d_tiled(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int device,
                         void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_softmax_block(EbDtype dtype, const eb::RowShape* shape, const EbSoftmaxArrays* arrays, int device,
                          void* stream, eb::OpCounts* counts, EbError* error);
int eb_cuda_layer_norm_block(EbDtype dtype, const eb::RowShape* shape, const EbLayerNormArrays* arrays, double epsilon,
                             int device, void* stream, eb::OpCounts* counts, EbError* error);

// `launches` launches of `blocks` blocks of `threads` threads, of which a multiprocessor holds up to `resident` at a
// time.
struct EbGrid {
  eb::Index blocks;
  int threads, resident;
  eb::Index launches;
};
// From here to the end this thread keeps the grids of its launches.
void eb_cuda_begin_grids();
// Hands them to `take`, in order, with `to`.
void eb_cuda_end_grids(void (*take)(void* to, EbGrid grid), void* to);

// Devices that can be used; 0 with the reason in `error` when there is none.
int eb_cuda_device_count(EbError* error);
// The device's own name into name[size].
int eb_cuda_device_name(int device, char* name, std::size_t size, EbError* error);

}  // extern "C"
