// CPU launches: OpenMP loops over the kernel bodies, each instantiated plain and counting.
#include <omp.h>

#include "common/operands.h"
#include "cpu/api.h"
#include "cpu/dispatch.h"
#include "kernels/probes.h"

namespace eb {
namespace {

template <class Ops, class T>
void conv2d(Type<Ops>, Type<T>, const ConvShape& s, const EbConv2dArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
  const Index H_out = s.H_out(), W_out = s.W_out(), rows = s.N * s.C_out * H_out;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index row = 0; row < rows; ++row) {
      const Index oh = row % H_out, co = row / H_out % s.C_out, n = row / H_out / s.C_out;
      for (Index ow = 0; ow < W_out; ++ow) conv2d_forward_naive(ops, a, s, n, co, oh, ow);
    }
    merge(ops, counts);
  }
}

template <class Ops, class T>
void gru(Type<Ops>, Type<T>, const GruShape& s, const EbGruArrays& arrays, int threads, OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays);
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index t = 0; t < s.T; ++t) {
#pragma omp for schedule(static)  // ends in a barrier: step t + 1 reads what every thread wrote
      for (Index e = 0; e < s.B * s.H; ++e) gru_forward_naive(ops, a, s, t, e / s.H, e % s.H);
    }
    merge(ops, counts);
  }
}

template <class Ops, class T>
void attention(Type<Ops>, Type<T>, const AttentionShape& s, const EbAttentionArrays& arrays, double scale, int threads,
               OpCounts* counts) {
  const auto a = operands<Ops, T>(arrays, scale);
  const Index rows = s.B * s.Hn * s.S_q;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    const auto row =
        typename Ops::template Activation<T>(out<T>(arrays.scratch)).at(omp_get_thread_num() * arrays.row_stride);
#pragma omp for schedule(static)
    for (Index r = 0; r < rows; ++r) attention_forward_naive(ops, a, s, row, r / s.S_q, r % s.S_q);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void probe_fma(Type<Ops>, Type<T>, const FmaProbeShape& s, const void* x, void* y, int threads, OpCounts* counts) {
  const typename Ops::template Activation<const T> source(in<T>(x));
  const typename Ops::template Activation<T> target(out<T>(y));
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
#pragma omp for schedule(static)
    for (Index i = 0; i < s.streams; ++i) probe_fma_stream<kLanes<T>, T>(ops, source, target, s, i);
    merge(ops, counts);
  }
}

template <class Ops, class T>
void probe_stream(Type<Ops>, Type<T>, const StreamProbeShape& s, const void* x, void* y, int threads,
                  OpCounts* counts) {
  const typename Ops::template Activation<const T> source(in<T>(x));
  const typename Ops::template Activation<T> target(out<T>(y));
  constexpr Index lanes = kLanes<T>;
  const Index whole = s.n / lanes;
#pragma omp parallel num_threads(threads)
  {
    Ops ops;
    for (Index repeat = 0; repeat < s.repeats; ++repeat) {
#pragma omp for schedule(static) nowait
      for (Index i = 0; i < whole; ++i) probe_stream_lanes<kLanes<T>, T>(ops, source, target, i * lanes);
#pragma omp single
      for (Index i = whole * lanes; i < s.n; ++i) probe_stream_element<T>(ops, source, target, i);
    }
    merge(ops, counts);
  }
}

}  // namespace
}  // namespace eb

extern "C" {

int eb_cpu_conv2d(EbDtype dtype, const eb::ConvShape* shape, const EbConv2dArrays* arrays, int threads,
                  eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::conv2d(ops, element, *shape, *arrays, threads, counts); });
}

int eb_cpu_gru(EbDtype dtype, const eb::GruShape* shape, const EbGruArrays* arrays, int threads, eb::OpCounts* counts,
               EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::gru(ops, element, *shape, *arrays, threads, counts); });
}

int eb_cpu_attention(EbDtype dtype, const eb::AttentionShape* shape, const EbAttentionArrays* arrays, double scale,
                     int threads, eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error, [&](auto ops, auto element) {
    eb::attention(ops, element, *shape, *arrays, scale, threads, counts);
  });
}

int eb_cpu_probe_fma(EbDtype dtype, const eb::FmaProbeShape* shape, const void* x, void* y, int threads,
                     eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::probe_fma(ops, element, *shape, x, y, threads, counts); });
}

int eb_cpu_probe_stream(EbDtype dtype, const eb::StreamProbeShape* shape, const void* x, void* y, int threads,
                        eb::OpCounts* counts, EbError* error) {
  return eb::dispatch(dtype, counts, error,
                      [&](auto ops, auto element) { eb::probe_stream(ops, element, *shape, x, y, threads, counts); });
}

int eb_cpu_default_threads() { return omp_get_max_threads(); }

int eb_cpu_release_threads() { return omp_pause_resource_all(omp_pause_soft); }

}  // extern "C"
