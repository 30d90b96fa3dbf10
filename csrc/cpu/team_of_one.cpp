// A parallel region of one thread is a call. libgomp makes a team of one for it, and at each barrier a system call that
// wakes nobody: half a microsecond of a small product's two. All regions of the module come here instead of to libgomp:
// it is linked with --wrap=GOMP_parallel (setup.py). OpenMP's directives mean outside a region what they mean in a team
// of one.
#include <omp.h>

extern "C" {

void __real_GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);

void __wrap_GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  if (threads == 1 && omp_get_level() == 0) return body(data);
  __real_GOMP_parallel(body, data, threads, flags);
}

}  // extern "C"
