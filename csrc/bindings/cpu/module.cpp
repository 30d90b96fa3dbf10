// energybench._cpu: numpy arrays in, results written into arrays that the caller owns. Checks and GIL only; compiled
// for the plain architecture, so that a processor the kernels cannot run on is told so instead of meeting SIGILL.
#include <pybind11/pybind11.h>

#include "bindings/cpu/attention.h"
#include "bindings/cpu/conv.h"
#include "bindings/cpu/conv_nhwc.h"
#include "bindings/cpu/copies.h"
#include "bindings/cpu/elementwise.h"
#include "bindings/cpu/gru.h"
#include "bindings/cpu/linear.h"
#include "bindings/cpu/pool.h"
#include "bindings/cpu/probes.h"
#include "bindings/cpu/repeat.h"
#include "bindings/cpu/rows.h"
#include "bindings/cpu/training.h"

namespace py = pybind11;

namespace {

#if defined(__x86_64__)
bool processor_supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
bool processor_supported() { return true; }
#endif

}  // namespace

PYBIND11_MODULE(_cpu, module) {
  if (!processor_supported()) {
    throw py::import_error(
        "energybench._cpu was built for processors with AVX2 and FMA, and this one has not both; "
        "build it here with ENERGYBENCH_CPU_FLAGS=-O3 pip install --force-reinstall energybench");
  }
  module.doc() = "Instrumented CPU kernels; use them through energybench.kernels.";
  module.attr("count_fields") = eb::bindings::count_fields();
  module.attr("compile_flags") = EB_COMPILE_FLAGS;
  module.attr("rung_flags") = EB_RUNG_FLAGS;
  module.def("default_threads", &eb_cpu_default_threads, "OMP_NUM_THREADS, else the processors at hand.");
  module.def("release_threads", &eb_cpu_release_threads, py::call_guard<py::gil_scoped_release>(),
             "End the idle workers of the OpenMP pool; 0 when done.");
  module.def("release_workspace", &eb_cpu_release_workspace,
             "Give the calling thread's scratch memory back; its bytes.");
  py::list instruction_sets;
#if defined(__x86_64__)
  if (eb_cpu_supports(EB_VARIANT_avx2)) instruction_sets.append("avx2");
  if (eb_cpu_supports(EB_VARIANT_avx512)) instruction_sets.append("avx512");
#endif
  module.attr("instruction_sets") = py::tuple(instruction_sets);  // those that this processor can run, the widest last
  eb::bindings::define_conv(module);
  eb::bindings::define_gru(module);
  eb::bindings::define_attention(module);
  eb::bindings::define_linear(module);
  eb::bindings::define_rows(module);
  eb::bindings::define_elementwise(module);
  eb::bindings::define_pool(module);
  eb::bindings::define_copies(module);
  eb::bindings::define_conv_nhwc(module);
  eb::bindings::define_probes(module);
  eb::bindings::define_repeat(module);
  eb::bindings::define_training(module);
}
