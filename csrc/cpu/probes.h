// The C interface of the calibration probes that move one kind of work each (kernels/probes.h).
#pragma once

#include "common/c_api.h"

namespace eb {

// Probes walk arrays in blocks of so many elements, each with an output of its own.
constexpr Index kProbeBlock = 8192;

}  // namespace eb

extern "C" {

#define EB_PROBE_NAMES(X) X(intensity) X(read) X(write) X(chase) X(exp) X(tanh) X(erf) X(sqrt) X(log) X(launch)
enum EbProbe {
#define EB_NAME(name) EB_PROBE_##name,
  EB_PROBE_NAMES(EB_NAME)
#undef EB_NAME
};

// What a probe reads and writes: x[n] and y as its body in kernels/probes.h says; `places` is an int64 cycle, and
// `starts` where its chains begin.
struct EbProbeArrays {
  const void* x;
  void* y;
  const void* places;
  void* ends;
};

struct EbProbeShape {
  eb::Index n;       // elements of x, or of the cycle
  eb::Index times;   // MACs for each element, repeats, or steps
  eb::Index chains;  // of a pointer chase
};

int eb_cpu_probe(EbProbe kind, EbDtype dtype, const EbProbeShape* shape, const EbProbeArrays* arrays, int threads,
                 eb::OpCounts* counts, EbError* error);

}  // extern "C"
