// CUDA launches of attention's online form, which keeps what the gradients need, one thread a query row; and of the
// gradients, one thread a head.
#include "cuda/api.h"
#include "cuda/dispatch.h"
#include "operands/attention_backward.h"

namespace eb {
namespace {

template <class Ops, class T>
__global__ void online_attention_kernel(OnlineAttentionOperands<Ops, T> a, AttentionShape s,
                                        typename Ops::template Activation<T> scratch, OpCounts* counts) {
  Ops ops;
  for (Index r = first_element(); r < s.B * s.Hn * s.S_q; r += element_stride()) {
    online_attention_naive(ops, a, s, scratch.at(r * kOnlineBlock), r / s.S_q, r % s.S_q);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
__global__ void attention_backward_kernel(AttentionBackwardOperands<Ops, T> a, AttentionShape s, OpCounts* counts) {
  Ops ops;
  for (Index head = first_element(); head < s.B * s.Hn; head += element_stride()) {
    attention_backward_naive(ops, a, s, head);
  }
  merge<T>(ops, counts);
}

template <class Ops, class T>
void online_attention(Type<Ops>, Type<T>, const AttentionShape& s, const EbOnlineAttentionArrays& arrays, void* scratch,
                      double scale, Launches& launches) {
  const typename Ops::template Activation<T> rows(out<T>(scratch));
  launches.over(s.B * s.Hn * s.S_q, online_attention_kernel<Ops, T>, operands<Ops, T>(arrays, scale), s, rows);
}

template <class Ops, class T>
void attention_backward(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionBackwardArrays& arrays,
                        double scale, Launches& launches) {
  launches.over(s.B * s.Hn, attention_backward_kernel<Ops, T>, operands<Ops, T>(arrays, scale), s);
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cuda_online_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbOnlineAttentionArrays* arrays,
                             void* scratch, double scale, int device, void* stream, eb::OpCounts* counts,
                             EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::online_attention(ops, element, *shape, *arrays, scratch, scale, launches);
  });
}

int eb_cuda_attention_backward(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionBackwardArrays* arrays,
                               double scale, int device, void* stream, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, device, stream, counts, error, [&](auto ops, auto element, auto& launches) {
    eb::attention_backward(ops, element, *shape, *arrays, scale, launches);
  });
}

}  // extern "C"
