"""Traffic without arithmetic: padding, layouts, joins, rows of a table."""

from energybench.kernels.families.copies import launch
from energybench.kernels.families.copies.launch import (
    concat_channels,
    embedding,
    merge_heads,
    nchw_to_nhwc,
    nhwc_to_nchw,
    pad2d,
    pad2d_backward,
    split_heads,
)
from energybench.kernels.families.copies.shape import PaddingMode
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    launch.PAD2D,
    launch.PAD2D_BACKWARD,
    launch.NCHW_TO_NHWC,
    launch.NHWC_TO_NCHW,
    launch.SPLIT_HEADS,
    launch.MERGE_HEADS,
    launch.CONCAT_CHANNELS,
    launch.EMBEDDING,
)

__all__ = [
    "OPERATORS",
    "PaddingMode",
    "concat_channels",
    "embedding",
    "merge_heads",
    "nchw_to_nhwc",
    "nhwc_to_nchw",
    "pad2d",
    "pad2d_backward",
    "split_heads",
]
