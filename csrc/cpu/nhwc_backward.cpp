// Gradients of the convolution with channels innermost: those of the other layout, of copies. Every step is a launch of
// the rung that was asked for.
#include "cpu/api.h"

namespace {

using eb::ConvShape;
using eb::Index;

// Images, or weights, whose layout changes; where there is one channel or one pixel both layouts are one.
struct Turned {
  Index images, channels, pixels;
  bool alike() const { return channels == 1 || pixels == 1; }
  Index elements() const { return alike() ? 0 : images * channels * pixels; }
};

Turned images_of_x(const ConvShape& s) { return {s.N, s.C_in, s.H * s.W}; }
Turned images_of_y(const ConvShape& s) { return {s.N, s.C_out, s.H_out() * s.W_out()}; }
Turned weights(const ConvShape& s) { return {s.C_out, s.C_in_per_group(), s.KH * s.KW}; }

}  // namespace

extern "C" {

Index eb_cpu_conv2d_nhwc_scratch(const ConvShape* shape) {
  return 2 * images_of_x(*shape).elements() + images_of_y(*shape).elements() + 2 * weights(*shape).elements();
}

int eb_cpu_conv2d_nhwc_backward(EbVariant variant, EbDtype dtype, const ConvShape* shape,
                                const EbConv2dBackwardArrays* arrays, void* scratch, int threads, eb::OpCounts* counts,
                                EbError* error) {
  const Turned x = images_of_x(*shape), y = images_of_y(*shape), w = weights(*shape);
  const Index size = dtype == EB_DTYPE_float64 ? 8 : 4;
  char* next = static_cast<char*>(scratch);
  // Memory for a copy; `whole` where none is needed.
  const auto place = [&](const Turned& t, auto* whole) {
    auto* const here = t.alike() ? whole : static_cast<decltype(whole)>(next);
    next += t.elements() * size;
    return here;
  };
  const auto turn = [&](const Turned& t, Index rows, Index columns, const void* from, void* to) {
    if (t.alike()) return 0;
    const eb::TransposeShape s{t.images, rows, columns, 1};
    const EbTransposeArrays of{from, to};
    return eb_cpu_transpose(variant, dtype, &s, &of, threads, counts, error);
  };
  const Index launches = counts == nullptr ? 0 : counts->launches;
  EbConv2dBackwardArrays planes = *arrays;
  planes.dy = place(y, arrays->dy);
  planes.x = place(x, arrays->x);
  planes.w = place(w, arrays->w);
  planes.dx = place(x, arrays->dx);
  planes.dw = place(w, arrays->dw);
  const bool failed = turn(y, y.pixels, y.channels, arrays->dy, const_cast<void*>(planes.dy)) != 0 ||
                      turn(x, x.pixels, x.channels, arrays->x, const_cast<void*>(planes.x)) != 0 ||
                      turn(w, w.pixels, w.channels, arrays->w, const_cast<void*>(planes.w)) != 0 ||
                      eb_cpu_conv2d_backward(variant, dtype, shape, &planes, threads, counts, error) != 0 ||
                      turn(x, x.channels, x.pixels, planes.dx, arrays->dx) != 0 ||
                      turn(w, w.channels, w.pixels, planes.dw, arrays->dw) != 0;
  if (counts != nullptr) counts->launches = launches + 1;
  return failed ? 1 : 0;
}

}  // extern "C"
