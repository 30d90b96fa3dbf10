#pragma once

#include "bindings/cpu/arrays.h"

namespace eb::bindings {

inline AttentionShape attention_shape(const py::array& q, const py::array& k, bool causal) {
  require(q.ndim() == 4 && k.ndim() == 4, "q and k must have four dimensions");
  return {q.shape(0), q.shape(1), q.shape(2), k.shape(2), q.shape(3), causal};
}

inline py::object attention(const py::array& q, const py::array& k, const py::array& v, const py::array& y,
                            const py::array& scratch, double scale, bool causal, const std::string& variant,
                            int threads, bool counting) {
  const AttentionShape s = attention_shape(q, k, causal);
  const EbDtype dtype = dtype_of(q);
  require(scratch.ndim() == 2 && scratch.shape(0) >= threads && scratch.shape(1) >= s.S_k,
          "scratch needs a row of S_k scores for each thread");
  const EbAttentionArrays arrays{input(q, "q", dtype, {s.B, s.Hn, s.S_q, s.D}),
                                 input(k, "k", dtype, {s.B, s.Hn, s.S_k, s.D}),
                                 input(v, "v", dtype, {s.B, s.Hn, s.S_k, s.D}),
                                 output(y, "y", dtype, {s.B, s.Hn, s.S_q, s.D}),
                                 output(scratch, "scratch", dtype, {scratch.shape(0), scratch.shape(1)}),
                                 scratch.shape(1)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_attention(rung, dtype, &s, &arrays, scale, threads, counts, error);
  });
}

inline py::object attention_backward(const py::array& grad, const py::array& q, const py::array& k, const py::array& v,
                                     const py::array& y, const py::array& lse, const py::array& dq, const py::array& dk,
                                     const py::array& dv, double scale, bool causal, const std::string& variant,
                                     int threads, bool counting) {
  const AttentionShape s = attention_shape(q, k, causal);
  const EbDtype dtype = dtype_of(q);
  const auto queries = {s.B, s.Hn, s.S_q, s.D}, keys = {s.B, s.Hn, s.S_k, s.D};
  const EbAttentionBackwardArrays arrays{
      input(grad, "grad", dtype, queries), input(q, "q", dtype, queries), input(k, "k", dtype, keys),
      input(v, "v", dtype, keys),          input(y, "y", dtype, queries), input(lse, "lse", dtype, {s.B, s.Hn, s.S_q}),
      output(dq, "dq", dtype, queries),    output(dk, "dk", dtype, keys), output(dv, "dv", dtype, keys)};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_attention_backward(rung, dtype, &s, &arrays, scale, threads, counts, error);
  });
}

inline py::object online_attention(const py::array& q, const py::array& k, const py::array& v, const py::array& y,
                                   const py::array& lse, double scale, bool causal, const std::string& variant,
                                   int threads, bool counting) {
  const AttentionShape s = attention_shape(q, k, causal);
  const EbDtype dtype = dtype_of(q);
  const auto queries = {s.B, s.Hn, s.S_q, s.D}, keys = {s.B, s.Hn, s.S_k, s.D};
  const EbOnlineAttentionArrays arrays{input(q, "q", dtype, queries), input(k, "k", dtype, keys),
                                       input(v, "v", dtype, keys), output(y, "y", dtype, queries),
                                       output(lse, "lse", dtype, {s.B, s.Hn, s.S_q})};
  return run(variant, threads, counting, [=](EbVariant rung, OpCounts* counts, EbError* error) {
    return eb_cpu_online_attention(rung, dtype, &s, &arrays, scale, threads, counts, error);
  });
}

inline void define_attention(py::module_& module) {
  module.def("attention", &attention, "q"_a, "k"_a, "v"_a, "y"_a, "scratch"_a, "scale"_a, "causal"_a, "variant"_a,
             "threads"_a, "counting"_a);
  module.def("attention_backward", &attention_backward, "grad"_a, "q"_a, "k"_a, "v"_a, "y"_a, "lse"_a, "dq"_a, "dk"_a,
             "dv"_a, "scale"_a, "causal"_a, "variant"_a, "threads"_a, "counting"_a);
  module.def("online_attention", &online_attention, "q"_a, "k"_a, "v"_a, "y"_a, "lse"_a, "scale"_a, "causal"_a,
             "variant"_a, "threads"_a, "counting"_a);
}

}  // namespace eb::bindings
