// Convolution of one tap that is on every pixel, and its gradients: products of matrices where they lie.
#pragma once

#include "cpu/tuned/isa.h"
#include "kernels/conv.h"
#include "kernels/patches.h"

namespace eb::EB_ISA {

// y, and dx, dw and db, of a shape whose forward_sums are pointwise(). One launch each.
int pointwise_conv2d(EbDtype dtype, const ConvShape& shape, const EbConv2dArrays& arrays, int threads, OpCounts* counts,
                     EbError* error);
int pointwise_conv2d_backward(EbDtype dtype, const ConvShape& shape, const EbConv2dBackwardArrays& arrays, int threads,
                              OpCounts* counts, EbError* error);

}  // namespace eb::EB_ISA
